package store_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"kelian/internal/audit"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

// An archive of either database fills the other one, and the audit chain
// holds there.
func TestArchiveMovesBetweenDialects(t *testing.T) {
	testkit.Each(t, func(t *testing.T, from *store.DB) {
		ctx := context.Background()
		_, err := store.InTx(ctx, from, store.FromClient(from, id.New(), "m", "k", "in"), func(_ context.Context, tx *store.Tx) (int, error) {
			for range 3 {
				audit.Record(tx, audit.Entry{Actor: id.New(), Action: "t.do", Object: outbox.Ref{Kind: "x", ID: id.New()}, At: testkit.Start, Data: "王伟's \"日\""})
			}
			outbox.Put(tx, outbox.Event{Topic: "t.put", Payload: map[string]string{"a": "b"}})
			return 7, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, "sealed", func() bool {
			n, err := audit.SealNext(ctx, from, testkit.Start)
			return err == nil && n == 3
		})
		var archive bytes.Buffer
		rows, err := store.Dump(ctx, from, &archive, testkit.Start, nil)
		if err != nil {
			t.Fatal(err)
		}
		targets := []*store.DB{testkit.SQLite(t)}
		if testkit.PostgresURL() != "" {
			targets = append(targets, testkit.Postgres(t))
		}
		for _, to := range targets {
			n, err := store.Restore(ctx, to, bytes.NewReader(archive.Bytes()), nil)
			if err != nil || n != rows {
				t.Fatalf("%d rows of %d, %v", n, rows, err)
			}
			if rep, err := audit.Verify(ctx, to); err != nil || rep.Sealed != 3 || len(rep.Faults) > 0 {
				t.Fatalf("%+v %v", rep, err)
			}
			if _, err := store.Restore(ctx, to, bytes.NewReader(archive.Bytes()), nil); !errors.Is(err, store.ErrNotEmpty) {
				t.Fatalf("a second restore: %v", err)
			}
			// Life goes on behind the restored rows.
			if _, err := store.InTx(ctx, to, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) {
				audit.Record(tx, audit.Entry{Action: "t.after", At: testkit.Start})
				return 0, nil
			}); err != nil {
				t.Fatal(err)
			}
			testkit.Eventually(t, "the next row is sealed", func() bool {
				n, err := audit.SealNext(ctx, to, testkit.Start)
				if err != nil {
					t.Fatal(err)
				}
				return n == 1
			})
		}
	})
}

func TestCutArchiveChangesNothing(t *testing.T) {
	ctx := context.Background()
	from, to := testkit.SQLite(t), testkit.SQLite(t)
	if _, err := put(ctx, from, store.Internal("x"), "a"); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if _, err := store.Dump(ctx, from, &archive, testkit.Start, nil); err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{archive.String()[:archive.Len()-9], "nonsense", ""} {
		if _, err := store.Restore(ctx, to, strings.NewReader(raw), nil); err == nil {
			t.Fatal("a damaged archive was accepted")
		}
	}
	if n := count(t, to); n != 0 {
		t.Fatalf("%d rows", n)
	}
}
