CREATE TABLE setting (
    name text COLLATE "C" PRIMARY KEY,
    value text NOT NULL,
    at timestamptz NOT NULL
);
--bun:split
CREATE TABLE lease (
    name text COLLATE "C" PRIMARY KEY,
    owner text NOT NULL,
    until timestamptz NOT NULL
);
--bun:split
CREATE TABLE idempotency (
    actor text COLLATE "C" NOT NULL,
    mutation text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    input_hash text NOT NULL,
    outcome text,
    at timestamptz NOT NULL,
    PRIMARY KEY (actor, mutation, key)
);
--bun:split
CREATE INDEX idempotency_at ON idempotency (at);
--bun:split
CREATE TABLE counter (
    name text COLLATE "C" PRIMARY KEY,
    value bigint NOT NULL
);
--bun:split
CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    id uuid PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    topic text COLLATE "C" NOT NULL,
    consumer text COLLATE "C" NOT NULL,
    feed boolean NOT NULL,
    queue text COLLATE "C" NOT NULL,
    aggregate uuid,
    version bigint NOT NULL DEFAULT 0,
    payload text NOT NULL,
    owner uuid,
    name text COLLATE "C",
    state text NOT NULL CHECK (state IN ('pending', 'sent', 'done', 'dead', 'void')),
    attempt integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    error text,
    due_at timestamptz NOT NULL,
    sent_at timestamptz,
    done_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((owner IS NULL) = (name IS NULL))
);
--bun:split
CREATE INDEX outbox_pending ON outbox (queue, due_at) WHERE state = 'pending';
--bun:split
CREATE INDEX outbox_sent ON outbox (queue, sent_at) WHERE state = 'sent';
--bun:split
CREATE UNIQUE INDEX outbox_timer ON outbox (owner, name) WHERE owner IS NOT NULL AND state IN ('pending', 'sent');
--bun:split
CREATE INDEX outbox_feed ON outbox (xid, seq) WHERE feed;
--bun:split
CREATE INDEX outbox_created ON outbox (created_at);
--bun:split
CREATE INDEX outbox_hook ON outbox (aggregate, version) WHERE consumer = 'webhook' AND state IN ('pending', 'sent');
--bun:split
CREATE TABLE delivery (
    id uuid PRIMARY KEY,
    event uuid NOT NULL,
    channel text COLLATE "C" NOT NULL,
    recipient uuid,
    state text NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'failed', 'skipped')),
    reason text,
    attempt integer NOT NULL DEFAULT 0,
    lease_until timestamptz,
    possible_duplicate integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    sent_at timestamptz
);
--bun:split
CREATE INDEX delivery_event ON delivery (event);
--bun:split
CREATE TABLE link (
    from_kind text COLLATE "C" NOT NULL,
    from_id uuid NOT NULL,
    to_kind text COLLATE "C" NOT NULL,
    to_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (from_id, to_id, kind)
);
--bun:split
CREATE INDEX link_back ON link (to_id, from_id);
--bun:split
CREATE TABLE audit (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    id uuid PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor uuid,
    seat text COLLATE "C" NOT NULL,
    action text COLLATE "C" NOT NULL,
    object_kind text COLLATE "C" NOT NULL,
    object_id uuid,
    data text NOT NULL
);
--bun:split
CREATE INDEX audit_order ON audit (xid, seq);
--bun:split
CREATE INDEX audit_object ON audit (object_id, seq);
--bun:split
CREATE TABLE audit_seal (
    seq bigint PRIMARY KEY,
    audit_id uuid NOT NULL UNIQUE REFERENCES audit (id),
    prev text NOT NULL,
    hash text NOT NULL,
    at timestamptz NOT NULL
);
--bun:split
CREATE TABLE audit_checkpoint (
    seq bigint PRIMARY KEY REFERENCES audit_seal (seq),
    note text NOT NULL,
    at timestamptz NOT NULL
);
--bun:split
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
--bun:split
CREATE TRIGGER audit_frozen BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_refuse();
--bun:split
CREATE TRIGGER audit_seal_frozen BEFORE UPDATE OR DELETE ON audit_seal FOR EACH ROW EXECUTE FUNCTION audit_refuse();
--bun:split
CREATE TRIGGER audit_checkpoint_frozen BEFORE UPDATE OR DELETE ON audit_checkpoint FOR EACH ROW EXECUTE FUNCTION audit_refuse();
