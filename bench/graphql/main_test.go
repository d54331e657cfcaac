package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"kelian/internal/testkit"
)

// The benchmark starts its own binary again as the server; here that is the test.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-serve" {
		if err := serveUntilEOF(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testkit.Main(m)
}

// The benchmark runs from beginning to end on both databases.
func TestTheBenchmarkRuns(t *testing.T) {
	for _, address := range slices.Compact([]string{"", testkit.PostgresURL()}) {
		var out bytes.Buffer
		o := options{server: address, requests: 20, open: 30, rounds: 1, burst: 200 * time.Millisecond, clients: []int{2}, out: &out}
		if err := run(context.Background(), o); err != nil || out.Len() == 0 {
			t.Fatal(err, out.String())
		}
	}
}
