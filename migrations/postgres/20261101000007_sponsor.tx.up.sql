CREATE TABLE organisation (
    id uuid PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('COMPANY', 'UNIVERSITY', 'CLUB')),
    name text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    search text COLLATE "C" NOT NULL,
    touched_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
--bun:split
CREATE TABLE sponsor_contact (
    id uuid PRIMARY KEY,
    organisation uuid NOT NULL REFERENCES organisation (id),
    created_at timestamptz NOT NULL
);
--bun:split
CREATE INDEX sponsor_contact_organisation ON sponsor_contact (organisation);
--bun:split
CREATE TABLE pledge (
    id uuid PRIMARY KEY,
    number text COLLATE "C" NOT NULL UNIQUE,
    organisation uuid NOT NULL REFERENCES organisation (id),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('CASH', 'GOODS', 'SERVICE')),
    state text COLLATE "C" NOT NULL CHECK (state IN ('LEAD', 'CONTACTED', 'NEGOTIATING', 'AGREED', 'RECEIVED', 'DELIVERED', 'THANKED', 'LOST')),
    owner uuid NOT NULL,
    amount bigint NOT NULL CHECK (amount BETWEEN 0 AND 1000000000),
    received bigint NOT NULL CHECK (received BETWEEN 0 AND 1000000000),
    allocated bigint NOT NULL CHECK (allocated BETWEEN 0 AND received),
    returns text NOT NULL CHECK (length(returns) <= 500),
    due_at timestamptz,
    voucher text COLLATE "C" UNIQUE CHECK (length(voucher) BETWEEN 1 AND 100),
    received_at timestamptz,
    received_by uuid,
    reason text CHECK (length(reason) <= 500),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CHECK ((state IN ('RECEIVED', 'DELIVERED', 'THANKED')) = (received > 0)),
    CHECK ((received > 0) = (voucher IS NOT NULL)),
    CHECK (received = 0 OR received_by <> owner),
    CHECK (kind = 'CASH' OR allocated = 0),
    CHECK (state <> 'AGREED' OR due_at IS NOT NULL),
    CHECK ((state = 'LOST') = (reason IS NOT NULL))
);
--bun:split
CREATE INDEX pledge_organisation ON pledge (organisation);
--bun:split
CREATE INDEX pledge_created ON pledge (created_at DESC, id DESC);
--bun:split
CREATE INDEX pledge_due ON pledge (due_at) WHERE state = 'AGREED';
--bun:split
CREATE TABLE ledger_entry (
    id uuid PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('RECEIVE', 'ALLOCATE', 'RETURN', 'SPEND')),
    from_account text COLLATE "C" NOT NULL,
    to_account text COLLATE "C" NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    pledge uuid REFERENCES pledge (id),
    purchase uuid REFERENCES purchase (id),
    reverses uuid UNIQUE REFERENCES ledger_entry (id),
    voucher text COLLATE "C",
    actor uuid,
    at timestamptz NOT NULL,
    CHECK (from_account <> to_account),
    CHECK ((kind IN ('RETURN', 'SPEND')) = (reverses IS NOT NULL)),
    CHECK ((kind = 'RECEIVE') = (purchase IS NULL))
);
--bun:split
CREATE INDEX ledger_entry_at ON ledger_entry (at DESC, id DESC);
--bun:split
CREATE INDEX ledger_entry_pledge ON ledger_entry (pledge);
--bun:split
CREATE INDEX ledger_entry_purchase ON ledger_entry (purchase);
--bun:split
CREATE VIEW ledger_leg AS
    SELECT id AS entry, from_account AS account, -amount AS amount FROM ledger_entry
    UNION ALL SELECT id, to_account, amount FROM ledger_entry;
--bun:split
CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$;
--bun:split
CREATE TRIGGER ledger_frozen BEFORE UPDATE OR DELETE ON ledger_entry FOR EACH ROW EXECUTE FUNCTION ledger_refuse();
--bun:split
CREATE TABLE thanks (
    id uuid PRIMARY KEY,
    pledge uuid NOT NULL REFERENCES pledge (id),
    purchase uuid NOT NULL REFERENCES purchase (id),
    entry uuid NOT NULL UNIQUE REFERENCES ledger_entry (id),
    owed_at timestamptz NOT NULL,
    done_at timestamptz,
    done_by uuid,
    void_at timestamptz,
    CHECK ((done_at IS NULL) = (done_by IS NULL)),
    CHECK (void_at IS NULL OR done_at IS NULL)
);
--bun:split
CREATE INDEX thanks_pledge ON thanks (pledge);
--bun:split
CREATE INDEX thanks_purchase ON thanks (purchase);
--bun:split
CREATE INDEX thanks_owed ON thanks (owed_at) WHERE done_at IS NULL AND void_at IS NULL;
