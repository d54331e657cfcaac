package flow

import (
	"fmt"
	"slices"
)

// Evolve applies one event and gives the new state; st is left as it was.
func Evolve(st State, ev Event) State {
	out := st.clone()
	out.apply(ev)
	return out
}

// EvolveAll applies events in order; st is left as it was.
func EvolveAll(st State, events []Event) State {
	out := st.clone()
	for _, ev := range events {
		out.apply(ev)
	}
	return out
}

// Fold replays events from nothing.
func Fold(events []Event) State { return EvolveAll(State{}, events) }

// Refold is Fold for events that anybody may have written: those that cannot
// follow each other are an error that names the first.
func Refold(events []Event) (st State, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("flow: event %d cannot follow those before it", st.Seq+1)
		}
	}()
	for _, ev := range events {
		st = Evolve(st, ev)
	}
	return st, nil
}

func (s *State) apply(ev Event) {
	s.Seq++
	switch b := ev.Body.(type) {
	case Submitted:
		s.Status, s.Key, s.Hash, s.Requester = Open, b.Key, b.Hash, b.Requester
		s.Forms, s.Desk, s.OpenedAt, s.Amends, s.ExpiresAt = []Form{b.Form}, b.Desk, ev.At, b.Amends, b.Expires
	case ChoiceMade:
		s.Choices = append(s.Choices, b)
	case StepOpened:
		s.openStep(ev, b)
	case VoteCast:
		s.cast(ev, b)
	case VoteCarried:
		s.Vote(b.Task).Rev = b.To
	case VoteLapsed:
		s.lapse(b)
	case StepSettled:
		s.settle(ev, b)
	case SentBack:
		s.sendBack(ev, b)
	case Resubmitted:
		s.Status, s.Back, s.Choices = Open, nil, nil
		s.Forms, s.ExpiresAt = append(s.Forms, b.Form), b.Expires
		if b.Desk != nil {
			s.Desk = b.Desk
		}
	case Reminded:
		if b.Step == CloseOutTimer {
			s.CloseOut.Reminded = append(s.CloseOut.Reminded, b.N)
		} else {
			ss := s.Step(b.Step)
			ss.Reminded = append(ss.Reminded, b.N)
		}
	case FellDue:
		if b.Step == CloseOutTimer {
			s.CloseOut.Overdue = true
		} else {
			s.Step(b.Step).Overdue = true
		}
	case Escalated:
		s.reseat(ev, b.Step, b.Void, b.Tasks, b.Excluded)
	case Reseated:
		s.reseat(ev, b.Step, b.Void, b.Tasks, b.Excluded)
	case Commented:
		s.Remarks = append(s.Remarks, Remark{N: b.N, By: ev.By.Person, Task: b.Task, Reply: b.Reply, Blocking: b.Blocking})
	case Closed:
		s.Status, s.ClosedAt, s.ClosedBy, s.Back, s.By = b.Status, ev.At, ev.By.Person, nil, b.By
		if !b.CloseOut.At.IsZero() {
			s.CloseOut = &CloseOutState{Due: b.CloseOut}
		}
	default:
		s.applyMove(ev)
	}
}

func (s *State) openStep(ev Event, b StepOpened) {
	ss := s.Step(b.Step)
	if ss == nil {
		s.Steps = append(s.Steps, StepState{})
		ss = &s.Steps[len(s.Steps)-1]
	}
	*ss = StepState{Name: b.Step, Round: b.Round, Status: StepOpen, Rule: b.Rule, Reads: b.Reads,
		OnDue: b.OnDue, Due: b.Due, OpenedAt: ev.At, Excluded: b.Excluded, Drawn: b.Drawn}
	s.addTasks(ev, ss, b.Tasks)
}

