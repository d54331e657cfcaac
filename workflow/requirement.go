package workflow

import (
	"time"

	"kelian/internal/id"
	"kelian/workflow/flow"
)

// RequirementView is one node of the answer to "why is it, or is it not yet,
// approved": a step, or what holds steps together.
type RequirementView struct {
	flow.Requirement
	Number    int       // its place in the list, from 1
	Parent    int       // the Number of what it is a part of; 0 = of the request
	Condition flow.Text // of a branch, in words
	Asked     []AskedView
	Fastest   []id.ID // the fewest tasks whose approval passes the step, if nobody says no
	Barred    []ExclusionView
}

// AskedView is somebody whose answer is awaited. Blocked names the rule that
// keeps the person from giving it.
type AskedView struct {
	Task    id.ID
	Who     Who
	DueAt   time.Time
	Blocked flow.Code
	Added   bool // as a signer, by an elector
	Later   bool // others come first
}

// Requirements lists what the request needs, each part behind what it is a part
// of. It is made of the state that the view shows and of the rules that decide;
// names spells codes of units and seats, as for Condition.
func (v *View) Requirements(now time.Time, names func(code string) flow.Text) []RequirementView {
	l := requirements{v: v.made, names: names}
	l.add(flow.Explain(v.Version.Flow, v.made.st, now).Parts, 0)
	return l.out
}

type requirements struct {
	v     *viewer
	names func(string) flow.Text
	out   []RequirementView
}

func (l *requirements) add(parts []flow.Requirement, parent int) {
	for _, q := range parts {
		x := RequirementView{Requirement: q, Number: len(l.out) + 1, Parent: parent}
		if q.When != "" {
			x.Condition = l.v.def.Condition(flow.Branch{Guard: q.Guard, When: q.When}, l.names)
		}
		for _, w := range q.Waiting {
			x.Asked = append(x.Asked, AskedView{Task: l.task(w.Task), Who: l.v.who(flow.Actor{Person: w.Elector.Person, Seat: w.Elector.Seat, For: w.Elector.For}),
				DueAt: w.DueAt, Blocked: w.Blocked, Added: w.Within != "", Later: w.Later})
		}
		for _, w := range q.Fastest {
			x.Fastest = append(x.Fastest, l.task(w.Task))
		}
		for _, e := range q.Excluded {
			x.Barred = append(x.Barred, ExclusionView{l.v.who(flow.Actor{Person: e.Elector.Person, Seat: e.Elector.Seat}), e.Why, e.Step})
		}
		l.out = append(l.out, x)
		l.add(q.Parts, x.Number)
	}
}

func (l *requirements) task(key string) id.ID { return taskID(l.v.row.ID, *l.v.st.Task(key)) }
