package netmon

import (
	"context"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// ProvenByID is IncidentsByID with evidence and certificates, as Incident gives
// them, for loaders.
func (s *Service) ProvenByID(ctx context.Context, actor org.Actor, ids ...id.ID) ([]IncidentView, error) {
	if _, err := s.may(ctx, actor, "netmon.read"); err != nil || len(ids) == 0 {
		return nil, err
	}
	var rows []incidentRow
	err := s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).OrderExpr("id").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	views, err := s.incidentViews(ctx, rows)
	if err != nil {
		return nil, err
	}
	now, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	for i := range views {
		if err := views[i].prove(rows[i], now.topo); err != nil {
			return nil, err
		}
	}
	return views, nil
}
