package flow_test

import (
	"slices"
	"testing"

	"kelian/workflow/flow"
)

// purchase is the optical module of the tour: the keeper reads what is asked
// for, the office and the vice-chair read everything.
func purchase(t failer) *world {
	w := newWorld(t, definition(
		step("keeper", "office.keeper", reads("/items")),
		step("office", "office.head"),
		when("dear", step("vice", "vice_of(technical)")),
	), map[string][]string{"office.keeper": {"songlan"}, "office.head": {"hejing"}, "vice_of(technical)": {"guchen"}})
	w.guards["dear.1"] = true
	return w
}

const (
	at680 = `{"items":[{"name":"optical module","qty":1}],"prices":[68000],"total":68000,"quote":"A"}`
	at860 = `{"items":[{"name":"optical module","qty":1}],"prices":[86000],"total":86000,"quote":"B"}`
)

func TestTourVoteCarriedAndLapsed(t *testing.T) {
	w := purchase(t)
	w.submit("zhouhang", at680)
	w.expect(flow.Open, "keeper")
	w.approve("songlan", "hejing")
	w.expect(flow.Open, "vice")
	w.do(w.back("guchen", flow.Start, flow.ReturnToMe))
	w.expect(flow.Returned)

	events := w.resubmit("zhouhang", at860)
	carried, lapsed := count[flow.VoteCarried](events), count[flow.VoteLapsed](events)
	if len(carried) != 1 || carried[0].Step != "keeper" || carried[0].From != 1 || carried[0].To != 2 {
		t.Fatalf("carried %+v, want the keeper's vote alone", carried)
	}
	if len(lapsed) != 1 || lapsed[0].Step != "office" || lapsed[0].Why != flow.WhyChanged ||
		!slices.Equal(lapsed[0].Changed, []string{"/prices", "/quote", "/total"}) {
		t.Fatalf("lapsed %+v, want the office's vote with what changed", lapsed)
	}
	w.expect(flow.Open, "office")
	if id := w.open("hejing"); id != "office#2.1" {
		t.Fatalf("the office is asked by task %s", id)
	}
	if v := w.st.Vote("keeper#1.1"); !v.Carried() || !v.Live || v.CastRev != 1 || v.Rev != 2 {
		t.Fatalf("the keeper's vote %+v", v)
	}
	w.approve("hejing")
	w.expect(flow.Open, "vice")
	w.approve("guchen")
	w.expect(flow.Approved)
	closed := count[flow.Closed](w.events)
	if len(closed) != 1 || !slices.Equal(closed[0].Effects, []string{"property.purchase"}) {
		t.Fatalf("closed %+v", closed)
	}
}

// The old page and the old task of somebody whose vote lapsed show what
// changed instead of approving a form he has not seen.
func TestTourStalePage(t *testing.T) {
	w := purchase(t)
	w.submit("zhouhang", at680)
	w.approve("songlan", "hejing")
	w.do(w.back("guchen", flow.Start, ""))
	w.resubmit("zhouhang", at860)
	for _, task := range []string{"office#1.1", "office#2.1"} {
		r := w.refused(flow.Cast{By: w.by("hejing"), Task: task, Verdict: flow.Approve, FormRev: 1}, flow.StaleForm)
		d := r.Detail.(flow.Stale)
		if d.Read != 1 || d.Current != 2 || !slices.Equal(d.Changes, []string{"/prices", "/quote", "/total"}) {
			t.Fatalf("%s: %+v", task, d)
		}
	}
}

// Step 6 of the tour: neither the requester nor an outsider gets through, and
// each is told who can.
func TestTourRefusalsNameWhoCan(t *testing.T) {
	w := purchase(t)
	w.submit("zhouhang", at680)
	want := []flow.Elector{{Person: "songlan", Seat: "office.keeper"}}
	for who, code := range map[string]flow.Code{"zhouhang": flow.SelfApproval, "luyuan": flow.NotYourTask} {
		r := w.refused(flow.Cast{By: w.by(who), Task: "keeper#1.1", Verdict: flow.Approve, FormRev: 1}, code)
		if got := r.Detail.(flow.Who).Electors; !slices.Equal(got, want) {
			t.Fatalf("%s is told %+v", who, got)
		}
	}
}

func TestPriceBelowThresholdNoLongerAsksTheVice(t *testing.T) {
	w := purchase(t)
	w.submit("zhouhang", at680)
	w.approve("songlan", "hejing")
	w.do(w.back("guchen", flow.Start, ""))
	w.guards["dear.1"] = false
	w.resubmit("zhouhang", `{"items":[{"name":"optical module","qty":1}],"prices":[40000],"total":40000,"quote":"C"}`)
	w.approve("hejing")
	w.expect(flow.Approved)
}

func TestRedoAsksEverybodyAgain(t *testing.T) {
	w := purchase(t)
	w.submit("zhouhang", at680)
	w.approve("songlan", "hejing")
	w.do(w.back("guchen", flow.Start, flow.Redo))
	events := w.resubmit("zhouhang", at680)
	if l := count[flow.VoteLapsed](events); len(l) != 2 || l[0].Why != flow.WhyRedo {
		t.Fatalf("lapsed %+v", l)
	}
	w.expect(flow.Open, "keeper")
	w.approve("songlan", "hejing", "guchen")
	w.expect(flow.Approved)
}
