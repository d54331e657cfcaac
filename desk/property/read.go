package property

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// listMax bounds the registers of items and places; a federation has dozens.
const listMax = 1000

// Items lists all items by code.
func (s *Service) Items(ctx context.Context, actor org.Actor) ([]Item, error) {
	if err := s.judge(ctx, &actor, actRead, org.Object{}); err != nil {
		return nil, err
	}
	var rows []Item
	err := s.db.R.NewSelect().Model(&rows).OrderExpr("code").Limit(listMax).Scan(ctx)
	return rows, noRows(err)
}

// Places lists all rooms and boards by code.
func (s *Service) Places(ctx context.Context, actor org.Actor) ([]Place, error) {
	if err := s.judge(ctx, &actor, actRead, org.Object{}); err != nil {
		return nil, err
	}
	var rows []Place
	err := s.db.R.NewSelect().Model(&rows).OrderExpr("code").Limit(listMax).Scan(ctx)
	return rows, noRows(err)
}

// Busy lists when a place or item is taken in [from, until), in order. Who has
// it is not said; the request opens only for those who may see it.
func (s *Service) Busy(ctx context.Context, actor org.Actor, thing id.ID, from, until time.Time) ([]Reservation, error) {
	if err := s.judge(ctx, &actor, actRead, org.Object{}); err != nil {
		return nil, err
	}
	var rows []Reservation
	err := s.db.R.NewSelect().Model(&rows).Where("place = ? OR item = ?", thing, thing).Where("state IN ('HELD', 'RESERVED')").
		Where("from_at < ? AND until_at > ?", until, from).OrderExpr("from_at, id").Limit(listMax).Scan(ctx)
	for i := range rows {
		rows[i].Owner = id.Nil
	}
	return rows, noRows(err)
}

// ReservationsOf lists what the requests hold or have reserved, in order.
// The caller has seen to it that the actor may read the requests.
func (s *Service) ReservationsOf(ctx context.Context, actor org.Actor, requests ...id.ID) ([]Reservation, error) {
	if err := s.judge(ctx, &actor, actRead, org.Object{}); err != nil || len(requests) == 0 {
		return nil, err
	}
	var rows []Reservation
	err := s.db.R.NewSelect().Model(&rows).Where("request IN (?)", bun.List(requests)).OrderExpr("from_at, id").Limit(listMax).Scan(ctx)
	return rows, noRows(err)
}

// PurchaseFilter narrows the list of purchases.
type PurchaseFilter struct {
	State PurchaseState // "" = all
	Owner id.ID         // zero = all
}

// Purchases lists purchases, newest first; those who may not see all see their
// own. next is the cursor of the following page, "" = none.
func (s *Service) Purchases(ctx context.Context, actor org.Actor, f PurchaseFilter, page store.Page) (rows []Purchase, next string, err error) {
	if err := page.Check(); err != nil {
		return nil, "", err
	}
	if err := s.judge(ctx, &actor, actRead, org.Object{}); err != nil {
		return nil, "", err
	}
	if !s.rules.Can(actor, actPurchase, org.Object{Unit: "office"}) {
		f.Owner = actor.Person
	}
	at, last, _ := page.At()
	q := s.db.R.NewSelect().Model(&rows).OrderExpr("created_at DESC, id DESC").Limit(int64(page.First) + 1)
	if f.State != "" {
		q = q.Where("state = ?", f.State)
	}
	if !f.Owner.IsZero() {
		q = q.Where("owner = ?", f.Owner)
	}
	if !last.IsZero() {
		q = q.Where("(created_at, id) < (?, ?)", at, last)
	}
	if err := noRows(q.Scan(ctx)); err != nil {
		return nil, "", err
	}
	if len(rows) > page.First {
		rows = rows[:page.First]
		next = store.Cursor(rows[page.First-1].CreatedAt, rows[page.First-1].ID)
	}
	return rows, next, nil
}

// PurchaseByID reads one purchase with its lines.
func (s *Service) PurchaseByID(ctx context.Context, actor org.Actor, purchase id.ID) (*Purchase, []Line, error) {
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return nil, nil, err
	}
	p, err := s.load(ctx, s.db.R, purchase)
	if err != nil {
		return nil, nil, store.Busy(err)
	}
	if !s.rules.Can(actor, actPurchase, org.Object{Unit: "office", Owner: p.Owner}) {
		return nil, nil, fault.Missing()
	}
	var lines []Line
	err = s.db.R.NewSelect().Model(&lines).Where("purchase = ?", p.ID).OrderExpr("no").Scan(ctx)
	return p, lines, noRows(err)
}

// MayRead says of a purchase or reservation whether the actor may see it, for
// traces.
func (s *Service) MayRead(ctx context.Context, actor org.Actor, kind string, object id.ID) (bool, error) {
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return false, err
	}
	if kind == "res" {
		return s.rules.Can(actor, actRead, org.Object{}), nil
	}
	p, err := s.load(ctx, s.db.R, object)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, store.Busy(err)
	}
	return s.rules.Can(actor, actPurchase, org.Object{Unit: "office", Owner: p.Owner}), nil
}

func (s *Service) judge(ctx context.Context, actor *org.Actor, action string, o org.Object) error {
	a, err := org.Judge(ctx, s.db.R, *actor, s.clock.Now())
	if err != nil {
		return err
	}
	*actor = a
	return s.rules.Check(a, action, o)
}

func noRows(err error) error {
	if store.NoRows(err) {
		return nil
	}
	return store.Busy(err)
}

// Brief gives what of a purchase may be said to anybody at all: its number and
// state. An absent one is fault.Missing.
func (s *Service) Brief(ctx context.Context, q bun.IDB, purchase id.ID) (number string, state PurchaseState, err error) {
	var p Purchase
	err = q.NewSelect().Model(&p).Column("number", "state").Where("id = ?", purchase).Scan(ctx)
	if store.NoRows(err) {
		return "", "", fault.Missing()
	}
	return p.Number, p.State, store.Busy(err)
}
