package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"
	"modernc.org/sqlite"
)

// statement is SQL with arguments. PostgreSQL's have none: bun writes the
// values into the text.
type statement struct {
	sql  string
	args []any
}

// render writes a query as a statement; for SQLite the texts, times and bytes
// that bun would write into it become arguments, so that the connection
// prepares it once. Numbers stay in the text: bun does not ask the dialect about
// them, and they may be ordinals.
func (db *DB) render(q schema.QueryAppender) (statement, error) {
	if db.Postgres() {
		text, err := q.AppendQuery(db.w.QueryGen(), nil)
		return statement{sql: string(text)}, err
	}
	return render(q, db.w.Dialect().(*sqlitedialect.Dialect))
}

func render(q schema.QueryAppender, d *sqlitedialect.Dialect) (statement, error) {
	p := &params{Dialect: d}
	text, err := q.AppendQuery(schema.NewQueryGen(p), nil)
	return statement{string(text), p.args}, err
}

// params is the dialect of one statement that collects its arguments.
type params struct {
	*sqlitedialect.Dialect
	args []any
}

func (p *params) add(b []byte, v any) []byte {
	p.args = append(p.args, v)
	return strconv.AppendInt(append(b, '?'), int64(len(p.args)), 10)
}

func (p *params) AppendString(b []byte, s string) []byte {
	if strings.IndexByte(s, 0) >= 0 {
		return p.Dialect.AppendString(b, s) // as bun refuses it
	}
	return p.add(b, strings.ToValidUTF8(s, "\uFFFD"))
}

func (p *params) AppendTime(b []byte, t time.Time) []byte { return p.add(b, Stamp(t)) }

func (p *params) AppendBytes(b, bs []byte) []byte {
	if bs == nil {
		return p.Dialect.AppendBytes(b, bs)
	}
	return p.add(b, bs)
}

// exec and query run a statement past bun, which would look for arguments of
// its own in the text.
func (s statement) exec(ctx context.Context, q bun.IConn) (sql.Result, error) {
	return plainConn(q).ExecContext(ctx, s.sql, s.args...)
}

func (s statement) query(ctx context.Context, q bun.IConn) (*sql.Rows, error) {
	return plainConn(q).QueryContext(ctx, s.sql, s.args...)
}

// finds says whether the query gives a row.
func (s statement) finds(ctx context.Context, q bun.IConn) (bool, error) {
	rows, err := s.query(ctx, q)
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }()
	return rows.Next(), rows.Err()
}

func plainConn(q bun.IConn) bun.IConn {
	switch q := q.(type) {
	case *Tx:
		return plainConn(q.IDB)
	case *bun.DB:
		return q.DB
	case bun.Conn:
		return q.Conn
	case bun.Tx:
		return q.Tx
	}
	return q
}

// kept bounds the statements that a connection keeps prepared, keptLength each
// of them: a long one has many rows in it and does not come again.
const (
	kept       = 256
	keptLength = 8 << 10
)

// preparing opens connections to SQLite that keep statements with arguments
// prepared, and count what is sent.
type preparing struct {
	driver.Connector
	trips *atomic.Int64
}

func openPrepared(dsn string, trips *atomic.Int64) (*sql.DB, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(preparing{c, trips}), nil
}

func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &preparedConn{liteConn: c.(liteConn), idle: map[string]driver.Stmt{}, trips: p.trips}, nil
}

// liteConn and liteRows are what the driver gives to database/sql.
type liteConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type liteRows interface {
	driver.Rows
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	driver.RowsColumnTypeScanType
}

// preparedConn is one connection; database/sql lets one goroutine use it at a
// time. A statement whose rows are being read is not among the idle ones.
type preparedConn struct {
	liteConn
	idle  map[string]driver.Stmt
	trips *atomic.Int64
}

func (c *preparedConn) take(ctx context.Context, query string) (driver.Stmt, error) {
	if s, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return s, nil
	}
	return c.PrepareContext(ctx, query)
}

func (c *preparedConn) giveBack(query string, s driver.Stmt) {
	if _, ok := c.idle[query]; ok || len(query) > keptLength {
		_ = s.Close()
		return
	}
	for old, x := range c.idle {
		if len(c.idle) < kept {
			break
		}
		delete(c.idle, old)
		_ = x.Close()
	}
	c.idle[query] = s
}

func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.trips.Add(1)
	if len(args) == 0 {
		return c.liteConn.ExecContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	defer c.giveBack(query, s)
	return s.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.trips.Add(1)
	if len(args) == 0 {
		return c.liteConn.QueryContext(ctx, query, args)
	}
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		c.giveBack(query, s)
		return nil, err
	}
	return &preparedRows{rows.(liteRows), func() { c.giveBack(query, s) }}, nil
}

func (c *preparedConn) Close() error {
	for _, s := range c.idle {
		_ = s.Close()
	}
	clear(c.idle)
	return c.liteConn.Close()
}

type preparedRows struct {
	liteRows
	after func()
}

func (r *preparedRows) Close() error {
	err := r.liteRows.Close()
	if r.after != nil {
		r.after()
		r.after = nil
	}
	return err
}
