package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"kelian/internal/fault"
	"kelian/internal/id"

	"github.com/uptrace/bun"
)

// Command says what makes a transaction run once.
type Command struct {
	name    string
	actor   id.ID
	key     string
	hash    string
	row     id.ID
	attempt int
	kind    commandKind
	ahead   bool
}

type commandKind int

const (
	internal commandKind = iota
	fromClient
	fromDelivery
)

// Internal is a command that the process gives itself and that may run again.
func Internal(name string) Command { return Command{name: name, kind: internal} }

// FromClient runs once per (actor, mutation, key) for 24 hours: sent again with
// the same input it answers with the stored outcome, with another input it is
// CONFLICT. The input is kept as an HMAC only. An empty key runs every time.
func FromClient(db *DB, actor id.ID, mutation, key string, input any) Command {
	if key == "" {
		return Internal(mutation)
	}
	raw, err := json.Marshal(input)
	if err != nil {
		raw = fmt.Appendf(nil, "%#v", input)
	}
	mac := hmac.New(sha256.New, db.key)
	mac.Write(raw)
	return Command{name: mutation, kind: fromClient, actor: actor, key: key, hash: hex.EncodeToString(mac.Sum(nil))}
}

// FromDelivery runs once per outbox row: the row is marked done in the same
// transaction, provided that this attempt is the newest. The topic is for the
// points at which a test kills the process.
func FromDelivery(row id.ID, attempt int, topic string) Command {
	return Command{name: "delivery/" + topic, kind: fromDelivery, row: row, attempt: attempt}
}

// Ahead lets a command of SQLite run before its turn at the one connection that
// writes: on a connection that reads, beside those of others. In its turn only
// its fences (Tx.Fence) are compared and its writes made; where a fence no longer
// holds, or where it could not run ahead, it runs in its turn like any other.
// It is for commands that write by Queue alone and whose fences name all that
// must not have changed meanwhile: what the command would lock on PostgreSQL.
func (c Command) Ahead() Command {
	c.ahead = true
	return c
}

// errNotAhead sends a command that ran ahead to its turn.
var errNotAhead = errors.New("store: this command cannot run ahead")

// ErrStale says that a delivery's row is done, void, or sent again meanwhile;
// the handler has nothing to do.
var ErrStale = errors.New("store: this delivery is stale")

// errReplay carries the stored outcome of a command that ran before.
type errReplay struct{ outcome string }

func (errReplay) Error() string { return "store: command ran before" }

// guard is the statement whose zero rows mean that the command must not run;
// outcome is stored with it where it is known already.
func (c Command) guard(db *DB, outcome string) *bun.RawQuery {
	switch c.kind {
	case fromClient:
		if outcome != "" {
			return db.w.NewRaw(`INSERT INTO idempotency (actor, mutation, key, input_hash, at, outcome) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				c.actor.String(), c.name, c.key, c.hash, db.Now(), outcome)
		}
		return db.w.NewRaw(`INSERT INTO idempotency (actor, mutation, key, input_hash, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			c.actor.String(), c.name, c.key, c.hash, db.Now())
	case fromDelivery:
		if fault.BugDone {
			return db.w.NewRaw(`UPDATE outbox SET sent_at = sent_at WHERE id = ? AND state = 'sent'`, c.row)
		}
		return db.w.NewRaw(`UPDATE outbox SET state = 'done', done_at = ? WHERE id = ? AND state = 'sent' AND attempt = ?`,
			db.Now(), c.row, c.attempt)
	}
	return nil
}

// refused finds out what a guard without rows means.
func (c Command) refused(ctx context.Context, q bun.IConn, db *DB) error {
	if c.kind == fromDelivery {
		return ErrStale
	}
	var hash string
	var outcome *string
	row := q.QueryRowContext(ctx, db.w.QueryGen().FormatQuery(
		`SELECT input_hash, outcome FROM idempotency WHERE actor = ? AND mutation = ? AND key = ?`, c.actor.String(), c.name, c.key))
	if err := row.Scan(&hash, &outcome); err != nil {
		return err
	}
	if hash != c.hash {
		return &fault.Error{Code: fault.Conflict, Reason: "IDEMPOTENCY_KEY_REUSED", Path: []string{"idempotencyKey"},
			Zh: "这个幂等键已用于另一份内容，请换一个新键", En: "this idempotency key was used with another input; use a new key"}
	}
	if outcome == nil {
		return errReplay{"null"}
	}
	return errReplay{*outcome}
}

// outcome is what is stored of a client's command, "" of others.
func (c Command) outcome(out any) (string, error) {
	if c.kind != fromClient {
		return "", nil
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("store: outcome of %s: %w", c.name, err)
	}
	return string(raw), nil
}

// settle is the statement that stores the outcome beside the effect.
func (c Command) settle(db *DB, outcome string) *bun.RawQuery {
	return db.w.NewRaw(`UPDATE idempotency SET outcome = ? WHERE actor = ? AND mutation = ? AND key = ?`,
		outcome, c.actor.String(), c.name, c.key)
}
