CREATE TABLE definition (
    key TEXT PRIMARY KEY CHECK (length(key) BETWEEN 3 AND 80),
    owner TEXT NOT NULL CHECK (length(owner) BETWEEN 1 AND 80),
    created_at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE version (
    id TEXT PRIMARY KEY,
    definition TEXT NOT NULL REFERENCES definition (key),
    n INTEGER NOT NULL CHECK (n >= 1),
    hash TEXT NOT NULL CHECK (length(hash) = 64),
    source TEXT NOT NULL CHECK (length(source) BETWEEN 1 AND 200000),
    state TEXT NOT NULL CHECK (state IN ('DRAFT', 'PUBLISHED', 'RETIRED')),
    report TEXT NOT NULL DEFAULT '', -- of the proof, JSON; empty: not proven yet
    builtin BOOLEAN NOT NULL,
    published_at TIMESTAMP,
    published_by TEXT REFERENCES person (id),
    retired_at TIMESTAMP,
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
    id TEXT PRIMARY KEY,
    series TEXT NOT NULL CHECK (length(series) BETWEEN 1 AND 20),
    year INTEGER NOT NULL CHECK (year BETWEEN 2000 AND 2999),
    serial INTEGER CHECK (serial >= 1),
    definition TEXT NOT NULL REFERENCES definition (key),
    version_id TEXT NOT NULL REFERENCES version (id),
    requester TEXT NOT NULL REFERENCES person (id),
    unit TEXT NOT NULL REFERENCES unit (code),
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    status TEXT NOT NULL CHECK (status IN ('OPEN', 'RETURNED', 'APPROVED', 'REJECTED', 'WITHDRAWN', 'STOPPED', 'SUPERSEDED', 'EXPIRED')),
    urgent BOOLEAN NOT NULL DEFAULT FALSE,
    form_rev INTEGER NOT NULL CHECK (form_rev >= 1),
    form TEXT NOT NULL,
    apart TEXT NOT NULL,
    state TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq >= 1),
    head TEXT NOT NULL CHECK (length(head) = 64),
    verify_code TEXT NOT NULL UNIQUE CHECK (length(verify_code) >= 16),
    search TEXT NOT NULL,
    opened_at TIMESTAMP NOT NULL,
    changed_at TIMESTAMP NOT NULL,
    closed_at TIMESTAMP,
    amends TEXT REFERENCES request (id),
    close_out_due TIMESTAMP,
    closed_out_at TIMESTAMP,
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
    request_id TEXT PRIMARY KEY REFERENCES request (id),
    problems TEXT NOT NULL, -- one on a line; names of fields, no values
    found_at TIMESTAMP NOT NULL,
    checked_at TIMESTAMP NOT NULL,
    mended_at TIMESTAMP
);
--bun:split
CREATE INDEX mismatch_open ON mismatch (checked_at) WHERE mended_at IS NULL;
--bun:split
CREATE TABLE watcher (
    request_id TEXT NOT NULL REFERENCES request (id),
    person TEXT NOT NULL REFERENCES person (id),
    at TIMESTAMP NOT NULL,
    PRIMARY KEY (request_id, person)
);
--bun:split
CREATE INDEX watcher_person ON watcher (person);
--bun:split
CREATE TABLE close_out (
    request_id TEXT PRIMARY KEY REFERENCES request (id),
    form TEXT NOT NULL,
    by_person TEXT NOT NULL REFERENCES person (id),
    at TIMESTAMP NOT NULL
);
--bun:split
CREATE INDEX close_out_person ON close_out (by_person);
--bun:split
CREATE TABLE used_once (
    definition TEXT NOT NULL REFERENCES definition (key),
    field TEXT NOT NULL,
    value TEXT NOT NULL CHECK (length(value) BETWEEN 1 AND 200),
    request_id TEXT NOT NULL REFERENCES request (id),
    PRIMARY KEY (definition, field, value)
);
--bun:split
CREATE INDEX used_once_request ON used_once (request_id);
--bun:split
CREATE TABLE revision (
    request_id TEXT NOT NULL REFERENCES request (id),
    rev INTEGER NOT NULL CHECK (rev >= 1),
    form TEXT NOT NULL,
    apart TEXT NOT NULL,
    digests TEXT NOT NULL,
    by_person TEXT NOT NULL REFERENCES person (id),
    at TIMESTAMP NOT NULL,
    PRIMARY KEY (request_id, rev)
);
--bun:split
CREATE INDEX revision_person ON revision (by_person);
--bun:split
CREATE TABLE task (
    id TEXT PRIMARY KEY,
    request_id TEXT NOT NULL REFERENCES request (id),
    definition TEXT NOT NULL REFERENCES definition (key),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 3 AND 80),
    step TEXT NOT NULL,
    round INTEGER NOT NULL CHECK (round >= 1),
    person TEXT NOT NULL REFERENCES person (id),
    for_person TEXT REFERENCES person (id),
    seat TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('rule', 'dedupe', 'carry', 'escalate', 'refresh', 'widen', 'transfer', 'signer', 'undo', 'amend', 'replace')),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'open', 'done', 'void')),
    verdict TEXT NOT NULL DEFAULT '' CHECK (verdict IN ('', 'approve', 'reject', 'abstain', 'send_back')),
    opened_at TIMESTAMP NOT NULL,
    due_at TIMESTAMP,
    closed_at TIMESTAMP,
    closed_by TEXT REFERENCES person (id),
    took INTEGER CHECK (took >= 0),
    within TEXT NOT NULL DEFAULT '',
    optional BOOLEAN NOT NULL DEFAULT FALSE,
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
    id TEXT PRIMARY KEY,
    request_id TEXT NOT NULL REFERENCES request (id),
    task_id TEXT NOT NULL UNIQUE REFERENCES task (id),
    person TEXT REFERENCES person (id),
    for_person TEXT REFERENCES person (id),
    seat TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('approve', 'reject', 'abstain', 'send_back')),
    target TEXT NOT NULL DEFAULT '',
    form_rev INTEGER NOT NULL CHECK (form_rev >= 1),
    read_digest TEXT NOT NULL,
    door TEXT NOT NULL CHECK (door IN ('console', 'link', 'paper', 'timer')),
    carried_from TEXT REFERENCES task (id),
    recorder TEXT REFERENCES person (id),
    scan TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    at TIMESTAMP NOT NULL,
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
    request_id TEXT NOT NULL REFERENCES request (id),
    seq INTEGER NOT NULL CHECK (seq >= 1),
    type TEXT NOT NULL,
    at TIMESTAMP NOT NULL,
    body TEXT NOT NULL,
    prev TEXT NOT NULL CHECK (length(prev) = 64),
    hash TEXT NOT NULL CHECK (length(hash) = 64),
    PRIMARY KEY (request_id, seq)
);
--bun:split
CREATE TABLE decision_link (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
    request_id TEXT NOT NULL REFERENCES request (id),
    task_id TEXT NOT NULL REFERENCES task (id),
    person TEXT NOT NULL REFERENCES person (id),
    form_rev INTEGER NOT NULL CHECK (form_rev >= 1),
    issued_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL CHECK (expires_at > issued_at),
    used_at TIMESTAMP,
    code_at TIMESTAMP,
    code_sent INTEGER NOT NULL DEFAULT 0 CHECK (code_sent BETWEEN 0 AND 5),
    code_tries INTEGER NOT NULL DEFAULT 0 CHECK (code_tries BETWEEN 0 AND 5),
    UNIQUE (task_id, form_rev)
);
--bun:split
CREATE INDEX decision_link_request ON decision_link (request_id);
--bun:split
CREATE INDEX decision_link_person ON decision_link (person);
--bun:split
CREATE TABLE recurrence (
    id TEXT PRIMARY KEY,
    definition TEXT NOT NULL REFERENCES definition (key),
    unit TEXT NOT NULL REFERENCES unit (code),
    seat TEXT NOT NULL REFERENCES seat (name),
    title TEXT NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    form TEXT NOT NULL,
    rule TEXT NOT NULL CHECK (length(rule) BETWEEN 1 AND 200),
    start_at TIMESTAMP NOT NULL,
    shift TEXT NOT NULL CHECK (shift IN ('NONE', 'BEFORE', 'AFTER')),
    state TEXT NOT NULL CHECK (state IN ('ACTIVE', 'PAUSED', 'ENDED')),
    next_at TIMESTAMP, -- by the rule
    next_due TIMESTAMP, -- on a working day, if it is to be one
    created_by TEXT NOT NULL REFERENCES person (id),
    created_at TIMESTAMP NOT NULL,
    changed_at TIMESTAMP NOT NULL,
    CHECK ((next_at IS NOT NULL) = (state = 'ACTIVE')),
    CHECK ((next_due IS NOT NULL) = (state = 'ACTIVE'))
);
--bun:split
CREATE INDEX recurrence_seat ON recurrence (seat) WHERE state <> 'ENDED';
--bun:split
CREATE INDEX recurrence_person ON recurrence (created_by);
--bun:split
CREATE TABLE occurrence (
    id TEXT PRIMARY KEY,
    recurrence_id TEXT NOT NULL REFERENCES recurrence (id),
    at TIMESTAMP NOT NULL, -- by the rule
    state TEXT NOT NULL CHECK (state IN ('DUE', 'SENT', 'MISSED', 'SKIPPED')),
    request_id TEXT UNIQUE REFERENCES request (id),
    opened_at TIMESTAMP NOT NULL,
    UNIQUE (recurrence_id, at),
    CHECK ((request_id IS NOT NULL) = (state = 'SENT'))
);
--bun:split
CREATE TRIGGER event_frozen_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'event is append-only'); END;
--bun:split
CREATE TRIGGER event_frozen_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'event is append-only'); END;
--bun:split
CREATE TRIGGER decision_frozen_update BEFORE UPDATE ON decision BEGIN SELECT RAISE(ABORT, 'decision is append-only'); END;
--bun:split
CREATE TRIGGER decision_frozen_delete BEFORE DELETE ON decision BEGIN SELECT RAISE(ABORT, 'decision is append-only'); END;
--bun:split
CREATE TRIGGER revision_frozen_update BEFORE UPDATE ON revision BEGIN SELECT RAISE(ABORT, 'revision is append-only'); END;
--bun:split
CREATE TRIGGER revision_frozen_delete BEFORE DELETE ON revision BEGIN SELECT RAISE(ABORT, 'revision is append-only'); END;
--bun:split
CREATE TRIGGER version_frozen_update BEFORE UPDATE ON version
WHEN OLD.state <> 'DRAFT' AND (NEW.definition <> OLD.definition OR NEW.n <> OLD.n OR NEW.hash <> OLD.hash OR NEW.source <> OLD.source
    OR NEW.builtin <> OLD.builtin OR NEW.published_at <> OLD.published_at OR NEW.state = 'DRAFT')
BEGIN SELECT RAISE(ABORT, 'a published version never changes'); END;
--bun:split
CREATE TRIGGER version_frozen_delete BEFORE DELETE ON version WHEN OLD.state <> 'DRAFT'
BEGIN SELECT RAISE(ABORT, 'a published version never changes'); END;
