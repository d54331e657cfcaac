CREATE TABLE unit (
    id TEXT PRIMARY KEY,
    code TEXT NOT NULL UNIQUE CHECK (length(code) BETWEEN 1 AND 80),
    kind TEXT NOT NULL CHECK (kind IN ('LEAGUE_COMMITTEE', 'FEDERATION', 'DEPARTMENT', 'SECTION', 'COLLEGE_DEPARTMENT', 'SOCIETY', 'OUTSIDE')),
    parent TEXT REFERENCES unit (id) CHECK (parent <> id),
    name_zh TEXT NOT NULL CHECK (length(name_zh) BETWEEN 1 AND 100),
    name_en TEXT NOT NULL CHECK (length(name_en) <= 200),
    short_zh TEXT NOT NULL,
    short_en TEXT NOT NULL,
    campus TEXT NOT NULL DEFAULT '',
    college TEXT NOT NULL DEFAULT ''
);
--bun:split
CREATE INDEX unit_parent ON unit (parent);
--bun:split
CREATE INDEX unit_college ON unit (college) WHERE college <> '';
--bun:split
CREATE TABLE seat (
    id TEXT PRIMARY KEY,
    unit_id TEXT NOT NULL REFERENCES unit (id),
    role TEXT NOT NULL CHECK (role IN ('head', 'deputy', 'member', 'advisor', 'chair', 'vice', 'secretary', 'teacher', 'finance', 'technician', 'trainer', 'keeper')),
    name TEXT NOT NULL UNIQUE,
    title_zh TEXT NOT NULL CHECK (length(title_zh) BETWEEN 1 AND 50),
    title_en TEXT NOT NULL,
    capacity INTEGER NOT NULL CHECK (capacity BETWEEN 1 AND 1000),
    UNIQUE (unit_id, role)
);
--bun:split
CREATE TABLE person (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('OFFICER', 'PARTICIPANT', 'OUTSIDER')),
    lang TEXT NOT NULL CHECK (lang IN ('zh', 'en')),
    search TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMP NOT NULL,
    erased_at TIMESTAMP,
    CHECK (erased_at IS NULL OR search = '')
);
--bun:split
CREATE INDEX person_created ON person (created_at, id);
--bun:split
CREATE TABLE personal (
    subject TEXT NOT NULL,
    field TEXT NOT NULL CHECK (length(field) BETWEEN 1 AND 80),
    value TEXT NOT NULL CHECK (length(value) BETWEEN 1 AND 20000),
    salt TEXT NOT NULL,
    hash TEXT NOT NULL,
    at TIMESTAMP NOT NULL,
    until TIMESTAMP,
    PRIMARY KEY (subject, field)
);
--bun:split
CREATE UNIQUE INDEX personal_number ON personal (value) WHERE field = 'number';
--bun:split
CREATE INDEX personal_until ON personal (until) WHERE until IS NOT NULL;
--bun:split
CREATE TABLE contact (
    id TEXT PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES person (id),
    kind TEXT NOT NULL CHECK (kind IN ('phone', 'qq', 'wechat', 'email')),
    value TEXT NOT NULL CHECK (length(value) BETWEEN 1 AND 200),
    verified_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL,
    until TIMESTAMP,
    UNIQUE (person_id, kind, value)
);
--bun:split
CREATE INDEX contact_value ON contact (kind, value);
--bun:split
CREATE INDEX contact_until ON contact (until) WHERE until IS NOT NULL;
--bun:split
CREATE TABLE tenure (
    id TEXT PRIMARY KEY,
    seat_id TEXT NOT NULL REFERENCES seat (id),
    person_id TEXT NOT NULL REFERENCES person (id),
    kind TEXT NOT NULL CHECK (kind IN ('FULL', 'ACTING', 'PROBATION')),
    from_at TIMESTAMP NOT NULL,
    until_at TIMESTAMP,
    CHECK (until_at IS NULL OR until_at > from_at)
);
--bun:split
CREATE INDEX tenure_person ON tenure (person_id);
--bun:split
CREATE INDEX tenure_seat ON tenure (seat_id, from_at);
--bun:split
CREATE TRIGGER tenure_fits_insert AFTER INSERT ON tenure
WHEN EXISTS (SELECT 1 FROM tenure AS p WHERE p.seat_id = NEW.seat_id AND p.from_at >= NEW.from_at AND (NEW.until_at IS NULL OR p.from_at < NEW.until_at)
    AND (SELECT count(*) FROM tenure AS t WHERE t.seat_id = NEW.seat_id AND t.from_at <= p.from_at AND (t.until_at IS NULL OR t.until_at > p.from_at))
        > (SELECT capacity FROM seat WHERE id = NEW.seat_id))
