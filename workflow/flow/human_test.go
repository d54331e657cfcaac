package flow_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kelian/workflow/flow"
)

// office is one step of three electors, then the chair.
func office(t failer, r flow.Rule) *world {
	return newWorld(t, definition(step("heads", "dept.head", rule(r), reads("/plan")), step("chair", "fed.chair", reads("/date"), targets(flow.Start, "heads"))),
		map[string][]string{"dept.head": {"he", "lu", "shen"}, "fed.chair": {"chen"}, "fed.vice": {"gu"}})
}

const plan = `{"plan":"A","date":"2026-12-01"}`

func named(p string) flow.Elector { return flow.Elector{Person: p, Seat: "some.member"} }

func signers(w *world, by string, place flow.Place, r flow.Rule, who ...string) flow.AddSigners {
	c := flow.AddSigners{By: w.by(by), Task: w.open(by), Place: place, Rule: r}
	for _, p := range who {
		c.Who = append(c.Who, named(p))
	}
	return c
}

func TestTransferredTaskIsDecidedByTheOtherInItsPlace(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.All})
	w.submit("ling", plan)
	w.refused(flow.Transfer{By: w.by("he"), Task: w.open("he"), To: named("lu")}, flow.AlreadyAsked)
	w.refused(flow.Transfer{By: w.by("he"), Task: w.open("he"), To: named("ling")}, flow.SelfApproval)
	w.refused(flow.Transfer{By: w.by("lu"), Task: w.open("he"), To: named("gu")}, flow.NotYourTask)
	old := w.cast("he", flow.Approve)
	w.do(flow.Transfer{By: w.by("he"), Task: w.open("he"), To: named("gu")})
	w.refused(old, flow.AlreadySettled)
	w.approve("lu", "shen")
	w.expect(flow.Open, "heads")
	w.approve("gu")
	w.expect(flow.Open, "chair")
}

// A tenure that ends leaves nothing behind: the task goes back to the elector
// it came from.
func TestTransferredTaskComesBackWhenTheSeatIsLeft(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.All})
	w.submit("ling", plan)
	w.do(flow.Transfer{By: w.by("he"), Task: w.open("he"), To: named("gu")})
	w.held = map[string]bool{"gu@some.member": false}
	w.do(flow.Refresh{By: flow.Actor{Door: flow.System}})
	if w.open("gu") != "" || w.open("he") == "" {
		t.Fatalf("%+v", w.st.OpenTasks())
	}
	w.approve("he", "lu", "shen")
	w.expect(flow.Open, "chair")
}

func TestSignersBeforeHoldTheElectorBack(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.Any})
	w.submit("ling", plan)
	early := w.cast("he", flow.Approve)
	w.do(signers(w, "he", flow.Before, flow.Rule{Kind: flow.All}, "x", "y"))
	w.refused(early, flow.AlreadySettled)
	w.approve("x")
	if w.open("he") != "" {
		t.Fatal("the elector is asked before all signers answered")
	}
	w.approve("y", "he")
	w.expect(flow.Open, "chair")
}

func TestSignersAfterAreAskedOnceTheElectorApproved(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.Any})
	w.submit("ling", plan)
	w.do(signers(w, "he", flow.After, flow.Rule{Kind: flow.All, InTurn: true}, "x", "y"))
	if w.open("x") != "" {
		t.Fatal("the signer is asked too early")
	}
	w.approve("he")
	w.expect(flow.Open, "heads")
	if w.open("x") == "" || w.open("y") != "" {
		t.Fatal("the signers are not asked in turn")
	}
	w.approve("x", "y")
	w.expect(flow.Open, "chair")
}

