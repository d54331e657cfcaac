package flow_test

import (
	"slices"
	"testing"
	"time"

	"kelian/workflow/flow"
)

// spelled says who has which part: "step:person".
func spelled(list []flow.Share) []string {
	out := []string{}
	for _, x := range list {
		out = append(out, x.Step+":"+x.Elector.Person)
	}
	return out
}

// migrated moves the world's request to the next version and gives what the
// preview said before.
func (w *world) migrated(next *flow.Definition, steps map[string]string) flow.Migration {
	w.t.Helper()
	cmd := flow.Migrate{By: w.by("admin"), From: w.def, Steps: steps}
	next.Hash, w.def = w.def.Hash+"'", next
	said, err := flow.Preview(next, w.st, cmd, w.facts())
	if err != nil {
		w.t.Fatalf("preview: %v", err)
	}
	w.do(cmd)
	return said
}

func expectShares(t *testing.T, what string, got []flow.Share, want ...string) {
	t.Helper()
	if s := spelled(got); !slices.Equal(s, append([]string{}, want...)) {
		t.Errorf("%s: %v, want %v", what, s, want)
	}
}

func three(t *testing.T) *world {
	def := definition(step("heads", "dept.head", reads("/plan"), rule(flow.Rule{Kind: flow.Any})), step("vice", "fed.vice", reads("/plan")), step("chair", "fed.chair"))
	w := newWorld(t, def, map[string][]string{"dept.head": {"he"}, "fed.vice": {"gu"}, "fed.chair": {"chen"}, "league": {"liu"}, "two": {"he", "shen"}})
	w.submit("ling", plan)
	return w
}

// A step that asks the same stays; votes and open tasks are not touched, and
// nobody is asked again.
func TestMigrationLeavesWhatIsTheSame(t *testing.T) {
	w := three(t)
	w.approve("he")
	task := w.open("gu")
	said := w.migrated(definition(step("heads", "dept.head", reads("/plan")), step("second", "fed.vice", reads("/plan")), step("chair", "league")), map[string]string{"vice": "second"})
	w.expect(flow.Open, "second")
	if w.open("gu") != task || !slices.Equal(said.Was, []string{"vice"}) || !slices.Equal(said.Is, []string{"second"}) {
		t.Errorf("the open task is another one: %s, %+v", w.open("gu"), said)
	}
	expectShares(t, "carried", said.Carried, "heads:he")
	expectShares(t, "asked", said.Asked)
	expectShares(t, "released", said.Released)
	w.approve("gu", "liu")
	w.expect(flow.Approved)
}

// A passed step whose threshold rose asks those who are missing; who approved
// what it reads still counts.
func TestMigrationAsksWhoIsMissing(t *testing.T) {
	w := three(t)
	w.approve("he")
	said := w.migrated(definition(step("heads", "two", reads("/plan"), rule(flow.Rule{Kind: flow.All})), step("vice", "fed.vice", reads("/plan")), step("chair", "fed.chair")), nil)
	w.expect(flow.Open, "heads")
	expectShares(t, "carried", said.Carried)
	expectShares(t, "asked", said.Asked, "heads:shen")
	expectShares(t, "again", said.Again, "heads:he") // of another seat now: the vote was under the old one
	expectShares(t, "released", said.Released, "vice:gu")

	w = three(t)
	w.seats["dept.head"] = []string{"he", "shen"}
	w.submit2()
	w.approve("he")
	said = w.migrated(definition(step("heads", "dept.head", reads("/plan"), rule(flow.Rule{Kind: flow.All})), step("vice", "fed.vice", reads("/plan")), step("chair", "fed.chair")), nil)
	w.expect(flow.Open, "heads")
	expectShares(t, "carried", said.Carried, "heads:he")
	expectShares(t, "asked", said.Asked, "heads:shen")
	w.approve("shen", "gu", "chen")
	w.expect(flow.Approved)
}

// submit2 begins again, with the directory as it is now.
func (w *world) submit2() {
	w.t.Helper()
	w.st, w.events = flow.State{}, nil
	w.submit("ling", plan)
}

