CREATE TABLE host (
    id TEXT PRIMARY KEY,
    name_zh TEXT NOT NULL CHECK (length(name_zh) BETWEEN 1 AND 80),
    name_en TEXT NOT NULL CHECK (length(name_en) BETWEEN 1 AND 80),
    address TEXT NOT NULL CHECK (address = '' OR length(address) BETWEEN 2 AND 45),
    outer_key TEXT NOT NULL DEFAULT '' CHECK (length(outer_key) <= 200),
    labels TEXT NOT NULL DEFAULT '' CHECK (length(labels) <= 2000),
    shard INTEGER NOT NULL CHECK (shard >= 0),
    losses INTEGER NOT NULL DEFAULT 0 CHECK (losses BETWEEN 0 AND 20),
    within INTEGER NOT NULL DEFAULT 0 CHECK (within BETWEEN 0 AND 20),
    replies INTEGER NOT NULL DEFAULT 0 CHECK (replies BETWEEN 0 AND 20),
    version INTEGER NOT NULL DEFAULT 1,
    created_at TIMESTAMP NOT NULL,
    removed_at TIMESTAMP
);
--bun:split
CREATE UNIQUE INDEX host_address ON host (address) WHERE removed_at IS NULL AND address <> '';
--bun:split
CREATE UNIQUE INDEX host_outer_key ON host (outer_key) WHERE removed_at IS NULL AND outer_key <> '';
--bun:split
CREATE TABLE host_building (
    host TEXT NOT NULL REFERENCES host (id),
    building TEXT NOT NULL CHECK (length(building) BETWEEN 1 AND 80),
    key TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 80),
    PRIMARY KEY (host, key)
);
--bun:split
CREATE INDEX host_building_key ON host_building (key);
--bun:split
CREATE TABLE host_need (
    host TEXT NOT NULL REFERENCES host (id),
    grp INTEGER NOT NULL CHECK (grp >= 0),
    needs TEXT NOT NULL REFERENCES host (id),
    PRIMARY KEY (host, grp, needs),
    CHECK (host <> needs)
);
--bun:split
CREATE INDEX host_need_needs ON host_need (needs);
--bun:split
CREATE TABLE host_check (
    id TEXT PRIMARY KEY,
    number INTEGER NOT NULL UNIQUE CHECK (number >= 1),
    host TEXT NOT NULL REFERENCES host (id),
    kind TEXT NOT NULL CHECK (kind IN ('ICMP', 'TCP', 'HTTP', 'TLS', 'DNS', 'DOMAIN', 'PUSH', 'PAGE')),
    target TEXT NOT NULL CHECK (length(target) <= 2000),
    seconds INTEGER NOT NULL CHECK (seconds IN (10, 30, 60, 300, 86400)),
    expect TEXT NOT NULL DEFAULT '' CHECK (length(expect) <= 4000),
    created_at TIMESTAMP NOT NULL,
    removed_at TIMESTAMP,
    CHECK ((kind = 'ICMP') = (target = ''))
);
--bun:split
CREATE UNIQUE INDEX host_check_target ON host_check (host, kind, target) WHERE removed_at IS NULL;
--bun:split
CREATE UNIQUE INDEX host_check_token ON host_check (target) WHERE kind = 'PUSH' AND removed_at IS NULL;
--bun:split
CREATE TABLE check_memory (
    check_id TEXT PRIMARY KEY REFERENCES host_check (id),
    outcome TEXT NOT NULL CHECK (outcome IN ('REPLY', 'LOST', 'NO_ROUTE', 'FAILED', 'MISSING')),
    at TIMESTAMP NOT NULL,
    due_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP,
    warned INTEGER NOT NULL DEFAULT 0,
    took_us INTEGER NOT NULL DEFAULT 0,
    why_zh TEXT NOT NULL DEFAULT '' CHECK (length(why_zh) <= 500),
    why_en TEXT NOT NULL DEFAULT '' CHECK (length(why_en) <= 500),
    hash TEXT NOT NULL DEFAULT '',
    page TEXT NOT NULL DEFAULT '' CHECK (length(page) <= 65536),
    good_hash TEXT NOT NULL DEFAULT '',
    good_page TEXT NOT NULL DEFAULT '' CHECK (length(good_page) <= 65536)
);
--bun:split
CREATE TABLE maintenance (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL REFERENCES host (id),
    from_at TIMESTAMP NOT NULL,
    until_at TIMESTAMP NOT NULL,
    note TEXT NOT NULL DEFAULT '' CHECK (length(note) <= 500),
    by_person TEXT REFERENCES person (id),
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
    name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 40),
    mode TEXT NOT NULL CHECK (mode IN ('raw', 'ping', 'pro-bing', 'tcp')),
    why_zh TEXT NOT NULL,
    why_en TEXT NOT NULL,
    command TEXT NOT NULL DEFAULT '',
    at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE shard_claim (
    vantage TEXT NOT NULL,
    shard INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (vantage, shard)
);
--bun:split
CREATE TABLE round (
    vantage TEXT NOT NULL,
    shard INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    owner TEXT NOT NULL,
    healthy BOOLEAN NOT NULL,
    fault TEXT NOT NULL DEFAULT '',
    mode TEXT NOT NULL CHECK (mode IN ('raw', 'ping', 'pro-bing', 'tcp')),
    sent INTEGER NOT NULL,
    received INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    drops INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    began_ms INTEGER NOT NULL,
    took_ms INTEGER NOT NULL,
    payload BLOB NOT NULL,
    at TIMESTAMP NOT NULL,
    PRIMARY KEY (vantage, shard, epoch),
    CHECK (healthy = (fault = ''))
);
--bun:split
CREATE INDEX round_epoch ON round (epoch);
--bun:split
CREATE TABLE history_block (
    number INTEGER NOT NULL,
    vantage TEXT NOT NULL,
    hour INTEGER NOT NULL,
    rounds INTEGER NOT NULL,
    block BLOB NOT NULL,
    PRIMARY KEY (number, hour, vantage)
);
--bun:split
CREATE INDEX history_block_hour ON history_block (hour);
--bun:split
CREATE TABLE history_hour (
    number INTEGER NOT NULL,
    vantage TEXT NOT NULL,
    hour INTEGER NOT NULL,
    rounds INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    missing INTEGER NOT NULL,
    low_ns INTEGER NOT NULL,
    high_ns INTEGER NOT NULL,
    sketch BLOB NOT NULL,
    PRIMARY KEY (number, hour, vantage)
);
--bun:split
CREATE INDEX history_hour_hour ON history_hour (hour);
--bun:split
CREATE TABLE history_day (
    number INTEGER NOT NULL,
    vantage TEXT NOT NULL,
    day INTEGER NOT NULL,
    rounds INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    missing INTEGER NOT NULL,
    low_ns INTEGER NOT NULL,
    high_ns INTEGER NOT NULL,
    sketch BLOB NOT NULL,
    PRIMARY KEY (number, day, vantage)
);
--bun:split
CREATE INDEX history_day_day ON history_day (day);
--bun:split
CREATE TABLE history_mark (
    span TEXT NOT NULL CHECK (span IN ('HOUR', 'DAY')),
    start INTEGER NOT NULL,
    vantage TEXT NOT NULL,
    rounds INTEGER NOT NULL,
    minutes INTEGER NOT NULL,
    PRIMARY KEY (span, start, vantage)
);
--bun:split
CREATE TABLE objective (
    id TEXT PRIMARY KEY,
    host TEXT UNIQUE REFERENCES host (id),
    building TEXT NOT NULL,
    key TEXT NOT NULL CHECK (length(key) <= 80),
    target INTEGER NOT NULL CHECK (target BETWEEN 500000 AND 999999),
    created_at TIMESTAMP NOT NULL,
    by_person TEXT REFERENCES person (id),
    CHECK ((host IS NULL) = (key <> ''))
);
--bun:split
CREATE UNIQUE INDEX objective_key ON objective (key) WHERE host IS NULL;
--bun:split
CREATE INDEX objective_by ON objective (by_person) WHERE by_person IS NOT NULL;
--bun:split
CREATE TABLE judge_state (
    name TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    rounds INTEGER NOT NULL,
    owner TEXT NOT NULL,
    state BLOB NOT NULL,
    at TIMESTAMP NOT NULL
);
--bun:split
CREATE TABLE transition (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('CHECK', 'NODE', 'VANTAGE')),
    subject TEXT NOT NULL,
    host TEXT REFERENCES host (id),
    epoch INTEGER NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    from_overlay INTEGER NOT NULL,
    to_overlay INTEGER NOT NULL,
    roots TEXT NOT NULL DEFAULT '',
    evidence TEXT NOT NULL DEFAULT '',
    why_zh TEXT NOT NULL DEFAULT '',
    why_en TEXT NOT NULL DEFAULT '',
    at TIMESTAMP NOT NULL,
    CHECK ((host IS NULL) = (kind = 'VANTAGE'))
);
--bun:split
CREATE INDEX transition_subject ON transition (subject, epoch);
--bun:split
CREATE INDEX transition_host ON transition (host, epoch) WHERE host IS NOT NULL;
--bun:split
CREATE TABLE incident (
    id TEXT PRIMARY KEY,
    number TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL,
    outage TEXT NOT NULL,
    flat BOOLEAN NOT NULL,
    certified BOOLEAN NOT NULL,
    flapping BOOLEAN NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    opened_epoch INTEGER NOT NULL,
    opened_at TIMESTAMP NOT NULL,
    closed_at TIMESTAMP,
    reason TEXT NOT NULL DEFAULT '' CHECK (reason IN ('', 'RECOVERED', 'MERGED', 'REMOVED')),
    merged_into TEXT REFERENCES incident (id),
    title_zh TEXT NOT NULL CHECK (length(title_zh) BETWEEN 1 AND 300),
    title_en TEXT NOT NULL CHECK (length(title_en) BETWEEN 1 AND 300),
    why_zh TEXT NOT NULL,
    why_en TEXT NOT NULL,
    end_zh TEXT NOT NULL DEFAULT '',
    end_en TEXT NOT NULL DEFAULT '',
    evidence TEXT NOT NULL,
    certificate TEXT NOT NULL,
    acknowledged_by TEXT REFERENCES person (id),
    acknowledged_at TIMESTAMP,
    acknowledged_note TEXT NOT NULL DEFAULT '' CHECK (length(acknowledged_note) <= 500),
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
    incident TEXT NOT NULL REFERENCES incident (id),
    node TEXT NOT NULL,
    host TEXT NOT NULL REFERENCES host (id),
    role TEXT NOT NULL CHECK (role IN ('ROOT', 'SUPPRESSED')),
    joined_epoch INTEGER NOT NULL,
    left_epoch INTEGER,
    PRIMARY KEY (incident, node)
);
--bun:split
CREATE INDEX incident_node_host ON incident_node (host);
