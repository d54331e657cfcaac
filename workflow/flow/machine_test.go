package flow_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kelian/workflow/flow"

	"pgregory.net/rapid"
)

var (
	people = []string{"p0", "p1", "p2", "p3", "p4", "p5", "p6"}
	seats  = []string{"s0", "s1", "s2", "s3"}
	fields = []string{"/a", "/b", "/c"}
)

// drawDefinition makes a definition that passes Check.
func drawDefinition(t *rapid.T) *flow.Definition {
	g := &generator{t: t}
	var blocks []flow.Block
	blocks = append(blocks, g.step())
	for range rapid.IntRange(0, 3).Draw(t, "blocks") {
		blocks = append(blocks, g.block(0))
	}
	def := definition(blocks...)
	def.Policy = flow.Policy{NotRequester: rapid.Bool().Draw(t, "not requester"), Empty: rapid.SampledFrom([]string{"", "s3"}).Draw(t, "empty"),
		Dedupe: rapid.SampledFrom([]flow.Dedupe{flow.DedupeOff, flow.DedupeConsecutive, flow.DedupeAnywhere}).Draw(t, "dedupe")}
	if rapid.Bool().Draw(t, "close out") {
		def.CloseOut = &flow.CloseOutRule{After: "/a", Due: flow.Span{N: 10, Unit: flow.WorkingDays}}
	}
	def.Policy.Stop, def.Policy.CC = []string{"s3"}, []string{"s2"}
	g.relate(def)
	return def
}

type generator struct {
	t     *rapid.T
	steps int
	forks int
}

func (g *generator) step() flow.Block {
	g.steps++
	s := &flow.Step{Name: fmt.Sprintf("s%d", g.steps), Title: flow.Text{Zh: "步", En: "step"},
		Ask:       rapid.SliceOfNDistinct(rapid.SampledFrom(seats), 1, 2, rapid.ID[string]).Draw(g.t, "ask"),
		Reads:     rapid.SliceOfNDistinct(rapid.SampledFrom(fields), 0, 2, rapid.ID[string]).Draw(g.t, "reads"),
		Rule:      drawRule(g.t, 3),
		Draw:      rapid.SampledFrom([]int{0, 0, 0, 3}).Draw(g.t, "draw"),
		AlwaysAsk: rapid.Bool().Draw(g.t, "always ask")}
	s.Rule.InTurn = rapid.IntRange(0, 3).Draw(g.t, "in turn") == 0
	if rapid.IntRange(0, 9).Draw(g.t, "window") == 0 {
		s.Rule = flow.Rule{Kind: flow.Objection}
		s.Due, s.OnDue = flow.Span{N: 1, Unit: flow.WorkingDays}, flow.OnDue{Then: flow.ThenPass}
		return flow.Block{Kind: flow.KindStep, Step: s}
	}
	if rapid.Bool().Draw(g.t, "has due") {
		s.Due = flow.Span{N: 1, Unit: flow.WorkingDays}
		s.OnDue = flow.OnDue{Remind: []int{50}, Then: rapid.SampledFrom([]flow.Then{flow.ThenRemind, flow.ThenEscalate,
			flow.ThenAbstain, flow.ThenReject, flow.ThenWiden}).Draw(g.t, "then"), Escalate: "s3"}
	}
	return flow.Block{Kind: flow.KindStep, Step: s}
}

func (g *generator) block(depth int) flow.Block {
	kind := rapid.SampledFrom([]flow.BlockKind{flow.KindStep, flow.KindSeq, flow.KindPar, flow.KindChoice}).Draw(g.t, "kind")
	if depth > 1 || g.steps > 6 {
		kind = flow.KindStep
	}
	list := func() []flow.Block {
		out := []flow.Block{g.block(depth + 1)}
		if rapid.Bool().Draw(g.t, "two") {
			out = append(out, g.block(depth+1))
		}
		return out
	}
	switch kind {
	case flow.KindSeq, flow.KindPar:
		return flow.Block{Kind: kind, Blocks: list()}
	case flow.KindChoice:
		g.forks++
		name := fmt.Sprintf("c%d", g.forks)
		b := flow.Block{Kind: kind, Choice: name, Branches: []flow.Branch{{Guard: name + ".1", Blocks: list()}}}
		if rapid.Bool().Draw(g.t, "else") {
			b.Branches = append(b.Branches, flow.Branch{Blocks: list()})
		}
		return b
	}
	return g.step()
}