// A vote signs what it read: a step that reads more now asks again, one that
// reads less does not.
func TestMigrationCarriesVotesThatHadReadEnough(t *testing.T) {
	for _, c := range []struct {
		reads   []string
		carried bool
	}{{[]string{"/plan", "/date"}, false}, {nil, false}, {[]string{"/date"}, false}, {[]string{"/plan"}, true}} {
		w := three(t)
		w.approve("he")
		said := w.migrated(definition(step("heads", "dept.head", reads(c.reads...)), step("vice", "fed.vice", reads("/plan")), step("chair", "fed.chair")), nil)
		if c.carried {
			w.expect(flow.Open, "vice")
			expectShares(t, "carried", said.Carried, "heads:he")
			continue
		}
		w.expect(flow.Open, "heads")
		expectShares(t, "again", said.Again, "heads:he")
		if v := w.st.Vote("heads#1.1"); v.Live || v.Why != flow.WhyMigrated {
			t.Errorf("%v: %+v", c.reads, v)
		}
	}
	wide := definition(step("heads", "dept.head"), step("chair", "fed.chair"))
	w := newWorld(t, wide, map[string][]string{"dept.head": {"he"}, "fed.chair": {"chen"}})
	w.submit("ling", plan)
	w.approve("he")
	w.migrated(definition(step("heads", "dept.head", reads("/plan")), step("chair", "fed.chair")), nil)
	w.expect(flow.Open, "chair") // who read everything has read the plan
	if v := w.st.Votes[len(w.st.Votes)-1]; v.CarriedFrom != "heads#1.1" || v.Read != flow.ReadDigest([]string{"/plan"}, w.st.Form()) {
		t.Errorf("%+v", v)
	}
}

// The new version keeps people apart whom the old one did not.
func TestMigrationKeepsDutiesApart(t *testing.T) {
	w := newWorld(t, definition(step("a", "s"), step("b", "s"), step("c", "t")), map[string][]string{"s": {"he"}, "t": {"gu"}, "u": {"chen"}})
	w.submit("ling", plan)
	w.approve("he", "he")
	w.seats["s"] = []string{"he", "shen"}
	said := w.migrated(definition(step("a", "s"), step("b", "s", apart("a")), step("c", "t")), nil)
	w.expect(flow.Open, "b")
	expectShares(t, "carried", said.Carried, "a:he")
	expectShares(t, "asked", said.Asked, "b:shen")
	expectShares(t, "lost", said.Lost, "b:he")
}

func TestMigrationNeedsAPlanForTheStepThatIsOpen(t *testing.T) {
	w := three(t)
	next := definition(step("vice", "fed.vice", reads("/plan")), step("chair", "fed.chair"))
	next.Hash = "h2"
	from := w.def
	w.def = next
	cmd := flow.Migrate{By: w.by("admin"), From: from}
	if d := w.refused(cmd, flow.StepUnmapped).Detail.(flow.Unmapped); !slices.Equal(d.Steps, []string{"heads"}) {
		t.Errorf("%+v", d)
	}
	cmd.Steps = map[string]string{"heads": "vice"}
	if d := w.refused(cmd, flow.StepTwice).Detail.(flow.Unmapped); !slices.Equal(d.Steps, []string{"heads", "vice"}) {
		t.Errorf("%+v", d)
	}
	cmd.Steps = map[string]string{"heads": ""}
	w.do(cmd)
	w.expect(flow.Open, "vice")
	w.refused(flow.Cast{By: w.by("he"), Task: "heads#1.1", Verdict: flow.Approve, FormRev: 1}, flow.AlreadySettled)

	w = three(t)
	w.seats["empty"] = nil
	from, w.def = w.def, definition(step("heads", "empty"), step("vice", "fed.vice"))
	w.def.Hash = "h2"
	if d := w.refused(flow.Migrate{By: w.by("admin"), From: from}, flow.NobodyToAsk).Detail.(flow.Vacant); d.Step != "heads" {
		t.Errorf("%+v", d)
	}
}

