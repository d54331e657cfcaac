// Package store is the road to the database: opening it, running a command in
// one transaction (InTx), reading outside of one, prepared hot reads, leases,
// cursors and the mapping of database errors. Two dialects, one code path:
// what differs between SQLite and PostgreSQL is written here and nowhere else.
package store

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/driver/pgdriver"
)

// Options says which database to open and how.
type Options struct {
	URL         string        // sqlite:///path or postgres://…
	Key         []byte        // server key for input hashes, 32 bytes
	Pool        int           // PostgreSQL connections; 0 = 8 per core
	Statement   time.Duration // server-side statement timeout; 0 = 5 s
	InsecureTLS bool          // accept an unverified remote server
}

// DB is an open database. R reads outside of transactions; writing goes
// through InTx only (on SQLite R refuses to write).
type DB struct {
	R      *bun.DB
	w      *bun.DB // PostgreSQL: the same pool as R; SQLite: one connection
	writer *writer // SQLite only
	key    []byte
	url    string
	trips  atomic.Int64
}

// Open connects to the database and checks that it answers.
func Open(ctx context.Context, o Options) (*DB, error) {
	db := &DB{key: o.Key, url: o.URL}
	var err error
	switch {
	case strings.HasPrefix(o.URL, "sqlite://"):
		err = db.openSQLite(ctx, strings.TrimPrefix(o.URL, "sqlite://"))
	case strings.HasPrefix(o.URL, "postgres://"), strings.HasPrefix(o.URL, "postgresql://"):
		err = db.openPostgres(o)
	default:
		err = fmt.Errorf("database URL must begin with sqlite:// or postgres://")
	}
	if err != nil {
		return nil, err
	}
	if err := db.R.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open database: %w", Busy(err))
	}
	return db, nil
}

// Postgres says which dialect this is.
func (db *DB) Postgres() bool { return db.writer == nil }

// Bun is the pool that migrations and tests write with.
func (db *DB) Bun() *bun.DB { return db.w }

// Key is the server key that hashes are made with.
func (db *DB) Key() []byte { return db.key }

// Close ends the writer and closes all connections.
func (db *DB) Close() error {
	if db.writer != nil {
		db.writer.stop()
	}
	err := db.R.Close()
	if db.w != nil && db.w != db.R {
		if e := db.w.Close(); err == nil {
			err = e
		}
	}
	return err
}

// Trips counts the messages sent to the database so far; several statements
// in one message are one trip.
func (db *DB) Trips() int64 { return db.trips.Load() }

// Now is SQL for the database's own clock, for leases and visibility.
func (db *DB) Now() bun.Safe {
	if db.Postgres() {
		return "clock_timestamp()"
	}
	return "strftime('%Y-%m-%d %H:%M:%f000+00:00','now')"
}

// Ago is SQL for the database's clock d ago (a negative d is in the future).
func (db *DB) Ago(d time.Duration) bun.Safe {
	if db.Postgres() {
		return bun.Safe(fmt.Sprintf("clock_timestamp() - interval '%d microseconds'", d.Microseconds()))
	}
	return bun.Safe(fmt.Sprintf("strftime('%%Y-%%m-%%d %%H:%%M:%%f000+00:00','now','%+.3f seconds')", -d.Seconds()))
}

// Before is SQL for the time d before the one that expr gives.
func (db *DB) Before(expr string, d time.Duration) bun.Safe {
	if db.Postgres() {
		return bun.Safe(fmt.Sprintf("%s - interval '%d microseconds'", expr, d.Microseconds()))
	}
	return bun.Safe(fmt.Sprintf("strftime('%%Y-%%m-%%d %%H:%%M:%%f000+00:00',%s,'%+.3f seconds')", expr, -d.Seconds()))
}

