CREATE TABLE item (
    id TEXT PRIMARY KEY,
    code TEXT NOT NULL UNIQUE CHECK (length(code) BETWEEN 1 AND 40),
    kind TEXT NOT NULL CHECK (kind IN ('EQUIPMENT', 'STOCK')),
    name_zh TEXT NOT NULL CHECK (length(name_zh) BETWEEN 1 AND 100),
    name_en TEXT NOT NULL CHECK (length(name_en) <= 200),
    quantity INTEGER NOT NULL CHECK (quantity >= 0),
    unit TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE place (
    id TEXT PRIMARY KEY,
    code TEXT NOT NULL UNIQUE CHECK (length(code) BETWEEN 1 AND 40),
    kind TEXT NOT NULL CHECK (kind IN ('ROOM', 'BOARD')),
    name_zh TEXT NOT NULL CHECK (length(name_zh) BETWEEN 1 AND 100),
    name_en TEXT NOT NULL CHECK (length(name_en) <= 200),
    campus TEXT NOT NULL,
    seats INTEGER NOT NULL CHECK (seats >= 0),
    unit TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE reservation (
    id TEXT PRIMARY KEY,
    place TEXT REFERENCES place (id),
    item TEXT REFERENCES item (id),
    quantity INTEGER NOT NULL CHECK (quantity >= 1),
    from_at TIMESTAMP NOT NULL,
    until_at TIMESTAMP NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('HELD', 'RESERVED', 'RELEASED')),
    request TEXT,
    owner TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    released_at TIMESTAMP,
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
CREATE TRIGGER reservation_place_insert AFTER INSERT ON reservation
WHEN NEW.place IS NOT NULL AND NEW.state <> 'RELEASED' AND EXISTS (SELECT 1 FROM reservation AS r WHERE r.place = NEW.place AND r.id <> NEW.id
    AND r.state <> 'RELEASED' AND r.from_at < NEW.until_at AND r.until_at > NEW.from_at)
BEGIN SELECT RAISE(ABORT, 'reservation: the place is taken at that time'); END;
--bun:split
CREATE TRIGGER reservation_place_update AFTER UPDATE OF place, from_at, until_at, state ON reservation
WHEN NEW.place IS NOT NULL AND NEW.state <> 'RELEASED' AND EXISTS (SELECT 1 FROM reservation AS r WHERE r.place = NEW.place AND r.id <> NEW.id
    AND r.state <> 'RELEASED' AND r.from_at < NEW.until_at AND r.until_at > NEW.from_at)
BEGIN SELECT RAISE(ABORT, 'reservation: the place is taken at that time'); END;
--bun:split
CREATE TRIGGER reservation_item_insert AFTER INSERT ON reservation
WHEN NEW.item IS NOT NULL AND NEW.state <> 'RELEASED' AND EXISTS (SELECT 1 FROM reservation AS p WHERE p.item = NEW.item AND p.state <> 'RELEASED'
    AND (p.id = NEW.id OR p.from_at > NEW.from_at AND p.from_at < NEW.until_at)
    AND (SELECT sum(r.quantity) FROM reservation AS r WHERE r.item = NEW.item AND r.state <> 'RELEASED' AND r.from_at <= p.from_at AND r.until_at > p.from_at)
        > (SELECT quantity FROM item WHERE id = NEW.item))
BEGIN SELECT RAISE(ABORT, 'reservation: not enough of the item at that time'); END;
--bun:split
CREATE TRIGGER reservation_item_update AFTER UPDATE OF item, quantity, from_at, until_at, state ON reservation
WHEN NEW.item IS NOT NULL AND NEW.state <> 'RELEASED' AND EXISTS (SELECT 1 FROM reservation AS p WHERE p.item = NEW.item AND p.state <> 'RELEASED'
    AND (p.id = NEW.id OR p.from_at > NEW.from_at AND p.from_at < NEW.until_at)
    AND (SELECT sum(r.quantity) FROM reservation AS r WHERE r.item = NEW.item AND r.state <> 'RELEASED' AND r.from_at <= p.from_at AND r.until_at > p.from_at)
        > (SELECT quantity FROM item WHERE id = NEW.item))
BEGIN SELECT RAISE(ABORT, 'reservation: not enough of the item at that time'); END;
--bun:split
CREATE TABLE purchase (
    id TEXT PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL UNIQUE,
    ticket TEXT,
    owner TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('APPROVED', 'FUNDED', 'ORDERED', 'ARRIVED', 'CANCELLED')),
    total INTEGER NOT NULL CHECK (total BETWEEN 1 AND 1000000000),
    funded INTEGER NOT NULL CHECK (funded BETWEEN 0 AND total),
    reason TEXT CHECK (length(reason) <= 500),
    version INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL,
    changed_at TIMESTAMP NOT NULL,
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
    purchase TEXT NOT NULL REFERENCES purchase (id),
    no INTEGER NOT NULL CHECK (no >= 1),
    item TEXT REFERENCES item (id),
    name TEXT NOT NULL CHECK (length(name) <= 200),
    quantity INTEGER NOT NULL CHECK (quantity >= 1),
    amount INTEGER NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (purchase, no)
);
--bun:split
CREATE INDEX purchase_line_item ON purchase_line (item) WHERE item IS NOT NULL;
--bun:split
CREATE TABLE seal_use (
    id TEXT PRIMARY KEY,
    request TEXT NOT NULL UNIQUE,
    number TEXT NOT NULL CHECK (length(number) <= 40),
    seal TEXT NOT NULL CHECK (length(seal) BETWEEN 1 AND 40),
    title TEXT NOT NULL CHECK (length(title) <= 200),
    recipient TEXT NOT NULL CHECK (length(recipient) <= 200),
    copies INTEGER NOT NULL CHECK (copies >= 1),
    sha256 TEXT NOT NULL CHECK (length(sha256) <= 64),
    requester TEXT NOT NULL,
    unit TEXT NOT NULL,
    sealed_at TIMESTAMP NOT NULL
);
--bun:split
CREATE INDEX seal_use_time ON seal_use (sealed_at DESC, id DESC);
