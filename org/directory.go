package org

import (
	"context"
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Holder is a person on a seat.
type Holder struct {
	Person id.ID
	Seat   string // e.g. technical.head
	Unit   string // e.g. technical
	Kind   TenureKind
}

// Holders gives those who hold the seat at time now, sorted by person.
func Holders(ctx context.Context, q bun.IDB, seat string, now time.Time) ([]Holder, error) {
	var rows []Holder
	err := q.NewRaw(`SELECT tenure.person_id AS person, seat.name AS seat, unit.code AS unit, tenure.kind AS kind
		FROM tenure JOIN seat ON seat.id = tenure.seat_id JOIN unit ON unit.id = seat.unit_id JOIN person ON person.id = tenure.person_id
		WHERE seat.name = ? AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?) AND person.erased_at IS NULL
		ORDER BY tenure.person_id`, seat, now, now).Scan(ctx, &rows)
	return rows, noRows(err)
}

// AskHolders reads the holders of several seats beside other reads: in the
// order of the seats as given, then by person.
func AskHolders(r *store.Reads, now time.Time, seats ...string) func() []Holder {
	var rows []Holder
	if len(seats) > 0 {
		r.SQL(&rows, `SELECT tenure.person_id AS person, seat.name AS seat, unit.code AS unit, tenure.kind AS kind
			FROM tenure JOIN seat ON seat.id = tenure.seat_id JOIN unit ON unit.id = seat.unit_id JOIN person ON person.id = tenure.person_id
			WHERE seat.name IN (?) AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?) AND person.erased_at IS NULL
			ORDER BY tenure.person_id`, bun.List(seats), now, now)
	}
	return func() []Holder {
		slices.SortStableFunc(rows, func(a, b Holder) int { return slices.Index(seats, a.Seat) - slices.Index(seats, b.Seat) })
		return rows
	}
}

// Delegates gives those to whom a present holder delegated the seat.
func Delegates(ctx context.Context, q bun.IDB, seat string, now time.Time) ([]Holder, error) {
	var rows []Holder
	err := q.NewRaw(`SELECT DISTINCT d.to_person AS person, seat.name AS seat, unit.code AS unit, 'ACTING' AS kind
		FROM delegation AS d JOIN seat ON seat.id = d.seat_id JOIN unit ON unit.id = seat.unit_id JOIN person ON person.id = d.to_person
		JOIN tenure ON tenure.seat_id = d.seat_id AND tenure.person_id = d.from_person
		WHERE seat.name = ? AND d.from_at <= ? AND d.until_at > ? AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?)
		AND person.erased_at IS NULL ORDER BY person`, seat, now, now, now, now).Scan(ctx, &rows)
	return rows, noRows(err)
}

// ViceOf gives the vice-chairs who answer for the unit: those whose portfolio
// names it, else those of its parent, and so on upwards.
func ViceOf(ctx context.Context, q bun.IDB, unit string, now time.Time) ([]Holder, error) {
	return PortfolioOf(ctx, q, unit, Vice, now)
}

// PortfolioOf is ViceOf for any role that may answer for units, e.g. Teacher.
// A portfolio counts only while its person holds its seat.
func PortfolioOf(ctx context.Context, q bun.IDB, unit string, role Role, now time.Time) ([]Holder, error) {
	type row struct {
		Holder
		Depth int
	}
	var rows []row
	err := q.NewRaw(`WITH RECURSIVE up (id, parent, depth) AS (
			SELECT id, parent, 0 FROM unit WHERE code = ?
			UNION ALL SELECT unit.id, unit.parent, up.depth + 1 FROM unit JOIN up ON unit.id = up.parent WHERE up.depth < 10)
		SELECT p.person_id AS person, seat.name AS seat, unit.code AS unit, tenure.kind AS kind, up.depth AS depth
		FROM up JOIN portfolio AS p ON p.unit_id = up.id JOIN seat ON seat.id = p.seat_id JOIN unit ON unit.id = seat.unit_id
		JOIN tenure ON tenure.seat_id = p.seat_id AND tenure.person_id = p.person_id JOIN person ON person.id = p.person_id
		WHERE seat.role = ? AND p.from_at <= ? AND (p.until_at IS NULL OR p.until_at > ?)
		AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?) AND person.erased_at IS NULL
		ORDER BY up.depth, p.person_id`, unit, role, now, now, now, now).Scan(ctx, &rows)
	var out []Holder
	for _, r := range rows {
		if r.Depth == rows[0].Depth {
			out = append(out, r.Holder)
		}
	}
	return out, noRows(err)
}

// UnitByCode reads one unit.
func UnitByCode(ctx context.Context, q bun.IDB, code string) (Unit, error) {
	var u Unit
	err := q.NewSelect().Model(&u).Where("code = ?", code).Scan(ctx)
	if store.NoRows(err) {
		return u, fault.Missing()
	}
	return u, store.Busy(err)
}

// Units reads all units, sorted by code.
func Units(ctx context.Context, q bun.IDB) ([]Unit, error) {
	var rows []Unit
	err := q.NewSelect().Model(&rows).OrderExpr("code").Scan(ctx)
	return rows, noRows(err)
}

// Seats reads the seats of a unit by code, or of all units for "", sorted by
// name.
func Seats(ctx context.Context, q bun.IDB, unit string) ([]Seat, error) {
	var rows []Seat
	sel := q.NewSelect().Model(&rows).OrderExpr("name")
	if unit != "" {
		sel = sel.Where("unit_id = (SELECT id FROM unit WHERE code = ?)", unit)
	}
	return rows, noRows(sel.Scan(ctx))
}

// LiaisonOf gives the supervision officers who look after the unit.
func LiaisonOf(ctx context.Context, q bun.IDB, unit string, now time.Time) ([]id.ID, error) {
	var rows []id.ID
	err := q.NewRaw(`SELECT l.person_id FROM liaison AS l JOIN unit ON unit.id = l.unit_id JOIN person ON person.id = l.person_id
		WHERE unit.code = ? AND l.from_at <= ? AND (l.until_at IS NULL OR l.until_at > ?) AND person.erased_at IS NULL
		ORDER BY l.person_id`, unit, now, now).Scan(ctx, &rows)
	return rows, noRows(err)
}

// noRows lets a list be empty.
func noRows(err error) error {
	if store.NoRows(err) {
		return nil
	}
	return store.Busy(err)
}
