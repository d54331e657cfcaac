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
	now := s.clock.Now()
	return store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "allocatePledge", in.IdempotencyKey, in), func(ctx context.Context, tx *store.Tx) (Allocation, error) {
		r := store.NewReads(tx)
		judged, locked := org.AskJudge(r, actor, now), s.askPledge(r, tx, in.Pledge)
		tell := s.Tell.Ask(r, now, "liaison.head")
		if err := r.Run(ctx); err != nil {
			return Allocation{}, err
		}
		a, err := judged()
		if err == nil {
			err = s.rules.Check(a, actAllocate, org.Object{Unit: "liaison"})
		}
		if err != nil {
			return Allocation{}, err
		}
		p, organisation, err := locked()
		if err == nil {
			err = p.allocate(in.Amount, now)
		}
		if err != nil {
			return Allocation{}, err
		}
		tx.QueueSQL(`UPDATE pledge SET allocated = ?, version = ?, changed_at = ? WHERE id = ?`, p.Allocated, p.Version, now, p.ID)
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
		m := s.message(p, organisation, "pledge.thanks", now)
		m.Params["use.zh"], m.Params["use.en"] = "一笔 "+yuan(in.Amount)+" 元的采购", "a purchase of "+yuan(in.Amount)+" yuan"
		s.Tell.Person(tx, p.Owner, m)
		tell(tx, m)
		return Allocation{e.ID, t.ID, p.Left(), done}, nil
	})
}

// allocate takes money of a locked pledge, never more than is left of it.
func (p *Pledge) allocate(amount int64, now time.Time) error {
	spendable := p.State == Received || p.State == Delivered || p.State == Thanked
	switch {
	case p.Kind != Cash:
		return fault.Refuse("NOT_CASH", "这是实物或服务赞助，不能用来付款", "this gift is goods or services and pays for nothing").At("pledge")
	case p.Received == 0:
		return fault.Refuse("NOT_RECEIVED", "这笔赞助还没有到账，到账后才能使用", "this pledge has not been received; only what is received can be spent").At("pledge")
	case !spendable || amount > p.Left():
		return fault.Refuse("NOT_ENOUGH", "余额只有 "+yuan(p.Left())+" 元", "only "+yuan(p.Left())+" yuan are left of it").At("amount").With(p.Left())
	}
	p.Allocated, p.Version, p.ChangedAt = p.Allocated+amount, p.Version+1, now
	return nil
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
