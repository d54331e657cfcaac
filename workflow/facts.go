package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org/calendar"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// askFacts collects what the core needs to know for one command: who holds
// every seat that the definition asks, what its guards say of the form, and
// when each step would be due. It is one read of the directory; own is a seat
// that is resolved beside them (see found.holds).
func askFacts(r *store.Reads, d *Definition, own string, at place, now time.Time, cal *calendar.Calendar) func() (flow.Facts, found, error) {
	seats, barred := askSeats(r, d.Seats, own, at, now), askBarred(r, d, at, now)
	return func() (flow.Facts, found, error) {
		people := seats()
		f := flow.Facts{Now: now, Electors: map[string][]flow.Elector{}, Escalate: map[string][]flow.Elector{}, Due: map[string]flow.Due{}}
		for _, step := range d.Flow.Steps() {
			list := []flow.Elector{}
			for _, src := range step.Ask {
				for _, e := range people[src] {
					e.Weight = step.Weights[src]
					list = append(list, e)
				}
			}
			f.Electors[step.Name] = list
			if step.OnDue.Escalate != "" {
				f.Escalate[step.Name] = people[step.OnDue.Escalate]
			}
			f.Due[step.Name] = dueOf(d, step, cal, now)
		}
		if d.Flow.Policy.Empty != "" {
			f.Empty = people[d.Flow.Policy.Empty]
		}
		f.Barred, f.CloseOut, f.Expires = barred(), closeOutDue(d, at.form, cal), expiresAt(d, at.form, cal)
		for _, src := range d.Flow.Policy.CC {
			f.CC = append(f.CC, people[src]...)
		}
		for _, src := range d.Flow.Policy.Stop {
			f.Stop = append(f.Stop, people[src]...)
		}
		var err error
		f.Guards, err = d.Guards(at.form, now)
		return f, people, err
	}
}

func (s *Service) facts(ctx context.Context, q bun.IDB, d *Definition, at place, now time.Time, cal *calendar.Calendar) (flow.Facts, error) {
	r := store.NewReads(q)
	ask := askFacts(r, d, "", at, now, cal)
	if err := r.Run(ctx); err != nil {
		return flow.Facts{}, err
	}
	facts, _, err := ask()
	return facts, err
}

// askFacts of the thread's own request, for the form as it stands in the
// thread.
func (t *thread) askFacts(r *store.Reads, own string) func() (flow.Facts, found, error) {
	at := place{unit: t.row.Unit, requester: t.row.Requester.String(), form: t.filled}
	ask, held := askFacts(r, t.def, own, at, t.now, t.cal), t.askHeld(r)
	return func() (flow.Facts, found, error) {
		f, people, err := ask()
		f.Held, f.Seed = held(), t.row.Head
		return f, people, err
	}
}

func (t *thread) facts(ctx context.Context, own string) (flow.Facts, found, error) {
	r := store.NewReads(t.tx)
	ask := t.askFacts(r, own)
	if err := r.Run(ctx); err != nil {
		return flow.Facts{}, nil, err
	}
	return ask()
}

// ask is the facts for a new revision of the form, with those of the desks
// that the definition records, in one round trip.
func (t *thread) ask(ctx context.Context) (flow.Facts, map[string]flow.JSON, error) {
	r := store.NewReads(t.tx)
	askFacts, askDesk := t.askFacts(r, ""), t.askDesk(r)
	if err := r.Run(ctx); err != nil {
		return flow.Facts{}, nil, err
	}
	desk, err := askDesk()
	if err != nil {
		return flow.Facts{}, nil, err
	}
	facts, _, err := askFacts()
	return facts, desk, err
}

// askDesk is what the desks say of a form just filled in; the files that it
// names are bound beside it, and values that are used once are looked up.
func (t *thread) askDesk(r *store.Reads) func() (map[string]flow.JSON, error) {
	files, once := t.askFiles(r), t.askOnce(r)
	form, own := t.filled.plainForm(), []id.ID{t.row.ID}
	if !t.row.Amends.IsZero() {
		own = append(own, t.row.Amends)
	}
	asked := make(map[string]func() (any, error), len(t.def.Facts))
	for _, name := range t.def.Facts {
		if slices.Contains(ownFacts, name) {
			asked[name] = t.askOwn(r, name)
		} else if source := t.svc.Facts[name]; source != nil { // nil: of a version whose desk is gone
			asked[name] = source.AskFact(r, name, form, own...)
		}
	}
	return func() (map[string]flow.JSON, error) {
		if err := files(); err != nil {
			return nil, err
		}
		if problems := once(); len(problems) > 0 {
			return nil, formInvalid(problems)
		}
		var out map[string]flow.JSON
		add := func(name string, v any) (err error) {
			if out == nil {
				out = map[string]flow.JSON{}
			}
			out[name], err = canonical(v)
			return err
		}
		if len(t.def.Once) > 0 {
			if err := add(factOnce, t.def.Once); err != nil {
				return nil, err
			}
		}
		for name, answer := range asked {
			v, err := answer()
			if err == nil {
				err = add(name, v)
			}
			if err != nil {
				return nil, fmt.Errorf("workflow: the fact %s: %w", name, err)
			}
		}
		return out, nil
	}
}

func canonical(v any) (flow.JSON, error) {
	raw, err := json.Marshal(v)
	if err == nil {
		raw, err = flow.Canonical(raw)
	}
	return flow.JSON(raw), err
}
