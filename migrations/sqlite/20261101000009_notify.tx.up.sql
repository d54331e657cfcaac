CREATE TABLE notification (
    id TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    person TEXT,
    subject TEXT,
    ref_kind TEXT NOT NULL,
    ref_id TEXT,
    unit TEXT NOT NULL,
    lang TEXT NOT NULL CHECK (lang IN ('', 'zh', 'en')),
    params TEXT NOT NULL CHECK (length(params) <= 4000),
    path TEXT NOT NULL CHECK (length(path) <= 500),
    critical BOOLEAN NOT NULL,
    dedupe TEXT NOT NULL,
    hidden BOOLEAN NOT NULL,
    at TIMESTAMP NOT NULL,
    read_at TIMESTAMP,
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
ALTER TABLE delivery ADD COLUMN retry_until TIMESTAMP;
--bun:split
CREATE UNIQUE INDEX delivery_once ON delivery (event, channel, recipient);
--bun:split
CREATE INDEX delivery_failed ON delivery (created_at) WHERE state = 'failed';
--bun:split
CREATE TABLE notify_preference (
    person TEXT NOT NULL,
    topic TEXT NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('inapp', 'email')),
    enabled BOOLEAN NOT NULL,
    PRIMARY KEY (person, topic, channel)
);
--bun:split
CREATE TABLE to_tell (
    id TEXT PRIMARY KEY,
    notification TEXT NOT NULL REFERENCES notification (id),
    delivery TEXT NOT NULL UNIQUE REFERENCES delivery (id),
    recipient TEXT NOT NULL,
    unit TEXT NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('phone', 'wechat')),
    text_zh TEXT NOT NULL,
    text_en TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('OPEN', 'TOLD', 'NO_ANSWER', 'WRONG_NUMBER')),
    created_at TIMESTAMP NOT NULL,
    reminded_at TIMESTAMP,
    told_by TEXT,
    told_at TIMESTAMP,
    CHECK ((state = 'OPEN') = (told_at IS NULL))
);
--bun:split
CREATE INDEX to_tell_notification ON to_tell (notification);
--bun:split
CREATE INDEX to_tell_list ON to_tell (created_at DESC, id DESC) WHERE state IN ('OPEN', 'NO_ANSWER');
