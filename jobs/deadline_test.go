package jobs_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/jobs"
	"kelian/org"
	"kelian/workflow"
)

// Ten steps at once, each with one timer.
func tenSteps() string {
	out := `key: office.ten
unit: office
title: {zh: 十方会签, en: Ten at once}
about: {zh: 测试用。, en: For tests.}
form:
  required: [what]
  properties:
    what: {type: string, minLength: 1, maxLength: 200, x-title: {zh: 事项, en: What}}
flow:
  - par:
`
	for i := range steps {
		out += fmt.Sprintf("      - {step: s%d, title: {zh: 会签, en: Step}, ask: seat(office.keeper), due: 60m, on_due: {then: remind}}\n", i)
	}
	return out + "policy: {empty: fed.chair}\n"
}

// office is a federation of three people with requests under way.
type office struct {
	t     *testing.T
	db    *store.DB
	clock *clock.Fake
	svc   *workflow.Service
}

func openOffice(t *testing.T, db *store.DB, requests int) *office {
	t.Helper()
	ctx := context.Background()
	o := &office{t: t, db: db, clock: testkit.Clock()}
	if _, err := org.Seed(ctx, db, o.clock, org.Template()); err != nil {
		t.Fatal(err)
	}
	actors := map[string]org.Actor{}
	_, err := store.InTx(ctx, db, store.Internal("people"), func(_ context.Context, tx *store.Tx) (int, error) {
		for _, seat := range []string{"office.head", "office.keeper", "technical.member"} {
			person := id.New()
			actors[seat] = org.Actor{Person: person, Lang: "zh"}
			tx.QueueSQL(`INSERT INTO person (id, kind, lang, search, created_at) VALUES (?, 'OFFICER', 'zh', '', ?)`, person, testkit.Start)
			tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) SELECT ?, id, ?, 'FULL', ? FROM seat WHERE name = ?`,
				id.New(), person, testkit.Start.AddDate(0, -1, 0), seat)
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o.svc = workflow.New(db, o.clock, org.NewTable(org.Rules(), workflow.Rules()), workflow.Options{})
	if _, err := o.svc.Publish(ctx, actors["office.head"], workflow.PublishInput{Source: tenSteps(), Understaffed: true, IdempotencyKey: "publish"}); err != nil {
		t.Fatal(err)
	}
	o.submit(actors["technical.member"], requests)
	return o
}

const steps = 10 // of each request

func (o *office) submit(by org.Actor, requests int) {
	o.t.Helper()
	var wg sync.WaitGroup
	failed := make(chan error, requests)
	lanes := make(chan struct{}, 32)
	for i := range requests {
		lanes <- struct{}{}
		wg.Go(func() {
			defer func() { <-lanes }()
			_, err := o.svc.Submit(context.Background(), by, workflow.SubmitInput{Definition: "office.ten", Form: map[string]any{"what": "x"}, IdempotencyKey: fmt.Sprint(i)})
			if err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		o.t.Fatal(err)
	default:
	}
}

// process is a relay and a worker with a queue of their own, as after a start.
func (o *office) process(ctx context.Context, address string) (stop func()) {
	o.t.Helper()
	q, err := jobs.OpenRedis(address)
	if err != nil {
		o.t.Fatal(err)
	}
	reg := jobs.NewRegistry()
	reg.Handle(workflow.TopicDeadline, "workflow", o.svc.OnDeadline)
	timing := jobs.Timing{Visibility: 20 * time.Second, Handler: 20 * time.Second, Poll: 200 * time.Millisecond}
	worker := &jobs.Worker{DB: o.db, Clock: o.clock, Redis: q, Registry: reg, Log: testkit.Quiet(), Timing: timing}
	relay := jobs.Relay{DB: o.db, Clock: o.clock, Redis: q, Log: testkit.Quiet(), Timing: timing}
	end := worker.Start()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); relay.Run(ctx) }()
	return func() { cancel(); <-done; end(); q.Close() }
}

func (o *office) fired() (n int) {
	o.t.Helper()
	if err := o.db.R.NewRaw(`SELECT count(*) FROM event WHERE type = 'fell_due'`).Scan(context.Background(), &n); err != nil {
		o.t.Fatal(err)
	}
	return n
}

// Ten thousand deadlines (one thousand with the queue inside the process, which
// is made for less) pass while nothing runs. A first process takes a part
// of them and ends, and meanwhile the clock is set back by an hour; a second one,
// with an empty queue and the clock set forward again, fires the rest. Each has
// fired once.
func TestTenThousandOverdueDeadlinesFireOnceEach(t *testing.T) {
	outbox.Route(workflow.TopicDeadline, "workflow")
	each(t, func(t *testing.T, db *store.DB, q *jobs.Redis) {
		timers, address := 1_000, ""
		if db.Postgres() {
			timers = 10_000
			address = testkit.RedisURL(t)
		}
		o := openOffice(t, db, timers/steps)
		if n := o.fired(); n != 0 {
			t.Fatalf("%d deadlines before their time", n)
		}
		o.clock.Advance(2 * time.Hour)
		began := time.Now()
		stop := o.process(context.Background(), address)
		testkit.Eventually(t, "a first part has fired", func() bool { return o.fired() >= 200 })
		o.clock.Advance(-time.Hour - time.Minute)
		stop()
		part := o.fired()
		if part == timers {
			t.Fatal("the first process left nothing to do")
		}
		o.clock.Advance(time.Hour)
		stop = o.process(context.Background(), address)
		defer stop()
		for part < timers { // a hundred each minute
			testkit.Eventually(t, "more have fired", func() bool { n := o.fired(); return n >= part+100 || n >= timers })
			part = o.fired()
		}
		took := time.Since(began)
		o.clock.Advance(time.Hour) // once more over all of them
		var twice, done int
		if err := db.R.NewRaw(`SELECT count(*) FROM (SELECT aggregate FROM outbox WHERE topic = ? GROUP BY aggregate HAVING count(*) <> ?) AS x`,
			workflow.TopicReminded, steps).Scan(context.Background(), &twice); err != nil {
			t.Fatal(err)
		}
		if err := db.R.NewRaw(`SELECT count(*) FROM outbox WHERE topic = ? AND state = 'done'`, workflow.TopicDeadline).Scan(context.Background(), &done); err != nil {
			t.Fatal(err)
		}
		if n := o.fired(); n != timers || twice != 0 || done != timers {
			t.Fatalf("%d deadlines fired, %d requests have another number of reminders, %d timers are done", n, twice, done)
		}
		t.Logf("%d deadlines in %.1f s, %d a second", timers, took.Seconds(), int(float64(timers)/took.Seconds()))
	})
}