// relate adds send-back targets and distinctness between the steps.
func (g *generator) relate(def *flow.Definition) {
	all := def.Steps()
	for _, s := range all {
		s.SendBack = []string{flow.Start}
		for _, o := range all {
			if def.Precedes(o.Name, s.Name) && rapid.Bool().Draw(g.t, "target") {
				s.SendBack = append(s.SendBack, o.Name)
			}
			if o != s && rapid.IntRange(0, 5).Draw(g.t, "apart") == 0 {
				s.DistinctFrom = append(s.DistinctFrom, o.Name)
			}
		}
	}
}

// machine is a request under random commands of random people.
type machine struct {
	*world
	choices []string
}

func newMachine(t *rapid.T) *machine {
	def := drawDefinition(t)
	m := &machine{world: newWorld(t, def, map[string][]string{}), choices: def.Guards()}
	for _, s := range seats {
		m.seats[s] = rapid.SliceOfNDistinct(rapid.SampledFrom(people), 1, 3, rapid.ID[string]).Draw(t, s)
	}
	m.reguard(t)
	return m
}

// reguard draws what the guards say, which changes with the form.
func (m *machine) reguard(t *rapid.T) {
	for _, g := range m.choices {
		m.guards[g] = rapid.Bool().Draw(t, g)
	}
	m.out = flow.Due{At: m.now.Add(72 * time.Hour), Remind: []time.Time{m.now.Add(24 * time.Hour)}}
	for _, s := range m.def.Steps() {
		if s.Due.N > 0 {
			m.due[s.Name] = flow.Due{At: m.now.Add(48 * time.Hour), Remind: []time.Time{m.now.Add(24 * time.Hour)}}
		}
	}
}

func drawForm(t *rapid.T, rev int) flow.Form {
	f := flow.Form{Rev: rev, Digests: map[string]string{}}
	for _, p := range fields {
		if v := rapid.IntRange(0, 3).Draw(t, p); v > 0 {
			f.Digests[p] = fmt.Sprint(v)
		}
	}
	return f
}

func drawRev(t *rapid.T, current int) int {
	if rapid.IntRange(0, 9).Draw(t, "stale") == 0 {
		return current - 1
	}
	return current
}

// command draws a command; most of them are legal.
func (m *machine) command(t *rapid.T) flow.Command {
	by := m.by(rapid.SampledFrom(people).Draw(t, "by"))
	task := "s1#1.1"
	if open := m.st.OpenTasks(); len(open) > 0 {
		pick := rapid.SampledFrom(open).Draw(t, "task")
		task = pick.ID
		if rapid.IntRange(0, 5).Draw(t, "own") > 0 {
			by = m.by(pick.Elector.Person)
		}
	}
	rev := drawRev(t, m.st.Rev())
	switch rapid.IntRange(0, 30).Draw(t, "command") {
	case 30:
		return m.newCalendar(t)
	case 0:
		return flow.Withdraw{By: m.by(m.st.Requester)}
	case 1, 2:
		names := []string{flow.Start}
		for _, s := range m.def.Steps() {
			names = append(names, s.Name)
		}
		return flow.SendBack{By: by, Task: task, To: rapid.SampledFrom(names).Draw(t, "to"), FormRev: rev,
			Mode: rapid.SampledFrom([]flow.Mode{"", flow.Redo, flow.ReturnToMe}).Draw(t, "mode")}
	case 3, 4, 5:
		m.reguard(t)
		return flow.Resubmit{By: m.by(m.st.Requester), Form: drawForm(t, rev+1)}
	case 6, 7:
		m.now = m.now.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "hours")) * time.Hour)
		if timers := m.st.Timers(); len(timers) > 0 {
			return flow.Fire{Timer: rapid.SampledFrom(timers).Draw(t, "timer")}
		}
		return flow.Fire{Timer: flow.Timer{Step: "s1", Round: 1}}
	case 8:
		s := rapid.SampledFrom(seats).Draw(t, "seat")
		m.seats[s] = rapid.SliceOfNDistinct(rapid.SampledFrom(people), 0, 3, rapid.ID[string]).Draw(t, "holders")
		return flow.Refresh{By: flow.Actor{Door: flow.System}}
	}
	if cmd := m.move(t, by, task); cmd != nil {
		return cmd
	}
	v := rapid.SampledFrom([]flow.Verdict{flow.Approve, flow.Approve, flow.Approve, flow.Reject, flow.Abstain}).Draw(t, "verdict")
	return flow.Cast{By: by, Task: task, Verdict: v, FormRev: rev}
}

