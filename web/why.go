package web

import (
	"time"

	"kelian/workflow"
	"kelian/workflow/flow"
)

// why answers "why does it wait" for one request.
type why struct {
	Waits []waitLine // steps in which somebody is asked now
	Tree  []whyLine  // the whole way, what is over and what comes
	Maybe bool       // a part of the way depends on what is filled in later
}

// waitLine is a step in which somebody is asked now.
type waitLine struct {
	Step     string
	Rule     string
	Who      []awaited
	Fastest  []string // whose approval is enough, where not everybody's is needed
	Lacking  int      // approving weight that is still needed
	Approved int
	Stuck    bool
	Open     []int // remarks that are to be resolved first
	Due      time.Time
	DueRule  workflow.DueRule
	Overdue  bool
	Usually  workflow.Typical
}

type awaited struct {
	Name, Seat string
	Later      bool // others come first
	Blocked    bool // decided another step that must be apart
	Added      bool // asked by an elector
}

// whyLine is one step of the way.
type whyLine struct {
	Step     string
	Progress flow.Progress
	Beside   bool // asked at the same time as the step before
	Usually  workflow.Typical
}

// why spells what an open request waits for.
func (c *call) why(l *workflow.Look) why {
	var out why
	x := explainer{voice: c.voice(), e: l.Why, rules: map[string]workflow.DueRule{}, out: &out}
	for _, s := range l.Steps {
		x.rules[s.Name] = s.DueRule
	}
	x.walk(x.e.Tree, false)
	return out
}

type explainer struct {
	voice
	e     workflow.Explanation
	rules map[string]workflow.DueRule
	out   *why
}

// walk flattens the tree: a branch that is not taken is left out.
func (x *explainer) walk(q flow.Requirement, beside bool) {
	if q.Kind == flow.KindStep {
		title, _ := x.words(q.Title)
		x.out.Tree = append(x.out.Tree, whyLine{Step: title, Progress: q.Progress, Beside: beside, Usually: x.e.Typical[q.Step]})
		if q.Progress == flow.ProgWaiting || q.Progress == flow.ProgStuck {
			x.out.Waits = append(x.out.Waits, x.wait(title, q))
		}
		return
	}
	if q.Progress == flow.ProgMaybe && q.Kind == flow.KindChoice {
		x.out.Maybe = true
		return
	}
	for i, p := range q.Parts {
		if p.Progress != flow.ProgSkipped {
			x.walk(p, q.Kind == flow.KindPar && i > 0)
		}
	}
}

func (x *explainer) wait(title string, q flow.Requirement) waitLine {
	w := waitLine{Step: title, Rule: x.rule(q.Rule), Lacking: q.Lacking, Approved: q.Tally.Approve, Stuck: q.Progress == flow.ProgStuck,
		Open: q.Open, Due: q.DueAt, DueRule: x.rules[q.Step], Overdue: q.Overdue, Usually: x.e.Typical[q.Step]}
	if q.Rule.Kind == flow.Any {
		w.Lacking = 0 // the rule says it
	}
	for _, a := range q.Waiting {
		y := awaited{Name: x.e.Names[a.Elector.Person], Later: a.Later, Blocked: a.Blocked != "", Added: a.Within != ""}
		if a.Elector.Seat != "" {
			y.Seat = x.seatName(a.Elector.Seat)
		}
		w.Who = append(w.Who, y)
	}
	if len(q.Fastest) < len(q.Waiting) {
		for _, a := range q.Fastest {
			w.Fastest = append(w.Fastest, x.e.Names[a.Elector.Person])
		}
	}
	return w
}
