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
	if t.Step == ExpiryTimer {
		r.end(Expired, nil)
		return nil
	}
	if t.Step == CloseOutTimer {
		if t.N > 0 {
			r.emit(Reminded{Step: t.Step, N: t.N})
		} else {
			r.emit(FellDue{Step: t.Step, Then: ThenRemind})
		}
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
	case ThenWiden:
		return r.widen(t.Step, onDue.Escalate)
	case ThenRemind:
		return nil // the tree stands where it stood, see State.Moves
	case ThenReplace:
		r.replace(t.Step)
	case ThenPass:
		r.emit(StepSettled{Step: t.Step, Round: t.Round, Outcome: Passed, Tally: r.st.Tally(t.Step), Void: r.openTasks(t.Step)})
	}
	return r.advance()
}

// silence answers every open task of the step for the deadline. Added signers
// are not waited for any longer; it is the electors' answer that is due.
func (r *run) silence(step string, v Verdict) {
	r.dropGroups(step)
	read := ReadDigest(r.st.Step(step).Reads, r.st.Form())
	for _, id := range r.openTasks(step) {
		if t := r.st.Task(id); t.State == TaskOpen { // an alternative may have closed it
			r.emit(VoteCast{Step: step, Task: id, Verdict: v, FormRev: r.st.Rev(), Read: read, Silent: true})
		}
	}
	r.judge(step)
}

// escalate gives what is still open to another seat: whoever holds it decides
// with all the weight that was open. If the seat finds nobody, the step stays
// with those it asked.
func (r *run) escalate(step, to string) error {
	r.dropGroups(step)
	if r.judge(step); r.st.Step(step).Status != StepOpen { // it had waited for added signers alone
		return r.advance()
	}
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
	return r.enlarged(step)
}

// enlarged judges a step whose electorate was too small for its rule until now:
// what was decided before may settle it.
func (r *run) enlarged(step string) error {
	if r.judge(step); r.st.Step(step).Status != StepOpen {
		return r.advance()
	}
	return nil
}

// widen asks the escalation seat beside those who are asked already.
func (r *run) widen(step, to string) error {
	found, ok := r.facts.Escalate[step]
	if !ok {
		return fmt.Errorf("flow: the facts lack the seat that step %q widens to", step)
	}
	electors, excluded := r.admit(step, found)
	ss := r.st.Step(step)
	var tasks []Opening
	for _, e := range electors {
		if !r.asked(ss, e.Person) {
			tasks = append(tasks, Opening{Task: taskID(ss.Name, ss.Round, ss.Tasks+1+len(tasks)), Elector: e, Origin: ByWiden})
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	r.emit(Widened{Step: step, Round: ss.Round, To: to, Tasks: tasks, Excluded: excluded})
	return r.enlarged(step)
}

// asked says that the person has a task of the step's round that is not void.
func (r *run) asked(ss *StepState, person string) bool {
	return slices.ContainsFunc(r.st.Tasks, func(t Task) bool {
		return t.Step == ss.Name && t.Round == ss.Round && t.State != TaskVoid && t.Elector.Person == person
	})
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
