package workflow

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow/flow"
)

// Moving is what a plan does to one request. Stays says why it cannot move; it
// then is where it Was. People are named to readers who may see the request,
// else their seats.
type Moving struct {
	Request  id.ID
	Number   string
	Title    string // empty where the reader may not see the request
	From     int    // its version
	Status   flow.Status
	Stays    []Reason
	Was, Is  []StepName // the steps that are open
	After    flow.Status
	Carried  []Part // answers that count afterwards
	Again    []Part // who answered and is asked again
	Asked    []Part // who is asked newly
	Lost     []Part // answers that count no more
	Released []Part // who was asked and is not any more
	cursor   id.ID
}

// Reason says why a request stays. Code is FORM, with the pointer of the field,
// or a refusal of package flow.
type Reason struct {
	Code    string
	Pointer string
	Zh, En  string
}

// StepName is a step with its title.
type StepName struct {
	Name  string
	Title flow.Text
}

// Part is somebody's part in a step.
type Part struct {
	Step StepName
	Who  Who
}

// MigrationPreview lists what a plan would do; Running counts all requests that
// it is about.
type MigrationPreview struct {
	Definition string
	To         int
	Running    int
	Requests   []Moving
	More       bool
}

// Cursor is where the next page begins.
func (m Moving) Cursor() string { return m.cursor.String() }

// PreviewMigration says, for each running request, what a plan would do to it,
// by the function that does it. It is for those who may publish; page.After is
// a Moving's Cursor.
func (s *Service) PreviewMigration(ctx context.Context, actor org.Actor, p Plan, first int, after string) (MigrationPreview, error) {
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return MigrationPreview{}, err
	}
	out := MigrationPreview{Definition: p.Definition}
	to, older, err := s.planned(ctx, s.db.R, a, p)
	if err != nil {
		return out, err
	}
	out.To = to.N
	n, err := running(s.db.R.NewSelect().Table("request"), p, older).Count(ctx)
	if err != nil {
		return out, store.Busy(err)
	}
	out.Running = int(n)
	var rows []row
	q := running(s.db.R.NewSelect().Model(&rows).ExcludeColumn("search"), p, older)
	if after != "" {
		var at id.ID
		if err := at.UnmarshalText([]byte(after)); err != nil {
			return out, fault.Input("after", "after 不是游标", "after is no cursor")
		}
		q = q.Where("id > ?", at)
	}
	if err := q.OrderExpr("id").Limit(int64(first) + 1).Scan(ctx); err != nil && !store.NoRows(err) {
		return out, store.Busy(err)
	}
	if out.More = len(rows) > first; out.More {
		rows = rows[:first]
	}
	return out, s.previewEach(ctx, a, rows, to, older, p, &out)
}

// previewBatch is how many requests are asked about in one message.
const previewBatch = 20

func (s *Service) previewEach(ctx context.Context, a org.Actor, rows []row, to *versionRow, older map[id.ID]int, p Plan, out *MigrationPreview) error {
	now, cal, err := s.now(ctx)
	if err != nil {
		return err
	}
	d, err := s.version(ctx, s.db.R, to.ID)
	if err != nil {
		return err
	}
	people := map[id.ID]bool{}
	var shown []*shownMoving
	for chunk := range slices.Chunk(rows, previewBatch) {
		r := store.NewReads(s.db.R)
		var asks []func() (*shownMoving, error)
		for i := range chunk {
			ask, err := s.askMoving(ctx, r, &chunk[i], d, p.Steps, now, cal)
			if err != nil {
				return err
			}
			asks = append(asks, ask)
		}
		if err := r.Run(ctx); err != nil {
			return store.Busy(err)
		}
		for _, ask := range asks {
			x, err := ask()
			if err != nil {
				return err
			}
			x.From, x.readable = older[x.row.VersionID], s.canRead(a, x.row, x.st)
			for _, e := range x.electors() {
				people[personID(e.Person)] = people[personID(e.Person)] || x.readable
			}
			shown = append(shown, x)
		}
	}
	names, err := org.Names(ctx, s.db.R, seen(people)...)
	if err != nil {
		return err
	}
	for _, x := range shown {
		out.Requests = append(out.Requests, x.show(names))
	}
	return nil
}

