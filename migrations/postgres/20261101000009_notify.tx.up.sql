CREATE TABLE notification (
    id uuid PRIMARY KEY,
    topic text COLLATE "C" NOT NULL,
    person uuid,
    subject uuid,
    ref_kind text COLLATE "C" NOT NULL,
    ref_id uuid,
    unit text COLLATE "C" NOT NULL,
    lang text COLLATE "C" NOT NULL CHECK (lang IN ('', 'zh', 'en')),
    params text NOT NULL CHECK (length(params) <= 4000),
    path text COLLATE "C" NOT NULL CHECK (length(path) <= 500),
    critical boolean NOT NULL,
    dedupe text COLLATE "C" NOT NULL,
    hidden boolean NOT NULL,
    at timestamptz NOT NULL,
    read_at timestamptz,
    CHECK ((person IS NULL) <> (subject IS NULL))
);
--bun:split
CREATE INDEX notification_inbox ON notification (person, at DESC, id DESC) WHERE NOT hidden;
--bun:split
CREATE INDEX notification_unread ON notification (person) WHERE NOT hidden AND read_at IS NULL;
--bun:split
CREATE INDEX notification_subject ON notification (subject);
--bun:split
CREATE INDEX notification_ref ON notification (ref_id);
--bun:split
CREATE INDEX notification_dedupe ON notification (dedupe, at);
--bun:split
CREATE INDEX notification_at ON notification (at);
--bun:split
ALTER TABLE delivery ADD COLUMN retry_until timestamptz;
--bun:split
CREATE UNIQUE INDEX delivery_once ON delivery (event, channel, recipient);
--bun:split
CREATE INDEX delivery_failed ON delivery (created_at) WHERE state = 'failed';
--bun:split
CREATE TABLE notify_preference (
    person uuid NOT NULL,
    topic text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL CHECK (channel IN ('inapp', 'email')),
    enabled boolean NOT NULL,
    PRIMARY KEY (person, topic, channel)
);
--bun:split
CREATE TABLE to_tell (
    id uuid PRIMARY KEY,
    notification uuid NOT NULL REFERENCES notification (id),
    delivery uuid NOT NULL UNIQUE REFERENCES delivery (id),
    recipient uuid NOT NULL,
    unit text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL CHECK (channel IN ('phone', 'wechat')),
    text_zh text NOT NULL,
    text_en text NOT NULL,
    state text COLLATE "C" NOT NULL CHECK (state IN ('OPEN', 'TOLD', 'NO_ANSWER', 'WRONG_NUMBER')),
    created_at timestamptz NOT NULL,
    reminded_at timestamptz,
    told_by uuid,
    told_at timestamptz,
    CHECK ((state = 'OPEN') = (told_at IS NULL))
);
--bun:split
CREATE INDEX to_tell_notification ON to_tell (notification);
--bun:split
CREATE INDEX to_tell_list ON to_tell (created_at DESC, id DESC) WHERE state IN ('OPEN', 'NO_ANSWER');
