package flow_test

import (
	"testing"
	"time"

	"kelian/workflow/flow"
)

func dueIn(days int, percent ...int) (flow.Due, func(*flow.Step, flow.Then, string)) {
	d := flow.Due{At: epoch.Add(time.Duration(days) * 24 * time.Hour), By: "2bd"}
	for _, p := range percent {
		d.Remind = append(d.Remind, epoch.Add(time.Duration(days*p)*24*time.Hour/100))
	}
	return d, func(s *flow.Step, then flow.Then, seat string) {
		s.Due = flow.Span{N: days, Unit: flow.WorkingDays}
		s.OnDue = flow.OnDue{Remind: percent, Then: then, Escalate: seat}
	}
}

func late(t *testing.T, r flow.Rule, then flow.Then, people ...string) *world {
	due, set := dueIn(2, 50, 100)
	w := newWorld(t, definition(step("a", "x", rule(r), func(s *flow.Step) { set(s, then, "boss") }), step("b", "y")),
		map[string][]string{"x": people, "y": {"z"}, "boss": {"chief", "deputy"}})
	w.due["a"] = due
	w.submit("ling", offer)
	return w
}

func TestRemindersOnceEachAndNeverOnSettledSteps(t *testing.T) {
	w := late(t, flow.Rule{Kind: flow.All}, flow.ThenRemind, "p", "q")
	timers := w.st.Timers()
	if len(timers) != 3 || timers[0].N != 1 || !timers[0].At.Equal(epoch.Add(24*time.Hour)) || timers[2].N != 0 {
		t.Fatalf("%+v", timers)
	}
	if ev := w.do(flow.Fire{Timer: timers[0]}); len(ev) != 0 {
		t.Fatalf("a timer that rings early did %+v", ev)
	}
	w.approve("p")
	w.now = epoch.Add(25 * time.Hour)
	ev := count[flow.Reminded](w.do(flow.Fire{Timer: timers[0]}))
	if len(ev) != 1 || len(ev[0].Tasks) != 1 || ev[0].Tasks[0] != "a#1.2" {
		t.Fatalf("%+v: only those who have not answered are reminded", ev)
	}
	if again := w.do(flow.Fire{Timer: timers[0]}); len(again) != 0 {
		t.Fatalf("the same reminder twice: %+v", again)
	}
	w.now = epoch.Add(49 * time.Hour)
	w.do(flow.Fire{Timer: timers[2]})
	if left := w.st.Timers(); len(left) != 1 || left[0].N != 2 {
		t.Fatalf("armed after falling due: %+v", left)
	}
	w.approve("q")
	for _, tm := range timers {
		if ev := w.do(flow.Fire{Timer: tm}); len(ev) != 0 {
			t.Fatalf("a timer of a settled step did %+v", ev)
		}
	}
}

func TestEscalationDecidesForAllWhoAreLate(t *testing.T) {
	w := late(t, flow.Rule{Kind: flow.KOfN, K: 3}, flow.ThenEscalate, "p", "q", "r", "s")
	w.approve("p")
	w.now = epoch.Add(49 * time.Hour)
	w.do(flow.Fire{Timer: flow.Timer{Step: "a", Round: 1}})
	if w.open("q") != "" || w.open("chief") == "" || w.open("deputy") == "" {
		t.Fatalf("open: %+v", w.st.OpenTasks())
	}
	if got := w.st.Tally("a"); got != (flow.Tally{Approve: 1, Open: 3}) {
		t.Fatalf("two alternatives count once: %+v", got)
	}
	w.refused(flow.Cast{By: w.by("q"), Task: "a#1.2", Verdict: flow.Approve, FormRev: 1}, flow.AlreadySettled)
	w.seats["boss"] = []string{"newchief", "deputy"}
	w.do(flow.Refresh{By: flow.Actor{Door: flow.System}})
	if got := w.st.Tally("a"); got.Open != 3 || w.open("newchief") == "" || w.open("chief") != "" {
		t.Fatalf("after a change of the seat: %+v %+v", got, w.st.OpenTasks())
	}
	w.approve("newchief")
	w.expect(flow.Open, "b")
	w.refused(flow.Cast{By: w.by("deputy"), Task: "a#1.6", Verdict: flow.Approve, FormRev: 1}, flow.AlreadySettled)
}

func TestEscalationGivesNobodyASecondVote(t *testing.T) {
	w := late(t, flow.Rule{Kind: flow.All}, flow.ThenEscalate, "chief", "q")
	w.seats["boss"] = []string{"chief"}
	w.approve("chief")
	w.now = epoch.Add(49 * time.Hour)
	w.do(flow.Fire{Timer: flow.Timer{Step: "a", Round: 1}})
	if w.open("chief") != "" || w.open("q") == "" {
		t.Fatalf("open: %+v", w.st.OpenTasks())
	}
}

func TestSilenceAtTheDeadline(t *testing.T) {
	w := late(t, flow.Rule{Kind: flow.All}, flow.ThenAbstain, "p", "q", "r")
	w.approve("p")
	w.now = epoch.Add(49 * time.Hour)
	w.do(flow.Fire{Timer: flow.Timer{Step: "a", Round: 1}})
	w.expect(flow.Open, "b")
	if got := w.st.Tally("a"); got != (flow.Tally{Approve: 1, Silent: 2}) {
		t.Fatalf("%+v", got)
	}
	w = late(t, flow.Rule{Kind: flow.All, Turnout: flow.Ratio{Num: 1, Den: 2}}, flow.ThenAbstain, "p", "q", "r")
	w.approve("p")
	w.now = epoch.Add(49 * time.Hour)
	w.do(flow.Fire{Timer: flow.Timer{Step: "a", Round: 1}})
	w.expect(flow.Rejected) // silence is no turnout

	w = late(t, flow.Rule{Kind: flow.All}, flow.ThenReject, "p", "q")
	w.now = epoch.Add(49 * time.Hour)
	w.do(flow.Fire{Timer: flow.Timer{Step: "a", Round: 1}})
	w.expect(flow.Rejected)
}
