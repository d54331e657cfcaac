package webhook

import (
	"context"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// List gives every endpoint, the newest first.
func (s *Service) List(ctx context.Context, actor org.Actor) ([]Hook, error) {
	if err := s.mayRead(ctx, actor); err != nil {
		return nil, err
	}
	var rows []Hook
	err := s.db.R.NewSelect().Model(&rows).OrderExpr("created_at DESC, id DESC").Scan(ctx)
	if store.NoRows(err) {
		err = nil
	}
	return rows, store.Busy(err)
}

// Get gives one endpoint.
func (s *Service) Get(ctx context.Context, actor org.Actor, hook id.ID) (Hook, error) {
	var h Hook
	if err := s.mayRead(ctx, actor); err != nil {
		return h, err
	}
	err := s.db.R.NewSelect().Model(&h).Where("id = ?", hook).Scan(ctx)
	if store.NoRows(err) {
		return h, fault.Missing()
	}
	return h, store.Busy(err)
}

// Deliveries lists an endpoint's deliveries, the newest first; state "" = all.
// next is the cursor of the rest, "" = none.
func (s *Service) Deliveries(ctx context.Context, actor org.Actor, hook id.ID, state State, page store.Page) (rows []Delivery, next string, err error) {
	if err := s.mayRead(ctx, actor); err != nil {
		return nil, "", err
	}
	if err := page.Check(); err != nil {
		return nil, "", err
	}
	q := s.db.R.NewSelect().Model(&rows).Where("webhook = ?", hook).OrderExpr("created_at DESC, id DESC").Limit(int64(page.First) + 1)
	if state != "" {
		q = q.Where("state = ?", state)
	}
	if at, after, _ := page.At(); !after.IsZero() {
		q = q.Where("(created_at, id) < (?, ?)", at, after)
	}
	if err := q.Scan(ctx); err != nil && !store.NoRows(err) {
		return nil, "", store.Busy(err)
	}
	if len(rows) > page.First {
		rows = rows[:page.First]
		next = store.Cursor(rows[page.First-1].CreatedAt, rows[page.First-1].ID)
	}
	return rows, next, nil
}

func (s *Service) mayRead(ctx context.Context, actor org.Actor) error {
	actor, err := org.JudgeNow(ctx, s.db, actor, s.clock.Now())
	if err != nil {
		return err
	}
	return s.rules.Check(actor, ActRead, org.Object{})
}
