//go:build fault && linux

package faulttest_test

import (
	"strings"
	"sync/atomic"
	"testing"
)

const whole = "api,worker,monitor"

// The points at which a process is killed. Those of the first thread are
// passed by an outage, those of the second by an activity: for each command
// before and after its commit, for the relay before and after it enqueues, for
// each handler before and after its effect and before the commit of it, for a
// letter before and after it is sent.
var (
	firstThread = []string{
		"before-commit/submitRepair", "after-commit/submitRepair",
		"before-commit/netmon.incident.opened", "after-commit/netmon.incident.opened",
		"before-commit/acceptRepair", "after-commit/acceptRepair",
		"before-commit/needPartRepair", "after-commit/needPartRepair",
		"before-commit/decideTask:2", "after-commit/decideTask:3",
		"before-commit/allocatePledge", "after-commit/allocatePledge",
		"before-commit/netmon.incident.closed", "after-commit/netmon.incident.closed",
		"before-enqueue:3", "after-enqueue:3",
		"before-effect/netmon.incident.opened", "before-commit/delivery/netmon.incident.opened", "after-effect/netmon.incident.opened",
		"before-effect/workflow.approved", "before-commit/delivery/workflow.approved", "after-effect/workflow.approved",
		"before-effect/netmon.incident.closed", "after-effect/netmon.incident.closed",
		"before-send:2", "after-send:2",
	}
	secondThread = []string{
		"before-commit/submitRequest", "after-commit/submitRequest",
		"before-commit/decideTask:2", "after-commit/decideTask:2", // sends back
		"before-commit/resubmitRequest", "after-commit/resubmitRequest",
		"before-commit/decideTask:6", "after-commit/decideTask:6", // approves
		"before-enqueue:2", "after-enqueue:2", // early: a busy relay claims many rows at once
		"before-effect/workflow.task.opened:4", "before-commit/delivery/workflow.task.opened:4", "after-effect/workflow.task.opened:4",
		"before-effect/workflow.approved", "after-effect/workflow.approved",
		"before-commit/delivery/notify.requested", "after-effect/notify.requested",
		"before-send", "after-send",
	}
	embedded = []string{"before-commit/submitRequest", "after-commit/decideTask:2", "after-enqueue:2", "before-commit/delivery/workflow.task.opened:4",
		"after-effect/workflow.approved", "after-send"}
)

// hit counts the faults of TestFaults.
var hit atomic.Int64

// TestFaults is void unless at least ten faults hit.
func TestFaults(t *testing.T) {
	t.Parallel()
	t.Run("on", func(t *testing.T) {
		for _, at := range firstThread {
			killAt(t, "first", shape{}, at, (*world).outage)
		}
		t.Run("redis", func(t *testing.T) { t.Parallel(); redisFaults(t) })
		t.Run("postgres", func(t *testing.T) { t.Parallel(); postgresFaults(t) })
		for _, at := range secondThread {
			killAt(t, "second", shape{}, at, (*world).activity)
		}
		for _, at := range embedded {
			killAt(t, "embedded", shape{sqlite: true}, at, (*world).activity)
		}
	})
	if n := hit.Load(); n < 10 {
		t.Errorf("void: only %d faults hit", n)
	}
}

// killAt runs a thread in a process that dies at the point.
func killAt(t *testing.T, thread string, s shape, at string, run func(*world) error) {
	t.Run(thread+"/"+strings.ReplaceAll(at, "/", "_"), func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, s)
		w.start(whole, at, true)
		if err := run(w); err != nil {
			t.Errorf("the thread stopped: %v", err)
		}
		f := w.finish(true)
		if w.killed != 1 {
			f.wrong = append(f.wrong, "the point was not passed")
		}
		f.judge(t)
		hit.Add(int64(w.fig.faults))
	})
}
