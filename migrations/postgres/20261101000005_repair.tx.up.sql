CREATE TABLE workload (
    person uuid PRIMARY KEY REFERENCES person (id),
    load integer NOT NULL DEFAULT 0,
    capacity integer NOT NULL DEFAULT 3 CHECK (capacity BETWEEN 0 AND 50),
    last_at timestamptz,
    CONSTRAINT workload_within CHECK (load BETWEEN 0 AND capacity)
);
--bun:split
CREATE TABLE assignment (
    id uuid PRIMARY KEY,
    task_kind text COLLATE "C" NOT NULL CHECK (length(task_kind) BETWEEN 1 AND 40),
    task_id uuid NOT NULL,
    person uuid NOT NULL REFERENCES person (id),
    state text COLLATE "C" NOT NULL CHECK (state IN ('OFFERED', 'ACCEPTED', 'DECLINED', 'LAPSED', 'RELEASED', 'TAKEN_OVER', 'DONE', 'CANCELLED')),
    how text COLLATE "C" NOT NULL CHECK (how IN ('DISPATCHED', 'BY_HAND', 'CLAIMED', 'TAKEN_OVER')),
    by_person uuid REFERENCES person (id),
    offered_at timestamptz NOT NULL,
    deadline timestamptz,
    answered_at timestamptz,
    ended_at timestamptz,
    explanation text NOT NULL,
    CHECK ((ended_at IS NULL) = (state IN ('OFFERED', 'ACCEPTED'))),
    CHECK (state <> 'OFFERED' OR deadline IS NOT NULL)
);
--bun:split
CREATE UNIQUE INDEX assignment_live ON assignment (task_id) WHERE state IN ('OFFERED', 'ACCEPTED');
--bun:split
CREATE INDEX assignment_task ON assignment (task_id, offered_at);
--bun:split
CREATE INDEX assignment_person ON assignment (person, state, ended_at);
--bun:split
CREATE INDEX assignment_by ON assignment (by_person) WHERE by_person IS NOT NULL;
--bun:split
CREATE TABLE ticket (
    id uuid PRIMARY KEY,
    number text COLLATE "C" NOT NULL UNIQUE,
    source text COLLATE "C" NOT NULL CHECK (source IN ('REPORT', 'INCIDENT')),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('NETWORK', 'APPLIANCE', 'COMPUTER', 'OTHER')),
    state text COLLATE "C" NOT NULL CHECK (state IN ('SUBMITTED', 'TRIAGED', 'ASSIGNED', 'IN_PROGRESS', 'WAITING_PARTS', 'WAITING_OWNER',
        'FIXED', 'UNFIXABLE', 'RETURNED', 'CLOSED', 'CANCELLED')),
    reason text COLLATE "C" NOT NULL DEFAULT '' CHECK (reason IN ('', 'RECOVERED', 'WITHDRAWN', 'DECLINED')),
    device boolean NOT NULL,
    owner uuid REFERENCES person (id),
    incident uuid,
    request uuid,
    title_zh text NOT NULL DEFAULT '' CHECK (length(title_zh) <= 300),
    title_en text NOT NULL DEFAULT '' CHECK (length(title_en) <= 300),
    skills text NOT NULL DEFAULT '',
    certificates text NOT NULL DEFAULT '',
    worker uuid REFERENCES person (id),
    assignment uuid REFERENCES assignment (id),
    contact text COLLATE "C",
    place text COLLATE "C",
    link_hash text COLLATE "C" UNIQUE,
    lang text NOT NULL CHECK (lang IN ('zh', 'en')),
    version bigint NOT NULL DEFAULT 1,
    unassigned boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL,
    triaged_at timestamptz,
    started_at timestamptz,
    fixed_at timestamptz,
    closed_at timestamptz,
    due_at timestamptz NOT NULL,
    paused_at timestamptz,
    paused_for bigint NOT NULL DEFAULT 0 CHECK (paused_for >= 0),
    lease_until timestamptz,
    erased_at timestamptz,
    CHECK (source = 'REPORT' OR incident IS NOT NULL),
    CHECK ((worker IS NULL) = (assignment IS NULL)),
    CHECK (worker IS NOT NULL OR state NOT IN ('ASSIGNED', 'IN_PROGRESS', 'WAITING_PARTS', 'WAITING_OWNER')),
    CHECK ((paused_at IS NOT NULL) = (state IN ('WAITING_PARTS', 'WAITING_OWNER'))),
    CHECK ((closed_at IS NOT NULL) = (state IN ('CLOSED', 'CANCELLED'))),
    CHECK (erased_at IS NULL OR contact IS NULL AND place IS NULL AND link_hash IS NULL)
);
--bun:split
CREATE UNIQUE INDEX ticket_of_incident ON ticket (incident) WHERE source = 'INCIDENT';
--bun:split
CREATE INDEX ticket_reports ON ticket (incident) WHERE incident IS NOT NULL;
--bun:split
CREATE INDEX ticket_created ON ticket (created_at, id);
--bun:split
CREATE INDEX ticket_state ON ticket (state, created_at, id);
--bun:split
CREATE INDEX ticket_owner ON ticket (owner) WHERE owner IS NOT NULL;
--bun:split
CREATE INDEX ticket_worker ON ticket (worker) WHERE worker IS NOT NULL;
--bun:split
CREATE INDEX ticket_assignment ON ticket (assignment) WHERE assignment IS NOT NULL;
--bun:split
CREATE INDEX ticket_request ON ticket (request) WHERE request IS NOT NULL;
--bun:split
CREATE INDEX ticket_contact ON ticket (contact) WHERE contact IS NOT NULL;
--bun:split
CREATE INDEX ticket_place ON ticket (place) WHERE place IS NOT NULL AND state IN ('SUBMITTED', 'TRIAGED');
--bun:split
CREATE INDEX ticket_closed ON ticket (closed_at) WHERE closed_at IS NOT NULL AND erased_at IS NULL;
--bun:split
CREATE TABLE ticket_entry (
    id uuid PRIMARY KEY,
    ticket uuid NOT NULL REFERENCES ticket (id),
    at timestamptz NOT NULL,
    actor uuid REFERENCES person (id),
    action text COLLATE "C" NOT NULL CHECK (length(action) BETWEEN 1 AND 40),
    from_state text COLLATE "C" NOT NULL,
    to_state text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL DEFAULT '',
    noted boolean NOT NULL,
    public boolean NOT NULL,
    amount bigint CHECK (amount BETWEEN 0 AND 100000000)
);
--bun:split
CREATE INDEX ticket_entry_ticket ON ticket_entry (ticket, at);
--bun:split
CREATE INDEX ticket_entry_actor ON ticket_entry (actor) WHERE actor IS NOT NULL;
--bun:split
CREATE TABLE repair_contact (
    hash text COLLATE "C" PRIMARY KEY,
    day text COLLATE "C" NOT NULL CHECK (length(day) = 10),
    sent integer NOT NULL CHECK (sent >= 1)
);
--bun:split
CREATE INDEX repair_contact_day ON repair_contact (day);
