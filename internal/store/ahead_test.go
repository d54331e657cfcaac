package store_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

// add reads the number under the name, locked, and queues the next one.
func add(ctx context.Context, db *store.DB, cmd store.Command, name string) (int, error) {
	return store.InTx(ctx, db, cmd.Ahead(), func(ctx context.Context, tx *store.Tx) (int, error) {
		var had []string
		r := store.NewReads(tx)
		r.SQL(&had, `SELECT value FROM setting WHERE name = ? ?`, name, db.Lock(false))
		if err := r.Run(ctx); err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(had[0])
		tx.Fence(`SELECT 1 FROM setting WHERE name = ? AND value = ?`, name, had[0])
		tx.QueueSQL(`UPDATE setting SET value = ? WHERE name = ?`, strconv.Itoa(n+1), name)
		return n + 1, err
	})
}

func number(t *testing.T, db *store.DB, name string) (text string) {
	t.Helper()
	if err := db.R.NewRaw(`SELECT value FROM setting WHERE name = ?`, name).Scan(context.Background(), &text); err != nil {
		t.Fatal(err)
	}
	return text
}

func numbers(t *testing.T, db *store.DB, names ...string) {
	t.Helper()
	_, err := store.InTx(context.Background(), db, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) {
		for _, n := range names {
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES (?, '0', ?)`, n, testkit.Start)
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Commands that decide on the same row ahead of their turn lose no change.
func TestCommandsAheadOfTheirTurnLoseNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		numbers(t, db, "n")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 15 {
					if _, err := add(context.Background(), db, store.Internal("x"), "n"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := number(t, db, "n"); got != "120" {
			t.Fatalf("%s after 120 additions", got)
		}
	})
}

// A client's command that runs ahead runs once, also when it is repeated while
// it is under way.
func TestACommandAheadRunsOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, actor := context.Background(), id.New()
		numbers(t, db, "n")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if n, err := add(ctx, db, store.FromClient(db, actor, "m", "k", "in"), "n"); n != 1 || err != nil {
					t.Errorf("answered %d, %v", n, err)
				}
			})
		}
		wg.Wait()
		if got := number(t, db, "n"); got != "1" {
			t.Fatalf("it is %s", got)
		}
		if _, err := add(ctx, db, store.FromClient(db, actor, "m", "k", "other"), "n"); !fault.Is(err, fault.Conflict) {
			t.Fatalf("another input under the same key answered %v", err)
		}
	})
}

// One whose write the schema refuses takes nobody else of its group with it.
func TestARefusedWriteAheadIsAlone(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		var names []string
		for i := range 30 {
			names = append(names, fmt.Sprint(i))
		}
		numbers(t, db, names...)
		var wg sync.WaitGroup
		for i, name := range names {
			wg.Go(func() {
				if i%3 != 0 {
					if _, err := add(ctx, db, store.Internal("x"), name); err != nil {
						t.Error(err)
					}
					return
				}
				_, err := store.InTx(ctx, db, store.Internal("x").Ahead(), func(_ context.Context, tx *store.Tx) (int, error) {
					tx.QueueSQL(`UPDATE setting SET value = 'lost' WHERE name = ?`, name)
					tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES (?, 'x', ?)`, name, testkit.Start)
					return 0, nil
				})
				if !store.IsUnique(err, "setting") {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		for i, name := range names {
			want := "1"
			if i%3 == 0 {
				want = "0"
			}
			if got := number(t, db, name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	})
}

// One that writes at once cannot run ahead; it runs in its turn.
func TestACommandThatWritesAtOnceTakesItsTurn(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		_, err := store.InTx(context.Background(), db, store.Internal("x").Ahead(), func(ctx context.Context, tx *store.Tx) (int, error) {
			_, err := tx.NewRaw(`INSERT INTO setting (name, value, at) VALUES ('a', 'x', ?)`, testkit.Start).Exec(ctx)
			return 0, err
		})
		if err != nil || count(t, db) != 1 {
			t.Fatalf("%d rows, %v", count(t, db), err)
		}
	})
}

// On SQLite a command decides while another one holds the connection that
// writes, and once is enough.
func TestACommandDecidesWhileAnotherWrites(t *testing.T) {
	db := testkit.SQLite(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	writing, decided, ran := make(chan bool), make(chan bool, 8), 0
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := store.InTx(ctx, db, store.Internal("slow"), func(context.Context, *store.Tx) (int, error) {
			close(writing)
			select {
			case <-decided:
			case <-ctx.Done():
				t.Error("nothing was decided meanwhile")
			}
			return 0, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-writing
	_, err := store.InTx(ctx, db, store.Internal("quick").Ahead(), func(_ context.Context, tx *store.Tx) (int, error) {
		ran++
		tx.Fence(`SELECT 1`)
		tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES ('a', 'x', ?)`, testkit.Start)
		decided <- true
		return 0, nil
	})
	wg.Wait()
	if err != nil || ran != 1 || count(t, db) != 1 {
		t.Fatalf("decided %d times, %d rows, %v", ran, count(t, db), err)
	}
}
