package flow

import (
	"maps"
	"slices"
	"time"
)

// Replay runs one request through a definition from its submission to its end,
// by Decide, and says who was asked and how long it took. Times are those that
// Took says; nobody is late, and an objection window passes.
type Replay struct {
	By   Actor // the requester
	Form Form  // revision 1
	Desk map[string]JSON
	// Verdict is what the elector answers at a step.
	Verdict func(step string, e Elector) Verdict
	// Due is when an objection window ends that opens at the time.
	Due func(step string, at time.Time) Due
	// Took is how long an elector takes at a step.
	Took func(step string, e Elector) time.Duration
}

// Replayed is how a Replay ended. A request that cannot be submitted is New, one
// that cannot go on is Open; Stuck then says why.
type Replayed struct {
	Status Status
	Asked  []Share // in order, without those who were spared by de-duplication
	Took   time.Duration
	Stuck  Code
}

// replayMoves bounds a replay; a request that only goes forward needs far fewer.
const replayMoves = 1000

// Run carries the replay out; the error is that of Decide where it is no
// refusal.
func (c Replay) Run(def *Definition, facts Facts) (Replayed, error) {
	var st State
	begin := facts.Now
	facts.Due = maps.Clone(facts.Due)
	do := func(cmd Command) error {
		for _, s := range def.Steps() {
			if s.Rule.Kind == Objection {
				facts.Due[s.Name] = c.Due(s.Name, facts.Now)
			}
		}
		next, _, err := Next(def, st, cmd, facts)
		st = next
		return err
	}
	out := Replayed{}
	stuck := func(err error) (Replayed, error) {
		out.Status, out.Asked, out.Took = st.Status, asked(st), facts.Now.Sub(begin)
		if r, refused := AsRefusal(err); refused {
			out.Stuck, err = r.Code, nil
		}
		return out, err
	}
	if err := do(Submit{By: c.By, Form: c.Form, Desk: c.Desk}); err != nil {
		st = State{}
		return stuck(err)
	}
	var last error
	for range replayMoves {
		if st.Status != Open {
			return stuck(nil)
		}
		moved := false
		for _, next := range c.next(&st) {
			if next.at.After(facts.Now) {
				facts.Now = next.at
			}
			if last = do(next.cmd(def, &st)); last == nil {
				moved = true
				break
			}
			if _, refused := AsRefusal(last); !refused {
				return stuck(last)
			}
		}
		if !moved {
			break
		}
	}
	return stuck(last)
}

// turn is something that happens next.
type turn struct {
	at   time.Time
	task Task
	ends Timer // of an objection window, where task is none
	c    Replay
}

// next lists what can happen, the earliest first.
func (c Replay) next(st *State) []turn {
	var out []turn
	for _, t := range st.OpenTasks() {
		if st.Step(t.Step).Rule.Kind != Objection {
			out = append(out, turn{at: t.OpenedAt.Add(c.Took(t.Step, t.Elector)), task: t, c: c})
		}
	}
	for _, x := range st.Timers() {
		if x.N == 0 && x.Step != CloseOutTimer && st.Step(x.Step).Rule.Kind == Objection {
			out = append(out, turn{at: x.At, ends: x, c: c})
		}
	}
	slices.SortStableFunc(out, func(a, b turn) int { return a.at.Compare(b.at) })
	return out
}

// cmd is the answer, with the fields that the step requires and the form lacks.
func (t turn) cmd(def *Definition, st *State) Command {
	if t.task.ID == "" {
		return Fire{Timer: t.ends}
	}
	cast := Cast{By: Actor{Person: t.task.Elector.Person, Door: Console}, Task: t.task.ID, Verdict: t.c.Verdict(t.task.Step, t.task.Elector), FormRev: st.Rev()}
	if missing := lacking(def.Step(t.task.Step), st.Form()); cast.Verdict == Approve && len(missing) > 0 {
		filled := Form{Rev: st.Rev() + 1, Digests: maps.Clone(st.Form().Digests)}
		for _, p := range missing {
			filled.Digests[p] = "filled in"
		}
		cast.Edit = &filled
	}
	return cast
}

// asked are those for whom a task was opened that was theirs to decide.
func asked(st State) []Share {
	var out []Share
	for _, t := range st.Tasks {
		x := Share{t.Step, t.Elector}
		if t.Origin != ByDedupe && t.Origin != ByCarry && !slices.ContainsFunc(out, x.is) {
			out = append(out, x)
		}
	}
	return out
}
