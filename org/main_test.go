package org_test

import (
	"context"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var bg = context.Background()

// inTx runs fn as one internal command and fails the test if it is refused.
func inTx(t *testing.T, db *store.DB, fn func(tx *store.Tx)) {
	t.Helper()
	if _, err := store.InTx(bg, db, store.Internal("test"), func(_ context.Context, tx *store.Tx) (int, error) {
		fn(tx)
		return 0, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// unit makes a unit with one seat for each role.
func unit(t *testing.T, db *store.DB, code, parent string, capacity int, roles ...org.Role) {
	t.Helper()
	u := org.Unit{ID: id.New(), Code: code, Kind: org.Department, NameZh: code, NameEn: code, ShortZh: code, ShortEn: code}
	if parent != "" {
		p, err := org.UnitByCode(bg, db.R, parent)
		if err != nil {
			t.Fatal(err)
		}
		u.Parent = p.ID
	}
	inTx(t, db, func(tx *store.Tx) {
		tx.Queue(db.Bun().NewInsert().Model(&u))
		for _, r := range roles {
			s := org.Seat{ID: id.New(), UnitID: u.ID, Role: r, Name: code + "." + string(r), TitleZh: "岗", TitleEn: "seat", Capacity: capacity}
			tx.Queue(db.Bun().NewInsert().Model(&s))
		}
	})
}

func seatID(t *testing.T, db *store.DB, name string) (out id.ID) {
	t.Helper()
	if err := db.R.NewRaw(`SELECT id FROM seat WHERE name = ?`, name).Scan(bg, &out); err != nil {
		t.Fatal(name, err)
	}
	return out
}

// person makes somebody with a name who holds the seats from the start on.
func person(t *testing.T, db *store.DB, name string, seats ...string) id.ID {
	t.Helper()
	p := org.Person{ID: id.New(), Kind: org.Officer, Lang: "zh", CreatedAt: testkit.Start}
	inTx(t, db, func(tx *store.Tx) {
		tx.Queue(db.Bun().NewInsert().Model(&p))
		org.SetPersonal(tx, db.Key(), p.ID, testkit.Start, time.Time{}, map[string]string{org.FieldName: name})
		for _, s := range seats {
			ten := org.Tenure{ID: id.New(), SeatID: seatID(t, db, s), PersonID: p.ID, Kind: org.Full, From: testkit.Start}
			tx.Queue(db.Bun().NewInsert().Model(&ten))
		}
	})
	return p.ID
}
