package proof_test

import (
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/workflow"
	"kelian/workflow/flow"
	"kelian/workflow/proof"
)

// definitions are of many shapes: weights, turns, lots, escalation, widening,
// objection windows, silence.
func definitions(t *testing.T) []*flow.Definition {
	t.Helper()
	all, err := workflow.Builtin(known)
	if err != nil {
		t.Fatal(err)
	}
	var out []*flow.Definition
	for _, d := range all {
		out = append(out, d.Flow)
	}
	step := func(name string, rule flow.Rule, more func(*flow.Step)) flow.Block {
		s := &flow.Step{Name: name, Ask: []string{name + ".x", name + ".y"}, Rule: rule, SendBack: []string{flow.Start}, Due: flow.Span{N: 1, Unit: flow.WorkingDays}}
		if more != nil {
			more(s)
		}
		return flow.Block{Kind: flow.KindStep, Step: s}
	}
	half := flow.Ratio{Num: 1, Den: 2}
	out = append(out, &flow.Definition{Key: "a.b", Hash: "h", Policy: flow.Policy{NotRequester: true, MaxSendBack: 1}, Blocks: []flow.Block{
		step("vote", flow.Rule{Kind: flow.OfCast, Percent: half, Turnout: half, Abstain: true}, func(s *flow.Step) {
			s.OnDue.Then, s.Weights, s.Reads = flow.ThenAbstain, map[string]int{"vote.x": 3}, []string{"/a"}
		}),
		{Kind: flow.KindPar, Blocks: []flow.Block{
			step("turn", flow.Rule{Kind: flow.All, InTurn: true}, func(s *flow.Step) {
				s.OnDue = flow.OnDue{Then: flow.ThenEscalate, Escalate: "z"}
				s.Reads, s.SendBack = []string{"/a", "/b"}, []string{flow.Start, "vote"}
			}),
			step("wide", flow.Rule{Kind: flow.KOfN, K: 3, Veto: true, Abstain: true}, func(s *flow.Step) {
				s.OnDue = flow.OnDue{Then: flow.ThenWiden, Escalate: "z"}
			})}},
		{Kind: flow.KindChoice, Choice: "c1", Branches: []flow.Branch{{Guard: "c1.1", Blocks: []flow.Block{
			step("lot", flow.Rule{Kind: flow.Any}, func(s *flow.Step) { s.Draw, s.OnDue.Then, s.SendBack = 2, flow.ThenReject, []string{"wide"} })}}}},
		step("notice", flow.Rule{Kind: flow.Objection}, func(s *flow.Step) { s.OnDue.Then = flow.ThenPass }),
	}})
	return out
}

// What the exploration forgets of a state must not matter: a long random
// history and the plain state built from its key answer every command alike.
func TestForgettingHistoryChangesNoFuture(t *testing.T) {
	for _, def := range definitions(t) {
		a := proof.Abstract(def)
		for seed := range int64(8) {
			r := rand.New(rand.NewSource(seed))
			facts := a.Facts()
			facts.Guards = map[string]bool{}
			for _, g := range def.Guards() {
				facts.Guards[g] = r.Intn(2) == 0
			}
			st, err := apply(def, flow.State{}, flow.Submit{By: flow.Actor{Person: "requester"}, Form: a.Form()}, facts)
			if err != nil {
				t.Fatal(err)
			}
			for range 40 {
				if st.Status.Final() {
					break
				}
				plain := a.State(a.Key(&st))
				plain.SendBacks = st.SendBacks
				if a.Key(&plain) != a.Key(&st) {
					t.Fatalf("%s: %q is built as %q", def.Key, a.Key(&st), a.Key(&plain))
				}
				st = both(t, a, def, st, plain, facts, r)
			}
		}
	}
}

// both makes every move from both states, compares where they lead, and goes on
// with one of them.
func both(t *testing.T, a proof.Abstraction, def *flow.Definition, st, plain flow.State, facts flow.Facts, r *rand.Rand) flow.State {
	t.Helper()
	long, short := moves(a, def, st), moves(a, def, plain)
	if len(long) != len(short) {
		t.Fatalf("%d moves, without history %d", len(long), len(short))
	}
	var next []flow.State
	ways, same := map[string]bool{}, map[string]bool{}
	for i := range long {
		if to, err := apply(def, st, long[i], facts); err == nil {
			ways[a.Key(&to)] = true
			if !to.Status.Final() || r.Intn(20) == 0 {
				next = append(next, to)
			}
		}
		if to, err := apply(def, plain, short[i], facts); err == nil {
			same[a.Key(&to)] = true
		}
	}
	if fmt.Sprint(ways) != fmt.Sprint(same) {
		t.Fatalf("%s %q leads to\n%v\nwithout history to\n%v", def.Key, a.Key(&st), ways, same)
	}
	if len(next) == 0 {
		return flow.State{Status: flow.Withdrawn}
	}
	return next[r.Intn(len(next))]
}

