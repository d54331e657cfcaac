package flow_test

import (
	"slices"
	"testing"
	"time"

	"kelian/workflow/flow"
)

// panel is one step of three judges drawn from five, who give points.
func panel(t failer) *world {
	d := definition(step("panel", "judges", rule(flow.Rule{Kind: flow.KOfN, K: 2, Score: 100, Mean: 75}), func(s *flow.Step) {
		s.Draw, s.Due, s.OnDue = 3, flow.Span{N: 2, Unit: flow.WorkingDays}, flow.OnDue{Then: flow.ThenReplace}
	}), step("chair", "fed.chair"))
	w := newWorld(t, d, map[string][]string{"judges": {"an", "bo", "ci", "di", "er"}, "fed.chair": {"chen"}})
	w.due["panel"] = flow.Due{At: w.now.Add(48 * time.Hour)}
	return w
}

func asked(w *world, step string) (out []string) {
	for _, x := range w.st.OpenTasks() {
		if x.Step == step {
			out = append(out, x.Elector.Person)
		}
	}
	slices.Sort(out)
	return out
}

// score casts with points.
func score(w *world, by string, v flow.Verdict, points int) flow.Cast {
	c := w.cast(by, v)
	c.Score = &points
	return c
}

func TestTheNextOfTheLotTakesASilentJudgesPlace(t *testing.T) {
	w := panel(t)
	w.submit("ling", plan)
	ss := w.st.Step("panel")
	lot := flow.Draw(ss.Drawn.Seed, []string{"an", "bo", "ci", "di", "er"})
	w.do(score(w, lot[0], flow.Approve, 90))
	first := ss.Due.At
	w.now, w.due["panel"] = first, flow.Due{At: first.Add(48 * time.Hour)}
	w.do(flow.Fire{Timer: flow.Timer{Step: "panel", Round: 1, At: first}})
	want := []string{lot[3], lot[4]}
	slices.Sort(want)
	if got := asked(w, "panel"); !slices.Equal(got, want) {
		t.Fatalf("asked %v, want %v of the lot %v", got, want, lot)
	}
	if ss := w.st.Step("panel"); !ss.Due.At.After(first) || ss.Overdue {
		t.Fatalf("they have no time of their own: %+v", ss.Due)
	}
	// Nobody is left: those who were asked last stay asked.
	w.now = w.st.Step("panel").Due.At
	w.do(flow.Fire{Timer: flow.Timer{Step: "panel", Round: 1, At: w.now}})
	if got := asked(w, "panel"); !slices.Equal(got, want) {
		t.Fatalf("asked %v", got)
	}
	w.do(score(w, lot[3], flow.Approve, 70))
	w.expect(flow.Open, "panel") // the third might still pull the mean down
	w.do(score(w, lot[4], flow.Reject, 65))
	w.expect(flow.Open, "chair")
}

func TestAMeanThatIsMissedFails(t *testing.T) {
	w := panel(t)
	w.submit("ling", plan)
	judges := asked(w, "panel")
	w.refused(w.cast(judges[0], flow.Approve), flow.ScoreNeeded)
	w.refused(score(w, judges[0], flow.Approve, 101), flow.ScoreNeeded)
	w.refused(score(w, judges[0], flow.Reject, -1), flow.ScoreNeeded)
	w.do(score(w, judges[0], flow.Approve, 60))
	w.expect(flow.Open, "panel")
	w.do(score(w, judges[1], flow.Approve, 64))
	w.expect(flow.Rejected) // 60 + 64 + 100 is less than 225
}

func TestARequestExpiresOnItsDay(t *testing.T) {
	for _, returned := range []bool{false, true} {
		w := office(t, flow.Rule{Kind: flow.All})
		w.expires = w.now.Add(48 * time.Hour)
		w.submit("ling", plan)
		if returned {
			w.do(flow.SendBack{By: w.by("he"), Task: w.open("he"), To: flow.Start, FormRev: 1})
		}
		day := flow.Timer{Step: flow.ExpiryTimer, At: w.expires}
		if !slices.Contains(w.st.Timers(), day) {
			t.Fatalf("the day is not armed: %+v", w.st.Timers())
		}
		w.do(flow.Fire{Timer: day}) // early
		if w.st.Status.Final() {
			t.Fatal("it expired before its day")
		}
		w.now = w.expires
		w.do(flow.Fire{Timer: day})
		if w.st.Status != flow.Expired || len(w.st.OpenTasks()) > 0 || len(w.st.Timers()) > 0 {
			t.Fatalf("%s %v %v", w.st.Status, w.st.OpenTasks(), w.st.Timers())
		}
	}
}
