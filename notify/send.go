package notify

import (
	"context"
	"math/rand/v2"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// taken is a delivery that this process holds the lease of.
type taken struct {
	delivery id.ID
	attempt  int
	letter   Letter
}

// OnSend handles notify.send: take, send, record. What is
// lost between the steps comes back by the timer that the first step puts.
func (s *Service) OnSend(ctx context.Context, d outbox.Delivery) error {
	var p sending
	if err := d.Decode(&p); err != nil {
		return err
	}
	t, err := s.take(ctx, d, p.Delivery)
	if err != nil || t == nil {
		return err
	}
	fault.At("before-send")
	limited, cancel := context.WithTimeout(ctx, sendFor)
	defer cancel()
	err = s.mail.Send(limited, t.letter)
	fault.At("after-send")
	return s.record(ctx, t, err)
}

// OnRetry handles notify.retry, the timer of a delivery that was taken and not
// recorded, or that failed and is to be tried again.
func (s *Service) OnRetry(ctx context.Context, d outbox.Delivery) error { return s.OnSend(ctx, d) }

type takenRow struct {
	ID      id.ID
	Event   id.ID
	Attempt int
}

// take is the first step: it counts the attempt, holds the row for the lease
// and puts the timer for its end. It gives nil when there is nothing to send.
// A row still in state sending was taken by a process that never recorded the
// outcome, so this send may be the second.
func (s *Service) take(ctx context.Context, d outbox.Delivery, delivery id.ID) (*taken, error) {
	now := s.clock.Now()
	var out *taken
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		out = nil
		var rows []takenRow
		err := tx.NewRaw(`UPDATE delivery SET attempt = attempt + 1, lease_until = ?,
				possible_duplicate = possible_duplicate + CASE WHEN state = 'sending' THEN 1 ELSE 0 END, state = 'sending'
			WHERE id = ? AND (state = 'waiting' OR state = 'sending' AND lease_until <= ?) RETURNING id, event, attempt`,
			s.db.Ago(-leaseFor), delivery, s.db.Now()).Scan(ctx, &rows)
		if err != nil && !store.NoRows(err) {
			return struct{}{}, err
		}
		if len(rows) == 0 {
			return struct{}{}, s.wait(ctx, tx, delivery, now)
		}
		letter, why, err := s.letter(ctx, tx, rows[0])
		if err != nil {
			return struct{}{}, err
		}
		if why != "" {
			tx.QueueSQL(`UPDATE delivery SET state = 'skipped', reason = ?, lease_until = NULL WHERE id = ?`, why, delivery)
			outbox.Void(tx, delivery)
			return struct{}{}, nil
		}
		s.retryAt(tx, delivery, now.Add(leaseFor))
		out = &taken{delivery, rows[0].Attempt, letter}
		return struct{}{}, nil
	})
	return out, err
}

// wait puts the timer again for a row whose lease has not ended by the
// database's clock: without it nobody would come back to it.
func (s *Service) wait(ctx context.Context, tx *store.Tx, delivery id.ID, now time.Time) error {
	held, err := tx.NewSelect().Model((*Delivery)(nil)).Where("id = ?", delivery).Where("state = 'sending'").Exists(ctx)
	if held {
		s.retryAt(tx, delivery, now.Add(leaseFor/3))
	}
	return err
}

func (s *Service) retryAt(tx *store.Tx, delivery id.ID, at time.Time) {
	outbox.Timer(tx, delivery, "retry", outbox.Event{Topic: "notify.retry", Queue: outbox.QueueSend, Aggregate: delivery,
		Payload: sending{delivery}, DueAt: at})
}

// letter puts the delivery into words; why says that it must not go out.
func (s *Service) letter(ctx context.Context, tx *store.Tx, row takenRow) (l Letter, why string, err error) {
	var n Notification
	if err := tx.NewSelect().Model(&n).Where("id = ?", row.Event).Scan(ctx); err != nil {
		return l, "", err
	}
	who, err := s.reach(ctx, tx, &n)
	switch {
	case err != nil:
		return l, "", err
	case who.erased:
		return l, Erased, nil
	case who.mailbox == "":
		return l, NoContact, nil
	case s.mail == nil:
		return l, ChannelOff, nil
	}
	r := s.Render(&n, who.lang)
	return Letter{ID: s.messageID(row.ID), To: who.mailbox, Subject: r.Subject, Text: r.Text + "\n", HTML: r.htmlBody(), Date: n.At}, "", nil
}

// messageID is the same for all attempts at a delivery.
func (s *Service) messageID(delivery id.ID) string { return delivery.TypeID("dlv") + "@" + s.host }

