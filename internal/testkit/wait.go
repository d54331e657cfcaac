package testkit

import (
	"testing"
	"time"
)

// Eventually waits until ok, at most a minute. On PostgreSQL a row can be read
// by the feed and the sealer only when every transaction of the server that
// began before it has ended, other tests' included.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("it did not happen within a minute: %s", what)
}
