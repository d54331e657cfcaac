package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

type outcome struct{ ID id.ID }

func put(ctx context.Context, db *store.DB, cmd store.Command, name string) (outcome, error) {
	return store.InTx(ctx, db, cmd, func(_ context.Context, tx *store.Tx) (outcome, error) {
		tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES (?, 'x', ?)`, name, testkit.Start)
		return outcome{id.New()}, nil
	})
}

func count(t *testing.T, db *store.DB) (n int) {
	t.Helper()
	if err := db.R.NewRaw(`SELECT count(*) FROM setting`).Scan(context.Background(), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClientCommandRunsOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, actor := context.Background(), id.New()
		first, err := put(ctx, db, store.FromClient(db, actor, "m", "k", "in"), "a")
		if err != nil {
			t.Fatal(err)
		}
		again, err := put(ctx, db, store.FromClient(db, actor, "m", "k", "in"), "b")
		if err != nil || again != first {
			t.Fatalf("the repeat answered %v, %v; the first %v", again, err, first)
		}
		if _, err := put(ctx, db, store.FromClient(db, actor, "m", "k", "other"), "c"); !fault.Is(err, fault.Conflict) {
			t.Fatalf("another input under the same key answered %v", err)
		}
		if _, err := put(ctx, db, store.FromClient(db, id.New(), "m", "k", "in"), "d"); err != nil {
			t.Fatalf("another actor's key: %v", err)
		}
		if n := count(t, db); n != 2 {
			t.Fatalf("%d rows, want 2", n)
		}
	})
}

func TestRefusedCommandLeavesNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, no := context.Background(), errors.New("no")
		cmd := store.FromClient(db, id.New(), "m", "k", 1)
		_, err := store.InTx(ctx, db, cmd, func(ctx context.Context, tx *store.Tx) (int, error) {
			if _, err := tx.NewRaw(`INSERT INTO setting (name, value, at) VALUES ('now', 'x', ?)`, testkit.Start).Exec(ctx); err != nil {
				return 0, err
			}
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES ('later', 'x', ?)`, testkit.Start)
			tx.OnCommit(func() { t.Error("the commit hook of a refused command ran") })
			return 0, no
		})
		if !errors.Is(err, no) {
			t.Fatal(err)
		}
		if n := count(t, db); n != 0 {
			t.Fatalf("%d rows left", n)
		}
		// A refused command stored nothing: the key is free.
		if _, err := put(ctx, db, cmd, "a"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestQueuedConstraintFailsTheWholeCommand(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		if _, err := put(ctx, db, store.Internal("x"), "a"); err != nil {
			t.Fatal(err)
		}
		_, err := store.InTx(ctx, db, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) {
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES ('b', 'x', ?)`, testkit.Start)
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES ('a', 'x', ?)`, testkit.Start)
			return 0, nil
		})
		if !store.IsUnique(err, "setting") || store.IsUnique(err, "outbox") {
			t.Fatalf("got %v", err)
		}
		if n := count(t, db); n != 1 {
			t.Fatalf("%d rows, want 1", n)
		}
	})
}

func TestConcurrentSameKeyRunsOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, actor := context.Background(), id.New()
		got := make([]outcome, 20)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				var err error
				got[i], err = put(ctx, db, store.FromClient(db, actor, "m", "k", "in"), fmt.Sprint(i))
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, g := range got {
			if g != got[0] {
				t.Fatalf("outcomes differ: %v and %v", g, got[0])
			}
		}
		if n := count(t, db); n != 1 {
			t.Fatalf("%d rows, want 1", n)
		}
	})
}

// One member of a group that fails or panics takes nobody else with it.
func TestGroupMembersAreApart(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				defer func() {
					if r := recover(); (r != nil) != (i%7 == 0) {
						t.Errorf("member %d: panic %v", i, r)
					}
				}()
				_, err := store.InTx(ctx, db, store.Internal("x"), func(ctx context.Context, tx *store.Tx) (int, error) {
					_, err := tx.NewRaw(`INSERT INTO setting (name, value, at) VALUES (?, 'x', ?)`, fmt.Sprint(i), testkit.Start).Exec(ctx)
					if i%7 == 0 {
						panic("boom")
					}
					if i%5 == 0 {
						return 0, errors.New("no")
					}
					return 0, err
				})
				if (err != nil) != (i%5 == 0) {
					t.Errorf("member %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		want := 0
		for i := range 60 {
			if i%7 != 0 && i%5 != 0 {
				want++
			}
		}
		if n := count(t, db); n != want {
			t.Fatalf("%d rows, want %d", n, want)
		}
	})
}

