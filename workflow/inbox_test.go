package workflow_test

import (
	"context"
	"strings"
	"testing"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
)

// A page of the inbox is read in the order of its index, whatever the number of
// tasks: nothing is scanned or sorted. In an empty table PostgreSQL would rather
// scan, so it is asked for the plan of a table in which that costs too much;
// bench/approvals measures the page at a million tasks.
func TestAPageOfTheInboxIsReadFromItsIndex(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		explain, off := "EXPLAIN QUERY PLAN ", []string(nil)
		if db.Postgres() {
			explain, off = "EXPLAIN ", []string{"SET enable_seqscan = off", "SET enable_bitmapscan = off"}
		}
		conn, err := db.Bun().Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		for _, q := range off {
			if _, err := conn.ExecContext(ctx, q); err != nil {
				t.Fatal(err)
			}
			defer func() { _, _ = conn.ExecContext(ctx, "RESET ALL") }()
		}
		rows, err := conn.QueryContext(ctx, explain+workflow.InboxSQL, id.New(), id.New(), 21)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		var plan strings.Builder
		for rows.Next() {
			var line string
			dest := []any{&line}
			if !db.Postgres() {
				dest = []any{new(int), new(int), new(int), &line}
			}
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		got := plan.String()
		if !strings.Contains(got, "task_inbox") || strings.Contains(got, "Sort") || strings.Contains(got, "TEMP B-TREE") || strings.Contains(got, "SCAN") || strings.Contains(got, "Seq Scan") {
			t.Fatalf("the plan is\n%s", got)
		}
	})
}
