package netmon_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/internal/testkit/netlab"
	"kelian/netmon"
	"kelian/netmon/judge"
	"kelian/netmon/probe"
	"kelian/org"
)

// estate is a campus of kernels: this namespace, then four routers in a chain,
// the second and third joined by two cables, with live addresses behind each,
// an IPv6 twin, and a host whose answers the test makes.
//
//	here ── R1 ── R2 ══ R3 ── R4
type estate struct {
	t     *testing.T
	r     [5]*netlab.Node
	tun   *netlab.Responder
	sides []*side
}

// side is one database with the same network in it.
type side struct {
	*campus
	name string
	ids  map[string]id.ID
	seen map[id.ID]bool // incidents before the scenario
	down int64
}

// inEstate builds the network in a process of its own and runs body there.
func inEstate(t *testing.T, body func(e *estate)) {
	t.Helper()
	netlab.Enter(t, func(t *testing.T) {
		e := &estate{t: t}
		e.build()
		e.sides = append(e.sides, e.side("sqlite", testkit.SQLite(t)))
		if testkit.PostgresURL() != "" {
			e.sides = append(e.sides, e.side("postgres", testkit.Postgres(t)))
		}
		body(e)
	}, func(t *testing.T) { t.Log("the network of namespaces needs the right to make some") })
}

func (e *estate) build() {
	here := netlab.Here
	e.r[0] = here
	here.NoDAD(e.t)
	for i := range 4 {
		e.r[i+1] = netlab.NewRouter(e.t)
	}
	r := e.r
	netlab.Link(e.t, here, "up0", r[1], "down0")
	netlab.Link(e.t, r[1], "r12", r[2], "r21")
	netlab.Link(e.t, r[2], "u0", r[3], "w0")
	netlab.Link(e.t, r[2], "u1", r[3], "w1")
	netlab.Link(e.t, r[3], "r34", r[4], "r43")
	here.Sysctl(e.t, "net.ipv4.ping_group_range=0 0")
	for i := range r {
		e.mend(i)
	}
	var err error
	nets := []string{"10.77.0.0/24"}
	e.tun, err = netlab.NewResponder("tun0", netlab.Delayed(time.Millisecond), nets...)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(e.tun.Close)
	here.IP(e.t, "addr add 10.78.0.1/32 dev tun0")
}

// mend gives a router its addresses and routes, whatever it lost of them. What
// it knows no way to it says so, instead of sending it back.
func (e *estate) mend(i int) {
	e.t.Helper()
	e.r[i].IP(e.t, [][]string{
		{"addr replace 10.9.0.2/30 dev up0", "route replace default via 10.9.0.1",
			"-6 addr replace fd00:9::2/64 dev up0 nodad", "-6 route replace default via fd00:9::1"},
		{"addr replace 10.9.0.1/30 dev down0", "addr replace 10.12.0.1/30 dev r12", "route replace 10.0.0.0/8 via 10.12.0.2", "route replace local 10.1.0.0/24 dev lo",
			"-6 addr replace fd00:9::1/64 dev down0 nodad", "-6 addr replace fd00:12::1/64 dev r12 nodad", "-6 route replace fd00::/16 via fd00:12::2"},
		{"addr replace 10.12.0.2/30 dev r21", "addr replace 10.23.0.1/30 dev u0", "addr replace 10.23.1.1/30 dev u1", "route replace default via 10.12.0.1",
			"route replace 10.255.0.3 via 10.23.0.2 metric 10", "route replace 10.255.0.3 via 10.23.1.2 metric 20",
			"route replace 10.3.0.0/16 via 10.23.0.2 metric 10", "route replace 10.3.0.0/16 via 10.23.1.2 metric 20",
			"route replace 10.34.0.0/15 via 10.23.0.2 metric 10", "route replace 10.34.0.0/15 via 10.23.1.2 metric 20",
			"route replace unreachable 10.255.0.3 metric 90", "route replace unreachable 10.3.0.0/16 metric 90", "route replace unreachable 10.34.0.0/15 metric 90",
			"route replace blackhole 10.66.0.0/24", "route replace prohibit 10.67.0.0/24", "route replace unreachable 10.68.0.0/24",
			"-6 addr replace fd00:12::2/64 dev r21 nodad", "-6 addr replace fd00:23::1/64 dev u0 nodad", "-6 addr replace fd00:24::1/64 dev u1 nodad",
			"-6 route replace default via fd00:12::1",
			"-6 route replace fd00:3::/32 via fd00:23::2 metric 10", "-6 route replace fd00:3::/32 via fd00:24::2 metric 20", "-6 route replace unreachable fd00:3::/32 metric 90",
			"-6 route replace unreachable fd00:68::/64"},
		{"addr replace 10.23.0.2/30 dev w0", "addr replace 10.23.1.2/30 dev w1", "addr replace 10.34.0.1/30 dev r34", "addr replace 10.255.0.3/32 dev lo",
			"route replace default via 10.23.0.1 src 10.255.0.3 metric 10", "route replace default via 10.23.1.1 src 10.255.0.3 metric 20",
			"route replace local 10.3.0.0/24 dev lo", "route replace 10.35.0.0/24 via 10.34.0.2", "route replace unreachable 10.35.0.0/24 metric 90", "route replace unreachable 10.34.0.0/30 metric 90",
			"-6 addr replace fd00:23::2/64 dev w0 nodad", "-6 addr replace fd00:24::2/64 dev w1 nodad", "-6 addr replace fd00:34::1/64 dev r34 nodad",
			"-6 route replace default via fd00:23::1 metric 10", "-6 route replace default via fd00:24::1 metric 20",
			"-6 route replace local fd00:3::/64 dev lo", "-6 route replace fd00:3:4::/64 via fd00:34::2", "-6 route replace unreachable fd00:3:4::/64 metric 4000"},
		{"addr replace 10.34.0.2/30 dev r43", "route replace default via 10.34.0.1", "route replace local 10.35.0.0/24 dev lo",
			"-6 addr replace fd00:34::2/64 dev r43 nodad", "-6 route replace default via fd00:34::1", "-6 route replace local fd00:3:4::/64 dev lo"},
	}[i]...)
}

