package flow_test

import (
	"slices"
	"testing"
	"time"

	"kelian/workflow/flow"
)

// sponsor has a par in the middle, as the sponsorship definition does.
func sponsor(t failer) *world {
	return newWorld(t, definition(
		step("screen", "liaison.head", reads("/company")),
		par(step("returns", "publicity.head", reads("/returns"), targets(flow.Start, "screen")),
			step("money", "office.head", reads("/amount"), targets(flow.Start, "screen")),
			step("legal", "supervision.head", rule(flow.Rule{Kind: flow.All, Veto: true}))),
		step("chair", "fed.chair", apart("screen", "money"), targets(flow.Start, "screen", "money")),
	), map[string][]string{"liaison.head": {"shen"}, "publicity.head": {"pan"}, "office.head": {"he"},
		"supervision.head": {"lu"}, "fed.chair": {"chen"}})
}

const offer = `{"company":"A","returns":["logo"],"amount":100}`

func TestParAsksAllAtOnceInAnyOrder(t *testing.T) {
	w := sponsor(t)
	w.submit("ling", offer)
	w.approve("shen")
	w.expect(flow.Open, "returns", "money", "legal")
	w.approve("lu", "pan")
	w.expect(flow.Open, "money")
	w.approve("he")
	w.expect(flow.Open, "chair")
	w.approve("chen")
	w.expect(flow.Approved)
}

// Two people who look at the same revision both succeed: the fence is the
// form, not the request.
func TestSimultaneousApprovalsBothSucceed(t *testing.T) {
	w := sponsor(t)
	w.submit("ling", offer)
	w.approve("shen")
	a, b := w.cast("pan", flow.Approve), w.cast("he", flow.Approve)
	w.do(a)
	w.do(b)
	w.expect(flow.Open, "legal")
}

func TestSecondDecisionSaysWhoAndWhen(t *testing.T) {
	def := definition(step("check", "supervision.member"), step("head", "supervision.head"))
	w := newWorld(t, def, map[string][]string{"supervision.member": {"a", "b"}, "supervision.head": {"lu"}})
	w.submit("ling", offer)
	late := w.cast("b", flow.Reject)
	w.approve("a")
	w.now = w.now.Add(time.Hour)
	d := w.refused(late, flow.AlreadySettled).Detail.(flow.Settled)
	if d.By != "a" || !d.At.Equal(epoch) {
		t.Fatalf("%+v", d)
	}
}

func TestRejectionEndsEverything(t *testing.T) {
	w := sponsor(t)
	w.submit("ling", offer)
	w.approve("shen")
	w.do(w.cast("lu", flow.Reject))
	w.expect(flow.Rejected)
	w.refused(flow.Withdraw{By: w.by("ling")}, flow.AlreadySettled)
	w.refused(flow.Cast{By: w.by("he"), Task: "money#1.1", Verdict: flow.Approve, FormRev: 1}, flow.AlreadySettled)
	if len(count[flow.Closed](w.events)[0].Effects) != 0 {
		t.Fatal("a rejected request has effects")
	}
}

func TestSendBackFromParKeepsTheOthersVotes(t *testing.T) {
	w := sponsor(t)
	w.submit("ling", offer)
	w.approve("shen", "pan")
	w.do(w.back("he", flow.Start, flow.ReturnToMe))
	w.expect(flow.Returned)
	w.resubmit("ling", `{"company":"A","returns":["logo"],"amount":90}`)
	w.expect(flow.Open, "money", "legal") // pan read only the returns
	w.approve("he", "lu", "chen")
	w.expect(flow.Approved)
}

func TestSendBackToAnEarlierStep(t *testing.T) {
	for _, mode := range []flow.Mode{flow.ReturnToMe, flow.Redo} {
		w := sponsor(t)
		w.submit("ling", offer)
		w.approve("shen", "pan", "he", "lu")
		w.do(w.back("chen", "screen", mode))
		w.expect(flow.Open, "screen")
		w.approve("shen")
		if mode == flow.Redo {
			w.expect(flow.Open, "returns", "money", "legal")
			w.approve("pan", "he", "lu")
		}
		w.expect(flow.Open, "chair")
		w.approve("chen")
		w.expect(flow.Approved)
	}
}

