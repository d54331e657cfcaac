package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"

	"github.com/uptrace/bun"
)

type settingRow struct {
	bun.BaseModel `bun:"table:setting"`

	Name  string `bun:",pk"`
	Value string
	At    time.Time
}

func TestReadsTogetherAnswerLikeOneByOne(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		at := testkit.Start.Add(123456 * time.Microsecond)
		one := id.New()
		type mixed struct {
			ID    id.ID
			Owner id.ID `bun:",nullzero"`
			Yes   bool
			Big   int64
			Half  float64
			Text  string
			Text2 *string
			At    time.Time
		}
		check := func(q bun.IDB) {
			t.Helper()
			r := store.NewReads(q)
			var settings, none []settingRow
			var names []string
			var times []time.Time
			var counts []int64
			var all []mixed
			r.Add(&settings, q.NewSelect().Model((*settingRow)(nil)).OrderExpr("name DESC"))
			r.SQL(&none, `SELECT name, value, at FROM setting WHERE name = ?`, "nobody's")
			r.SQL(&names, `SELECT name FROM setting ORDER BY name`)
			r.SQL(&times, `SELECT at FROM setting WHERE name = 'a'`)
			r.SQL(&counts, `SELECT count(*) FROM setting`)
			r.SQL(&all, `SELECT CAST(? AS `+uuid(q)+`) AS id, NULL AS owner, 1 = 1 AS yes, CAST(9007199254740993 AS bigint) AS big, 0.5 AS half,
				? AS text, NULL AS text2, at FROM setting WHERE name = 'a'`, one, "他说\"好\"; DROP\n?")
			if err := r.Run(ctx); err != nil {
				t.Fatal(err)
			}
			if len(settings) != 2 || settings[0].Name != "b" || settings[1].Value != "x" || !settings[1].At.Equal(at) || len(none) != 0 {
				t.Errorf("settings %v, none %v", settings, none)
			}
			if !slices.Equal(names, []string{"a", "b"}) || len(times) != 1 || !times[0].Equal(at) || !slices.Equal(counts, []int64{2}) {
				t.Errorf("names %v, times %v, counts %v", names, times, counts)
			}
			if len(all) != 1 {
				t.Fatalf("%d rows", len(all))
			}
			m := all[0]
			if m.ID != one || !m.Owner.IsZero() || !m.Yes || m.Big != 9007199254740993 || m.Half != 0.5 || m.Text != "他说\"好\"; DROP\n?" || m.Text2 != nil || !m.At.Equal(at) {
				t.Errorf("%+v", m)
			}
			// The same reads once more fill the same variables anew.
			r.SQL(&names, `SELECT name FROM setting WHERE name = 'b'`)
			r.SQL(&counts, `SELECT 7`)
			if err := r.Run(ctx); err != nil || !slices.Equal(names, []string{"b"}) || !slices.Equal(counts, []int64{7}) {
				t.Errorf("again: %v %v %v", names, counts, err)
			}
		}
		_, err := store.InTx(ctx, db, store.Internal("reads"), func(_ context.Context, tx *store.Tx) (int, error) {
			tx.Queue(db.Bun().NewInsert().Model(&settingRow{Name: "a", Value: "x", At: at}))
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES ('b', 'y', ?)`, at)
			check(tx) // what is queued is seen
			return 0, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		check(db.R)
	})
}

func uuid(q bun.IDB) string {
	if q.Dialect().Name().String() == "pg" {
		return "uuid"
	}
	return "text"
}

func TestReadsTakeOneRoundTripAndFailAsOne(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		before := db.Trips()
		_, err := store.InTx(ctx, db, store.Internal("reads"), func(_ context.Context, tx *store.Tx) (int, error) {
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES ('b', 'y', ?)`, testkit.Start)
			r := store.NewReads(tx)
			var a, b []int
			r.SQL(&a, `SELECT 1`)
			r.SQL(&b, `INSERT INTO counter (name, value) VALUES ('n', 41) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1 RETURNING value`)
			if err := r.Run(ctx); err != nil {
				return 0, err
			}
			return a[0] + b[0], nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := db.Trips() - before; db.Postgres() && n != 3 {
			t.Errorf("%d round trips, want begin, reads and commit", n)
		}
		_, err = store.InTx(ctx, db, store.Internal("twice"), func(_ context.Context, tx *store.Tx) (int, error) {
			tx.QueueSQL(`INSERT INTO setting (name, value, at) VALUES ('b', 'y', ?)`, testkit.Start)
			r := store.NewReads(tx)
			var a, b []int
			r.SQL(&a, `SELECT 1`)
			r.SQL(&b, `SELECT 2`)
			return 0, r.Run(ctx)
		})
		if !store.IsUnique(err, "setting") {
			t.Errorf("the queued write before the reads was refused with %v", err)
		}
	})
}
