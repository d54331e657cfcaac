package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"kelian/org/calendar"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// facts collects what the core needs to know for one command: who holds every
// seat that the definition asks, what its guards say of the form, and when
// each step would be due. It is one statement on the directory; own is a seat
// that is resolved beside them (see found.holds).
func (s *Service) facts(ctx context.Context, q bun.IDB, d *Definition, own string, at place, now time.Time, cal *calendar.Calendar) (flow.Facts, found, error) {
	f := flow.Facts{Now: now, Electors: map[string][]flow.Elector{}, Escalate: map[string][]flow.Elector{}, Due: map[string]flow.Due{}}
	people, err := s.find(ctx, q, d.Seats, own, at, now)
	if err != nil {
		return f, nil, err
	}
	for _, step := range d.Flow.Steps() {
		list := []flow.Elector{}
		for _, src := range step.Ask {
			list = append(list, people[src]...)
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
	f.Guards, err = d.Guards(at.form, now)
	return f, people, err
}

// facts of the thread's own request, for the form as it stands in the thread.
func (t *thread) facts(ctx context.Context, own string) (flow.Facts, found, error) {
	at := place{unit: t.row.Unit, requester: t.row.Requester.String(), form: t.filled}
	return t.svc.facts(ctx, t.tx, t.def, own, at, t.now, t.cal)
}

// desk asks the desks for the facts that the definition records.
func (t *thread) desk(ctx context.Context) (map[string]flow.JSON, error) {
	if len(t.def.Facts) == 0 {
		return nil, nil
	}
	form := t.filled.plainForm()
	out := make(map[string]flow.JSON, len(t.def.Facts))
	for _, name := range t.def.Facts {
		source := t.svc.Facts[name]
		if source == nil { // of a version whose desk is gone
			continue
		}
		v, err := source.Fact(ctx, t.tx, name, form)
		if err != nil {
			return nil, fmt.Errorf("workflow: the fact %s: %w", name, err)
		}
		raw, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("workflow: the fact %s: %w", name, err)
		}
		canon, err := flow.Canonical(raw)
		if err != nil {
			return nil, fmt.Errorf("workflow: the fact %s: %w", name, err)
		}
		out[name] = flow.JSON(canon)
	}
	return out, nil
}
