package repair

import (
	"context"
	"slices"

	"kelian/desk/dispatch"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// AssignmentsOf reads who was asked for several tickets, oldest first, as
// Assignments does for one. Tickets that are absent or foreign, or that the
// actor sees as their reporter only, are not in the map.
func (s *Service) AssignmentsOf(ctx context.Context, actor org.Actor, tickets ...id.ID) (map[id.ID][]Asked, error) {
	out := map[id.ID][]Asked{}
	mine, err := s.askable(ctx, actor, tickets)
	if err != nil || len(mine) == 0 {
		return out, err
	}
	rows, err := dispatch.History(ctx, s.db.R, "repair", mine...)
	if err != nil {
		return nil, err
	}
	list, err := s.asked(ctx, rows)
	for i, r := range rows {
		if err == nil {
			out[r.TaskID] = append(out[r.TaskID], list[i])
		}
	}
	return out, err
}

// AssignmentsByID reads assignments of tickets by their own ids, by the same
// rule.
func (s *Service) AssignmentsByID(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]Asked, error) {
	out := map[id.ID]Asked{}
	found, err := dispatch.ByID(ctx, s.db.R, ids...)
	if err != nil {
		return nil, err
	}
	var tickets []id.ID
	for _, a := range found {
		if a.TaskKind == "repair" {
			tickets = append(tickets, a.TaskID)
		}
	}
	mine, err := s.askable(ctx, actor, tickets)
	if err != nil {
		return nil, err
	}
	var rows []dispatch.Assignment
	for _, a := range found {
		if slices.Contains(mine, a.TaskID) {
			rows = append(rows, *a)
		}
	}
	list, err := s.asked(ctx, rows)
	for _, a := range list {
		out[a.ID] = a
	}
	return out, err
}

// askable are those of the tickets whose assignments the actor may see.
func (s *Service) askable(ctx context.Context, actor org.Actor, tickets []id.ID) ([]id.ID, error) {
	if len(tickets) == 0 {
		return nil, nil
	}
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return nil, err
	}
	if actor.Anonymous() {
		return nil, fault.SignIn()
	}
	var rows []Ticket
	err = s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(tickets)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	var out []id.ID
	for i := range rows {
		t := &rows[i]
		if s.rules.Can(actor, "repair.read", t.object()) && !slices.Equal(rolesOf(actor, t), []Role{Reporter}) {
			out = append(out, t.ID)
		}
	}
	return out, nil
}

// asked puts assignments into words.
func (s *Service) asked(ctx context.Context, rows []dispatch.Assignment) ([]Asked, error) {
	var people []id.ID
	for i := range rows {
		people = append(append(people, rows[i].Person), rows[i].Explanation().People()...)
	}
	names, err := org.Names(ctx, s.db.R, people...)
	if err != nil {
		return nil, err
	}
	out := make([]Asked, len(rows))
	for i := range rows {
		r := &rows[i]
		out[i] = Asked{r.ID, r.Person, names[r.Person], r.State, r.How, r.Explanation().Sentence(names), r.OfferedAt, r.Deadline, r.AnsweredAt, r.EndedAt}
	}
	return out, nil
}
