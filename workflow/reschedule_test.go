package workflow_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// newYear is a notice that makes the first days of 2027 a holiday and the Sunday
// before a day of work.
const newYear = `{"year": 2027, "days": [{"name": "元旦", "date": "2026-12-27", "isOffDay": false},
	{"name": "元旦", "date": "2027-01-01", "isOffDay": true}, {"name": "元旦", "date": "2027-01-02", "isOffDay": true},
	{"name": "元旦", "date": "2027-01-03", "isOffDay": true}, {"name": "元旦", "date": "2027-01-04", "isOffDay": true}]}`

func parsed(t testing.TB, text string) calendar.Notice {
	t.Helper()
	n, err := calendar.ParseNotice([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// announce stores the notice and carries what follows from it.
func (f *fed) announce(text string) {
	f.t.Helper()
	n := parsed(f.t, text)
	f.inTx(func(_ context.Context, tx *store.Tx) error { return calendar.StoreNotice(tx, n, f.clock.Now()) })
	for range 2 { // what is put anew is carried too
		f.carry(map[string]func(context.Context, outbox.Delivery) error{
			calendar.TopicChanged: f.svc.OnCalendarChanged, workflow.TopicReschedule: f.svc.OnReschedule})
	}
}

// carry claims what is due and hands it over; what has no handler stays sent.
func (f *fed) carry(handlers map[string]func(context.Context, outbox.Delivery) error) (n int) {
	f.t.Helper()
	rows, err := outbox.Claim(context.Background(), f.db, outbox.QueueDefault, f.clock.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range rows {
		d, err := outbox.Load(context.Background(), f.db, r.ID, r.Attempt)
		if errors.Is(err, store.ErrStale) {
			continue // replaced meanwhile
		}
		if err != nil {
			f.t.Fatal(err)
		}
		if h := handlers[d.Topic]; h != nil {
			if err := h(context.Background(), d); err != nil && !errors.Is(err, store.ErrStale) {
				f.t.Fatal(err)
			}
			n++
		}
	}
	return n
}

func (f *fed) until(when string) {
	f.t.Helper()
	t, err := time.ParseInLocation("2006-01-02 15:04", when, time.FixedZone("CST", 8*3600))
	if err != nil {
		f.t.Fatal(err)
	}
	f.clock.Advance(t.Sub(f.clock.Now()))
}

func chinese(t time.Time) string {
	return t.In(time.FixedZone("CST", 8*3600)).Format("2006-01-02 15:04")
}

// A request is sent on the last day of the year: what is due in 2027 is
// provisional. When the notice comes, the time moves in the request's chain, in
// the task and in the timer, and it is provisional no more.
func TestANoticeMovesOpenDueTimes(t *testing.T) {
	outbox.Route(calendar.TopicChanged, "workflow")
	outbox.Route(workflow.TopicReschedule, "workflow")
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.until("2026-12-31 10:00")
		req := f.submit("zhouhang", "office.property", "", at680)
		if due := chinese(f.task("songlan", req).DueAt); due != "2027-01-01 22:00" {
			t.Fatalf("due at %s", due)
		}
		if rule := f.view("zhouhang", req).Steps[0].DueRule; !rule.Provisional || !strings.Contains(rule.Text.En, "1 working day, students' hours") {
			t.Fatalf("%+v", rule)
		}
		cal, err := calendar.New(time.FixedZone("CST", 8*3600), calendar.Settings{}, parsed(t, newYear))
		if err != nil {
			t.Fatal(err)
		}
		moves, err := f.svc.DueMoves(ctx, cal)
		if err != nil || len(moves) != 1 || moves[0].Request != req || chinese(moves[0].To) != "2027-01-05 22:00" || !moves[0].Before.Provisional || moves[0].Rule.Provisional {
			t.Fatalf("the dry run: %+v %v", moves, err)
		}
		if due := chinese(f.task("songlan", req).DueAt); due != "2027-01-01 22:00" {
			t.Fatal("the dry run has moved it")
		}
		f.announce(newYear)
		if due := chinese(f.task("songlan", req).DueAt); due != "2027-01-05 22:00" {
			t.Fatalf("after the notice it is due at %s", due)
		}
		if told := f.events(workflow.TopicMoved, req); len(told) != 2 { // the requester and the keeper
			t.Errorf("told of the new time: %v", told)
		}
		v := f.view("zhouhang", req)
		if s := v.Steps[0]; s.DueRule.Provisional || !s.DueAt.Equal(moves[0].To) {
			t.Fatalf("%+v", s)
		}
		f.until("2027-01-01 23:00")
		f.rings()
		f.task("songlan", req) // the old time passed without an escalation
		f.until("2027-01-05 22:00")
		f.rings()
		f.idle("songlan", req)
		f.task("hejing", req)
		f.sound(req)
		moved := 0
		events, err := f.svc.Events(ctx, by("zhouhang"), req)
		for _, ev := range events {
			if ev.Type == "rescheduled" {
				moved++
			}
		}
		if err != nil || moved != 1 {
			t.Fatalf("%d events of moving, %v", moved, err)
		}
	})
}

// A report that is owed moves as a step does: the trip is on the 20th of
// November, so it is due on the 24th, and a day of work at the weekend before
// makes it the 23rd.
func TestANoticeMovesTheReportThatIsOwed(t *testing.T) {
	outbox.Route(calendar.TopicChanged, "workflow")
	outbox.Route(workflow.TopicReschedule, "workflow")
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, req := withTrip(t, db)
		f.approve(req, "shenyue")
		f.grant(req)
		due := func() string { return chinese(f.view("ling", req).CloseOutDue) }
		if got := due(); got != "2026-11-24 22:00" {
			t.Fatalf("the report is due on %s", got)
		}
		f.announce(`{"year": 2026, "days": [{"name": "x", "date": "2026-11-21", "isOffDay": false}, {"name": "x", "date": "2026-11-28", "isOffDay": true}]}`)
		if got := due(); got != "2026-11-23 22:00" {
			t.Fatalf("after the notice it is due on %s", got)
		}
		f.sound(req)
	})
}

