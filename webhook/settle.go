package webhook

import (
	"context"
	"math/rand/v2"
	"time"

	"kelian/internal/outbox"
	"kelian/internal/store"
)

// settle is the third step. It writes only while the delivery is the one that
// the lane holds, by this attempt: else somebody took it after the lease ended.
func (s *Service) settle(ctx context.Context, t *taken, out outcome) error {
	now := s.clock.Now()
	_, err := store.InTx(context.WithoutCancel(ctx), s.db, store.Internal("webhook.record"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		h, err := s.lock(ctx, tx, t.hook.ID)
		if err != nil || h == nil {
			return struct{}{}, err
		}
		var mine []int
		var later []time.Time
		r := store.NewReads(tx)
		r.SQL(&mine, `SELECT attempt FROM webhook_delivery WHERE id = ? AND state = 'sending' AND attempt = ?`, t.delivery.ID, t.delivery.Attempt)
		r.SQL(&later, `SELECT next_at FROM webhook_delivery WHERE webhook = ? AND state = 'waiting' ORDER BY next_at LIMIT 1`, h.ID)
		if err := r.Run(ctx); err != nil || len(mine) == 0 || h.Sending != t.delivery.ID {
			return struct{}{}, err
		}
		d := t.delivery
		d.Code, d.Answer, d.Reason = out.code, out.answer, out.reason
		if out.reason == reasonUnknown {
			d.PossibleDuplicate++
		}
		s.book(h, &d, out, now)
		tx.Queue(tx.DB.Bun().NewUpdate().Model(&d).Column("state", "reason", "code", "answer", "possible_duplicate", "next_at", "sent_at").WherePK())
		if d.State == Waiting && (len(later) == 0 || d.NextAt.Before(later[0])) {
			later = []time.Time{d.NextAt}
		}
		s.lead(tx, h, later, now)
		return struct{}{}, nil
	})
	return err
}

// book is what comes of a post, for the delivery and its endpoint.
func (s *Service) book(h *Hook, d *Delivery, out outcome, now time.Time) {
	if out.ok() {
		d.State, d.SentAt, d.Reason = Sent, now, ""
		h.FailingSince, h.PauseUntil = time.Time{}, time.Time{}
		return
	}
	d.State, d.NextAt = Failed, now
	if h.FailingSince.IsZero() {
		h.FailingSince = now
	}
	if out.retryAfter > 0 {
		h.PauseUntil = now.Add(out.retryAfter)
	}
	if next := now.Add(max(backoff(d.Attempt), out.retryAfter)); h.Enabled() && out.reason != Gone && next.Before(d.RetryUntil) {
		d.State, d.NextAt = Waiting, next
	}
	switch {
	case !h.Enabled():
	case out.reason == Gone:
		h.Disabled = Gone
	case now.Sub(h.FailingSince) >= FailingFor:
		h.Disabled = Failing
	}
}

// lead frees the lane, or switches the endpoint off, and says when the lane is
// looked at again.
func (s *Service) lead(tx *store.Tx, h *Hook, later []time.Time, now time.Time) {
	was := h.Sending
	tx.QueueSQL(`UPDATE webhook SET sending = NULL, lease_until = NULL, failing_since = ?, pause_until = ?, disabled = ? WHERE id = ? AND sending = ?`,
		moment(h.FailingSince), moment(h.PauseUntil), h.Disabled, h.ID, was)
	switch {
	case h.Enabled():
		if len(later) > 0 && !later[0].After(now) {
			later[0] = now // without the pause for what is blocked
			laneAt(tx, h.ID, now)
			return
		}
		rouse(tx, h.ID, later, now)
	case h.Disabled == Gone || h.Disabled == Failing:
		s.disable(tx, h, h.Disabled)
		outbox.Put(tx, outbox.Event{Topic: TopicDisabled, Aggregate: h.ID, Payload: DisabledPayload{h.ID, h.Owner, h.Description, h.Disabled}})
	default:
		outbox.Void(tx, h.ID)
	}
}

// moment is NULL for no time.
func moment(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// backoff is the wait after the n-th attempt: full jitter below 30 s, tripled
// each time, at most 3 h.
func backoff(attempt int) time.Duration {
	wait := 30 * time.Second
	for i := 1; i < attempt && wait < backOffMax; i++ {
		wait = min(3*wait, backOffMax)
	}
	return time.Second + rand.N(wait)
}
