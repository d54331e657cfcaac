package sponsor

import (
	"context"
	"fmt"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// account spells the account of an object.
func account(kind string, one id.ID) string { return kind + ":" + one.String() }

// spent is where money goes when what it bought is there.
const spent = "spent"

func yuan(fen int64) string {
	if fen%100 == 0 {
		return fmt.Sprint(fen / 100)
	}
	return fmt.Sprintf("%d.%02d", fen/100, fen%100)
}

// AllocateInput spends a part of a received pledge on a purchase.
type AllocateInput struct {
	Pledge         id.ID
	Purchase       id.ID
	Amount         int64 // fen
	IdempotencyKey string
}

// Allocation is what an allocation leaves.
type Allocation struct {
	Entry  id.ID
	Thanks id.ID
	Left   int64 // fen of the pledge
	Funded bool  // the purchase has all it needs
}

// Allocate moves money from a received pledge to a purchase, one press: the
// purchase becomes FUNDED once it has all it needs, and the thanks owed are
// noted. Never more than is left of the pledge, whoever else allocates it at
// the same time; what was promised for nothing but money stays so.
func (s *Service) Allocate(ctx context.Context, actor org.Actor, in AllocateInput) (Allocation, error) {
	if in.Amount < 1 || in.Amount > maxAmount {
		return Allocation{}, fault.Input("amount", "金额须在 0.01 元到 1000 万元之间", "the amount is between 0.01 and 10,000,000 yuan")
	}
	return command(ctx, s, actor, "allocatePledge", in.IdempotencyKey, in, actAllocate, func(ctx context.Context, tx *store.Tx, a org.Actor, now time.Time) (Allocation, error) {
		var rows []Pledge
		err := tx.NewRaw(`UPDATE pledge SET allocated = allocated + ?, version = version + 1, changed_at = ?
			WHERE id = ? AND kind = 'CASH' AND state IN ('RECEIVED', 'DELIVERED', 'THANKED') AND allocated + ? <= received RETURNING *`,
			in.Amount, now, in.Pledge, in.Amount).Scan(ctx, &rows)
		if err != nil && !store.NoRows(err) {
			return Allocation{}, err
		}
		if len(rows) == 0 {
			return Allocation{}, s.whyNot(ctx, tx, in)
		}
		p := &rows[0]
		done, err := s.Purchases.Fund(ctx, tx, in.Purchase, in.Amount, now)
		if err != nil {
			return Allocation{}, err
		}
		e := &Entry{ID: id.New(), Kind: Allocate, From: account("pledge", p.ID), To: account("purchase", in.Purchase), Amount: in.Amount,
			Pledge: p.ID, Purchase: in.Purchase, Actor: a.Person, At: now}
		t := &Thanks{ID: id.New(), Pledge: p.ID, Purchase: in.Purchase, Entry: e.ID, OwedAt: now}
		tx.Queue(tx.DB.Bun().NewInsert().Model(e))
		tx.Queue(tx.DB.Bun().NewInsert().Model(t))
		purchase := outbox.Ref{Kind: "pur", ID: in.Purchase}
		outbox.Link(tx, p.Ref(), e.Ref(), "pays", now)
		outbox.Link(tx, e.Ref(), purchase, "funds", now)
		outbox.Link(tx, purchase, e.Ref(), "paid by", now) // so that a trace from the cause down shows the money too
		outbox.Link(tx, purchase, t.Ref(), "thanks", now)
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: actAllocate, Object: p.Ref(),
			Data: map[string]any{"purchase": in.Purchase, "entry": e.ID, "amount": in.Amount}, At: now})
		changed(tx, p)
		return Allocation{e.ID, t.ID, p.Left(), done}, s.tellThanks(ctx, tx, p, in.Amount, now)
	})
}

// whyNot names the rule that an allocation met.
func (s *Service) whyNot(ctx context.Context, tx *store.Tx, in AllocateInput) error {
	p, err := s.load(ctx, tx, in.Pledge, false)
	switch {
	case err != nil:
		return err
	case p.Kind != Cash:
		return fault.Refuse("NOT_CASH", "这是实物或服务赞助，不能用来付款", "this gift is goods or services and pays for nothing").At("pledge")
	case p.Received == 0:
		return fault.Refuse("NOT_RECEIVED", "这笔赞助还没有到账，到账后才能使用", "this pledge has not been received; only what is received can be spent").At("pledge")
	}
	return fault.Refuse("NOT_ENOUGH", "余额只有 "+yuan(p.Left())+" 元", "only "+yuan(p.Left())+" yuan are left of it").At("amount").With(p.Left())
}

func (s *Service) tellThanks(ctx context.Context, tx *store.Tx, p *Pledge, amount int64, now time.Time) error {
	m, err := s.message(ctx, tx, p, "pledge.thanks", now)
	if err != nil {
		return err
	}
	m.Params["use.zh"], m.Params["use.en"] = "一笔 "+yuan(amount)+" 元的采购", "a purchase of "+yuan(amount)+" yuan"
	s.Tell.Person(tx, p.Owner, m)
	return s.Tell.Seats(ctx, tx, m, "liaison.head")
}

type purchasePayload struct {
	Purchase id.ID  `json:"purchase"`
	State    string `json:"state"`
}

// OnPurchaseChanged handles property.purchase.changed: a cancelled purchase
// gives its money back to the pledges, one that arrived has spent it.
func (s *Service) OnPurchaseChanged(ctx context.Context, d outbox.Delivery) error {
	var in purchasePayload
	if err := d.Decode(&in); err != nil {
		return err
	}
	now := s.clock.Now()
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		if in.State != "CANCELLED" && in.State != "ARRIVED" {
			return struct{}{}, nil
		}
		// In the order in which Allocate locks: pledges, here by id.
		var open []Entry
		err := tx.NewSelect().Model(&open).Where("purchase = ?", in.Purchase).Where("kind = ?", Allocate).
			Where("NOT EXISTS (SELECT 1 FROM ledger_entry AS r WHERE r.reverses = entry.id)").OrderExpr("pledge, id").Scan(ctx)
		if err != nil && !store.NoRows(err) {
			return struct{}{}, err
		}
		for i := range open {
			s.settle(tx, &open[i], in.State == "CANCELLED", now)
		}
		return struct{}{}, nil
	})
	return err
}

// settle closes an allocation: back to the pledge, or spent. That it happens
// once stands in the schema (reverses is unique).
func (s *Service) settle(tx *store.Tx, a *Entry, back bool, now time.Time) {
	e := &Entry{ID: id.New(), Kind: Spend, From: a.To, To: spent, Amount: a.Amount, Pledge: a.Pledge, Purchase: a.Purchase, Reverses: a.ID, At: now}
	if back {
		e.Kind, e.To = Return, a.From
		tx.QueueSQL(`UPDATE pledge SET allocated = allocated - ?, version = version + 1, changed_at = ? WHERE id = ?`, a.Amount, now, a.Pledge)
		tx.QueueSQL(`UPDATE thanks SET void_at = ? WHERE entry = ? AND done_at IS NULL`, now, a.ID)
		outbox.Put(tx, outbox.Event{Topic: "sponsor.changed", Aggregate: a.Pledge, Payload: pledgePayload{a.Pledge}})
	}
	tx.Queue(tx.DB.Bun().NewInsert().Model(e))
	audit.Record(tx, audit.Entry{Action: "sponsor." + map[bool]string{true: "return", false: "spend"}[back],
		Object: outbox.Ref{Kind: "plg", ID: a.Pledge}, Data: map[string]any{"entry": a.ID, "amount": a.Amount}, At: now})
}
