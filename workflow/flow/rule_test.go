package flow_test

import (
	"testing"

	"kelian/workflow/flow"

	"pgregory.net/rapid"
)

func drawRule(t *rapid.T, n int) flow.Rule {
	r := flow.Rule{Kind: rapid.SampledFrom([]flow.RuleKind{flow.Any, flow.All, flow.KOfN, flow.Percent, flow.OfCast}).Draw(t, "kind"),
		Abstain: true, Veto: rapid.Bool().Draw(t, "veto")}
	ratio := func(name string) flow.Ratio {
		den := rapid.IntRange(1, 6).Draw(t, name+" den")
		return flow.Ratio{Num: rapid.IntRange(1, den).Draw(t, name+" num"), Den: den}
	}
	switch r.Kind {
	case flow.KOfN:
		r.K = rapid.IntRange(1, n).Draw(t, "k")
	case flow.Percent, flow.OfCast:
		r.Percent = ratio("share")
	}
	if rapid.Bool().Draw(t, "has turnout") {
		r.Turnout = ratio("turnout")
	}
	return r
}

type ballot struct {
	verdict flow.Verdict
	weight  int
}

// play votes in order until the rule settles.
func play(r flow.Rule, ballots []ballot, order []int) flow.Outcome {
	var t flow.Tally
	for _, b := range ballots {
		t.Open += b.weight
	}
	for _, i := range order {
		if out := r.Settle(t); out != flow.Undecided {
			return out
		}
		w := ballots[i].weight
		t.Open -= w
		switch ballots[i].verdict {
		case flow.Approve:
			t.Approve += w
		case flow.Reject:
			t.Reject += w
		default:
			t.Abstain += w
		}
	}
	return r.Settle(t)
}

// Whatever the order in which people answer, and however early the step
// settles, the outcome is the one of the full count.
func TestOutcomeDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "n")
		r := drawRule(t, n)
		ballots := make([]ballot, n)
		order := make([]int, n)
		for i := range ballots {
			order[i] = i
			ballots[i] = ballot{rapid.SampledFrom([]flow.Verdict{flow.Approve, flow.Reject, flow.Abstain}).Draw(t, "v"),
				rapid.IntRange(1, 3).Draw(t, "w")}
		}
		a := play(r, ballots, order)
		b := play(r, ballots, rapid.Permutation(order).Draw(t, "order"))
		if a != b || a == flow.Undecided {
			t.Fatalf("%+v %+v: %q in one order, %q in another", r, ballots, a, b)
		}
		var full flow.Tally
		for _, b := range ballots {
			switch b.verdict {
			case flow.Approve:
				full.Approve += b.weight
			case flow.Reject:
				full.Reject += b.weight
			default:
				full.Abstain += b.weight
			}
		}
		if want := count5(r, full); (a == flow.Passed) != want {
			t.Fatalf("%+v %+v: settled %q, the full count says %v", r, full, a, want)
		}
	})
}

// count5 is the plain reading of the five thresholds.
func count5(r flow.Rule, t flow.Tally) bool {
	total := t.Approve + t.Reject + t.Abstain
	switch {
	case r.Veto && t.Reject > 0, t.Approve == 0:
		return false
	case r.Turnout.Den > 0 && total*r.Turnout.Den < total*r.Turnout.Num:
		return false
	}
	switch r.Kind {
	case flow.Any:
		return true
	case flow.All:
		return t.Reject == 0
	case flow.KOfN:
		return t.Approve >= r.K
	case flow.Percent:
		return t.Approve*r.Percent.Den >= total*r.Percent.Num
	}
	return t.Approve*r.Percent.Den >= (t.Approve+t.Reject)*r.Percent.Num
}

func TestSettleEdges(t *testing.T) {
	twoThirds := flow.Ratio{Num: 2, Den: 3}
	for _, c := range []struct {
		name string
		rule flow.Rule
		t    flow.Tally
		want flow.Outcome
		lack int
	}{
		{"any, one yes", flow.Rule{Kind: flow.Any}, flow.Tally{Approve: 1, Open: 4}, flow.Passed, 0},
		{"any, one no", flow.Rule{Kind: flow.Any}, flow.Tally{Reject: 1, Open: 1}, flow.Undecided, 1},
		{"any, all no", flow.Rule{Kind: flow.Any}, flow.Tally{Reject: 2}, flow.Failed, 0},
		{"all, one no", flow.Rule{Kind: flow.All}, flow.Tally{Reject: 1, Open: 4}, flow.Failed, 4},
		{"all, two of three", flow.Rule{Kind: flow.All}, flow.Tally{Approve: 2, Open: 1}, flow.Undecided, 1},
		{"3 of 5, reached", flow.Rule{Kind: flow.KOfN, K: 3}, flow.Tally{Approve: 3, Open: 2}, flow.Passed, 0},
		{"3 of 5, impossible", flow.Rule{Kind: flow.KOfN, K: 3}, flow.Tally{Reject: 3, Open: 2}, flow.Failed, 2},
		{"3 of 5 with veto waits for the last", flow.Rule{Kind: flow.KOfN, K: 3, Veto: true}, flow.Tally{Approve: 3, Open: 2}, flow.Undecided, 2},
		{"3 of 2 people", flow.Rule{Kind: flow.KOfN, K: 3}, flow.Tally{Reject: 1, Open: 1}, flow.Undecided, 1},
		{"two thirds of 3 is 2", flow.Rule{Kind: flow.Percent, Percent: twoThirds}, flow.Tally{Approve: 2, Open: 1}, flow.Passed, 0},
		{"two thirds of 4 is 3", flow.Rule{Kind: flow.Percent, Percent: twoThirds}, flow.Tally{Approve: 2, Open: 2}, flow.Undecided, 1},
		{"of cast, silence does not count", flow.Rule{Kind: flow.OfCast, Percent: twoThirds}, flow.Tally{Approve: 2, Reject: 1, Silent: 9}, flow.Passed, 0},
		{"of cast, turnout missed", flow.Rule{Kind: flow.OfCast, Percent: twoThirds, Turnout: flow.Ratio{Num: 1, Den: 2}}, flow.Tally{Approve: 2, Reject: 1, Silent: 4}, flow.Failed, 0},
		{"nobody", flow.Rule{Kind: flow.All}, flow.Tally{}, flow.Undecided, 0},
	} {
		if got := c.rule.Settle(c.t); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if got := c.rule.Lacking(c.t); got != c.lack {
			t.Errorf("%s: lacking %d, want %d", c.name, got, c.lack)
		}
	}
}
