CREATE TABLE unit (
    id uuid PRIMARY KEY,
    code text COLLATE "C" NOT NULL UNIQUE CHECK (length(code) BETWEEN 1 AND 80),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('LEAGUE_COMMITTEE', 'FEDERATION', 'DEPARTMENT', 'SECTION', 'COLLEGE_DEPARTMENT', 'SOCIETY', 'OUTSIDE')),
    parent uuid REFERENCES unit (id) CHECK (parent <> id),
    name_zh text NOT NULL CHECK (length(name_zh) BETWEEN 1 AND 100),
    name_en text NOT NULL CHECK (length(name_en) <= 200),
    short_zh text NOT NULL,
    short_en text NOT NULL,
    campus text NOT NULL DEFAULT '',
    college text COLLATE "C" NOT NULL DEFAULT ''
);
--bun:split
CREATE INDEX unit_parent ON unit (parent);
--bun:split
CREATE INDEX unit_college ON unit (college) WHERE college <> '';
--bun:split
CREATE TABLE seat (
    id uuid PRIMARY KEY,
    unit_id uuid NOT NULL REFERENCES unit (id),
    role text COLLATE "C" NOT NULL CHECK (role IN ('head', 'deputy', 'member', 'advisor', 'chair', 'vice', 'secretary', 'teacher', 'finance', 'technician', 'trainer', 'keeper')),
    name text COLLATE "C" NOT NULL UNIQUE,
    title_zh text NOT NULL CHECK (length(title_zh) BETWEEN 1 AND 50),
    title_en text NOT NULL,
    capacity integer NOT NULL CHECK (capacity BETWEEN 1 AND 1000),
    UNIQUE (unit_id, role)
);
--bun:split
CREATE TABLE person (
    id uuid PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('OFFICER', 'PARTICIPANT', 'OUTSIDER')),
    lang text COLLATE "C" NOT NULL CHECK (lang IN ('zh', 'en')),
    search text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    erased_at timestamptz,
    CHECK (erased_at IS NULL OR search = '')
);
--bun:split
CREATE INDEX person_created ON person (created_at, id);
--bun:split
CREATE TABLE personal (
    subject uuid NOT NULL,
    field text COLLATE "C" NOT NULL CHECK (length(field) BETWEEN 1 AND 80),
    value text COLLATE "C" NOT NULL CHECK (length(value) BETWEEN 1 AND 20000),
    salt text COLLATE "C" NOT NULL,
    hash text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    until timestamptz,
    PRIMARY KEY (subject, field)
);
--bun:split
CREATE UNIQUE INDEX personal_number ON personal (value) WHERE field = 'number';
--bun:split
CREATE INDEX personal_until ON personal (until) WHERE until IS NOT NULL;
--bun:split
CREATE TABLE contact (
    id uuid PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES person (id),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('phone', 'qq', 'wechat', 'email')),
    value text COLLATE "C" NOT NULL CHECK (length(value) BETWEEN 1 AND 200),
    verified_at timestamptz,
    created_at timestamptz NOT NULL,
    until timestamptz,
    UNIQUE (person_id, kind, value)
);
--bun:split
CREATE INDEX contact_value ON contact (kind, value);
--bun:split
CREATE INDEX contact_until ON contact (until) WHERE until IS NOT NULL;
--bun:split
CREATE TABLE tenure (
    id uuid PRIMARY KEY,
    seat_id uuid NOT NULL REFERENCES seat (id),
    person_id uuid NOT NULL REFERENCES person (id),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('FULL', 'ACTING', 'PROBATION')),
    from_at timestamptz NOT NULL,
    until_at timestamptz,
    CHECK (until_at IS NULL OR until_at > from_at)
);
--bun:split
CREATE INDEX tenure_person ON tenure (person_id);
--bun:split
CREATE INDEX tenure_seat ON tenure (seat_id, from_at);
--bun:split
CREATE FUNCTION tenure_fits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Two transactions that seat people on one seat see each other only if one waits.
    PERFORM 1 FROM seat WHERE id = NEW.seat_id FOR NO KEY UPDATE;
    IF EXISTS (SELECT 1 FROM tenure AS p WHERE p.seat_id = NEW.seat_id AND p.from_at >= NEW.from_at AND (NEW.until_at IS NULL OR p.from_at < NEW.until_at)
        AND (SELECT count(*) FROM tenure AS t WHERE t.seat_id = NEW.seat_id AND t.from_at <= p.from_at AND (t.until_at IS NULL OR t.until_at > p.from_at))
            > (SELECT capacity FROM seat WHERE id = NEW.seat_id)) THEN
        RAISE EXCEPTION 'tenure: more people than the seat holds' USING ERRCODE = '23514', TABLE = 'tenure', CONSTRAINT = 'tenure_capacity';
    END IF;
    IF EXISTS (SELECT 1 FROM tenure AS t WHERE t.seat_id = NEW.seat_id AND t.person_id = NEW.person_id AND t.id <> NEW.id
        AND (NEW.until_at IS NULL OR t.from_at < NEW.until_at) AND (t.until_at IS NULL OR t.until_at > NEW.from_at)) THEN
        RAISE EXCEPTION 'tenure: the person holds the seat at that time' USING ERRCODE = '23514', TABLE = 'tenure', CONSTRAINT = 'tenure_twice';
    END IF;
    RETURN NULL;
