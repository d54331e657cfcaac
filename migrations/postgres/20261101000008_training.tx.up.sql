CREATE TABLE course (
    id uuid PRIMARY KEY,
    code text COLLATE "C" NOT NULL UNIQUE CHECK (length(code) BETWEEN 1 AND 40),
    title_zh text NOT NULL CHECK (length(title_zh) BETWEEN 1 AND 100),
    title_en text NOT NULL CHECK (length(title_en) <= 200),
    skill text COLLATE "C" NOT NULL CHECK (length(skill) <= 40),
    created_at timestamptz NOT NULL
);
--bun:split
CREATE TABLE training_session (
    id uuid PRIMARY KEY,
    request uuid NOT NULL,
    no integer NOT NULL CHECK (no >= 1),
    course uuid REFERENCES course (id),
    title text NOT NULL CHECK (length(title) <= 200),
    place text NOT NULL CHECK (length(place) <= 200),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    seats integer NOT NULL CHECK (seats >= 0),
    skill text COLLATE "C" NOT NULL CHECK (length(skill) BETWEEN 1 AND 40),
    owner uuid NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('PLANNED', 'CANCELLED')),
    created_at timestamptz NOT NULL,
    UNIQUE (request, no),
    CHECK (ends_at > starts_at)
);
--bun:split
CREATE INDEX training_session_start ON training_session (starts_at, id);
--bun:split
CREATE INDEX training_session_course ON training_session (course) WHERE course IS NOT NULL;
--bun:split
CREATE TABLE training_task (
    id uuid PRIMARY KEY,
    session uuid NOT NULL REFERENCES training_session (id),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('PREPARE', 'TEACH', 'ASSIST', 'CHECK_IN', 'WRAP_UP')),
    state text COLLATE "C" NOT NULL CHECK (state IN ('OPEN', 'OFFERED', 'ACCEPTED', 'DONE', 'CANCELLED')),
    due_at timestamptz NOT NULL,
    person uuid,
    assignment uuid REFERENCES assignment (id),
    swap_to uuid,
    swap_until timestamptz,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    UNIQUE (session, kind),
    CHECK ((person IS NULL) = (assignment IS NULL)),
    CHECK (person IS NOT NULL OR state IN ('OPEN', 'CANCELLED')),
    CHECK (person IS NULL OR state NOT IN ('OPEN', 'CANCELLED')),
    CHECK ((swap_to IS NULL) = (swap_until IS NULL)),
    CHECK (swap_to IS NULL OR state IN ('OFFERED', 'ACCEPTED'))
);
--bun:split
CREATE INDEX training_task_person ON training_task (person, due_at) WHERE person IS NOT NULL;
--bun:split
CREATE INDEX training_task_swap ON training_task (swap_to) WHERE swap_to IS NOT NULL;
--bun:split
CREATE INDEX training_task_assignment ON training_task (assignment) WHERE assignment IS NOT NULL;
