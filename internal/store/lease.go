package store

import (
	"context"
	"time"
)

// Lease takes or extends the named lease for owner and says whether owner
// holds it. Only the database's clock decides; a lease not extended within ttl
// is anybody's.
func (db *DB) Lease(ctx context.Context, name, owner string, ttl time.Duration) (bool, error) {
	return InTx(ctx, db, Internal("lease"), func(ctx context.Context, tx *Tx) (bool, error) {
		res, err := tx.NewRaw(`INSERT INTO lease (name, owner, until) VALUES (?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, until = EXCLUDED.until
			WHERE lease.owner = EXCLUDED.owner OR lease.until < ?`,
			name, owner, db.Ago(-ttl), db.Now()).Exec(ctx)
		if err != nil {
			return false, err
		}
		n, err := res.RowsAffected()
		return n == 1, err
	})
}

// Unlease gives the lease back, if owner holds it.
func (db *DB) Unlease(ctx context.Context, name, owner string) error {
	_, err := InTx(ctx, db, Internal("unlease"), func(ctx context.Context, tx *Tx) (struct{}, error) {
		tx.QueueSQL(`DELETE FROM lease WHERE name = ? AND owner = ?`, name, owner)
		return struct{}{}, nil
	})
	return err
}
