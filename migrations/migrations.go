// Package migrations holds the schema of both dialects and brings a database
// up to it. README.md says how to add one.
package migrations

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/migrate"
)

//go:embed sqlite/*.sql
var sqliteFiles embed.FS

//go:embed postgres/*.sql
var postgresFiles embed.FS

// advisoryLock keeps two processes from migrating one PostgreSQL database at
// once; the number has no meaning but being the same everywhere.
const advisoryLock = 70_512_461

// Up applies what is missing and refuses a database that knows more than this
// binary. It gives the names of what it applied.
func Up(ctx context.Context, db *bun.DB) ([]string, error) {
	m, err := migrator(db)
	if err != nil {
		return nil, err
	}
	if err := m.Init(ctx); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	if db.Dialect().Name() == dialect.PG {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close() }()
		if err := lock(ctx, conn); err != nil {
			return nil, err
		}
		defer func() { _, _ = conn.ExecContext(ctx, "SELECT pg_advisory_unlock(?)", advisoryLock) }()
	}
	if err := check(ctx, m); err != nil {
		return nil, err
	}
	group, err := m.Migrate(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	var names []string
	for _, x := range group.Migrations {
		names = append(names, x.Name+"_"+x.Comment)
	}
	return names, nil
}

// Check says whether the schema is exactly what this binary needs.
func Check(ctx context.Context, db *bun.DB) error {
	m, err := migrator(db)
	if err != nil {
		return err
	}
	if err := check(ctx, m); err != nil {
		return err
	}
	all, err := m.MigrationsWithStatus(ctx)
	if err != nil {
		return err
	}
	if left := all.Unapplied(); len(left) > 0 {
		return fmt.Errorf("the database lacks %d migrations: run kelian migrate", len(left))
	}
	return nil
}

func migrator(db *bun.DB) (*migrate.Migrator, error) {
	files, dir := fs.FS(sqliteFiles), "sqlite"
	if db.Dialect().Name() == dialect.PG {
		files, dir = postgresFiles, "postgres"
	}
	sub, err := fs.Sub(files, dir)
	if err != nil {
		return nil, err
	}
	found := migrate.NewMigrations()
	if err := found.Discover(sub); err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return migrate.NewMigrator(db, found, migrate.WithMarkAppliedOnSuccess(true),
		migrate.WithTableName("migration"), migrate.WithLocksTableName("migration_lock")), nil
}

// lock waits for another migrating process, as long as lock_timeout lets it,
// ten times.
func lock(ctx context.Context, conn bun.Conn) error {
	var err error
	for range 10 {
		if _, err = conn.ExecContext(ctx, "SELECT pg_advisory_lock(?)", advisoryLock); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return fmt.Errorf("migrate: another process is migrating: %w", err)
}

func check(ctx context.Context, m *migrate.Migrator) error {
	missing, err := m.MissingMigrations(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if len(missing) == 0 {
		return nil
	}
	var names []string
	for _, x := range missing {
		names = append(names, x.Name)
	}
	return fmt.Errorf("the database is newer than this binary (it knows %s): use the newer kelian", strings.Join(names, ", "))
}
