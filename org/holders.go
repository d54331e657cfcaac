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
	var rows []struct {
		ID     id.ID
		Kind   PersonKind
		Erased bool
		Name   string
	}
	err := s.db.R.NewRaw(`SELECT person.id, person.kind, person.erased_at IS NOT NULL AS erased, COALESCE(p.value, '') AS name
		FROM person LEFT JOIN personal AS p ON p.subject = person.id AND p.field = ? WHERE person.id IN (?)`, FieldName, bun.List(ids)).Scan(ctx, &rows)
	for _, p := range rows {
		switch {
		case p.Erased || p.Name == "":
			out[p.ID] = Erased
		case actor.Anonymous() || p.Kind != Officer && p.ID != actor.Person:
			out[p.ID] = Mask(p.Name)
		default:
			out[p.ID] = p.Name
		}
	}
	return out, noRows(err)
}
