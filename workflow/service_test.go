package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

func TestDecideTakesFourRoundTrips(t *testing.T) {
	if testkit.PostgresURL() == "" {
		return // counted where there are round trips; with CI=true Each fails without a server
	}
	f, ctx := newFed(t, testkit.Postgres(t)), context.Background()
	req := f.submit("zhouhang", "office.property", "", at680)
	for _, who := range []string{"songlan", "hejing", "guchen"} { // the last one closes the request, with its effects
		x := f.task(who, req)
		before := f.db.Trips()
		_, err := f.svc.Decide(ctx, by(who), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, Comment: "同意", FormRev: x.FormRev, IdempotencyKey: f.key()})
		if err != nil {
			t.Fatal(err)
		}
		if n := f.db.Trips() - before; n > 4 {
			t.Errorf("%s decides in %d round trips, want at most 4", who, n)
		}
	}
	f.status(req, flow.Approved)
}

// The fence is the revision that was read, not the request: two people who
// decide at the same moment both succeed.
func TestSimultaneousApprovalsBothSucceed(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		req := f.submit("ling", "liaison.sponsor", "", sponsorForm)
		f.approve(req, "shenyue")
		people := []string{"pan", "hejing", "suhead"}
		errs := make([]error, len(people))
		var wg sync.WaitGroup
		for i, who := range people {
			x := f.task(who, req)
			wg.Go(func() {
				_, errs[i] = f.svc.Decide(ctx, by(who), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: 1})
			})
		}
		wg.Wait()
		for i, err := range errs {
			if err != nil {
				t.Errorf("%s: %v", people[i], err)
			}
		}
		f.sound(req)

		// Two tries at one task: one succeeds, the other is told who was first.
		x := f.task("chair", req)
		both := make([]error, 2)
		for i := range both {
			wg.Go(func() {
				_, both[i] = f.svc.Decide(ctx, by("chair"), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: 1})
			})
		}
		wg.Wait()
		if (both[0] == nil) == (both[1] == nil) {
			t.Fatalf("%v, %v", both[0], both[1])
		}
		d := refused[*workflow.AlreadySettled](t, both[slices.IndexFunc(both, func(e error) bool { return e != nil })], "ALREADY_SETTLED")
		if d.By != named("chair") {
			t.Fatalf("%+v", d)
		}
		f.sound(req)
	})
}

const sponsorForm = `{"company":"甲公司","kind":"cash","amount":200000,"returns":[{"what":"海报标识"}],"exclusive":false,"student_data":false}`

func TestReplayAnswersWithTheStoredOutcome(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		in := workflow.SubmitInput{Definition: "office.property", Form: jsonForm(t, at680), IdempotencyKey: "same"}
		first, err := f.svc.Submit(ctx, by("zhouhang"), in)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := f.svc.Submit(ctx, by("zhouhang"), in); err != nil || again != first {
			t.Fatalf("%+v %v", again, err)
		}
		in.Form["quote"] = "丙公司"
		if _, err := f.svc.Submit(ctx, by("zhouhang"), in); !fault.Is(err, fault.Conflict) {
			t.Fatalf("another form under the same key: %v", err)
		}
		d := workflow.DecideInput{Task: f.task("songlan", first.Request).Task, Verdict: workflow.Approve, FormRev: 1, IdempotencyKey: "same"}
		one, err := f.svc.Decide(ctx, by("songlan"), d)
		if err != nil {
			t.Fatal(err)
		}
		if two, err := f.svc.Decide(ctx, by("songlan"), d); err != nil || two != one || one.Decision.IsZero() {
			t.Fatalf("%+v %v", two, err)
		}
		list, _, err := f.svc.Requests(ctx, by("zhouhang"), workflow.Filter{Mine: true}, store.Page{First: 10})
		if err != nil || len(list) != 1 {
			t.Fatalf("%v %v", list, err)
		}
		f.sound(first.Request)
	})
}

