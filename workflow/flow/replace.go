package flow

import "slices"

// Replaced asks the next of the drawn list in the place of those who were
// silent; the step has its whole time again.
type Replaced struct {
	Step     string      `json:"step"`
	Round    int         `json:"round"`
	Void     []string    `json:"void"`
	Tasks    []Opening   `json:"tasks"`
	Due      Due         `json:"due,omitzero"`
	Excluded []Exclusion `json:"excluded,omitempty"`
}

// Type implements Body.
func (Replaced) Type() string { return "replaced" }

// replace gives the open tasks of a late step to those who come next in the
// lot and were not asked in this round. When nobody is left it stays with those
// who were asked.
func (r *run) replace(step string) {
	ss := r.st.Step(step)
	if ss.Drawn == nil {
		return
	}
	next, excluded := r.admit(step, r.facts.Electors[step])
	next = slices.DeleteFunc(next, func(e Elector) bool {
		return slices.ContainsFunc(r.st.Tasks, func(t Task) bool { return t.Step == step && t.Round == ss.Round && t.Elector.Person == e.Person })
	})
	r.rank(ss.Drawn.Seed, next)
	ev := Replaced{Step: step, Round: ss.Round, Due: r.facts.Due[step].clean()}
	for _, id := range r.openTasks(step) {
		t := r.st.Task(id)
		if len(next) == 0 || t.Within != "" {
			break
		}
		e := next[0]
		next = next[1:]
		ev.Void = append(ev.Void, id)
		ev.Tasks = append(ev.Tasks, Opening{Task: taskID(step, ss.Round, ss.Tasks+1+len(ev.Tasks)), Elector: e, Origin: ByReplace, Parent: id, Waits: t.State == TaskWaiting})
	}
	if len(ev.Tasks) == 0 {
		return
	}
	for _, x := range excluded {
		if !slices.Contains(ss.Excluded, x) {
			ev.Excluded = append(ev.Excluded, x)
		}
	}
	r.emit(ev)
}

func (s *State) replace(ev Event, b Replaced) {
	ss := s.Step(b.Step)
	ss.Due, ss.Reminded, ss.Overdue = b.Due, nil, false
	for i := range s.Tasks {
		if t := &s.Tasks[i]; t.Step == b.Step && t.Round == b.Round && (t.State == TaskOpen || t.State == TaskWaiting) {
			t.DueAt = b.Due.At
		}
	}
	s.reseat(ev, b.Step, b.Void, b.Tasks, b.Excluded)
}