func moves(a proof.Abstraction, def *flow.Definition, st flow.State) []flow.Command {
	var out []flow.Command
	for _, t := range st.OpenTasks() {
		by := flow.Actor{Person: t.Elector.Person, Door: flow.Console}
		most, none := def.Step(t.Step).Rule.Score, 0
		for _, v := range []flow.Verdict{flow.Approve, flow.Reject, flow.Abstain} {
			out = append(out, flow.Cast{By: by, Task: t.ID, Verdict: v, FormRev: st.Rev(), Proved: true, Score: &none})
		}
		out = append(out, flow.Cast{By: by, Task: t.ID, Verdict: flow.Approve, FormRev: st.Rev(), Proved: true, Score: &most})
		if fill := a.FilledIn(t.Step); fill != nil {
			next := changed(st, fill.Digests, "1")
			out = append(out, flow.Cast{By: by, Task: t.ID, Verdict: flow.Approve, FormRev: st.Rev(), Proved: true, Score: &most, Edit: &next})
		}
		for _, to := range def.Step(t.Step).SendBack {
			out = append(out, flow.SendBack{By: by, Task: t.ID, To: to, Mode: flow.Redo, FormRev: st.Rev(), Proved: true},
				flow.SendBack{By: by, Task: t.ID, To: to, Mode: flow.ReturnToMe, FormRev: st.Rev(), Proved: true})
		}
	}
	for _, timer := range st.Timers() {
		out = append(out, flow.Fire{Timer: timer})
	}
	for _, f := range a.Edits() {
		out = append(out, flow.Resubmit{By: flow.Actor{Person: st.Requester}, Form: changed(st, f.Digests, "1")})
	}
	return out
}

// changed is the next revision, with another value where the mark stands.
func changed(st flow.State, marks map[string]string, mark string) flow.Form {
	digests := maps.Clone(st.Form().Digests)
	for p, d := range marks {
		if d == mark {
			digests[p] += "'"
		}
	}
	return flow.Form{Rev: st.Rev() + 1, Digests: digests}
}

func apply(def *flow.Definition, st flow.State, cmd flow.Command, facts flow.Facts) (flow.State, error) {
	events, err := flow.Decide(def, st, cmd, facts)
	if err != nil {
		return st, err
	}
	return flow.EvolveAll(st, events), nil
}

func TestEveryShapeIsProven(t *testing.T) {
	for _, def := range definitions(t) {
		if def.Key != "a.b" && def.Key != "technical.training" {
			continue // the shipped ones are proven with their guards, below a budget
		}
		r := proof.Prove(proof.Input{Flow: def, Budget: proof.Budget{Time: time.Hour}})
		if r.Control.Verdict != proof.Proven || len(r.Findings) > 0 {
			t.Error(r.Text(false))
		}
	}
}

// A lot that draws fewer people than must approve passes nothing; flow.Check
// refuses it, the exploration finds it without knowing why.
func TestAStepThatCannotPassIsFoundWithItsTrace(t *testing.T) {
	block := func(name string, draw int, rule flow.Rule) flow.Block {
		return flow.Block{Kind: flow.KindStep, Step: &flow.Step{Name: name, Ask: []string{"x", "y", "z"}, Draw: draw, Rule: rule}}
	}
	def := &flow.Definition{Key: "a.b", Hash: "h", Blocks: []flow.Block{
		block("first", 0, flow.Rule{Kind: flow.Any}), block("second", 2, flow.Rule{Kind: flow.KOfN, K: 3})}}
	r := proof.Prove(proof.Input{Flow: def})
	if r.OK() || r.Control.Verdict != proof.Refuted || r.Findings[0].Code != "STUCK" || r.Findings[0].Step != "second" ||
		!slices.Equal(r.Findings[0].Witness.Trace, []string{"submit", "first: approve"}) {
		t.Fatalf("%s", r.Text(false))
	}
	def.Blocks = def.Blocks[1:]
	if r := proof.Prove(proof.Input{Flow: def}); r.OK() || r.Findings[0].Code != "STUCK" {
		t.Fatalf("%s", r.Text(false))
	}
}

// twenty is the largest definition there is reason for: 20 steps, 8 guards, 6
// send-backs.
func twenty() *flow.Definition {
	def := &flow.Definition{Key: "a.b", Hash: "h", Policy: flow.Policy{NotRequester: true, MaxSendBack: 6}}
	for i := range 20 {
		s := &flow.Step{Name: fmt.Sprintf("s%d", i), Ask: []string{"x"}, Rule: flow.Rule{Kind: flow.Any}, SendBack: []string{flow.Start}}
		if i > 0 {
			s.SendBack = append(s.SendBack, fmt.Sprintf("s%d", i/4))
		}
		b := flow.Block{Kind: flow.KindStep, Step: s}
		if i >= 12 {
			b = flow.Block{Kind: flow.KindChoice, Choice: s.Name, Branches: []flow.Branch{{Guard: s.Name + ".1", Blocks: []flow.Block{b}}}}
		}
		def.Blocks = append(def.Blocks, b)
	}
	return def
}

func TestBeyondItsBudgetAProofSaysBounded(t *testing.T) {
	now := monday
	ticking := func() time.Time { now = now.Add(time.Millisecond); return now }
	for name, b := range map[string]proof.Budget{"states": {States: 300, Now: func() time.Time { return monday }}, "time": {Time: 100 * time.Millisecond, Now: ticking}} {
		r := proof.Prove(proof.Input{Flow: twenty(), Budget: b})
		if r.Control.Verdict != proof.Bounded || !r.OK() || r.Control.En == "" || !strings.Contains(r.Text(true), "未穷尽") {
			t.Errorf("%s: %s", name, r.Text(false))
		}
	}
}

func BenchmarkTwentySteps(b *testing.B) {
	for range b.N {
		r := proof.Prove(proof.Input{Flow: twenty()})
		b.ReportMetric(float64(r.Control.Explored), "states")
		b.Log(r.Text(false))
	}
}