// record is the third step. It writes only if the attempt is still the newest:
// a later one owns the row and its timer.
func (s *Service) record(ctx context.Context, t *taken, sent error) error {
	now := s.clock.Now()
	_, err := store.InTx(context.WithoutCancel(ctx), s.db, store.Internal("notify.record"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var d Delivery
		q := tx.NewSelect().Model(&d).Where("id = ?", t.delivery).Where("state = 'sending'")
		if !fault.BugAttempt {
			q = q.Where("attempt = ?", t.attempt)
		}
		if s.db.Postgres() {
			q = q.For("UPDATE")
		}
		err := q.Scan(ctx)
		if store.NoRows(err) {
			fault.At("stale-record")
			return struct{}{}, nil
		}
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.settle(ctx, tx, &d, sent, now)
	})
	return err
}

// settle books the outcome of a send that holds the row.
func (s *Service) settle(ctx context.Context, tx *store.Tx, d *Delivery, sent error, now time.Time) error {
	outbox.Void(tx, d.ID, "retry")
	if sent == nil {
		tx.QueueSQL(`UPDATE delivery SET state = 'sent', sent_at = ?, reason = NULL, lease_until = NULL WHERE id = ?`, now, d.ID)
		return nil
	}
	u, known := unsent(sent)
	reason, unknown := Uncertain, 1
	if known {
		reason, unknown = u.Reason, 0
	}
	next := now.Add(backoff(d.Attempt))
	if (!known || !u.Permanent) && next.Before(d.RetryUntil) {
		tx.QueueSQL(`UPDATE delivery SET state = 'waiting', reason = ?, possible_duplicate = possible_duplicate + ?, lease_until = NULL WHERE id = ?`,
			reason, unknown, d.ID)
		s.retryAt(tx, d.ID, next)
		return nil
	}
	if known && !u.Permanent {
		reason = GaveUp
	}
	tx.QueueSQL(`UPDATE delivery SET state = 'failed', reason = ?, lease_until = NULL WHERE id = ?`, reason, d.ID)
	return s.fallBack(ctx, tx, d, now)
}

// fallBack puts somebody without an account on the to-tell list when mail to
// him is dead and a number is known.
func (s *Service) fallBack(ctx context.Context, tx *store.Tx, d *Delivery, now time.Time) error {
	var n Notification
	if err := tx.NewSelect().Model(&n).Where("id = ?", d.Event).Scan(ctx); err != nil {
		return err
	}
	who, err := s.reach(ctx, tx, &n)
	if err != nil || who.account || who.erased || who.byHand() == "" {
		return err
	}
	row := &Delivery{ID: id.New(), Event: n.ID, Channel: who.byHand(), Recipient: n.recipient(), State: Waiting, Reason: ByHand, CreatedAt: now}
	res, err := tx.NewInsert().Model(row).On("CONFLICT (event, channel, recipient) DO NOTHING").Exec(ctx)
	if err != nil {
		return err
	}
	if added, err := res.RowsAffected(); err != nil || added == 0 {
		return err
	}
	s.putToTell(tx, &n, row, now)
	return nil
}

// backoff is the wait after the n-th attempt: 1 min, tripled each time, at
// most 3 h, ± a quarter.
func backoff(attempt int) time.Duration {
	wait := time.Minute
	for i := 1; i < attempt && wait < 3*time.Hour; i++ {
		wait = min(3*wait, 3*time.Hour)
	}
	return wait*3/4 + rand.N(wait/2)
}

// ResendInput asks for a dead delivery to be tried again.
type ResendInput struct {
	Delivery       id.ID
	IdempotencyKey string
}

// Resend makes a dead mail wait again, for another 24 hours and under the same
// Message-ID.
func (s *Service) Resend(ctx context.Context, actor org.Actor, in ResendInput) error {
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "resendDelivery", in.IdempotencyKey, in)
	_, err := store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (id.ID, error) {
		actor, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return id.Nil, err
		}
		if err := s.rules.Check(actor, ActResend, org.Object{}); err != nil {
			return id.Nil, err
		}
		res, err := tx.NewRaw(`UPDATE delivery SET state = 'waiting', reason = NULL, retry_until = ? WHERE id = ? AND state = 'failed' AND channel = 'email'`,
			now.Add(retryFor), in.Delivery).Exec(ctx)
		if err != nil {
			return id.Nil, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err != nil {
				return id.Nil, err
			}
			return id.Nil, fault.Refuse("NOT_FAILED", "这条通知没有失败，不用重发", "this delivery has not failed; there is nothing to send again")
		}
		outbox.Put(tx, sendEvent(in.Delivery, time.Time{}))
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "notify.resend",
			Object: outbox.Ref{Kind: "dlv", ID: in.Delivery}, At: now})
		return in.Delivery, nil
	})
	return err
}
