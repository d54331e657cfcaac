CREATE TABLE file (
    id uuid PRIMARY KEY,
    sha256 text COLLATE "C" NOT NULL CHECK (length(sha256) = 64),
    size bigint NOT NULL CHECK (size BETWEEN 1 AND 4294967296),
    media_type text COLLATE "C" NOT NULL CHECK (length(media_type) BETWEEN 3 AND 100),
    owner uuid REFERENCES person (id),
    parent_kind text COLLATE "C" CHECK (length(parent_kind) BETWEEN 3 AND 10),
    parent_id uuid,
    personal_field text COLLATE "C" CHECK (length(personal_field) BETWEEN 1 AND 200),
    created_at timestamptz NOT NULL,
    CHECK ((parent_kind IS NULL) = (parent_id IS NULL)),
    CHECK (owner IS NOT NULL OR parent_id IS NOT NULL),
    CHECK (personal_field IS NULL OR parent_id IS NOT NULL)
);
--bun:split
CREATE UNIQUE INDEX file_free ON file (owner, sha256) WHERE parent_id IS NULL;
--bun:split
CREATE UNIQUE INDEX file_stranger ON file (parent_id, sha256) WHERE owner IS NULL;
--bun:split
CREATE INDEX file_owner ON file (owner) WHERE owner IS NOT NULL;
--bun:split
CREATE INDEX file_digest ON file (sha256);
--bun:split
CREATE INDEX file_parent ON file (parent_id) WHERE parent_id IS NOT NULL;
--bun:split
CREATE INDEX file_waiting ON file (created_at) WHERE parent_id IS NULL;
--bun:split
CREATE TABLE upload (
    id uuid PRIMARY KEY,
    owner uuid NOT NULL REFERENCES person (id),
    size bigint NOT NULL CHECK (size BETWEEN 1 AND 4294967296),
    file uuid REFERENCES file (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL
);
--bun:split
CREATE INDEX upload_owner ON upload (owner);
--bun:split
CREATE INDEX upload_file ON upload (file) WHERE file IS NOT NULL;
--bun:split
CREATE INDEX upload_created ON upload (created_at);