func seen(people map[id.ID]bool) (out []id.ID) {
	for p, readable := range people {
		if readable {
			out = append(out, p)
		}
	}
	return out
}

// shownMoving is a Moving before it has names.
type shownMoving struct {
	Moving
	row      *row
	st       flow.State
	old, new *Definition
	does     flow.Migration
	readable bool
}

func (s *Service) askMoving(ctx context.Context, r *store.Reads, at *row, to *Definition, steps map[string]string, now time.Time, cal *calendar.Calendar) (func() (*shownMoving, error), error) {
	st, err := readState(at.State)
	if err != nil {
		return nil, err
	}
	old, err := s.version(ctx, s.db.R, at.VersionID)
	if err != nil {
		return nil, err
	}
	t := &thread{svc: s, def: old, now: now, cal: cal, row: *at, st: st, apart: readApart(at.Apart), filled: stored(at.Form)}
	ask := t.askMigration(r, to, steps, flow.Actor{Door: flow.Console})
	return func() (*shownMoving, error) {
		x := &shownMoving{row: at, st: st, old: old, new: to}
		cmd, facts, unfit, err := ask()
		if err != nil {
			return nil, err
		}
		for _, e := range unfit {
			x.Stays = append(x.Stays, Reason{Code: "FORM", Pointer: e.Pointer, Zh: e.Zh, En: e.En})
		}
		if len(unfit) > 0 {
			return x, nil
		}
		x.does, err = flow.Preview(to.Flow, st, cmd, facts)
		if refused, ok := flow.AsRefusal(err); ok {
			x.Stays = []Reason{{Code: string(refused.Code), Zh: refused.Zh, En: refused.En}}
			return x, nil
		}
		if err != nil {
			return nil, fmt.Errorf("workflow: request %s: %w", at.ID, err)
		}
		return x, nil
	}, nil
}

func (x *shownMoving) electors() (out []flow.Elector) {
	for _, list := range [][]flow.Share{x.does.Carried, x.does.Again, x.does.Asked, x.does.Lost, x.does.Released} {
		for _, s := range list {
			out = append(out, s.Elector)
		}
	}
	return out
}

// show names the steps and, to those who may see the request, the people.
func (x *shownMoving) show(names map[id.ID]string) Moving {
	m := x.Moving
	m.Request, m.Number, m.Status, m.After, m.cursor = x.row.ID, x.row.number(), x.row.Status, x.row.Status, x.row.ID
	if x.readable {
		m.Title = x.row.Title
	}
	for _, ss := range x.st.Steps {
		if ss.Status == flow.StepOpen {
			m.Was = append(m.Was, stepName(ss.Name, x.old, x.new))
		}
	}
	if len(m.Stays) > 0 {
		m.Is = m.Was
		return m
	}
	for _, name := range x.does.Is {
		m.Is = append(m.Is, stepName(name, x.new, x.old))
	}
	m.After = x.does.Status
	parts := func(list []flow.Share, d, other *Definition) (out []Part) {
		for _, s := range list {
			p := Part{Step: stepName(s.Step, d, other), Who: Who{Seat: s.Elector.Seat}}
			if x.readable {
				p.Who = Who{Person: personID(s.Elector.Person), Name: names[personID(s.Elector.Person)], Seat: s.Elector.Seat, For: personID(s.Elector.For)}
			}
			out = append(out, p)
		}
		return out
	}
	m.Carried, m.Again, m.Asked, m.Lost = parts(x.does.Carried, x.new, x.old), parts(x.does.Again, x.new, x.old), parts(x.does.Asked, x.new, x.old), parts(x.does.Lost, x.new, x.old)
	m.Released = parts(x.does.Released, x.old, x.new)
	return m
}

// stepName finds the title in one version, else in the other.
func stepName(name string, d, other *Definition) StepName {
	for _, d := range []*Definition{d, other} {
		if s := d.Flow.Step(name); s != nil {
			return StepName{name, s.Title}
		}
	}
	return StepName{name, flow.Text{Zh: name, En: name}}
}
