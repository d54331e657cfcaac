package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"kelian/internal/fault"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// Tx is one transaction on one connection. Its query builders run at once;
// Queue keeps a write back to send it together with COMMIT.
type Tx struct {
	bun.IDB
	DB       *DB
	queue    []statement
	fences   []statement
	onCommit []func()
	ahead    bool // see Command.Ahead
	outcome  string
	err      error
}

// Queue sends the write together with COMMIT, in the order of the calls.
// It is for writes whose answer nobody needs; a constraint that refuses one
// fails the whole command.
func (tx *Tx) Queue(q schema.QueryAppender) {
	if tx.err != nil {
		return
	}
	if insert, ok := q.(*bun.InsertQuery); ok {
		insert.Returning("NULL") // bun would have what a default filled in, and Reads has rows of its own behind
	}
	s, err := tx.DB.render(q)
	if err != nil {
		tx.err = fmt.Errorf("store: queued write: %w", err)
		return
	}
	tx.queue = append(tx.queue, s)
}

// QueueSQL is Queue for a statement in plain SQL.
func (tx *Tx) QueueSQL(query string, args ...any) { tx.Queue(tx.DB.w.NewRaw(query, args...)) }

// Flush sends the queued writes now, for a read that must see them.
func (tx *Tx) Flush(ctx context.Context) error {
	if tx.err != nil {
		return tx.err
	}
	if tx.ahead && len(tx.queue) > 0 {
		return errNotAhead
	}
	if tx.DB.Postgres() {
		if text := tx.batch(); text != "" {
			if _, err := tx.ExecContext(ctx, "?", bun.Safe(text)); err != nil {
				return err
			}
		}
	} else if err := run(ctx, tx.IDB, tx.queue); err != nil {
		return err
	}
	tx.queue = nil
	return nil
}