// A late step that waits for added signers alone is passed, not escalated: its
// elector has answered.
func TestLateSignersHoldNobodyUp(t *testing.T) {
	w := newWorld(t, definition(step("one", "a", func(s *flow.Step) {
		s.Due, s.OnDue = flow.Span{N: 1, Unit: flow.WorkingDays}, flow.OnDue{Then: flow.ThenEscalate, Escalate: "b"}
	})), map[string][]string{"a": {"ann"}})
	w.due["one"] = flow.Due{At: epoch.Add(time.Hour)}
	w.submit("ling", offer)
	w.do(flow.AddSigners{By: w.by("ann"), Task: w.open("ann"), Place: flow.After, Who: []flow.Elector{{Person: "cho"}}})
	w.approve("ann")
	w.expect(flow.Open, "one")
	w.now = epoch.Add(time.Hour)
	w.do(flow.Fire{Timer: flow.Timer{Step: "one", Round: 1, At: w.now}})
	w.expect(flow.Approved)
}

func TestParallelSignersNoIsANo(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.Any})
	w.submit("ling", plan)
	w.do(signers(w, "he", flow.Parallel, flow.Rule{Kind: flow.All}, "x"))
	w.do(w.cast("x", flow.Reject))
	w.expect(flow.Rejected)
}

// Whoever did not want to hear the signers does not wait for them.
func TestAnotherElectorDoesNotWaitForSigners(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.Any})
	w.submit("ling", plan)
	w.do(signers(w, "he", flow.Before, flow.Rule{Kind: flow.All}, "x"))
	w.approve("lu")
	w.expect(flow.Open, "chair")
	if w.open("x") != "" {
		t.Fatal("a signer is still asked")
	}
}

func TestSignersAreLimitedInNumberAndDepth(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.All})
	w.submit("ling", plan)
	var eleven []string
	for i := range 11 {
		eleven = append(eleven, fmt.Sprintf("x%d", i))
	}
	w.refused(signers(w, "he", flow.Parallel, flow.Rule{}, eleven...), flow.TooManySigners)
	w.refused(signers(w, "he", flow.Parallel, flow.Rule{}, "x1", "x1"), flow.AlreadyAsked)
	w.do(signers(w, "he", flow.Parallel, flow.Rule{}, "x1"))
	w.do(signers(w, "x1", flow.Before, flow.Rule{}, "x2"))
	w.do(signers(w, "x2", flow.Before, flow.Rule{}, "x3"))
	w.refused(signers(w, "x3", flow.Before, flow.Rule{}, "x4"), flow.TooManySigners)
	w.approve("x3", "x2", "x1", "he", "lu", "shen")
	w.expect(flow.Open, "chair")
}

func TestUndoAsksAgainAndKeepsTheOthers(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.KOfN, K: 2})
	w.submit("ling", plan)
	w.approve("he")
	lu := w.open("lu")
	w.approve("lu")
	w.expect(flow.Open, "chair")
	w.refused(flow.Undo{By: w.by("he"), Task: lu}, flow.NotYours)
	w.do(flow.Undo{By: w.by("lu"), Task: lu})
	w.expect(flow.Open, "heads")
	if w.open("lu") == "" || w.open("shen") == "" || w.open("he") != "" {
		t.Fatalf("%+v", w.st.OpenTasks())
	}
	w.approve("shen")
	w.expect(flow.Open, "chair")
}

func TestUndoIsRefusedWhenLateOrReliedOn(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.Any})
	w.submit("ling", plan)
	task := w.open("he")
	w.approve("he")
	w.now = w.now.Add(flow.UndoWithin + time.Second)
	w.refused(flow.Undo{By: w.by("he"), Task: task}, flow.UndoTooLate)
	w.now = epoch.Add(time.Minute)
	w.do(w.back("chen", "heads", flow.ReturnToMe))
	w.refused(flow.Undo{By: w.by("he"), Task: task}, flow.UndoTooLate)
	again := w.open("he")
	w.approve("he", "chen")
	w.expect(flow.Approved)
	w.refused(flow.Undo{By: w.by("he"), Task: again}, flow.UndoTooLate)
}

