package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/jobs"

	"github.com/redis/go-redis/v9"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// each runs f on SQLite with the queue in this process, and on PostgreSQL with
// a real Redis.
func each(t *testing.T, f func(t *testing.T, db *store.DB, q *jobs.Redis)) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		address := ""
		if db.Postgres() {
			address = testkit.RedisURL(t)
		}
		q, err := jobs.OpenRedis(address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(q.Close)
		f(t, db, q)
	})
}

var fast = jobs.Timing{Visibility: 10 * time.Second, Handler: 5 * time.Second, Poll: 200 * time.Millisecond}

// start runs a relay and a worker until the test ends.
func start(t *testing.T, db *store.DB, q *jobs.Redis, reg *jobs.Registry) {
	t.Helper()
	run(t, db, q, reg, fast)
}

func run(t *testing.T, db *store.DB, q *jobs.Redis, reg *jobs.Registry, timing jobs.Timing) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	relay := jobs.Relay{DB: db, Clock: clock.System{}, Redis: q, Log: testkit.Quiet(), Timing: timing}
	worker := &jobs.Worker{DB: db, Clock: clock.System{}, Redis: q, Registry: reg, Log: testkit.Quiet(), Timing: timing}
	stop := worker.Start()
	done := make(chan struct{})
	go func() { defer close(done); relay.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done; stop() })
}

