package proof_test

import (
	"math/rand"
	"slices"
	"testing"

	"kelian/workflow/flow"
	"kelian/workflow/proof"
)

// What the exploration leaves out leads nowhere new: a task that was handed on,
// signers who were heard and a vote that was taken back leave a request from
// which the same can happen as before.
func TestMovesBesideVotingLeadNowhereNew(t *testing.T) {
	tried := map[string]int{}
	for _, def := range definitions(t) {
		a := proof.Abstract(def)
		for seed := range int64(6) {
			r := rand.New(rand.NewSource(seed))
			facts := a.Facts()
			facts.Guards = map[string]bool{}
			for _, g := range def.Guards() {
				facts.Guards[g] = r.Intn(2) == 0
			}
			st, err := apply(def, flow.State{}, flow.Submit{By: flow.Actor{Person: "requester"}, Form: a.Form()}, facts)
			for range 25 {
				if err != nil || st.Status.Final() {
					break
				}
				for _, task := range st.OpenTasks() {
					w := beside{t, a, def, facts, st, task, tried}
					w.transfer()
					w.signers(flow.Before)
					w.signers(flow.Parallel)
					w.signers(flow.After)
					w.undo()
				}
				list := moves(a, def, st)
				if len(list) == 0 {
					break
				}
				if to, refused := apply(def, st, list[r.Intn(len(list))], facts); refused == nil {
					st = to
				}
			}
		}
	}
	for _, move := range []string{"transfer", "before", "parallel", "after", "undo"} {
		if tried[move] < 100 {
			t.Errorf("%s was tried %d times only", move, tried[move])
		}
	}
}

// beside is a state and one of its open tasks.
type beside struct {
	t     *testing.T
	a     proof.Abstraction
	def   *flow.Definition
	facts flow.Facts
	st    flow.State
	task  flow.Task
	tried map[string]int
}

const stranger = "stranger"

func (w beside) do(st flow.State, cmd flow.Command) (flow.State, bool) {
	w.t.Helper()
	to, err := apply(w.def, st, cmd, w.facts)
	if _, refused := flow.AsRefusal(err); err != nil && !refused {
		w.t.Fatal(err)
	}
	return to, err == nil
}

func (w beside) approve(person, task string, st flow.State) flow.Cast {
	points := w.def.Step(w.task.Step).Rule.Score
	return flow.Cast{By: flow.Actor{Person: person}, Task: task, Verdict: flow.Approve, FormRev: st.Rev(), Proved: true, Score: &points}
}

// same compares what two states keep; the stranger counts as the elector.
func (w beside) same(move string, got, want flow.State) {
	w.t.Helper()
	got.Tasks, got.Votes, got.Groups = slices.Clone(got.Tasks), slices.Clone(got.Votes), nil
	for i := range got.Tasks {
		if got.Tasks[i].Elector.Person == stranger {
			got.Tasks[i].Elector.Person = w.task.Elector.Person
		}
	}
	for i := range got.Votes {
		if got.Votes[i].Elector.Person == stranger {
			got.Votes[i].Elector.Person = w.task.Elector.Person
		}
	}
	got.Tasks = slices.DeleteFunc(got.Tasks, func(t flow.Task) bool { return t.Within != "" })
	got.Votes = slices.DeleteFunc(got.Votes, func(v flow.Vote) bool { return v.Within != "" })
	if a, b := w.a.Key(&got), w.a.Key(&want); a != b {
		w.t.Fatalf("%s of %s in %s: %q, want %q", move, w.task.ID, w.def.Key, a, b)
	}
	w.tried[move]++
}

func (w beside) transfer() {
	w.t.Helper()
	by := flow.Actor{Person: w.task.Elector.Person}
	moved, ok := w.do(w.st, flow.Transfer{By: by, Task: w.task.ID, To: flow.Elector{Person: stranger, Seat: w.task.Elector.Seat}})
	if !ok {
		return
	}
	w.same("transfer", moved, w.st)
	open := moved.OpenTasks()
	i := slices.IndexFunc(open, func(t flow.Task) bool { return t.Elector.Person == stranger })
	theirs, ok := w.do(moved, w.approve(stranger, open[i].ID, moved))
	own, also := w.do(w.st, w.approve(by.Person, w.task.ID, w.st))
	if ok != also {
		w.t.Fatalf("%s approves: %v, whom it was handed to: %v", w.task.ID, also, ok)
	}
	if ok {
		w.same("transfer", theirs, own)
	}
}

// signers are asked and approve; beside the elector, he decides as he would have.
func (w beside) signers(place flow.Place) {
	w.t.Helper()
	by := flow.Actor{Person: w.task.Elector.Person}
	st, ok := w.do(w.st, flow.AddSigners{By: by, Task: w.task.ID, Place: place, Rule: flow.Rule{Kind: flow.All}, Who: []flow.Elector{{Person: stranger, Seat: "x.y"}}})
	if !ok {
		return
	}
	want, own := w.do(w.st, w.approve(by.Person, w.task.ID, w.st))
	if !own {
		return
	}
	if place == flow.After {
		if st, ok = w.do(st, w.approve(by.Person, w.task.ID, st)); !ok {
			w.t.Fatalf("%s cannot approve before the signer after him", w.task.ID)
		}
	}
	open := st.OpenTasks()
	i := slices.IndexFunc(open, func(t flow.Task) bool { return t.Elector.Person == stranger })
	if i < 0 {
		return // the step was settled without waiting for the signer
	}
	if st, ok = w.do(st, w.approve(stranger, open[i].ID, st)); !ok {
		w.t.Fatalf("the signer %s of %s cannot approve", place, w.task.ID)
	}
	if place != flow.After {
		w.same(string(place), st, w.st)
		if st, ok = w.do(st, w.approve(by.Person, w.task.ID, st)); !ok {
			w.t.Fatalf("%s cannot approve after its signers", w.task.ID)
		}
	}
	w.same(string(place), st, want)
}

// undo takes an approval back. A step that was late has a new time when it is
// asked anew, so it is compared only where it was not.
func (w beside) undo() {
	w.t.Helper()
	by := flow.Actor{Person: w.task.Elector.Person}
	st, ok := w.do(w.st, w.approve(by.Person, w.task.ID, w.st))
	if !ok || st.Status.Final() || w.st.Step(w.task.Step).Overdue {
		return
	}
	if st, ok = w.do(st, flow.Undo{By: by, Task: w.task.ID}); !ok {
		return
	}
	st.Choices = w.st.Choices // made by the same form, they are made the same again
	w.same("undo", st, w.st)
}
