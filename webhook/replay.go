package webhook

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// Test posts an event of the type ping, whatever the endpoint subscribes to.
func (s *Service) Test(ctx context.Context, actor org.Actor, in HookInput) (id.ID, error) {
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "testWebhook", in.IdempotencyKey, in)
	return replaying(ctx, s, actor, cmd, in.Webhook, now, func(_ context.Context, tx *store.Tx, actor org.Actor, h *Hook) (id.ID, error) {
		s.record(tx, actor, h, "test", nil, now)
		return s.add(tx, h.ID, Fact{Type: Ping, Ref: h.ref(), Kind: "webhook", Status: "ENABLED"}, now), nil
	})
}

// ReplayInput names a delivery.
type ReplayInput struct {
	Delivery       id.ID
	IdempotencyKey string
}

// Replay posts a delivery again, with the same webhook-id and body; one that
// waits for its next attempt is due at once.
func (s *Service) Replay(ctx context.Context, actor org.Actor, in ReplayInput) error {
	now := s.clock.Now()
	var at []id.ID
	err := s.db.R.NewRaw(`SELECT webhook FROM webhook_delivery WHERE id = ?`, in.Delivery).Scan(ctx, &at)
	if err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	hook := id.Nil
	if len(at) > 0 {
		hook = at[0]
	}
	cmd := store.FromClient(s.db, actor.Person, "replayWebhookDelivery", in.IdempotencyKey, in)
	_, err = replaying(ctx, s, actor, cmd, hook, now, func(_ context.Context, tx *store.Tx, actor org.Actor, h *Hook) (id.ID, error) {
		tx.QueueSQL(`UPDATE webhook_delivery SET `+again+` WHERE id = ? AND state <> 'sending'`, now, now.Add(RetryFor), in.Delivery)
		laneAt(tx, h.ID, time.Time{})
		s.record(tx, actor, h, "replay", map[string]any{"delivery": in.Delivery}, now)
		return in.Delivery, nil
	})
	return err
}

// again makes a delivery wait anew; its arguments are now and when it is dead.
const again = `state = 'waiting', reason = NULL, sent_at = NULL, next_at = ?, retry_until = ?`

// ReplaySinceInput asks for the deliveries of a span of time.
type ReplaySinceInput struct {
	Webhook        id.ID
	Since          time.Time
	Until          time.Time // zero = now
	Sent           bool      // also those that had arrived
	IdempotencyKey string
}

// ReplaySince posts again what died in the span, the oldest first; it gives how
// many there are. More than ReplayMost are refused.
func (s *Service) ReplaySince(ctx context.Context, actor org.Actor, in ReplaySinceInput) (int, error) {
	now := s.clock.Now()
	until := in.Until
	if until.IsZero() {
		until = now
	}
	if !in.Since.Before(until) {
		return 0, fault.Input("since", "since 必须早于 until", "since must be before until")
	}
	if until.Sub(in.Since) > ReplaySpan {
		return 0, fault.Input("since", "一次最多重放 7 天，请缩短时间段", "a replay spans at most 7 days; choose a shorter time")
	}
	cmd := store.FromClient(s.db, actor.Person, "replayWebhookSince", in.IdempotencyKey, in)
	return replaying(ctx, s, actor, cmd, in.Webhook, now, func(ctx context.Context, tx *store.Tx, actor org.Actor, h *Hook) (int, error) {
		states := "'failed'"
		if in.Sent {
			states = "'failed', 'sent'"
		}
		res, err := tx.NewRaw(`UPDATE webhook_delivery SET `+again+` WHERE webhook = ? AND created_at >= ? AND created_at < ? AND state IN (`+states+`)`,
			now, now.Add(RetryFor), h.ID, in.Since.UTC(), until.UTC()).Exec(ctx)
		if err != nil {
			return 0, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return 0, err
		}
		if n > ReplayMost {
			return 0, fault.Refuse("TOO_MANY_DELIVERIES", "这段时间超过 1000 条，请分几段重放", "there are more than 1,000 in this time; replay it in parts").At("since")
		}
		laneAt(tx, h.ID, time.Time{})
		s.record(tx, actor, h, "replay", map[string]any{"since": in.Since.UTC(), "until": until.UTC(), "sent": in.Sent, "count": n}, now)
		return int(n), nil
	})
}

// replaying is onHook with an outcome, for an endpoint that is on.
func replaying[T any](ctx context.Context, s *Service, actor org.Actor, cmd store.Command, hook id.ID, now time.Time,
	fn func(context.Context, *store.Tx, org.Actor, *Hook) (T, error)) (T, error) {
	return onHook(ctx, s, actor, cmd, hook, now, func(ctx context.Context, tx *store.Tx, actor org.Actor, h *Hook) (out T, err error) {
		if !h.Enabled() {
			return out, fault.Refuse("WEBHOOK_DISABLED", "端点已停用，请先启用", "the endpoint is switched off; switch it on first").At("webhook")
		}
		return fn(ctx, tx, actor, h)
	})
}
