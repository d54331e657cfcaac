package notify

import (
	"context"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// ItemsByID reads those lines of the actor's inbox that are among ids.
func (s *Service) ItemsByID(ctx context.Context, actor org.Actor, ids ...id.ID) ([]Item, error) {
	if len(ids) == 0 || actor.Person.IsZero() {
		return nil, nil
	}
	var rows []Notification
	err := s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Where("person = ?", actor.Person).Where("NOT hidden").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	return s.items(rows, actor.Lang), nil
}

func (s *Service) items(rows []Notification, lang string) []Item {
	var out []Item
	for i := range rows {
		n := &rows[i]
		r := s.Render(n, lang)
		out = append(out, Item{ID: n.ID, Topic: n.Topic, Ref: n.Ref(), Subject: r.Subject, Text: r.Body, Link: r.Link, Critical: n.Critical, At: n.At, ReadAt: n.ReadAt})
	}
	return out
}
