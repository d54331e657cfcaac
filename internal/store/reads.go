package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"
)

// Reads are reads that go to the database together: on PostgreSQL they take
// one round trip however many they are, and so do the writes that a Tx has
// queued before, which they see. On SQLite they run one after the other.
//
// On PostgreSQL they are one statement with one snapshot. What locks a row
// (SELECT … FOR UPDATE, UPDATE … RETURNING) is read as it is once the lock is
// held, what stands beside it as it was when the statement began. A read that
// must come after a lock therefore belongs in the next Run, and one that must
// see a write beside it needs that write queued. Columns of bytea cannot be read.
type Reads struct {
	q    bun.IDB
	list []read
}

type read struct {
	query schema.QueryAppender
	dest  any
}

// NewReads collects reads for q: a Tx, or the database outside of one.
func NewReads(q bun.IDB) *Reads { return &Reads{q: q} }

// Add puts a read beside the others. dest is a pointer to a slice of structs or
// of single values; Run fills it anew; no rows leave it nil.
func (r *Reads) Add(dest any, query schema.QueryAppender) { r.list = append(r.list, read{query, dest}) }

// SQL is Add for a statement in plain SQL.
func (r *Reads) SQL(dest any, query string, args ...any) { r.Add(dest, r.q.NewRaw(query, args...)) }

// Run sends the reads and forgets them, so that others can be added.
func (r *Reads) Run(ctx context.Context) error {
	list := r.list
	r.list = nil
	if len(list) == 0 {
		return nil
	}
	for _, x := range list {
		reflect.ValueOf(x.dest).Elem().SetZero()
	}
	tx, _ := r.q.(*Tx)
	if r.q.Dialect().Name() != dialect.PG {
		if tx != nil {
			if err := tx.Flush(ctx); err != nil {
				return err
			}
		}
		for _, x := range list {
			if err := r.one(ctx, x); err != nil {
				return err
			}
		}
		return nil
	}
	if tx == nil || len(tx.queue) == 0 {
		if len(list) == 1 {
			return r.one(ctx, list[0])
		}
	}
	text, err := joined(list, r.q)
	if err != nil {
		return err
	}
	if tx != nil {
		if tx.err != nil {
			return tx.err
		}
		text = tx.batch() + text
		tx.queue = nil
	}
	rows, err := r.q.QueryContext(ctx, "?", bun.Safe(text))
	if err != nil {
		return Busy(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var k int
		var row string
		if err := rows.Scan(&k, &row); err != nil {
			return Busy(err)
		}
		if err := appendRow(r.q.Dialect().Tables(), list[k].dest, row); err != nil {
			return fmt.Errorf("store: read %d of %d: %w", k, len(list), err)
		}
	}
	return Busy(rows.Err())
}

func (r *Reads) one(ctx context.Context, x read) error {
	if d, ok := r.q.Dialect().(*sqlitedialect.Dialect); ok {
		s, err := render(x.query, d)
		if err != nil {
			return err
		}
		rows, err := s.query(ctx, r.q)
		if err != nil {
			return Busy(err)
		}
		defer func() { _ = rows.Close() }()
		if err := r.q.NewRaw("").DB().ScanRows(ctx, rows, x.dest); err != nil {
			return Busy(err)
		}
		return Busy(rows.Err())
	}
	text, err := x.query.AppendQuery(schema.NewQueryGen(r.q.Dialect()), nil)
	if err != nil {
		return err
	}
	if err := r.q.NewRaw("?", bun.Safe(text)).Scan(ctx, x.dest); err != nil && !NoRows(err) {
		return Busy(err)
	}
	return nil
}

// joined makes one statement of the reads: rows of the read's index and the
// row as JSON, in the order of the reads.
func joined(list []read, q bun.IDB) (string, error) {
	gen := schema.NewQueryGen(q.Dialect())
	var with, rows []string
	for k, x := range list {
		text, err := x.query.AppendQuery(gen, nil)
		if err != nil {
			return "", fmt.Errorf("store: read: %w", err)
		}
		with = append(with, fmt.Sprintf("r%d AS MATERIALIZED (%s)", k, text))
		rows = append(rows, fmt.Sprintf("SELECT %d, row_to_json(r%d)::text FROM r%d", k, k, k))
	}
	return "WITH " + strings.Join(with, ",\n") + "\n" + strings.Join(rows, " UNION ALL "), nil
}

// appendRow appends a row, an object whose keys are columns, to the slice.
func appendRow(tables *schema.Tables, dest any, row string) error {
	slice := reflect.ValueOf(dest).Elem()
	elem := reflect.New(slice.Type().Elem()).Elem()
	d := json.NewDecoder(strings.NewReader(row))
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return err
	}
	single := isSingle(elem)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		if single {
			if err := schema.Scanner(elem.Type())(elem, plain(raw, elem.Type())); err != nil {
				return err
			}
			break
		}
		f := tables.Get(elem.Type()).LookupField(name.(string))
		if f == nil {
			return fmt.Errorf("%s has no field for the column %s", elem.Type(), name)
		}
		if err := f.ScanValue(elem, plain(raw, f.IndirectType)); err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
	}
	slice.Set(reflect.Append(slice, elem))
	return nil
}

var timeType = reflect.TypeFor[time.Time]()

// isSingle says whether a row is one value and no struct.
func isSingle(v reflect.Value) bool {
	type scanner interface{ Scan(src any) error }
	_, scans := v.Addr().Interface().(scanner)
	return scans || v.Kind() != reflect.Struct || v.Type() == timeType
}

// plain gives a JSON value as the driver would: times in UTC, all else that is
// not null or a boolean as text.
func plain(raw json.RawMessage, to reflect.Type) any {
	switch {
	case bytes.Equal(raw, []byte("null")):
		return nil
	case bytes.Equal(raw, []byte("true")), bytes.Equal(raw, []byte("false")):
		return raw[0] == 't'
	case raw[0] != '"':
		return string(raw)
	}
	var text string
	_ = json.Unmarshal(raw, &text) // a value that Decode has read
	if to == timeType {
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return at.UTC()
		}
	}
	return text
}
