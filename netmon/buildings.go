package netmon

import (
	"context"

	"kelian/internal/store"
)

// Buildings lists the buildings that hosts serve, as they are to be written in
// a report. It is public: everybody knows the buildings.
func (s *Service) Buildings(ctx context.Context) ([]string, error) {
	var out []string
	err := s.db.R.NewRaw(`SELECT min(building) FROM host_building JOIN host ON host.id = host_building.host
		WHERE host.removed_at IS NULL GROUP BY host_building.key ORDER BY host_building.key LIMIT 500`).Scan(ctx, &out)
	if store.NoRows(err) {
		err = nil
	}
	return out, store.Busy(err)
}
