package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"
)

// Hot is a read that runs so often that planning it would cost more than
// running it: it is prepared once per connection. The text has ? for each
// argument. Sources of the figures: docs/adr/0001-two-dialects.md.
type Hot struct {
	name, text string
	mu         sync.Mutex
	stmts      map[*DB]bun.Stmt
}

// NewHot names a hot read; declare it once, as a package variable.
func NewHot(name, text string) *Hot {
	return &Hot{name: name, text: text, stmts: map[*DB]bun.Stmt{}}
}

// Stamp spells a time for an argument of a hot read, as both databases compare
// it: bun writes times in this shape into SQLite.
func Stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999999-07:00") }

// Query runs the statement outside of a transaction. A lost connection is
// tried once more: it is a read.
func (h *Hot) Query(ctx context.Context, db *DB, args ...any) (*sql.Rows, error) {
	stmt, err := h.stmt(ctx, db)
	if err != nil {
		return nil, Busy(err)
	}
	db.trips.Add(1)
	rows, err := stmt.QueryContext(ctx, args...)
	if lost(err) {
		db.trips.Add(1)
		rows, err = stmt.QueryContext(ctx, args...)
	}
	return rows, Busy(err)
}

// Scan runs the statement and scans the rows into dest, a pointer to a slice
// of structs.
func (h *Hot) Scan(ctx context.Context, db *DB, dest any, args ...any) error {
	rows, err := h.Query(ctx, db, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	if err := db.R.ScanRows(ctx, rows, dest); err != nil {
		return Busy(err)
	}
	return Busy(rows.Err())
}

func (h *Hot) stmt(ctx context.Context, db *DB) (bun.Stmt, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s, ok := h.stmts[db]; ok {
		return s, nil
	}
	text := h.text
	if db.Postgres() {
		text = numbered(text)
	}
	s, err := db.R.PrepareContext(ctx, text)
	if err == nil {
		h.stmts[db] = s
	}
	return s, err
}

// numbered turns each ? into $1, $2, …; a hot text has no ? in a literal.
func numbered(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if r == '?' {
			n++
			b.WriteString("$" + strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
