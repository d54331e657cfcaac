// Package testkit gives tests a database, a clock and a quiet log. A test that
// touches storage runs on both dialects through Each.
package testkit

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/store"
	"kelian/migrations"

	"github.com/redis/go-redis/v9"
)

// Key is the server key of test databases.
var Key = []byte("0123456789abcdef0123456789abcdef")

// Start is the business time at which fake clocks start: a Wednesday in term.
var Start = time.Date(2026, 10, 14, 2, 0, 0, 0, time.UTC)

// Clock gives a fake clock at Start.
func Clock() *clock.Fake { return clock.NewFake(Start) }

// Quiet is a logger that prints nothing below error.
func Quiet() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
}

// Each runs f on SQLite and on the PostgreSQL server that
// KELIAN_TEST_DATABASE_URL names. Without one, a run with CI=true fails and any
// other run is on SQLite only.
func Each(t *testing.T, f func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { f(t, SQLite(t)) })
	if PostgresURL() == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("KELIAN_TEST_DATABASE_URL is not set: the tests on PostgreSQL did not run")
		}
		return
	}
	t.Run("postgres", func(t *testing.T) { f(t, Postgres(t)) })
}

// SQLite opens a migrated database in the test's own directory.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, SQLiteURL(t))
}

// SQLiteURL is the address of a fresh database file.
func SQLiteURL(t testing.TB) string {
	return "sqlite://" + filepath.Join(t.TempDir(), "kelian.db")
}

// Open opens and migrates the database at the address, for this test.
func Open(t testing.TB, address string) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), store.Options{URL: address, Key: Key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := migrations.Up(context.Background(), db.Bun()); err != nil {
		t.Fatal(err)
	}
	return db
}

// PostgresURL is the server that tests may make databases on.
func PostgresURL() string { return os.Getenv("KELIAN_TEST_DATABASE_URL") }

var (
	template     sync.Once
	templateErr  error
	templateName = fmt.Sprintf("kelian_test_%d", os.Getpid())
	databases    atomic.Int64
)

// Postgres makes a database of the test's own from a migrated template.
func Postgres(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, FreshPostgres(t))
}

// FreshPostgres makes a migrated database and gives its address.
func FreshPostgres(t testing.TB) string {
	t.Helper()
	template.Do(func() {
		if templateErr = admin("CREATE DATABASE " + templateName); templateErr != nil {
			return
		}
		var db *store.DB
		if db, templateErr = store.Open(context.Background(), store.Options{URL: address(templateName), Key: Key}); templateErr == nil {
			_, templateErr = migrations.Up(context.Background(), db.Bun())
			_ = db.Close()
		}
	})
	if templateErr != nil {
		t.Fatal(templateErr)
	}
	name := fmt.Sprintf("%s_%d", templateName, databases.Add(1))
	if err := admin("CREATE DATABASE " + name + " TEMPLATE " + templateName); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := admin("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			t.Log(err)
		}
	})
	return address(name)
}

var adminMu sync.Mutex

// admin runs one statement on the server's maintenance database; one at a
// time, for a template cannot be copied twice at once.
func admin(stmt string) error {
	adminMu.Lock()
	defer adminMu.Unlock()
	db, err := store.Open(context.Background(), store.Options{URL: PostgresURL(), Key: Key, Pool: 1, Statement: time.Minute})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.Bun().Exec(stmt)
	return err
}

func address(name string) string {
	u, _ := url.Parse(PostgresURL())
	u.Path = "/" + strings.TrimPrefix(name, "/")
	return u.String()
}

// Main drops the template database after the package's tests; call it from
// TestMain of a package that uses Postgres.
func Main(m *testing.M) {
	code := m.Run()
	if PostgresURL() != "" {
		if err := admin("DROP DATABASE IF EXISTS " + templateName + " WITH (FORCE)"); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// redisHeld is how long a database of the Redis server stays taken when the
// process that took it was killed.
const redisHeld = 20 * time.Minute

// RedisURL gives an emptied database of the server that KELIAN_TEST_REDIS_URL
// names, which no other test uses until this one ends; with PostgreSQL at hand
// there has to be one. Database 0 says which are taken, for packages run at the
// same time.
func RedisURL(t testing.TB) string {
	t.Helper()
	base := os.Getenv("KELIAN_TEST_REDIS_URL")
	if base == "" {
		t.Fatal("KELIAN_TEST_REDIS_URL is not set: the tests on Redis did not run")
	}
	opt, err := redis.ParseURL(base)
	if err != nil {
		t.Fatal(err)
	}
	opt.DB = 0
	book := redis.NewClient(opt)
	t.Cleanup(func() { _ = book.Close() })
	ctx := context.Background()
	conf, err := book.ConfigGet(ctx, "databases").Result()
	if err != nil {
		t.Fatal(err)
	}
	total, _ := strconv.Atoi(conf["databases"])
	for n := 1; n < total; n++ {
		key := fmt.Sprintf("taken:%d", n)
		free, err := book.SetNX(ctx, key, os.Getpid(), redisHeld).Result()
		if err != nil {
			t.Fatal(err)
		}
		if !free {
			continue
		}
		t.Cleanup(func() { _ = book.Del(ctx, key).Err() })
		opt.DB = n
		c := redis.NewClient(opt)
		defer func() { _ = c.Close() }()
		if err := c.FlushDB(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(base)
		u.Path = fmt.Sprintf("/%d", n)
		return u.String()
	}
	t.Fatalf("all %d databases of the Redis server are taken by tests", total-1)
	return ""
}
