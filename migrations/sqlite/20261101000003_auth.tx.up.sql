CREATE TABLE account (
    person_id TEXT PRIMARY KEY REFERENCES person (id),
    login TEXT NOT NULL UNIQUE CHECK (length(login) BETWEEN 1 AND 64),
    password TEXT NOT NULL CHECK (password = '' OR password LIKE '_argon2id_%'),
    state TEXT NOT NULL CHECK (state IN ('PENDING', 'ACTIVE', 'CLOSED')),
    changed_at TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE session (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
    person_id TEXT NOT NULL REFERENCES account (person_id),
    own BOOLEAN NOT NULL,
    device TEXT NOT NULL CHECK (length(device) <= 200),
    created_at TIMESTAMP NOT NULL,
    seen_at TIMESTAMP NOT NULL,
    sudo_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);
--bun:split
CREATE INDEX session_person ON session (person_id, created_at);
--bun:split
CREATE INDEX session_expires ON session (expires_at);
--bun:split
CREATE TABLE api_token (
    id TEXT PRIMARY KEY,
    public TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL CHECK (length(hash) = 64),
    person_id TEXT NOT NULL REFERENCES account (person_id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    scopes TEXT NOT NULL CHECK (scopes <> ''),
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    used_at TIMESTAMP,
    CHECK (expires_at > created_at)
);
--bun:split
CREATE INDEX api_token_person ON api_token (person_id, created_at);
--bun:split
CREATE INDEX api_token_expires ON api_token (expires_at);
--bun:split
CREATE TABLE auth_link (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE CHECK (length(hash) = 64),
    kind TEXT NOT NULL CHECK (kind IN ('SETUP', 'RESET', 'CLAIM', 'VERIFY')),
    person_id TEXT REFERENCES person (id),
    contact_id TEXT REFERENCES contact (id) ON DELETE CASCADE,
    issued_by TEXT REFERENCES person (id),
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    used_at TIMESTAMP,
    CHECK ((kind IN ('RESET', 'VERIFY')) = (person_id IS NOT NULL)),
    CHECK ((kind = 'VERIFY') = (contact_id IS NOT NULL))
);
--bun:split
CREATE INDEX auth_link_person ON auth_link (person_id);
--bun:split
CREATE INDEX auth_link_contact ON auth_link (contact_id);
--bun:split
CREATE INDEX auth_link_issued ON auth_link (issued_by);
--bun:split
CREATE INDEX auth_link_expires ON auth_link (expires_at);
--bun:split
CREATE TABLE roster (
    id TEXT PRIMARY KEY,
    link_id TEXT NOT NULL REFERENCES auth_link (id),
    person_id TEXT NOT NULL REFERENCES person (id),
    seat_id TEXT NOT NULL REFERENCES seat (id),
    kind TEXT NOT NULL CHECK (kind IN ('FULL', 'ACTING', 'PROBATION')),
    state TEXT NOT NULL CHECK (state IN ('WAITING', 'CLAIMED', 'CONFIRMED')),
    created_at TIMESTAMP NOT NULL,
    claimed_at TIMESTAMP,
    confirmed_by TEXT REFERENCES person (id),
    CHECK ((state = 'CONFIRMED') = (confirmed_by IS NOT NULL))
);
--bun:split
CREATE UNIQUE INDEX roster_open ON roster (person_id, seat_id) WHERE state <> 'CONFIRMED';
--bun:split
CREATE INDEX roster_link ON roster (link_id);
--bun:split
CREATE INDEX roster_person ON roster (person_id);
--bun:split
CREATE INDEX roster_seat ON roster (seat_id, state);
--bun:split
CREATE INDEX roster_confirmed_by ON roster (confirmed_by);
--bun:split
CREATE TABLE throttle (
    key TEXT PRIMARY KEY,
    fails INTEGER NOT NULL,
    since TIMESTAMP NOT NULL,
    at TIMESTAMP NOT NULL,
    until TIMESTAMP,
    next_at TIMESTAMP
);
--bun:split
CREATE INDEX throttle_at ON throttle (at);