BEGIN SELECT RAISE(ABORT, 'tenure: more people than the seat holds'); END;
--bun:split
CREATE TRIGGER tenure_fits_update AFTER UPDATE OF seat_id, person_id, from_at, until_at ON tenure
WHEN EXISTS (SELECT 1 FROM tenure AS p WHERE p.seat_id = NEW.seat_id AND p.from_at >= NEW.from_at AND (NEW.until_at IS NULL OR p.from_at < NEW.until_at)
    AND (SELECT count(*) FROM tenure AS t WHERE t.seat_id = NEW.seat_id AND t.from_at <= p.from_at AND (t.until_at IS NULL OR t.until_at > p.from_at))
        > (SELECT capacity FROM seat WHERE id = NEW.seat_id))
BEGIN SELECT RAISE(ABORT, 'tenure: more people than the seat holds'); END;
--bun:split
CREATE TRIGGER tenure_twice_insert AFTER INSERT ON tenure
WHEN EXISTS (SELECT 1 FROM tenure AS t WHERE t.seat_id = NEW.seat_id AND t.person_id = NEW.person_id AND t.id <> NEW.id
    AND (NEW.until_at IS NULL OR t.from_at < NEW.until_at) AND (t.until_at IS NULL OR t.until_at > NEW.from_at))
BEGIN SELECT RAISE(ABORT, 'tenure: the person holds the seat at that time'); END;
--bun:split
CREATE TRIGGER tenure_twice_update AFTER UPDATE OF seat_id, person_id, from_at, until_at ON tenure
WHEN EXISTS (SELECT 1 FROM tenure AS t WHERE t.seat_id = NEW.seat_id AND t.person_id = NEW.person_id AND t.id <> NEW.id
    AND (NEW.until_at IS NULL OR t.from_at < NEW.until_at) AND (t.until_at IS NULL OR t.until_at > NEW.from_at))
BEGIN SELECT RAISE(ABORT, 'tenure: the person holds the seat at that time'); END;
--bun:split
CREATE TRIGGER seat_fits AFTER UPDATE OF capacity ON seat
WHEN NEW.capacity < OLD.capacity AND EXISTS (SELECT 1 FROM tenure AS p WHERE p.seat_id = NEW.id
    AND (SELECT count(*) FROM tenure AS t WHERE t.seat_id = NEW.id AND t.from_at <= p.from_at AND (t.until_at IS NULL OR t.until_at > p.from_at)) > NEW.capacity)
