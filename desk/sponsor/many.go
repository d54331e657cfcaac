package sponsor

import (
	"context"

	"kelian/internal/id"
	"kelian/org"

	"github.com/uptrace/bun"
)

// PledgesByID reads several pledges at once, for loaders; absent ones are left
// out.
func (s *Service) PledgesByID(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]Pledge, error) {
	if err := s.judge(ctx, actor); err != nil || len(ids) == 0 {
		return nil, err
	}
	var rows []Pledge
	err := noRows(s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx))
	out := map[id.ID]Pledge{}
	for _, p := range rows {
		out[p.ID] = p
	}
	return out, err
}
