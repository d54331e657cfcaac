CREATE TABLE host (
    id uuid PRIMARY KEY,
    name_zh text NOT NULL CHECK (length(name_zh) BETWEEN 1 AND 80),
    name_en text NOT NULL CHECK (length(name_en) BETWEEN 1 AND 80),
    address text COLLATE "C" NOT NULL CHECK (address = '' OR length(address) BETWEEN 2 AND 45),
    outer_key text COLLATE "C" NOT NULL DEFAULT '' CHECK (length(outer_key) <= 200),
    labels text NOT NULL DEFAULT '' CHECK (length(labels) <= 2000),
    shard integer NOT NULL CHECK (shard >= 0),
    losses integer NOT NULL DEFAULT 0 CHECK (losses BETWEEN 0 AND 20),
    within integer NOT NULL DEFAULT 0 CHECK (within BETWEEN 0 AND 20),
    replies integer NOT NULL DEFAULT 0 CHECK (replies BETWEEN 0 AND 20),
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    removed_at timestamptz
);
--bun:split
CREATE UNIQUE INDEX host_address ON host (address) WHERE removed_at IS NULL AND address <> '';
--bun:split
CREATE UNIQUE INDEX host_outer_key ON host (outer_key) WHERE removed_at IS NULL AND outer_key <> '';
--bun:split
CREATE TABLE host_building (
    host uuid NOT NULL REFERENCES host (id),
    building text COLLATE "C" NOT NULL CHECK (length(building) BETWEEN 1 AND 80),
    key text COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 80),
    PRIMARY KEY (host, key)
);
--bun:split
CREATE INDEX host_building_key ON host_building (key);
--bun:split
CREATE TABLE host_need (
    host uuid NOT NULL REFERENCES host (id),
    grp integer NOT NULL CHECK (grp >= 0),
    needs uuid NOT NULL REFERENCES host (id),
    PRIMARY KEY (host, grp, needs),
    CHECK (host <> needs)
);
--bun:split
CREATE INDEX host_need_needs ON host_need (needs);
--bun:split
CREATE TABLE host_check (
    id uuid PRIMARY KEY,
    number bigint NOT NULL UNIQUE CHECK (number >= 1),
    host uuid NOT NULL REFERENCES host (id),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('ICMP', 'TCP', 'HTTP', 'TLS', 'DNS', 'DOMAIN', 'PUSH', 'PAGE')),
    target text COLLATE "C" NOT NULL CHECK (length(target) <= 2000),
    seconds integer NOT NULL CHECK (seconds IN (10, 30, 60, 300, 86400)),
    expect text NOT NULL DEFAULT '' CHECK (length(expect) <= 4000),
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    CHECK ((kind = 'ICMP') = (target = ''))
);
--bun:split
CREATE UNIQUE INDEX host_check_target ON host_check (host, kind, target) WHERE removed_at IS NULL;
--bun:split
CREATE UNIQUE INDEX host_check_token ON host_check (target) WHERE kind = 'PUSH' AND removed_at IS NULL;
--bun:split
CREATE TABLE check_memory (
    check_id uuid PRIMARY KEY REFERENCES host_check (id),
    outcome text COLLATE "C" NOT NULL CHECK (outcome IN ('REPLY', 'LOST', 'NO_ROUTE', 'FAILED', 'MISSING')),
    at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    expires_at timestamptz,
    warned bigint NOT NULL DEFAULT 0,
    took_us bigint NOT NULL DEFAULT 0,
    why_zh text NOT NULL DEFAULT '' CHECK (length(why_zh) <= 500),
    why_en text NOT NULL DEFAULT '' CHECK (length(why_en) <= 500),
    hash text COLLATE "C" NOT NULL DEFAULT '',
    page text NOT NULL DEFAULT '' CHECK (length(page) <= 65536),
    good_hash text COLLATE "C" NOT NULL DEFAULT '',
    good_page text NOT NULL DEFAULT '' CHECK (length(good_page) <= 65536)
);
--bun:split
CREATE TABLE maintenance (
    id uuid PRIMARY KEY,
    host uuid NOT NULL REFERENCES host (id),
    from_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL,
    note text NOT NULL DEFAULT '' CHECK (length(note) <= 500),
    by_person uuid REFERENCES person (id),
    CHECK (until_at > from_at)
);
--bun:split
CREATE INDEX maintenance_host ON maintenance (host, until_at);
--bun:split
CREATE INDEX maintenance_until ON maintenance (until_at);
--bun:split
CREATE INDEX maintenance_by ON maintenance (by_person) WHERE by_person IS NOT NULL;
--bun:split
CREATE TABLE vantage (
    name text COLLATE "C" PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 40),
    mode text COLLATE "C" NOT NULL CHECK (mode IN ('raw', 'ping', 'pro-bing', 'tcp')),
    why_zh text NOT NULL,
    why_en text NOT NULL,
    command text NOT NULL DEFAULT '',
    at timestamptz NOT NULL
);
--bun:split
CREATE TABLE shard_claim (
    vantage text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    epoch bigint NOT NULL,
    owner text COLLATE "C" NOT NULL,
    PRIMARY KEY (vantage, shard)
);
--bun:split
CREATE TABLE round (
    vantage text COLLATE "C" NOT NULL,
    shard integer NOT NULL,
    epoch bigint NOT NULL,
    owner text COLLATE "C" NOT NULL,
    healthy boolean NOT NULL,
    fault text COLLATE "C" NOT NULL DEFAULT '',
    mode text COLLATE "C" NOT NULL CHECK (mode IN ('raw', 'ping', 'pro-bing', 'tcp')),
    sent integer NOT NULL,
    received integer NOT NULL,
    lost integer NOT NULL,
    drops integer NOT NULL,
    dropped integer NOT NULL,
    began_ms integer NOT NULL,
    took_ms integer NOT NULL,
    payload bytea NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (vantage, shard, epoch),
    CHECK (healthy = (fault = ''))
) PARTITION BY RANGE (epoch);
--bun:split
CREATE TABLE round_default PARTITION OF round DEFAULT;
--bun:split
CREATE INDEX round_epoch ON round (epoch);
--bun:split
CREATE TABLE history_block (
    number bigint NOT NULL,
    vantage text COLLATE "C" NOT NULL,
    hour bigint NOT NULL,
    rounds integer NOT NULL,
    block bytea NOT NULL,
    PRIMARY KEY (number, hour, vantage)
) PARTITION BY RANGE (hour);
--bun:split
CREATE TABLE history_block_default PARTITION OF history_block DEFAULT;
--bun:split
CREATE TABLE history_hour (
    number bigint NOT NULL,
    vantage text COLLATE "C" NOT NULL,
    hour bigint NOT NULL,
    rounds integer NOT NULL,
    samples integer NOT NULL,
    lost integer NOT NULL,
    failed integer NOT NULL,
    missing integer NOT NULL,
    low_ns bigint NOT NULL,
    high_ns bigint NOT NULL,
    sketch bytea NOT NULL,
    PRIMARY KEY (number, hour, vantage)
) PARTITION BY RANGE (hour);
--bun:split
CREATE TABLE history_hour_default PARTITION OF history_hour DEFAULT;
--bun:split
CREATE TABLE history_day (
    number bigint NOT NULL,
    vantage text COLLATE "C" NOT NULL,
    day bigint NOT NULL,
    rounds integer NOT NULL,
    samples integer NOT NULL,
    lost integer NOT NULL,
    failed integer NOT NULL,
    missing integer NOT NULL,
    low_ns bigint NOT NULL,
    high_ns bigint NOT NULL,
    sketch bytea NOT NULL,
    PRIMARY KEY (number, day, vantage)
) PARTITION BY RANGE (day);
--bun:split
CREATE TABLE history_day_default PARTITION OF history_day DEFAULT;
--bun:split
CREATE TABLE history_mark (
    span text COLLATE "C" NOT NULL CHECK (span IN ('HOUR', 'DAY')),
    start bigint NOT NULL,
    vantage text COLLATE "C" NOT NULL,
    rounds bigint NOT NULL,
    minutes bigint NOT NULL,
    PRIMARY KEY (span, start, vantage)
);
--bun:split
CREATE TABLE objective (
    id uuid PRIMARY KEY,
    host uuid UNIQUE REFERENCES host (id),
    building text NOT NULL,
    key text COLLATE "C" NOT NULL CHECK (length(key) <= 80),
    target integer NOT NULL CHECK (target BETWEEN 500000 AND 999999),
    created_at timestamptz NOT NULL,
    by_person uuid REFERENCES person (id),
    CHECK ((host IS NULL) = (key <> ''))
);
--bun:split
CREATE UNIQUE INDEX objective_key ON objective (key) WHERE host IS NULL;
--bun:split
CREATE INDEX objective_by ON objective (by_person) WHERE by_person IS NOT NULL;
--bun:split
CREATE TABLE judge_state (
    name text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    rounds bigint NOT NULL,
    owner text COLLATE "C" NOT NULL,
    state bytea NOT NULL,
    at timestamptz NOT NULL
);
--bun:split
CREATE TABLE transition (
    id uuid PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('CHECK', 'NODE', 'VANTAGE')),
    subject text COLLATE "C" NOT NULL,
    host uuid REFERENCES host (id),
    epoch bigint NOT NULL,
    from_state text COLLATE "C" NOT NULL,
    to_state text COLLATE "C" NOT NULL,
    from_overlay integer NOT NULL,
    to_overlay integer NOT NULL,
    roots text NOT NULL DEFAULT '',
    evidence text NOT NULL DEFAULT '',
    why_zh text NOT NULL DEFAULT '',
    why_en text NOT NULL DEFAULT '',
    at timestamptz NOT NULL,
    CHECK ((host IS NULL) = (kind = 'VANTAGE'))
);
--bun:split
CREATE INDEX transition_subject ON transition (subject, epoch);
--bun:split
CREATE INDEX transition_host ON transition (host, epoch) WHERE host IS NOT NULL;
--bun:split
CREATE TABLE incident (
    id uuid PRIMARY KEY,
    number text COLLATE "C" NOT NULL UNIQUE,
    key text COLLATE "C" NOT NULL,
    outage text COLLATE "C" NOT NULL,
    flat boolean NOT NULL,
    certified boolean NOT NULL,
    flapping boolean NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    opened_epoch bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    reason text COLLATE "C" NOT NULL DEFAULT '' CHECK (reason IN ('', 'RECOVERED', 'MERGED', 'REMOVED')),
    merged_into uuid REFERENCES incident (id),
    title_zh text NOT NULL CHECK (length(title_zh) BETWEEN 1 AND 300),
    title_en text NOT NULL CHECK (length(title_en) BETWEEN 1 AND 300),
    why_zh text NOT NULL,
    why_en text NOT NULL,
    end_zh text NOT NULL DEFAULT '',
    end_en text NOT NULL DEFAULT '',
    evidence text NOT NULL,
    certificate text NOT NULL,
    acknowledged_by uuid REFERENCES person (id),
    acknowledged_at timestamptz,
    acknowledged_note text NOT NULL DEFAULT '' CHECK (length(acknowledged_note) <= 500),
    CHECK ((closed_at IS NULL) = (reason = '')),
    CHECK (merged_into IS NULL OR reason = 'MERGED'),
    CHECK ((acknowledged_by IS NULL) = (acknowledged_at IS NULL))
);
--bun:split
CREATE UNIQUE INDEX incident_open ON incident (key) WHERE closed_at IS NULL;
--bun:split
CREATE INDEX incident_outage ON incident (outage);
--bun:split
CREATE INDEX incident_opened ON incident (opened_at, id);
--bun:split
CREATE INDEX incident_merged ON incident (merged_into) WHERE merged_into IS NOT NULL;
--bun:split
CREATE INDEX incident_acknowledged ON incident (acknowledged_by) WHERE acknowledged_by IS NOT NULL;
--bun:split
CREATE TABLE incident_node (
    incident uuid NOT NULL REFERENCES incident (id),
    node uuid NOT NULL,
    host uuid NOT NULL REFERENCES host (id),
    role text COLLATE "C" NOT NULL CHECK (role IN ('ROOT', 'SUPPRESSED')),
    joined_epoch bigint NOT NULL,
    left_epoch bigint,
    PRIMARY KEY (incident, node)
);
--bun:split
CREATE INDEX incident_node_host ON incident_node (host);
