package flow_test

import (
	"testing"

	"kelian/workflow/flow"
)

// A rule leaves nothing out of what somebody who votes has to know.
func TestARuleIsSaidWhole(t *testing.T) {
	r := flow.Rule{Kind: flow.OfCast, Percent: flow.Ratio{Num: 2, Den: 3}, Turnout: flow.Ratio{Num: 50, Den: 100}, Score: 100, Mean: 60, Veto: true, Abstain: true, InTurn: true}
	want := flow.Text{Zh: "赞成与反对票中要有 2/3 赞成，依次办理，投票的要达到全体的 50%，每人打 0–100 分，平均至少 60 分，一人不同意即不通过，可以弃权",
		En: "2/3 of the votes cast have to be approvals, one after the other, 50% of all have to vote, each gives 0–100 points, 60 at least on average, a single no ends it, abstaining is possible"}
	if got := r.Say(); got != want {
		t.Errorf("%+v", got)
	}
}