func TestCommandTakesThreeRoundTrips(t *testing.T) {
	if testkit.PostgresURL() == "" {
		return // counted where there are round trips; with CI=true Each fails without a server
	}
	db := testkit.Postgres(t)
	ctx := context.Background()
	before := db.Trips()
	_, err := store.InTx(ctx, db, store.FromClient(db, id.New(), "m", "k", 1), func(ctx context.Context, tx *store.Tx) (int, error) {
		var n int
		if err := tx.NewRaw(`SELECT count(*) FROM setting`).Scan(ctx, &n); err != nil {
			return 0, err
		}
		for i := range 9 {
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES (?, 'x', ?)`, fmt.Sprint(i), testkit.Start)
		}
		return n, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := db.Trips() - before; got != 3 {
		t.Fatalf("%d round trips, want 3", got)
	}
}

func TestInTxInsideInTxIsAnErrorAndNotADeadlock(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		_, err := store.InTx(context.Background(), db, store.Internal("outer"), func(ctx context.Context, _ *store.Tx) (outcome, error) {
			return put(ctx, db, store.Internal("inner"), "a")
		})
		if err == nil {
			t.Fatal("it was accepted")
		}
	})
}

func TestReadersCannotWriteSQLite(t *testing.T) {
	db := testkit.SQLite(t)
	if _, err := db.R.Exec(`INSERT INTO setting (name, value, at) VALUES ('a', 'b', 'c')`); err == nil {
		t.Fatal("the read pool wrote")
	}
}

func TestLeaseHasOneHolder(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		take := func(owner string, ttl time.Duration) bool {
			ok, err := db.Lease(ctx, "l", owner, ttl)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !take("a", time.Minute) || take("b", time.Minute) || !take("a", -time.Second) || !take("b", time.Minute) || take("a", time.Minute) {
			t.Fatal("the lease went to the wrong owner")
		}
		if err := db.Unlease(ctx, "l", "b"); err != nil || !take("a", time.Minute) {
			t.Fatal("a lease given back is not free")
		}
	})
}

func TestRemotePostgresNeedsVerifiedTLS(t *testing.T) {
	_, err := store.Open(context.Background(), store.Options{URL: "postgres://kelian@db.example.edu/kelian?sslmode=require"})
	if err == nil || !errorHas(err, "verify-full") {
		t.Fatalf("got %v", err)
	}
}

func errorHas(err error, s string) bool { return err != nil && strings.Contains(err.Error(), s) }

func TestSearchFindsPeopleAsTheyAreTyped(t *testing.T) {
	rows := map[string]string{
		"王伟":        store.SearchText("王伟", "2023010123"),
		"欧阳·买买提":    store.SearchText("欧阳·买买提"),
		"风扇":        store.SearchText("宿舍的风扇不转了", "报修 2026-0123"),
		"Ken Smith": store.SearchText("Ken Smith"),
	}
	for q, want := range map[string][]string{
		"王伟": {"王伟"}, "wangwei": {"王伟"}, "ww": {"王伟"}, "风扇": {"风扇"}, "扇风": {}, "欧阳·买买提": {"欧阳·买买提"},
		"买买": {"欧阳·买买提"}, "0123": {"风扇"}, "smi": {"Ken Smith"}, "王": {"王伟"}, "100%": {},
	} {
		for name, text := range rows {
			found := true
			for _, p := range store.SearchTerms(q) {
				found = found && like(text, p)
			}
			expect := false
			for _, w := range want {
				expect = expect || w == name
			}
			if found != expect {
				t.Errorf("%q finds %q: %v, want %v", q, name, found, expect)
			}
		}
	}
}

// like is LIKE for patterns of the shape that SearchTerms makes.
func like(text, pattern string) bool { return strings.Contains(text, pattern[1:len(pattern)-1]) }
