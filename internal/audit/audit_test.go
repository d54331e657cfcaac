package audit_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/internal/audit"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func record(t *testing.T, db *store.DB, n int) {
	t.Helper()
	_, err := store.InTx(context.Background(), db, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) {
		for i := range n {
			audit.Record(tx, audit.Entry{Actor: id.New(), Seat: "office.head", Action: "test.do", Object: outbox.Ref{Kind: "req", ID: id.New()},
				Data: map[string]any{"n": i, "text": "王伟 & <b> \"x\" '"}, At: testkit.Start.Add(123456 * time.Microsecond)})
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func sealAll(t *testing.T, db *store.DB) {
	t.Helper()
	testkit.Eventually(t, "everything is sealed", func() bool {
		if _, err := audit.SealNext(context.Background(), db, testkit.Start); err != nil {
			t.Fatal(err)
		}
		return verify(t, db).UnsealedTail == 0
	})
}

func verify(t *testing.T, db *store.DB) audit.Report {
	t.Helper()
	rep, err := audit.Verify(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestChainHoldsUnderConcurrentWriters(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 10 {
					record(t, db, 3)
				}
			})
		}
		wg.Go(func() {
			for range 20 {
				if _, err := audit.SealNext(context.Background(), db, testkit.Start); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Wait()
		sealAll(t, db)
		record(t, db, 2)
		rep := verify(t, db)
		if rep.Sealed != 240 || rep.UnsealedTail != 2 || len(rep.Faults) != 0 {
			t.Fatalf("%+v", rep)
		}
	})
}

func TestLogRefusesChange(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		record(t, db, 1)
		sealAll(t, db)
		for _, stmt := range []string{`UPDATE audit SET action = 'x'`, `DELETE FROM audit`, `UPDATE audit_seal SET hash = 'x'`, `DELETE FROM audit_seal`} {
			if _, err := db.Bun().Exec(stmt); err == nil || !store.IsConstraint(err) {
				t.Errorf("%s: %v", stmt, err)
			}
		}
	})
}

// Whoever gets around the triggers is found out, and the row is named.
func TestVerifyNamesTheFault(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		record(t, db, 5)
		sealAll(t, db)
		var victim id.ID
		if err := db.R.NewRaw(`SELECT audit_id FROM audit_seal WHERE seq = 3`).Scan(context.Background(), &victim); err != nil {
			t.Fatal(err)
		}
		disarm(t, db)
		exec(t, db, `UPDATE audit SET seat = 'fed.chair' WHERE id = ?`, victim)
		rep := verify(t, db)
		if len(rep.Faults) != 1 || !strings.Contains(rep.Faults[0], victim.String()) {
			t.Fatalf("changed row: %v", rep.Faults)
		}
		exec(t, db, `UPDATE audit SET seat = 'office.head' WHERE id = ?`, victim)
		if rep := verify(t, db); len(rep.Faults) != 0 {
			t.Fatalf("changed back: %v", rep.Faults)
		}
		exec(t, db, `DELETE FROM audit_seal WHERE seq = 3`)
		if rep := verify(t, db); len(rep.Faults) == 0 || !strings.Contains(fmt.Sprint(rep.Faults), "seal 3 is missing") {
			t.Fatalf("removed seal: %v", rep.Faults)
		}
	})
}

func TestRowSlippedInIsAFault(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		record(t, db, 2)
		sealAll(t, db)
		record(t, db, 1)
		disarm(t, db)
		exec(t, db, `UPDATE audit SET recorded_at = ? WHERE id NOT IN (SELECT audit_id FROM audit_seal)`, time.Now().Add(-time.Hour).UTC())
		rep := verify(t, db)
		if len(rep.Faults) != 1 || rep.UnsealedTail != 1 {
			t.Fatalf("%+v", rep)
		}
	})
}

func signer() audit.Signer {
	_, key, _ := ed25519.GenerateKey(nil)
	return audit.Signer{Key: key, Origin: "kelian.example.edu"}
}

