package outbox_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func do(t *testing.T, db *store.DB, f func(tx *store.Tx)) {
	t.Helper()
	if _, err := store.InTx(context.Background(), db, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) { f(tx); return 0, nil }); err != nil {
		t.Fatal(err)
	}
}

func TestFeedGivesCommittedEventsOnceAndSaysWhenItMissedSome(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		outbox.Route("t.two", "a")
		outbox.Route("t.two", "b")
		feed, err := outbox.NewFeed(ctx, db, testkit.Quiet())
		if err != nil {
			t.Fatal(err)
		}
		sub, cancel := feed.Subscribe("t.two")
		defer cancel()
		one := id.New()
		do(t, db, func(tx *store.Tx) {
			outbox.Put(tx, outbox.Event{Topic: "t.two", Aggregate: one, Version: 7})
			outbox.Put(tx, outbox.Event{Topic: "t.unheard"})
		})
		readUntil(t, feed, func() bool { return len(sub.C) > 0 })
		if err := feed.Read(ctx); err != nil {
			t.Fatal(err)
		}
		if len(sub.C) != 1 {
			t.Fatalf("%d changes, want one though two consumers handle it", len(sub.C))
		}
		if c := <-sub.C; c.Aggregate != one || c.Version != 7 || c.Resync {
			t.Fatalf("%+v", c)
		}
		for range 100 {
			do(t, db, func(tx *store.Tx) { outbox.Put(tx, outbox.Event{Topic: "t.two"}) })
		}
		readUntil(t, feed, func() bool { return len(sub.C) == 64 })
		resync := 0
		for len(sub.C) > 0 {
			if c := <-sub.C; c.Resync {
				resync++
			}
		}
		if resync != 1 {
			t.Fatalf("a slow subscriber got %d words of missed events, want 1", resync)
		}
	})
}

// A transaction that began early and commits late is not skipped: on
// PostgreSQL its rows have smaller numbers than rows already read.
func TestFeedMissesNoLateCommit(t *testing.T) {
	if testkit.PostgresURL() == "" {
		return // SQLite has one writer: there is no late commit
	}
	db := testkit.Postgres(t)
	ctx := context.Background()
	feed, err := outbox.NewFeed(ctx, db, testkit.Quiet())
	if err != nil {
		t.Fatal(err)
	}
	sub, cancel := feed.Subscribe("t.late", "t.early")
	defer cancel()
	inside, commit, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := store.InTx(ctx, db, store.Internal("late"), func(ctx context.Context, tx *store.Tx) (int, error) {
			outbox.Put(tx, outbox.Event{Topic: "t.late"})
			if err := tx.Flush(ctx); err != nil {
				return 0, err
			}
			close(inside)
			<-commit
			return 0, nil
		})
		done <- err
	}()
	<-inside
	do(t, db, func(tx *store.Tx) { outbox.Put(tx, outbox.Event{Topic: "t.early"}) })
	if err := feed.Read(ctx); err != nil {
		t.Fatal(err)
	}
	if len(sub.C) != 0 {
		t.Fatal("an event above the commit horizon was given")
	}
	close(commit)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	readUntil(t, feed, func() bool { return len(sub.C) == 2 })
}

func readUntil(t *testing.T, feed *outbox.Feed, ok func() bool) {
	t.Helper()
	testkit.Eventually(t, "the feed gives the events", func() bool {
		if err := feed.Read(context.Background()); err != nil {
			t.Fatal(err)
		}
		return ok()
	})
}

func TestTraceGoesUpToTheRootsAndDownFromTheStart(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ref := map[string]outbox.Ref{}
		for _, n := range []string{"incident", "ticket", "otherTicket", "request", "purchase", "stranger"} {
			ref[n] = outbox.Ref{Kind: "x", ID: id.New()}
		}
		do(t, db, func(tx *store.Tx) {
			for _, e := range [][2]string{{"incident", "ticket"}, {"incident", "otherTicket"}, {"ticket", "request"}, {"request", "purchase"}, {"stranger", "stranger"}} {
				outbox.Link(tx, ref[e[0]], ref[e[1]], "causes", testkit.Start)
				outbox.Link(tx, ref[e[0]], ref[e[1]], "causes", testkit.Start) // twice is one
			}
		})
		nodes, edges, truncated, err := outbox.Trace(context.Background(), db, ref["ticket"])
		if err != nil || truncated {
			t.Fatal(truncated, err)
		}
		got := map[id.ID]bool{}
		for _, n := range nodes {
			got[n.ID] = true
		}
		if len(nodes) != 4 || len(edges) != 3 || !got[ref["incident"].ID] || !got[ref["purchase"].ID] || got[ref["otherTicket"].ID] {
			t.Fatalf("%d nodes, %d edges", len(nodes), len(edges))
		}
	})
}

// Whoever puts a timer last has it; nobody is refused.
func TestTimersPutAtTheSameTimeReplaceEachOther(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, now, owner := context.Background(), testkit.Start, id.New()
		outbox.Route("t.same", "a")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for n := range 20 {
					_, err := store.InTx(ctx, db, store.Internal("x"), func(ctx context.Context, tx *store.Tx) (int, error) {
						outbox.Timer(tx, owner, "again", outbox.Event{Topic: "t.same", DueAt: now.Add(time.Duration(n) * time.Minute)})
						return 0, tx.Flush(ctx)
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		old, err := outbox.Claim(ctx, db, outbox.QueueDefault, now.Add(time.Hour))
		if err != nil || len(old) != 1 {
			t.Fatalf("%d timers are due, want one: %v", len(old), err)
		}
		do(t, db, func(tx *store.Tx) { outbox.Timer(tx, owner, "again", outbox.Event{Topic: "t.same", DueAt: now}) })
		if _, err := outbox.Load(ctx, db, old[0].ID, old[0].Attempt); !errors.Is(err, store.ErrStale) {
			t.Errorf("the replaced timer: %v", err)
		}
		fresh, err := outbox.Claim(ctx, db, outbox.QueueDefault, now)
		if err != nil || len(fresh) != 1 || fresh[0].Attempt != 1 {
			t.Errorf("the timer that replaced it: %+v %v", fresh, err)
		}
	})
}

// A row dies with the back-off of its last attempt before it, and an operator
// wants to know at once.
func TestMeasureCountsWhatIsDueAndEveryDeadRow(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, now := context.Background(), testkit.Start
		outbox.Route("t.measured", "a")
		do(t, db, func(tx *store.Tx) {
			for range 3 {
				outbox.Put(tx, outbox.Event{Topic: "t.measured", DueAt: now.Add(-time.Minute)})
			}
		})
		claimed, err := outbox.Claim(ctx, db, outbox.QueueDefault, now)
		if err != nil || len(claimed) != 3 {
			t.Fatal(claimed, err)
		}
		for i, cause := range []error{outbox.Permanent(errors.New("never")), errors.New("not now")} {
			d, err := outbox.Load(ctx, db, claimed[i].ID, claimed[i].Attempt)
			if err == nil {
				err = outbox.Fail(ctx, db, d, now, cause)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		do(t, db, func(tx *store.Tx) {
			outbox.Put(tx, outbox.Event{Topic: "t.measured", DueAt: now.Add(-2 * time.Minute)})
			outbox.Put(tx, outbox.Event{Topic: "t.measured", DueAt: now.Add(time.Hour)})
		})
		want := outbox.Stats{Pending: 1, Sent: 1, Dead: 1, Oldest: 2 * time.Minute}
		if s, err := outbox.Measure(ctx, db, now); err != nil || s != want {
			t.Fatalf("%+v, want %+v: %v", s, want, err)
		}
	})
}