func TestSendBackIsHeldToItsTargets(t *testing.T) {
	w := sponsor(t)
	w.submit("ling", offer)
	d := w.refused(w.back("shen", "chair", ""), flow.BadTarget).Detail.(flow.Targets)
	if !slices.Equal(d.Steps, []string{flow.Start}) {
		t.Fatalf("%+v", d)
	}
	w.approve("shen")
	w.refused(w.back("lu", "screen", ""), flow.BadTarget) // legal may only return it to the requester
	w.def.Policy.MaxSendBack = 1
	w.do(w.back("he", "screen", ""))
	w.refused(w.back("shen", flow.Start, ""), flow.TooManyReturns)
}

func TestEditWhileOpenDropsOnlyVotesThatReadIt(t *testing.T) {
	w := sponsor(t)
	w.submit("ling", offer)
	w.approve("shen", "pan", "he")
	stale := w.cast("lu", flow.Approve)
	w.resubmit("ling", `{"company":"A","returns":["logo"],"amount":80}`)
	w.expect(flow.Open, "legal", "money")
	d := w.refused(stale, flow.StaleForm).Detail.(flow.Stale)
	if !slices.Equal(d.Changes, []string{"/amount"}) {
		t.Fatalf("%+v", d)
	}
	w.refused(flow.Resubmit{By: w.by("ling"), Form: form(t, 2, offer)}, flow.StaleForm)
	w.refused(flow.Resubmit{By: w.by("shen"), Form: form(t, 3, offer)}, flow.NotRequester)
	w.resubmit("ling", `{"company":"B","returns":["logo"],"amount":80}`)
	w.expect(flow.Open, "screen") // the par waits until the company is screened again
	w.approve("shen")
	w.expect(flow.Open, "money", "legal")
}

func TestDistinctPersonsAreAskedAndTold(t *testing.T) {
	w := sponsor(t)
	w.seats["fed.chair"] = []string{"he", "chen"}
	w.submit("ling", offer)
	w.approve("shen", "pan", "he", "lu")
	if w.open("he") != "" {
		t.Fatal("he, who judged the money, is asked as chair")
	}
	d := w.refused(flow.Cast{By: w.by("he"), Task: w.open("chen"), Verdict: flow.Approve, FormRev: 1}, flow.NotDistinct).Detail.(flow.Conflict)
	if d.Step != "money" || len(d.Who) != 1 || d.Who[0].Person != "chen" {
		t.Fatalf("%+v", d)
	}
}

// Where all who could be asked may have decided what others have to decide, the
// forecast names who is asked in their place.
func TestForecastNamesWhoStandsInForThoseKeptOut(t *testing.T) {
	def := definition(step("money", "office.head"), step("chair", "fed.chair", apart("money")))
	def.Policy.Empty = "fed.vice"
	w := newWorld(t, def, map[string][]string{"office.head": {"he", "chen"}, "fed.chair": {"he"}, "fed.vice": {"gu"}})
	steps, err := flow.Forecast(def, "ling", w.facts())
	if err != nil || len(steps[0].Otherwise) != 0 || len(steps[1].Otherwise) != 1 || steps[1].Otherwise[0].Person != "gu" {
		t.Fatalf("%+v %v", steps, err)
	}
	w.submit("ling", offer)
	w.approve("he", "gu")
	w.expect(flow.Approved)
}

// Distinct steps that are open at the same time are told apart when the first
// vote falls, and Explain shows whose answer can no longer count.
func TestDistinctInParallel(t *testing.T) {
	w := newWorld(t, definition(par(step("a", "x"), step("b", "y", apart("a")))),
		map[string][]string{"x": {"p"}, "y": {"p", "q"}})
	w.submit("ling", offer)
	tasks := w.st.OpenTasks()
	w.do(flow.Cast{By: w.by("p"), Task: tasks[0].ID, Verdict: flow.Approve, FormRev: 1})
	w.refused(flow.Cast{By: w.by("p"), Task: tasks[1].ID, Verdict: flow.Approve, FormRev: 1}, flow.NotDistinct)
	b := flow.Explain(w.def, w.st, w.now).Parts[0].Parts[1]
	if b.Progress != flow.ProgWaiting || b.Waiting[0].Blocked != flow.NotDistinct || b.Waiting[1].Blocked != "" {
		t.Fatalf("%+v", b)
	}
	w.approve("q")
	w.expect(flow.Approved)
}

func TestDelegationBindsBothPeople(t *testing.T) {
	w := newWorld(t, definition(step("a", "x"), step("b", "y", apart("a"))), map[string][]string{"x": {"p"}, "y": {"q"}})
	w.submit("ling", offer)
	facts := w.facts()
	facts.Electors["b"] = []flow.Elector{{Person: "deputy", For: "p", Seat: "y"}, {Person: "q", For: "ling", Seat: "y"}, {Person: "r", Seat: "y"}}
	events, err := flow.Decide(w.def, w.st, w.cast("p", flow.Approve), facts)
	if err != nil {
		t.Fatal(err)
	}
	b := count[flow.StepOpened](events)[0]
	if len(b.Tasks) != 1 || b.Tasks[0].Elector.Person != "r" || b.Excluded[0].Why != flow.NotDistinct || b.Excluded[1].Why != flow.SelfApproval {
		t.Fatalf("%+v", b)
	}
}

func TestNobodyToAskIsSaidBeforeSubmitting(t *testing.T) {
	w := sponsor(t)
	w.seats["liaison.head"] = []string{"ling"} // the requester himself
	d := w.refused(flow.Submit{By: w.by("ling"), Form: form(t, 1, offer)}, flow.NobodyToAsk).Detail.(flow.Vacant)
	if d.Step != "screen" || d.Ask[0] != "liaison.head" {
		t.Fatalf("%+v", d)
	}
	w.def.Policy.Empty = "fed.vice"
	w.seats["fed.vice"] = []string{"gu"}
	w.submit("ling", offer)
	if w.open("gu") == "" || !count[flow.StepOpened](w.events)[0].Fallback {
		t.Fatal("the fallback seat is not asked")
	}
}

func TestVacantSeatBlocksAndRefreshUnblocks(t *testing.T) {
	w := sponsor(t)
	w.seats["fed.chair"] = nil
	w.submit("ling", offer)
	w.approve("shen", "pan", "he", "lu")
	w.expect(flow.Open)
	if p := flow.Explain(w.def, w.st, w.now).Progress; p != flow.ProgStuck {
		t.Fatalf("a request nobody can decide is %s", p)
	}
	w.seats["fed.chair"] = []string{"chen"}
	w.do(flow.Refresh{By: flow.Actor{Door: flow.System}})
	w.expect(flow.Open, "chair")
	w.seats["fed.chair"] = []string{"successor"} // 换届
	w.do(flow.Refresh{By: flow.Actor{Door: flow.System}})
	if w.open("chen") != "" || w.open("successor") == "" {
		t.Fatal("the task did not move with the seat")
	}
	if again := w.do(flow.Refresh{By: flow.Actor{Door: flow.System}}); len(again) != 0 {
		t.Fatalf("a second refresh did %+v", again)
	}
	w.approve("successor")
	w.expect(flow.Approved)
}

// A seat that falls vacant must not make "all" easier.
func TestVacancyDoesNotLowerTheThreshold(t *testing.T) {
	w := newWorld(t, definition(step("a", "x", rule(flow.Rule{Kind: flow.All}), func(s *flow.Step) { s.Ask = []string{"x", "y"} })),
		map[string][]string{"x": {"p"}, "y": {"q"}})
	w.submit("ling", offer)
	w.approve("p")
	w.seats["y"] = nil
	w.do(flow.Refresh{By: flow.Actor{Door: flow.System}})
	w.expect(flow.Open, "a")
}

func TestDoors(t *testing.T) {
	w := sponsor(t)
	s := w.def.Step("screen")
	w.submit("ling", offer)
	cast := w.cast("shen", flow.Approve)
	cast.By.Door = flow.Link
	w.refused(cast, flow.DoorClosed)
	s.Link, s.Strong = true, true
	w.refused(cast, flow.NeedsProof)
	paper := cast
	paper.By.Door, paper.By.Recorder = flow.Paper, "he"
	w.refused(paper, flow.DoorClosed)
	s.Paper = true
	for _, rec := range []string{"", "ling", "shen"} {
		paper.By.Recorder = rec
		w.refused(paper, flow.DoorClosed)
	}
	paper.By.Recorder = "he"
	w.do(paper)
	if v := w.st.Vote("screen#1.1"); v.By.Recorder != "he" || v.By.Person != "shen" || v.By.Seat != "liaison.head" {
		t.Fatalf("%+v", v)
	}
}

func TestDedupe(t *testing.T) {
	seats := map[string][]string{"x": {"p"}, "y": {"q"}, "z": {"p"}}
	for mode, want := range map[flow.Dedupe][]string{
		flow.DedupeOff: {"c"}, flow.DedupeConsecutive: {"c"}, flow.DedupeAnywhere: {},
	} {
		w := newWorld(t, definition(step("a", "x"), step("b", "y"), step("c", "z")), seats)
		w.def.Policy.Dedupe = mode
		w.submit("ling", offer)
		w.approve("p", "q")
		if got := w.waiting(); !slices.Equal(got, want) {
			t.Fatalf("%s waits for %v", mode, got)
		}
	}
	w := newWorld(t, definition(step("a", "x", reads("/company")), step("c", "z", reads("/company", "/amount"))), seats)
	w.def.Policy.Dedupe = flow.DedupeAnywhere
	w.submit("ling", offer)
	w.approve("p")
	w.expect(flow.Open, "c") // p has not read the amount yet

	w = newWorld(t, definition(step("a", "x"), step("c", "z", reads("/amount"))), seats)
	w.def.Policy.Dedupe = flow.DedupeConsecutive
	w.submit("ling", offer)
	w.approve("p")
	w.expect(flow.Approved)
	if v := w.st.Vote("c#1.1"); v.CarriedFrom != "a#1.1" || !v.Carried() {
		t.Fatalf("%+v", v)
	}
}

func TestAbstention(t *testing.T) {
	w := newWorld(t, definition(step("a", "x", rule(flow.Rule{Kind: flow.All, Abstain: true})), step("b", "y")),
		map[string][]string{"x": {"p", "q"}, "y": {"r"}})
	w.submit("ling", offer)
	w.do(w.cast("p", flow.Abstain))
	w.refused(w.cast("q", flow.Abstain), flow.LastVote)
	w.approve("q")
	w.refused(w.cast("r", flow.Abstain), flow.NoAbstain)
}

func TestWithdrawAndResubmitStates(t *testing.T) {
	w := sponsor(t)
	w.refused(flow.Withdraw{By: w.by("ling")}, flow.WrongState)
	w.submit("ling", offer)
	w.refused(flow.Submit{By: w.by("ling"), Form: form(t, 1, offer)}, flow.WrongState)
	w.refused(flow.Withdraw{By: w.by("shen")}, flow.NotRequester)
	w.refused(flow.Cast{By: w.by("shen"), Task: "nope", Verdict: flow.Approve, FormRev: 1}, flow.NoSuchTask)
	w.do(flow.Comment{By: w.by("shen"), Note: flow.Note{Ref: "n1", MAC: "m"}})
	w.do(flow.Withdraw{By: w.by("ling")})
	w.expect(flow.Withdrawn)
	w.refused(flow.Resubmit{By: w.by("ling"), Form: form(t, 2, offer)}, flow.AlreadySettled)
}

func TestPinnedVersion(t *testing.T) {
	w := sponsor(t)
	w.submit("ling", offer)
	other := *w.def
	other.Hash = "another"
	if _, err := flow.Decide(&other, w.st, w.cast("shen", flow.Approve), w.facts()); err == nil {
		t.Fatal("a request was decided under another version of its definition")
	}
	facts := w.facts()
	delete(facts.Electors, "money")
	if _, err := flow.Decide(w.def, w.st, w.cast("shen", flow.Approve), facts); err == nil {
		t.Fatal("missing facts were taken for a vacant seat")
	}
}
