package flow_test

import (
	"flag"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"kelian/workflow/flow"

	"pgregory.net/rapid"
)

// sequences checks a property of so many random requests, the same each time;
// -rapid.checks, -rapid.seed and -rapid.failfile choose others.
func sequences(t *testing.T, n int, property func(*rapid.T)) {
	t.Helper()
	if !given() {
		for name, value := range map[string]string{"rapid.checks": strconv.Itoa(n), "rapid.seed": "11"} {
			before := flag.Lookup(name).Value.String()
			t.Cleanup(func() { _ = flag.Set(name, before) })
			if err := flag.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	rapid.Check(t, property)
}

// given says that the command line chooses what is tried; asked once, before
// anything is set.
var given = sync.OnceValue(func() (yes bool) {
	flag.Visit(func(f *flag.Flag) {
		yes = yes || f.Name == "rapid.checks" || f.Name == "rapid.seed" || f.Name == "rapid.failfile"
	})
	return yes
})

// Under random commands of random people on random definitions the invariants
// of world hold after each command, nothing takes effect twice, and the chain
// verifies. What was approved is amended now and then. Everything that can
// happen to a request happens on the way.
func TestRandomRequests(t *testing.T) {
	seen := map[string]int{}
	sequences(t, 12000, func(t *rapid.T) { // some ask nobody and are refused
		m := newMachine(t)
		m.start(t)
		m.chained(t, seen)
		if m.st.Status == flow.Approved && rapid.Bool().Draw(t, "amend") {
			m.amended(t, seen)
		}
	})
	for _, typ := range flow.EventTypes() {
		if seen[typ] == 0 && !given() && !t.Failed() {
			t.Errorf("no %s in any of the sequences", typ)
		}
	}
	t.Log(seen)
}

// chained seals the events and verifies the chain.
func (m *machine) chained(t *rapid.T, seen map[string]int) {
	var head [32]byte
	chain := make([]flow.Sealed, len(m.events))
	for i, ev := range m.events {
		sum, err := flow.Chain(head, i+1, ev)
		if err != nil {
			t.Fatal(err)
		}
		chain[i], head = flow.Sealed{Seq: i + 1, Event: ev, Prev: head, Hash: sum}, sum
		seen[ev.Body.Type()]++
	}
	if got, err := flow.Verify(chain); err != nil || got != head {
		t.Fatalf("the chain does not verify: %v", err)
	}
}

// amended asks for a change of the approved request and runs that.
func (m *machine) amended(t *rapid.T, seen map[string]int) {
	a := *m
	a.world = &world{}
	*a.world = *m.world
	a.st, a.events = flow.State{}, nil
	m.reguard(t)
	if a.submit(t, flow.Submit{By: m.by(m.st.Requester), Form: drawForm(t, 1), Base: flow.AmendBase("the request", "head", m.st)}) {
		a.run(t)
	}
	a.chained(t, seen)
}

// However a request got where it is, if everybody asked from now on approves,
// it is approved, unless Explain says who is lacking.
func TestEveryRequestCanBeCompletedOrSaysWhyNot(t *testing.T) {
	sequences(t, 2000, func(t *rapid.T) {
		m := newMachine(t)
		m.start(t)
		m.finish(t)
		if m.st.Status != flow.Open {
			return
		}
		if p := flow.Explain(m.def, m.st, m.now).Progress; p != flow.ProgStuck {
			t.Fatalf("nobody can move the request, but Explain says %s\n%+v", p, m.st)
		}
	})
}

// Whoever answers first, the request ends the same, with the same steps
// passed. Who answers a step first does matter where one answer stands for
// another or keeps somebody out: without de-duplication and distinctness.
func TestRequestsEndTheSameInAnyOrder(t *testing.T) {
	ends := map[flow.Status]int{}
	sequences(t, 2000, func(t *rapid.T) {
		m := newMachine(t)
		m.def.Policy.Dedupe = flow.DedupeOff
		for _, s := range m.def.Steps() {
			s.DistinctFrom, s.Fields = nil, nil
		}
		ballots := map[string]flow.Verdict{}
		for _, s := range m.def.Steps() {
			for _, p := range people {
				ballots[s.Name+p] = rapid.SampledFrom([]flow.Verdict{flow.Approve, flow.Approve, flow.Approve, flow.Reject, flow.Abstain}).Draw(t, s.Name+p)
			}
		}
		submit := flow.Submit{By: m.by(rapid.SampledFrom(people).Draw(t, "requester")), Form: drawForm(t, 1)}
		one, two := m.fork(), m.fork()
		if !one.submit(t, submit) || !two.submit(t, submit) {
			return
		}
		one.answer(t, ballots, func(int) int { return 0 })
		two.answer(t, ballots, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "next") })
		if a, b := one.passed(), two.passed(); one.st.Status != two.st.Status || one.st.Status != flow.Rejected && !slices.Equal(a, b) {
			t.Fatalf("%s with %v in one order, %s with %v in another", one.st.Status, a, two.st.Status, b)
		}
		ends[one.st.Status]++
	})
	t.Log(ends)
}

