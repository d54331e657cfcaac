CREATE TABLE account (
    person_id uuid PRIMARY KEY REFERENCES person (id),
    login text COLLATE "C" NOT NULL UNIQUE CHECK (length(login) BETWEEN 1 AND 64),
    password text COLLATE "C" NOT NULL CHECK (password = '' OR password LIKE '_argon2id_%'),
    state text COLLATE "C" NOT NULL CHECK (state IN ('PENDING', 'ACTIVE', 'CLOSED')),
    changed_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL
);
--bun:split
CREATE TABLE session (
    id uuid PRIMARY KEY,
    hash text COLLATE "C" NOT NULL UNIQUE CHECK (length(hash) = 64),
    person_id uuid NOT NULL REFERENCES account (person_id),
    own boolean NOT NULL,
    device text NOT NULL CHECK (length(device) <= 200),
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    sudo_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
--bun:split
CREATE INDEX session_person ON session (person_id, created_at);
--bun:split
CREATE INDEX session_expires ON session (expires_at);
--bun:split
CREATE TABLE api_token (
    id uuid PRIMARY KEY,
    public text COLLATE "C" NOT NULL UNIQUE,
    hash text COLLATE "C" NOT NULL CHECK (length(hash) = 64),
    person_id uuid NOT NULL REFERENCES account (person_id),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    scopes text COLLATE "C" NOT NULL CHECK (scopes <> ''),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CHECK (expires_at > created_at)
);
--bun:split
CREATE INDEX api_token_person ON api_token (person_id, created_at);
--bun:split
CREATE INDEX api_token_expires ON api_token (expires_at);
--bun:split
CREATE TABLE auth_link (
    id uuid PRIMARY KEY,
    hash text COLLATE "C" NOT NULL UNIQUE CHECK (length(hash) = 64),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('SETUP', 'RESET', 'CLAIM', 'VERIFY')),
    person_id uuid REFERENCES person (id),
    contact_id uuid REFERENCES contact (id) ON DELETE CASCADE,
    issued_by uuid REFERENCES person (id),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
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
    id uuid PRIMARY KEY,
    link_id uuid NOT NULL REFERENCES auth_link (id),
    person_id uuid NOT NULL REFERENCES person (id),
    seat_id uuid NOT NULL REFERENCES seat (id),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('FULL', 'ACTING', 'PROBATION')),
    state text COLLATE "C" NOT NULL CHECK (state IN ('WAITING', 'CLAIMED', 'CONFIRMED')),
    created_at timestamptz NOT NULL,
    claimed_at timestamptz,
    confirmed_by uuid REFERENCES person (id),
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
    key text COLLATE "C" PRIMARY KEY,
    fails integer NOT NULL,
    since timestamptz NOT NULL,
    at timestamptz NOT NULL,
    until timestamptz,
    next_at timestamptz
);
--bun:split
CREATE INDEX throttle_at ON throttle (at);
