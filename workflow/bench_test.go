package workflow_test

import (
	"context"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
)

// BenchmarkDecide measures one approval by one person at a time, each on a
// request of its own, through everything that a decision writes.
func BenchmarkDecide(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchDecide(b, testkit.SQLite(b)) })
	if testkit.PostgresURL() != "" {
		b.Run("postgres", func(b *testing.B) { benchDecide(b, testkit.Postgres(b)) })
	}
}

func benchDecide(b *testing.B, db *store.DB) {
	f, ctx := newFed(b, db), context.Background()
	tasks := make([]id.ID, b.N)
	for i := range tasks {
		f.clock.Advance(time.Millisecond) // the newest stands first in the inbox
		tasks[i] = f.task("songlan", f.submit("zhouhang", "office.property", "", at680)).Task
	}
	b.ResetTimer()
	for i, task := range tasks {
		_, err := f.svc.Decide(ctx, by("songlan"), workflow.DecideInput{Task: task, Verdict: workflow.Approve, FormRev: 1, IdempotencyKey: f.key()})
		if err != nil {
			b.Fatal(i, err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "decisions/s")
}