// fork is the same directory and definition with no request yet.
func (m *machine) fork() *machine {
	out := *m
	out.world = &world{}
	*out.world = *m.world
	return &out
}

// answer gives everybody's ballot, each time that of the open task which pick
// chooses, until nobody can answer. Who is told that the last one cannot
// abstain says no.
func (m *machine) answer(t *rapid.T, ballots map[string]flow.Verdict, pick func(n int) int) {
	for m.st.Status == flow.Open {
		open := slices.DeleteFunc(m.st.OpenTasks(), func(x flow.Task) bool { return m.st.Step(x.Step).Rule.Kind == flow.Objection })
		if len(open) == 0 {
			if !m.passWindow() {
				return
			}
			continue
		}
		x := open[pick(len(open))]
		c := flow.Cast{By: m.by(x.Elector.Person), Task: x.ID, Verdict: ballots[x.Step+x.Elector.Person], FormRev: 1}
		points := func() {
			if full := m.def.Step(x.Step).Rule.Score; full > 0 && c.Verdict != flow.Abstain {
				n := full * len(c.Verdict) % (full + 1) // as many in either order
				c.Score = &n
			}
		}
		points()
		err := m.try(c)
		if r, ok := flow.AsRefusal(err); ok && r.Code == flow.LastVote {
			c.Verdict = flow.Reject
			points()
			err = m.try(c)
		}
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
	}
}

func (m *machine) passed() (steps []string) {
	for _, ss := range m.st.Steps {
		if ss.Status == flow.StepPassed {
			steps = append(steps, ss.Name)
		}
	}
	slices.Sort(steps)
	return steps
}

// Who the forecast names is who is asked when everybody approves at once, as
// long as nobody is kept out by what others decided or answered before.
func TestForecastNamesWhoIsAsked(t *testing.T) {
	sequences(t, 2000, func(t *rapid.T) {
		m := newMachine(t)
		m.def.Policy.Dedupe = flow.DedupeOff
		for _, s := range m.def.Steps() {
			s.DistinctFrom, s.Fields = nil, nil
		}
		forecast, ok := m.forecast(t)
		if !ok {
			return
		}
		for m.st.Status == flow.Open && (m.approveOne(t) || m.passWindow()) {
		}
		opened := count[flow.StepOpened](m.events)
		for i, o := range opened {
			k := slices.IndexFunc(forecast, func(f flow.ForecastStep) bool { return f.Step == o.Step })
			asked := 0
			if k >= 0 {
				asked = len(forecast[k].Electors)
				if d := forecast[k].Draw; d > 0 {
					asked = min(asked, d)
				}
			}
			if k < 0 || asked != len(o.Tasks) || o.Round != 1 {
				t.Fatalf("step %d %+v was not forecast: %+v", i, o, forecast)
			}
		}
		if m.st.Status == flow.Approved && len(opened) != len(forecast) {
			t.Fatalf("%d steps were forecast, %d asked", len(forecast), len(opened))
		}
	})
}

// forecast gives the forecast and submits; ok is false where the forecast
// found too few people, as it must when the submission is refused.
func (m *machine) forecast(t *rapid.T) (steps []flow.ForecastStep, ok bool) {
	requester := rapid.SampledFrom(people).Draw(t, "requester")
	steps, err := flow.Forecast(m.def, requester, m.facts())
	if err != nil {
		t.Fatal(err)
	}
	err = m.try(flow.Submit{By: m.by(requester), Form: drawForm(t, 1)})
	if err != nil && !slices.ContainsFunc(steps, func(f flow.ForecastStep) bool { return f.Short > 0 }) {
		t.Fatal("refused for lack of people whom the forecast found")
	}
	return steps, err == nil
}

// Whatever people answer, nobody is asked whom the forecast did not name,
// unless somebody hands a task on, adds signers, sends back, edits or is late.
func TestNobodyIsAskedBeyondTheForecast(t *testing.T) {
	sequences(t, 2000, func(t *rapid.T) {
		m := newMachine(t)
		forecast, ok := m.forecast(t)
		if !ok {
			return
		}
		named := map[string][]flow.Elector{}
		for _, f := range forecast {
			named[f.Step] = slices.Concat(f.Electors, f.Otherwise)
		}
		for range rapid.IntRange(0, 40).Draw(t, "answers") {
			open := m.st.OpenTasks()
			if len(open) == 0 {
				break
			}
			x := rapid.SampledFrom(open).Draw(t, "task")
			v := rapid.SampledFrom([]flow.Verdict{flow.Approve, flow.Approve, flow.Approve, flow.Approve, flow.Reject, flow.Abstain}).Draw(t, "verdict")
			_ = m.try(flow.Cast{By: m.by(x.Elector.Person), Task: x.ID, Verdict: v, FormRev: 1})
		}
		for _, x := range m.st.Tasks {
			if !slices.Contains(named[x.Step], x.Elector) {
				t.Fatalf("%+v was asked, the forecast named %v of %v", x, named[x.Step], slices.Sorted(maps.Keys(named)))
			}
		}
	})
}