// A step that another process opens by the calendar in its memory, just after
// the notice, is found by the second look.
func TestAStepOpenedByAnOldCalendarFollows(t *testing.T) {
	outbox.Route(calendar.TopicChanged, "workflow")
	outbox.Route(workflow.TopicReschedule, "workflow")
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.until("2026-12-31 10:00")
		f.submit("zhouhang", "office.property", "", at680) // now the old calendar is in memory
		f.inTx(func(_ context.Context, tx *store.Tx) error {
			return calendar.StoreNotice(tx, parsed(t, newYear), f.clock.Now())
		})
		other := workflow.New(db, f.clock, org.NewTable(org.Rules(), workflow.Rules()), workflow.Options{Location: time.FixedZone("CST", 8*3600)})
		handlers := map[string]func(context.Context, outbox.Delivery) error{calendar.TopicChanged: other.OnCalendarChanged, workflow.TopicReschedule: other.OnReschedule}
		for f.carry(handlers) > 0 {
		}
		late := f.submit("zhouhang", "office.property", "", at680)
		if due := chinese(f.task("songlan", late).DueAt); due != "2027-01-01 22:00" {
			t.Fatalf("due at %s: the test wants a calendar in memory", due)
		}
		f.clock.Advance(2 * calendar.Memory)
		for f.carry(handlers) > 0 {
		}
		if due := chinese(f.task("songlan", late).DueAt); due != "2027-01-05 22:00" {
			t.Fatalf("due at %s", due)
		}
	})
}

// The clock that claims a timer and the one that carries it out may be an hour
// apart: what was found due happens, and it happens once.
func TestAStepOfTheClockLosesAndDoublesNothing(t *testing.T) {
	for name, step := range map[string]time.Duration{"back": -time.Hour, "forward": time.Hour} {
		t.Run(name, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, db *store.DB) {
				f := newFed(t, db)
				f.publish(smallYAML)
				req := f.submit("zhouhang", "office.small", "", smallForm)
				f.clock.Advance(30 * time.Minute)
				ring := map[string]func(context.Context, outbox.Delivery) error{workflow.TopicDeadline: func(ctx context.Context, d outbox.Delivery) error {
					f.clock.Advance(step)
					return f.svc.OnDeadline(ctx, d)
				}}
				if n := f.carry(ring); n != 1 {
					t.Fatalf("%d timers were due", n)
				}
				if got := f.events(workflow.TopicReminded, req); len(got) != 1 {
					t.Fatalf("after the clock was set %s: reminders %v", name, got)
				}
				f.clock.Advance(-step)
				f.rings()
				if got := f.events(workflow.TopicReminded, req); len(got) != 1 {
					t.Fatalf("set right again: reminders %v", got)
				}
				f.clock.Advance(30 * time.Minute)
				f.rings()
				f.idle("songlan", req)
				f.sound(req)
			})
		})
	}
}

// Teachers' and students' steps of one request are due by their own hours, and
// each says by which rule.
func TestEachStepSaysItsRule(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		v, err := f.svc.Forecast(context.Background(), by("ayinuer"), "supervision.activity", "society.robotics", jsonForm(t, open15))
		if err != nil {
			t.Fatal(err)
		}
		ends := map[string]bool{}
		for _, s := range v.Steps {
			ends[s.DueRule.Text.En+" "+chinese(s.DueAt)[11:]] = true
		}
		for _, want := range []string{"2 working days, teachers' office hours 17:30", "1 working day, students' hours 22:00", "3 working days, the League Committee's office hours 17:30"} {
			if !ends[want] {
				t.Errorf("no step is due by %q: %v", want, ends)
			}
		}
	})
}

func TestReadingARule(t *testing.T) {
	for by, want := range map[string]flow.Text{
		"":                          {},
		"8bh student":               {Zh: "8 个办公小时，学生时段", En: "8 business hours, students' hours"},
		"30m":                       {Zh: "30 分钟", En: "30 minutes"},
		"1bd outside exams":         {Zh: "1 个工作日，校外办公时间，考试周放慢", En: "1 working day, office hours of outside parties, slower in exam weeks"},
		"2bd office provisional":    {Zh: "2 个工作日，教师办公时间，校历或放假通知未公布，可能调整", En: "2 working days, teachers' office hours, may move: the calendar is not announced yet"},
		"the rule of an older time": {Zh: "the，rule，of，an，older，time", En: "the, rule, of, an, older, time"},
	} {
		if got := workflow.ReadDueRule(by); got.Text != want || got.Provisional != strings.Contains(by, "provisional") {
			t.Errorf("%q: %+v", by, got)
		}
	}
}
