package workflow_test

import (
	"slices"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// An activity that is not decided by its day is closed; those concerned are
// told, and nobody decides about it any more.
func TestAnActivityExpiresOnItsDay(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := fullFed(t, db)
		req := f.submit("ayinuer", "supervision.activity", "society.robotics", open15)
		first := f.task("han", req)
		day := time.Date(2026, 11, 15, 1, 0, 0, 0, time.UTC)
		f.clock.Advance(day.Add(-time.Minute).Sub(f.clock.Now()))
		f.rings()
		f.status(req, flow.Open)
		f.clock.Advance(time.Minute)
		f.rings()
		f.status(req, flow.Expired)
		f.sound(req)
		if n := len(f.events(workflow.TopicExpired, req)); n == 0 {
			t.Error("nobody who was asked is told")
		}
		f.idle("han", req)
		_, err := f.svc.Decide(bg, by("han"), workflow.DecideInput{Task: first.Task, Verdict: workflow.Approve, FormRev: first.FormRev, IdempotencyKey: f.key()})
		if !fault.IsRule(err, "ALREADY_SETTLED") {
			t.Errorf("somebody decides after its day: %v", err)
		}
	})
}

// panel brings a project before its judges.
func (f *fed) panel(t *testing.T) (*workflow.Definition, id.ID) {
	d := builtin(t, "activity.research")
	req := f.submit("csmember", "activity.research", "college.cs", project)
	for range 5 {
		w := f.waiting(d, req)[0]
		if w.Step == "panel" {
			return d, req
		}
		f.approve(req, nameOf[w.Person])
	}
	f.t.Fatal("the project does not come before its judges")
	return nil, id.Nil
}

func (f *fed) points(who string, request id.ID, points int) error {
	x := f.task(who, request)
	_, err := f.svc.Decide(bg, by(who), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: x.FormRev, Score: &points, IdempotencyKey: f.key()})
	return err
}

func (f *fed) judges(d *workflow.Definition, request id.ID) (names []string) {
	for _, w := range f.waiting(d, request) {
		names = append(names, nameOf[w.Person])
	}
	slices.Sort(names)
	return names
}

// The judges' mean counts beside their votes, and what each gave is shown.
func TestTheMeanOfTheJudgesDecidesAProject(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := fullFed(t, db)
		d, req := f.panel(t)
		judges := f.judges(d, req)
		x := f.task(judges[0], req)
		_, err := f.svc.Decide(bg, by(judges[0]), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: x.FormRev, IdempotencyKey: f.key()})
		if !fault.IsRule(err, "SCORE_NEEDED") {
			t.Fatalf("a judge gives no points: %v", err)
		}
		for _, j := range judges[:3] { // three approve, with a mean that the others can still lift
			if err := f.points(j, req, 60); err != nil {
				t.Fatal(err)
			}
		}
		f.status(req, flow.Open)
		if err := f.points(judges[3], req, 90); err != nil {
			t.Fatal(err)
		}
		f.status(req, flow.Rejected) // 270, and at most 370 of the 375 that five need
		f.sound(req)
	})
}

// A judge who is silent gives place to the next of the lot.
func TestASilentJudgeIsReplaced(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := fullFed(t, db)
		d, req := f.panel(t)
		before := f.judges(d, req)
		f.clock.Advance(8 * 24 * time.Hour)
		f.rings()
		after := f.judges(d, req)
		if len(after) != len(before) || slices.Equal(before, after) {
			t.Fatalf("asked were %v, then %v", before, after)
		}
		for _, j := range after {
			if err := f.points(j, req, 80); err != nil && len(f.judges(d, req)) > 0 && f.waiting(d, req)[0].Step == "panel" {
				t.Fatal(err)
			}
			if f.waiting(d, req)[0].Step != "panel" {
				break
			}
		}
		if got := f.waiting(d, req)[0].Step; got != "chair" {
			t.Fatalf("it waits at %s", got)
		}
		f.sound(req)
	})
}

// A federation that begins with the template has every seat that the built-in
// workflows ask by name.
func TestTheTemplateHasTheSeatsOfTheDefinitions(t *testing.T) {
	seats := map[string]bool{}
	for _, u := range org.Template() {
		for _, s := range u.Seats {
			seats[u.Code+"."+string(s.Role)] = true
		}
	}
	all, err := workflow.Builtin(known)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		for src, e := range d.Seats {
			name := ""
			switch {
			case e.Kind == workflow.SeatOutside:
				name = "outside." + e.Role + ".head"
			case e.Kind == workflow.SeatRole && e.Unit.Kind == workflow.UnitFixed:
				name = e.Unit.Code + "." + e.Role
			}
			if name != "" && !seats[name] {
				t.Errorf("%s asks %s, and no unit of the template has %s", d.Flow.Key, src, name)
			}
		}
	}
}
