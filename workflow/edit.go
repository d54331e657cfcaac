package workflow

import (
	"context"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org"
	"kelian/workflow/flow"
)

// ForecastEdit says what an edit of a request would ask again: of one under
// way, as Resubmit would send it, or of an approved one, as Amend would. Steps
// whose votes all hold are Carried; Changes are what the form would change. It
// is for the requester, and changes nothing.
func (s *Service) ForecastEdit(ctx context.Context, actor org.Actor, request id.ID, form map[string]any) (ForecastView, error) {
	r, st, d, a, err := s.open(ctx, actor, request)
	if err != nil {
		return ForecastView{}, err
	}
	if a.Person != r.Requester {
		return ForecastView{}, fault.Refuse(string(flow.NotRequester), "只有申请人可以修改申请", "only the requester edits the request")
	}
	if err := s.rules.Check(a, "workflow.forecast", org.Object{}); err != nil {
		return ForecastView{}, err
	}
	if st.Status != flow.Approved && st.Status.Final() {
		return ForecastView{}, fault.Refuse(string(flow.WrongState), "这份申请已经办结，不能修改", "the request is closed and takes no edit")
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return ForecastView{}, err
	}
	var out ForecastView
	at := place{unit: r.Unit, requester: r.Requester.String()}
	if at.form, out.Problems, err = s.tryForm(d, form, now); err != nil {
		return out, err
	}
	edited, err := s.edited(ctx, r, st, d, &at, &out)
	if err != nil {
		return out, err
	}
	facts, err := s.facts(ctx, s.db.R, d, at, now, cal)
	if err != nil {
		return out, err
	}
	steps, err := flow.ForecastEdit(d.Flow, st, edited, facts)
	if err != nil {
		t := thread{svc: s, def: d, row: *r, st: st, now: now, actor: a.Person}
		return out, t.refusal(ctx, err)
	}
	history, err := s.history(ctx, r.Definition)
	if err != nil {
		return out, err
	}
	return out, s.forecastSteps(ctx, &out, a, steps, history, now)
}

// edited cuts the form into the leaves that the edit would have, and tells what
// it changes. A personal value that stays keeps its digest, but not in an
// amendment, which keeps values of its own.
func (s *Service) edited(ctx context.Context, r *row, st flow.State, d *Definition, at *place, out *ForecastView) (flow.Form, error) {
	places := readApart(r.Apart)
	values, err := org.PersonalOf(ctx, s.db.R, r.ID)
	if err != nil {
		return flow.Form{}, err
	}
	next := apart{}
	var personal []string
	form, err := d.Form.Digests(st.Rev()+1, at.form, func(pointer string, value flow.JSON) string {
		personal = append(personal, pointer)
		if field := places[pointer]; field != "" && values[r.ID][field] == string(value) {
			next[pointer] = field
			if st.Status != flow.Approved {
				return st.Form().Digests[pointer]
			}
			return "kept in the amendment"
		}
		next[pointer] = "new"
		return "new"
	})
	if err != nil {
		return form, err
	}
	at.form = at.form.without(personal)
	before := &revisionRow{Form: r.Form, Apart: r.Apart}
	after := &revisionRow{Form: string(at.form.JSON), Apart: string(mustCanonical(next))}
	out.Changes, err = compare(d, before, after, nil)
	return form, err
}
