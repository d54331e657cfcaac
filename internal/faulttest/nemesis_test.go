//go:build fault && linux

package faulttest_test

import (
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// traffic lets societies and strangers go on with their work until stop is
// closed, and hands back the first thing that did not work.
func (w *world) traffic(stop <-chan struct{}) (wait func()) {
	var wg sync.WaitGroup
	for _, f := range []func() error{w.activity, w.activity, func() error { return w.repairReport("OTHER", "3号楼") }} {
		wg.Go(func() {
			pause := time.NewTicker(250 * time.Millisecond)
			defer pause.Stop()
			for {
				if err := f(); err != nil {
					w.wrong("%v", err)
					return
				}
				select {
				case <-stop:
					return
				case <-pause.C:
				}
			}
		})
	}
	return wg.Wait
}

// split is the scaled-out shape: one door with the monitor, two workers.
func (w *world) split() (workers []*process) {
	w.start("api,monitor", "", true)
	return []*process{w.start("worker", "", true), w.start("worker", "", true)}
}

// redisFaults empties Redis in the middle of work, kills it, freezes it, and
// kills a worker between.
func redisFaults(t *testing.T) {
	r, err := startRedis(filepath.Join(t.TempDir(), "redis"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	w := newWorld(t, shape{redis: "redis://" + r.addr + "/0"})
	workers := w.split()
	stop := make(chan struct{})
	wait := w.traffic(stop)
	first := make(chan error, 1)
	go func() { first <- w.outage() }()
	step := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	fault := func(what string, do func() error) {
		t.Helper()
		step("work goes on before "+what, w.progress(2))
		step(what, do())
		w.fig.fault()
		w.recovering(what)
	}
	for range 3 {
		fault("emptying Redis", r.empty)
	}
	w.pending.Wait()
	fault("killing Redis", func() error {
		if err := r.kill(); err != nil {
			return err
		}
		step("the door works without Redis", w.activity())
		return r.start()
	})
	w.pending.Wait()
	step("a worker is killed", workers[0].signal(syscall.SIGKILL))
	fault("emptying Redis", r.empty)
	w.pending.Wait()
	fault("freezing Redis", func() error {
		thaw := time.After(under.freeze)
		if err := r.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		step("the door works while Redis is frozen", w.activity())
		<-thaw
		return r.signal(syscall.SIGCONT)
	})
	step("the first thread", <-first)
	close(stop)
	wait()
	w.finish(true).judge(t)
	hit.Add(int64(w.fig.faults))
}

// postgresFaults restarts PostgreSQL as after a crash, and kills a worker and
// the door.
func postgresFaults(t *testing.T) {
	c, err := startCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.stop)
	address := c.url("postgres")
	if _, err := command(map[string]string{"KELIAN_DATA_DIR": t.TempDir(), "KELIAN_DATABASE_URL": address}, "restore", seeded.archive); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, shape{postgres: address})
	workers := w.split()
	stop := make(chan struct{})
	wait := w.traffic(stop)
	first := make(chan error, 1)
	go func() { first <- w.outage() }()
	for i := range 4 {
		if err := w.progress(2); err != nil {
			t.Error(err)
		}
		if i == 2 {
			if err := workers[1].signal(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			continue
		}
		if err := c.crash(); err != nil {
			t.Error(err)
		}
		w.fig.fault()
		w.struck(true)
		w.recovering("restart of PostgreSQL")
	}
	if err := <-first; err != nil {
		t.Errorf("the first thread: %v", err)
	}
	close(stop)
	wait()
	w.finish(true).judge(t)
	hit.Add(int64(w.fig.faults))
}

// progress waits until so many more operations are acknowledged.
func (w *world) progress(n int) error {
	acked := func() int { w.fig.mu.Lock(); defer w.fig.mu.Unlock(); return w.fig.acked }
	goal := acked() + n
	return poll("operations are acknowledged", under.wait, func() bool { return acked() >= goal })
}