// rings carries the deadline timers that are due.
func (f *fed) rings() int {
	f.t.Helper()
	n := 0
	for {
		rows, err := outbox.Claim(context.Background(), f.db, outbox.QueueDefault, f.clock.Now())
		if err != nil {
			f.t.Fatal(err)
		}
		if len(rows) == 0 {
			return n
		}
		var due []outbox.Delivery
		for _, r := range rows {
			d, err := outbox.Load(context.Background(), f.db, r.ID, r.Attempt)
			if err != nil {
				f.t.Fatal(err)
			}
			if d.Topic == workflow.TopicDeadline {
				due = append(due, d)
			}
		}
		// The outbox promises no order; a trace needs one.
		slices.SortFunc(due, func(a, b outbox.Delivery) int { return strings.Compare(a.Payload, b.Payload) })
		for _, d := range due {
			n++
			if err := f.svc.OnDeadline(context.Background(), d); err != nil && !errors.Is(err, store.ErrStale) {
				f.t.Fatal(err)
			}
		}
	}
}

func TestDeadlinesRemindThenEscalate(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.publish(smallYAML)
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.clock.Advance(29 * time.Minute)
		if n := f.rings(); n != 0 {
			t.Fatalf("%d timers rang early", n)
		}
		f.clock.Advance(time.Minute)
		f.rings()
		if got := f.events(workflow.TopicReminded, req); len(got) != 1 || !strings.Contains(got[0], named("songlan").String()) {
			t.Fatalf("reminders: %v", got)
		}
		f.clock.Advance(30 * time.Minute)
		f.rings()
		f.idle("songlan", req)
		if x := f.task("hejing", req); x.Step != "keeper" || x.Seat != "office.head" {
			t.Fatalf("%+v", x)
		}
		f.approve(req, "hejing")
		f.clock.Advance(2 * time.Hour)
		f.rings() // the teacher is reminded; nothing is approved by lapse of time
		if got := f.events(workflow.TopicReminded, req); len(got) != 2 || !strings.Contains(got[1], `"overdue":true`) {
			t.Fatalf("reminders: %v", got)
		}
		f.approve(req, "liu")
		f.status(req, flow.Approved)
		f.clock.Advance(240 * time.Hour)
		if n := f.rings(); n != 0 {
			t.Fatalf("%d timers of a closed request rang", n)
		}
		f.sound(req)
	})
}

// The reader of a step does not see what the step hides, in the form and in
// the diff; personal values are shown on their own, and the look is recorded.
func TestHiddenAndPersonalFields(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(smallYAML)
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.resubmit("zhouhang", req, 1, strings.Replace(smallForm, "500", "700", 1))
		v := f.view("songlan", req)
		if string(v.Form) != `{"what":"网线"}` || !slices.Equal(v.Hidden, []string{"/cost"}) || !slices.Equal(v.Personal, []string{"/phone"}) {
			t.Fatalf("%s %v %v", v.Form, v.Hidden, v.Personal)
		}
		if c := v.Revisions[1].Changes; len(c) != 1 || !c[0].Hidden || c[0].After != "" {
			t.Fatalf("%+v", c)
		}
		if v := f.view("zhouhang", req); !strings.Contains(string(v.Form), "700") || strings.Contains(string(v.Form), "138") {
			t.Fatalf("%s", v.Form)
		}
		p, err := f.svc.Personal(ctx, by("songlan"), req)
		if err != nil || p["/phone"] != `"13800138000"` {
			t.Fatalf("%v %v", p, err)
		}
		var looks int
		if err := db.R.NewRaw(`SELECT count(*) FROM audit WHERE action = 'workflow.personal' AND actor = ?`, named("songlan")).Scan(ctx, &looks); err != nil || looks != 1 {
			t.Fatalf("%d looks recorded, %v", looks, err)
		}
		if _, err := f.svc.Personal(ctx, by("luyuan"), req); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("supervision looks at a phone number: %v", err)
		}
		for _, table := range []string{"event", "outbox", "audit", "revision", "request", "decision"} {
			var rows []map[string]any
			if err := db.R.NewRaw(`SELECT * FROM `+table).Scan(ctx, &rows); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(fmt.Sprint(rows), "13800138000") {
				t.Errorf("the phone number stands in %s", table)
			}
		}
		form, _, err := f.svc.FormOf(ctx, db.R, req)
		if err != nil || form["phone"] != "13800138000" || form["cost"] != int64(700) {
			t.Fatalf("%v %v", form, err)
		}
	})
}

