package workflow_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org/calendar"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// monthly is the plan of the technical department, due on the 25th.
func (f *fed) monthly() workflow.RecurrenceInput {
	return workflow.RecurrenceInput{Definition: "office.plan", Unit: "technical", Seat: "technical.head", Title: "技术部月度计划", Rule: "FREQ=MONTHLY;BYMONTHDAY=25",
		Start: moment(f.t, "2026-11-01 08:00"), Form: jsonForm(f.t, `{"dept":"technical","span":"month","period":"{year}年{month}月"}`), IdempotencyKey: f.key()}
}

func moment(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", s, time.FixedZone("CST", 8*3600))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func (f *fed) order(who string, in workflow.RecurrenceInput) id.ID {
	f.t.Helper()
	order, err := f.svc.CreateRecurrence(bg, by(who), in)
	if err != nil {
		f.t.Fatal(err)
	}
	return order
}

func (f *fed) orderOf(who string, order id.ID) workflow.Recurrence {
	f.t.Helper()
	x, err := f.svc.Recurrence(bg, by(who), order)
	if err != nil {
		f.t.Fatal(err)
	}
	return x
}

func (f *fed) recurs() int {
	f.t.Helper()
	return f.carry(map[string]func(context.Context, outbox.Delivery) error{workflow.TopicRecurs: f.svc.OnRecurs})
}

func states(x workflow.Recurrence) (out []string) {
	for _, d := range x.Drafts {
		out = append(out, chinese(d.At)[:10]+" "+string(d.State))
	}
	return out
}

func recurringFed(t testing.TB, db *store.DB) *fed {
	outbox.Route(workflow.TopicRecurs, "workflow")
	outbox.Route(workflow.TopicReschedule, "workflow")
	outbox.Route(calendar.TopicChanged, "workflow")
	return newFed(t, db)
}

