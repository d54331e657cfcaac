package netmon_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/netmon"
	"kelian/netmon/judge"
	"kelian/netmon/probe"
	"kelian/netmon/probe/faulty"
	"kelian/org"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	bg    = context.Background()
	rules = org.NewTable(netmon.Rules())
)

// campus is a core, an access switch behind it and six hosts behind the switch,
// on loopback addresses that really answer.
type campus struct {
	t       *testing.T
	db      *store.DB
	net     *faulty.Network
	prober  *netmon.LiveProber
	svc     *netmon.Service
	core    id.ID
	access  id.ID
	hosts   []id.ID
	epoch   int64
	address map[id.ID]netip.Addr
}

func policy() *probe.Policy { return probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true}) }

// newCampus seeds the hosts; shardSize 1 puts every host into a shard of its
// own.
func newCampus(t *testing.T, db *store.DB, shardSize int, mode probe.Mode) *campus {
	t.Helper()
	c := &campus{t: t, db: db, net: &faulty.Network{}, address: map[id.ID]netip.Addr{}}
	var err error
	c.prober, err = netmon.NewProber(netmon.ProberOptions{Policy: policy(), Timeout: 100 * time.Millisecond, Mode: mode, Link: c.net, Wrap: c.net.Wrap})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.prober.Close() })
	c.svc = netmon.New(db, clock.System{}, rules, netmon.Options{Policy: policy(), Prober: c.prober, ShardSize: shardSize})
	c.core = c.host("核心交换机", "Core switch", 1, nil)
	c.access = c.host("接入交换机", "Access switch", 2, []id.ID{c.core})
	for i := range 6 {
		c.hosts = append(c.hosts, c.host(fmt.Sprintf("教学楼 %d", i+1), fmt.Sprintf("Building %d", i+1), 11+i, []id.ID{c.access}, fmt.Sprintf("T%d", i+1)))
	}
	return c
}

func (c *campus) host(zh, en string, last int, needs []id.ID, buildings ...string) id.ID {
	c.t.Helper()
	a := netip.AddrFrom4([4]byte{127, 7, 0, byte(last)})
	in := netmon.HostInput{NameZh: zh, NameEn: en, Address: a.String(), Buildings: buildings, Checks: []netmon.CheckInput{{Kind: netmon.ICMP}}}
	if needs != nil {
		in.Needs = [][]id.ID{needs}
	}
	out, err := c.svc.CreateHost(bg, org.System(), in)
	if err != nil {
		c.t.Fatal(err)
	}
	c.address[out.Host] = a
	return out.Host
}

// cut makes hosts silent: what is behind a switch is silent with it.
func (c *campus) cut(hosts ...id.ID) {
	for _, h := range hosts {
		c.net.Cut(c.address[h])
	}
}

func (c *campus) outage() { c.cut(append([]id.ID{c.access}, c.hosts...)...) }

// quick are settings under which an epoch takes a second.
func quick() netmon.MonitorOptions {
	return netmon.MonitorOptions{Interval: time.Second, Timeout: 100 * time.Millisecond, Gap: 100 * time.Millisecond, Patience: 50 * time.Millisecond,
		Settle: 700 * time.Millisecond, Log: testkit.Quiet()}
}

func (c *campus) monitor(o netmon.MonitorOptions) *netmon.Monitor {
	c.t.Helper()
	return c.monitorWith(c.prober, o)
}

func (c *campus) monitorWith(p netmon.Prober, o netmon.MonitorOptions) *netmon.Monitor {
	c.t.Helper()
	m, err := netmon.NewMonitor(c.db, clock.System{}, p, o)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// run runs a monitor until the test ends or stop is called.
func (c *campus) run(m *netmon.Monitor) (stop func()) {
	ctx, cancel := context.WithCancel(bg)
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	c.t.Cleanup(stop)
	return stop
}

// next waits for an epoch that was not used yet.
func (c *campus) next() int64 {
	c.t.Helper()
	testkit.Eventually(c.t, "the next epoch", func() bool { return time.Now().Unix() > c.epoch })
	c.epoch = time.Now().Unix()
	return c.epoch
}

// round sweeps the shards of the next epoch and judges it.
func (c *campus) round(m *netmon.Monitor, shards ...int) {
	c.t.Helper()
	e := c.next()
	for _, s := range shards {
		if err := m.SweepShard(bg, s, e); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := m.JudgeEpoch(bg, e); err != nil {
		c.t.Fatal(err)
	}
}

func (c *campus) state(host id.ID) netmon.HostView {
	c.t.Helper()
	views, err := c.svc.HostsByID(bg, org.System(), host)
	if err != nil || len(views) != 1 {
		c.t.Fatal(views, err)
	}
	return views[0]
}

func (c *campus) all(want judge.State) bool {
	views, err := c.svc.Hosts(bg, org.System())
	if err != nil {
		c.t.Fatal(err)
	}
	return !slices.ContainsFunc(views, func(v netmon.HostView) bool { return v.State != want })
}

func (c *campus) incidents() []netmon.IncidentView {
	c.t.Helper()
	list, more, err := c.svc.Incidents(bg, org.System(), store.Page{First: 100}, nil)
	if err != nil || more {
		c.t.Fatal(more, err)
	}
	return list
}

func (c *campus) number(query string, args ...any) (n int64) {
	c.t.Helper()
	if err := c.db.R.NewRaw(query, args...).Scan(bg, &n); err != nil {
		c.t.Fatal(query, err)
	}
	return n
}

// switchOutage wants exactly one incident, of the access switch, with the six
// hosts suppressed.
func (c *campus) switchOutage() netmon.IncidentView {
	c.t.Helper()
	list := c.incidents()
	if len(list) != 1 {
		c.t.Fatalf("want one incident, have %+v", list)
	}
	v, err := c.svc.Incident(bg, org.System(), list[0].ID)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(v.Roots) != 1 || v.Roots[0].Host != c.access || len(v.Suppressed) != 6 {
		c.t.Fatalf("want the access switch with six hosts behind it, have %+v with %+v", v.Roots, v.Suppressed)
	}
	return v
}

// officer makes somebody on the seats.
func (c *campus) officer(seats ...string) org.Actor {
	c.t.Helper()
	return org.Actor{Person: factory.Officer(c.t, c.db, "王小明", seats...), Lang: "zh"}
}