// A personal value that did not change keeps its digest over an edit, so the
// votes that read it stay; erasing it mid-thread leaves everything verifiable.
func TestErasureMidThreadKeepsTheChain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(strings.Replace(smallYAML, "reads: [/what]", "reads: [/what, /phone]", 1))
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.decide("songlan", req, workflow.Approve, "请找王同学 13900139000")
		f.resubmit("zhouhang", req, 1, strings.Replace(smallForm, "500", "700", 1))
		if d := decisionOf(f.view("zhouhang", req), "keeper", 1); !d.Live || !d.Carried {
			t.Fatalf("the keeper's vote fell: %+v", d)
		}
		if rep := f.sound(req); rep.Erased != 0 {
			t.Fatalf("%+v", rep)
		}
		f.inTx(func(ctx context.Context, tx *store.Tx) error {
			if err := f.svc.EraseFor(ctx, tx, named("zhouhang"), f.clock.Now()); err != nil {
				return err
			}
			return org.Erase(ctx, tx, named("zhouhang"), f.clock.Now())
		})
		if rep := f.sound(req); rep.Erased != 2 { // the phone in two revisions
			t.Fatalf("%+v", rep)
		}
		if v := f.view("liu", req); v.Requester.Name != org.Erased {
			t.Fatalf("%+v", v.Requester)
		}
		f.approve(req, "liu")
		f.status(req, flow.Approved)
		f.inTx(func(ctx context.Context, tx *store.Tx) error { return org.Erase(ctx, tx, req, f.clock.Now()) })
		if d := decisionOf(f.view("liu", req), "keeper", 1); d.Comment != org.Erased {
			t.Fatalf("%+v", d)
		}
		if rep := f.sound(req); rep.Erased != 3 {
			t.Fatalf("%+v", rep)
		}
		if form, _, err := f.svc.FormOf(ctx, db.R, req); err != nil || form["phone"] != nil {
			t.Fatalf("%v %v", form, err)
		}
	})
}

// Whatever is changed behind the engine's back is found.
func TestVerifyFindsWhatWasChanged(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(smallYAML)
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.decide("songlan", req, workflow.Approve, "有货")
		f.sound(req)
		for name, stmt := range map[string]string{
			"a decision's task": `UPDATE task SET verdict = 'reject' WHERE state = 'done'`,
			"the state":         `UPDATE request SET state = replace(state, '"approve"', '"reject"')`,
			"a personal value":  `UPDATE personal SET value = '"13911111111"' WHERE field LIKE 'request.form.%'`,
			"a comment":         `UPDATE personal SET value = '没货' WHERE field LIKE 'request.note.%'`,
		} {
			f.inTx(func(_ context.Context, tx *store.Tx) error { tx.QueueSQL(stmt); return nil })
			rep, err := f.svc.Verify(ctx, by("luyuan"), req)
			if err != nil || rep.OK() {
				t.Errorf("%s was changed and nothing is found: %v", name, err)
			}
		}
		for _, stmt := range []string{`UPDATE event SET body = replace(body, 'approve', 'reject')`, `DELETE FROM event`, `UPDATE decision SET verdict = 'reject'`,
			`DELETE FROM decision`, `UPDATE revision SET form = '{}'`, `UPDATE version SET source = 'x'`, `UPDATE version SET state = 'DRAFT', published_at = NULL`, `DELETE FROM version`} {
			_, err := store.InTx(ctx, db, store.Internal("test"), func(ctx context.Context, tx *store.Tx) (int, error) {
				_, err := tx.NewRaw(stmt).Exec(ctx)
				return 0, err
			})
			if !store.IsConstraint(err) {
				t.Errorf("%s: %v", stmt, err)
			}
		}
		if _, err := f.svc.Verify(ctx, by("zhouhang"), req); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("an outsider verifies: %v", err)
		}
	})
}

// The same trace gives the same events on both databases, hash for hash.
func TestSameTraceSameHashes(t *testing.T) {
	var runs [][]string
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		a := f.submit("zhouhang", "office.property", "", at680)
		f.approve(a, "songlan", "hejing")
		x := f.task("guchen", a)
		f.clock.Advance(1234567 * time.Microsecond)
		_, err := f.svc.Decide(context.Background(), by("guchen"), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: 1})
		if err != nil {
			t.Fatal(err)
		}
		b := f.submit("ayinuer", "supervision.activity", "society.robotics", open15)
		f.approve(b, "han")
		f.resubmit("ayinuer", b, 1, strings.Replace(open15, "体育馆", "图书馆", 1))
		f.clock.Advance(72 * time.Hour)
		f.rings()
		f.approve(b, "han", "mech", "luyuan")
		var hashes []string
		err = db.R.NewRaw(`SELECT hash FROM event ORDER BY request_id, seq`).Scan(context.Background(), &hashes)
		if err != nil || len(hashes) < 25 {
			t.Fatalf("%d events, %v", len(hashes), err)
		}
		runs = append(runs, hashes)
	})
	if len(runs) == 2 && !slices.Equal(runs[0], runs[1]) {
		for i := range runs[0] {
			if i < len(runs[1]) && runs[0][i] != runs[1][i] {
				t.Fatalf("event %d differs", i)
			}
		}
		t.Fatal("the numbers of events differ")
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
		if n, err := f.svc.RefreshPerson(ctx, named("hejing")); n != 1 || err != nil {
			t.Fatal(n, err)
		}
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

func TestForecastAndExplain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		forecast := func(form string) workflow.ForecastView {
			v, err := f.svc.Forecast(ctx, by("zhouhang"), "office.property", "", jsonForm(t, form))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		v := forecast(at680)
		if len(v.Steps) != 3 || v.Steps[2].People[0].Name != "guchen" || v.Steps[2].People[0].Seat != "fed.vice" || len(v.Problems) != 0 {
			t.Fatalf("%+v", v)
		}
		if typical := v.Steps[0].Typical; typical.Decided != 0 || !v.Steps[0].DueAt.Equal(testkit.Start.Add(typical.Took)) || v.Typical <= typical.Took {
			t.Fatalf("without a history it is the due time: %+v", typical)
		}
		if v := forecast(`{"total":1}`); len(v.Steps) != 2 || len(v.Problems) == 0 {
			t.Fatalf("an incomplete small one: %+v", v)
		}
		for _, after := range []time.Duration{time.Hour, 3 * time.Hour, 5 * time.Hour} {
			req := f.submit("zhouhang", "office.property", "", at680)
			f.clock.Advance(after)
			f.approve(req, "songlan")
		}
		if typical := forecast(at680).Steps[0].Typical; typical.Decided != 3 || typical.Took != 3*time.Hour {
			t.Fatalf("the median: %+v", typical)
		}

		req := f.submit("zhouhang", "office.property", "", at680)
		e, err := f.svc.Explain(ctx, by("zhouhang"), req)
		if err != nil || e.Tree.Progress != flow.ProgWaiting || e.Tree.Parts[0].Waiting[0].Elector.Person != named("songlan").String() ||
			e.Names[named("songlan").String()] != "songlan" || e.Tree.Parts[1].Progress != flow.ProgLater {
			t.Fatalf("%+v %v", e, err)
		}
	})
}

func TestFormsAreRefusedFieldByField(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		try := func(who, unit, form string) error {
			return errOf(f.svc.Submit(ctx, by(who), workflow.SubmitInput{Definition: "office.property", Unit: unit, Form: jsonForm(t, form)}))
		}
		d := refused[*workflow.FormProblems](t, try("zhouhang", "", strings.Replace(at680, `"total":68000`, `"total":1`, 1)), "FORM_INVALID")
		if len(d.Errors) != 1 || d.Errors[0].Code != "total_is_sum" || d.Errors[0].Pointer != "/total" {
			t.Fatalf("%+v", d)
		}
		if err := try("zhouhang", "office", at680); !fault.IsRule(err, "NOT_YOUR_UNIT") {
			t.Fatalf("for another unit: %v", err)
		}
		if err := errOf(f.svc.Submit(ctx, stranger, workflow.SubmitInput{Definition: "office.property"})); !fault.Is(err, fault.Unauthenticated) {
			t.Fatalf("a stranger: %v", err)
		}
		if err := errOf(f.svc.Submit(ctx, by("zhouhang"), workflow.SubmitInput{Definition: "no.such"})); !fault.Is(err, fault.NotFound) {
			t.Fatalf("no such kind: %v", err)
		}
		var n int
		if err := db.R.NewRaw(`SELECT count(*) FROM request`).Scan(ctx, &n); err != nil || n != 0 {
			t.Fatalf("%d requests, %v", n, err)
		}
	})
}