func TestAMonthlyPlanWaitsForItsSeatAsADraft(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := recurringFed(t, db)
		order := f.order("techhead", f.monthly())
		f.until("2026-11-25 07:59")
		if n := f.recurs(); n != 0 {
			t.Fatalf("%d drafts were opened early", n)
		}
		f.until("2026-11-25 08:00")
		f.recurs()
		f.recurs()
		x := f.orderOf("techhead", order)
		if got := states(x); !slices.Equal(got, []string{"2026-11-25 DUE"}) || chinese(x.Next.Due) != "2026-12-25 08:00" {
			t.Fatalf("%v, next %v", got, x.Next)
		}
		if got := f.events(workflow.TopicOccurred, order); len(got) != 1 || !strings.Contains(got[0], `"seat":"technical.head"`) {
			t.Fatalf("told %v", got)
		}

		f.person("newhead")
		// Whoever holds the seat now sends it, with what only he knows.
		f.inTx(func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`UPDATE tenure SET until_at = ? WHERE person_id = ?`, f.clock.Now(), named("techhead"))
			tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) SELECT ?, id, ?, 'FULL', ? FROM seat WHERE name = 'technical.head'`,
				id.New(), named("newhead"), f.clock.Now())
			return nil
		})
		d, err := f.svc.DraftOf(bg, by("newhead"), x.Drafts[0].ID)
		if err != nil || !strings.Contains(string(d.Form), `"period":"2026年11月"`) || d.Unit != "technical" {
			t.Fatalf("%+v %v", d, err)
		}
		in := workflow.SubmitInput{Definition: "office.plan", Unit: "technical", Draft: x.Drafts[0].ID, IdempotencyKey: f.key(), Form: jsonForm(t, with(t, string(d.Form),
			`{"goals":[{"text":"升级交换机","owner":"technical.head","due":"2026-12-20"}],"last_result":"完成"}`))}
		if _, err := f.svc.Submit(bg, by("luyuan"), in); !fault.Is(err, fault.NotFound) && !fault.IsRule(err, "NOT_YOUR_UNIT") {
			t.Fatalf("a stranger sends it: %v", err)
		}
		out, err := f.svc.Submit(bg, by("newhead"), in)
		if err != nil {
			t.Fatal(err)
		}
		if x = f.orderOf("newhead", order); x.Drafts[0].State != workflow.OccurrenceSent || x.Drafts[0].Request != out.Request {
			t.Fatalf("%+v", x.Drafts)
		}
		in.IdempotencyKey = f.key()
		if _, err := f.svc.Submit(bg, by("newhead"), in); !fault.IsRule(err, "ALREADY_SENT") {
			t.Fatalf("it is sent twice: %v", err)
		}
		f.status(out.Request, flow.Open)
	})
}

// Killed between its commit and the queue's, or found by a clock that is set
// back afterwards, a date has one draft.
func TestADateHasOneDraft(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := recurringFed(t, db)
		order := f.order("techhead", f.monthly())
		f.until("2026-11-25 08:00")
		rows, err := outbox.Claim(bg, db, outbox.QueueDefault, f.clock.Now())
		if err != nil || len(rows) == 0 {
			t.Fatal(rows, err)
		}
		f.clock.Advance(-2 * time.Hour) // between finding it and doing it
		for _, r := range rows {
			d, err := outbox.Load(bg, db, r.ID, r.Attempt)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := f.svc.OnRecurs(bg, d); d.Topic == workflow.TopicRecurs && err != nil && !errors.Is(err, store.ErrStale) {
					t.Fatal(err)
				}
			}
		}
		check := func(want ...string) {
			t.Helper()
			if got := states(f.orderOf("techhead", order)); !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
		check("2026-11-25 DUE")
		// The clock stands before the date: what is changed now does not bring it back.
		in := f.monthly()
		in.Recurrence, in.Title = order, "技术部计划"
		if err := f.svc.UpdateRecurrence(bg, by("techhead"), in); err != nil {
			t.Fatal(err)
		}
		for _, act := range []workflow.RecurrenceAct{workflow.RecurrencePause, workflow.RecurrenceResume} {
			f.act("techhead", order, act)
		}
		f.until("2026-11-25 09:00")
		f.recurs()
		check("2026-11-25 DUE")
		// Two dates pass without a server: the newest is due, the others are told of.
		f.until("2027-02-01 00:00")
		f.recurs()
		check("2027-01-25 DUE", "2026-12-25 MISSED", "2026-11-25 MISSED")
		if got := f.events(workflow.TopicOccurred, order); len(got) != 2 {
			t.Fatalf("told %d times", len(got))
		}
		if _, err := f.svc.DraftOf(bg, by("techhead"), f.orderOf("techhead", order).Drafts[1].ID); err != nil {
			t.Fatalf("what was missed can be made up for: %v", err)
		}
	})
}

func (f *fed) act(who string, order id.ID, act workflow.RecurrenceAct) {
	f.t.Helper()
	if err := f.svc.ActOnRecurrence(bg, by(who), workflow.ActOnRecurrenceInput{Recurrence: order, Act: act, IdempotencyKey: f.key()}); err != nil {
		f.t.Fatalf("%s: %v", act, err)
	}
}

func TestAnOrderIsPausedSkippedAndEnded(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := recurringFed(t, db)
		in := f.monthly()
		in.Rule = "FREQ=MONTHLY;BYMONTHDAY=25;UNTIL=20270228"
		order := f.order("techhead", in)
		f.act("techhead", order, workflow.RecurrenceSkip)
		f.act("techhead", order, workflow.RecurrencePause)
		f.until("2026-12-26 00:00")
		if n := f.recurs(); n != 0 {
			t.Fatalf("%d timers of a paused order rang", n)
		}
		f.act("techhead", order, workflow.RecurrenceResume)
		if x := f.orderOf("techhead", order); chinese(x.Next.At) != "2027-01-25 08:00" || !slices.Equal(states(x), []string{"2026-11-25 SKIPPED"}) {
			t.Fatalf("%v %v", x.Next, states(x))
		}
		f.act("techhead", order, workflow.RecurrenceSkip)
		f.until("2027-02-25 08:00")
		f.recurs()
		x := f.orderOf("techhead", order)
		if x.State != workflow.RecurrenceEnded || x.Next != nil || states(x)[0] != "2027-02-25 DUE" {
			t.Fatalf("it ends with its last date: %+v", x)
		}
		err := f.svc.ActOnRecurrence(bg, by("techhead"), workflow.ActOnRecurrenceInput{Recurrence: order, Act: workflow.RecurrenceResume, IdempotencyKey: f.key()})
		if !fault.IsRule(err, "OVER") {
			t.Fatal(err)
		}
		other := f.order("techhead", f.monthly())
		f.act("techhead", other, workflow.RecurrenceEnd)
		if list, err := f.svc.Recurrences(bg, by("techhead"), false); err != nil || len(list) != 0 {
			t.Fatalf("%v %v", list, err)
		}
		if list, err := f.svc.Recurrences(bg, by("techhead"), true); err != nil || len(list) != 2 {
			t.Fatalf("%v %v", list, err)
		}
		f.clock.Advance(60 * 24 * time.Hour)
		if n := f.recurs(); n != 0 {
			t.Fatalf("%d timers of an ended order rang", n)
		}
	})
}

// An order goes on for as long as anybody wants: its start may lie years back.
func TestAnOldOrderIsChangedAndResumed(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := recurringFed(t, db)
		in := f.monthly()
		order := f.order("techhead", in)
		f.until("2029-12-01 08:00")
		f.recurs()
		f.act("techhead", order, workflow.RecurrencePause)
		f.act("techhead", order, workflow.RecurrenceResume)
		in.Recurrence, in.Title, in.IdempotencyKey = order, "技术部计划", f.key()
		if err := f.svc.UpdateRecurrence(bg, by("techhead"), in); err != nil {
			t.Fatal(err)
		}
		if x := f.orderOf("techhead", order); x.Title != "技术部计划" || x.Next == nil || chinese(x.Next.At) != "2029-12-25 08:00" {
			t.Fatalf("%+v", x)
		}
		in.Start, in.IdempotencyKey = moment(t, "2026-11-02 08:00"), f.key()
		if err := f.svc.UpdateRecurrence(bg, by("techhead"), in); !fault.IsRule(err, "BAD_START") {
			t.Fatalf("a new start three years ago: %v", err)
		}
	})
}

func TestADateMovesToAWorkingDay(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := recurringFed(t, db)
		dues := func(shift workflow.Shift) (out []string) {
			list, err := f.svc.PreviewRecurrence(bg, by("techhead"), "FREQ=MONTHLY;BYMONTHDAY=1", moment(t, "2026-11-02 08:00"), shift, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range list {
				out = append(out, chinese(d.Due))
			}
			return out
		}
		if got := dues(workflow.ShiftNone); !slices.Equal(got, []string{"2026-12-01 08:00", "2027-01-01 08:00", "2027-02-01 08:00"}) {
			t.Fatal(got)
		}
		in := f.monthly()
		in.Rule, in.Shift = "FREQ=MONTHLY;BYMONTHDAY=1;COUNT=3", workflow.ShiftAfter
		order := f.order("techhead", in)
		f.until("2026-12-01 08:00")
		f.recurs()
		before := f.orderOf("techhead", order).Next
		// The holidays of the new year are told of: the timer moves with them.
		f.announce(newYear)
		after := f.orderOf("techhead", order).Next
		if chinese(after.Due) != "2027-01-05 08:00" || before.Due.Equal(after.Due) || after.Provisional {
			t.Fatalf("%v, then %v", before, after)
		}
		if got := dues(workflow.ShiftBefore); got[0] != "2026-12-31 08:00" {
			t.Fatal(got)
		}
		f.until("2027-01-05 07:59")
		if f.recurs() != 0 {
			t.Fatal("it rang on the holiday")
		}
		f.until("2027-01-05 08:00")
		f.recurs()
		if x := f.orderOf("techhead", order); !slices.Equal(states(x), []string{"2027-01-01 DUE", "2026-12-01 MISSED", "2026-11-01 MISSED"}) {
			t.Fatal(states(x))
		}
	})
}

func TestWhoOrdersAndWhatIsRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := recurringFed(t, db)
		refuses := func(who, reason string, change func(*workflow.RecurrenceInput)) *fault.Error {
			t.Helper()
			in := f.monthly()
			change(&in)
			_, err := f.svc.CreateRecurrence(bg, by(who), in)
			e, ok := fault.As(err)
			if !ok || e.Reason != reason && string(e.Code) != reason {
				t.Errorf("%v, want %s", err, reason)
				return &fault.Error{}
			}
			return e
		}
		as := func(*workflow.RecurrenceInput) {}
		refuses("zhouhang", "FORBIDDEN", as)
		refuses("pan", "FORBIDDEN", as)
		refuses("techhead", "BAD_USER_INPUT", func(in *workflow.RecurrenceInput) { in.Seat = "technical.nobody" })
		refuses("techhead", "NOT_YOUR_UNIT", func(in *workflow.RecurrenceInput) { in.Unit = "office" })
		refuses("techhead", "BAD_START", func(in *workflow.RecurrenceInput) { in.Start = time.Time{} })
		refuses("techhead", "NO_DATE", func(in *workflow.RecurrenceInput) { in.Rule = "FREQ=MONTHLY;BYMONTHDAY=25;UNTIL=20261101" })
		refuses("techhead", "NOT_FOUND", func(in *workflow.RecurrenceInput) { in.Definition = "office.nothing" })
		if e := refuses("techhead", "BAD_RRULE", func(in *workflow.RecurrenceInput) { in.Rule = "FREQ=MINUTELY" }); !slices.Equal(e.Path, []string{"rrule", "FREQ"}) {
			t.Error(e.Path)
		}
		if e := refuses("techhead", "FORM_INVALID", func(in *workflow.RecurrenceInput) { in.Form = jsonForm(t, `{"span":"week"}`) }); !slices.Equal(e.Path, []string{"form", "span"}) {
			t.Error(e.Path)
		}
		refuses("techhead", "FORM_INVALID", func(in *workflow.RecurrenceInput) { in.Form = jsonForm(t, `{"files":[]}`) })

		// A head orders for the seats below; others of the unit do not see it.
		in := f.monthly()
		in.Seat, in.Unit = "technical.information.member", "technical.information"
		order := f.order("techhead", in)
		if x := f.orderOf("zhouhang", order); !x.Mine {
			t.Error("who holds the seat may not change it")
		}
		if x := f.orderOf("suhead", order); x.Mine {
			t.Error("supervision may change it")
		}
		if _, err := f.svc.Recurrence(bg, by("pan"), order); !fault.Is(err, fault.NotFound) {
			t.Errorf("another department sees it: %v", err)
		}
		err := f.svc.ActOnRecurrence(bg, by("pan"), workflow.ActOnRecurrenceInput{Recurrence: order, Act: workflow.RecurrenceEnd, IdempotencyKey: f.key()})
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("another department ends it: %v", err)
		}
		for range 19 {
			in.IdempotencyKey = f.key()
			f.order("techhead", in)
		}
		in.IdempotencyKey = f.key()
		if _, err := f.svc.CreateRecurrence(bg, by("techhead"), in); !fault.IsRule(err, "TOO_MANY") {
			t.Error(err)
		}
	})
}
