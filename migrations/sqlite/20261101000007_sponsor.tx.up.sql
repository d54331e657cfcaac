CREATE TABLE organisation (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('COMPANY', 'UNIVERSITY', 'CLUB')),
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 100),
    search TEXT NOT NULL,
    touched_at TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE sponsor_contact (
    id TEXT PRIMARY KEY,
    organisation TEXT NOT NULL REFERENCES organisation (id),
    created_at TIMESTAMP NOT NULL
);
--bun:split
CREATE INDEX sponsor_contact_organisation ON sponsor_contact (organisation);
--bun:split
CREATE TABLE pledge (
    id TEXT PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    organisation TEXT NOT NULL REFERENCES organisation (id),
    kind TEXT NOT NULL CHECK (kind IN ('CASH', 'GOODS', 'SERVICE')),
    state TEXT NOT NULL CHECK (state IN ('LEAD', 'CONTACTED', 'NEGOTIATING', 'AGREED', 'RECEIVED', 'DELIVERED', 'THANKED', 'LOST')),
    owner TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount BETWEEN 0 AND 1000000000),
    received INTEGER NOT NULL CHECK (received BETWEEN 0 AND 1000000000),
    allocated INTEGER NOT NULL CHECK (allocated BETWEEN 0 AND received),
    returns TEXT NOT NULL CHECK (length(returns) <= 500),
    due_at TIMESTAMP,
    voucher TEXT UNIQUE CHECK (length(voucher) BETWEEN 1 AND 100),
    received_at TIMESTAMP,
    received_by TEXT,
    reason TEXT CHECK (length(reason) <= 500),
    version INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL,
    changed_at TIMESTAMP NOT NULL,
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
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('RECEIVE', 'ALLOCATE', 'RETURN', 'SPEND')),
    from_account TEXT NOT NULL,
    to_account TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0),
    pledge TEXT REFERENCES pledge (id),
    purchase TEXT REFERENCES purchase (id),
    reverses TEXT UNIQUE REFERENCES ledger_entry (id),
    voucher TEXT,
    actor TEXT,
    at TIMESTAMP NOT NULL,
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
CREATE TRIGGER ledger_frozen_update BEFORE UPDATE ON ledger_entry BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
--bun:split
CREATE TRIGGER ledger_frozen_delete BEFORE DELETE ON ledger_entry BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
--bun:split
CREATE TABLE thanks (
    id TEXT PRIMARY KEY,
    pledge TEXT NOT NULL REFERENCES pledge (id),
    purchase TEXT NOT NULL REFERENCES purchase (id),
    entry TEXT NOT NULL UNIQUE REFERENCES ledger_entry (id),
    owed_at TIMESTAMP NOT NULL,
    done_at TIMESTAMP,
    done_by TEXT,
    void_at TIMESTAMP,
    CHECK ((done_at IS NULL) = (done_by IS NULL)),
    CHECK (void_at IS NULL OR done_at IS NULL)
);
--bun:split
CREATE INDEX thanks_pledge ON thanks (pledge);
--bun:split
CREATE INDEX thanks_purchase ON thanks (purchase);
--bun:split
CREATE INDEX thanks_owed ON thanks (owed_at) WHERE done_at IS NULL AND void_at IS NULL;
