package netmon

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// TransitionCard is a change of state in one line.
type TransitionCard struct {
	Why  Words
	To   string
	At   time.Time
	Host id.ID
}

// TransitionCards reads the transitions among ids, for those who may see the
// network.
func (s *Service) TransitionCards(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]TransitionCard, error) {
	out := map[id.ID]TransitionCard{}
	if len(ids) == 0 {
		return out, nil
	}
	if _, err := s.may(ctx, actor, "netmon.read"); err != nil {
		if fault.Is(err, fault.Forbidden) || fault.Is(err, fault.Unauthenticated) {
			return out, nil
		}
		return nil, err
	}
	var rows []transitionRow
	err := s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	for _, r := range rows {
		out[r.ID] = TransitionCard{Why: Words{Zh: r.WhyZh, En: r.WhyEn}, To: r.ToState, At: r.At, Host: r.Host}
	}
	return out, nil
}