// newCalendar moves what the open steps and the report are due at, now and then
// to a time that is over.
func (m *machine) newCalendar(t *rapid.T) flow.Command {
	at := m.now.Add(time.Duration(rapid.IntRange(-24, 120).Draw(t, "due in")) * time.Hour)
	due := flow.Due{At: at, By: rapid.SampledFrom([]string{"", "1bd"}).Draw(t, "by"), Remind: []time.Time{at.Add(-24 * time.Hour)}}
	c := flow.Reschedule{By: flow.Actor{Door: flow.System}, Due: map[string]flow.Due{flow.CloseOutTimer: due}}
	for _, s := range m.def.Steps() {
		c.Due[s.Name] = due
	}
	return c
}

// move draws one of the moves beside voting, or nil.
func (m *machine) move(t *rapid.T, by flow.Actor, task string) flow.Command {
	named := func(label string) flow.Elector {
		return flow.Elector{Person: rapid.SampledFrom(people).Draw(t, label), Seat: "named"}
	}
	switch rapid.IntRange(0, 19).Draw(t, "move") {
	case 0, 1:
		return flow.Transfer{By: by, Task: task, To: named("to")}
	case 2, 3, 4:
		who := []flow.Elector{named("signer")}
		if rapid.Bool().Draw(t, "two signers") {
			who = append(who, named("second"))
		}
		return flow.AddSigners{By: by, Task: task, Who: who, Place: rapid.SampledFrom([]flow.Place{flow.Before, flow.After, flow.Parallel}).Draw(t, "place"),
			Rule: flow.Rule{Kind: rapid.SampledFrom([]flow.RuleKind{flow.Any, flow.All}).Draw(t, "signers' rule"), InTurn: rapid.Bool().Draw(t, "in turn")}}
	case 5, 6:
		if n := len(m.st.Votes); n > 0 {
			v := m.st.Votes[rapid.IntRange(max(0, n-3), n-1).Draw(t, "vote")]
			return flow.Undo{By: flow.Actor{Person: v.By.Person, Door: flow.Console}, Task: v.Task}
		}
	case 7:
		return flow.Nudge{By: m.by(m.st.Requester)}
	case 8:
		return flow.Comment{By: by, Blocking: true, Note: flow.Note{Ref: "r", MAC: "m"}}
	case 9, 10:
		return flow.Resolve{By: by, N: rapid.IntRange(1, 3).Draw(t, "remark")}
	case 11:
		return flow.Stop{By: by}
	case 12:
		return flow.CloseOut{By: m.by(m.st.Requester), Report: drawForm(t, 1)}
	case 13:
		p := rapid.SampledFrom(people).Draw(t, "leaver")
		m.held = map[string]bool{p + "@named": false}
		return flow.Refresh{By: flow.Actor{Door: flow.System}}
	case 14:
		for i, v := range m.st.Votes {
			if i%2 == 0 && v.Live {
				return flow.Disown{By: flow.Actor{Person: v.By.Person}, Task: v.Task}
			}
		}
	}
	return nil
}

