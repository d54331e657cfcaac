package netmon_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/netmon"
	"kelian/netmon/judge"
	"kelian/netmon/probe"
	"kelian/org"
)

func TestSwitchOutageIsOneIncident(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		m := c.monitor(quick())
		c.round(m, 0)
		if !c.all(judge.Up) {
			t.Fatal("the hosts answer and are not UP")
		}
		c.outage()
		c.round(m, 0)
		v := c.switchOutage()
		if v.Title != (netmon.Words{Zh: "接入交换机无响应，6 台设备受牵连", En: "Access switch does not answer, 6 devices affected"}) {
			t.Fatalf("title: %+v", v.Title)
		}
		if !strings.Contains(v.Why.Zh, "核心交换机 在此之后仍有回应") || !strings.Contains(v.Why.En, "Core switch, on which it depends, answered after that") {
			t.Fatalf("why: %+v", v.Why)
		}
		if len(v.Evidence) == 0 || !v.Certified || len(v.Certificate.Suppressed) != 6 || v.Names[c.access.String()].En != "Access switch" {
			t.Fatalf("the incident does not prove itself: %+v", v)
		}
		if s := c.state(c.hosts[0]); s.State != judge.Down || len(s.Roots) != 1 || s.Roots[0] != c.access || strings.Join(s.Overlays, "") != "UNREACHABLE" {
			t.Fatalf("a host behind the switch: %+v", s)
		}
		c.round(m, 0) // the outage goes on and says nothing new
		c.switchOutage()
		c.net.Restore()
		c.round(m, 0)
		c.round(m, 0)
		v = c.switchOutage()
		if v.Open || v.CloseWhy != judge.Recovered || !c.all(judge.Up) || v.End.En == "" {
			t.Fatalf("the network is back and the incident is %+v", v)
		}
		for topic, want := range map[string]int64{netmon.TopicOpened: 1, netmon.TopicClosed: 1} {
			if n := c.number(`SELECT COUNT(*) FROM outbox WHERE topic = ? AND feed = TRUE`, topic); n != want {
				t.Errorf("%s was told %d times", topic, n)
			}
		}
		if n := c.number(`SELECT COUNT(*) FROM audit WHERE object_id = ? AND action IN ('netmon.incident.open', 'netmon.incident.close')`, v.ID); n != 2 {
			t.Errorf("%d records of the incident", n)
		}
		nodes, _, _, err := outbox.Trace(bg, db, outbox.Ref{Kind: netmon.RefIncident, ID: v.ID})
		if err != nil || len(nodes) != 2 || nodes[1].Kind != netmon.RefTransition {
			t.Errorf("trace: %v %v", nodes, err)
		}
		var why string
		if err := db.R.NewRaw(`SELECT why_en FROM transition WHERE subject = ? AND kind = 'NODE' AND to_state = 'DOWN'`, c.hosts[5].String()).Scan(bg, &why); err != nil ||
			why != "Building 6: up → down, cut off by Access switch" {
			t.Errorf("a transition in words: %q %v", why, err)
		}
	})
}

// Parent and children lie in different shards, which two monitors sweep, one
// of which judges; hooked up to a queue that is dead.
func TestOutageAcrossShardsAndMonitors(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 1, "")
		if n := c.number(`SELECT COUNT(DISTINCT shard) FROM host`); n != 8 {
			t.Fatalf("%d shards", n)
		}
		var mu sync.Mutex
		asked := map[int64]bool{}
		o := quick()
		o.Enqueue = func(_ context.Context, _ int, epoch int64, _ time.Time) error {
			mu.Lock()
			defer mu.Unlock()
			asked[epoch] = true
			return errors.New("the queue is dead")
		}
		monitors := []*netmon.Monitor{c.monitor(o), c.monitor(o)}
		for _, m := range monitors {
			c.run(m)
		}
		testkit.Eventually(t, "all hosts UP", func() bool { return c.all(judge.Up) })
		c.outage()
		testkit.Eventually(t, "an incident with six hosts behind it", func() bool {
			l := c.incidents()
			return len(l) > 0 && len(l[0].Suppressed) == 6
		})
		c.switchOutage()
		c.net.Restore()
		testkit.Eventually(t, "the end", func() bool { return !c.incidents()[0].Open })
		c.switchOutage()
		if a, b := monitors[0].Stats(), monitors[1].Stats(); a.Swept == 0 || b.Swept == 0 || a.EnqueueFailed+b.EnqueueFailed == 0 {
			t.Errorf("not both took part: %+v %+v", a, b)
		}
		testkit.Eventually(t, "a round of every shard for epochs whose queue failed", func() bool {
			mu.Lock()
			defer mu.Unlock()
			whole := 0
			for e := range asked {
				if c.number(`SELECT COUNT(*) FROM round WHERE epoch = ?`, e) == 8 {
					whole++
				}
			}
			return whole >= 3
		})
		if n := c.number(`SELECT COUNT(*) FROM outbox WHERE topic IN (?, ?) AND feed = TRUE`, netmon.TopicOpened, netmon.TopicClosed); n != 2 {
			t.Errorf("opened and closed were told %d times", n)
		}
	})
}

