CREATE TABLE item (
    id uuid PRIMARY KEY,
    code text COLLATE "C" NOT NULL UNIQUE CHECK (length(code) BETWEEN 1 AND 40),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('EQUIPMENT', 'STOCK')),
    name_zh text NOT NULL CHECK (length(name_zh) BETWEEN 1 AND 100),
    name_en text NOT NULL CHECK (length(name_en) <= 200),
    quantity bigint NOT NULL CHECK (quantity >= 0),
    unit text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL
);
--bun:split
CREATE TABLE place (
    id uuid PRIMARY KEY,
    code text COLLATE "C" NOT NULL UNIQUE CHECK (length(code) BETWEEN 1 AND 40),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('ROOM', 'BOARD')),
    name_zh text NOT NULL CHECK (length(name_zh) BETWEEN 1 AND 100),
    name_en text NOT NULL CHECK (length(name_en) <= 200),
    campus text COLLATE "C" NOT NULL,
    seats integer NOT NULL CHECK (seats >= 0),
    unit text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL
);
--bun:split
CREATE TABLE reservation (
    id uuid PRIMARY KEY,
    place uuid REFERENCES place (id),
    item uuid REFERENCES item (id),
    quantity bigint NOT NULL CHECK (quantity >= 1),
    from_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('HELD', 'RESERVED', 'RELEASED')),
    request uuid,
    owner uuid NOT NULL,
    created_at timestamptz NOT NULL,
    released_at timestamptz,
    CHECK (until_at > from_at),
    CHECK ((place IS NULL) <> (item IS NULL)),
    CHECK (place IS NULL OR quantity = 1),
    CHECK ((state = 'RELEASED') = (released_at IS NOT NULL))
);
--bun:split
CREATE INDEX reservation_place ON reservation (place, from_at) WHERE state <> 'RELEASED';
--bun:split
CREATE INDEX reservation_item ON reservation (item, from_at) WHERE state <> 'RELEASED';
--bun:split
CREATE INDEX reservation_request ON reservation (request);
--bun:split
CREATE INDEX reservation_owner ON reservation (owner, created_at);
--bun:split
CREATE TYPE uuid_range AS RANGE (subtype = uuid);
--bun:split
ALTER TABLE reservation ADD CONSTRAINT reservation_place_once EXCLUDE USING gist
    (uuid_range(place, place, '[]') WITH &&, tstzrange(from_at, until_at) WITH &&) WHERE (place IS NOT NULL AND state <> 'RELEASED');
--bun:split
CREATE FUNCTION reservation_fits() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE have bigint;
BEGIN
    SELECT quantity INTO have FROM item WHERE id = NEW.item FOR UPDATE;
    IF EXISTS (SELECT 1 FROM reservation AS p WHERE p.item = NEW.item AND p.state <> 'RELEASED'
        AND (p.id = NEW.id OR p.from_at > NEW.from_at AND p.from_at < NEW.until_at)
        AND (SELECT sum(r.quantity) FROM reservation AS r WHERE r.item = NEW.item AND r.state <> 'RELEASED' AND r.from_at <= p.from_at AND r.until_at > p.from_at) > have) THEN
        RAISE EXCEPTION 'reservation: not enough of the item at that time' USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$;
--bun:split
CREATE TRIGGER reservation_item AFTER INSERT OR UPDATE OF item, quantity, from_at, until_at, state ON reservation
    FOR EACH ROW WHEN (NEW.item IS NOT NULL AND NEW.state <> 'RELEASED') EXECUTE FUNCTION reservation_fits();
--bun:split
CREATE TABLE purchase (
    id uuid PRIMARY KEY,
    number text COLLATE "C" NOT NULL UNIQUE,
    request uuid NOT NULL UNIQUE,
    ticket uuid,
    owner uuid NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('APPROVED', 'FUNDED', 'ORDERED', 'ARRIVED', 'CANCELLED')),
    total bigint NOT NULL CHECK (total BETWEEN 1 AND 1000000000),
    funded bigint NOT NULL CHECK (funded BETWEEN 0 AND total),
    reason text CHECK (length(reason) <= 500),
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CHECK (state NOT IN ('FUNDED', 'ORDERED', 'ARRIVED') OR funded = total),
    CHECK ((state = 'CANCELLED') = (reason IS NOT NULL))
);
--bun:split
CREATE INDEX purchase_created ON purchase (created_at DESC, id DESC);
--bun:split
CREATE INDEX purchase_owner ON purchase (owner, created_at);
--bun:split
CREATE INDEX purchase_ticket ON purchase (ticket) WHERE ticket IS NOT NULL;
--bun:split
CREATE INDEX purchase_open ON purchase (state, created_at) WHERE state IN ('APPROVED', 'FUNDED', 'ORDERED');
--bun:split
CREATE TABLE purchase_line (
    purchase uuid NOT NULL REFERENCES purchase (id),
    no integer NOT NULL CHECK (no >= 1),
    item uuid REFERENCES item (id),
    name text NOT NULL CHECK (length(name) <= 200),
    quantity bigint NOT NULL CHECK (quantity >= 1),
    amount bigint NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (purchase, no)
);
--bun:split
CREATE INDEX purchase_line_item ON purchase_line (item) WHERE item IS NOT NULL;
--bun:split
CREATE TABLE seal_use (
    id uuid PRIMARY KEY,
    request uuid NOT NULL UNIQUE,
    number text NOT NULL CHECK (length(number) <= 40),
    seal text COLLATE "C" NOT NULL CHECK (length(seal) BETWEEN 1 AND 40),
    title text NOT NULL CHECK (length(title) <= 200),
    recipient text NOT NULL CHECK (length(recipient) <= 200),
    copies bigint NOT NULL CHECK (copies >= 1),
    sha256 text COLLATE "C" NOT NULL CHECK (length(sha256) <= 64),
    requester uuid NOT NULL,
    unit text COLLATE "C" NOT NULL,
    sealed_at timestamptz NOT NULL
);
--bun:split
CREATE INDEX seal_use_time ON seal_use (sealed_at DESC, id DESC);