// run gives the machine random commands; a refusal must be a Refusal, and a
// command that was carried out must not take effect twice.
func (m *machine) run(t *rapid.T) {
	submit := flow.Submit{By: m.by(rapid.SampledFrom(people).Draw(t, "requester")), Form: drawForm(t, 1)}
	if err := m.try(submit); err != nil {
		if r, ok := flow.AsRefusal(err); !ok || r.Code != flow.NobodyToAsk {
			t.Fatalf("submit: %v", err)
		}
		t.SkipNow() // this directory cannot answer this definition
	}
	for range rapid.IntRange(0, 25).Draw(t, "commands") {
		cmd := m.command(t)
		if err := m.try(cmd); err != nil {
			if _, ok := flow.AsRefusal(err); !ok {
				t.Fatalf("%T: %v", cmd, err)
			}
			continue
		}
		n := len(m.events)
		switch cmd.(type) {
		case flow.Cast, flow.SendBack, flow.Resubmit, flow.Withdraw, flow.Transfer, flow.Undo, flow.Nudge, flow.Stop, flow.Resolve:
			if err := m.try(cmd); err == nil {
				t.Fatalf("%+v took effect twice", cmd)
			}
		case flow.Fire, flow.Refresh, flow.Reschedule:
			if err := m.try(cmd); err != nil || len(m.events) != n {
				t.Fatalf("%+v sent again: %v, %+v", cmd, err, m.events[n:])
			}
		}
	}
}

func TestRandomRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		m.run(t)
		var head [32]byte
		chain := make([]flow.Sealed, len(m.events))
		for i, ev := range m.events {
			sum, err := flow.Chain(head, i+1, ev)
			if err != nil {
				t.Fatal(err)
			}
			chain[i], head = flow.Sealed{Seq: i + 1, Event: ev, Prev: head, Hash: sum}, sum
		}
		if got, err := flow.Verify(chain); err != nil || got != head {
			t.Fatalf("the chain does not verify: %v", err)
		}
	})
}

// However a request got where it is, if everybody asked from now on approves,
// it is approved, unless Explain says who is lacking.
func TestEveryRequestCanBeCompletedOrSaysWhyNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		m.run(t)
		for range 200 {
			if m.st.Status == flow.Returned {
				m.do(flow.Resubmit{By: m.by(m.st.Requester), Form: drawForm(t, m.st.Rev()+1)})
				continue
			}
			if m.st.Status != flow.Open {
				return
			}
			if !m.approveOne(t) && !m.passWindow() {
				break
			}
		}
		if m.st.Status != flow.Open {
			return
		}
		if p := flow.Explain(m.def, m.st, m.now).Progress; p != flow.ProgStuck {
			t.Fatalf("nobody can move the request, but Explain says %s\n%+v", p, m.st)
		}
	})
}

// approveOne lets the first elector who can approve.
func (m *machine) approveOne(t *rapid.T) bool {
	for _, task := range m.st.OpenTasks() {
		err := m.try(flow.Cast{By: m.by(task.Elector.Person), Task: task.ID, Verdict: flow.Approve, FormRev: m.st.Rev()})
		if err == nil {
			return true
		}
		if r, ok := flow.AsRefusal(err); ok && r.Code == flow.Unresolved {
			n := r.Detail.(flow.Remarks).Open[0]
			m.do(flow.Resolve{By: m.by(m.st.Remarks[n-1].By), N: n})
			return true
		}
		if r, ok := flow.AsRefusal(err); !ok || r.Code != flow.NotDistinct && r.Code != flow.ObjectionOnly {
			t.Fatalf("%s cannot approve %s: %v", task.Elector.Person, task.ID, err)
		}
	}
	return false
}

// passWindow lets time pass until an objection window is over.
func (m *machine) passWindow() bool {
	for _, ss := range m.st.Steps {
		if ss.Status != flow.StepOpen || ss.Rule.Kind != flow.Objection {
			continue
		}
		for _, timer := range m.st.Timers() {
			if timer.Step == ss.Name && timer.N == 0 {
				m.now = timer.At
				m.do(flow.Fire{Timer: timer})
				return true
			}
		}
	}
	return false
}

// Who the forecast names is who is asked when everybody approves at once, as
// long as nobody is kept out by what others decided or answered before.
func TestForecastNamesWhoIsAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		m.def.Policy.Dedupe = flow.DedupeOff
		for _, s := range m.def.Steps() {
			s.DistinctFrom = nil
		}
		requester := rapid.SampledFrom(people).Draw(t, "requester")
		forecast, err := flow.Forecast(m.def, requester, m.facts())
		if err != nil {
			t.Fatal(err)
		}
		if m.try(flow.Submit{By: m.by(requester), Form: drawForm(t, 1)}) != nil {
			if !slices.ContainsFunc(forecast, func(f flow.ForecastStep) bool { return f.Short > 0 }) {
				t.Fatal("refused for lack of people whom the forecast found")
			}
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
