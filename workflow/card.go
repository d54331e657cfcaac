package workflow

import (
	"context"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// Summaries reads the requests among ids that the actor may see.
func (s *Service) Summaries(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]Summary, error) {
	out := map[id.ID]Summary{}
	if actor.Anonymous() || len(ids) == 0 {
		return out, nil
	}
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return nil, err
	}
	var rows []row
	err = s.visible(s.db.R.NewSelect().Model(&rows).ExcludeColumn("form", "apart", "state", "search"), a).Where("request.id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	for i := range rows {
		if out[rows[i].ID], err = s.summary(ctx, &rows[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// DecisionCard is a decision in one line.
type DecisionCard struct {
	Request id.ID
	Seat    string
	Verdict flow.Verdict
	At      time.Time
}

// DecisionCards reads the decisions among ids on requests that the actor may
// see.
func (s *Service) DecisionCards(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]DecisionCard, error) {
	out := map[id.ID]DecisionCard{}
	if actor.Anonymous() || len(ids) == 0 {
		return out, nil
	}
	var rows []decisionRow
	err := s.db.R.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	requests := make([]id.ID, len(rows))
	for i, r := range rows {
		requests[i] = r.RequestID
	}
	seen, err := s.Summaries(ctx, actor, requests...)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if _, ok := seen[r.RequestID]; ok {
			out[r.ID] = DecisionCard{Request: r.RequestID, Seat: r.Seat, Verdict: r.Verdict, At: r.At}
		}
	}
	return out, nil
}
