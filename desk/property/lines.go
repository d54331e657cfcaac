package property

import (
	"context"

	"kelian/internal/id"
	"kelian/org"

	"github.com/uptrace/bun"
)

// LinesOf reads the lines of those purchases among ids that the actor may see,
// in their order, for loaders.
func (s *Service) LinesOf(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID][]Line, error) {
	seen, err := s.PurchasesByID(ctx, actor, ids...)
	if err != nil || len(seen) == 0 {
		return nil, err
	}
	mine := make([]id.ID, 0, len(seen))
	for p := range seen {
		mine = append(mine, p)
	}
	var rows []Line
	err = noRows(s.db.R.NewSelect().Model(&rows).Where("purchase IN (?)", bun.List(mine)).OrderExpr("purchase, no").Scan(ctx))
	out := map[id.ID][]Line{}
	for _, l := range rows {
		out[l.Purchase] = append(out[l.Purchase], l)
	}
	return out, err
}
