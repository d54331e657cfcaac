package property

import (
	"context"

	"kelian/internal/id"
	"kelian/org"

	"github.com/uptrace/bun"
)

// PurchasesByID reads the purchases among ids that the actor may see.
func (s *Service) PurchasesByID(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]Purchase, error) {
	out := map[id.ID]Purchase{}
	if actor.Anonymous() || len(ids) == 0 {
		return out, nil
	}
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return nil, err
	}
	var rows []Purchase
	if err := noRows(s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx)); err != nil {
		return nil, err
	}
	for _, p := range rows {
		if s.rules.Can(actor, actPurchase, org.Object{Unit: "office", Owner: p.Owner}) {
			out[p.ID] = p
		}
	}
	return out, nil
}

// ReservationsByID reads the reservations among ids, for those who may see any.
func (s *Service) ReservationsByID(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]Reservation, error) {
	out := map[id.ID]Reservation{}
	if actor.Anonymous() || len(ids) == 0 {
		return out, nil
	}
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil || !s.rules.Can(actor, actRead, org.Object{}) {
		return out, err
	}
	var rows []Reservation
	if err := noRows(s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx)); err != nil {
		return nil, err
	}
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, nil
}