func run(ctx context.Context, q bun.IConn, list []statement) error {
	for _, s := range list {
		if _, err := s.exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// Fence names what a command decided on, by a query that finds a row as long as
// nothing of that has changed. It matters to commands that ran Ahead.
func (tx *Tx) Fence(query string, args ...any) {
	if !tx.ahead || tx.err != nil {
		return
	}
	s, err := tx.DB.render(tx.DB.w.NewRaw(query, args...))
	if err != nil {
		tx.err = fmt.Errorf("store: fence: %w", err)
		return
	}
	tx.fences = append(tx.fences, s)
}

// OnCommit runs fn in the caller's process after a successful COMMIT.
func (tx *Tx) OnCommit(fn func()) { tx.onCommit = append(tx.onCommit, fn) }

// batch joins the queued statements to one message for PostgreSQL.
func (tx *Tx) batch() string {
	var all strings.Builder
	for _, q := range tx.queue {
		all.WriteString(q.sql)
		all.WriteString(";\n")
	}
	return all.String()
}

type inTxKey struct{}

// InTx runs fn as one command: begin and guard, fn, queued writes and commit.
// fn may run more than once (a deadlock, a lost group) and therefore does no
// I/O but through tx, and changes nothing outside that a second run would
// spoil. Its result is the command's outcome; for a client's command it is
// stored as JSON and given again on a repeat, so it holds ids and codes, never
// a secret. The context given to fn does not carry the caller's cancellation:
// an interrupted statement would roll back other members of a group.
func InTx[T any](ctx context.Context, db *DB, cmd Command, fn func(ctx context.Context, tx *Tx) (T, error)) (T, error) {
	var out T
	if ctx.Value(inTxKey{}) != nil {
		return out, fmt.Errorf("store: InTx inside InTx (%s)", cmd.name)
	}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	inner := context.WithValue(context.WithoutCancel(ctx), inTxKey{}, true)
	forgets := sync.OnceValue(func() bool { return fault.Forgets(cmd.name) }) // however often it runs
	body := func(c context.Context, tx *Tx) error {
		var err error
		out, err = fn(c, tx)
		if err == nil {
			err = tx.err
		}
		if err != nil {
			return err
		}
		if tx.outcome, err = cmd.outcome(out); err == nil && tx.outcome != "" && !tx.ahead {
			tx.Queue(cmd.settle(db, tx.outcome))
		}
		if err == nil && forgets() {
			return errForgotten
		}
		return err
	}
	hooks, err := db.run(ctx, inner, cmd, body)
	var replay errReplay
	if errors.As(err, &replay) {
		var zero T
		out = zero
		return out, json.Unmarshal([]byte(replay.outcome), &out)
	}
	if errors.Is(err, errForgotten) {
		return out, nil
	}
	if err != nil {
		var zero T
		return zero, Busy(err)
	}
	fault.At("after-commit", cmd.name)
	for _, h := range hooks {
		h()
	}
	return out, nil
}

// errForgotten rolls a command back that is answered as if it were done; see
// fault.Forgets.
var errForgotten = errors.New("store: forgotten by a planted bug")

func (db *DB) run(ctx, inner context.Context, cmd Command, body func(context.Context, *Tx) error) ([]func(), error) {
	if db.writer != nil {
		return db.writer.do(inner, cmd, body)
	}
	var err error
	for try := range 4 {
		if try > 0 {
			pause := time.Duration(25<<(2*try)) * time.Millisecond
			select {
			case <-time.After(pause + rand.N(pause)):
			case <-ctx.Done():
				return nil, err
			}
		}
		var hooks []func()
		hooks, err = db.runPostgres(inner, cmd, body)
		if err == nil {
			return hooks, nil
		}
		// After a COMMIT of unknown outcome only a guarded command may run
		// again: its guard finds out what happened.
		var unknown *unknownCommit
		if errors.As(err, &unknown) && cmd.kind == internal {
			return nil, err
		}
		if !collided(err) && !lost(err) {
			return nil, err
		}
	}
	return nil, err
}

type unknownCommit struct{ err error }

func (u *unknownCommit) Error() string { return "commit of unknown outcome: " + u.err.Error() }
func (u *unknownCommit) Unwrap() error { return u.err }

// runPostgres sends BEGIN with the guard, lets body load and decide, and sends
// the queued writes with COMMIT.
func (db *DB) runPostgres(ctx context.Context, cmd Command, body func(context.Context, *Tx) error) (_ []func(), err error) {
	conn, err := db.w.Conn(ctx)
	if err != nil {
		return nil, err
	}
	clean := false
	defer func() {
		if !clean {
			if _, e := conn.ExecContext(ctx, "ROLLBACK"); e != nil {
				discard(conn)
			}
		}
		_ = conn.Close()
	}()
	guard := cmd.guard(db, "")
	begin := "BEGIN"
	if guard != nil {
		b, err := guard.AppendQuery(db.w.QueryGen(), nil)
		if err != nil {
			return nil, err
		}
		begin = "BEGIN;\n" + string(b)
	}
	res, err := conn.ExecContext(ctx, "?", bun.Safe(begin))
	if err != nil {
		return nil, err
	}
	if guard != nil {
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err != nil {
				return nil, err
			}
			return nil, cmd.refused(ctx, conn, db)
		}
	}
	if fault.BugEffect && cmd.kind == fromDelivery {
		if _, err := conn.ExecContext(ctx, "?", bun.Safe("COMMIT;\nBEGIN")); err != nil {
			return nil, err
		}
	}
	tx := &Tx{IDB: conn, DB: db}
	if err := body(ctx, tx); err != nil {
		return nil, err
	}
	fault.At("before-commit", cmd.name)
	if _, err := conn.ExecContext(ctx, "?", bun.Safe(tx.batch()+"COMMIT")); err != nil {
		if lost(err) {
			err = &unknownCommit{err}
		}
		return nil, err
	}
	clean = true
	return tx.onCommit, nil
}

// discard makes database/sql throw the connection away.
func discard(conn bun.Conn) {
	_ = conn.Raw(func(any) error { return errBad })
}
