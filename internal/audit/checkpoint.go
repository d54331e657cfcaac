package audit

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Signer signs checkpoints. Origin is who signs, e.g. the public address.
type Signer struct {
	Key    ed25519.PrivateKey
	Origin string
}

// Public is the key that proves the signatures.
func (s Signer) Public() ed25519.PublicKey { return s.Key.Public().(ed25519.PublicKey) }

// Signed is a checkpoint as kept: the chain up to Seq has the hash that the
// note signs.
type Signed struct {
	bun.BaseModel `bun:"table:audit_checkpoint"`

	Seq  int64 `bun:",pk"`
	Note string
	At   time.Time
}

// Checkpoint signs the newest seal in the shape of a C2SP checkpoint note
// (origin, size, hash, signature) and keeps the note; the same seal keeps its
// first. An empty chain gives the zero Signed.
func Checkpoint(ctx context.Context, db *store.DB, by Signer, now time.Time) (Signed, error) {
	return store.InTx(ctx, db, store.Internal("audit.checkpoint"), func(ctx context.Context, tx *store.Tx) (Signed, error) {
		var last Seal
		err := tx.NewSelect().Model(&last).OrderExpr("seq DESC").Limit(1).Scan(ctx)
		if store.NoRows(err) {
			return Signed{}, nil
		}
		if err != nil {
			return Signed{}, err
		}
		note, err := by.note(last)
		if err != nil {
			return Signed{}, err
		}
		out := Signed{Seq: last.Seq, Note: note, At: now}
		tx.Queue(db.Bun().NewInsert().Model(&out).On("CONFLICT (seq) DO NOTHING"))
		return out, nil
	})
}

func (s Signer) note(last Seal) (string, error) {
	raw, err := hex.DecodeString(last.Hash)
	if err != nil {
		return "", err
	}
	text := s.Origin + "\n" + strconv.FormatInt(last.Seq, 10) + "\n" + base64.StdEncoding.EncodeToString(raw) + "\n"
	sig := ed25519.Sign(s.Key, []byte(text))
	return text + "\n— " + s.Origin + " " + base64.StdEncoding.EncodeToString(sig) + "\n", nil
}

// WriteCheckpoint puts the checkpoint into dir as checkpoint-<size>.
func WriteCheckpoint(dir string, c Signed) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("checkpoint-%012d", c.Seq)), []byte(c.Note), 0o600)
}

// Head is what a checkpoint's note says.
type Head struct {
	Origin string
	Seq    int64
	Hash   string // hex
}

// ReadCheckpoint gives what the note says if the holder of the key signed it.
func ReadCheckpoint(note string, key ed25519.PublicKey) (Head, error) {
	text, sigLine, ok := strings.Cut(note, "\n\n— ")
	fields := strings.Fields(sigLine)
	lines := strings.Split(text, "\n")
	if !ok || len(fields) == 0 || len(lines) != 3 {
		return Head{}, errors.New("audit: not a checkpoint")
	}
	sig, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || !ed25519.Verify(key, []byte(text+"\n"), sig) {
		return Head{}, errors.New("audit: the checkpoint's signature is wrong")
	}
	seq, err := strconv.ParseInt(lines[1], 10, 64)
	raw, err2 := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || err2 != nil {
		return Head{}, errors.New("audit: not a checkpoint")
	}
	return Head{Origin: lines[0], Seq: seq, Hash: hex.EncodeToString(raw)}, nil
}
