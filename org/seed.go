package org

import (
	"context"
	"fmt"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
)

// Seeded says what Seed created.
type Seeded struct{ Units, Seats int }

// Seed creates the template's units and seats that are not there yet and leaves
// those that are as they stand, so that it may run at every start.
func Seed(ctx context.Context, db *store.DB, clk clock.Clock, template []UnitSpec) (Seeded, error) {
	now := clk.Now()
	return store.InTx(ctx, db, store.Internal("org.seed"), func(ctx context.Context, tx *store.Tx) (Seeded, error) {
		var done Seeded
		units, err := Units(ctx, tx)
		if err != nil {
			return done, err
		}
		seats, err := Seats(ctx, tx, "")
		if err != nil {
			return done, err
		}
		ids, have := map[string]id.ID{}, map[string]bool{}
		for _, u := range units {
			ids[u.Code] = u.ID
		}
		for _, s := range seats {
			have[s.Name] = true
		}
		for _, spec := range template {
			if ids[spec.Code].IsZero() {
				if spec.Parent != "" && ids[spec.Parent].IsZero() {
					return done, fmt.Errorf("org: the template's unit %s stands before its parent %s", spec.Code, spec.Parent)
				}
				ids[spec.Code] = id.New()
				done.Units++
				tx.Queue(db.Bun().NewInsert().Model(&Unit{ID: ids[spec.Code], Code: spec.Code, Kind: spec.Kind, Parent: ids[spec.Parent],
					NameZh: spec.Name.Zh, NameEn: spec.Name.En, ShortZh: spec.Short.Zh, ShortEn: spec.Short.En, College: spec.College}))
			}
			for _, s := range spec.Seats {
				name := spec.Code + "." + string(s.Role)
				if have[name] {
					continue
				}
				done.Seats++
				tx.Queue(db.Bun().NewInsert().Model(&Seat{ID: id.New(), UnitID: ids[spec.Code], Role: s.Role, Name: name,
					TitleZh: s.Title.Zh, TitleEn: s.Title.En, Capacity: s.Capacity}))
			}
		}
		if done.Units+done.Seats > 0 {
			audit.Record(tx, audit.Entry{Action: "org.seed", Object: outbox.Ref{Kind: "unt"}, Data: done, At: now})
		}
		return done, nil
	})
}
