package webhook

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
)

// The topics of this package.
const (
	TopicSend     = "webhook.send"     // {webhook}, the timer of an endpoint's lane
	TopicDisabled = "webhook.disabled" // {webhook, owner, description, reason}
)

// Wanted is SQL for whether there is anybody to post events to; see
// outbox.RouteWhile.
const Wanted = `EXISTS (SELECT 1 FROM webhook WHERE disabled = '')`

// Consumer is the name under which events are routed here.
const Consumer = "webhook"

// DisabledPayload is what TopicDisabled carries.
type DisabledPayload struct {
	Webhook     id.ID  `json:"webhook"`
	Owner       id.ID  `json:"owner"`
	Description string `json:"description"`
	Reason      string `json:"reason"`
}

type lane struct {
	Webhook id.ID `json:"webhook"`
}

// OnEvent handles an event of the outbox: a delivery for each endpoint that
// subscribes to what it means.
func (s *Service) OnEvent(describe Describe) func(ctx context.Context, d outbox.Delivery) error {
	return func(ctx context.Context, d outbox.Delivery) error {
		now := s.clock.Now()
		_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
			facts, err := describe(ctx, tx, d)
			if fault.Is(err, fault.NotFound) {
				return struct{}{}, nil // the object is gone
			}
			for _, f := range facts {
				if err == nil {
					err = s.fanOut(ctx, tx, f, now)
				}
			}
			return struct{}{}, err
		})
		return err
	}
}

func (s *Service) fanOut(ctx context.Context, tx *store.Tx, f Fact, now time.Time) error {
	var hooks []id.ID
	err := tx.NewRaw(`SELECT id FROM webhook WHERE disabled = '' AND ' ' || events || ' ' LIKE ? ORDER BY id ?`, "% "+f.Type+" %", s.db.Lock(false)).Scan(ctx, &hooks)
	if err != nil && !store.NoRows(err) {
		return err
	}
	for _, h := range hooks {
		s.add(tx, h, f, now)
	}
	return nil
}

// add writes a delivery and wakes the lane, whose lock the caller holds.
func (s *Service) add(tx *store.Tx, hook id.ID, f Fact, now time.Time) id.ID {
	row := &Delivery{ID: id.New(), Webhook: hook, Event: f.Type, ObjectKind: f.Ref.Kind, ObjectID: f.Ref.ID, Version: f.Version,
		Body: s.body(f, now), State: Waiting, CreatedAt: now, NextAt: now, RetryUntil: now.Add(RetryFor)}
	tx.Queue(tx.DB.Bun().NewInsert().Model(row))
	laneAt(tx, hook, time.Time{})
	return row.ID
}

// laneAt has an endpoint's lane looked at; the zero time is at once.
func laneAt(tx *store.Tx, hook id.ID, at time.Time) {
	outbox.Timer(tx, hook, "send", outbox.Event{Topic: TopicSend, Queue: outbox.QueueHook, Aggregate: hook, Payload: lane{hook}, DueAt: at})
}

// taken is a delivery that this process holds the lease of.
type taken struct {
	hook     Hook
	delivery Delivery
}

// OnSend handles webhook.send: take, post, record. What is lost between the
// steps comes back by the timer that the first one puts.
func (s *Service) OnSend(ctx context.Context, d outbox.Delivery) error {
	var p lane
	if err := d.Decode(&p); err != nil {
		return err
	}
	t, err := s.take(ctx, d, p.Webhook)
	if err != nil || t == nil {
		return err
	}
	fault.At("before-send")
	out := s.post(ctx, t)
	fault.At("after-send")
	return s.settle(ctx, t, out)
}

// take is the first step: it counts the attempt, holds the lane for the lease
// and puts the timer for its end. It gives nil when there is nothing to post.
func (s *Service) take(ctx context.Context, d outbox.Delivery, hook id.ID) (*taken, error) {
	now := s.clock.Now()
	var out *taken
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		out = nil
		h, err := s.lock(ctx, tx, hook)
		switch {
		case err != nil || h == nil || !h.Enabled():
			return struct{}{}, err
		case h.Busy:
			laneAt(tx, hook, now.Add(leaseFor/3))
			return struct{}{}, nil
		case h.PauseUntil.After(now):
			laneAt(tx, hook, h.PauseUntil)
			return struct{}{}, nil
		}
		due, later, err := s.next(ctx, tx, hook, now)
		if err != nil {
			return struct{}{}, err
		}
		if due == nil {
			rouse(tx, hook, later, now)
			return struct{}{}, nil
		}
		if due.State == Sending {
			due.PossibleDuplicate++ // taken and never recorded: it may have arrived
		}
		if due.State == Sending && !now.Before(due.RetryUntil) {
			tx.QueueSQL(`UPDATE webhook_delivery SET state = 'failed', reason = ?, possible_duplicate = ? WHERE id = ?`, reasonUnknown, due.PossibleDuplicate, due.ID)
			tx.QueueSQL(`UPDATE webhook SET sending = NULL, lease_until = NULL WHERE id = ?`, hook)
			laneAt(tx, hook, now)
			return struct{}{}, nil
		}
		due.Attempt++
		tx.QueueSQL(`UPDATE webhook_delivery SET state = 'sending', attempt = ?, possible_duplicate = ?, tried_at = ? WHERE id = ?`,
			due.Attempt, due.PossibleDuplicate, now, due.ID)
		tx.QueueSQL(`UPDATE webhook SET sending = ?, lease_until = ? WHERE id = ?`, due.ID, s.db.Ago(-leaseFor), hook)
		laneAt(tx, hook, now.Add(leaseFor))
		out = &taken{*h, *due}
		return struct{}{}, nil
	})
	return out, err
}

// next gives the delivery whose turn it is, nil for none, and when the next one
// waits for. An event waits while an earlier one about the same object has not
// been tried yet, or not been written.
func (s *Service) next(ctx context.Context, tx *store.Tx, hook id.ID, now time.Time) (due *Delivery, later []time.Time, err error) {
	var rows []Delivery
	r := store.NewReads(tx)
	r.SQL(&rows, `SELECT d.* FROM webhook_delivery AS d WHERE d.webhook = ? AND (d.state = 'sending' OR d.state = 'waiting' AND d.next_at <= ?
			AND NOT EXISTS (SELECT 1 FROM webhook_delivery AS e WHERE e.webhook = d.webhook AND e.object_id = d.object_id AND e.state = 'waiting' AND e.attempt = 0 AND e.version < d.version)
			AND NOT EXISTS (SELECT 1 FROM outbox WHERE consumer = 'webhook' AND state IN ('pending', 'sent') AND aggregate = d.object_id AND version < d.version))
		ORDER BY d.state, d.next_at, d.id LIMIT 1`, hook, now)
	r.SQL(&later, `SELECT next_at FROM webhook_delivery WHERE webhook = ? AND state = 'waiting' ORDER BY next_at LIMIT 1`, hook)
	if err := r.Run(ctx); err != nil {
		return nil, nil, err
	}
	if len(rows) > 0 {
		due = &rows[0]
	}
	return due, later, nil
}

// rouse puts the lane's timer for the next delivery; none ends it.
func rouse(tx *store.Tx, hook id.ID, later []time.Time, now time.Time) {
	if len(later) == 0 {
		outbox.Void(tx, hook)
		return
	}
	at := later[0]
	if !at.After(now) {
		at = now.Add(blockedFor)
	}
	laneAt(tx, hook, at)
}
