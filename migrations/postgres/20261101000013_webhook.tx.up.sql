CREATE TABLE webhook (
    id uuid PRIMARY KEY,
    url text COLLATE "C" NOT NULL CHECK (length(url) BETWEEN 1 AND 2000),
    description text NOT NULL CHECK (length(description) <= 200),
    events text COLLATE "C" NOT NULL CHECK (length(events) BETWEEN 1 AND 2000),
    owner uuid NOT NULL REFERENCES person (id),
    disabled text COLLATE "C" NOT NULL CHECK (disabled IN ('', 'BY_HAND', 'GONE', 'FAILING')),
    generation integer NOT NULL CHECK (generation > 0),
    previous_until timestamptz,
    failing_since timestamptz,
    pause_until timestamptz,
    sending uuid,
    lease_until timestamptz,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    CHECK (sending IS NOT NULL OR lease_until IS NULL)
);
--bun:split
CREATE INDEX webhook_owner ON webhook (owner);
--bun:split
CREATE TABLE webhook_delivery (
    id uuid PRIMARY KEY,
    webhook uuid NOT NULL REFERENCES webhook (id) ON DELETE CASCADE,
    event text COLLATE "C" NOT NULL,
    object_kind text COLLATE "C" NOT NULL,
    object_id uuid,
    version bigint NOT NULL,
    body text NOT NULL CHECK (length(body) <= 8000),
    state text COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'sending', 'sent', 'failed')),
    reason text COLLATE "C" CHECK (length(reason) <= 40),
    code integer CHECK (code BETWEEN 100 AND 999),
    answer text CHECK (length(answer) <= 500),
    attempt integer NOT NULL DEFAULT 0,
    possible_duplicate integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    next_at timestamptz NOT NULL,
    retry_until timestamptz NOT NULL,
    tried_at timestamptz,
    sent_at timestamptz,
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