// Seconds is SQL for the whole seconds from one time to another.
func (db *DB) Seconds(from, to string) bun.Safe {
	if db.Postgres() {
		return bun.Safe(fmt.Sprintf("CAST(EXTRACT(EPOCH FROM %s - %s) AS bigint)", to, from))
	}
	return bun.Safe(fmt.Sprintf("CAST(round((julianday(%s) - julianday(%s)) * 86400) AS INTEGER)", to, from))
}

// Lock is SQL that locks the selected rows until the transaction ends. SQLite
// needs none: its writer is alone.
func (db *DB) Lock(skip bool) bun.Safe {
	switch {
	case !db.Postgres():
		return ""
	case skip:
		return "FOR UPDATE SKIP LOCKED"
	}
	return "FOR UPDATE"
}

func (db *DB) openSQLite(ctx context.Context, path string) error {
	if path == "" {
		return fmt.Errorf("sqlite:// needs a path, for example sqlite:///var/lib/kelian/kelian.db")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	pragma := "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + pragma
	w, err := openPrepared(dsn, &db.trips)
	if err != nil {
		return err
	}
	w.SetMaxOpenConns(1)
	r, err := openPrepared(dsn+"&_pragma=query_only(1)", &db.trips)
	if err != nil {
		return err
	}
	readers := max(4, runtime.NumCPU())
	r.SetMaxOpenConns(readers)
	r.SetMaxIdleConns(readers)
	db.w = bun.NewDB(w, sqlitedialect.New())
	db.R = bun.NewDB(r, sqlitedialect.New())
	// WAL mode is set by the first connection that may write.
	if err := w.PingContext(ctx); err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	db.writer = startWriter(db)
	return nil
}

func (db *DB) openPostgres(o Options) error {
	u, err := url.Parse(o.URL)
	if err != nil {
		return fmt.Errorf("database URL: cannot be parsed")
	}
	if err := checkTLS(u, o.InsecureTLS); err != nil {
		return err
	}
	statement := o.Statement
	if statement == 0 {
		statement = 5 * time.Second
	}
	// pgdriver ignores cancellation and cuts a read after 10 s, so the server
	// ends statements and the client waits a little longer than it does.
	sqldb := sql.OpenDB(pgdriver.NewConnector(
		pgdriver.WithDSN(o.URL),
		pgdriver.WithReadTimeout(statement+5*time.Second),
		pgdriver.WithConnParams(map[string]any{
			"statement_timeout":                   fmt.Sprint(statement.Milliseconds()),
			"lock_timeout":                        fmt.Sprint(min(3*time.Second, statement).Milliseconds()),
			"idle_in_transaction_session_timeout": "10000",
			"timezone":                            "UTC",
		}),
	))
	pool := o.Pool
	if pool == 0 {
		pool = 8 * runtime.NumCPU()
	}
	sqldb.SetMaxOpenConns(pool)
	sqldb.SetMaxIdleConns(pool)
	sqldb.SetConnMaxIdleTime(5 * time.Minute)
	db.R = bun.NewDB(sqldb, pgdialect.New()).WithQueryHook(tripHook{db})
	db.w = db.R
	return nil
}

// checkTLS demands a verified server of remote addresses: pgdriver accepts any
// certificate for the weaker modes.
func checkTLS(u *url.URL, insecure bool) error {
	host := u.Hostname()
	if h := u.Query().Get("host"); h != "" {
		host = h
	}
	ip := net.ParseIP(host)
	local := host == "" || host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback()
	mode := u.Query().Get("sslmode")
	if local || insecure || mode == "verify-full" {
		return nil
	}
	return fmt.Errorf("the database at %s is remote: add sslmode=verify-full (and sslrootcert) to its URL, or set KELIAN_DATABASE_INSECURE=true if the path to it is trusted", host)
}

type tripHook struct{ db *DB }

func (h tripHook) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	h.db.trips.Add(1)
	return ctx
}
func (h tripHook) AfterQuery(context.Context, *bun.QueryEvent) {}
