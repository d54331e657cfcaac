CREATE TABLE course (
    id TEXT PRIMARY KEY,
    code TEXT NOT NULL UNIQUE CHECK (length(code) BETWEEN 1 AND 40),
    title_zh TEXT NOT NULL CHECK (length(title_zh) BETWEEN 1 AND 100),
    title_en TEXT NOT NULL CHECK (length(title_en) <= 200),
    skill TEXT NOT NULL CHECK (length(skill) <= 40),
    created_at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE training_session (
    id TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    no INTEGER NOT NULL CHECK (no >= 1),
    course TEXT REFERENCES course (id),
    title TEXT NOT NULL CHECK (length(title) <= 200),
    place TEXT NOT NULL CHECK (length(place) <= 200),
    starts_at TIMESTAMP NOT NULL,
    ends_at TIMESTAMP NOT NULL,
    seats INTEGER NOT NULL CHECK (seats >= 0),
    skill TEXT NOT NULL CHECK (length(skill) BETWEEN 1 AND 40),
    owner TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('PLANNED', 'CANCELLED')),
    created_at TIMESTAMP NOT NULL,
    UNIQUE (request, no),
    CHECK (ends_at > starts_at)
);
--bun:split
CREATE INDEX training_session_start ON training_session (starts_at, id);
--bun:split
CREATE INDEX training_session_course ON training_session (course) WHERE course IS NOT NULL;
--bun:split
CREATE TABLE training_task (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL REFERENCES training_session (id),
    kind TEXT NOT NULL CHECK (kind IN ('PREPARE', 'TEACH', 'ASSIST', 'CHECK_IN', 'WRAP_UP')),
    state TEXT NOT NULL CHECK (state IN ('OPEN', 'OFFERED', 'ACCEPTED', 'DONE', 'CANCELLED')),
    due_at TIMESTAMP NOT NULL,
    person TEXT,
    assignment TEXT REFERENCES assignment (id),
    swap_to TEXT,
    swap_until TIMESTAMP,
    version INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL,
    changed_at TIMESTAMP NOT NULL,
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
