package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"kelian/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// The benchmark runs from beginning to end on both databases.
func TestTheBenchmarkRuns(t *testing.T) {
	for _, server := range slices.Compact([]string{"", testkit.PostgresURL()}) {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		o := options{server: server, requests: 50, inbox: 50, open: 50, clients: 2, rounds: 1, burst: 200 * time.Millisecond, out: out}
		if err := run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		if n, err := out.Stat(); err != nil || n.Size() == 0 {
			t.Fatal("it prints nothing", err)
		}
		_ = out.Close()
	}
}
