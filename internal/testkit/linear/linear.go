// Package linear judges what concurrent clients saw of requests: whether one
// order of their operations, in which each takes effect at one moment between
// its call and its answer, explains every answer. What an operation does in
// that order is what the pure core says (package flow); an operation whose
// answer was lost may have happened at any later moment, or not at all.
package linear

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"kelian/workflow/flow"

	"github.com/anishathalye/porcupine"
)

// Kind is what an operation does.
type Kind string

// The kinds of operation.
const (
	Decide   Kind = "decide"
	SendBack Kind = "send back"
	Transfer Kind = "transfer"
	Sign     Kind = "add signers"
	Resubmit Kind = "resubmit"
	Withdraw Kind = "withdraw"
	Amend    Kind = "amend"
	Read     Kind = "read"
)

// Op is one operation of a client on a request. Persons, requests and tasks are
// named as the client knows them.
type Op struct {
	Request string
	By      string
	Kind    Kind
	Task    string // of what concerns one
	Verdict flow.Verdict
	Place   flow.Place
	People  []string // to whom a task is handed, who is to sign
	FormRev int
	Form    string // of Resubmit, JSON
}

// Result is the answer: what a command left, a refusal's code, or what was
// read. A command's Status is empty where the answer does not hold what it
// left. Tasks is for Read alone, see Seen.
type Result struct {
	Unknown bool
	Code    string
	Status  flow.Status
	FormRev int
	Tasks   []string
}

// Seen spells a task as Result.Tasks holds it, in any order.
func Seen(step, person string, state flow.TaskState) string {
	return step + " " + person + " " + string(state)
}

// Recorder collects a history; its methods may be called from any goroutine.
type Recorder struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

// NewRecorder begins a history.
func NewRecorder() *Recorder { return &Recorder{began: time.Now()} }

// Do records what the client does from its call to its answer. An operation
// for which do gives ok = false has certainly not reached the service and
// leaves no trace.
func (r *Recorder) Do(client int, op Op, do func() (out Result, ok bool)) (Result, bool) {
	call := time.Since(r.began).Nanoseconds()
	out, ok := do()
	back := time.Since(r.began).Nanoseconds()
	if out.Unknown {
		back = math.MaxInt64
	}
	if ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ops = append(r.ops, porcupine.Operation{ClientId: client, Input: op, Call: call, Output: out, Return: back})
	}
	return out, ok
}

// Len is the number of operations so far and how many of them are unknown.
func (r *Recorder) Len() (all, unknown int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.ops {
		if o.Output.(Result).Unknown {
			unknown++
		}
	}
	return len(r.ops), unknown
}

// Counts says how often each kind of operation had each answer, e.g. "decide",
// "decide STALE_FORM" or "decide ?" where the answer was lost.
func (r *Recorder) Counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for _, o := range r.ops {
		answer := o.Output.(Result)
		if answer.Unknown {
			answer.Code = "?"
		}
		out[strings.TrimSpace(string(o.Input.(Op).Kind)+" "+answer.Code)]++
	}
	return out
}

// World is what every request of a history begins with and is decided by.
type World struct {
	Def      *flow.Definition
	Electors map[string][]flow.Elector // by step
	By       string                    // the requester
	Form     string                    // the form as it was submitted, JSON
	Tasks    map[string]string         // names in the core by the names that clients know
}

// maxJudging bounds the search for an order.
const maxJudging = 2 * time.Minute

// Judge says why the history has no such order; nil when it has one.
func (w World) Judge(r *Recorder) error {
	r.mu.Lock()
	ops := slices.Clone(r.ops)
	r.mu.Unlock()
	first, err := w.submitted()
	if err != nil {
		return err
	}
	parts := byRequest(ops)
	for _, request := range slices.Sorted(maps.Keys(parts)) {
		part := parts[request]
		switch porcupine.CheckOperationsTimeout(w.model(first), part, maxJudging) {
		case porcupine.Illegal:
			return fmt.Errorf("no order of the operations explains the answers about %s:\n%s", request, describe(part))
		case porcupine.Unknown:
			return fmt.Errorf("the %d operations on %s could not be judged in %s", len(part), request, maxJudging)
		}
	}
	return nil
}

func byRequest(ops []porcupine.Operation) map[string][]porcupine.Operation {
	out := map[string][]porcupine.Operation{}
	for _, o := range ops {
		request := o.Input.(Op).Request
		out[request] = append(out[request], o)
	}
	return out
}

func describe(ops []porcupine.Operation) string {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var out strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&out, "%d: %d–%d %+v → %+v\n", o.ClientId, o.Call/1000, o.Return/1000, o.Input, o.Output)
	}
	return out.String()
}

