CREATE TABLE setting (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE lease (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    until TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE idempotency (
    actor TEXT NOT NULL,
    mutation TEXT NOT NULL,
    key TEXT NOT NULL,
    input_hash TEXT NOT NULL,
    outcome TEXT,
    at TIMESTAMP NOT NULL,
    PRIMARY KEY (actor, mutation, key)
);
--bun:split
CREATE INDEX idempotency_at ON idempotency (at);
--bun:split
CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
);
--bun:split
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    topic TEXT NOT NULL,
    consumer TEXT NOT NULL,
    feed BOOLEAN NOT NULL,
    queue TEXT NOT NULL,
    aggregate TEXT,
    version INTEGER NOT NULL DEFAULT 0,
    payload TEXT NOT NULL,
    owner TEXT,
    name TEXT,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'done', 'dead', 'void')),
    attempt INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    due_at TIMESTAMP NOT NULL,
    sent_at TIMESTAMP,
    done_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000+00:00','now')),
    CHECK ((owner IS NULL) = (name IS NULL))
);
--bun:split
CREATE INDEX outbox_pending ON outbox (queue, due_at) WHERE state = 'pending';
--bun:split
CREATE INDEX outbox_sent ON outbox (queue, sent_at) WHERE state = 'sent';
--bun:split
CREATE UNIQUE INDEX outbox_timer ON outbox (owner, name) WHERE owner IS NOT NULL AND state IN ('pending', 'sent');
--bun:split
CREATE INDEX outbox_created ON outbox (created_at);
--bun:split
CREATE INDEX outbox_hook ON outbox (aggregate, version) WHERE consumer = 'webhook' AND state IN ('pending', 'sent');
--bun:split
CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    event TEXT NOT NULL,
    channel TEXT NOT NULL,
    recipient TEXT,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'skipped')),
    reason TEXT,
    attempt INTEGER NOT NULL DEFAULT 0,
    lease_until TIMESTAMP,
    possible_duplicate INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMP NOT NULL,
    sent_at TIMESTAMP
);
--bun:split
CREATE INDEX delivery_event ON delivery (event);
--bun:split
CREATE TABLE link (
    from_kind TEXT NOT NULL,
    from_id TEXT NOT NULL,
    to_kind TEXT NOT NULL,
    to_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at TIMESTAMP NOT NULL,
    PRIMARY KEY (from_id, to_id, kind)
);
--bun:split
CREATE INDEX link_back ON link (to_id, from_id);
--bun:split
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    at TIMESTAMP NOT NULL,
    recorded_at TIMESTAMP NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f000+00:00','now')),
    actor TEXT,
    seat TEXT NOT NULL,
    action TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id TEXT,
    data TEXT NOT NULL
);
--bun:split
CREATE INDEX audit_object ON audit (object_id, seq);
--bun:split
CREATE TABLE audit_seal (
    seq INTEGER PRIMARY KEY,
    audit_id TEXT NOT NULL UNIQUE REFERENCES audit (id),
    prev TEXT NOT NULL,
    hash TEXT NOT NULL,
    at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE audit_checkpoint (
    seq INTEGER PRIMARY KEY REFERENCES audit_seal (seq),
    note TEXT NOT NULL,
    at TIMESTAMP NOT NULL
);
--bun:split
CREATE TRIGGER audit_frozen_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
--bun:split
CREATE TRIGGER audit_frozen_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
--bun:split
CREATE TRIGGER audit_seal_frozen_update BEFORE UPDATE ON audit_seal BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
--bun:split
CREATE TRIGGER audit_seal_frozen_delete BEFORE DELETE ON audit_seal BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
--bun:split
CREATE TRIGGER audit_checkpoint_frozen_update BEFORE UPDATE ON audit_checkpoint BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
--bun:split
CREATE TRIGGER audit_checkpoint_frozen_delete BEFORE DELETE ON audit_checkpoint BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