func TestPublishing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		if again, err := f.svc.EnsureBuiltin(ctx); err != nil || len(again) != 0 {
			t.Fatalf("published again: %+v %v", again, err)
		}
		req := f.submit("zhouhang", "office.property", "", at680)
		source := string(builtin(t, "office.property").Source)
		own := f.publish(strings.Replace(source, "value: 50000", "value: 100000", 1))
		if own.N != 2 || !own.Changed {
			t.Fatalf("%+v", own)
		}
		if again, err := f.svc.EnsureBuiltin(ctx); err != nil || len(again) != 0 {
			t.Fatalf("a start takes the federation's own version back: %+v %v", again, err)
		}
		f.approve(req, "songlan", "hejing")
		f.task("guchen", req) // pinned: the old version still asks the vice-chair
		second := f.submit("zhouhang", "office.property", "", at680)
		f.approve(second, "songlan", "hejing")
		f.status(second, flow.Approved)

		_, err := f.svc.Publish(ctx, by("hejing"), workflow.PublishInput{Source: strings.Replace(smallYAML, "ask: seat(office.keeper)", "ask: seat(office.king)", 1)})
		if p := refused[workflow.Problems](t, err, "DEFINITION_INVALID"); len(p) == 0 || p[0].Line == 0 {
			t.Fatalf("%+v", p)
		}
		if _, err := f.svc.Publish(ctx, by("zhouhang"), workflow.PublishInput{Source: small}); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("an officer publishes: %v", err)
		}
		_, err = f.svc.Publish(ctx, by("hejing"), workflow.PublishInput{Source: source})
		if !fault.IsRule(err, "VERSION_RETIRED") {
			t.Fatalf("a retired text: %v", err)
		}
		list, err := f.svc.Definitions(ctx, by("zhouhang"))
		if err != nil || len(list) < 4 || list[1].Key != "office.property" || list[1].N != 2 {
			t.Fatalf("%+v %v", list, err)
		}
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

func TestInboxPages(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		var want []id.ID
		for range 5 {
			want = append(want, f.submit("zhouhang", "office.property", "", at680))
			f.clock.Advance(time.Second)
		}
		slices.Reverse(want)
		var got []id.ID
		page := store.Page{First: 2}
		for {
			items, more, err := f.svc.Inbox(ctx, by("songlan"), page)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range items {
				got = append(got, x.Request)
				page.After = x.Cursor
			}
			if !more {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v, want %v", got, want)
		}
		if n, err := f.svc.InboxCount(ctx, by("songlan")); n != 5 || err != nil {
			t.Fatal(n, err)
		}
	})
}

func TestCommentsAndWithdrawal(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		req := f.submit("zhouhang", "office.property", "", at680)
		if _, err := f.svc.Comment(ctx, by("luyuan"), workflow.CommentInput{Request: req, Text: "请补充报价单"}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.svc.Comment(ctx, by("aichair"), workflow.CommentInput{Request: req, Text: "?"}); !fault.Is(err, fault.NotFound) {
			t.Fatalf("an outsider comments: %v", err)
		}
		if v := f.view("zhouhang", req); len(v.Remarks) != 1 || v.Remarks[0].Text != "请补充报价单" || v.Remarks[0].By.Name != "luyuan" {
			t.Fatalf("%+v", v.Remarks)
		}
		if _, err := f.svc.Withdraw(ctx, by("zhouhang"), workflow.WithdrawInput{Request: req, Comment: "不需要了"}); err != nil {
			t.Fatal(err)
		}
		f.status(req, flow.Withdrawn)
		f.idle("songlan", req)
		if got := f.events(workflow.TopicRejected, req); len(got) != 1 {
			t.Fatalf("%v", got)
		}
		if n := f.rings(); n != 0 {
			t.Fatalf("%d timers", n)
		}
		_, err := f.svc.Withdraw(ctx, by("zhouhang"), workflow.WithdrawInput{Request: req})
		refused[*workflow.AlreadySettled](t, err, "ALREADY_SETTLED")
		f.sound(req)
	})
}