// pull takes a cable out at the given end; plug puts it back.
func (e *estate) pull(router int, devs ...string) {
	e.t.Helper()
	for _, d := range devs {
		e.r[router].IP(e.t, "link set "+d+" down")
	}
}

func (e *estate) plug(router int, devs ...string) {
	e.t.Helper()
	for _, d := range devs {
		e.r[router].IP(e.t, "link set "+d+" up")
	}
	for i := range e.r {
		e.mend(i)
	}
}

// behind are the hosts that fail with a router.
func behind(router int) []string {
	out := []string{"R4", "4a", "4b"}
	if netlab.HasIPv6() {
		out = append(out, "4v6")
	}
	if router == 3 {
		out = append(out, "3a", "3b", "3c")
		if netlab.HasIPv6() {
			out = append(out, "3v6")
		}
		return out
	}
	return out[1:]
}

// side registers the network in a database, in shards of four checks.
func (e *estate) side(name string, db *store.DB) *side {
	e.t.Helper()
	factory.Federation(e.t, db)
	c := &campus{t: e.t, db: db}
	var err error
	c.prober, err = netmon.NewProber(netmon.ProberOptions{Policy: estatePolicy(), Timeout: estateTimeout})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = c.prober.Close() })
	c.svc = netmon.New(db, clock.System{}, rules, netmon.Options{Policy: estatePolicy(), Prober: c.prober, ShardSize: 4})
	s := &side{campus: c, name: name, ids: map[string]id.ID{}}
	s.add("R1", "10.9.0.1", netmon.Rule{})
	s.add("R2", "10.12.0.2", netmon.Rule{}, "R1")
	s.add("R3", "10.255.0.3", netmon.Rule{}, "R2")
	s.add("R4", "10.34.0.2", netmon.Rule{}, "R3")
	s.add("1a", "10.1.0.11", netmon.Rule{}, "R1")
	for i, h := range []string{"3a", "3b", "3c"} {
		s.add(h, fmt.Sprintf("10.3.0.%d", 11+i), netmon.Rule{}, "R3")
	}
	s.add("4a", "10.35.0.11", netmon.Rule{}, "R4")
	s.add("4b", "10.35.0.12", netmon.Rule{}, "R4")
	if netlab.HasIPv6() {
		s.add("3v6", "fd00:3::11", netmon.Rule{}, "R3")
		s.add("4v6", "fd00:3:4::11", netmon.Rule{}, "R4")
	}
	s.add("tun", "10.77.0.5", netmon.Rule{Losses: 1, Within: 1, Replies: 1})
	return s
}

func estatePolicy() *probe.Policy {
	return probe.NewPolicy(probe.PolicyOptions{Allow: prefixes("10.0.0.0/8", "fd00::/16")})
}

const estateTimeout = 150 * time.Millisecond

// brisk are settings under which an epoch takes a second and a host may change
// once in a while without flapping.
func brisk() netmon.MonitorOptions {
	o := quick()
	o.Timeout = estateTimeout
	o.Settle = 800 * time.Millisecond
	o.Params = judge.Params{HalfLife: time.Second, Suppress: 1700, Reuse: 500}
	return o
}

func (s *side) add(name, address string, rule netmon.Rule, needs ...string) {
	s.t.Helper()
	in := netmon.HostInput{NameZh: name, NameEn: name, Address: address, Checks: []netmon.CheckInput{{Kind: netmon.ICMP}}, Rule: rule}
	for _, n := range needs {
		in.Needs = append(in.Needs, []id.ID{s.ids[n]})
	}
	out, err := s.svc.CreateHost(bg, org.System(), in)
	if err != nil {
		s.t.Fatal(s.name, name, err)
	}
	s.ids[name] = out.Host
}