func TestPaperDecisionIsDisownedByThePersonNamed(t *testing.T) {
	def := definition(step("heads", "dept.head", func(s *flow.Step) { s.Paper = true }), step("chair", "fed.chair"))
	w := newWorld(t, def, map[string][]string{"dept.head": {"he"}, "fed.chair": {"chen"}})
	w.submit("ling", plan)
	task := w.open("he")
	w.do(flow.Cast{By: flow.Actor{Person: "he", Door: flow.Paper, Recorder: "song"}, Task: task, Verdict: flow.Approve, FormRev: 1})
	w.expect(flow.Open, "chair")
	w.refused(flow.Disown{By: w.by("song"), Task: task}, flow.NotYours)
	w.now = w.now.Add(48 * time.Hour)
	w.do(flow.Disown{By: w.by("he"), Task: task})
	w.expect(flow.Open, "heads")
}

func TestInTurnAsksOneAfterTheOther(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.All, InTurn: true})
	w.submit("ling", plan)
	for _, p := range []string{"he", "lu", "shen"} {
		if open := w.st.OpenTasks(); len(open) != 1 || open[0].Elector.Person != p {
			t.Fatalf("want %s alone, got %+v", p, open)
		}
		w.approve(p)
	}
	w.expect(flow.Open, "chair")
}

// A step that asks in turn and had found nobody begins with the first who comes.
func TestInTurnBeginsWithTheFirstWhoComes(t *testing.T) {
	w := newWorld(t, definition(step("one", "a"), step("two", "b", rule(flow.Rule{Kind: flow.All, InTurn: true}))), map[string][]string{"a": {"ann"}})
	w.submit("ling", offer)
	w.approve("ann")
	w.expect(flow.Open)
	w.seats["b"] = []string{"bob", "cho"}
	w.do(flow.Refresh{By: flow.Actor{Door: flow.System}})
	w.approve("bob", "cho")
	w.expect(flow.Approved)
}

func TestLateStepWidensAndKeepsThoseItAsked(t *testing.T) {
	w := late(t, flow.Rule{Kind: flow.Any}, flow.ThenWiden, "p", "q")
	w.now = epoch.Add(48 * time.Hour)
	for _, timer := range w.st.Timers() {
		w.do(flow.Fire{Timer: timer})
	}
	for _, p := range []string{"p", "q", "chief", "deputy"} {
		if w.open(p) == "" {
			t.Fatalf("%s is not asked", p)
		}
	}
	w.approve("deputy")
	w.expect(flow.Open, "b")
}

func window(t failer) *world {
	due, set := dueIn(3)
	w := newWorld(t, definition(step("heads", "dept.head"),
		step("notice", "everybody", rule(flow.Rule{Kind: flow.Objection}), targets("heads"), func(s *flow.Step) { set(s, flow.ThenPass, "") })),
		map[string][]string{"dept.head": {"he"}, "everybody": {"a", "b"}})
	w.due["notice"] = due
	w.submit("ling", plan)
	w.approve("he")
	return w
}

func TestObjectionWindowPassesOnSilence(t *testing.T) {
	w := window(t)
	w.refused(w.cast("a", flow.Approve), flow.ObjectionOnly)
	w.expect(flow.Open, "notice")
	w.now = epoch.Add(72 * time.Hour)
	w.do(flow.Fire{Timer: w.st.Timers()[0]})
	w.expect(flow.Approved)
}

func TestObjectionAsksTheDecidersAgainAndOpensANewWindow(t *testing.T) {
	w := window(t)
	w.do(w.back("a", "heads", ""))
	w.expect(flow.Open, "heads")
	w.approve("he")
	w.expect(flow.Open, "notice")
	if w.open("a") == "" {
		t.Fatal("the new window is closed to whoever objected before")
	}
}

// Anybody can draw the lot again from what stands in the chain.
func TestLotCanBeDrawnAgainByAnybody(t *testing.T) {
	judges := []string{"a", "b", "c", "d", "e", "f", "g"}
	def := definition(step("panel", "judge", rule(flow.Rule{Kind: flow.KOfN, K: 2}), func(s *flow.Step) { s.Draw = 3 }))
	w := newWorld(t, def, map[string][]string{"judge": judges})
	w.seed = "c0ffee"
	w.submit("ling", plan)
	drawn := count[flow.StepOpened](w.events)[0].Drawn
	again := flow.Draw("c0ffee", judges)
	if drawn.Seed != "c0ffee" || !slices.Equal(drawn.Of, again) || len(w.st.OpenTasks()) != 3 {
		t.Fatalf("%+v, drawn again %v", drawn, again)
	}
	for _, p := range again[:3] {
		if w.open(p) == "" {
			t.Fatalf("%s was drawn and is not asked", p)
		}
	}
	w.seats["judge"] = slices.DeleteFunc(slices.Clone(judges), func(p string) bool { return p == again[0] })
	w.do(flow.Refresh{By: flow.Actor{Door: flow.System}})
	if w.open(again[3]) == "" || len(w.st.OpenTasks()) != 3 {
		t.Fatalf("the next of the lot does not take the place: %+v", w.st.OpenTasks())
	}
}

func TestBlockingRemarkHoldsApprovalsUp(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.Any})
	w.submit("ling", plan)
	note := flow.Note{Ref: "r1", MAC: "m"}
	w.refused(flow.Comment{By: w.by("chen"), Blocking: true, Note: note}, flow.NotYourTask)
	w.do(flow.Comment{By: w.by("he"), Blocking: true, Note: note})
	if d := w.refused(w.cast("lu", flow.Approve), flow.Unresolved).Detail.(flow.Remarks); !slices.Equal(d.Open, []int{1}) {
		t.Fatalf("%+v", d)
	}
	w.do(flow.Comment{By: w.by("ling"), Reply: 1, Note: note})
	w.refused(flow.Resolve{By: w.by("ling"), N: 1}, flow.NotYours)
	w.do(flow.Resolve{By: w.by("he"), N: 1})
	w.approve("lu")
	w.expect(flow.Open, "chair")
}

func TestNudgeIsThrottled(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.All})
	w.submit("ling", plan)
	w.refused(flow.Nudge{By: w.by("he")}, flow.NotRequester)
	ev := w.do(flow.Nudge{By: w.by("ling")})
	if got := ev[0].Body.(flow.Nudged); len(got.Tasks) != 3 {
		t.Fatalf("%+v", got)
	}
	d := w.refused(flow.Nudge{By: w.by("ling")}, flow.TooSoon).Detail.(flow.Again)
	w.now = d.At
	w.do(flow.Nudge{By: w.by("ling")})
}

func TestRelationsKeepPeopleOut(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.Any})
	w.barred = map[string]map[string]flow.Code{"heads": {"he": flow.Interested, "lu": flow.SameUnit}}
	w.submit("ling", plan)
	if open := w.st.OpenTasks(); len(open) != 1 || open[0].Elector.Person != "shen" {
		t.Fatalf("%+v", open)
	}
	w.refused(flow.Cast{By: w.by("he"), Task: w.open("shen"), Verdict: flow.Approve, FormRev: 1}, flow.Interested)
	w.refused(flow.Cast{By: w.by("lu"), Task: w.open("shen"), Verdict: flow.Approve, FormRev: 1}, flow.SameUnit)
	w.refused(flow.Transfer{By: w.by("shen"), Task: w.open("shen"), To: flow.Elector{Person: "he", Seat: "s"}}, flow.Interested)
}

func approved(t failer, def *flow.Definition) *world {
	w := newWorld(t, def, map[string][]string{"dept.head": {"he"}, "fed.chair": {"chen"}, "league.secretary": {"bai"}})
	w.out = flow.Due{At: epoch.Add(240 * time.Hour), Remind: []time.Time{epoch.Add(120 * time.Hour)}}
	w.submit("ling", plan)
	w.approve("he", "chen")
	w.expect(flow.Approved)
	return w
}

