package app_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/app"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/jobs"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func tables(t *testing.T, db *store.DB) []string {
	t.Helper()
	query := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'bun_%'`
	if db.Postgres() {
		query = `SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname NOT LIKE 'bun_%'`
	}
	var names []string
	if err := db.R.NewRaw(query).Scan(context.Background(), &names); err != nil {
		t.Fatal(err)
	}
	return names
}

// A table that nobody thought about when it was made would grow for ever.
func TestEveryTableIsForgottenOrKeptForAReason(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		forgotten := map[string]bool{}
		for _, k := range app.Retention {
			forgotten[k.Table] = true
		}
		for _, p := range app.Purges {
			for _, table := range p.Tables {
				forgotten[table] = true
			}
		}
		names := tables(t, db)
		for _, name := range names {
			if reason := app.Kept[name]; forgotten[name] == (reason != "") {
				t.Errorf("%s: forgotten %v, and kept because %q; one of both must hold", name, forgotten[name], reason)
			}
		}
		for name := range app.Kept {
			if forgotten[name] = true; !slices.Contains(names, name) {
				t.Errorf("there is no table %s", name)
			}
		}
		if len(forgotten) != len(names) {
			t.Errorf("the lists name %d tables, the schema has %d", len(forgotten), len(names))
		}
	})
}

// What is old goes with what hangs on it, what is young or still open stays.
func TestRetentionForgetsMessagesWithTheirDeliveries(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, now := context.Background(), testkit.Start
		old := now.AddDate(-2, 0, 0)
		person := id.New()
		told := func(at time.Time, line string) {
			n, d := id.New(), id.New()
			_, err := store.InTx(ctx, db, store.Internal("seed"), func(_ context.Context, tx *store.Tx) (int, error) {
				tx.QueueSQL(`INSERT INTO notification (id, topic, person, ref_kind, unit, lang, params, path, critical, dedupe, hidden, at)
					VALUES (?, 'x', ?, '', 'office', 'zh', '{}', '/inbox', ?, 'x', ?, ?)`, n, person, false, false, at)
				tx.QueueSQL(`INSERT INTO delivery (id, event, channel, recipient, state, created_at) VALUES (?, ?, 'phone', ?, 'sent', ?)`, d, n, person, at)
				if line == "" {
					return 0, nil
				}
				var by, when any
				if line != "OPEN" {
					by, when = person, at
				}
				tx.QueueSQL(`INSERT INTO to_tell (id, notification, delivery, recipient, unit, channel, text_zh, text_en, state, created_at, told_by, told_at)
					VALUES (?, ?, ?, ?, 'office', 'phone', '', '', ?, ?, ?, ?)`, id.New(), n, d, person, line, at, by, when)
				return 0, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		told(old, "")
		told(old, "TOLD")
		told(old, "OPEN") // somebody still has to be told
		told(now.Add(-time.Hour), "TOLD")
		if n, err := jobs.Forget(ctx, db, now, app.Retention); err != nil || n != 5 {
			t.Fatalf("%d rows went, want 2 notifications, 2 deliveries and 1 line: %v", n, err)
		}
		for table, want := range map[string]int{"notification": 2, "delivery": 2, "to_tell": 2} {
			var n int
			if err := db.R.NewRaw(`SELECT count(*) FROM `+table).Scan(ctx, &n); err != nil || n != want { //nolint:gosec // a fixed name
				t.Errorf("%s: %d rows are left, want %d: %v", table, n, want, err)
			}
		}
	})
}

// Old rounds go, on PostgreSQL in whole days, but not before they stand in the
// history; what no part holds goes by rows; what is young can be read.
func TestOldPartsGo(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx, first := context.Background(), testkit.Start.Truncate(24*time.Hour)
		if err := store.MakePartitions(ctx, db, first, first.AddDate(0, 0, 3)); err != nil {
			t.Fatal(err)
		}
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := db.Bun().NewRaw(query, args...).Exec(ctx); err != nil {
				t.Fatal(err)
			}
		}
		for d := range 4 { // the last day has no part of its own
			for h := range 2 {
				at := first.AddDate(0, 0, d).Add(time.Duration(h) * time.Hour)
				exec(`INSERT INTO round (vantage, shard, epoch, owner, healthy, mode, sent, received, lost, drops, dropped, began_ms, took_ms, payload, at)
					VALUES ('main', 0, ?, 'x', TRUE, 'raw', 0, 0, 0, 0, 0, 0, 0, ?, ?)`, at.Unix(), []byte{1}, at)
				exec(`INSERT INTO history_block (number, vantage, hour, rounds, block) VALUES (1, 'main', ?, 1, ?)`, at.Unix(), []byte{1})
			}
		}
		left := func(table string) (n int) {
			t.Helper()
			if err := db.R.NewRaw(`SELECT count(*) FROM `+table).Scan(ctx, &n); err != nil { //nolint:gosec // a fixed name
				t.Fatal(err)
			}
			return n
		}
		forget := func(now time.Time) {
			t.Helper()
			if _, err := jobs.Forget(ctx, db, now, app.Retention); err != nil {
				t.Fatal(err)
			}
		}
		if forget(first.AddDate(0, 0, 4)); left("round") != 8 {
			t.Fatalf("%d rounds are left; they stand in no history yet", left("round"))
		}
		exec(`INSERT INTO counter (name, value) VALUES ('netmon.history', ?)`, first.AddDate(0, 0, 5).Unix())
		if forget(first.AddDate(0, 0, 4)); left("round") != 4 || left("history_block") != 8 {
			t.Fatalf("%d rounds of 4 and %d blocks of 8 are left", left("round"), left("history_block"))
		}
		forget(first.AddDate(0, 0, 32))
		if left("round") != 0 || left("history_block") != 4 {
			t.Fatalf("%d rounds of none and %d blocks of 4 are left", left("round"), left("history_block"))
		}
	})
}

// The guide's list is the one in code; on a failure the test prints the table
// that belongs there.
func TestOperationsGuideListsWhatIsForgotten(t *testing.T) {
	raw, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	row := func(what, after string, tables ...string) {
		fmt.Fprintf(&want, "| %s | %s | `%s` |\n", what, after, strings.Join(tables, "`, `"))
	}
	want.WriteString("| what | after | tables |\n|---|---|---|\n")
	for _, k := range app.Retention {
		after := "24 h"
		if days := k.For / (24 * time.Hour); days > 1 {
			after = fmt.Sprintf("%d days", days)
		}
		row(k.What, after, k.Table)
	}
	for _, p := range app.Purges {
		row(p.What, p.After, p.Tables...)
	}
	if !strings.Contains(string(raw), "\n"+want.String()+"\n") {
		t.Fatalf("docs/operations.md lacks this table:\n\n%s", want.String())
	}
}