// begin waits until all is well and remembers what there was before.
func (e *estate) begin() {
	e.t.Helper()
	for _, s := range e.sides {
		s.soon(s.well, func() string { return "not all hosts are UP: " + s.picture() })
		s.seen = map[id.ID]bool{}
		for _, v := range s.incidents() {
			s.seen[v.ID] = true
		}
		s.down = s.number(`SELECT COUNT(*) FROM transition WHERE kind = 'NODE' AND to_state = 'DOWN'`)
	}
}

func (s *side) eventually(what string, ok func() bool) {
	s.t.Helper()
	testkit.Eventually(s.t, s.name+": "+what, ok)
}

func (s *side) well() bool {
	views, err := s.svc.Hosts(bg, org.System())
	if err != nil {
		s.t.Fatal(err)
	}
	return !slices.ContainsFunc(views, func(v netmon.HostView) bool { return v.State != judge.Up || len(v.Overlays) > 0 }) &&
		!slices.ContainsFunc(s.incidents(), func(v netmon.IncidentView) bool { return v.Open })
}

// picture says what every host looks like.
func (s *side) picture() string {
	var out []string
	views, _ := s.svc.Hosts(bg, org.System())
	for _, v := range views {
		out = append(out, fmt.Sprintf("%s %s %v", v.Name.En, v.State, v.Overlays))
	}
	var faults []string
	_ = s.db.R.NewRaw(`SELECT DISTINCT fault FROM round`).Scan(bg, &faults)
	return strings.Join(append(sorted(out), faults...), ", ")
}

// news are the incidents of the scenario.
func (s *side) news() []netmon.IncidentView {
	return slices.DeleteFunc(s.incidents(), func(v netmon.IncidentView) bool { return s.seen[v.ID] })
}

func (s *side) judged() int64 { return s.number(`SELECT COALESCE(MAX(rounds), 0) FROM judge_state`) }

// epochs waits until so many whole epochs were judged.
func (e *estate) epochs(n int64) {
	e.t.Helper()
	until := map[*side]int64{}
	for _, s := range e.sides {
		until[s] = s.judged() + n + 1 // the one that is going on may have seen the network as it was
	}
	for _, s := range e.sides {
		s.eventually("epochs are judged", func() bool { return s.judged() >= until[s] })
	}
}

// outage waits for the one incident of the scenario, of this root with exactly
// these behind it.
func (e *estate) outage(root string, behind ...string) {
	e.t.Helper()
	for _, s := range e.sides {
		want := root + " ← " + strings.Join(sorted(behind), " ")
		said := func(v netmon.IncidentView) string {
			return strings.Join(s.names(v.Roots), " ") + " ← " + strings.Join(s.names(v.Suppressed), " ")
		}
		got := ""
		s.soon(func() bool {
			got = ""
			for _, v := range s.news() {
				got += fmt.Sprintf("[%s open %v] ", said(v), v.Open)
			}
			l := s.news()
			return len(l) == 1 && l[0].Open && said(l[0]) == want
		}, func() string { return "want one incident " + want + ", have " + got })
		for _, h := range behind {
			if v := s.state(s.ids[h]); v.State == judge.Up || !slices.Contains(v.Overlays, "UNREACHABLE") {
				e.t.Errorf("%s: %s behind the outage is %s %v", s.name, h, v.State, v.Overlays)
			}
		}
	}
}

// over waits for the end of the scenario's one incident.
func (e *estate) over() {
	e.t.Helper()
	for _, s := range e.sides {
		s.eventually("all is well again", s.well)
		if l := s.news(); len(l) != 1 || l[0].Open || l[0].CloseWhy != judge.Recovered {
			e.t.Errorf("%s: at the end: %+v", s.name, l)
		}
	}
}

// calm asserts that after some epochs nobody was called DOWN and nothing opened.
func (e *estate) calm() {
	e.t.Helper()
	e.epochs(2)
	for _, s := range e.sides {
		if n := s.number(`SELECT COUNT(*) FROM transition WHERE kind = 'NODE' AND to_state = 'DOWN'`); n != s.down || len(s.news()) > 0 {
			e.t.Errorf("%s: %d hosts were called DOWN, incidents %+v", s.name, n-s.down, s.news())
		}
	}
}

func (s *side) soon(ok func() bool, what func() string) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	s.t.Fatalf("%s: %s", s.name, what())
}

func (s *side) names(nodes []netmon.NodeView) (out []string) {
	for _, n := range nodes {
		out = append(out, n.Name.En)
	}
	return sorted(out)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }
