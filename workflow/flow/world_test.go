package flow_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"kelian/workflow/flow"
)

// failer is what *testing.T and *rapid.T share.
type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// world is one request with a directory of seats, guards and a clock around
// it. Every command goes through Decide, JSON and Evolve, and the invariants
// are checked after it.
type world struct {
	t      failer
	def    *flow.Definition
	st     flow.State
	events []flow.Event
	now    time.Time
	seats  map[string][]string // seat expression → persons
	guards map[string]bool
	due    map[string]flow.Due
	weight map[string]int // by person
	// standIn says by seat who holds it for whom, by delegation.
	standIn map[string]map[string]string
	barred  map[string]map[string]flow.Code
	held    map[string]bool
	seed    string
	out     flow.Due // of the close-out
	expires time.Time
}

var epoch = time.Date(2026, 11, 2, 1, 0, 0, 0, time.UTC)

func newWorld(t failer, def *flow.Definition, seats map[string][]string) *world {
	t.Helper()
	if p := flow.Check(def); len(p) > 0 {
		t.Fatalf("the test's definition is wrong: %+v", p)
	}
	return &world{t: t, def: def, now: epoch, seats: seats, guards: map[string]bool{}, due: map[string]flow.Due{}}
}

func (w *world) electors(seats ...string) []flow.Elector {
	out := []flow.Elector{}
	for _, s := range seats {
		for _, p := range w.seats[s] {
			out = append(out, flow.Elector{Person: p, Seat: s, Weight: w.weight[p], For: w.standIn[s][p]})
		}
	}
	return out
}

func (w *world) facts() flow.Facts {
	f := flow.Facts{Now: w.now, Electors: map[string][]flow.Elector{}, Escalate: map[string][]flow.Elector{},
		Guards: w.guards, Due: w.due, Barred: w.barred, Held: w.held, Seed: w.seed, CloseOut: w.out, Expires: w.expires,
		CC: w.electors(w.def.Policy.CC...), Stop: w.electors(w.def.Policy.Stop...)}
	for _, s := range w.def.Steps() {
		f.Electors[s.Name] = w.electors(s.Ask...)
		f.Escalate[s.Name] = w.electors(s.OnDue.Escalate)
	}
	if w.def.Policy.Empty != "" {
		f.Empty = w.electors(w.def.Policy.Empty)
	}
	return f
}

// try runs a command and gives its error.
func (w *world) try(cmd flow.Command) error {
	w.t.Helper()
	events, err := flow.Decide(w.def, w.st, cmd, w.facts())
	w.folded() // Decide has not changed what it was given
	if err != nil {
		if len(events) > 0 {
			w.t.Fatalf("a refused command has events")
		}
		return err
	}
	for _, ev := range events {
		raw, err := json.Marshal(ev)
		if err != nil {
			w.t.Fatalf("%v", err)
		}
		var back flow.Event
		if err := json.Unmarshal(raw, &back); err != nil {
			w.t.Fatalf("%s: %v", raw, err)
		}
		if !reflect.DeepEqual(back, ev) {
			w.t.Fatalf("JSON changed the event\n%#v\n%#v", ev, back)
		}
		w.st = flow.Evolve(w.st, back)
		w.events = append(w.events, back)
	}
	if len(events) > 0 {
		w.folded()
		w.invariants()
	}
	return nil
}

// do runs a command that must succeed and gives its events.
func (w *world) do(cmd flow.Command) []flow.Event {
	w.t.Helper()
	n := len(w.events)
	if err := w.try(cmd); err != nil {
		w.t.Fatalf("%T: %v", cmd, err)
	}
	return w.events[n:]
}

// refused runs a command that must be refused with the code.
func (w *world) refused(cmd flow.Command, code flow.Code) *flow.Refusal {
	w.t.Helper()
	err := w.try(cmd)
	r, ok := flow.AsRefusal(err)
	if !ok || r.Code != code {
		w.t.Fatalf("%+v: got %v, want %s", cmd, err, code)
	}
	if r.Zh == "" || r.En == "" {
		w.t.Fatalf("%s says nothing", code)
	}
	return r
}

// folded: the state is the fold of the events.
func (w *world) folded() {
	w.t.Helper()
	if again := flow.Fold(w.events); !reflect.DeepEqual(again, w.st) {
		w.t.Fatalf("the fold of the events is not the state\n%+v\n%+v", again, w.st)
	}
}

