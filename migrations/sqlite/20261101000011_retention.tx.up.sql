CREATE INDEX delivery_created ON delivery (created_at);
--bun:split
CREATE INDEX to_tell_told ON to_tell (told_at) WHERE told_at IS NOT NULL;
--bun:split
CREATE INDEX decision_link_expires ON decision_link (expires_at);
--bun:split
CREATE INDEX reservation_released ON reservation (released_at) WHERE released_at IS NOT NULL;
--bun:split
CREATE INDEX transition_at ON transition (at);
