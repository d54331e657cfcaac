package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// Hash chains a row: SHA-256 over the previous hash and the row's JSON, whose
// member order is fixed by Row and whose time is RFC 3339 in UTC.
func Hash(prev string, r Row) string {
	r.At = r.At.UTC()
	raw, _ := json.Marshal(r)
	sum := sha256.Sum256(append([]byte(prev), raw...))
	return hex.EncodeToString(sum[:])
}

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

// Checkpoint is the newest seal, signed, in the shape of a C2SP checkpoint
// note: origin, size, hash, signature.
func Checkpoint(ctx context.Context, db *store.DB, key ed25519.PrivateKey, origin string) (string, int64, error) {
	var last Seal
	err := db.R.NewSelect().Model(&last).OrderExpr("seq DESC").Limit(1).Scan(ctx)
	if store.NoRows(err) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, store.Busy(err)
	}
	raw, err := hex.DecodeString(last.Hash)
	if err != nil {
		return "", 0, err
	}
	text := origin + "\n" + strconv.FormatInt(last.Seq, 10) + "\n" + base64.StdEncoding.EncodeToString(raw) + "\n"
	sig := ed25519.Sign(key, []byte(text))
	return text + "\n— " + origin + " " + base64.StdEncoding.EncodeToString(sig) + "\n", last.Seq, nil
}

// WriteCheckpoint puts the checkpoint into dir as checkpoint-<size>.
func WriteCheckpoint(dir, text string, size int64) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("checkpoint-%012d", size)), []byte(text), 0o600)
}

// CheckCheckpoint says whether the note was signed by the holder of the key.
func CheckCheckpoint(note string, key ed25519.PublicKey) error {
	text, sigLine, ok := strings.Cut(note, "\n\n— ")
	if !ok {
		return errors.New("audit: not a checkpoint")
	}
	fields := strings.Fields(sigLine)
	sig, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || !ed25519.Verify(key, []byte(text+"\n"), sig) {
		return errors.New("audit: the checkpoint's signature is wrong")
	}
	return nil
}
