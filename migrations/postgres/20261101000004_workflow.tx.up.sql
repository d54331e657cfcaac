CREATE TABLE definition (
    key text COLLATE "C" PRIMARY KEY CHECK (length(key) BETWEEN 3 AND 80),
    owner text COLLATE "C" NOT NULL CHECK (length(owner) BETWEEN 1 AND 80),
    created_at timestamptz NOT NULL
);
--bun:split
CREATE TABLE version (
    id uuid PRIMARY KEY,
    definition text COLLATE "C" NOT NULL REFERENCES definition (key),
    n integer NOT NULL CHECK (n >= 1),
    hash text COLLATE "C" NOT NULL CHECK (length(hash) = 64),
    source text NOT NULL CHECK (length(source) BETWEEN 1 AND 200000),
    state text COLLATE "C" NOT NULL CHECK (state IN ('DRAFT', 'PUBLISHED', 'RETIRED')),
    report text NOT NULL DEFAULT '', -- of the proof, JSON; empty: not proven yet
    builtin boolean NOT NULL,
    published_at timestamptz,
    published_by uuid REFERENCES person (id),
    retired_at timestamptz,
    UNIQUE (definition, n),
    UNIQUE (definition, hash),
    CHECK ((published_at IS NULL) = (state = 'DRAFT')),
    CHECK ((retired_at IS NULL) = (state <> 'RETIRED'))
);
--bun:split
CREATE UNIQUE INDEX version_current ON version (definition) WHERE state = 'PUBLISHED';
--bun:split
CREATE INDEX version_publisher ON version (published_by) WHERE published_by IS NOT NULL;
--bun:split
CREATE TABLE request (
    id uuid PRIMARY KEY,
    series text NOT NULL CHECK (length(series) BETWEEN 1 AND 20),
    year integer NOT NULL CHECK (year BETWEEN 2000 AND 2999),
    serial bigint CHECK (serial >= 1),
    definition text COLLATE "C" NOT NULL REFERENCES definition (key),
    version_id uuid NOT NULL REFERENCES version (id),
    requester uuid NOT NULL REFERENCES person (id),
    unit text COLLATE "C" NOT NULL REFERENCES unit (code),
    title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    status text COLLATE "C" NOT NULL CHECK (status IN ('OPEN', 'RETURNED', 'APPROVED', 'REJECTED', 'WITHDRAWN', 'STOPPED', 'SUPERSEDED', 'EXPIRED')),
    urgent boolean NOT NULL DEFAULT FALSE,
    form_rev integer NOT NULL CHECK (form_rev >= 1),
    form text NOT NULL,
    apart text NOT NULL,
    state text NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 1),
    head text COLLATE "C" NOT NULL CHECK (length(head) = 64),
    verify_code text COLLATE "C" NOT NULL UNIQUE CHECK (length(verify_code) >= 16),
    search text NOT NULL,
    opened_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    closed_at timestamptz,
    amends uuid REFERENCES request (id),
    close_out_due timestamptz,
    closed_out_at timestamptz,
    UNIQUE (series, year, serial),
    CHECK ((closed_at IS NULL) = (status IN ('OPEN', 'RETURNED')))
);
--bun:split
CREATE INDEX request_time ON request (opened_at, id);
--bun:split
CREATE INDEX request_requester ON request (requester, opened_at, id);
--bun:split
CREATE INDEX request_unit ON request (unit, opened_at, id);
--bun:split
CREATE INDEX request_definition ON request (definition, opened_at, id);
--bun:split
CREATE INDEX request_version ON request (version_id);
--bun:split
CREATE INDEX request_amends ON request (amends) WHERE amends IS NOT NULL;
--bun:split
CREATE INDEX request_owes ON request (definition, unit, close_out_due) WHERE status = 'APPROVED' AND close_out_due IS NOT NULL AND closed_out_at IS NULL;
--bun:split
CREATE INDEX request_closed ON request (closed_at, id) WHERE closed_at IS NOT NULL;
--bun:split
CREATE TABLE mismatch (
    request_id uuid PRIMARY KEY REFERENCES request (id),
    problems text NOT NULL, -- one on a line; names of fields, no values
    found_at timestamptz NOT NULL,
    checked_at timestamptz NOT NULL,
    mended_at timestamptz
);
--bun:split
CREATE INDEX mismatch_open ON mismatch (checked_at) WHERE mended_at IS NULL;
--bun:split
CREATE TABLE watcher (
    request_id uuid NOT NULL REFERENCES request (id),
    person uuid NOT NULL REFERENCES person (id),
    at timestamptz NOT NULL,
    PRIMARY KEY (request_id, person)
);
--bun:split
CREATE INDEX watcher_person ON watcher (person);
--bun:split
CREATE TABLE close_out (
    request_id uuid PRIMARY KEY REFERENCES request (id),
    form text NOT NULL,
    by_person uuid NOT NULL REFERENCES person (id),
    at timestamptz NOT NULL
);
--bun:split
CREATE INDEX close_out_person ON close_out (by_person);
--bun:split
CREATE TABLE used_once (
    definition text COLLATE "C" NOT NULL REFERENCES definition (key),
    field text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL CHECK (length(value) BETWEEN 1 AND 200),
    request_id uuid NOT NULL REFERENCES request (id),
    PRIMARY KEY (definition, field, value)
);
--bun:split
CREATE INDEX used_once_request ON used_once (request_id);
--bun:split
CREATE TABLE revision (
    request_id uuid NOT NULL REFERENCES request (id),
    rev integer NOT NULL CHECK (rev >= 1),
    form text NOT NULL,
    apart text NOT NULL,
    digests text NOT NULL,
    by_person uuid NOT NULL REFERENCES person (id),
    at timestamptz NOT NULL,
    PRIMARY KEY (request_id, rev)
);
--bun:split
CREATE INDEX revision_person ON revision (by_person);
--bun:split
CREATE TABLE task (
    id uuid PRIMARY KEY,
    request_id uuid NOT NULL REFERENCES request (id),
    definition text COLLATE "C" NOT NULL REFERENCES definition (key),
    name text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 3 AND 80),
    step text COLLATE "C" NOT NULL,
    round integer NOT NULL CHECK (round >= 1),
    person uuid NOT NULL REFERENCES person (id),
    for_person uuid REFERENCES person (id),
    seat text COLLATE "C" NOT NULL,
    origin text COLLATE "C" NOT NULL CHECK (origin IN ('rule', 'dedupe', 'carry', 'escalate', 'refresh', 'widen', 'transfer', 'signer', 'undo', 'amend', 'replace')),
    state text COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'open', 'done', 'void')),
    verdict text COLLATE "C" NOT NULL DEFAULT '' CHECK (verdict IN ('', 'approve', 'reject', 'abstain', 'send_back')),
    opened_at timestamptz NOT NULL,
    due_at timestamptz,
    closed_at timestamptz,
    closed_by uuid REFERENCES person (id),
    took bigint CHECK (took >= 0),
    within text COLLATE "C" NOT NULL DEFAULT '',
    optional boolean NOT NULL DEFAULT FALSE,
    UNIQUE (request_id, name),
    CHECK ((closed_at IS NULL) = (state IN ('waiting', 'open'))),
    CHECK ((verdict = '') = (state <> 'done'))
);
--bun:split
CREATE INDEX task_inbox ON task (person, id) WHERE state = 'open';
--bun:split
CREATE INDEX task_person ON task (person, request_id);
--bun:split
CREATE INDEX task_for ON task (for_person) WHERE for_person IS NOT NULL;
--bun:split
CREATE INDEX task_closed_by ON task (closed_by) WHERE closed_by IS NOT NULL;
--bun:split
CREATE INDEX task_history ON task (definition, closed_at) WHERE state = 'done' AND origin = 'rule';
--bun:split
CREATE TABLE decision (
    id uuid PRIMARY KEY,
    request_id uuid NOT NULL REFERENCES request (id),
    task_id uuid NOT NULL UNIQUE REFERENCES task (id),
    person uuid REFERENCES person (id),
    for_person uuid REFERENCES person (id),
    seat text COLLATE "C" NOT NULL,
    verdict text COLLATE "C" NOT NULL CHECK (verdict IN ('approve', 'reject', 'abstain', 'send_back')),
    target text COLLATE "C" NOT NULL DEFAULT '',
    form_rev integer NOT NULL CHECK (form_rev >= 1),
    read_digest text COLLATE "C" NOT NULL,
    door text COLLATE "C" NOT NULL CHECK (door IN ('console', 'link', 'paper', 'timer')),
    carried_from uuid REFERENCES task (id),
    recorder uuid REFERENCES person (id),
    scan text COLLATE "C" NOT NULL DEFAULT '',
    note text COLLATE "C" NOT NULL DEFAULT '',
    at timestamptz NOT NULL,
    CHECK ((verdict = 'send_back') = (target <> '')),
    CHECK ((person IS NULL) = (door = 'timer')),
    CHECK ((recorder IS NOT NULL) = (door = 'paper'))
);
--bun:split
CREATE INDEX decision_request ON decision (request_id);
--bun:split
CREATE INDEX decision_person ON decision (person) WHERE person IS NOT NULL;
--bun:split
CREATE INDEX decision_for ON decision (for_person) WHERE for_person IS NOT NULL;
--bun:split
CREATE INDEX decision_recorder ON decision (recorder) WHERE recorder IS NOT NULL;
--bun:split
CREATE INDEX decision_carried ON decision (carried_from) WHERE carried_from IS NOT NULL;
--bun:split
CREATE TABLE event (
    request_id uuid NOT NULL REFERENCES request (id),
    seq bigint NOT NULL CHECK (seq >= 1),
    type text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    body text NOT NULL,
    prev text COLLATE "C" NOT NULL CHECK (length(prev) = 64),
    hash text COLLATE "C" NOT NULL CHECK (length(hash) = 64),
    PRIMARY KEY (request_id, seq)
);
--bun:split
CREATE TABLE decision_link (
    id uuid PRIMARY KEY,
    hash text COLLATE "C" NOT NULL UNIQUE CHECK (length(hash) = 64),
    request_id uuid NOT NULL REFERENCES request (id),
    task_id uuid NOT NULL REFERENCES task (id),
    person uuid NOT NULL REFERENCES person (id),
    form_rev integer NOT NULL CHECK (form_rev >= 1),
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > issued_at),
    used_at timestamptz,
    code_at timestamptz,
    code_sent integer NOT NULL DEFAULT 0 CHECK (code_sent BETWEEN 0 AND 5),
    code_tries integer NOT NULL DEFAULT 0 CHECK (code_tries BETWEEN 0 AND 5),
    UNIQUE (task_id, form_rev)
);
--bun:split
CREATE INDEX decision_link_request ON decision_link (request_id);
--bun:split
CREATE INDEX decision_link_person ON decision_link (person);
--bun:split
CREATE TABLE recurrence (
    id uuid PRIMARY KEY,
    definition text COLLATE "C" NOT NULL REFERENCES definition (key),
    unit text COLLATE "C" NOT NULL REFERENCES unit (code),
    seat text COLLATE "C" NOT NULL REFERENCES seat (name),
    title text COLLATE "C" NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    form text COLLATE "C" NOT NULL,
    rule text COLLATE "C" NOT NULL CHECK (length(rule) BETWEEN 1 AND 200),
    start_at timestamptz NOT NULL,
    shift text COLLATE "C" NOT NULL CHECK (shift IN ('NONE', 'BEFORE', 'AFTER')),
    state text COLLATE "C" NOT NULL CHECK (state IN ('ACTIVE', 'PAUSED', 'ENDED')),
    next_at timestamptz, -- by the rule
    next_due timestamptz, -- on a working day, if it is to be one
    created_by uuid NOT NULL REFERENCES person (id),
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CHECK ((next_at IS NOT NULL) = (state = 'ACTIVE')),
    CHECK ((next_due IS NOT NULL) = (state = 'ACTIVE'))
);
--bun:split
CREATE INDEX recurrence_seat ON recurrence (seat) WHERE state <> 'ENDED';
--bun:split
CREATE INDEX recurrence_person ON recurrence (created_by);
--bun:split
CREATE TABLE occurrence (
    id uuid PRIMARY KEY,
    recurrence_id uuid NOT NULL REFERENCES recurrence (id),
    at timestamptz NOT NULL, -- by the rule
    state text COLLATE "C" NOT NULL CHECK (state IN ('DUE', 'SENT', 'MISSED', 'SKIPPED')),
    request_id uuid UNIQUE REFERENCES request (id),
    opened_at timestamptz NOT NULL,
    UNIQUE (recurrence_id, at),
    CHECK ((request_id IS NOT NULL) = (state = 'SENT'))
);
--bun:split
CREATE FUNCTION workflow_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$;
--bun:split
CREATE TRIGGER event_frozen BEFORE UPDATE OR DELETE ON event FOR EACH ROW EXECUTE FUNCTION workflow_refuse();
--bun:split
CREATE TRIGGER decision_frozen BEFORE UPDATE OR DELETE ON decision FOR EACH ROW EXECUTE FUNCTION workflow_refuse();
--bun:split
CREATE TRIGGER revision_frozen BEFORE UPDATE OR DELETE ON revision FOR EACH ROW EXECUTE FUNCTION workflow_refuse();
--bun:split
CREATE FUNCTION version_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a published version never changes'; END $$;
--bun:split
CREATE TRIGGER version_frozen_update BEFORE UPDATE ON version FOR EACH ROW
    WHEN (OLD.state <> 'DRAFT' AND (NEW.definition <> OLD.definition OR NEW.n <> OLD.n OR NEW.hash <> OLD.hash OR NEW.source <> OLD.source
        OR NEW.builtin <> OLD.builtin OR NEW.published_at <> OLD.published_at OR NEW.state = 'DRAFT'))
    EXECUTE FUNCTION version_refuse();
--bun:split
CREATE TRIGGER version_frozen_delete BEFORE DELETE ON version FOR EACH ROW WHEN (OLD.state <> 'DRAFT') EXECUTE FUNCTION version_refuse();
