package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

const restoreChunk = 500

// restoreTable inserts the rows by the columns that the table here has.
func restoreTable(ctx context.Context, tx *Tx, name string, t *dumpedTable) error {
	kinds, err := columnKinds(ctx, tx, name)
	if err != nil {
		return err
	}
	var use []int
	var cols []string
	for i, c := range t.columns {
		if physical[c] {
			continue
		}
		if _, ok := kinds[c]; !ok {
			return fmt.Errorf("the archive has a column %s that this database lacks", c)
		}
		use = append(use, i)
		cols = append(cols, tx.DB.w.QueryGen().FormatQuery("?", bun.Ident(c)))
	}
	overriding := ""
	if tx.DB.Postgres() {
		overriding = "OVERRIDING SYSTEM VALUE "
		if p, ok := PartitionOf(name); ok {
			if err := p.roomFor(ctx, tx, t.integers(p.Column)); err != nil {
				return err
			}
		}
	}
	for chunk := range slices.Chunk(t.rows, restoreChunk) {
		var b []byte
		b = fmt.Appendf(b, "INSERT INTO %q (%s) %sVALUES ", name, strings.Join(cols, ", "), overriding)
		for n, row := range chunk {
			if n > 0 {
				b = append(b, ", "...)
			}
			b = append(b, '(')
			for k, i := range use {
				if k > 0 {
					b = append(b, ", "...)
				}
				v, err := restored(row[i], kinds[t.columns[i]])
				if err != nil {
					return err
				}
				b = append(b, tx.DB.w.QueryGen().FormatQuery("?", v)...)
			}
			b = append(b, ')')
		}
		if _, err := tx.ExecContext(ctx, "?", bun.Safe(b)); err != nil {
			return err
		}
	}
	if tx.DB.Postgres() && kinds["seq"] != "" {
		// An identity column goes on behind the rows that were put in.
		var seq *string
		if err := tx.NewRaw("SELECT pg_get_serial_sequence(?, 'seq')", name).Scan(ctx, &seq); err != nil {
			return err
		}
		if seq != nil {
			_, err := tx.ExecContext(ctx, "SELECT setval(?, (SELECT COALESCE(max(seq), 0) + 1 FROM ?), false)", *seq, bun.Ident(name))
			return err
		}
	}
	return nil
}

// integers are the values of a column.
func (t *dumpedTable) integers(column string) (out []int64) {
	i := slices.Index(t.columns, column)
	for _, row := range t.rows {
		if n, ok := row[i].(json.Number); ok {
			if v, err := n.Int64(); err == nil {
				out = append(out, v)
			}
		}
	}
	return out
}

// restored gives a value of the archive the type that the column wants.
func restored(v any, kind string) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		s, _ := v["base64"].(string)
		return base64.StdEncoding.DecodeString(s)
	case json.Number:
		if i, err := v.Int64(); err == nil {
			if kind == "boolean" {
				return i != 0, nil
			}
			return i, nil
		}
		return v.Float64()
	case string:
		if strings.HasPrefix(kind, "timestamp") {
			return time.Parse(time.RFC3339Nano, v)
		}
	}
	return v, nil
}

func columnKinds(ctx context.Context, q bun.IDB, table string) (map[string]string, error) {
	var rows []struct{ Name, Kind string }
	var err error
	if q.Dialect().Name().String() == "pg" {
		err = q.NewRaw(`SELECT column_name AS name, data_type AS kind FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ?`, table).Scan(ctx, &rows)
	} else {
		err = q.NewRaw(`SELECT name, lower(type) AS kind FROM pragma_table_info(?)`, table).Scan(ctx, &rows)
	}
	out := map[string]string{}
	for _, r := range rows {
		out[r.Name] = r.Kind
	}
	return out, err
}

func tableNames(ctx context.Context, q bun.IDB, db *DB) ([]string, error) {
	var all []string
	var err error
	if db.Postgres() {
		err = q.NewRaw(`SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1`).Scan(ctx, &all)
	} else {
		err = q.NewRaw(`SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1`).Scan(ctx, &all)
	}
	var out []string
	for _, t := range all {
		if !volatileTables[t] {
			out = append(out, t)
		}
	}
	return out, Busy(err)
}

func appliedMigrations(ctx context.Context, q bun.IDB) ([]string, error) {
	var out []string
	err := q.NewRaw(`SELECT name FROM migration ORDER BY name`).Scan(ctx, &out)
	return out, Busy(err)
}

// parentsFirst orders tables so that what a foreign key names comes before.
func parentsFirst(ctx context.Context, q bun.IDB, names []string) ([]string, error) {
	var refs []struct{ Child, Parent string }
	err := q.NewRaw(`SELECT c.conrelid::regclass::text AS child, c.confrelid::regclass::text AS parent FROM pg_constraint AS c
		WHERE c.contype = 'f' AND c.conrelid <> c.confrelid AND c.connamespace = current_schema()::regnamespace`).Scan(ctx, &refs)
	if err != nil {
		return nil, err
	}
	needs := map[string][]string{}
	for _, r := range refs {
		needs[strings.Trim(r.Child, `"`)] = append(needs[strings.Trim(r.Child, `"`)], strings.Trim(r.Parent, `"`))
	}
	var out []string
	state := map[string]int{}
	var visit func(n string) error
	visit = func(n string) error {
		switch state[n] {
		case 1:
			return fmt.Errorf("tables name each other in a circle at %s", n)
		case 2:
			return nil
		}
		state[n] = 1
		for _, p := range needs[n] {
			if err := visit(p); err != nil {
				return err
			}
		}
		state[n] = 2
		out = append(out, n)
		return nil
	}
	for _, n := range names {
		if err := visit(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}
