package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/driver/pgdriver"
)

// Partition is a table that grows by time and that PostgreSQL keeps in parts
// of a day, month or year (UTC), so that what is old goes by dropping a part.
// Column holds Unix seconds. What no part takes goes to <table>_default, so a
// write never fails for want of a part. SQLite has one table.
type Partition struct {
	Table, Column string
	Months        int // 0 = parts of a day
}

// Partitions lists them; the schema makes the default parts.
var Partitions = []Partition{
	{"round", "epoch", 0},
	{"history_block", "hour", 0},
	{"history_hour", "hour", 1},
	{"history_day", "day", 12},
}

// PartitionOf finds a table in the list.
func PartitionOf(table string) (Partition, bool) {
	i := slices.IndexFunc(Partitions, func(p Partition) bool { return p.Table == table })
	if i < 0 {
		return Partition{}, false
	}
	return Partitions[i], true
}

// Rest is the part that holds what no other takes.
func (p Partition) Rest() string { return p.Table + "_default" }

// part gives the part's name and bounds around a moment.
func (p Partition) part(at time.Time) (name string, from, to time.Time) {
	at = at.UTC()
	switch p.Months {
	case 0:
		from = time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
		return p.Table + "_p" + from.Format("20060102"), from, from.AddDate(0, 0, 1)
	case 1:
		from = time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
		return p.Table + "_p" + from.Format("200601"), from, from.AddDate(0, 1, 0)
	}
	from = time.Date(at.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	return p.Table + "_p" + from.Format("2006"), from, from.AddDate(1, 0, 0)
}

// MakePartitions makes the parts that lack between two moments. A part whose
// rows stand in the default part already is not made: they are forgotten there.
func MakePartitions(ctx context.Context, db *DB, from, until time.Time) error {
	if !db.Postgres() {
		return nil
	}
	var errs []error
	for _, p := range Partitions {
		known, err := p.parts(ctx, db.R)
		if err != nil {
			return err
		}
		for at := from; at.Before(until); {
			name, _, to := p.part(at)
			if at = to; slices.Contains(known, name) {
				continue
			}
			_, err := InTx(ctx, db, Internal("partition"), func(ctx context.Context, tx *Tx) (struct{}, error) {
				return struct{}{}, p.make(ctx, tx, to.Add(-1))
			})
			if err != nil && !taken(err) {
				errs = append(errs, fmt.Errorf("partition %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// taken says that rows of a new part stand in the default part.
func taken(err error) bool {
	var pg pgdriver.Error
	return errors.As(err, &pg) && pg.Field('C') == "23514"
}

// partitionLock keeps two processes from making the same part at once.
const partitionLock = 70_512_462

// make makes the part around a moment, unless it or a row of it is there. It is
// attached, not made in place: that locks out only writers of the default part.
func (p Partition) make(ctx context.Context, tx *Tx, at time.Time) error {
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(?)", partitionLock); err != nil {
		return err
	}
	name, from, to := p.part(at)
	known, err := p.parts(ctx, tx)
	if err != nil || slices.Contains(known, name) {
		return err
	}
	var stray []bool
	err = tx.NewRaw("SELECT EXISTS (SELECT 1 FROM ? WHERE ? >= ? AND ? < ?)", bun.Ident(p.Rest()), bun.Ident(p.Column), from.Unix(), bun.Ident(p.Column), to.Unix()).Scan(ctx, &stray)
	if err != nil || stray[0] {
		return err
	}
	_, err = tx.ExecContext(ctx, "CREATE TABLE ? (LIKE ? INCLUDING ALL);\nALTER TABLE ? ATTACH PARTITION ? FOR VALUES FROM (?) TO (?)",
		bun.Ident(name), bun.Ident(p.Table), bun.Ident(p.Table), bun.Ident(name), from.Unix(), to.Unix())
	return err
}

func (p Partition) parts(ctx context.Context, q bun.IDB) ([]string, error) {
	var names []string
	err := q.NewRaw(`SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
		WHERE i.inhparent = CAST(? AS regclass) ORDER BY c.relname`, p.Table).Scan(ctx, &names)
	if err != nil && !NoRows(err) {
		return nil, Busy(err)
	}
	return names, nil
}

// DropPartitions drops the parts that end before a moment, oldest first, and
// says how many went.
func DropPartitions(ctx context.Context, db *DB, p Partition, before time.Time) (int64, error) {
	if !db.Postgres() {
		return 0, nil
	}
	known, err := p.parts(ctx, db.R)
	if err != nil {
		return 0, err
	}
	// The names sort by time.
	end, _, _ := p.part(before)
	var n int64
	for _, name := range known {
		if name == p.Rest() || name >= end {
			continue
		}
		_, err := InTx(ctx, db, Internal("partition"), func(ctx context.Context, tx *Tx) (struct{}, error) {
			_, err := tx.ExecContext(ctx, "DROP TABLE IF EXISTS ?", bun.Ident(name))
			return struct{}{}, err
		})
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// roomFor makes the parts that rows of an archive belong to, given the values
// of Column.
func (p Partition) roomFor(ctx context.Context, tx *Tx, seconds []int64) error {
	done := int64(math.MinInt64)
	slices.Sort(seconds)
	for _, s := range seconds {
		if s < done {
			continue
		}
		if err := p.make(ctx, tx, time.Unix(s, 0)); err != nil {
			return err
		}
		_, _, to := p.part(time.Unix(s, 0))
		done = to.Unix()
	}
	return nil
}