func deciders() *flow.Definition {
	def := definition(step("heads", "dept.head", reads("/plan")), step("chair", "fed.chair", reads("/date")))
	def.Policy.Stop = []string{"league.secretary"}
	return def
}

// A moved date asks whoever reads the date, and nobody else; what the others
// said is in the amendment, with where it comes from.
func TestAmendmentAsksOnlyWhoReadsWhatChanged(t *testing.T) {
	old := approved(t, deciders())
	w := newWorld(t, old.def, old.seats)
	w.do(flow.Submit{By: w.by("ling"), Form: form(t, 1, `{"plan":"A","date":"2026-12-08"}`), Base: flow.AmendBase("req_1", "abcd", old.st)})
	w.expect(flow.Open, "chair")
	if v := w.st.Vote("heads#1.1"); v == nil || !v.Carried() || v.CarriedFrom != "req_1/heads#1.1" || v.By.Person != "he" {
		t.Fatalf("%+v", v)
	}
	w.resubmit("ling", `{"plan":"B","date":"2026-12-08"}`)
	w.expect(flow.Open, "heads")
	w.approve("he", "chen")
	w.expect(flow.Approved)
	old.do(flow.Supersede{By: flow.Actor{Door: flow.System}, Request: "req_2"})
	old.expect(flow.Superseded)
	if old.st.By != "req_2" || len(old.do(flow.Supersede{Request: "req_2"})) != 0 {
		t.Fatalf("%+v", old.st)
	}
}

// A vote is not carried into an amendment in which its voter has decided a step
// that needs somebody else.
func TestAmendmentKeepsDutiesApart(t *testing.T) {
	w := newWorld(t, definition(step("one", "a", reads("/x")), step("two", "b", reads("/y"), apart("one"))), map[string][]string{"a": {"ann", "bob"}, "b": {"bob", "cho"}})
	w.submit("ling", `{"x":1,"y":1}`)
	w.approve("ann", "bob")
	w.expect(flow.Approved)
	base := flow.AmendBase("req", "head", w.st)
	w.st, w.events = flow.State{}, nil
	w.do(flow.Submit{By: w.by("ling"), Form: form(t, 1, `{"x":2,"y":1}`), Base: base})
	w.approve("bob")
	w.expect(flow.Open, "two")
	w.approve("cho")
	w.expect(flow.Approved)
}

func TestStoppedByThoseWhoDecidedAndThoseAbove(t *testing.T) {
	for _, who := range []string{"he", "bai"} {
		w := approved(t, deciders())
		w.refused(flow.Stop{By: w.by("zhao")}, flow.NotStoppable)
		w.refused(flow.Stop{By: w.by("ling")}, flow.NotStoppable)
		w.do(flow.Stop{By: w.by(who)})
		w.expect(flow.Stopped)
		w.refused(flow.Stop{By: w.by(who)}, flow.AlreadySettled)
	}
}

func TestCloseOutIsRemindedAndOwed(t *testing.T) {
	def := deciders()
	def.CloseOut = &flow.CloseOutRule{After: "/date", Due: flow.Span{N: 10, Unit: flow.WorkingDays}}
	w := approved(t, def)
	timers := w.st.Timers()
	if len(timers) != 2 {
		t.Fatalf("%+v", timers)
	}
	w.now = epoch.Add(240 * time.Hour)
	w.do(flow.Fire{Timer: timers[0]})
	w.do(flow.Fire{Timer: timers[1]})
	if !w.st.Owes() || len(w.st.Timers()) != 0 {
		t.Fatalf("%+v", w.st.CloseOut)
	}
	w.refused(flow.CloseOut{By: w.by("he"), Report: form(t, 1, `{}`)}, flow.NotRequester)
	w.do(flow.CloseOut{By: w.by("ling"), Report: form(t, 1, `{"people":80}`)})
	if w.st.Owes() || w.st.CloseOut.DoneAt.IsZero() {
		t.Fatalf("%+v", w.st.CloseOut)
	}
	plain := approved(t, deciders())
	plain.refused(flow.CloseOut{By: plain.by("ling"), Report: form(t, 1, `{}`)}, flow.NoCloseOut)
}

