CREATE TABLE webhook (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL CHECK (length(url) BETWEEN 1 AND 2000),
    description TEXT NOT NULL CHECK (length(description) <= 200),
    events TEXT NOT NULL CHECK (length(events) BETWEEN 1 AND 2000),
    owner TEXT NOT NULL REFERENCES person (id),
    disabled TEXT NOT NULL CHECK (disabled IN ('', 'BY_HAND', 'GONE', 'FAILING')),
    generation INTEGER NOT NULL CHECK (generation > 0),
    previous_until TIMESTAMP,
    failing_since TIMESTAMP,
    pause_until TIMESTAMP,
    sending TEXT,
    lease_until TIMESTAMP,
    created_at TIMESTAMP NOT NULL,
    changed_at TIMESTAMP NOT NULL,
    CHECK (sending IS NOT NULL OR lease_until IS NULL)
);
--bun:split
CREATE INDEX webhook_owner ON webhook (owner);
--bun:split
CREATE TABLE webhook_delivery (
    id TEXT PRIMARY KEY,
    webhook TEXT NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    object_kind TEXT NOT NULL,
    object_id TEXT,
    version INTEGER NOT NULL,
    body TEXT NOT NULL CHECK (length(body) <= 8000),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'failed')),
    reason TEXT CHECK (length(reason) <= 40),
    code INTEGER CHECK (code BETWEEN 100 AND 999),
    answer TEXT CHECK (length(answer) <= 500),
    attempt INTEGER NOT NULL DEFAULT 0,
    possible_duplicate INTEGER NOT NULL DEFAULT 0,
    created_at TIMESTAMP NOT NULL,
    next_at TIMESTAMP NOT NULL,
    retry_until TIMESTAMP NOT NULL,
    tried_at TIMESTAMP,
    sent_at TIMESTAMP,
    CHECK ((state = 'sent') = (sent_at IS NOT NULL))
);
--bun:split
CREATE INDEX webhook_delivery_log ON webhook_delivery (webhook, created_at DESC, id DESC);
--bun:split
CREATE INDEX webhook_delivery_next ON webhook_delivery (webhook, next_at) WHERE state = 'waiting';
--bun:split
CREATE UNIQUE INDEX webhook_delivery_lane ON webhook_delivery (webhook) WHERE state = 'sending';
--bun:split
CREATE INDEX webhook_delivery_object ON webhook_delivery (webhook, object_id) WHERE state = 'waiting' AND attempt = 0;
--bun:split
CREATE INDEX webhook_delivery_created ON webhook_delivery (created_at);
