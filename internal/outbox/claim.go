package outbox

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// The limits of the relay (docs/limits.md).
const (
	Batch       = 500              // rows claimed by one statement
	Window      = 2000             // rows per queue that are sent and not done
	Visibility  = 45 * time.Second // a row sent and not done after it is pending again
	MaxFailures = 15               // ≈ 22 h of back-off, then dead
)

// Claimed is what the relay hands to the queue.
type Claimed struct {
	ID        id.ID `json:"id"`
	Attempt   int   `json:"attempt"`
	Aggregate id.ID `json:"-"` // zero = about no object
}

// Claim marks up to Batch due rows of the queue as sent, each with its next
// attempt, and commits; what the caller then fails to enqueue it gives back by
// Release. now is business time. It takes nothing until the window has room for
// a whole batch: a full window that is topped up row by row is counted once for
// each row.
func Claim(ctx context.Context, db *store.DB, queue string, now time.Time) ([]Claimed, error) {
	return store.InTx(ctx, db, store.Internal("outbox.claim"), func(ctx context.Context, tx *store.Tx) ([]Claimed, error) {
		var out []Claimed
		err := tx.NewRaw(`WITH room AS (
				SELECT ? - count(*) AS n FROM outbox WHERE queue = ? AND state = 'sent'
			), due AS (
				SELECT id FROM outbox WHERE queue = ? AND state = 'pending' AND due_at <= ?
				ORDER BY due_at LIMIT (SELECT CASE WHEN n < ? THEN 0 ELSE ? END FROM room) ?
			)
			UPDATE outbox SET state = 'sent', sent_at = ?, attempt = attempt + 1
			WHERE id IN (SELECT id FROM due) RETURNING id, attempt, aggregate`,
			Window, queue, queue, now, Batch, Batch, db.Lock(true), db.Now()).Scan(ctx, &out)
		if store.NoRows(err) {
			err = nil
		}
		return out, err
	})
}

// Release makes rows pending again that were claimed but not enqueued.
func Release(ctx context.Context, db *store.DB, rows []Claimed) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := store.InTx(ctx, db, store.Internal("outbox.release"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		for _, r := range rows {
			tx.QueueSQL(`UPDATE outbox SET state = 'pending' WHERE id = ? AND state = 'sent' AND attempt = ?`, r.ID, r.Attempt)
		}
		return struct{}{}, nil
	})
	return err
}

// Reclaim makes rows pending again that were sent longer ago than visibility
// and are not done, whatever Redis says about them.
func Reclaim(ctx context.Context, db *store.DB, visibility time.Duration) (int64, error) {
	return store.InTx(ctx, db, store.Internal("outbox.reclaim"), func(ctx context.Context, tx *store.Tx) (int64, error) {
		res, err := tx.NewRaw(`UPDATE outbox SET state = 'pending' WHERE queue IN (?) AND state = 'sent' AND sent_at < ?`, bun.List(Queues), db.Ago(visibility)).Exec(ctx)
		if err != nil {
			return 0, err
		}
		return res.RowsAffected()
	})
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error that no repetition can mend: the row becomes dead
// at once.
func Permanent(err error) error { return permanent{err} }

// Fail books a failed attempt: pending again after a back-off with jitter
// (5 s, tripled each time, at most 3 h), or dead.
func Fail(ctx context.Context, db *store.DB, d Delivery, now time.Time, cause error) error {
	_, err := store.InTx(ctx, db, store.Internal("outbox.fail"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		state := "pending"
		var p permanent
		if errors.As(cause, &p) || d.Failures+1 >= MaxFailures {
			state = "dead"
		}
		msg := cause.Error()
		if len(msg) > 500 {
			msg = msg[:500]
		}
		tx.QueueSQL(`UPDATE outbox SET state = ?, failures = failures + 1, error = ?, due_at = ? WHERE id = ? AND state = 'sent' AND attempt = ?`,
			state, msg, now.Add(backoff(d.Failures)), d.ID, d.Attempt)
		return struct{}{}, nil
	})
	return err
}

func backoff(failures int) time.Duration {
	wait := 5 * time.Second
	for range failures {
		wait = min(3*wait, 3*time.Hour)
	}
	return wait*3/4 + rand.N(wait/2)
}

// Revive makes a dead row pending again, by an operator's hand.
func Revive(tx *store.Tx, row id.ID) {
	tx.QueueSQL(`UPDATE outbox SET state = 'pending', failures = 0 WHERE id = ? AND state = 'dead'`, row)
	tx.OnCommit(poke)
}

// Stats counts the rows that are due, and those that are dead, and tells the age
// of the oldest that is due.
type Stats struct {
	Pending, Sent, Dead int64
	Oldest              time.Duration
}

// Measure reads the state of all queues; now is business time.
func Measure(ctx context.Context, db *store.DB, now time.Time) (Stats, error) {
	var rows []struct {
		State string
		N     int64
		Due   time.Time
	}
	err := db.R.NewSelect().Table("outbox").ColumnExpr("state, count(*) AS n, min(CASE WHEN due_at > ? THEN due_at ELSE created_at END) AS due", epoch).
		Where("state IN ('pending', 'sent') AND due_at <= ? OR state = 'dead'", now).GroupExpr("state").Scan(ctx, &rows)
	var s Stats
	for _, r := range rows {
		switch r.State {
		case "pending":
			s.Pending = r.N
			s.Oldest = max(0, now.Sub(r.Due))
		case "sent":
			s.Sent = r.N
		case "dead":
			s.Dead = r.N
		}
	}
	return s, store.Busy(err)
}
