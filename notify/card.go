package notify

import (
	"context"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Card is a notification in one line.
type Card struct {
	Topic  string
	Person id.ID // zero: told to the contact of an object
	At     time.Time
}

// Cards reads the notifications among ids that are the actor's own, or all of
// them for those who may see deliveries.
func (s *Service) Cards(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]Card, error) {
	out := map[id.ID]Card{}
	if actor.Anonymous() || len(ids) == 0 {
		return out, nil
	}
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return nil, err
	}
	all := s.rules.Can(actor, ActDeliveries, org.Object{})
	var rows []Notification
	err = s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	for _, n := range rows {
		if all || n.Person == actor.Person {
			out[n.ID] = Card{Topic: n.Topic, Person: n.Person, At: n.At}
		}
	}
	return out, nil
}
