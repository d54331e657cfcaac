package property

import (
	"context"
	"fmt"
	"time"

	"kelian/desk/tell"
	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// EffectPurchase is the on_approved effect that creates a purchase.
const EffectPurchase = "property.purchase"

// Effects are the on_approved effects that this desk handles.
func Effects() []string { return []string{EffectPurchase, EffectReserve, EffectSeal} }

type effectPayload struct {
	Request    id.ID  `json:"request"`
	Definition string `json:"definition"`
	Effect     string `json:"effect"`
}

// Changed is the payload of property.purchase.changed.
type Changed struct {
	Purchase id.ID         `json:"purchase"`
	State    PurchaseState `json:"state"`
}

// PurchaseItem is one position to be bought.
type PurchaseItem struct {
	Item     string // code or id of an item whose stock it fills; "" = none
	Name     string // 1 to 200 characters; "" = the item's
	Quantity int64
	Amount   int64 // of the whole line, fen
}

// PurchaseInput is a purchase to be created.
type PurchaseInput struct {
	Request id.ID
	Ticket  id.ID // the repair that needs it; zero = none
	Items   []PurchaseItem
	Total   int64 // fen, up to 10,000,000 yuan
	Owner   id.ID // the requester
}

// CreatePurchase creates the purchase of an approved request in the caller's
// transaction, tells of it and gives it its number. A request has one purchase:
// a second one is refused by the schema. Call it last: the number's row is
// locked until the commit.
func (s *Service) CreatePurchase(ctx context.Context, tx *store.Tx, in PurchaseInput, now time.Time) (*Purchase, error) {
	if in.Total < 1 || in.Total > 1_000_000_000 {
		return nil, fault.Refuse("AMOUNT", "采购金额须在 0.01 元到 1000 万元之间", "the amount must be between 0.01 and 10,000,000 yuan")
	}
	p := &Purchase{ID: id.New(), Request: in.Request, Ticket: in.Ticket, Owner: in.Owner, State: Approved, Total: in.Total, Version: 1, CreatedAt: now, ChangedAt: now}
	var lines []Line
	for i, it := range in.Items {
		l := Line{Purchase: p.ID, No: i + 1, Name: it.Name, Quantity: max(1, it.Quantity), Amount: max(0, it.Amount)}
		if it.Item != "" {
			var row Item
			err := byName(tx.NewSelect().Model(&row), it.Item).Scan(ctx)
			if err != nil && !store.NoRows(err) {
				return nil, err
			}
			if l.Item = row.ID; l.Name == "" {
				l.Name = row.NameZh
			}
		}
		if r := []rune(l.Name); len(r) > 200 {
			l.Name = string(r[:200])
		}
		lines = append(lines, l)
	}
	outbox.Link(tx, outbox.Ref{Kind: "req", ID: in.Request}, p.Ref(), "purchase", now)
	audit.Record(tx, audit.Entry{Action: "property.purchase", Object: p.Ref(), Data: map[string]any{"total": p.Total}, At: now})
	r := store.NewReads(tx)
	number, tell := s.askNumber(r, now), s.Tell.Ask(r, now, "liaison.head", "office.keeper")
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	p.Number = number()
	tx.Queue(tx.DB.Bun().NewInsert().Model(p))
	if len(lines) > 0 {
		tx.Queue(tx.DB.Bun().NewInsert().Model(&lines))
	}
	tell(tx, s.announce(tx, p, now))
	return p, nil
}

// askNumber takes the next number of the local year.
func (s *Service) askNumber(r *store.Reads, now time.Time) func() string {
	year := now.In(s.Location).Year()
	var n []int64
	r.SQL(&n, `INSERT INTO counter (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1 RETURNING value`,
		fmt.Sprintf("purchase %d", year))
	return func() string { return fmt.Sprintf("采购 %d-%04d", year, n[0]) }
}

// announce puts the event of the present state and tells the owner; it gives
// the message for those whose turn it is.
func (s *Service) announce(tx *store.Tx, p *Purchase, now time.Time) tell.Message {
	outbox.Put(tx, outbox.Event{Topic: "property.purchase.changed", Aggregate: p.ID, Version: p.Version, Payload: Changed{p.ID, p.State}})
	topic := map[PurchaseState]string{Approved: "purchase.approved", Funded: "purchase.funded", Ordered: "purchase.ordered",
		Arrived: "purchase.arrived", Cancelled: "purchase.cancelled"}[p.State]
	m := tell.Message{Topic: topic, Ref: p.Ref(), Params: map[string]string{"number.zh": p.Number, "number.en": p.NumberEn(), "total": Yuan(p.Total)}, At: now}
	s.Tell.Person(tx, p.Owner, m)
	return m
}

// Yuan spells fen as yuan: 86000 is 860, 86050 is 860.50.
func Yuan(fen int64) string {
	if fen%100 == 0 {
		return fmt.Sprint(fen / 100)
	}
	return fmt.Sprintf("%d.%02d", fen/100, fen%100)
}

// OnApprovedPurchase handles workflow.approved with the effect
// property.purchase: it reads the approved form and creates the purchase. A
// request that has one already, or asks to do something else than buy, is left
// alone.
func (s *Service) OnApprovedPurchase(ctx context.Context, d outbox.Delivery) error {
	var p effectPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	err := s.handle(ctx, d, func(ctx context.Context, tx *store.Tx, now time.Time) error {
		if p.Effect != EffectPurchase {
			return nil
		}
		form, meta, err := s.Requests.Form(ctx, tx, p.Request)
		if fault.Is(err, fault.NotFound) || err == nil && meta.Status != "APPROVED" {
			return nil
		}
		if err != nil {
			return err
		}
		if action, ok := form["action"].(string); ok && action != "buy" {
			return nil // lent or written off
		}
		have, err := tx.NewSelect().Model((*Purchase)(nil)).Where("request = ?", p.Request).Exists(ctx)
		if err != nil || have {
			return err
		}
		in := purchaseOf(form)
		in.Request, in.Owner = p.Request, meta.Requester
		if in.Ticket.IsZero() { // the form names it by its number, the link itself
			if in.Ticket, err = outbox.Before(ctx, tx, p.Request, "tkt"); err != nil {
				return err
			}
		}
		if len(in.Items) == 1 && in.Items[0].Name == "" && in.Items[0].Item == "" {
			in.Items[0].Name = meta.Title
		}
		_, err = s.CreatePurchase(ctx, tx, in, now)
		return err
	})
	if fault.IsRule(err, "AMOUNT") {
		return outbox.Permanent(err) // the definition let a form through that buys nothing
	}
	return err
}

// Fund adds money to an approved purchase in the caller's transaction; the
// caller has the right to spend it. done says that the purchase is FUNDED now.
// More than is missing is refused, whoever else funds it at the same time.
func (s *Service) Fund(ctx context.Context, tx *store.Tx, purchase id.ID, amount int64, now time.Time) (done bool, err error) {
	var rows []Purchase
	r := store.NewReads(tx)
	r.SQL(&rows, `UPDATE purchase SET funded = funded + ?, version = version + 1, changed_at = ?,
			state = CASE WHEN funded + ? = total THEN 'FUNDED' ELSE state END
		WHERE id = ? AND state = 'APPROVED' AND funded + ? <= total RETURNING *`, amount, now, amount, purchase, amount)
	tell := s.Tell.Ask(r, now, "office.keeper", "office.head")
	if err := r.Run(ctx); err != nil {
		return false, err
	}
	if len(rows) == 0 {
		p, err := s.load(ctx, tx, purchase)
		if err != nil {
			return false, err
		}
		if _, err := Next(ActFund, p.State); err != nil {
			return false, err
		}
		return false, fault.Refuse("TOO_MUCH", "超过采购还缺的金额 "+Yuan(p.Total-p.Funded)+" 元", "more than the "+Yuan(p.Total-p.Funded)+" yuan that the purchase still needs").At("amount")
	}
	p := &rows[0]
	if p.State != Funded {
		return false, nil
	}
	tell(tx, s.announce(tx, p, now))
	return true, nil
}

func (s *Service) load(ctx context.Context, q bun.IDB, purchase id.ID) (*Purchase, error) {
	var p Purchase
	err := q.NewSelect().Model(&p).Where("id = ?", purchase).Scan(ctx)
	if store.NoRows(err) {
		return nil, fault.Missing()
	}
	return &p, err
}

// PurchaseActInput names the purchase of an action.
type PurchaseActInput struct {
	Purchase       id.ID
	Reason         string // of a cancellation, 1 to 500 characters
	IdempotencyKey string
}

// Outcome is what an action leaves.
type Outcome struct {
	Purchase id.ID
	State    PurchaseState
	Version  int64
}

// Order records that a funded purchase was ordered.
func (s *Service) Order(ctx context.Context, actor org.Actor, in PurchaseActInput) (Outcome, error) {
	return s.act(ctx, actor, ActOrder, in)
}

// Arrive records that the goods are there; lines that name an item fill its
// stock. The event ends a repair ticket's waiting for parts.
func (s *Service) Arrive(ctx context.Context, actor org.Actor, in PurchaseActInput) (Outcome, error) {
	return s.act(ctx, actor, ActArrive, in)
}

// Cancel ends a purchase with a reason; money that was allocated to it goes
// back by way of the event.
func (s *Service) Cancel(ctx context.Context, actor org.Actor, in PurchaseActInput) (Outcome, error) {
	if n := len([]rune(in.Reason)); n < 1 || n > 500 {
		return Outcome{}, fault.Input("reason", "请写明原因（500 字以内）", "give a reason of at most 500 characters")
	}
	return s.act(ctx, actor, ActCancel, in)
}

func (s *Service) act(ctx context.Context, actor org.Actor, action Action, in PurchaseActInput) (Outcome, error) {
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "purchase "+string(action), in.IdempotencyKey, in)
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		var rows []Purchase
		r := store.NewReads(tx)
		judged := org.AskJudge(r, actor, now)
		r.SQL(&rows, `SELECT * FROM purchase WHERE id = ? ?`, in.Purchase, tx.DB.Lock(false))
		if err := r.Run(ctx); err != nil {
			return Outcome{}, err
		}
		actor, err := judged()
		if err != nil {
			return Outcome{}, err
		}
		if len(rows) == 0 {
			return Outcome{}, fault.Missing()
		}
		p := &rows[0]
		object := org.Object{Unit: "office", Owner: p.Owner, State: string(p.State)}
		if !s.rules.Can(actor, actPurchase, object) {
			return Outcome{}, fault.Missing()
		}
		if err := s.rules.Check(actor, "property."+string(action), object); err != nil {
			return Outcome{}, err
		}
		to, err := Next(action, p.State)
		if err != nil {
			return Outcome{}, err
		}
		before := p.State
		p.State, p.ChangedAt, p.Version = to, now, p.Version+1
		if action == ActCancel {
			// What was allocated goes back by way of the event.
			p.Reason, p.Funded = in.Reason, 0
		}
		tx.Queue(tx.DB.Bun().NewUpdate().Model(p).Column("state", "reason", "funded", "changed_at", "version").WherePK())
		if to == Arrived {
			tx.QueueSQL(`UPDATE item SET quantity = quantity + (SELECT sum(l.quantity) FROM purchase_line AS l WHERE l.purchase = ? AND l.item = item.id)
				WHERE id IN (SELECT item FROM purchase_line WHERE purchase = ? AND item IS NOT NULL)`, p.ID, p.ID)
		}
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "property." + string(action), Object: p.Ref(),
			Data: map[string]any{"from": before, "to": to}, At: now})
		s.announce(tx, p, now)
		return Outcome{p.ID, p.State, p.Version}, nil
	})
}