// state is a request in the model; amended says that an amendment is under
// way. key is all that later answers depend on: who voted first is not.
type state struct {
	flow.State
	amended bool
	key     string
}

func keyed(st flow.State, amended bool) state {
	votes := make([]string, 0, len(st.Votes))
	for _, v := range st.Votes {
		votes = append(votes, fmt.Sprint(v.Task, v.Verdict, v.Live, v.Rev))
	}
	slices.Sort(votes)
	var key strings.Builder
	fmt.Fprint(&key, st.Status, st.Forms, st.SendBacks, st.Groups, votes, amended)
	for _, s := range st.Steps {
		fmt.Fprint(&key, s.Name, s.Round, s.Status)
	}
	for _, t := range st.Tasks {
		fmt.Fprint(&key, t.ID, t.State, t.Elector.Person)
	}
	return state{st, amended, key.String()}
}

func (w World) submitted() (state, error) {
	form, err := flow.DigestForm(1, []byte(w.Form))
	if err != nil {
		return state{}, err
	}
	events, err := flow.Decide(w.Def, flow.State{}, flow.Submit{By: person(w.By), Form: form}, w.facts())
	return keyed(flow.Fold(events), false), err
}

func person(name string) flow.Actor { return flow.Actor{Person: name, Door: flow.Console} }

// facts are the same at all times: nobody changes a seat, and nothing falls due.
func (w World) facts() flow.Facts {
	return flow.Facts{Now: time.Unix(0, 0), Electors: w.Electors}
}

func (w World) model(first state) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(st, in, out any) (bool, any) {
			now, op, answer := st.(state), in.(Op), out.(Result)
			if op.Kind == Read {
				return answer.Unknown || now.reads(answer), now
			}
			next, code := w.apply(now, op)
			if answer.Unknown {
				return true, next
			}
			told := code == "" && op.Kind != Amend && answer.Status != ""
			return code == answer.Code && (!told || next.Status == answer.Status && next.Rev() == answer.FormRev), next
		},
		Equal: func(a, b any) bool { return a.(state).key == b.(state).key },
		Hash: func(st any) uint64 {
			h := fnv.New64a()
			_, _ = h.Write([]byte(st.(state).key))
			return h.Sum64()
		},
	}
}

// reads says that this is the request that somebody read.
func (st state) reads(got Result) bool {
	var tasks []string
	for _, t := range st.Tasks {
		tasks = append(tasks, Seen(t.Step, t.Elector.Person, t.State))
	}
	slices.Sort(tasks)
	return st.Status == got.Status && st.Rev() == got.FormRev && slices.Equal(tasks, slices.Sorted(slices.Values(got.Tasks)))
}

// apply gives the state after the operation and the code of its refusal.
func (w World) apply(st state, op Op) (state, string) {
	if op.Kind == Amend {
		switch {
		case st.Status != flow.Approved:
			return st, "WRONG_STATE"
		case st.amended:
			return st, "AMENDED_ALREADY"
		}
		return keyed(st.State, true), ""
	}
	events, err := flow.Decide(w.Def, st.State, w.command(op), w.facts())
	if err != nil {
		if r, ok := flow.AsRefusal(err); ok {
			return st, string(r.Code)
		}
		return st, err.Error()
	}
	return keyed(flow.EvolveAll(st.State, events), st.amended), ""
}

func (w World) command(op Op) flow.Command {
	by, task := person(op.By), w.Tasks[op.Task]
	note := &flow.Note{Ref: "note"}
	switch op.Kind {
	case Decide:
		return flow.Cast{By: by, Task: task, Verdict: op.Verdict, FormRev: op.FormRev}
	case SendBack:
		return flow.SendBack{By: by, Task: task, To: flow.Start, FormRev: op.FormRev, Note: note}
	case Transfer:
		return flow.Transfer{By: by, Task: task, To: flow.Elector{Person: op.People[0]}}
	case Sign:
		c := flow.AddSigners{By: by, Task: task, Place: op.Place, Rule: flow.Rule{Kind: flow.All}}
		for _, p := range op.People {
			c.Who = append(c.Who, flow.Elector{Person: p})
		}
		return c
	case Resubmit:
		form, err := flow.DigestForm(op.FormRev+1, []byte(op.Form))
		if err != nil {
			panic(err) // a test's own form
		}
		return flow.Resubmit{By: by, Form: form}
	case Withdraw:
		return flow.Withdraw{By: by}
	}
	panic("linear: no command for " + string(op.Kind))
}