func put(t *testing.T, db *store.DB, topic string, n int) {
	t.Helper()
	_, err := store.InTx(context.Background(), db, store.Internal("put"), func(_ context.Context, tx *store.Tx) (int, error) {
		for i := range n {
			outbox.Put(tx, outbox.Event{Topic: topic, Aggregate: id.New(), Payload: map[string]int{"n": i}})
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// effect books the payload's number under a unique name: done twice it fails.
func effect(db *store.DB, topic string) jobs.Handler {
	return func(ctx context.Context, d outbox.Delivery) error {
		var p struct{ N int }
		if err := d.Decode(&p); err != nil {
			return err
		}
		_, err := store.InTx(ctx, db, d.Command(), func(_ context.Context, tx *store.Tx) (int, error) {
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES (?, 'done', ?)`, fmt.Sprintf("%s %d", topic, p.N), testkit.Start)
			return 0, nil
		})
		return err
	}
}

func effects(t *testing.T, db *store.DB, topic string) (n int) {
	t.Helper()
	if err := db.R.NewRaw(`SELECT count(*) FROM setting WHERE name LIKE ?`, topic+" %").Scan(context.Background(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func states(t *testing.T, db *store.DB, topic string) map[string]int {
	t.Helper()
	var rows []struct {
		State string
		N     int
	}
	if err := db.R.NewRaw(`SELECT state, count(*) AS n FROM outbox WHERE topic = ? GROUP BY state`, topic).Scan(context.Background(), &rows); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, r := range rows {
		out[r.State] = r.N
	}
	return out
}

func TestEveryEventTakesEffectOnce(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, q *jobs.Redis) {
		reg := jobs.NewRegistry()
		reg.Handle("t.once", "a", effect(db, "t.once"))
		start(t, db, q, reg)
		for range 3 {
			put(t, db, "t.other", 5) // nobody's: for the feed only
		}
		put(t, db, "t.once", 700)
		testkit.Eventually(t, "700 effects", func() bool { return effects(t, db, "t.once") == 700 })
		testkit.Eventually(t, "all done", func() bool { return states(t, db, "t.once")["done"] == 700 })
		if got := states(t, db, "t.other"); got["done"] != 15 || len(got) != 1 {
			t.Fatalf("events without a consumer: %v", got)
		}
	})
}

// Twenty rows about one object are handled one after the other, and one that
// fails takes none of the others with it.
func TestRowsAboutOneObjectTravelTogether(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, q *jobs.Redis) {
		const rows = 45
		reg := jobs.NewRegistry()
		var mu sync.Mutex
		var at, most int
		count := func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			at += n
			most = max(most, at)
			return at
		}
		all := make(chan struct{})
		do := effect(db, "t.line")
		reg.Handle("t.line", "a", func(ctx context.Context, d outbox.Delivery) error {
			count(1)
			defer count(-1)
			<-all
			var p struct{ N int }
			if err := d.Decode(&p); err != nil || p.N == 3 {
				return errors.New("not now")
			}
			return do(ctx, d)
		})
		about := id.New()
		_, err := store.InTx(context.Background(), db, store.Internal("put"), func(_ context.Context, tx *store.Tx) (int, error) {
			for i := range rows {
				outbox.Put(tx, outbox.Event{Topic: "t.line", Aggregate: about, Payload: map[string]int{"n": i}})
			}
			return 0, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		start(t, db, q, reg)
		testkit.Eventually(t, "20, 20 and 5 rows have begun", func() bool { return count(0) >= 3 })
		close(all)
		testkit.Eventually(t, "all but one are done", func() bool { return effects(t, db, "t.line") == rows-1 })
		testkit.Eventually(t, "that one waits", func() bool { return states(t, db, "t.line")["pending"] == 1 })
		mu.Lock()
		defer mu.Unlock()
		if most != 3 {
			t.Fatalf("%d at once", most)
		}
	})
}

func TestFailedHandlerIsTriedAgainAndPermanentIsDead(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, q *jobs.Redis) {
		var tries atomic.Int32
		reg := jobs.NewRegistry()
		reg.Handle("t.fail", "a", func(context.Context, outbox.Delivery) error { tries.Add(1); return errors.New("not now") })
		reg.Handle("t.dead", "a", func(context.Context, outbox.Delivery) error { return outbox.Permanent(errors.New("never")) })
		reg.Handle("t.panic", "a", func(context.Context, outbox.Delivery) error { panic("boom") })
		start(t, db, q, reg)
		for _, topic := range []string{"t.fail", "t.dead", "t.panic"} {
			put(t, db, topic, 1)
		}
		testkit.Eventually(t, "the permanent one is dead", func() bool { return states(t, db, "t.dead")["dead"] == 1 })
		testkit.Eventually(t, "the failed one waits", func() bool {
			var n int
			err := db.R.NewRaw(`SELECT count(*) FROM outbox WHERE topic IN ('t.fail', 't.panic') AND state = 'pending' AND failures = 1`).Scan(context.Background(), &n)
			return err == nil && n == 2
		})
		if n := tries.Load(); n != 1 {
			t.Fatalf("tried %d times before its back-off was over", n)
		}
	})
}

// Rows that Redis lost are sent again after the visibility time.
func TestEmptiedRedisLosesNothing(t *testing.T) {
	if os.Getenv("KELIAN_TEST_REDIS_URL") == "" && os.Getenv("CI") != "true" {
		return // the in-process queue cannot be emptied from outside; each run with a server covers it
	}
	address := testkit.RedisURL(t)
	opt, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opt)
	defer func() { _ = client.Close() }()
	db := testkit.Postgres(t)
	q, err := jobs.OpenRedis(address)
	if err != nil {
		t.Fatal(err)
	}
	reg := jobs.NewRegistry()
	var once sync.Once
	do := effect(db, "t.empty")
	reg.Handle("t.empty", "a", func(ctx context.Context, d outbox.Delivery) error {
		once.Do(func() {
			if err := client.FlushDB(context.Background()).Err(); err != nil {
				t.Error(err)
			}
		})
		return do(ctx, d)
	})
	put(t, db, "t.empty", 200)
	start(t, db, q, reg)
	testkit.Eventually(t, "200 effects", func() bool { return effects(t, db, "t.empty") == 200 })
}

// A relay that is stopped while Redis does not answer gives back what it had
// claimed: the next one does not wait for the visibility time.
func TestAStoppedRelayGivesBackWhatItClaimed(t *testing.T) {
	silent, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	q, err := jobs.OpenRedis("redis://" + silent.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	db := testkit.SQLite(t)
	outbox.Route("t.stopped", "a")
	put(t, db, "t.stopped", 3)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		jobs.Relay{DB: db, Clock: clock.System{}, Redis: q, Log: testkit.Quiet(), Timing: fast}.Run(ctx)
	}()
	testkit.Eventually(t, "the rows are claimed", func() bool { return states(t, db, "t.stopped")["sent"] == 3 })
	cancel()
	<-done
	if got := states(t, db, "t.stopped"); got["pending"] != 3 {
		t.Fatalf("after the stop: %v", got)
	}
}

// A process that dies takes its own queue with it; the next one does not wait
// for what was in there.
func TestWhatADeadProcessHadInItsQueueIsSentAgainAtOnce(t *testing.T) {
	db := testkit.SQLite(t)
	q, err := jobs.OpenRedis("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	reg := jobs.NewRegistry()
	reg.Handle("t.died", "a", effect(db, "t.died"))
	put(t, db, "t.died", 20)
	if rows, err := outbox.Claim(context.Background(), db, outbox.QueueDefault, time.Now()); err != nil || len(rows) != 20 {
		t.Fatal(len(rows), err)
	}
	run(t, db, q, reg, jobs.Timing{Visibility: time.Hour, Handler: 5 * time.Second, Poll: 200 * time.Millisecond})
	testkit.Eventually(t, "20 effects", func() bool { return effects(t, db, "t.died") == 20 })
}

// A delivery that was sent again meanwhile changes nothing.
func TestOldAttemptIsStale(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		outbox.Route("t.stale", "a")
		put(t, db, "t.stale", 1)
		first, err := outbox.Claim(ctx, db, outbox.QueueDefault, time.Now())
		if err != nil || len(first) != 1 {
			t.Fatal(first, err)
		}
		old, err := outbox.Load(ctx, db, first[0].ID, first[0].Attempt)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := outbox.Reclaim(ctx, db, -time.Second); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		second, err := outbox.Claim(ctx, db, outbox.QueueDefault, time.Now())
		if err != nil || len(second) != 1 || second[0].Attempt != 2 {
			t.Fatal(second, err)
		}
		if err := effect(db, "t.stale")(ctx, old); !errors.Is(err, store.ErrStale) {
			t.Fatalf("the old attempt: %v", err)
		}
		now, err := outbox.Load(ctx, db, second[0].ID, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := effect(db, "t.stale")(ctx, now); err != nil {
			t.Fatal(err)
		}
		if n := effects(t, db, "t.stale"); n != 1 {
			t.Fatalf("%d effects", n)
		}
	})
}

func TestTimerIsReplacedAndVoided(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, owner, now := context.Background(), id.New(), testkit.Start
		outbox.Route("t.timer", "a")
		do := func(f func(tx *store.Tx)) {
			t.Helper()
			if _, err := store.InTx(ctx, db, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) { f(tx); return 0, nil }); err != nil {
				t.Fatal(err)
			}
		}
		due := func(at time.Time) int {
			rows, err := outbox.Claim(ctx, db, outbox.QueueDefault, at)
			if err != nil {
				t.Fatal(err)
			}
			return len(rows)
		}
		timer := func(after time.Duration) func(tx *store.Tx) {
			return func(tx *store.Tx) {
				outbox.Timer(tx, owner, "remind", outbox.Event{Topic: "t.timer", DueAt: now.Add(after)})
			}
		}
		do(timer(time.Hour))
		do(timer(2 * time.Hour))
		if due(now.Add(90*time.Minute)) != 0 {
			t.Fatal("the replaced timer fired")
		}
		if due(now.Add(2*time.Hour)) != 1 {
			t.Fatal("the timer did not fire")
		}
		do(timer(time.Hour)) // while the last one is being handled
		do(func(tx *store.Tx) { outbox.Void(tx, owner) })
		if due(now.Add(24*time.Hour)) != 0 {
			t.Fatal("a voided timer fired")
		}
	})
}

func TestRetentionForgetsOnlyWhatMayGo(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		put(t, db, "t.kept", 3)
		outbox.Route("t.waiting", "a")
		put(t, db, "t.waiting", 2)
		list := []jobs.Keep{{Table: "no_such", Column: "at"}, {Table: "outbox", Column: "created_at", Where: "state IN ('done', 'void')", For: -time.Minute}}
		n, err := jobs.Forget(ctx, db, time.Now(), list)
		if err == nil || n != 3 {
			t.Fatalf("%d rows went, and of the table that fails: %v", n, err)
		}
		if got := states(t, db, "t.waiting"); got["pending"] != 2 {
			t.Fatalf("%v", got)
		}
	})
}

func TestBacklogStaysInTheTableBeyondTheWindow(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		outbox.Route("t.many", "a")
		for range 5 {
			put(t, db, "t.many", 500)
		}
		got := 0
		for {
			rows, err := outbox.Claim(context.Background(), db, outbox.QueueDefault, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				break
			}
			got += len(rows)
		}
		if got != outbox.Window {
			t.Fatalf("%d rows sent and not done, the window is %d", got, outbox.Window)
		}
	})
}
