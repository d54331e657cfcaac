package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// An archive is gzipped JSON lines that name no dialect: a head, for each table
// its name and columns and then its rows, then the files beside the database,
// and a last line that counts the rows, so that a cut archive is found out.
type dumpLine struct {
	Kelian     int      `json:"kelian,omitempty"`
	Migrations []string `json:"migrations,omitempty"`
	At         string   `json:"at,omitempty"`
	Table      string   `json:"table,omitempty"`
	Columns    []string `json:"columns,omitempty"`
	Row        []any    `json:"row,omitempty"`
	End        bool     `json:"end,omitempty"`
	Rows       int64    `json:"rows,omitempty"`
	File       string   `json:"file,omitempty"` // lines of Data follow, Size bytes in all
	Size       int64    `json:"size,omitempty"`
	Data       []byte   `json:"data,omitempty"`
}

const archiveFormat = 1

// ErrNotEmpty refuses to restore over data.
var ErrNotEmpty = errors.New("the database is not empty: restore needs a fresh one")

// physical columns mean something in one database only.
var physical = map[string]bool{"xid": true}

// volatile tables are not part of an archive.
var volatileTables = map[string]bool{"migration": true, "migration_lock": true, "lease": true}

// Dump writes everything, as of one moment, and gives the number of rows. files
// may be nil.
func Dump(ctx context.Context, db *DB, w io.Writer, at time.Time, files Attached) (int64, error) {
	zip := gzip.NewWriter(w)
	enc := json.NewEncoder(zip)
	total, names, err := dumpDatabase(ctx, db, enc, at, files)
	if err != nil {
		return total, err
	}
	// Files are copied after the transaction: it must not stay open for so long.
	if err := dumpAttached(ctx, enc, files, names); err != nil {
		return total, err
	}
	if err := enc.Encode(dumpLine{End: true, Rows: total}); err != nil {
		return total, err
	}
	return total, zip.Close()
}

func dumpDatabase(ctx context.Context, db *DB, enc *json.Encoder, at time.Time, files Attached) (int64, []string, error) {
	tx, err := db.R.BeginTx(ctx, &sql.TxOptions{Isolation: isolation(db), ReadOnly: db.Postgres()})
	if err != nil {
		return 0, nil, Busy(err)
	}
	defer func() { _ = tx.Rollback() }()
	tables, err := tableNames(ctx, tx, db)
	if err != nil {
		return 0, nil, err
	}
	applied, err := appliedMigrations(ctx, tx)
	if err != nil {
		return 0, nil, err
	}
	if err := enc.Encode(dumpLine{Kelian: archiveFormat, Migrations: applied, At: at.UTC().Format(time.RFC3339)}); err != nil {
		return 0, nil, err
	}
	var total int64
	for _, t := range tables {
		n, err := dumpTable(ctx, tx, enc, t)
		if err != nil {
			return total, nil, fmt.Errorf("dump %s: %w", t, err)
		}
		total += n
	}
	if files == nil {
		return total, nil, nil
	}
	names, err := files.Names(ctx, tx)
	return total, names, err
}