func TestAnotherMonitorTakesTheBench(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		stop := c.run(c.monitor(quick()))
		testkit.Eventually(t, "all hosts UP", func() bool { return c.all(judge.Up) })
		c.outage()
		testkit.Eventually(t, "an incident", func() bool { return len(c.incidents()) == 1 })
		stop()
		// Somebody who died without giving the lease back holds it.
		if ok, err := db.Lease(bg, "netmon.judge", "dead", 1500*time.Millisecond); err != nil || !ok {
			t.Fatal(ok, err)
		}
		second := c.monitor(quick())
		c.run(second)
		c.net.Restore()
		testkit.Eventually(t, "the second judge closes what the first opened", func() bool { return !c.incidents()[0].Open })
		c.switchOutage()
		if !second.Stats().Leads {
			t.Error("the second monitor does not judge")
		}
	})
}

func TestMissingShardIsUnknown(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 1, "")
		m := c.monitor(quick())
		for range 4 {
			c.round(m, 0, 1) // core and access switch only
		}
		for _, h := range c.hosts {
			if s := c.state(h); s.State != judge.Unknown {
				t.Fatalf("a host that nobody asked is %s", s.State)
			}
		}
		c.round(m, 0, 1, 2)
		for range 4 {
			c.round(m, 0, 1)
		}
		if s := c.state(c.hosts[0]); s.State != judge.Up || strings.Join(s.Overlays, "") != "STALE" {
			t.Fatalf("a host whose shard is missing is %s %v", s.State, s.Overlays)
		}
		if l := c.incidents(); len(l) > 0 {
			t.Fatalf("incidents out of nothing: %+v", l)
		}
	})
}

// sick is a prober that loses everything and knows why.
type sick struct{ *netmon.LiveProber }

func (s sick) Sweep(ctx context.Context, epoch uint64, targets []probe.Target) (probe.Round, error) {
	r, err := s.LiveProber.Sweep(ctx, epoch, targets)
	for i := range r.Outcomes {
		r.Outcomes[i] = probe.Outcome{State: probe.Lost}
	}
	r.Drops = len(targets)
	r.Fault = fault.Refuse("PROBER_DROPS", "丢包", "drops")
	return r, err
}

func TestUnhealthyRoundMakesNothingDown(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		c.round(c.monitor(quick()), 0)
		m := c.monitorWith(sick{c.prober}, quick())
		for range 3 {
			c.round(m, 0)
		}
		for _, h := range append([]id.ID{c.core, c.access}, c.hosts...) {
			if s := c.state(h); s.State != judge.Up {
				t.Fatalf("%s is %s on the word of a sick prober", s.Name.En, s.State)
			}
		}
		if n := c.number(`SELECT COUNT(*) FROM round WHERE healthy = FALSE AND fault = 'PROBER_DROPS' AND drops = 8`); n != 3 {
			t.Errorf("%d rounds say what was wrong with them", n)
		}
	})
}

func TestShardIsSweptOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		a, b := c.monitor(quick()), c.monitor(quick())
		e := c.next()
		var wait sync.WaitGroup
		for range 4 {
			for _, m := range []*netmon.Monitor{a, b} {
				wait.Go(func() {
					if err := m.SweepShard(bg, 0, e); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wait.Wait()
		if n := c.number(`SELECT COUNT(*) FROM round`); n != 1 {
			t.Errorf("%d rounds", n)
		}
		if n := a.Stats().Swept + b.Stats().Swept; n != 1 {
			t.Errorf("swept %d times", n)
		}
		if err := a.SweepShard(bg, 0, e-10); err != nil || a.Stats().Late != 1 {
			t.Errorf("an epoch that is over: %v, %+v", err, a.Stats())
		}
	})
}

func TestDoubtedCertificateMakesFlatIncidents(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		o := quick()
		o.Log = slog.New(slog.DiscardHandler) // it says each time that a proof failed
		m := c.monitor(o)
		doubt := errors.New("made up")
		m.Doubt(func() error { return doubt })
		c.round(m, 0)
		c.outage()
		c.round(m, 0)
		list := c.incidents()
		if len(list) != 7 {
			t.Fatalf("%d incidents for seven silent hosts", len(list))
		}
		for _, v := range list {
			if !v.Flat || v.Certified || len(v.Roots) != 1 || len(v.Suppressed) != 0 {
				t.Fatalf("not flat: %+v", v)
			}
		}
		c.net.Restore(c.address[c.access], c.address[c.hosts[0]])
		c.round(m, 0)
		c.round(m, 0)
		c.net.Restore()
		c.round(m, 0)
		c.round(m, 0)
		for _, v := range c.incidents() {
			if v.Open {
				t.Errorf("still open: %s %+v", v.Number, v.Roots)
			}
		}
	})
}

func TestWithoutICMPHostsAreKnockedAt(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, probe.ModeNone)
		m := c.monitor(quick())
		netmon.Beat(m, bg)
		c.round(m, 0)
		if !c.all(judge.Up) {
			t.Fatal("hosts that refuse a connection answer, and are not UP")
		}
		c.outage()
		c.round(m, 0)
		c.switchOutage()
		s, err := c.svc.Status(bg, org.Stranger("zh", ""))
		if err != nil || s.Mode != "tcp" || !strings.Contains(s.ModeWhy.Zh, "TCP") || !strings.Contains(s.ModeWhy.En, "TCP") {
			t.Errorf("the mode: %+v %v", s, err)
		}
	})
}

func TestMaintenanceOpensNoIncident(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		factory.Federation(t, db)
		c := newCampus(t, db, 0, "")
		actor := c.officer("technical.member")
		m := c.monitor(quick())
		c.round(m, 0)
		set := func(until time.Time) {
			t.Helper()
			if _, err := c.svc.SetMaintenance(bg, actor, netmon.MaintenanceInput{Host: c.hosts[0], Until: until, IdempotencyKey: id.New().String()}); err != nil {
				t.Fatal(err)
			}
		}
		set(clock.System{}.Now().Add(time.Hour))
		c.cut(c.hosts[0])
		c.round(m, 0)
		if s := c.state(c.hosts[0]); s.State != judge.Down || strings.Join(s.Overlays, "") != "MAINTENANCE" || s.Maintenance.IsZero() {
			t.Fatalf("under maintenance: %+v", s)
		}
		if l := c.incidents(); len(l) > 0 {
			t.Fatalf("an incident under maintenance: %+v", l)
		}
		set(time.Time{})
		c.round(m, 0)
		if l := c.incidents(); len(l) != 1 || l[0].Roots[0].Host != c.hosts[0] {
			t.Fatalf("after maintenance: %+v", l)
		}
	})
}

// An open incident whose proof fails later lets go of what it held back, and
// takes it in again when the proof holds.
func TestFailedProofReleasesTheSuppressed(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		o := quick()
		o.Log = slog.New(slog.DiscardHandler) // it says each time that a proof failed
		m := c.monitor(o)
		var doubt error
		m.Doubt(func() error { return doubt })
		c.round(m, 0)
		c.outage()
		c.round(m, 0)
		main := c.switchOutage()
		find := func() (open, merged []netmon.IncidentView) {
			for _, v := range c.incidents() {
				switch {
				case v.ID == main.ID:
					main = v
				case v.Open:
					open = append(open, v)
				case v.CloseWhy == judge.Merged && v.MergedInto == main.ID:
					merged = append(merged, v)
				}
			}
			return open, merged
		}
		doubt = errors.New("made up")
		c.net.Restore(c.address[c.hosts[0]])
		c.round(m, 0)
		c.round(m, 0)
		open, _ := find()
		if len(open) != 5 || !main.Open || main.Certified || len(main.Suppressed) != 0 || len(main.Roots) != 1 {
			t.Fatalf("%d of their own, and %+v", len(open), main)
		}
		doubt = nil
		c.net.Restore(c.address[c.hosts[1]])
		c.round(m, 0)
		c.round(m, 0)
		open, merged := find()
		if len(open) != 0 || len(merged) != 4 || !main.Certified || len(main.Suppressed) != 4 {
			t.Fatalf("%d of their own, %d taken in, and %+v", len(open), len(merged), main)
		}
		c.net.Restore()
		c.round(m, 0)
		c.round(m, 0)
		if open, _ = find(); main.Open || len(open) != 0 || main.CloseWhy != judge.Recovered {
			t.Fatalf("after the end: %+v", main)
		}
	})
}

// The core answers in a shard that is swept before the switch falls silent in
// another one: only asking the core again tells in this very epoch that it is
// not the cause.
func TestAncestorsInOtherShardsAreAskedAgain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 1, "")
		o := quick()
		o.Interval, o.Settle = 10*time.Second, 8*time.Second
		m := c.monitor(o)
		c.round(m, 0, 1, 2, 3, 4, 5, 6, 7)
		c.outage()
		c.round(m, 0, 1, 2, 3, 4, 5, 6, 7)
		if v := c.switchOutage(); v.Title.En != "Access switch does not answer, 6 devices affected" {
			t.Errorf("%+v", v.Title)
		}
	})
}

// Two processes that both believe they judge: the one that commits second
// finds the epoch judged and changes nothing.
func TestEpochIsJudgedOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		a, b := c.monitor(quick()), c.monitor(quick())
		c.round(a, 0)
		c.outage()
		e := c.next()
		if err := a.SweepShard(bg, 0, e); err != nil {
			t.Fatal(err)
		}
		b.Doubt(func() error { return a.JudgeEpoch(bg, e) }) // while b decides, a commits
		if err := b.JudgeEpoch(bg, e); err != nil {
			t.Fatal(err)
		}
		c.switchOutage()
		if n := c.number(`SELECT rounds FROM judge_state`); n != 2 || a.Stats().Judged != 2 || b.Stats().Judged != 0 {
			t.Errorf("%d epochs judged, %+v, %+v", n, a.Stats(), b.Stats())
		}
		c.net.Restore()
		c.round(b, 0)
		c.round(b, 0)
		if v := c.switchOutage(); v.Open {
			t.Error("the second judge did not go on from there")
		}
	})
}
