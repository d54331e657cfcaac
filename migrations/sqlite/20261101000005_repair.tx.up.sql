CREATE TABLE workload (
    person TEXT PRIMARY KEY REFERENCES person (id),
    load INTEGER NOT NULL DEFAULT 0,
    capacity INTEGER NOT NULL DEFAULT 3 CHECK (capacity BETWEEN 0 AND 50),
    last_at TIMESTAMP,
    CONSTRAINT workload_within CHECK (load BETWEEN 0 AND capacity)
);
--bun:split
CREATE TABLE assignment (
    id TEXT PRIMARY KEY,
    task_kind TEXT NOT NULL CHECK (length(task_kind) BETWEEN 1 AND 40),
    task_id TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES person (id),
    state TEXT NOT NULL CHECK (state IN ('OFFERED', 'ACCEPTED', 'DECLINED', 'LAPSED', 'RELEASED', 'TAKEN_OVER', 'DONE', 'CANCELLED')),
    how TEXT NOT NULL CHECK (how IN ('DISPATCHED', 'BY_HAND', 'CLAIMED', 'TAKEN_OVER')),
    by_person TEXT REFERENCES person (id),
    offered_at TIMESTAMP NOT NULL,
    deadline TIMESTAMP,
    answered_at TIMESTAMP,
    ended_at TIMESTAMP,
    explanation TEXT NOT NULL,
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
    id TEXT PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL CHECK (source IN ('REPORT', 'INCIDENT')),
    kind TEXT NOT NULL CHECK (kind IN ('NETWORK', 'APPLIANCE', 'COMPUTER', 'OTHER')),
    state TEXT NOT NULL CHECK (state IN ('SUBMITTED', 'TRIAGED', 'ASSIGNED', 'IN_PROGRESS', 'WAITING_PARTS', 'WAITING_OWNER',
        'FIXED', 'UNFIXABLE', 'RETURNED', 'CLOSED', 'CANCELLED')),
    reason TEXT NOT NULL DEFAULT '' CHECK (reason IN ('', 'RECOVERED', 'WITHDRAWN', 'DECLINED')),
    device BOOLEAN NOT NULL,
    owner TEXT REFERENCES person (id),
    incident TEXT,
    request TEXT,
    title_zh TEXT NOT NULL DEFAULT '' CHECK (length(title_zh) <= 300),
    title_en TEXT NOT NULL DEFAULT '' CHECK (length(title_en) <= 300),
    skills TEXT NOT NULL DEFAULT '',
    certificates TEXT NOT NULL DEFAULT '',
    worker TEXT REFERENCES person (id),
    assignment TEXT REFERENCES assignment (id),
    contact TEXT,
    place TEXT,
    link_hash TEXT UNIQUE,
    lang TEXT NOT NULL CHECK (lang IN ('zh', 'en')),
    version INTEGER NOT NULL DEFAULT 1,
    unassigned BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMP NOT NULL,
    triaged_at TIMESTAMP,
    started_at TIMESTAMP,
    fixed_at TIMESTAMP,
    closed_at TIMESTAMP,
    due_at TIMESTAMP NOT NULL,
    paused_at TIMESTAMP,
    paused_for INTEGER NOT NULL DEFAULT 0 CHECK (paused_for >= 0),
    lease_until TIMESTAMP,
    erased_at TIMESTAMP,
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
    id TEXT PRIMARY KEY,
    ticket TEXT NOT NULL REFERENCES ticket (id),
    at TIMESTAMP NOT NULL,
    actor TEXT REFERENCES person (id),
    action TEXT NOT NULL CHECK (length(action) BETWEEN 1 AND 40),
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    noted BOOLEAN NOT NULL,
    public BOOLEAN NOT NULL,
    amount INTEGER CHECK (amount BETWEEN 0 AND 100000000)
);
--bun:split
CREATE INDEX ticket_entry_ticket ON ticket_entry (ticket, at);
--bun:split
CREATE INDEX ticket_entry_actor ON ticket_entry (actor) WHERE actor IS NOT NULL;
--bun:split
CREATE TABLE repair_contact (
    hash TEXT PRIMARY KEY,
    day TEXT NOT NULL CHECK (length(day) = 10),
    sent INTEGER NOT NULL CHECK (sent >= 1)
);
--bun:split
CREATE INDEX repair_contact_day ON repair_contact (day);
