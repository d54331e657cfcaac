package flow

import (
	"slices"
	"time"
)

// Window is a task whose decision can be taken back, and until when.
type Window struct {
	Task  string
	Until time.Time
}

// Undoable lists the votes that the person can take back now, by the rules of
// Undo.
func Undoable(def *Definition, st State, person string, now time.Time) []Window {
	return windows(def, st, person, now, UndoWithin, (*run).mayUndo)
}

// Disownable lists the decisions from paper that the person can object to now,
// by the rules of Disown.
func Disownable(def *Definition, st State, person string, now time.Time) []Window {
	return windows(def, st, person, now, DisownWithin, (*run).mayDisown)
}

func windows(def *Definition, st State, person string, now time.Time, within time.Duration, may func(*run, *Vote, string) error) []Window {
	r := &run{def: def, st: st, now: micro(now)}
	var out []Window
	for i := range st.Votes {
		if v := &st.Votes[i]; may(r, v, person) == nil {
			out = append(out, Window{v.Task, v.At.Add(within)})
		}
	}
	return out
}

// NextNudge is from when on the requester may nudge; ok is false when it was
// done as often as it may be, or nobody is asked.
func NextNudge(st State) (at time.Time, ok bool) {
	if st.Status != Open || st.Nudges >= maxNudges {
		return time.Time{}, false
	}
	if st.Nudges == 0 {
		return st.OpenedAt, true
	}
	return st.NudgedAt.Add(nudgeEvery), true
}

// Stoppers are those who may stop the request now: those who approved it, and
// above, who hold the seats of Policy.Stop. Nobody where it cannot be stopped.
func Stoppers(st State, above []Elector) []Elector {
	if st.Status != Approved && st.Status != Open {
		return nil
	}
	can := slices.Clone(above)
	if st.Status == Approved {
		for _, v := range st.Votes {
			if v.Live && v.Verdict == Approve && !slices.ContainsFunc(can, func(e Elector) bool { return e.Person == v.Elector.Person }) {
				can = append(can, v.Elector)
			}
		}
	}
	return slices.DeleteFunc(can, func(e Elector) bool { return e.Person == st.Requester })
}

// ForecastEdit is Forecast for a request that its requester edits: sent again
// while it is under way, amended once it was approved. A step that is Carried is
// not asked again, because nothing that its votes read would change; Electors
// are those who would be asked. Refusals are those of the edit itself.
func ForecastEdit(def *Definition, st State, form Form, facts Facts) ([]ForecastStep, error) {
	r := &run{def: def, st: st.clone(), facts: facts, now: micro(facts.Now), by: Actor{Person: st.Requester, Door: Console}}
	if st.Status == Approved {
		r.st = State{Status: Open, Requester: st.Requester, Forms: []Form{form}, Amends: AmendBase("", "", st)}
	} else if err := r.resubmit(Resubmit{By: r.by, Form: form}); err != nil {
		return nil, err
	}
	edited := r.st
	r.st = State{Status: Open, Requester: st.Requester} // the way as the forecast of a new request finds it
	f := &forecaster{walk: walk{run: r}}
	if err := f.look(); err != nil {
		return nil, err
	}
	r.st = edited
	for i := range f.out {
		r.carriedOver(&f.out[i])
	}
	return f.out, nil
}

// carriedOver says of a step of the forecast whether it is asked again.
func (r *run) carriedOver(q *ForecastStep) {
	ss := r.st.Step(q.Step)
	q.Carried = ss != nil && ss.Status == StepPassed || r.st.Amends != nil && r.base(r.def.Step(q.Step)) != nil
	voted := func(e Elector) bool {
		return slices.ContainsFunc(r.st.Votes, func(v Vote) bool { return v.Live && v.Step == q.Step && v.Elector.Person == e.Person })
	}
	if q.Carried {
		q.Electors, q.Otherwise, q.Short = nil, nil, 0
	} else if ss != nil && ss.Status == StepOpen {
		q.Electors = slices.DeleteFunc(slices.Clone(q.Electors), voted)
	}
}
