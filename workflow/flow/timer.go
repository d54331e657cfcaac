package flow

import (
	"fmt"
	"slices"
)

// fire acts on a timer that is still armed; a timer of an earlier round, of a
// settled step, or one that rings early or twice does nothing.
func (r *run) fire(t Timer) error {
	armed := slices.ContainsFunc(r.st.Timers(), func(a Timer) bool {
		return a.Step == t.Step && a.Round == t.Round && a.N == t.N && !a.At.After(r.now)
	})
	if !armed {
		return nil
	}
	open := r.openTasks(t.Step)
	if t.N > 0 {
		r.emit(Reminded{Step: t.Step, Round: t.Round, N: t.N, Tasks: open})
		return nil
	}
	onDue := r.st.Step(t.Step).OnDue
	r.emit(FellDue{Step: t.Step, Round: t.Round, Then: onDue.Then, Tasks: open})
	switch onDue.Then {
	case ThenEscalate:
		return r.escalate(t.Step, onDue.Escalate)
	case ThenAbstain:
		r.silence(t.Step, Abstain)
	case ThenReject:
		r.silence(t.Step, Reject)
	}
	return r.advance()
}

// silence answers every open task of the step for the deadline.
func (r *run) silence(step string, v Verdict) {
	read := ReadDigest(r.st.Step(step).Reads, r.st.Form())
	for _, id := range r.openTasks(step) {
		if r.st.Task(id).State == TaskOpen { // an alternative may have closed it
			r.emit(VoteCast{Step: step, Task: id, Verdict: v, FormRev: r.st.Rev(), Read: read, Silent: true})
		}
	}
	r.judge(step)
}

// escalate gives what is still open to another seat: whoever holds it decides
// with all the weight that was open. If the seat finds nobody, the step stays
// with those it asked.
func (r *run) escalate(step, to string) error {
	found, ok := r.facts.Escalate[step]
	if !ok {
		return fmt.Errorf("flow: the facts lack the escalation seat of step %q", step)
	}
	electors, excluded := r.admit(step, found)
	ss := r.st.Step(step)
	electors = slices.DeleteFunc(electors, func(e Elector) bool { return r.decided(ss, e.Person) })
	if len(electors) == 0 {
		return nil
	}
	weight := r.st.Tally(step).Open
	r.emit(Escalated{Step: step, Round: ss.Round, To: to, Void: r.openTasks(step),
		Tasks: r.alternatives(ss, electors, weight, ByEscalate), Excluded: excluded})
	return nil
}

// decided says that the person has a done task in the step's round: one
// person, one vote, also after an escalation.
func (r *run) decided(ss *StepState, person string) bool {
	return slices.ContainsFunc(r.st.Tasks, func(t Task) bool {
		return t.Step == ss.Name && t.Round == ss.Round && t.State == TaskDone && t.Elector.Person == person
	})
}

// alternatives are new tasks of which one decides, with the given weight.
func (r *run) alternatives(ss *StepState, electors []Elector, weight int, origin Origin) []Opening {
	group := ""
	if len(electors) > 1 {
		group = taskID(ss.Name, ss.Round, ss.Tasks+1)
	}
	out := make([]Opening, 0, len(electors))
	for i, e := range electors {
		if weight > 0 {
			e.Weight = weight
		}
		out = append(out, Opening{Task: taskID(ss.Name, ss.Round, ss.Tasks+1+i), Elector: e, Origin: origin, Group: group})
	}
	return out
}

// refresh follows changes of seats: in each open step, tasks of people who no
// longer hold the asked seat go to those who do. A task whose seat is vacant
// stays: a vacancy must not lower a threshold.
func (r *run) refresh() error {
	for _, name := range r.openSteps() {
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
	fresh, excluded := r.admit(name, source)
	if len(fresh) == 0 {
		fresh, _ = r.admit(name, r.facts.Empty)
	}
	ss := r.st.Step(name)
	ev := Reseated{Step: name, Round: ss.Round}
	var gone []Task
	for _, t := range r.st.Tasks {
		if t.Step == name && t.State == TaskOpen && !holdsSeat(fresh, t.Elector) && seatFilled(fresh, t.Elector.Seat) {
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
	var fit []Elector
	for _, e := range fresh {
		asked := slices.ContainsFunc(r.st.Tasks, func(t Task) bool {
			return t.Step == ss.Name && t.Round == ss.Round && t.State != TaskVoid && t.Elector.Person == e.Person && !slices.Contains(gone, t)
		})
		if !asked {
			fit = append(fit, e)
		}
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
	var out []Opening
	for i, e := range fit {
		out = append(out, Opening{Task: taskID(ss.Name, ss.Round, ss.Tasks+1+i), Elector: e, Origin: ByRefresh})
	}
	return out
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
