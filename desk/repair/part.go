package repair

import (
	"context"
	"errors"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// NeedPartInput asks for a part.
type NeedPartInput struct {
	Ticket         id.ID
	Text           string // what, 1 to 500 characters
	Amount         int64  // fen, 1 to 1,000,000 yuan
	IdempotencyKey string
}

// NeedPart stops the ticket's clock and asks for the part by way of Purchases.
func (s *Service) NeedPart(ctx context.Context, actor org.Actor, in NeedPartInput) (Outcome, error) {
	if err := checkText("text", in.Text, 1, 500); err != nil {
		return Outcome{}, err
	}
	if in.Amount < 1 || in.Amount > 100_000_000 {
		return Outcome{}, fault.Input("amount", "金额须在 0.01 元到 100 万元之间", "the amount must be between 0.01 and 1,000,000 yuan")
	}
	var request func(context.Context, *store.Tx, Part) (outbox.Ref, error)
	var refused error
	ask := func(r *store.Reads, _ time.Time) {
		if s.Purchases != nil {
			request, refused = s.Purchases.AskRequest(ctx, r, actor)
		}
	}
	return s.act(ctx, actor, ActNeedPart, in.Ticket, in.IdempotencyKey, in, func(a *act, to State) error {
		if err := a.say(in.Text); err != nil {
			return err
		}
		a.amount = &in.Amount
		a.become(ActNeedPart, to)
		a.tellReporter("repair.status")
		if s.Purchases == nil || refused != nil {
			return refused
		}
		ref, err := request(a.ctx, a.tx, Part{Ticket: a.t.ID, Number: a.t.Number, Text: in.Text, Amount: in.Amount})
		if err != nil {
			return err
		}
		a.waitFor(ref)
		return nil
	}, ask)
}

func (a *act) waitFor(request outbox.Ref) {
	a.t.Request = request.ID
	outbox.Link(a.tx, a.t.Ref(), request, "needs", a.now)
}

// WaitForParts is for the transaction of another service that creates the
// purchase request: the ticket waits for it, its clock stops, and the two are
// linked. A ticket that waits already, without a request, gets this one.
func (s *Service) WaitForParts(ctx context.Context, tx *store.Tx, actor org.Actor, ticket id.ID, request outbox.Ref) error {
	a, err := s.begin(ctx, tx, actor, ticket, s.clock.Now())
	if err != nil {
		return err
	}
	if err := s.rules.Check(a.actor, "repair."+string(ActNeedPart), a.t.object()); err != nil {
		return err
	}
	if to, ok := Next(ActNeedPart, a.t.State, a.roles); ok {
		a.become(ActNeedPart, to)
		a.tellReporter("repair.status")
	} else if a.t.State != WaitingParts || !a.t.Request.IsZero() && a.t.Request != request.ID {
		return wrongState(a.t)
	}
	a.waitFor(request)
	a.save()
	return nil
}

// OnPurchaseChanged ends the waiting when what was bought has arrived, or when
// the purchase was cancelled: the technician has to find another way then.
func (s *Service) OnPurchaseChanged(ctx context.Context, d outbox.Delivery) error {
	var p purchasePayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	reason := map[string]string{"ARRIVED": "ARRIVED", "CANCELLED": "PURCHASE_CANCELLED"}[p.State]
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		if reason == "" {
			return nil
		}
		return s.resumeParts(ctx, tx, reason, `request = ? OR request IN (SELECT from_id FROM link WHERE to_id = ? AND from_kind = 'req')`, p.Purchase, p.Purchase)
	})
}

// OnPurchaseRejected ends the waiting for a request that was refused.
func (s *Service) OnPurchaseRejected(ctx context.Context, d outbox.Delivery) error {
	var p requestPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		return s.resumeParts(ctx, tx, "PURCHASE_REJECTED", `request = ?`, p.Request)
	})
}

func (s *Service) resumeParts(ctx context.Context, tx *store.Tx, reason, where string, args ...any) error {
	var ids []id.ID
	err := tx.NewSelect().Table("ticket").Column("id").Where("state = ?", WaitingParts).Where(where, args...).OrderExpr("id").Scan(ctx, &ids)
	if err != nil && !store.NoRows(err) {
		return err
	}
	for _, i := range ids {
		if err := s.machine(ctx, tx, i, ActPartsArrived, func(a *act, to State) error {
			a.reason = reason
			a.become(ActPartsArrived, to)
			a.tellReporter("repair.status")
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// handle runs one delivery's transaction.
func (s *Service) handle(ctx context.Context, d outbox.Delivery, fn func(ctx context.Context, tx *store.Tx) error) error {
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		return struct{}{}, fn(ctx, tx)
	})
	return err
}

// machine runs an action of the system on a ticket; where the ticket has moved
// on meanwhile nothing happens.
func (s *Service) machine(ctx context.Context, tx *store.Tx, ticket id.ID, action Action, fn func(a *act, to State) error) error {
	a, err := s.begin(ctx, tx, org.System(), ticket, s.clock.Now())
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	to, ok := Next(action, a.t.State, a.roles)
	if !ok {
		return nil
	}
	if err := fn(a, to); err != nil {
		if errors.Is(err, errStale) {
			return nil
		}
		return err
	}
	a.save()
	return nil
}

// errStale is what a handler's step answers when there is nothing to do.
var errStale = errors.New("repair: stale")
