package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/store"
)

// Sealer chains the audit log while it holds the lease, at most a second
// behind, and writes a signed checkpoint every five minutes or 1,000 rows.
type Sealer struct {
	DB     *store.DB
	Clock  clock.Clock
	Log    *slog.Logger
	Signer audit.Signer
	Dir    string // where checkpoints go beside the database; "" = nowhere
}

const (
	sealEvery       = time.Second
	checkpointEvery = 5 * time.Minute
	checkpointRows  = 1000
)

// Run seals until ctx ends.
func (s Sealer) Run(ctx context.Context) {
	owner := id.New().String()
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	rows, last := 0, time.Now()
	defer func() { _ = s.DB.Unlease(context.WithoutCancel(ctx), audit.SealerLease, owner) }()
	for {
		if n, err := s.step(ctx, owner); err != nil && ctx.Err() == nil {
			s.Log.Warn("the audit log could not be sealed; trying again", "error", err)
		} else if rows += n; rows > 0 && (rows >= checkpointRows || time.Since(last) >= checkpointEvery) {
			s.checkpoint(ctx)
			rows, last = 0, time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s Sealer) step(ctx context.Context, owner string) (total int, err error) {
	holds, err := s.DB.Lease(ctx, audit.SealerLease, owner, 5*sealEvery)
	if err != nil || !holds {
		return 0, err
	}
	for {
		n, err := audit.SealNext(ctx, s.DB, s.Clock.Now())
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}

func (s Sealer) checkpoint(ctx context.Context) {
	c, err := audit.Checkpoint(ctx, s.DB, s.Signer, s.Clock.Now())
	if err == nil && c.Seq > 0 && s.Dir != "" {
		err = audit.WriteCheckpoint(s.Dir, c)
	}
	if err != nil {
		s.Log.Warn("no checkpoint was written", "error", err)
	}
}

// Keep is one row of the retention list: rows of the table older than For, by
// the column, are deleted, oldest first.
type Keep struct {
	Table, Column string
	Where         string // narrows to rows that may go; "" = all
	What          string // for the operators' guide
	For           time.Duration
	Business      bool // the column holds business time, not the database's
	// Unix says that the column holds business time in Unix seconds. A table
	// that PostgreSQL keeps in parts is such a one, and its parts are dropped
	// whole.
	Unix bool
	// Until gives the moment before which rows may go at all; nil = any.
	Until func(ctx context.Context, db *store.DB) (time.Time, error)
}

const retentionBatch = 2000

// Forget runs the list once and says how many rows went, a dropped part counted
// as one; each batch is a transaction of its own. A table that fails keeps none
// of the others waiting.
func Forget(ctx context.Context, db *store.DB, now time.Time, list []Keep) (int64, error) {
	var total int64
	var errs []error
	for _, k := range list {
		n, err := k.forget(ctx, db, now)
		total += n
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.Table, err))
		}
	}
	return total, errors.Join(errs...)
}

func (k Keep) forget(ctx context.Context, db *store.DB, now time.Time) (total int64, err error) {
	before := now.Add(-k.For)
	if k.Until != nil {
		until, err := k.Until(ctx, db)
		if err != nil {
			return 0, err
		}
		if until.Before(before) {
			before = until
		}
	}
	if p, ok := store.PartitionOf(k.Table); ok && db.Postgres() {
		if total, err = store.DropPartitions(ctx, db, p, before); err != nil {
			return total, err
		}
		k.Table = p.Rest()
	}
	for {
		n, err := forgetBatch(ctx, db, before, k)
		total += n
		if err != nil || n < retentionBatch {
			return total, err
		}
	}
}

func forgetBatch(ctx context.Context, db *store.DB, before time.Time, k Keep) (int64, error) {
	return store.InTx(ctx, db, store.Internal("retention"), func(ctx context.Context, tx *store.Tx) (int64, error) {
		pick := tx.NewSelect().Table(k.Table).ColumnExpr(rowKey(db)).OrderExpr(k.Column).Limit(retentionBatch)
		switch {
		case k.Unix:
			pick = pick.Where(k.Column+" < ?", before.Unix())
		case k.Business:
			pick = pick.Where(k.Column+" < ?", before)
		default:
			pick = pick.Where(k.Column+" < ?", db.Ago(k.For))
		}
		if k.Where != "" {
			pick = pick.Where(k.Where)
		}
		res, err := tx.NewDelete().Table(k.Table).Where(rowKey(db)+" IN (?)", pick).Exec(ctx)
		if err != nil {
			return 0, err
		}
		return res.RowsAffected()
	})
}

// rowKey is the physical name of a row, which every table has.
func rowKey(db *store.DB) string {
	if db.Postgres() {
		return "ctid"
	}
	return "rowid"
}

// RunRetention forgets hourly, in the process that holds the lease.
func RunRetention(ctx context.Context, db *store.DB, c clock.Clock, log *slog.Logger, list []Keep) {
	owner := id.New().String()
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if holds, err := db.Lease(ctx, "retention", owner, 90*time.Minute); err == nil && holds {
			if n, err := Forget(ctx, db, c.Now(), list); err != nil && ctx.Err() == nil {
				log.Warn("retention stopped early", "error", err)
			} else if n > 0 {
				log.Info("retention", "rows", n)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
