package org

import (
	"context"

	"kelian/internal/id"

	"github.com/uptrace/bun"
)

// SeatHolders gives those who hold the seats now, by the seats' names, for
// loaders. Who has no account sees nobody.
func (s *Service) SeatHolders(ctx context.Context, actor Actor, seats ...string) (map[string][]id.ID, error) {
	out := map[string][]id.ID{}
	if len(seats) == 0 || actor.Anonymous() {
		return out, nil
	}
	if err := s.rules.Check(actor, "org.person.read", Object{}); err != nil {
		return nil, err
	}
	now := s.clock.Now()
	var rows []struct {
		Seat   string
		Person id.ID
	}
	err := s.db.R.NewRaw(`SELECT seat.name AS seat, tenure.person_id AS person FROM tenure JOIN seat ON seat.id = tenure.seat_id
		WHERE seat.name IN (?) AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?)
		ORDER BY seat.name, tenure.person_id`, bun.List(seats), now, now).Scan(ctx, &rows)
	for _, r := range rows {
		out[r.Seat] = append(out[r.Seat], r.Person)
	}
	return out, noRows(err)
}

// NamesFor gives names as the actor may know them, for loaders: officers' and
// one's own in full, other people's masked, Erased where there is none.
func (s *Service) NamesFor(ctx context.Context, actor Actor, ids ...id.ID) (map[id.ID]string, error) {
	out := map[id.ID]string{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []Person
	if err := noRows(s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx)); err != nil {
		return nil, err
	}
	names, err := Names(ctx, s.db.R, ids...)
	for _, p := range rows {
		out[p.ID] = names[p.ID]
		if p.ErasedAt.IsZero() && (actor.Anonymous() || p.Kind != Officer && p.ID != actor.Person) {
			out[p.ID] = Mask(names[p.ID])
		}
	}
	return out, err
}