END $$;
--bun:split
CREATE TRIGGER tenure_fits AFTER INSERT OR UPDATE OF seat_id, person_id, from_at, until_at ON tenure FOR EACH ROW EXECUTE FUNCTION tenure_fits();
--bun:split
CREATE FUNCTION seat_fits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM tenure AS p WHERE p.seat_id = NEW.id
        AND (SELECT count(*) FROM tenure AS t WHERE t.seat_id = NEW.id AND t.from_at <= p.from_at AND (t.until_at IS NULL OR t.until_at > p.from_at)) > NEW.capacity) THEN
        RAISE EXCEPTION 'seat: more people hold it than the new capacity' USING ERRCODE = '23514', TABLE = 'seat', CONSTRAINT = 'tenure_capacity';
    END IF;
    RETURN NULL;
END $$;
--bun:split
CREATE TRIGGER seat_fits AFTER UPDATE OF capacity ON seat FOR EACH ROW WHEN (NEW.capacity < OLD.capacity) EXECUTE FUNCTION seat_fits();
--bun:split
CREATE TABLE portfolio (
    unit_id uuid NOT NULL REFERENCES unit (id),
    seat_id uuid NOT NULL REFERENCES seat (id),
    person_id uuid NOT NULL REFERENCES person (id),
    from_at timestamptz NOT NULL,
    until_at timestamptz,
    PRIMARY KEY (unit_id, seat_id),
    CHECK (until_at IS NULL OR until_at > from_at)
);
--bun:split
CREATE INDEX portfolio_seat ON portfolio (seat_id);
--bun:split
CREATE INDEX portfolio_person ON portfolio (person_id);
--bun:split
CREATE TABLE liaison (
    unit_id uuid NOT NULL REFERENCES unit (id),
    person_id uuid NOT NULL REFERENCES person (id),
    from_at timestamptz NOT NULL,
    until_at timestamptz,
    PRIMARY KEY (unit_id, person_id),
    CHECK (until_at IS NULL OR until_at > from_at)
);
--bun:split
CREATE INDEX liaison_person ON liaison (person_id);
--bun:split
CREATE TABLE delegation (
    id uuid PRIMARY KEY,
    seat_id uuid NOT NULL REFERENCES seat (id),
    from_person uuid NOT NULL REFERENCES person (id),
    to_person uuid NOT NULL REFERENCES person (id),
    from_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL,
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
    id uuid PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES person (id),
    from_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL,
    CHECK (until_at > from_at)
);
--bun:split
CREATE INDEX absence_person ON absence (person_id, until_at);
--bun:split
CREATE TABLE skill (
    person_id uuid NOT NULL REFERENCES person (id),
    name text COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 80),
    certificate boolean NOT NULL,
    from_at timestamptz NOT NULL,
    until_at timestamptz,
    PRIMARY KEY (person_id, name, certificate),
    CHECK (until_at IS NULL OR until_at > from_at)
);
--bun:split
CREATE INDEX skill_name ON skill (name);
--bun:split
CREATE TABLE free_hour (
    person_id uuid NOT NULL REFERENCES person (id),
    weekday integer NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    parity text COLLATE "C" NOT NULL CHECK (parity IN ('all', 'odd', 'even')),
    from_min integer NOT NULL CHECK (from_min BETWEEN 0 AND 1439),
    to_min integer NOT NULL CHECK (to_min <= 1440),
    PRIMARY KEY (person_id, weekday, parity, from_min),
    CHECK (to_min > from_min)
);
--bun:split
CREATE TABLE consent (
    id uuid PRIMARY KEY,
    subject uuid NOT NULL,
    purpose text COLLATE "C" NOT NULL CHECK (length(purpose) BETWEEN 1 AND 80),
    version text COLLATE "C" NOT NULL,
    door text COLLATE "C" NOT NULL CHECK (length(door) BETWEEN 1 AND 40),
    at timestamptz NOT NULL,
    withdrawn_at timestamptz,
    CHECK (withdrawn_at IS NULL OR withdrawn_at >= at)
);
--bun:split
CREATE UNIQUE INDEX consent_given ON consent (subject, purpose) WHERE withdrawn_at IS NULL;
--bun:split
CREATE INDEX consent_subject ON consent (subject, at);
--bun:split
CREATE TABLE rights_request (
    id uuid PRIMARY KEY,
    subject uuid NOT NULL,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('SEE', 'EXPORT', 'CORRECT', 'ERASE')),
    door text COLLATE "C" NOT NULL CHECK (length(door) BETWEEN 1 AND 40),
    asked_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    done_at timestamptz,
    done_by uuid,
    CHECK ((done_at IS NULL) = (done_by IS NULL))
);
--bun:split
CREATE UNIQUE INDEX rights_request_open ON rights_request (subject, kind) WHERE done_at IS NULL;
--bun:split
CREATE INDEX rights_request_due ON rights_request (due_at, id);
