package workflow

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// Explanation answers why a request waits. Tree is the definition's own tree
// with what is there and what is lacking; Names are the people in it, by the
// identifiers that the tree uses.
type Explanation struct {
	Request id.ID
	Status  flow.Status
	Tree    flow.Requirement
	Names   map[string]string
	// Typical is how long each step usually takes, by its name; only steps
	// with a history or a due time.
	Typical map[string]Typical
}

// Explain says where a request stands, why, and what it needs.
func (s *Service) Explain(ctx context.Context, actor org.Actor, request id.ID) (Explanation, error) {
	r, st, d, a, err := s.open(ctx, actor, request)
	if err != nil {
		return Explanation{}, err
	}
	return s.explain(ctx, a, r, st, d)
}

func (s *Service) explain(ctx context.Context, a org.Actor, r *row, st flow.State, d *Definition) (Explanation, error) {
	now, cal, err := s.now(ctx)
	if err != nil {
		return Explanation{}, err
	}
	out := Explanation{Request: r.ID, Status: st.Status, Tree: flow.Explain(d.Flow, st, now), Names: map[string]string{}, Typical: map[string]Typical{}}
	v := viewer{svc: s, actor: a, row: r, st: st, def: d}
	names, err := org.Names(ctx, s.db.R, v.people()...)
	if err != nil {
		return Explanation{}, err
	}
	for p, n := range names {
		out.Names[p.String()] = n
	}
	history, err := s.history(ctx, r.Definition)
	if err != nil {
		return Explanation{}, err
	}
	for _, step := range d.Flow.Steps() {
		if t, ok := typical(history[step.Name], dueOf(d, step, cal, now), now); ok {
			out.Typical[step.Name] = t
		}
	}
	return out, nil
}

// Typical is how long a step takes from opening to the answer. Decided counts
// the answers it is the median of; 0 means that it is the step's due time.
type Typical struct {
	Took    time.Duration
	Decided int
}

// historySize bounds how many answers a median looks at: the newest.
const historySize = 500

// history gives the times, in seconds, of past answers by step, sorted.
func (s *Service) history(ctx context.Context, definition string) (map[string][]int64, error) {
	p, err := s.paceOf(ctx, definition)
	return p.step, err
}

// pace is how long answers took, in seconds, sorted: by step, by seat, and by
// step and seat (step@seat).
type pace struct{ step, seat, both map[string][]int64 }

func (s *Service) paceOf(ctx context.Context, definition string) (pace, error) {
	var rows []struct {
		Step, Seat string
		Took       int64
	}
	err := s.db.R.NewRaw(`SELECT step, seat, took FROM task WHERE definition = ? AND state = 'done' AND origin = 'rule'
		ORDER BY closed_at DESC LIMIT ?`, definition, historySize).Scan(ctx, &rows)
	if err != nil && !store.NoRows(err) {
		return pace{}, store.Busy(err)
	}
	out := pace{map[string][]int64{}, map[string][]int64{}, map[string][]int64{}}
	for _, r := range rows {
		out.step[r.Step] = append(out.step[r.Step], r.Took)
		out.seat[r.Seat] = append(out.seat[r.Seat], r.Took)
		out.both[r.Step+"@"+r.Seat] = append(out.both[r.Step+"@"+r.Seat], r.Took)
	}
	for _, by := range []map[string][]int64{out.step, out.seat, out.both} {
		for _, l := range by {
			slices.Sort(l)
		}
	}
	return out, nil
}

// typical is the median of past answers, else the time until due.
func typical(took []int64, due flow.Due, now time.Time) (Typical, bool) {
	if n := len(took); n > 0 {
		return Typical{Took: time.Duration(took[(n-1)/2]+took[n/2]) * time.Second / 2, Decided: n}, true
	}
	if due.At.IsZero() {
		return Typical{}, false
	}
	return Typical{Took: due.At.Sub(now)}, true
}

// ForecastView says who will be asked, before a request is sent.
type ForecastView struct {
	Steps []ForecastStep
	// Typical is how long it takes as a whole: stage by stage, the slowest
	// step of each.
	Typical  time.Duration
	Problems []FieldError // of the form; the forecast is made all the same
	Changes  []Change     // of an edit: what it changes
}

// ForecastStep is a step that will be asked. Steps of one Stage are asked at
// the same time. People have names for readers who hold a seat.
type ForecastStep struct {
	Step     string
	Title    flow.Text
	Stage    int
	Rule     flow.Rule
	Ask      []string // seat expressions
	People   []Who
	Excluded []ExclusionView
	Apart    []string // earlier steps whose deciders are kept out
	Fallback bool     // the seat is vacant; these are asked instead
	// Otherwise are asked if everybody of People is kept out by Apart.
	Otherwise []Who
	DueAt     time.Time
	DueRule   DueRule
	Typical   Typical
	Short     int  // how many more people it would need: it would be stuck
	Carried   bool // of an edit: its votes hold, nobody is asked again
}

