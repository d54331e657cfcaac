package dispatch_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/internal/testkit/make"
)

var (
	bg    = context.Background()
	seats = []string{"technical.information.member"}
)

func task() dispatch.Task {
	return dispatch.Task{Kind: "repair", Key: "ticket", Ref: outbox.Ref{Kind: "tkt", ID: id.New()}}
}

func technician(t *testing.T, db *store.DB, name string) id.ID {
	t.Helper()
	p := make.Officer(t, db, name, seats[0])
	make.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO skill (person_id, name, certificate, from_at) VALUES (?, 'network', FALSE, ?)`, p, testkit.Start.AddDate(0, -1, 0))
		return nil
	})
	return p
}

func offer(db *store.DB, d *dispatch.Dispatcher, task dispatch.Task, since time.Time) (a *dispatch.Assignment, err error) {
	return store.InTx(bg, db, store.Internal("test"), func(ctx context.Context, tx *store.Tx) (*dispatch.Assignment, error) {
		got, _, _, err := d.Offer(ctx, tx, store.NewReads(tx), dispatch.Search{Task: task, Need: network, Seats: seats, Since: since}, testkit.Start)
		return got, err
	})
}

func end(t *testing.T, db *store.DB, d *dispatch.Dispatcher, assignment id.ID, to dispatch.State) {
	t.Helper()
	make.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
		d.End(tx, assignment, to, testkit.Start)
		return nil
	})
}

// load compares the counter with the rows it counts.
func load(t *testing.T, db *store.DB, p id.ID) int {
	t.Helper()
	var counted, live int
	if err := db.R.NewRaw(`SELECT COALESCE(sum(load), 0) FROM workload WHERE person = ?`, p).Scan(bg, &counted); err != nil {
		t.Fatal(err)
	}
	if err := db.R.NewRaw(`SELECT count(*) FROM assignment WHERE person = ? AND state IN ('OFFERED', 'ACCEPTED')`, p).Scan(bg, &live); err != nil {
		t.Fatal(err)
	}
	if live != counted {
		t.Fatalf("the counter says %d, the rows %d", counted, live)
	}
	return live
}

func TestParallelDispatchersNeverExceedTheCapacity(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		make.Federation(t, db)
		d := dispatch.New(time.UTC, 0, nil)
		people := []id.ID{technician(t, db, "周航"), technician(t, db, "林小满")}
		var given, refused atomic.Int64
		var wg sync.WaitGroup
		for range 32 {
			wg.Go(func() {
				a, err := offer(db, d, task(), testkit.Start)
				switch {
				case err != nil:
					t.Error(err)
				case a != nil:
					given.Add(1)
				default:
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if given.Load() != 6 || refused.Load() != 26 {
			t.Fatalf("%d offers, %d tasks without anybody; two people hold three each", given.Load(), refused.Load())
		}
		for _, p := range people {
			if n := load(t, db, p); n != 3 {
				t.Errorf("somebody has %d tasks", n)
			}
		}
	})
}

func TestFairnessUnderParallelDispatch(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		make.Federation(t, db)
		d := dispatch.New(time.UTC, 0, nil)
		people := []id.ID{technician(t, db, "周航"), technician(t, db, "林小满"), technician(t, db, "陆远")}
		var wg sync.WaitGroup
		for i := range 9 {
			wg.Go(func() {
				one := task()
				_, err := store.InTx(bg, db, store.Internal("test"), func(ctx context.Context, tx *store.Tx) (int, error) {
					// Each dispatcher has its own moment.
					_, _, _, err := d.Offer(ctx, tx, store.NewReads(tx), dispatch.Search{Task: one, Need: network, Seats: seats, Since: testkit.Start}, testkit.Start.Add(time.Duration(i)*time.Second))
					return 0, err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, p := range people {
			if n := load(t, db, p); n != 3 {
				t.Errorf("of 9 tasks for three people one has %d", n)
			}
		}
	})
}

func TestWhoeverWasAskedIsNotAskedAgain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		make.Federation(t, db)
		d := dispatch.New(time.UTC, 0, nil)
		first, second := technician(t, db, "周航"), technician(t, db, "林小满")
		one := task()
		a, err := offer(db, d, one, testkit.Start)
		if err != nil || a == nil || a.Person != first {
			t.Fatalf("%+v %v", a, err)
		}
		end(t, db, d, a.ID, dispatch.StateDeclined)
		end(t, db, d, a.ID, dispatch.Lapsed) // a late timer changes nothing
		if load(t, db, first) != 0 {
			t.Fatal("declining did not give the place back once")
		}
		b, err := offer(db, d, one, testkit.Start)
		if err != nil || b == nil || b.Person != second {
			t.Fatalf("%+v %v", b, err)
		}
		end(t, db, d, b.ID, dispatch.Lapsed)
		if c, err := offer(db, d, one, testkit.Start); err != nil || c != nil {
			t.Fatalf("asked again: %+v %v", c, err)
		}
		// Another task is another question, and so is the same one triaged anew.
		if c, err := offer(db, d, task(), testkit.Start); err != nil || c == nil {
			t.Fatalf("%+v %v", c, err)
		}
		if c, err := offer(db, d, one, testkit.Start.Add(time.Second)); err != nil || c == nil {
			t.Fatalf("%+v %v", c, err)
		}
		rows, err := dispatch.History(bg, db.R, "repair", one.Ref.ID)
		if err != nil || len(rows) != 3 || rows[0].State != dispatch.StateDeclined || rows[1].State != dispatch.Lapsed {
			t.Fatalf("%+v %v", rows, err)
		}
	})
}

func TestDoneThisTermDecides(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		make.Federation(t, db)
		d := dispatch.New(time.UTC, 0, nil)
		first, second := technician(t, db, "周航"), technician(t, db, "林小满")
		a, err := offer(db, d, task(), testkit.Start)
		if err != nil || a.Person != first {
			t.Fatal(err)
		}
		end(t, db, d, a.ID, dispatch.Done)
		if b, err := offer(db, d, task(), testkit.Start); err != nil || b.Person != second {
			t.Fatalf("%+v %v", b, err)
		}
	})
}

func TestGiveHoldsTheCapacity(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		make.Federation(t, db)
		d := dispatch.New(time.UTC, 0, nil)
		p := technician(t, db, "周航")
		give := func(task dispatch.Task) error {
			_, err := store.InTx(bg, db, store.Internal("test"), func(ctx context.Context, tx *store.Tx) (int, error) {
				_, err := d.Give(ctx, tx, store.NewReads(tx), task, network, p, dispatch.Claimed, id.Nil, testkit.Start)
				return 0, err
			})
			return err
		}
		var ok atomic.Int64
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if err := give(task()); err == nil {
					ok.Add(1)
				} else if !fault.IsRule(err, "CAPACITY") {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if ok.Load() != 3 || load(t, db, p) != 3 {
			t.Fatalf("%d claims of one person went through", ok.Load())
		}
		set := func(n int) error {
			_, err := store.InTx(bg, db, store.Internal("test"), func(ctx context.Context, tx *store.Tx) (int, error) {
				return 0, dispatch.SetCapacity(ctx, tx, p, n)
			})
			return err
		}
		if err := set(2); !fault.IsRule(err, "CAPACITY") {
			t.Errorf("a capacity below the load: %v", err)
		}
		if err := set(51); !fault.Is(err, fault.BadUserInput) {
			t.Errorf("51: %v", err)
		}
		if err := set(4); err != nil {
			t.Error(err)
		}
		if err := give(task()); err != nil {
			t.Errorf("with a place more: %v", err)
		}
	})
}

// The schema itself refuses, whatever the program forgets.
func TestSchemaRefuses(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		make.Federation(t, db)
		p, q := technician(t, db, "周航"), technician(t, db, "林小满")
		run := func(query string, args ...any) error {
			_, err := db.Bun().NewRaw(query, args...).Exec(bg)
			return err
		}
		if err := run(`INSERT INTO workload (person, load, capacity) VALUES (?, 3, 3)`, p); err != nil {
			t.Fatal(err)
		}
		if err := run(`UPDATE workload SET load = load + 1 WHERE person = ?`, p); !store.IsConstraint(err) {
			t.Errorf("more than the capacity: %v", err)
		}
		if err := run(`UPDATE workload SET load = -1 WHERE person = ?`, p); !store.IsConstraint(err) {
			t.Errorf("less than nothing: %v", err)
		}
		live := `INSERT INTO assignment (id, task_kind, task_id, person, state, how, offered_at, deadline, explanation) VALUES (?, 'repair', ?, ?, ?, 'CLAIMED', ?, ?, '{}')`
		one := id.New()
		if err := run(live, id.New(), one, p, "ACCEPTED", testkit.Start, testkit.Start); err != nil {
			t.Fatal(err)
		}
		for i, state := range []string{"OFFERED", "ACCEPTED"} {
			if err := run(live, id.New(), one, q, state, testkit.Start, testkit.Start); !store.IsUnique(err, "assignment") {
				t.Error(fmt.Sprint(i), "a second live assignment: ", err)
			}
		}
	})
}
