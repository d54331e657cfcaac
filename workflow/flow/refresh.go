package flow

import (
	"fmt"
	"slices"
)

// refresh follows changes of seats: in each open step, tasks of people who no
// longer hold the asked seat go to those who do. A task whose seat is vacant
// stays: a vacancy must not lower a threshold.
func (r *run) refresh() error {
	for _, name := range r.openSteps() {
		if r.st.Status.Final() || r.st.Step(name).Status != StepOpen { // by the step before it
			continue
		}
		r.recall(name)
		if err := r.reseat(name); err != nil {
			return err
		}
		r.judge(name)
	}
	return r.advance()
}

func (r *run) reseat(name string) error {
	source, ok := r.facts.Electors[name]
	if r.escalated(name) {
		source, ok = r.facts.Escalate[name]
	}
	if !ok {
		return fmt.Errorf("flow: the facts lack the electors of step %q", name)
	}
	if r.widened(name) {
		source = append(slices.Clone(source), r.facts.Escalate[name]...)
	}
	fresh, excluded := r.admit(name, source)
	if len(fresh) == 0 {
		fresh, _ = r.admit(name, r.facts.Empty)
	}
	ss := r.st.Step(name)
	ev := Reseated{Step: name, Round: ss.Round}
	var gone []Task
	for _, t := range r.st.Tasks {
		byName := t.Origin == ByTransfer || t.Within != "" // see recall
		if t.Step == name && (t.State == TaskOpen || t.State == TaskWaiting) && !byName && !holdsSeat(fresh, t.Elector) && seatFilled(fresh, t.Elector.Seat) {
			gone, ev.Void = append(gone, t), append(ev.Void, t.ID)
		}
	}
	ev.Tasks = r.newcomers(ss, fresh, gone)
	if len(ev.Void)+len(ev.Tasks) == 0 {
		return nil
	}
	for _, x := range excluded {
		if !slices.Contains(ss.Excluded, x) {
			ev.Excluded = append(ev.Excluded, x)
		}
	}
	r.emit(ev)
	return nil
}

// newcomers are tasks for electors who have none in this round. After an
// escalation they take the place of those who are gone.
func (r *run) newcomers(ss *StepState, fresh []Elector, gone []Task) []Opening {
	fit := r.unasked(ss, fresh, gone)
	if ss.Drawn != nil {
		r.rank(ss.Drawn.Seed, fit)
		fit = fit[:min(len(fit), len(gone))]
	}
	if r.escalated(ss.Name) {
		if len(gone) == 0 {
			return nil
		}
		out := r.alternatives(ss, fit, gone[0].Elector.Weight, ByRefresh)
		for i := range out {
			if gone[0].Group != "" {
				out[i].Group = gone[0].Group
			}
		}
		return out
	}
	// In a step that asks in turn they come last; where nobody was asked, or all
	// have answered, the first of them has the turn.
	turn := slices.ContainsFunc(r.st.Tasks, func(t Task) bool {
		return t.Step == ss.Name && t.Round == ss.Round && t.Within == "" && (t.State == TaskOpen || t.State == TaskWaiting)
	})
	var out []Opening
	for i, e := range fit {
		out = append(out, Opening{Task: taskID(ss.Name, ss.Round, ss.Tasks+1+i), Elector: e, Origin: ByRefresh, Waits: ss.Rule.InTurn && (turn || i > 0)})
	}
	return out
}

// unasked are the fresh electors who have no task in this round beside those
// that are gone, and to whom nobody else's task was given instead of theirs.
func (r *run) unasked(ss *StepState, fresh []Elector, gone []Task) []Elector {
	var fit []Elector
	for _, e := range fresh {
		has := slices.ContainsFunc(r.st.Tasks, func(t Task) bool {
			if t.Step != ss.Name || t.Round != ss.Round || t.Within != "" || slices.Contains(gone, t) {
				return false
			}
			if t.State == TaskVoid {
				return t.Elector == e && r.handedOver(t.ID)
			}
			return t.Elector.Person == e.Person
		})
		if !has {
			fit = append(fit, e)
		}
	}
	return fit
}

// handedOver says that a task's share is with somebody else now.
func (r *run) handedOver(task string) bool {
	return slices.ContainsFunc(r.st.Tasks, func(t Task) bool {
		return (t.Origin == ByTransfer || t.Origin == ByReplace) && t.Parent == task && (t.State != TaskVoid || r.handedOver(t.ID))
	})
}

// recall takes tasks back from people who were asked by name and hold no seat
// any more: a transferred one goes to the elector it came from, an added
// signer is no longer waited for.
func (r *run) recall(step string) {
	for _, t := range slices.Clone(r.st.Tasks) {
		byName := t.Origin == ByTransfer || t.Within != ""
		held, known := r.facts.Held[t.Elector.Key()]
		if t.Step != step || t.State != TaskOpen && t.State != TaskWaiting || !byName || !known || held {
			continue
		}
		ev := Reseated{Step: step, Round: t.Round, Void: []string{t.ID}}
		if t.Origin == ByTransfer {
			ss := r.st.Step(step)
			ev.Tasks = []Opening{{Task: taskID(step, ss.Round, ss.Tasks+1), Elector: r.st.Task(t.Parent).Elector, Origin: ByRefresh,
				Group: t.Group, Within: t.Within, Waits: t.State == TaskWaiting && !r.st.advised(t.ID)}}
		}
		r.emit(ev)
	}
}

// widened says that the step's round asked more people when it was late.
func (r *run) widened(step string) bool {
	ss := r.st.Step(step)
	return slices.ContainsFunc(r.st.Tasks, func(t Task) bool {
		return t.Step == step && t.Round == ss.Round && t.Origin == ByWiden
	})
}

// escalated says that the step's round is with its escalation seat.
func (r *run) escalated(step string) bool {
	ss := r.st.Step(step)
	return slices.ContainsFunc(r.st.Tasks, func(t Task) bool {
		return t.Step == step && t.Round == ss.Round && t.Origin == ByEscalate
	})
}

func holdsSeat(all []Elector, e Elector) bool {
	return slices.ContainsFunc(all, func(x Elector) bool {
		return x.Person == e.Person && x.Seat == e.Seat && x.For == e.For
	})
}

func seatFilled(all []Elector, seat string) bool {
	return slices.ContainsFunc(all, func(x Elector) bool { return x.Seat == seat })
}