func TestCheckpointIsSigned(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		record(t, db, 4)
		sealAll(t, db)
		by := signer()
		c, err := audit.Checkpoint(context.Background(), db, by, testkit.Start)
		if err != nil || c.Seq != 4 {
			t.Fatal(c, err)
		}
		if h, err := audit.ReadCheckpoint(c.Note, by.Public()); err != nil || h.Seq != 4 || h.Origin != by.Origin || len(h.Hash) != 64 {
			t.Fatal(h, err)
		}
		for name, note := range map[string]string{"size": strings.Replace(c.Note, "\n4\n", "\n3\n", 1), "origin": strings.Replace(c.Note, "kelian.", "other.", 1), "nothing": "", "text": "a\n\n— "} {
			if _, err := audit.ReadCheckpoint(note, by.Public()); err == nil {
				t.Errorf("a checkpoint with another %s was believed", name)
			}
		}
		if _, err := audit.ReadCheckpoint(c.Note, signer().Public()); err == nil {
			t.Error("a checkpoint was believed under another key")
		}
		if _, err := db.Bun().Exec(`UPDATE audit_checkpoint SET note = 'x'`); err == nil || !store.IsConstraint(err) {
			t.Errorf("a kept checkpoint was changed: %v", err)
		}
	})
}

// The rows about one object are proved to stand in the chain by leaves and
// checkpoints alone; whoever changes any of them is found out.
func TestRowsAboutAnObjectAreProvedByLeaves(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, by, object := context.Background(), signer(), id.New()
		about := func() {
			_, err := store.InTx(ctx, db, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) {
				audit.Record(tx, audit.Entry{Action: "test.do", Object: outbox.Ref{Kind: "req", ID: object}, At: testkit.Start})
				return 0, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		record(t, db, 3)
		about()
		record(t, db, 2)
		sealAll(t, db)
		if _, err := audit.Checkpoint(ctx, db, by, testkit.Start); err != nil { // behind seal 6
			t.Fatal(err)
		}
		record(t, db, 1)
		about()
		about()
		sealAll(t, db)
		about() // not sealed
		rows, stretches, err := audit.About(ctx, db, by, object, testkit.Start)
		if err != nil || len(rows) != 4 || rows[0].Seal != 4 || rows[1].Seal != 8 || rows[2].Seal != 9 || rows[3].Seal != 0 || len(stretches) != 2 ||
			len(stretches[0].Leaves) != 3 || len(stretches[1].Leaves) != 2 {
			t.Fatalf("%+v %+v %v", rows, stretches, err)
		}
		verify := func(note string) (audit.Head, error) { return audit.ReadCheckpoint(note, by.Public()) }
		leaves, faults := audit.Included(stretches, verify)
		if len(faults) != 0 || leaves[4] != audit.Leaf(rows[0].Row) || leaves[9] != audit.Leaf(rows[2].Row) {
			t.Fatal(leaves, faults)
		}
		for name, change := range map[string]func(){
			"leaf": func() { stretches[0].Leaves[1] = stretches[0].Leaves[0] }, "from": func() { stretches[0].From++ },
			"prev": func() { stretches[0].Prev = audit.Zero }, "cut": func() { stretches[0].Leaves = stretches[0].Leaves[:2] },
		} {
			kept := stretches[0]
			kept.Leaves = append([]string(nil), kept.Leaves...)
			change()
			if _, faults := audit.Included(stretches, verify); len(faults) == 0 {
				t.Errorf("a changed %s was not seen", name)
			}
			stretches[0] = kept
		}
	})
}

// disarm takes the triggers away, as somebody with the database's password could.
func disarm(t *testing.T, db *store.DB) {
	t.Helper()
	if db.Postgres() {
		exec(t, db, `DROP TRIGGER audit_frozen ON audit`)
		exec(t, db, `DROP TRIGGER audit_seal_frozen ON audit_seal`)
		return
	}
	for _, name := range []string{"audit_frozen_update", "audit_frozen_delete", "audit_seal_frozen_update", "audit_seal_frozen_delete"} {
		exec(t, db, `DROP TRIGGER `+name)
	}
}

func exec(t *testing.T, db *store.DB, stmt string, args ...any) {
	t.Helper()
	if _, err := db.Bun().Exec(stmt, args...); err != nil {
		t.Fatal(err)
	}
}
