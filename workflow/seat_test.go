package workflow_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// refresh asks the open requests, which are n, anew.
func (f *fed) refresh(n int) {
	f.t.Helper()
	outbox.Route(workflow.TopicRefresh, "workflow")
	f.inTx(func(ctx context.Context, tx *store.Tx) error {
		got, err := f.svc.RefreshOpen(ctx, tx)
		if got != n {
			f.t.Errorf("%d requests are open, want %d", got, n)
		}
		return err
	})
	rows, err := outbox.Claim(context.Background(), f.db, outbox.QueueDefault, f.clock.Now())
	if err != nil || len(rows) != n {
		f.t.Fatalf("%d rows are due, want %d: %v", len(rows), n, err)
	}
	for _, r := range rows {
		d, err := outbox.Load(context.Background(), f.db, r.ID, r.Attempt)
		if err == nil {
			err = f.svc.OnRefresh(context.Background(), d)
		}
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// Who left the seat decides nothing; a refresh hands the task to the successor.
func TestTasksFollowTheSeat(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		req := f.submit("zhouhang", "office.property", "", at680)
		f.approve(req, "songlan")
		old := f.task("hejing", req)
		f.inTx(func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`UPDATE tenure SET until_at = ? WHERE person_id = ?`, f.clock.Now(), named("hejing"))
			return nil
		})
		f.person("newhead")
		f.inTx(func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) SELECT ?, id, ?, 'FULL', ? FROM seat WHERE name = 'office.head'`,
				id.New(), named("newhead"), f.clock.Now())
			return nil
		})
		_, err := f.svc.Decide(ctx, by("hejing"), workflow.DecideInput{Task: old.Task, Verdict: workflow.Approve, FormRev: 1})
		if d := refused[*workflow.WhoCan](t, err, "SEAT_ENDED"); len(d.People) != 1 || d.People[0].Person != named("newhead") {
			t.Fatalf("%+v", d)
		}
		f.refresh(1)
		f.idle("hejing", req)
		f.approve(req, "newhead")
		f.sound(req)
	})
}

// A delegate answers for the holder, and the record says so.
func TestDelegatesAnswerForTheHolder(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.inTx(func(_ context.Context, tx *store.Tx) error {
			for to, seat := range map[string]string{"odeputy": "office.head", "zhouhang": "office.keeper"} {
				tx.QueueSQL(`INSERT INTO delegation (id, seat_id, from_person, to_person, from_at, until_at)
					SELECT ?, seat.id, tenure.person_id, ?, ?, ? FROM seat JOIN tenure ON tenure.seat_id = seat.id WHERE seat.name = ?`,
					id.New(), named(to), testkit.Start.Add(-time.Hour), testkit.Start.Add(48*time.Hour), seat)
			}
			return nil
		})
		req := f.submit("zhouhang", "office.property", "technical.information", at680)
		f.approve(req, "songlan") // the requester is the keeper's delegate, so the keeper answers
		f.idle("hejing", req)
		if x := f.task("odeputy", req); x.For != named("hejing") || x.Seat != "office.head" {
			t.Fatalf("%+v", x)
		}
		f.approve(req, "odeputy")
		d := decisionOf(f.view("hejing", req), "office", 1)
		if d.By.Person != named("odeputy") || d.By.For != named("hejing") || d.By.Seat != "office.head" {
			t.Fatalf("%+v", d.By)
		}
		f.sound(req)
	})
}

// A vacant first seat is refused at submission, with what is missing.
func TestNobodyToAsk(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(strings.Replace(smallYAML, "seat(office.keeper)", "outside(security_office)", 1))
		_, err := f.svc.Submit(ctx, by("chair"), workflow.SubmitInput{Definition: "office.small", Form: jsonForm(t, smallForm)})
		if d := refused[*workflow.Vacant](t, err, "NOBODY_TO_ASK"); d.Step != "keeper" {
			t.Fatalf("%+v", d)
		}
	})
}

// Duties that must be apart are told apart by person, with who can instead.
func TestDistinctDutiesNameWhoCan(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.inTx(func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) SELECT ?, id, ?, 'FULL', ? FROM seat WHERE name = 'supervision.member'`,
				id.New(), named("suhead"), testkit.Start)
			tx.QueueSQL(`INSERT INTO portfolio (unit_id, seat_id, person_id, from_at) SELECT unit.id, seat.id, ?, ? FROM unit, seat
				WHERE unit.code = 'supervision' AND seat.name = 'fed.vice'`, named("guchen"), testkit.Start)
			return nil
		})
		req := f.submit("ayinuer", "supervision.activity", "society.robotics", open15)
		f.approve(req, "han", "mech", "suhead") // suhead looks at it as a member
		f.idle("suhead", req)
		x := f.task("guchen", req) // and so may not decide as the head: the policy's seat is asked
		_, err := f.svc.Decide(ctx, by("suhead"), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: 1})
		d := refused[*workflow.WhoCan](t, err, "NOT_DISTINCT")
		if d.Step != "check" || len(d.People) != 1 || d.People[0] != (workflow.PersonSeat{Person: named("guchen"), Seat: "fed.vice"}) {
			t.Fatalf("%+v", d)
		}
		f.approve(req, "guchen", "liu")
		f.status(req, flow.Approved)
		f.sound(req)
	})
}

// Who holds several seats acts under the one that is asked, and asks under one.
func TestSeveralSeats(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.inTx(func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) SELECT ?, id, ?, 'FULL', ? FROM seat WHERE name = 'liaison.member'`,
				id.New(), named("songlan"), testkit.Start)
			return nil
		})
		req := f.submit("zhouhang", "office.property", "", at680)
		in := workflow.DecideInput{Task: f.task("songlan", req).Task, Verdict: workflow.Approve, FormRev: 1}
		actor := by("songlan")
		actor.Acting = "liaison.member"
		if _, err := f.svc.Decide(ctx, actor, in); !fault.IsRule(err, "WRONG_SEAT") {
			t.Fatalf("under another seat: %v", err)
		}
		actor.Acting = "office.keeper"
		if _, err := f.svc.Decide(ctx, actor, in); err != nil {
			t.Fatal(err)
		}
		ask := workflow.SubmitInput{Definition: "office.property", Form: jsonForm(t, at680)}
		if _, err := f.svc.Submit(ctx, by("songlan"), ask); !fault.Is(err, fault.BadUserInput) {
			t.Fatalf("for which unit? %v", err)
		}
		actor.Acting = "fed.chair"
		if _, err := f.svc.Submit(ctx, actor, ask); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("under a seat that is not held: %v", err)
		}
		actor.Acting = "liaison.member"
		out, err := f.svc.Submit(ctx, actor, ask)
		if err != nil {
			t.Fatal(err)
		}
		if v := f.view("songlan", out.Request); v.Unit != "liaison" {
			t.Fatalf("%+v", v.Summary)
		}
	})
}

// A step whose seats are all vacant is asked once one is filled.
func TestVacantStepIsAskedOnceItsSeatIsFilled(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		source := strings.Replace(smallYAML, "seat(league.teacher)", "seat(league.finance)", 1)
		f.publish(strings.Replace(source, "policy: {empty: fed.chair}\n", "", 1))
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.approve(req, "songlan")
		e, err := f.svc.Explain(ctx, by("zhouhang"), req)
		if err != nil || e.Tree.Progress != flow.ProgStuck {
			t.Fatalf("%+v %v", e.Tree, err)
		}
		f.person("finance", "league.finance")
		f.refresh(1)
		f.approve(req, "finance")
		f.status(req, flow.Approved)
		f.sound(req)
	})
}
