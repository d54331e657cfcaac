package flow

// Rescheduled moves the time at which an open step, or the report on what was
// approved (Step CloseOutTimer, Round 0), is due, because the calendar by which
// it was reckoned has changed.
type Rescheduled struct {
	Step  string `json:"step"`
	Round int    `json:"round"`
	Due   Due    `json:"due"`
}

// Type implements Body.
func (Rescheduled) Type() string { return "rescheduled" }

// Reschedule brings times that were reckoned by an older calendar up to date.
// Due is by step name, for the round that is open now as of its opening; the
// report's is under CloseOutTimer. What has fallen due stays as it is, and so
// does a time whose successor is over already: nobody could still meet it.
type Reschedule struct {
	By  Actor
	Due map[string]Due
}

func (c Reschedule) actor() Actor { return c.By }

func (r *run) reschedule(c Reschedule) error {
	move := func(step string, round int, from Due, fallen bool) {
		to := c.Due[step].clean()
		if fallen || from.At.IsZero() || !to.At.After(r.now) || to.At.Equal(from.At) && to.By == from.By {
			return
		}
		r.emit(Rescheduled{Step: step, Round: round, Due: to})
	}
	if r.st.Status == Open {
		for _, name := range r.openSteps() {
			ss := r.st.Step(name)
			move(name, ss.Round, ss.Due, ss.Overdue)
		}
	}
	if out := r.st.CloseOut; r.st.Status == Approved && out != nil && out.DoneAt.IsZero() {
		move(CloseOutTimer, 0, out.Due, out.Overdue)
	}
	return nil
}

func (s *State) reschedule(b Rescheduled) {
	if b.Step == CloseOutTimer {
		s.CloseOut.Due = b.Due
		return
	}
	ss := s.Step(b.Step)
	ss.Due = b.Due
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if t.Step == b.Step && t.Round == b.Round && (t.State == TaskOpen || t.State == TaskWaiting) {
			t.DueAt = b.Due.At
		}
	}
}
