package training

import (
	"context"

	"kelian/internal/id"
	"kelian/org"

	"github.com/uptrace/bun"
)

// SessionsByID reads sessions for loaders: for those who may see all, and for
// whoever has, or is asked to take over, a task of the session.
func (s *Service) SessionsByID(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]Session, error) {
	out := map[id.ID]Session{}
	if len(ids) == 0 {
		return out, nil
	}
	all, err := s.MayRead(ctx, actor)
	if err != nil {
		return nil, err
	}
	var rows []Session
	q := s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids))
	if !all {
		q = q.Where("EXISTS (SELECT 1 FROM training_task AS t WHERE t.session = training_session.id AND (t.person = ? OR t.swap_to = ?))", actor.Person, actor.Person)
	}
	err = noRows(q.ModelTableExpr("training_session").Scan(ctx))
	for _, r := range rows {
		out[r.ID] = r
	}
	return out, err
}

// TasksByID reads tasks, for those who may see all and for whoever has, or is
// asked to take over, the task.
func (s *Service) TasksByID(ctx context.Context, actor org.Actor, ids ...id.ID) ([]TaskView, error) {
	if len(ids) == 0 || actor.Person.IsZero() {
		return nil, nil
	}
	all, err := s.MayRead(ctx, actor)
	if err != nil {
		return nil, err
	}
	return s.tasks(ctx, func(q *bun.SelectQuery) *bun.SelectQuery {
		q = q.Where("id IN (?)", bun.List(ids))
		if !all {
			q = q.Where("person = ? OR swap_to = ?", actor.Person, actor.Person)
		}
		return q
	})
}
