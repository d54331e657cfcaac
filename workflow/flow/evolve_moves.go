package flow

import "slices"

// applyMove applies the events of the moves beside voting.
func (s *State) applyMove(ev Event) {
	switch b := ev.Body.(type) {
	case Transferred:
		s.void(ev, []string{b.Task}, "")
		s.addTasks(ev, s.Step(b.Step), []Opening{b.To})
		for i := range s.Groups {
			if s.Groups[i].Parent == b.Task {
				s.Groups[i].Parent = b.To.Task
			}
		}
	case SignersAdded:
		s.Groups = append(s.Groups, SignerGroup{ID: b.Group, Step: b.Step, Round: s.Step(b.Step).Round, Parent: b.Task, Place: b.Place, Rule: b.Rule})
		s.addTasks(ev, s.Step(b.Step), b.Tasks)
		if b.Place == Before {
			s.Task(b.Task).State = TaskWaiting
		}
	case SignersDone:
		g := s.group(b.Group)
		g.Outcome = b.Outcome
		s.void(ev, b.Void, "")
		if p := s.Task(g.Parent); p.State == TaskWaiting && !s.advised(p.ID) {
			p.State = TaskOpen
		}
	case Widened:
		s.reseat(ev, b.Step, nil, b.Tasks, b.Excluded)
	case Reopened:
		s.addTasks(ev, s.Step(b.Step), b.Tasks)
		s.turnBack(b)
	case StepCarried:
		s.carryStep(ev, b)
	case Nudged:
		s.Nudges, s.NudgedAt = b.N, ev.At
	case Copied:
		s.Copied = append(s.Copied, b.People...)
	case Resolved:
		s.Remarks[b.N-1].Resolved = true
	case ClosedOut:
		s.CloseOut.DoneAt, s.CloseOut.Report = ev.At, b.Report
	case Migrated:
		s.migrate(b)
	case Rescheduled:
		s.reschedule(b)
	case Replaced:
		s.replace(ev, b)
	}
}

// advised says that a group asked before the task's elector has not answered.
func (s *State) advised(task string) bool {
	return slices.ContainsFunc(s.Groups, func(g SignerGroup) bool {
		return g.Parent == task && g.Place == Before && g.Outcome == Undecided
	})
}

// releaseAfter asks those whom the elector wanted after himself, once he has
// approved.
func (s *State) releaseAfter(t *Task) {
	for _, g := range s.Groups {
		if g.Parent != t.ID || g.Place != After {
			continue
		}
		first := true
		for i := range s.Tasks {
			o := &s.Tasks[i]
			if o.Within != g.ID || o.State != TaskWaiting {
				continue
			}
			switch {
			case t.Verdict != Approve:
				o.State, o.ClosedAt, o.ClosedBy = TaskVoid, t.ClosedAt, t.ClosedBy
			case first || !g.Rule.InTurn:
				o.State = TaskOpen
			}
			first = false
		}
	}
}

// nextInTurn opens the next task of a step or group that asks one elector
// after the other, when the one before is closed.
func (s *State) nextInTurn(t *Task) {
	if !s.ruleOf(t).InTurn || s.Step(t.Step).Status != StepOpen {
		return
	}
	next := -1
	for i := range s.Tasks {
		o := &s.Tasks[i]
		if o.Step != t.Step || o.Round != t.Round || o.Within != t.Within {
			continue
		}
		if o.State == TaskOpen || o.State == TaskWaiting && s.advised(o.ID) {
			return
		}
		if o.State == TaskWaiting && next < 0 {
			next = i
		}
	}
	if next >= 0 {
		s.Tasks[next].State = TaskOpen
	}
}

// turnBack lets those wait again whose turn came with a vote that was taken
// back.
func (s *State) turnBack(b Reopened) {
	again := s.Task(b.Tasks[0].Task)
	if !s.ruleOf(again).InTurn {
		return
	}
	for i := range s.Tasks {
		o := &s.Tasks[i]
		mine := slices.ContainsFunc(b.Tasks, func(x Opening) bool { return x.Task == o.ID })
		if o.Step == again.Step && o.Round == again.Round && o.Within == again.Within && o.State == TaskOpen && !mine {
			o.State = TaskWaiting
		}
	}
}

// ruleOf is the rule that the task counts for: the step's, or that of its group
// of added signers.
func (s *State) ruleOf(t *Task) Rule {
	if g := s.group(t.Within); g != nil {
		return g.Rule
	}
	return s.Step(t.Step).Rule
}

// carryStep passes a step with the votes of the amended request.
func (s *State) carryStep(ev Event, b StepCarried) {
	s.Steps = append(s.Steps, StepState{Name: b.Step, Round: 1, Status: StepPassed, Rule: b.Rule, Reads: b.Reads,
		OpenedAt: ev.At, SettledAt: ev.At, Tasks: len(b.Votes)})
	s.Last = b.Step
	for i, v := range b.Votes {
		id := taskID(b.Step, 1, i+1)
		s.Tasks = append(s.Tasks, Task{ID: id, Step: b.Step, Round: 1, Elector: v.Elector, State: TaskDone, Verdict: v.Verdict,
			Origin: ByAmend, OpenedAt: ev.At, ClosedAt: ev.At, ClosedBy: v.By.Person})
		s.Votes = append(s.Votes, Vote{Task: id, Step: b.Step, Round: 1, Elector: v.Elector, By: v.By, Verdict: v.Verdict, Silent: v.Silent, Score: v.Score,
			At: ev.At, CastRev: s.Rev(), Rev: s.Rev(), CarriedFrom: s.Amends.Request + "/" + v.Task, Live: true,
			Read: ReadDigest(b.Reads, s.Form()), Seq: s.Seq})
	}
}
