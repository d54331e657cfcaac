package workflow_test

import (
	"context"
	"errors"
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
	handlers := map[string]func(context.Context, outbox.Delivery) error{workflow.TopicDeadline: f.svc.OnDeadline, workflow.TopicAmended: f.svc.OnAmended}
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
			if handlers[d.Topic] != nil {
				due = append(due, d)
			}
		}
		for _, d := range due {
			n++
			if err := handlers[d.Topic](context.Background(), d); err != nil && !errors.Is(err, store.ErrStale) {
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
		list, err := f.svc.Definitions(ctx, by("zhouhang"))
		i := slices.IndexFunc(list, func(x workflow.Listed) bool { return x.Key == "office.property" })
		if err != nil || i < 0 || list[i].N != 2 {
			t.Fatalf("%d of %d: %v", i, len(list), err)
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
		f.clock.Advance(240 * time.Hour)
		if n := f.rings(); n != 0 {
			t.Fatalf("%d timers of a withdrawn request rang", n)
		}
		_, err := f.svc.Withdraw(ctx, by("zhouhang"), workflow.WithdrawInput{Request: req})
		refused[*workflow.AlreadySettled](t, err, "ALREADY_SETTLED")
		f.sound(req)
	})
}

// A request outlives the release in which a desk had the names that its
// version uses.
func TestRequestsOutliveTheNamesTheyUse(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		req := f.submit("zhouhang", "office.property", "", at680)
		later := workflow.New(db, f.clock, org.NewTable(org.Rules(), workflow.Rules()), workflow.Options{})
		x := f.task("songlan", req)
		if _, err := later.Decide(ctx, by("songlan"), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: 1}); err != nil {
			t.Fatal(err)
		}
		if items, _, err := later.Inbox(ctx, by("hejing"), store.Page{First: 5}); err != nil || len(items) != 1 {
			t.Fatalf("%v %v", items, err)
		}
	})
}

// What the federation published itself, a new release does not replace.
func TestOwnVersionsOutrankNewBuiltins(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := bareFed(t, db), context.Background()
		own := f.publish(strings.Replace(string(builtin(t, "office.property").Source), "value: 50000", "value: 100000", 1))
		done, err := f.svc.EnsureBuiltin(ctx)
		if err != nil || len(done) == 0 || slices.ContainsFunc(done, func(p workflow.Published) bool { return p.Definition == own.Definition }) {
			t.Fatalf("%+v %v", done, err)
		}
	})
}
