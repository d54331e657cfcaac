package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Zero is the hash before the first row.
const Zero = "0000000000000000000000000000000000000000000000000000000000000000"

// Seal is one link of the chain.
type Seal struct {
	bun.BaseModel `bun:"table:audit_seal"`

	Seq     int64 `bun:",pk"`
	AuditID id.ID
	Prev    string
	Hash    string
	At      time.Time
}

// Leaf is the digest of a row: SHA-256 of its JSON, whose member order is fixed
// by Row and whose time is RFC 3339 in UTC; hex.
func Leaf(r Row) string {
	r.At = r.At.UTC()
	raw, _ := json.Marshal(r)
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// Chain is the hash of a seal: SHA-256 over the hash before it and the row's
// leaf. So a row can be proved to stand in the chain by the leaves of those
// behind it, without showing what these say.
func Chain(prev, leaf string) string {
	sum := sha256.Sum256([]byte(prev + leaf))
	return hex.EncodeToString(sum[:])
}

// Hash chains a row.
func Hash(prev string, r Row) string { return Chain(prev, Leaf(r)) }

// sealBatch bounds one sealing transaction.
const sealBatch = 500

// SealNext seals the next committed rows in commit-safe order and says how
// many. Only the holder of the sealer's lease calls it; two at once would
// collide on the seal's number and one of them would change nothing.
func SealNext(ctx context.Context, db *store.DB, now time.Time) (int, error) {
	return store.InTx(ctx, db, store.Internal("audit.seal"), func(ctx context.Context, tx *store.Tx) (int, error) {
		var last Seal
		err := tx.NewSelect().Model(&last).OrderExpr("seq DESC").Limit(1).Scan(ctx)
		if store.NoRows(err) {
			last.Hash, err = Zero, nil
		}
		if err != nil {
			return 0, err
		}
		rows, err := unsealed(ctx, tx, db, last.AuditID)
		if err != nil || len(rows) == 0 {
			return 0, err
		}
		seals := make([]Seal, len(rows))
		for i, r := range rows {
			seals[i] = Seal{Seq: last.Seq + 1, AuditID: r.ID, Prev: last.Hash, Hash: Hash(last.Hash, r), At: now}
			last = seals[i]
		}
		tx.Queue(db.Bun().NewInsert().Model(&seals))
		return len(rows), nil
	})
}

// unsealed reads the rows after the given one, below the commit horizon: a
// transaction that is still open may yet commit rows with a smaller number.
func unsealed(ctx context.Context, q bun.IDB, db *store.DB, after id.ID) ([]Row, error) {
	var rows []Row
	sel := q.NewSelect().Model(&rows).Limit(sealBatch)
	if db.Postgres() {
		sel = sel.Where("xid < pg_snapshot_xmin(pg_current_snapshot())").OrderExpr("row.xid, row.seq")
		if !after.IsZero() {
			sel = sel.Where("(row.xid, row.seq) > (SELECT a.xid, a.seq FROM audit AS a WHERE a.id = ?)", after)
		}
	} else {
		sel = sel.OrderExpr("row.seq")
		if !after.IsZero() {
			sel = sel.Where("row.seq > (SELECT a.seq FROM audit AS a WHERE a.id = ?)", after)
		}
	}
	return rows, sel.Scan(ctx)
}
