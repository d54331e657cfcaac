//go:build fault && linux

package faulttest_test

import (
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The same checks on a binary with a planted bug: each must be seen.
func TestPlantedBugs(t *testing.T) {
	t.Parallel()
	t.Run("on", func(t *testing.T) {
		planted(t, "done", "after-effect/workflow.task.opened:3", (*world).asked, func(f *findings) []string { return f.doubled })
		planted(t, "effect", "before-commit/delivery/notify.requested", (*world).activity, func(f *findings) []string { return f.lost })
		t.Run("attempt", func(t *testing.T) {
			t.Parallel()
			f := frozenSender(t, "attempt")
			if !slices.ContainsFunc(f.wrong, func(s string) bool { return strings.Contains(s, "was received and is waiting") }) {
				t.Fatalf("the bug was not seen: %+v", *f)
			}
		})
		t.Run("none", func(t *testing.T) {
			t.Parallel()
			frozenSender(t, "").judge(t)
		})
	})
}

// planted runs a part of the second thread with the bug and a kill at the
// point; the sound binary passes the same in TestFaults.
func planted(t *testing.T, bug, at string, run func(*world) error, seen func(*findings) []string) {
	t.Run(bug, func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, shape{env: map[string]string{"KELIAN_FAULT_BUG": bug}})
		w.start(whole, at, true)
		if err := run(w); err != nil {
			t.Errorf("the thread stopped: %v", err)
		}
		f := w.finish(true)
		if w.killed != 1 {
			t.Error("the point was not passed")
		}
		if len(seen(f)) == 0 {
			t.Errorf("the bug was not seen: %+v", *f)
		}
		t.Logf("seen: lost %v, doubled %v, wrong %v", f.lost, f.doubled, f.wrong)
	})
}

// asked takes an activity to the first step that nobody decides by a link, and
// leaves it there: who is asked has to stay so, for a message about a decided
// step is not sent.
func (w *world) asked() error {
	request, _, err := w.submit()
	if err != nil {
		return err
	}
	for _, seat := range []string{"society.robotics.advisor", "college.mech.head"} {
		if err := w.settle(); err != nil {
			return err
		}
		if err := w.decide(seat, request, "APPROVE", nil); err != nil {
			return err
		}
	}
	return w.settle()
}

// gates hold the mail server's answers about one letter, the first that comes,
// to its first and its second sender. Other letters pass.
type gates struct {
	mu        sync.Mutex
	to        string
	n         int
	came, let [2]chan struct{}
}

func (g *gates) rcpt(to string) string {
	g.mu.Lock()
	if g.to == "" {
		g.to = to
	}
	n := len(g.came)
	if to == g.to {
		n, g.n = g.n, g.n+1
	}
	g.mu.Unlock()
	if n < len(g.came) {
		close(g.came[n])
		<-g.let[n]
	}
	return ""
}

// frozenSender stops a worker in the middle of a letter until its lease is
// over and another has taken the letter, and lets it go on first: what the
// first one says about its old attempt must not count.
func frozenSender(t *testing.T, bug string) *findings {
	g := &gates{}
	for i := range g.came {
		g.came[i], g.let[i] = make(chan struct{}), make(chan struct{})
	}
	opened := sync.OnceFunc(func() { close(g.let[0]); close(g.let[1]) })
	w := newWorld(t, shape{rcpt: g.rcpt, env: map[string]string{"KELIAN_FAULT_BUG": bug, "KELIAN_FAULT_TIMING": ""}})
	t.Cleanup(opened)
	w.start("api", "", true)
	if _, _, err := w.submit(); err != nil {
		t.Fatal(err)
	}
	held := func(what string, came chan struct{}) {
		t.Helper()
		if err := poll(what, under.wait, func() bool {
			select {
			case <-came:
				return true
			default:
				return false
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	a := w.start("worker", "stale-record", false)
	held("the first worker sends", g.came[0])
	if err := poll("no other letter is under way", under.wait, func() bool {
		rows, ok := w.due(time.Now().UTC())
		n, err := w.db.R.NewSelect().Table("delivery").Where("channel = 'email'").Where("state IN ('waiting', 'sending')").Count(t.Context())
		return ok && len(rows) == 0 && err == nil && n == 1
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.start("worker", "", false)
	held("the second worker sends after the lease", g.came[1])
	if err := a.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// It dies when its record is refused; with the bug it is not.
	if err := poll("the first worker has said what became of its attempt", under.wait, func() bool {
		select {
		case <-a.gone:
			return true
		default:
			n, err := w.db.R.NewSelect().Table("delivery").Where("channel = 'email'").Where("state = 'waiting'").Count(t.Context())
			return err == nil && n > 0
		}
	}); err != nil {
		t.Fatal(err)
	}
	opened()
	return w.finish(false)
}