// A name that means another step in the new version begins from nothing, and a
// later version can take the old name up again.
func TestMigrationTellsStepsOfOneNameApart(t *testing.T) {
	w := three(t)
	w.approve("he")
	w.migrated(definition(step("heads", "league"), step("vice", "fed.vice", reads("/plan")), step("chair", "fed.chair")), map[string]string{"heads": ""})
	w.expect(flow.Open, "heads")
	w.approve("liu")
	w.expect(flow.Open, "vice")
	w.migrated(definition(step("vice", "fed.vice", reads("/plan")), step("chair", "fed.chair")), nil)
	w.migrated(definition(step("heads", "league"), step("vice", "fed.vice", reads("/plan")), step("chair", "fed.chair")), nil)
	w.expect(flow.Open, "heads")
}

// What has nothing left to ask is approved at once; the preview says so.
func TestMigrationCanApprove(t *testing.T) {
	w := three(t)
	w.approve("he", "gu")
	if said := w.migrated(definition(step("heads", "dept.head", reads("/plan")), step("vice", "fed.vice", reads("/plan"))), map[string]string{"chair": ""}); said.Status != flow.Approved {
		t.Errorf("%+v", said)
	}
	w.expect(flow.Approved)
}

// An open step whose time is reckoned otherwise begins anew, with its timers.
func TestMigrationReckonsTheTimeOfAnOpenStepAnew(t *testing.T) {
	late := func(n int, then flow.Then) *flow.Definition {
		return definition(step("heads", "dept.head", func(s *flow.Step) {
			s.Due, s.OnDue = flow.Span{N: n, Unit: flow.WorkingDays}, flow.OnDue{Then: then, Escalate: "fed.chair"}
		}))
	}
	w := newWorld(t, late(2, flow.ThenEscalate), map[string][]string{"dept.head": {"he"}, "fed.chair": {"chen"}})
	w.due["heads"] = flow.Due{At: epoch.Add(48 * time.Hour)}
	w.submit("ling", plan)
	w.due["heads"] = flow.Due{At: epoch.Add(96 * time.Hour)}
	said := w.migrated(late(4, flow.ThenRemind), nil)
	expectShares(t, "asked", said.Asked) // he was asked before
	timers := w.st.Timers()
	if len(timers) != 1 || !timers[0].At.Equal(epoch.Add(96*time.Hour)) || timers[0].Round != 2 {
		t.Errorf("%+v", timers)
	}
}

// An amendment carries a step over only as far as the new version asks it so.
func TestMigratedAmendmentAsksWhatChanged(t *testing.T) {
	w := three(t)
	w.approve("he", "gu", "chen")
	base := flow.AmendBase("req", "head", w.st)
	w.st, w.events = flow.State{}, nil
	w.do(flow.Submit{By: w.by("ling"), Form: form(t, 1, `{"plan":"B","date":"2026-12-01"}`), Base: base})
	w.expect(flow.Open, "heads")
	if len(w.st.Amends.Steps) != 3 {
		t.Fatalf("%+v", w.st.Amends)
	}
	w.migrated(definition(step("heads", "dept.head", reads("/plan")), step("second", "fed.vice", reads("/plan")), step("chair", "league")), map[string]string{"vice": "second"})
	if b := w.st.Amends.Steps; len(b) != 2 || b[1].Step != "second" {
		t.Errorf("%+v", b)
	}
}

// The day after which an approval is of no use is that of the version that the
// request has moved to.
func TestMigrationTakesTheExpiryOfTheNewVersion(t *testing.T) {
	w := three(t)
	w.expires = w.now.AddDate(0, 0, 9)
	next := definition(step("heads", "dept.head", reads("/plan"), rule(flow.Rule{Kind: flow.Any})), step("vice", "fed.vice", reads("/plan")), step("chair", "fed.chair"))
	w.migrated(next, nil)
	if !w.st.ExpiresAt.Equal(w.expires) {
		t.Fatalf("it expires at %v", w.st.ExpiresAt)
	}
	w.expires = time.Time{}
	again := *next
	w.migrated(&again, nil)
	if !w.st.ExpiresAt.IsZero() {
		t.Fatalf("it still expires at %v", w.st.ExpiresAt)
	}
}