// addTasks opens tasks; one that is answered by an earlier vote is done at
// once, with a vote of its own that repeats the earlier one.
func (s *State) addTasks(ev Event, ss *StepState, tasks []Opening) {
	for _, o := range tasks {
		ss.Tasks++
		t := Task{ID: o.Task, Step: ss.Name, Round: ss.Round, Elector: o.Elector, State: TaskOpen,
			Origin: o.Origin, Group: o.Group, Within: o.Within, Parent: o.Parent, OpenedAt: ev.At, DueAt: ss.Due.At}
		if o.Waits {
			t.State = TaskWaiting
		}
		if old := s.Vote(o.Vote); old != nil {
			t.State, t.Verdict, t.ClosedAt, t.ClosedBy = TaskDone, old.Verdict, ev.At, old.By.Person
			v := *old
			v.Task, v.Step, v.Round, v.Elector = o.Task, ss.Name, ss.Round, o.Elector
			v.CarriedFrom, v.Read, v.Rev, v.Within, v.Seq = o.Vote, ReadDigest(ss.Reads, s.Form()), s.Rev(), o.Within, s.Seq
			if o.Origin == ByCarry {
				old.Live = false // this vote takes its place
			}
			s.Votes = append(s.Votes, v)
		}
		s.Tasks = append(s.Tasks, t)
	}
}

func (s *State) cast(ev Event, b VoteCast) {
	t := s.Task(b.Task)
	t.State, t.Verdict, t.ClosedAt, t.ClosedBy = TaskDone, b.Verdict, ev.At, ev.By.Person
	for i := range s.Tasks {
		if o := &s.Tasks[i]; t.Group != "" && o.Group == t.Group && o.State == TaskOpen {
			o.State, o.ClosedAt, o.ClosedBy = TaskVoid, ev.At, ev.By.Person
		}
	}
	s.Votes = append(s.Votes, Vote{Task: b.Task, Step: b.Step, Round: t.Round, Elector: t.Elector, By: ev.By,
		Verdict: b.Verdict, Silent: b.Silent, Score: b.Score, At: ev.At, CastRev: b.FormRev, Rev: b.FormRev, Live: true,
		Read: b.Read, Note: b.Note, Within: t.Within, Seq: s.Seq})
	s.releaseAfter(t)
	s.nextInTurn(t)
}

func (s *State) lapse(b VoteLapsed) {
	v := s.Vote(b.Task)
	v.Live, v.Why, v.Changed = false, b.Why, b.Changed
	if ss := s.Step(b.Step); ss.Status == StepPassed {
		ss.Status, ss.Why = StepLapsed, b.Why
	}
}

func (s *State) settle(ev Event, b StepSettled) {
	ss := s.Step(b.Step)
	ss.SettledAt, ss.SettledBy, ss.Why = ev.At, ev.By.Person, b.Why
	switch b.Outcome {
	case Passed:
		ss.Status, s.Last = StepPassed, b.Step
	case Failed:
		ss.Status = StepFailed
	default:
		ss.Status = StepDropped
	}
	s.void(ev, b.Void, b.Why)
}

func (s *State) sendBack(ev Event, b SentBack) {
	t := s.Task(b.Task)
	t.State, t.Verdict, t.ClosedAt, t.ClosedBy = TaskDone, Return, ev.At, ev.By.Person
	s.SendBacks++
	s.nextInTurn(t)
	if b.To == Start {
		s.Status, s.Back = Returned, &b
	}
}

func (s *State) reseat(ev Event, step string, void []string, tasks []Opening, excluded []Exclusion) {
	ss := s.Step(step)
	s.void(ev, void, "")
	s.addTasks(ev, ss, tasks)
	for _, gone := range void {
		s.nextInTurn(s.Task(gone))
	}
	ss.Excluded = append(slices.Clone(ss.Excluded), excluded...)
}

func (s *State) void(ev Event, ids []string, why Why) {
	for _, id := range ids {
		t := s.Task(id)
		t.State, t.ClosedAt, t.ClosedBy, t.Why = TaskVoid, ev.At, ev.By.Person, why
	}
}