func (w *world) invariants() {
	w.t.Helper()
	if w.st.Status != flow.Open {
		if open := w.st.OpenTasks(); len(open) > 0 {
			w.t.Fatalf("%s with open tasks %+v", w.st.Status, open)
		}
		for _, timer := range w.st.Timers() {
			waits := w.st.Status == flow.Approved && timer.Step == flow.CloseOutTimer || w.st.Status == flow.Returned && timer.Step == flow.ExpiryTimer
			if !waits {
				w.t.Fatalf("%s with an armed timer %+v", w.st.Status, timer)
			}
		}
	}
	ids, tasks := map[string]bool{}, map[string]flow.Task{}
	for _, t := range w.st.Tasks {
		if ids[t.ID] {
			w.t.Fatalf("task %s twice", t.ID)
		}
		ids[t.ID], tasks[t.ID] = true, t
	}
	voted := map[string]bool{}
	for _, v := range w.st.Votes {
		if voted[v.Task] {
			w.t.Fatalf("task %s was decided twice", v.Task)
		}
		voted[v.Task] = true
		if tasks[v.Task].State != flow.TaskDone {
			w.t.Fatalf("a vote on task %+v", tasks[v.Task])
		}
	}
	w.dutiesApart()
	w.votesCurrent()
	w.signersHeard()
	w.dueTogether()
}

// dueTogether: those who are asked in a step all have its time.
func (w *world) dueTogether() {
	w.t.Helper()
	for _, t := range w.st.Tasks {
		if ss := w.st.Step(t.Step); (t.State == flow.TaskOpen || t.State == flow.TaskWaiting) && !t.DueAt.Equal(ss.Due.At) {
			w.t.Fatalf("task %+v of a step that is due at %s", t, ss.Due.At)
		}
	}
}

// signersHeard: no step passes while somebody who approved it still waits for
// the answer of a signer, and no group that said no is behind a pass.
func (w *world) signersHeard() {
	w.t.Helper()
	for _, g := range w.st.Groups {
		ss := w.st.Step(g.Step)
		if ss.Status != flow.StepPassed || ss.Round != g.Round {
			continue
		}
		if g.Outcome == flow.Failed || g.Outcome == flow.Undecided && w.heeded(g) {
			w.t.Fatalf("step %s passed without %+v", ss.Name, g)
		}
	}
}

// heeded says that the elector who added the group has approved.
func (w *world) heeded(g flow.SignerGroup) bool {
	p := w.st.Task(g.Parent)
	return p.State == flow.TaskDone && p.Verdict == flow.Approve
}

// dutiesApart: nobody decides his own request or one that a relation keeps him
// out of, and nobody has two live votes in steps that must be distinct, for
// himself or for another.
func (w *world) dutiesApart() {
	w.t.Helper()
	for i, a := range w.st.Votes {
		if !a.Live || a.Silent {
			continue
		}
		behind := []string{a.By.Person, a.By.For, a.Elector.Person, a.Elector.For}
		if w.def.Policy.NotRequester && slices.Contains(behind, w.st.Requester) {
			w.t.Fatalf("the requester decided %s", a.Task)
		}
		for _, p := range behind {
			if _, barred := w.barred[a.Step][p]; barred {
				w.t.Fatalf("%s is kept out of %s and decided it", p, a.Task)
			}
		}
		for _, b := range w.st.Votes[:i] {
			both := func(p string) bool { return p != "" && slices.Contains(behind, p) }
			if b.Live && !b.Silent && w.def.Apart(a.Step, b.Step) && slices.ContainsFunc([]string{b.By.Person, b.By.For, b.Elector.Person, b.Elector.For}, both) {
				w.t.Fatalf("%+v decided both %s and %s", a.By, a.Task, b.Task)
			}
		}
	}
}

// votesCurrent: a live vote holds for the current revision, and what it
// signed is what stands in the form now; a passed step rests on live votes of
// its newest round alone.
func (w *world) votesCurrent() {
	w.t.Helper()
	for _, v := range w.st.Votes {
		ss := w.st.Step(v.Step)
		if v.Live && v.Round != ss.Round {
			w.t.Fatalf("live vote %+v of round %d in round %d", v, v.Round, ss.Round)
		}
		if !v.Live || w.st.Status == flow.Returned {
			continue
		}
		if v.Rev != w.st.Rev() || v.Read != flow.ReadDigest(ss.Reads, w.st.Form()) {
			w.t.Fatalf("live vote %+v does not hold for revision %d", v, w.st.Rev())
		}
	}
	for _, ss := range w.st.Steps {
		tally := w.st.Tally(ss.Name)
		window := ss.Rule.Kind == flow.Objection // which time alone ends
		if out := ss.Rule.Settle(tally); ss.Status == flow.StepPassed && out != flow.Passed && !window {
			w.t.Fatalf("step %s passed with %+v", ss.Name, tally)
		}
		waits := slices.ContainsFunc(w.st.Groups, func(g flow.SignerGroup) bool {
			return g.Step == ss.Name && g.Round == ss.Round && g.Outcome == flow.Undecided && w.heeded(g)
		})
		if ss.Status == flow.StepOpen && ss.Rule.Settle(tally) != flow.Undecided && !waits {
			w.t.Fatalf("step %s is open with %+v", ss.Name, tally)
		}
	}
}

