package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"kelian/internal/fault"

	"github.com/uptrace/bun"
)

var errBad = driver.ErrBadConn

// writer owns SQLite's one writing connection and commits in groups: one
// fdatasync for all members that were waiting (at most 32, gathered for at
// most 2 ms). Each member runs in a savepoint of its own.
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
	hooks []func()
	err   error
	panic any
	ready chan struct{}
}

const (
	groupSize = 32
	groupTime = 2 * time.Millisecond
)

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
			m.hooks, m.err = nil, nil
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
	until := time.Now().Add(groupTime)
	for m := first; m != nil; {
		if err := w.member(conn, m); err != nil {
			_, _ = conn.ExecContext(ctx, "ROLLBACK")
			return members, err
		}
		m = nil
		if len(members) < size && time.Now().Before(until) {
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

func (w *writer) body(conn bun.Conn, m *member, tx *Tx) (err error) {
	defer func() { m.panic = recover() }()
	if guard := m.cmd.guard(w.db); guard != nil {
		res, err := guard.Conn(conn).Exec(m.ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err != nil {
				return err
			}
			return m.cmd.refused(m.ctx, conn, w.db)
		}
	}
	if err := m.body(m.ctx, tx); err != nil {
		return err
	}
	return tx.Flush(m.ctx)
}
