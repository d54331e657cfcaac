package workflow

import (
	"context"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// Views reads the requests among ids that the actor may see, as Request does
// for one, with the same number of statements however many they are.
func (s *Service) Views(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]View, error) {
	out := map[id.ID]View{}
	if len(ids) == 0 {
		return out, nil
	}
	if actor.Anonymous() {
		return nil, fault.SignIn()
	}
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return nil, err
	}
	var rows []row
	err = s.visible(s.db.R.NewSelect().Model(&rows), a).Where("request.id IN (?)", bun.List(ids)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	viewers := make([]*viewer, len(rows))
	for i := range rows {
		r := &rows[i]
		st, err := readState(r.State)
		if err != nil {
			return nil, err
		}
		d, err := s.version(ctx, s.db.R, r.VersionID)
		if err != nil {
			return nil, err
		}
		viewers[i] = &viewer{svc: s, actor: a, row: r, st: st, def: d, hidden: s.hiddenTo(a, d, r, st)}
	}
	if err := s.readFor(ctx, viewers); err != nil {
		return nil, err
	}
	for _, v := range viewers {
		summary, err := s.summary(ctx, v.row)
		if err != nil {
			return nil, err
		}
		if out[v.row.ID], err = v.view(summary); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readFor reads what the viewers build their views of.
func (s *Service) readFor(ctx context.Context, viewers []*viewer) error {
	if len(viewers) == 0 {
		return nil
	}
	of := map[id.ID]*viewer{}
	var ids []id.ID
	for _, v := range viewers {
		of[v.row.ID] = v
		ids = append(ids, v.row.ID)
	}
	q := s.db.R
	var revs []revisionRow
	err := q.NewSelect().Model(&revs).Where("request_id IN (?)", bun.List(ids)).OrderExpr("request_id, rev").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	for _, r := range revs {
		of[r.RequestID].revs = append(of[r.RequestID].revs, r)
	}
	var rows []eventRow
	err = q.NewSelect().Model(&rows).Where("request_id IN (?)", bun.List(ids)).
		Where("type IN ('commented', 'resubmitted', 'closed', 'sent_back', 'transferred', 'signers_added', 'copied', 'resolved', 'closed_out')").OrderExpr("request_id, seq").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	events, err := readEvents(rows)
	if err != nil {
		return err
	}
	for i, ev := range events {
		v := of[rows[i].RequestID]
		v.events = append(v.events, ev)
	}
	if err := s.readReports(ctx, viewers, of); err != nil {
		return err
	}
	texts, err := org.PersonalOf(ctx, q, ids...)
	if err != nil {
		return err
	}
	var people []id.ID
	for _, v := range viewers {
		people = append(people, v.people()...)
	}
	names, err := org.Names(ctx, q, people...)
	for _, v := range viewers {
		v.texts, v.names = texts[v.row.ID], names
	}
	return err
}

// readReports reads the reports of those that were closed out.
func (s *Service) readReports(ctx context.Context, viewers []*viewer, of map[id.ID]*viewer) error {
	var ids []id.ID
	for _, v := range viewers {
		if !v.row.ClosedOutAt.IsZero() {
			ids = append(ids, v.row.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var rows []closeOutRow
	err := s.db.R.NewRaw(`SELECT request_id, form, by_person, at FROM close_out WHERE request_id IN (?)`, bun.List(ids)).Scan(ctx, &rows)
	if err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	for i := range rows {
		of[rows[i].RequestID].report = &rows[i]
	}
	return nil
}

// RequestsOf says to which requests the tasks and decisions among ids belong,
// where the actor may see the request.
func (s *Service) RequestsOf(ctx context.Context, actor org.Actor, ids ...id.ID) (map[id.ID]id.ID, error) {
	out := map[id.ID]id.ID{}
	if actor.Anonymous() || len(ids) == 0 {
		return out, nil
	}
	var rows []struct{ ID, RequestID id.ID }
	err := s.db.R.NewRaw(`SELECT id, request_id FROM task WHERE id IN (?) UNION ALL SELECT id, request_id FROM decision WHERE id IN (?)`,
		bun.List(ids), bun.List(ids)).Scan(ctx, &rows)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	var requests []id.ID
	for _, r := range rows {
		requests = append(requests, r.RequestID)
	}
	seen, err := s.Summaries(ctx, actor, requests...)
	for _, r := range rows {
		if _, ok := seen[r.RequestID]; ok {
			out[r.ID] = r.RequestID
		}
	}
	return out, err
}

// Asked says whether a task of the request is or was the actor's own, so that
// a change of the request may have changed the actor's inbox.
func (s *Service) Asked(ctx context.Context, actor org.Actor, request id.ID) (bool, error) {
	if actor.Anonymous() {
		return false, nil
	}
	var n int
	err := s.db.R.NewRaw(`SELECT count(*) FROM task WHERE request_id = ? AND person = ?`, request, actor.Person).Scan(ctx, &n)
	return n > 0, store.Busy(err)
}

// OpenSteps are the steps in which somebody is asked now.
func (v View) OpenSteps() []StepView {
	var out []StepView
	for _, s := range v.Steps {
		if s.Status == flow.StepOpen {
			out = append(out, s)
		}
	}
	return out
}
