package flow_test

import (
	"testing"
	"time"

	"kelian/workflow/flow"
)

func moved(step string, at time.Time, remind ...time.Time) flow.Reschedule {
	return flow.Reschedule{By: flow.Actor{Door: flow.System}, Due: map[string]flow.Due{step: {At: at, Remind: remind, By: "2bd"}}}
}

func TestANewCalendarMovesWhatIsOpen(t *testing.T) {
	w := late(t, flow.Rule{Kind: flow.All}, flow.ThenReject, "p", "q")
	w.approve("p")
	later, half := epoch.Add(96*time.Hour), epoch.Add(72*time.Hour)
	ev := count[flow.Rescheduled](w.do(moved("a", later, half)))
	if len(ev) != 1 || ev[0].Round != 1 || !ev[0].Due.At.Equal(later) {
		t.Fatalf("%+v", ev)
	}
	if due := w.st.Task("a#1.2").DueAt; !due.Equal(later) {
		t.Fatalf("q is asked until %s", due)
	}
	if due := w.st.Task("a#1.1").DueAt; due.Equal(later) {
		t.Fatal("the time of an answer that was given has moved")
	}
	if again := w.do(moved("a", later, half)); len(again) != 0 {
		t.Fatalf("the same calendar twice: %+v", again)
	}
	w.now = epoch.Add(50 * time.Hour)
	if ev := w.do(flow.Fire{Timer: flow.Timer{Step: "a", Round: 1}}); len(ev) != 0 {
		t.Fatalf("the old time still rings: %+v", ev)
	}
	if ev := w.do(moved("a", epoch.Add(40*time.Hour))); len(ev) != 0 {
		t.Fatalf("moved to a time that is over: %+v", ev)
	}
	w.now = later
	w.do(flow.Fire{Timer: flow.Timer{Step: "a", Round: 1}})
	w.expect(flow.Rejected)
}

func TestWhatHasFallenDueStays(t *testing.T) {
	w := late(t, flow.Rule{Kind: flow.All}, flow.ThenRemind, "p", "q")
	w.now = epoch.Add(49 * time.Hour)
	w.do(flow.Fire{Timer: flow.Timer{Step: "a", Round: 1}})
	if ev := w.do(moved("a", epoch.Add(96*time.Hour))); len(ev) != 0 {
		t.Fatalf("%+v", ev)
	}
}

func TestANewCalendarMovesTheReportThatIsOwed(t *testing.T) {
	def := definition(step("a", "x"))
	def.CloseOut = &flow.CloseOutRule{After: "/a", Due: flow.Span{N: 10, Unit: flow.WorkingDays}}
	w := newWorld(t, def, map[string][]string{"x": {"p"}})
	w.out = flow.Due{At: epoch.Add(72 * time.Hour), By: "10bd"}
	w.submit("ling", offer)
	w.approve("p")
	later := epoch.Add(96 * time.Hour)
	w.do(moved(flow.CloseOutTimer, later))
	if timers := w.st.Timers(); len(timers) != 1 || !timers[0].At.Equal(later) {
		t.Fatalf("%+v", timers)
	}
}