func TestApprovedRequestIsWithdrawnWithinItsDays(t *testing.T) {
	def := deciders()
	def.Policy.WithdrawDays = 3
	w := approved(t, def)
	w.now = epoch.Add(73 * time.Hour)
	w.refused(flow.Withdraw{By: w.by("ling")}, flow.AlreadySettled)
	w.now = epoch.Add(72 * time.Hour)
	w.do(flow.Withdraw{By: w.by("ling")})
	w.expect(flow.Withdrawn)
}

// Votes stay with their steps under the new names; a step that is gone is no
// longer asked, and one that is new is.
func TestMigratedRequestGoesOnInTheNewVersion(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.Any})
	w.submit("ling", plan)
	w.approve("he")
	next := definition(step("departments", "dept.head", reads("/plan")), step("vice", "fed.vice"), step("chair", "fed.chair"))
	next.Hash = "h2"
	from := w.def
	w.def = next
	w.do(flow.Migrate{By: w.by("admin"), From: from, Steps: map[string]string{"heads": "departments"}})
	w.expect(flow.Open, "vice")
	if v := w.st.Vote("heads#1.1"); v == nil || v.Step != "departments" || !v.Live {
		t.Fatalf("%+v", v)
	}
	w.approve("gu", "chen")
	w.expect(flow.Approved)
}

func TestFastestWayOut(t *testing.T) {
	w := office(t, flow.Rule{Kind: flow.Percent, Percent: flow.Ratio{Num: 1, Den: 2}})
	w.weight = map[string]int{"shen": 3}
	w.submit("ling", plan)
	q := flow.Explain(w.def, w.st, w.now).Parts[0]
	if len(q.Fastest) != 1 || q.Fastest[0].Elector.Person != "shen" || q.Lacking != 3 {
		t.Fatalf("%+v", q)
	}
}

// An approver who fills in what the step lets him edit signs what he filled
// in; a colleague who had read the field is asked again, the others are not.
func TestApproverEditsTheFieldsOfHisStep(t *testing.T) {
	def := definition(step("plan", "dept.head", reads("/plan")),
		step("money", "fed.chair", rule(flow.Rule{Kind: flow.All}), reads("/date", "/budget"), func(s *flow.Step) {
			s.Fields = []flow.FieldRight{{Field: "/budget", Right: flow.Require}, {Field: "/date", Right: flow.Read}}
		}))
	w := newWorld(t, def, map[string][]string{"dept.head": {"he"}, "fed.chair": {"chen", "gu"}})
	w.submit("ling", plan)
	w.approve("he")
	if d := w.refused(w.cast("chen", flow.Approve), flow.FieldRequired).Detail.(flow.Fields); !slices.Equal(d.Pointers, []string{"/budget"}) {
		t.Fatalf("%+v", d)
	}
	with := func(person, src string) flow.Cast {
		c, f := w.cast(person, flow.Approve), form(t, 2, src)
		f.Rev = w.st.Rev() + 1
		c.Edit = &f
		return c
	}
	w.refused(with("chen", `{"plan":"B","date":"2026-12-01","budget":1}`), flow.FieldFixed)
	w.do(with("chen", `{"plan":"A","date":"2026-12-01","budget":500}`))
	w.expect(flow.Open, "money")
	if v := w.st.Vote("plan#1.1"); !v.Live || v.Rev != 2 {
		t.Fatalf("%+v", v)
	}
	w.do(with("gu", `{"plan":"A","date":"2026-12-01","budget":400}`))
	if w.open("chen") == "" || w.open("gu") != "" {
		t.Fatalf("who had read the budget is not asked again: %+v", w.st.OpenTasks())
	}
	w.approve("chen")
	w.expect(flow.Approved)
}
