//go:build fault

package fault

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Enabled says whether this binary can inject faults.
const Enabled = true

// The bugs that KELIAN_FAULT_BUG plants, to prove that the fault tests see
// them.
var (
	BugDone    = os.Getenv("KELIAN_FAULT_BUG") == "done"    // a row is marked done after its effect's transaction
	BugEffect  = os.Getenv("KELIAN_FAULT_BUG") == "effect"  // the effect is written after the row's transaction
	BugAttempt = os.Getenv("KELIAN_FAULT_BUG") == "attempt" // an old attempt is taken for the newest
)

var hits, decided atomic.Int64

// Forgets says that a command is to be answered as if it were done and not to
// be done: every seventh decision, with the planted bug "vote".
func Forgets(command string) bool {
	return os.Getenv("KELIAN_FAULT_BUG") == "vote" && command == "decideTask" && decided.Add(1)%7 == 0
}

// At kills this process with SIGKILL the n-th time the point "name" (or
// "name/of", where the point says of what) named by
// KELIAN_KILL_AT ("name" or "name:n") is passed; KELIAN_PAUSE_AT
// ("name:milliseconds") pauses there instead.
func At(point string, of ...string) {
	point = strings.Join(append([]string{point}, of...), "/")
	if name, n := split(os.Getenv("KELIAN_KILL_AT"), 1); name == point {
		if hits.Add(1) == int64(n) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	if name, ms := split(os.Getenv("KELIAN_PAUSE_AT"), 1000); name == point {
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
}

func split(s string, def int) (string, int) {
	name, num, ok := strings.Cut(s, ":")
	if !ok {
		return name, def
	}
	n, err := strconv.Atoi(num)
	if err != nil {
		return name, def
	}
	return name, n
}