// open is the open task of the person, or "".
func (w *world) open(person string) string {
	for _, t := range w.st.OpenTasks() {
		if t.Elector.Person == person {
			return t.ID
		}
	}
	return ""
}

func (w *world) by(person string) flow.Actor { return flow.Actor{Person: person, Door: flow.Console} }

func (w *world) cast(person string, v flow.Verdict) flow.Cast {
	return flow.Cast{By: w.by(person), Task: w.open(person), Verdict: v, FormRev: w.st.Rev()}
}

func (w *world) approve(people ...string) {
	w.t.Helper()
	for _, p := range people {
		w.do(w.cast(p, flow.Approve))
	}
}

func (w *world) back(person, to string, mode flow.Mode) flow.SendBack {
	return flow.SendBack{By: w.by(person), Task: w.open(person), To: to, Mode: mode, FormRev: w.st.Rev()}
}

func form(t failer, rev int, src string) flow.Form {
	t.Helper()
	f, err := flow.DigestForm(rev, []byte(src))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return f
}

func (w *world) submit(person, src string) {
	w.t.Helper()
	w.do(flow.Submit{By: w.by(person), Form: form(w.t, 1, src)})
}

func (w *world) resubmit(person, src string) []flow.Event {
	w.t.Helper()
	return w.do(flow.Resubmit{By: w.by(person), Form: form(w.t, w.st.Rev()+1, src)})
}

// waiting are the steps with open tasks, in order, each once.
func (w *world) waiting() []string {
	out := []string{}
	for _, t := range w.st.OpenTasks() {
		if !slices.Contains(out, t.Step) {
			out = append(out, t.Step)
		}
	}
	return out
}

func (w *world) expect(status flow.Status, waiting ...string) {
	w.t.Helper()
	if got := w.waiting(); w.st.Status != status || !slices.Equal(got, append([]string{}, waiting...)) {
		w.t.Fatalf("the request is %s and waits for %v; want %s, %v", w.st.Status, got, status, waiting)
	}
}

func step(name, ask string, change ...func(*flow.Step)) flow.Block {
	s := &flow.Step{Name: name, Title: flow.Text{Zh: "步骤" + name, En: "step " + name}, Ask: []string{ask},
		Rule: flow.Rule{Kind: flow.Any}, SendBack: []string{flow.Start}}
	for _, f := range change {
		f(s)
	}
	return flow.Block{Kind: flow.KindStep, Step: s}
}

func reads(p ...string) func(*flow.Step) { return func(s *flow.Step) { s.Reads = p } }
func rule(r flow.Rule) func(*flow.Step)  { return func(s *flow.Step) { s.Rule = r } }
func targets(to ...string) func(*flow.Step) {
	return func(s *flow.Step) { s.SendBack = to }
}
func apart(from ...string) func(*flow.Step) { return func(s *flow.Step) { s.DistinctFrom = from } }
func par(blocks ...flow.Block) flow.Block {
	return flow.Block{Kind: flow.KindPar, Blocks: blocks}
}
func when(name string, blocks ...flow.Block) flow.Block {
	return flow.Block{Kind: flow.KindChoice, Choice: name, Branches: []flow.Branch{{Guard: name + ".1", When: name, Blocks: blocks}}}
}

func definition(blocks ...flow.Block) *flow.Definition {
	return &flow.Definition{Key: "test", Hash: "h", Title: flow.Text{Zh: "试", En: "test"}, Blocks: blocks,
		Policy:     flow.Policy{NotRequester: true},
		OnApproved: []string{"property.purchase"}}
}

func count[T flow.Body](events []flow.Event) (out []T) {
	for _, ev := range events {
		if b, ok := ev.Body.(T); ok {
			out = append(out, b)
		}
	}
	return out
}

func TestEmptyRequestHasNothing(t *testing.T) {
	if st := flow.Fold(nil); st.Status != flow.New || len(st.OpenTasks()) != 0 || st.Rev() != 0 {
		t.Fatalf("%+v", st)
	}
}
