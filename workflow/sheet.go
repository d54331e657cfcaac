package workflow

import (
	"context"
	"encoding/json"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// Sheet is what people look at most: a request with its steps, whom they asked
// and what these decided. It shows nothing of the form, so that no field of it
// has to be hidden from anybody.
type Sheet struct {
	Summary
	Requester Who
	Steps     []StepView // without the rules and the excluded
}

var (
	sheetHot = store.NewHot("workflow.sheet", `SELECT id, series, year, serial, definition, version_id, requester, unit, title, status, urgent,
		form_rev, state, opened_at, changed_at, closed_at, amends, close_out_due, closed_out_at FROM request WHERE id = ?`)
	// What the state only names: comments, people, and what was sent back.
	sheetTextsHot = store.NewHot("workflow.sheet.texts", `SELECT 'text' AS kind, field, value, subject, 0 AS seq FROM personal WHERE subject = ?
		UNION ALL SELECT 'name', '', p.value, p.subject, 0 FROM personal AS p WHERE p.field = 'name' AND p.subject IN (
			SELECT person FROM task WHERE request_id = ? UNION SELECT for_person FROM task WHERE request_id = ?
			UNION SELECT closed_by FROM task WHERE request_id = ? UNION SELECT requester FROM request WHERE id = ?)
		UNION ALL SELECT 'event', '', body, request_id, seq FROM event WHERE request_id = ? AND type = 'sent_back' ORDER BY 5`)
)

type sheetText struct {
	Kind    string
	Field   string
	Value   string
	Subject id.ID
	Seq     int64
}

// Sheet shows one request to somebody who may see it, in three prepared reads.
func (s *Service) Sheet(ctx context.Context, actor org.Actor, request id.ID) (Sheet, error) {
	if actor.Anonymous() {
		return Sheet{}, fault.SignIn()
	}
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return Sheet{}, err
	}
	var rows []row
	if err := sheetHot.Scan(ctx, s.db, &rows, request.String()); err != nil {
		return Sheet{}, err
	}
	if len(rows) == 0 {
		return Sheet{}, fault.Missing()
	}
	r := &rows[0]
	st, err := readState(r.State)
	if err != nil {
		return Sheet{}, err
	}
	if !s.canRead(a, r, st) {
		return Sheet{}, fault.Missing()
	}
	d, err := s.version(ctx, s.db.R, r.VersionID)
	if err != nil {
		return Sheet{}, err
	}
	v := &viewer{svc: s, actor: a, row: r, st: st, def: d}
	if err := v.readTexts(ctx); err != nil {
		return Sheet{}, err
	}
	out := Sheet{Requester: v.who(flow.Actor{Person: st.Requester})}
	if out.Summary, err = s.summary(ctx, r); err != nil {
		return Sheet{}, err
	}
	for i := range st.Steps {
		ss := st.Steps[i]
		ss.Excluded = nil
		out.Steps = append(out.Steps, v.step(&ss))
	}
	return out, nil
}

// readTexts is readFor for what a sheet shows.
func (v *viewer) readTexts(ctx context.Context) error {
	key := v.row.ID.String()
	var rows []sheetText
	if err := sheetTextsHot.Scan(ctx, v.svc.db, &rows, key, key, key, key, key, key); err != nil {
		return err
	}
	v.texts, v.names = map[string]string{}, map[id.ID]string{}
	for _, p := range v.people() {
		v.names[p] = org.Erased
	}
	for _, x := range rows {
		switch x.Kind {
		case "text":
			v.texts[x.Field] = x.Value
		case "name":
			v.names[x.Subject] = x.Value
		default:
			var ev flow.Event
			if err := json.Unmarshal([]byte(x.Value), &ev); err != nil {
				return err
			}
			v.events = append(v.events, ev)
		}
	}
	return nil
}