// Forecast says who will be asked, in which order, and how long it takes, for a
// form that need not be complete.
func (s *Service) Forecast(ctx context.Context, actor org.Actor, definition, unit string, form map[string]any) (ForecastView, error) {
	now, cal, err := s.now(ctx)
	if err != nil {
		return ForecastView{}, err
	}
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return ForecastView{}, err
	}
	if err := s.rules.Check(a, "workflow.forecast", org.Object{}); err != nil {
		return ForecastView{}, err
	}
	if unit, _, err = s.standing(a, unit); err != nil {
		return ForecastView{}, err
	}
	_, d, err := s.current(ctx, s.db.R, definition)
	if err != nil {
		return ForecastView{}, err
	}
	var out ForecastView
	at := place{unit: unit, requester: a.Person.String()}
	if at.form, out.Problems, err = s.tryForm(d, form, now); err != nil {
		return out, err
	}
	facts, err := s.facts(ctx, s.db.R, d, at, now, cal)
	if err != nil {
		return out, err
	}
	steps, err := flow.Forecast(d.Flow, at.requester, facts)
	if err != nil {
		return out, err
	}
	history, err := s.history(ctx, definition)
	if err != nil {
		return out, err
	}
	return out, s.forecastSteps(ctx, &out, a, steps, history, now)
}

// tryForm takes a form that need not be complete.
func (s *Service) tryForm(d *Definition, form map[string]any, now time.Time) (Filled, []FieldError, error) {
	if form == nil {
		form = map[string]any{}
	}
	raw, err := json.Marshal(form)
	if err != nil {
		return Filled{}, nil, fault.Input("form", "表单不是合法的 JSON", "the form is not JSON").Because(err)
	}
	filled, problems := d.Form.Fill(raw)
	if len(problems) == 0 {
		problems, err = d.CheckRules(filled, now)
		return filled, problems, err
	}
	// The fields that are right by themselves still say who is asked.
	values := map[string]any{}
	for name, v := range form {
		wrong := slices.ContainsFunc(problems, func(p FieldError) bool { return p.Code != "REQUIRED" && below(p.Pointer, []string{"/" + name}) })
		if _, known := d.Form.Field("/" + name); known && !wrong {
			values[name] = v
		}
	}
	for _, f := range d.Form.Fields {
		if _, given := values[f.Name]; !given && f.Default != nil {
			values[f.Name] = f.Default
		}
	}
	text := mustCanonical(values)
	return stored(string(text)), problems, nil
}

func (s *Service) forecastSteps(ctx context.Context, out *ForecastView, a org.Actor, steps []flow.ForecastStep, history map[string][]int64, now time.Time) error {
	var people []id.ID
	for _, f := range steps {
		for _, e := range slices.Concat(f.Electors, f.Otherwise) {
			people = append(people, personID(e.Person))
		}
	}
	names := map[id.ID]string{}
	if len(a.Seats) > 0 {
		var err error
		if names, err = org.Names(ctx, s.db.R, people...); err != nil {
			return err
		}
	}
	stage := map[int]time.Duration{}
	for _, f := range steps {
		x := ForecastStep{Step: f.Step, Title: f.Title, Stage: f.Stage, Rule: f.Rule, Ask: f.Ask, Apart: f.Apart, Fallback: f.Fallback, DueAt: f.Due.At, DueRule: ReadDueRule(f.Due.By), Short: f.Short, Carried: f.Carried}
		if !f.Carried {
			x.Typical, _ = typical(history[f.Step], f.Due, now)
		}
		who := func(list []flow.Elector) (out []Who) {
			for _, e := range list {
				p := personID(e.Person)
				out = append(out, Who{Person: p, Name: names[p], Seat: e.Seat, For: personID(e.For)})
			}
			return out
		}
		x.People, x.Otherwise = who(f.Electors), who(f.Otherwise)
		for _, e := range f.Excluded {
			x.Excluded = append(x.Excluded, ExclusionView{Who{Person: personID(e.Elector.Person), Seat: e.Elector.Seat}, e.Why, e.Step})
		}
		stage[f.Stage] = max(stage[f.Stage], x.Typical.Took)
		out.Steps = append(out.Steps, x)
	}
	for _, d := range stage {
		out.Typical += d
	}
	return nil
}