BEGIN SELECT RAISE(ABORT, 'seat: more people hold it than the new capacity'); END;
--bun:split
CREATE TABLE portfolio (
    unit_id TEXT NOT NULL REFERENCES unit (id),
    seat_id TEXT NOT NULL REFERENCES seat (id),
    person_id TEXT NOT NULL REFERENCES person (id),
    from_at TIMESTAMP NOT NULL,
    until_at TIMESTAMP,
    PRIMARY KEY (unit_id, seat_id),
    CHECK (until_at IS NULL OR until_at > from_at)
);
--bun:split
CREATE INDEX portfolio_seat ON portfolio (seat_id);
--bun:split
CREATE INDEX portfolio_person ON portfolio (person_id);
--bun:split
CREATE TABLE liaison (
    unit_id TEXT NOT NULL REFERENCES unit (id),
    person_id TEXT NOT NULL REFERENCES person (id),
    from_at TIMESTAMP NOT NULL,
    until_at TIMESTAMP,
    PRIMARY KEY (unit_id, person_id),
    CHECK (until_at IS NULL OR until_at > from_at)
);
--bun:split
CREATE INDEX liaison_person ON liaison (person_id);
--bun:split
CREATE TABLE delegation (
    id TEXT PRIMARY KEY,
    seat_id TEXT NOT NULL REFERENCES seat (id),
    from_person TEXT NOT NULL REFERENCES person (id),
    to_person TEXT NOT NULL REFERENCES person (id),
    from_at TIMESTAMP NOT NULL,
    until_at TIMESTAMP NOT NULL,
    CHECK (until_at > from_at),
    CHECK (from_person <> to_person)
);
--bun:split
CREATE INDEX delegation_seat ON delegation (seat_id);
--bun:split
CREATE INDEX delegation_from ON delegation (from_person);
--bun:split
CREATE INDEX delegation_to ON delegation (to_person, until_at);
--bun:split
CREATE TABLE absence (
    id TEXT PRIMARY KEY,
    person_id TEXT NOT NULL REFERENCES person (id),
    from_at TIMESTAMP NOT NULL,
    until_at TIMESTAMP NOT NULL,
    CHECK (until_at > from_at)
);
--bun:split
CREATE INDEX absence_person ON absence (person_id, until_at);
--bun:split
CREATE TABLE skill (
    person_id TEXT NOT NULL REFERENCES person (id),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    certificate BOOLEAN NOT NULL,
    from_at TIMESTAMP NOT NULL,
    until_at TIMESTAMP,
    PRIMARY KEY (person_id, name, certificate),
    CHECK (until_at IS NULL OR until_at > from_at)
);
--bun:split
CREATE INDEX skill_name ON skill (name);
--bun:split
CREATE TABLE free_hour (
    person_id TEXT NOT NULL REFERENCES person (id),
    weekday INTEGER NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    parity TEXT NOT NULL CHECK (parity IN ('all', 'odd', 'even')),
    from_min INTEGER NOT NULL CHECK (from_min BETWEEN 0 AND 1439),
    to_min INTEGER NOT NULL CHECK (to_min <= 1440),
    PRIMARY KEY (person_id, weekday, parity, from_min),
    CHECK (to_min > from_min)
);
--bun:split
CREATE TABLE consent (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    purpose TEXT NOT NULL CHECK (length(purpose) BETWEEN 1 AND 80),
    version TEXT NOT NULL,
    door TEXT NOT NULL CHECK (length(door) BETWEEN 1 AND 40),
    at TIMESTAMP NOT NULL,
    withdrawn_at TIMESTAMP,
    CHECK (withdrawn_at IS NULL OR withdrawn_at >= at)
);
--bun:split
CREATE UNIQUE INDEX consent_given ON consent (subject, purpose) WHERE withdrawn_at IS NULL;
--bun:split
CREATE INDEX consent_subject ON consent (subject, at);
--bun:split
CREATE TABLE rights_request (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('SEE', 'EXPORT', 'CORRECT', 'ERASE')),
    door TEXT NOT NULL CHECK (length(door) BETWEEN 1 AND 40),
    asked_at TIMESTAMP NOT NULL,
    due_at TIMESTAMP NOT NULL,
    done_at TIMESTAMP,
    done_by TEXT,
    CHECK ((done_at IS NULL) = (done_by IS NULL))
);
--bun:split
CREATE UNIQUE INDEX rights_request_open ON rights_request (subject, kind) WHERE done_at IS NULL;
--bun:split
CREATE INDEX rights_request_due ON rights_request (due_at, id);
