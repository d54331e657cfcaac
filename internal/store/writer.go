package store

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	"kelian/internal/fault"

	"github.com/uptrace/bun"
)

var errBad = driver.ErrBadConn

// writer owns SQLite's one writing connection and commits in groups: one
// fdatasync for all members that are waiting when their turn comes, at most 32.
// Each member runs in a savepoint of its own, but for one that ran ahead (see
// Command.Ahead): it only writes, and a fault of it costs the group.
type writer struct {
	db   *DB
	in   chan *member
	quit chan struct{}
	done chan struct{}
	once sync.Once
}

type member struct {
	ctx   context.Context
	cmd   Command
	body  func(context.Context, *Tx) error
	plan  *Tx // what it came to ahead of its turn; nil: it did not
	hooks []func()
	err   error
	panic any
	ready chan struct{}
}

const groupSize = 32

var errClosed = errors.New("store: the database is closed")

func startWriter(db *DB) *writer {
	w := &writer{db: db, in: make(chan *member), quit: make(chan struct{}), done: make(chan struct{})}
	go w.loop()
	return w
}

func (w *writer) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.done
}

func (w *writer) do(ctx context.Context, cmd Command, body func(context.Context, *Tx) error) ([]func(), error) {
	m := &member{ctx: ctx, cmd: cmd, body: body, ready: make(chan struct{})}
	if cmd.ahead {
		m.plan = w.ahead(ctx, body)
	}
	select {
	case w.in <- m:
	case <-w.quit:
		return nil, fault.Busy(errClosed)
	}
	<-m.ready
	if m.panic != nil {
		panic(m.panic)
	}
	return m.hooks, m.err
}

// ahead runs the command on a connection that reads. Whatever keeps it from
// coming to an end there is met again in its turn, and answered then.
func (w *writer) ahead(ctx context.Context, body func(context.Context, *Tx) error) (plan *Tx) {
	q, err := w.db.R.BeginTx(ctx, nil)
	if err != nil {
		return nil
	}
	defer func() {
		if recover() != nil {
			plan = nil
		}
		_ = q.Rollback()
	}()
	tx := &Tx{IDB: q, DB: w.db, ahead: true}
	if body(ctx, tx) != nil {
		return nil
	}
	return tx
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		select {
		case <-w.quit:
			return
		case m := <-w.in:
			w.group(m)
		}
	}
}

// group runs the first member and those that wait behind it in one
// transaction. If the transaction is lost, each member runs again alone.
func (w *writer) group(first *member) {
	members, err := w.try(first, groupSize)
	if err != nil {
		for _, m := range members {
			m.hooks, m.err, m.plan = nil, nil, nil
			if _, e := w.try(m, 1); e != nil && m.err == nil {
				m.err = e
			}
		}
	}
	for _, m := range members {
		close(m.ready)
	}
}

func (w *writer) try(first *member, size int) (members []*member, err error) {
	ctx := context.Background()
	members = []*member{first}
	conn, err := w.db.w.Conn(ctx)
	if err != nil {
		return members, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return members, err
	}
	for m := first; m != nil; {
		if err := w.member(conn, m); err != nil {
			_, _ = conn.ExecContext(ctx, "ROLLBACK")
			return members, err
		}
		m = nil
		if len(members) < size {
			select {
			case m = <-w.in:
				members = append(members, m)
			default:
			}
		}
	}
	for _, m := range members {
		fault.At("before-commit", m.cmd.name)
	}
	if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
		_, _ = conn.ExecContext(ctx, "ROLLBACK")
		return members, err
	}
	return members, nil
}

// member runs one closure in a savepoint. What it returns is a fault of the
// group; the member's own refusal stands in m.err.
func (w *writer) member(conn bun.Conn, m *member) error {
	if m.plan != nil {
		if done, err := w.planned(conn, m); done || err != nil {
			return err
		}
	}
	if _, err := conn.ExecContext(m.ctx, "SAVEPOINT member"); err != nil {
		return err
	}
	tx := &Tx{IDB: conn, DB: w.db}
	m.err = w.body(conn, m, tx)
	if m.err != nil || m.panic != nil {
		if _, err := conn.ExecContext(m.ctx, "ROLLBACK TO member"); err != nil {
			return fmt.Errorf("group lost: %w", err)
		}
	}
	if _, err := conn.ExecContext(m.ctx, "RELEASE member"); err != nil {
		return fmt.Errorf("group lost: %w", err)
	}
	m.hooks = tx.onCommit
	return nil
}

// planned writes what the member came to ahead of its turn, or says that its
// fences no longer hold. Before the first write it may still be refused.
func (w *writer) planned(conn bun.Conn, m *member) (done bool, err error) {
	for _, f := range m.plan.fences {
		if holds, err := f.finds(m.ctx, conn); err != nil || !holds {
			return false, err
		}
	}
	refusal, err := w.guard(conn, m, m.plan.outcome)
	if refusal != nil || err != nil {
		m.err = refusal
		return true, err
	}
	m.hooks = m.plan.onCommit
	return true, run(m.ctx, conn, m.plan.queue)
}

// guard runs the member's guard; refusal says why it must not run.
func (w *writer) guard(conn bun.Conn, m *member, outcome string) (refusal, err error) {
	q := m.cmd.guard(w.db, outcome)
	if q == nil {
		return nil, nil
	}
	s, err := w.db.render(q)
	if err != nil {
		return nil, err
	}
	res, err := s.exec(m.ctx, conn)
	if err != nil {
		return nil, err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		refusal = m.cmd.refused(m.ctx, conn, w.db)
	}
	return refusal, err
}

func (w *writer) body(conn bun.Conn, m *member, tx *Tx) (err error) {
	defer func() { m.panic = recover() }()
	if refusal, err := w.guard(conn, m, ""); refusal != nil || err != nil {
		return cmp.Or(refusal, err)
	}
	if err := m.body(m.ctx, tx); err != nil {
		return err
	}
	return tx.Flush(m.ctx)
}
