package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"kelian/file"
	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/config"
	"kelian/internal/store"
	"kelian/migrations"
)

// OpenStore opens the configured database as it is.
func OpenStore(ctx context.Context, c config.Config) (*store.DB, error) {
	return store.Open(ctx, store.Options{URL: c.DatabaseURL, Key: c.SecretKey, InsecureTLS: c.DatabaseInsecure})
}

// Migrate brings the schema up to this binary.
func Migrate(ctx context.Context, c config.Config, out io.Writer) error {
	release, err := holdLock(c.DataDir)
	if err != nil {
		return err
	}
	defer release()
	// A migration may take longer than a request's statement.
	db, err := store.Open(ctx, store.Options{URL: c.DatabaseURL, Key: c.SecretKey, InsecureTLS: c.DatabaseInsecure, Pool: 4, Statement: 30 * time.Minute})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	names, err := migrations.Up(ctx, db.Bun())
	for _, n := range names {
		fmt.Fprintln(out, "applied", n)
	}
	if err == nil && len(names) == 0 {
		fmt.Fprintln(out, "the schema is up to date")
	}
	return err
}

// Backup writes an archive of the whole database and the uploaded files to the file, or to standard
// output for "-". The file appears under its name only when it is complete.
func Backup(ctx context.Context, c config.Config, path string, out io.Writer) error {
	db, err := store.Open(ctx, store.Options{URL: c.DatabaseURL, Key: c.SecretKey, InsecureTLS: c.DatabaseInsecure, Pool: 2, Statement: time.Hour})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	now := clock.System{}.Now()
	files := file.NewArchive(blobDir(c), now)
	if path == "-" {
		if _, err := store.Dump(ctx, db, out, now, files); err != nil {
			return err
		}
		return lost(files, c)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".kelian-backup-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	rows, err := store.Dump(ctx, db, f, now, files)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d rows. The secret key is not in it: keep %s or KELIAN_SECRET_KEY too.\n", path, rows, filepath.Join(c.DataDir, "secret.key"))
	return lost(files, c)
}

// lost says that an archive lacks uploaded files, which are gone from the disk.
func lost(files *file.Archive, c config.Config) error {
	if n := len(files.Missing); n > 0 {
		return fmt.Errorf("the archive is written, but %d uploaded files are missing in %s; kelian doctor names them", n, blobDir(c))
	}
	return nil
}

// Restore fills a fresh database and the directory of uploaded files from an
// archive.
func Restore(ctx context.Context, c config.Config, path string, out io.Writer) error {
	release, err := holdLock(c.DataDir)
	if err != nil {
		return err
	}
	defer release()
	in := io.Reader(os.Stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	db, err := store.Open(ctx, store.Options{URL: c.DatabaseURL, Key: c.SecretKey, InsecureTLS: c.DatabaseInsecure, Pool: 4, Statement: time.Hour})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if _, err := migrations.Up(ctx, db.Bun()); err != nil {
		return err
	}
	rows, err := store.Restore(ctx, db, in, file.NewArchive(blobDir(c), clock.System{}.Now()))
	if err == nil {
		fmt.Fprintf(out, "%d rows restored\n", rows)
	}
	return err
}

// VerifyAudit checks the chain and prints what it found; a fault is an error.
func VerifyAudit(ctx context.Context, c config.Config, out io.Writer) error {
	db, err := OpenStore(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	rep, err := audit.Verify(ctx, db)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "sealed rows that hold: %d\nunsealed tail: %d\n", rep.Sealed, rep.UnsealedTail)
	for _, f := range rep.Faults {
		fmt.Fprintln(out, "FAULT:", f)
	}
	if len(rep.Faults) > 0 {
		return fmt.Errorf("the audit log has %d faults", len(rep.Faults))
	}
	fmt.Fprintln(out, "OK")
	return nil
}