func isolation(db *DB) sql.IsolationLevel {
	if db.Postgres() {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

func dumpTable(ctx context.Context, tx bun.Tx, enc *json.Encoder, table string) (int64, error) {
	kinds, err := columnKinds(ctx, tx, table)
	if err != nil {
		return 0, err
	}
	rows, err := tx.QueryContext(ctx, "SELECT * FROM ?", bun.Ident(table))
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	cols, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	if err := enc.Encode(dumpLine{Table: table, Columns: cols}); err != nil {
		return 0, err
	}
	var n int64
	for rows.Next() {
		vals := make([]any, len(cols))
		ptrs := make([]any, len(cols))
		for i := range vals {
			ptrs[i] = &vals[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			return n, err
		}
		for i, v := range vals {
			switch v := v.(type) {
			case time.Time:
				vals[i] = v.UTC().Format(time.RFC3339Nano)
			case []byte:
				if k := kinds[cols[i]]; k != "bytea" && k != "blob" {
					vals[i] = string(v) // pgdriver's way to give uuid and its like
					continue
				}
				vals[i] = map[string]string{"base64": base64.StdEncoding.EncodeToString(v)}
			}
		}
		if err := enc.Encode(dumpLine{Row: vals}); err != nil {
			return n, err
		}
		n++
	}
	return n, rows.Err()
}

// Restore fills a fresh, migrated database of either dialect from an archive,
// in one transaction, and gives the number of rows. The files are durable
// before it; without files those of the archive are left out.
func Restore(ctx context.Context, db *DB, r io.Reader, files Attached) (int64, error) {
	zip, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return 0, fmt.Errorf("this is not an archive: %w", err)
	}
	dec := json.NewDecoder(zip)
	dec.UseNumber()
	var head dumpLine
	if err := dec.Decode(&head); err != nil || head.Kelian != archiveFormat {
		return 0, errors.New("this is not an archive of this format")
	}
	tables, err := readTables(dec, files)
	if err != nil {
		return 0, err
	}
	return InTx(ctx, db, Internal("restore"), func(ctx context.Context, tx *Tx) (int64, error) {
		here, err := appliedMigrations(ctx, tx)
		if err != nil {
			return 0, err
		}
		if !slices.Equal(here, head.Migrations) {
			return 0, fmt.Errorf("the archive was made with other migrations (%s) than this binary has (%s): restore with the version that made it, then migrate",
				strings.Join(head.Migrations, " "), strings.Join(here, " "))
		}
		return restoreAll(ctx, tx, tables)
	})
}

type dumpedTable struct {
	columns []string
	rows    [][]any
}

func readTables(dec *json.Decoder, files Attached) (map[string]*dumpedTable, error) {
	out := map[string]*dumpedTable{}
	var cur *dumpedTable
	var n int64
	for {
		var l dumpLine
		if err := dec.Decode(&l); err != nil {
			return nil, fmt.Errorf("the archive is cut or damaged: %w", err)
		}
		switch {
		case l.End:
			// The checksum stands behind the last line.
			if err := dec.Decode(&l); !errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("the archive is cut or damaged: %w", err)
			}
			if l.Rows != n {
				return nil, fmt.Errorf("the archive is damaged: %d rows, it should have %d", n, l.Rows)
			}
			return out, nil
		case l.File != "":
			if err := restoreAttached(dec, l, files); err != nil {
				return nil, err
			}
		case l.Table != "":
			cur = &dumpedTable{columns: l.Columns}
			out[l.Table] = cur
		case cur == nil:
			return nil, errors.New("the archive is damaged: a row before its table")
		default:
			cur.rows = append(cur.rows, l.Row)
			n++
		}
	}
}

func restoreAll(ctx context.Context, tx *Tx, tables map[string]*dumpedTable) (int64, error) {
	names, err := tableNames(ctx, tx, tx.DB)
	if err != nil {
		return 0, err
	}
	if !tx.DB.Postgres() {
		if _, err := tx.ExecContext(ctx, "PRAGMA defer_foreign_keys = ON"); err != nil {
			return 0, err
		}
	} else if names, err = parentsFirst(ctx, tx, names); err != nil {
		return 0, err
	}
	var total int64
	for _, name := range names {
		var any int
		if err := tx.NewRaw("SELECT count(*) FROM ?", bun.Ident(name)).Scan(ctx, &any); err != nil {
			return 0, err
		}
		if any > 0 {
			return 0, fmt.Errorf("%w (table %s has rows)", ErrNotEmpty, name)
		}
	}
	for name := range tables {
		if !slices.Contains(names, name) {
			return 0, fmt.Errorf("the archive has a table %s that this database lacks", name)
		}
	}
	for _, name := range names {
		if t := tables[name]; t != nil {
			if err := restoreTable(ctx, tx, name, t); err != nil {
				return total, fmt.Errorf("restore %s: %w", name, err)
			}
			total += int64(len(t.rows))
		}
	}
	return total, nil
}
