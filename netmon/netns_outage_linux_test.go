package netmon_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/testkit/netlab"
	"kelian/netmon"
	"kelian/netmon/judge"
	"kelian/org"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// What breaks in a network, as those who watch it see it: one incident with its
// cause and what is behind it, or none.
func TestNetnsOutages(t *testing.T) {
	t.Parallel()
	inEstate(t, func(e *estate) {
		for _, s := range e.sides {
			s.run(s.monitor(brisk()))
		}
		for _, scenario := range []struct {
			name string
			run  func(*estate)
		}{
			{"link down", linkDown}, {"router down", routerDown}, {"one of two uplinks down", oneUplinkDown},
			{"own uplink down", ownUplinkDown}, {"slow link", slowLink}, {"forged answers", forgedAnswers},
			{"maintenance", underMaintenance}, {"flapping link", flappingLink}, {"refused by routers", refusedByRouters},
		} {
			began := time.Now()
			e.begin()
			scenario.run(e)
			t.Logf("%s: %v", scenario.name, time.Since(began).Round(time.Millisecond))
			if t.Failed() {
				return
			}
		}
	})
}

func linkDown(e *estate) {
	e.pull(4, "r43")
	e.outage("R4", behind(4)...)
	told := 0
	for _, s := range e.sides {
		v, err := s.svc.Incident(bg, org.System(), s.news()[0].ID)
		if err != nil {
			e.t.Fatal(err)
		}
		said := slices.ContainsFunc(v.Evidence, func(l netmon.Evidence) bool {
			return l.HostName.En == "R4" && l.Outcome == judge.NoRoute && l.Router.En == "R3"
		})
		if said {
			told++
		}
		if !v.Certified || said != strings.Contains(v.Why.En, "R3 said that there is no route") || strings.Contains(v.Why.En, "10.") {
			e.t.Errorf("%s: certified %v, %s, %+v", s.name, v.Certified, v.Why.En, v.Evidence)
		}
	}
	// A Linux router says it five times to each asker, then once a second, and
	// the monitors of both databases ask from here.
	if told == 0 {
		e.t.Error("R3 said that R4 cannot be reached, and no incident says so")
	}
	e.plug(4, "r43")
	e.over()
}

func routerDown(e *estate) {
	e.pull(3, "w0", "w1")
	e.outage("R3", behind(3)...)
	e.plug(3, "w0", "w1")
	e.over()
}

func oneUplinkDown(e *estate) {
	e.pull(2, "u0")
	e.calm()
	e.plug(2, "u0")
	e.pull(3, "w1")
	e.calm()
	e.plug(3, "w1")
}

// The cable of this very machine is out: it must not call the campus dead, and
// not call it well either.
func ownUplinkDown(e *estate) {
	e.pull(1, "down0")
	e.calm()
	for _, s := range e.sides {
		s.eventually("what nobody can see any more is STALE", func() bool {
			v := s.state(s.ids["4a"])
			return v.State == judge.Up && slices.Contains(v.Overlays, "STALE")
		})
		if n := s.number(`SELECT COUNT(*) FROM round WHERE fault = 'UPLINK_LOST'`); n == 0 {
			e.t.Errorf("%s: no round says that its own uplink was lost", s.name)
		}
	}
	e.plug(1, "down0")
	for _, s := range e.sides {
		s.eventually("all is well", s.well)
	}
	e.calm()
}

func slowLink(e *estate) {
	const slow = 40 * time.Millisecond
	e.tun.Behave(netlab.Delayed(slow))
	for _, s := range e.sides {
		s.eventually("the host is slow", func() bool { return s.state(s.ids["tun"]).RTT >= slow })
	}
	e.calm()
	e.tun.Behave(netlab.Delayed(time.Millisecond))
	for _, s := range e.sides {
		s.eventually("the host is fast again", func() bool { return s.state(s.ids["tun"]).RTT < slow })
	}
}

// Packets that look like answers come in time and twice, but not from the host.
func forgedAnswers(e *estate) {
	e.tun.Behave(func(netlab.Echo) []netlab.Reply {
		forged := netlab.Reply{After: time.Millisecond, Alter: func(b []byte) { b[15] ^= 1 }}
		other := netlab.Reply{After: time.Millisecond, From: netip.MustParseAddr("10.77.0.6")}
		return []netlab.Reply{forged, other, forged}
	})
	e.outage("tun")
	e.tun.Behave(func(netlab.Echo) []netlab.Reply {
		return []netlab.Reply{{After: 3 * time.Millisecond}, {After: 2 * time.Millisecond}}
	})
	e.over()
}

func underMaintenance(e *estate) {
	set := func(s *side, until time.Time) {
		e.t.Helper()
		in := netmon.MaintenanceInput{Host: s.ids["R4"], Until: until, IdempotencyKey: id.New().String()}
		if _, err := s.svc.SetMaintenance(bg, s.officer("technical.member"), in); err != nil {
			e.t.Fatal(err)
		}
	}
	for _, s := range e.sides {
		set(s, clock.System{}.Now().Add(time.Hour))
	}
	e.pull(4, "r43")
	for _, s := range e.sides {
		s.eventually("R4 is DOWN under maintenance", func() bool {
			v := s.state(s.ids["R4"])
			return v.State == judge.Down && slices.Contains(v.Overlays, "MAINTENANCE")
		})
	}
	e.epochs(1)
	for _, s := range e.sides {
		if l := s.news(); len(l) > 0 {
			e.t.Errorf("%s: an incident under maintenance: %+v", s.name, l)
		}
		set(s, time.Time{})
	}
	e.outage("R4", behind(4)...)
	e.plug(4, "r43")
	e.over()
}

// A link that comes and goes is one incident that says so, however often, and
// ends once.
func flappingLink(e *estate) {
	silent := func(netlab.Echo) []netlab.Reply { return nil }
	flapping := func(s *side) bool { return slices.Contains(s.state(s.ids["tun"]).Overlays, "FLAPPING") }
	for turn := 0; slices.ContainsFunc(e.sides, func(s *side) bool { return !flapping(s) }); turn++ {
		want, how := judge.Down, silent
		if turn%2 == 1 {
			want, how = judge.Up, netlab.Delayed(time.Millisecond)
		}
		if turn > 30 {
			e.t.Fatal("thirty changes are no flapping")
		}
		e.tun.Behave(how)
		for _, s := range e.sides {
			s.eventually("the host is "+string(want), func() bool { return s.state(s.ids["tun"]).State == want })
		}
	}
	before := map[*side]int{}
	for _, s := range e.sides {
		before[s] = len(s.news())
	}
	e.tun.Behave(netlab.Delayed(time.Millisecond))
	for _, s := range e.sides {
		s.eventually("it has settled", s.well)
		if n := len(s.news()); n == 0 || n != before[s] {
			e.t.Errorf("%s: %d incidents after settling, %d before", s.name, n, before[s])
		}
	}
}

// Whoever answers in the place of a host is named; a silent loss has no witness.
func refusedByRouters(e *estate) {
	says := map[string][]string{"blackhole": nil, "prohibit": {"R2"}, "unreachable": {"R2"}, "loop": {"R1", "R2"}}
	heard := map[string]bool{}
	where := map[string]string{"blackhole": "10.66.0.5", "prohibit": "10.67.0.5", "unreachable": "10.68.0.5", "loop": "10.69.0.5"}
	if netlab.HasIPv6() {
		// A Linux router answers from the address that faces the asker, which
		// nobody listed.
		says["unreachable6"], where["unreachable6"] = []string{"a router that is not listed"}, "fd00:68::5"
	}
	for name, address := range where {
		for _, s := range e.sides {
			s.add(name, address, netmon.Rule{}, "R2")
		}
	}
	for _, s := range e.sides {
		s.soon(func() bool { return len(s.news()) >= 1 && s.rooted(where) }, func() string { return "each is a cause of its own" })
		for _, v := range s.news() {
			full, err := s.svc.Incident(bg, org.System(), v.ID)
			if err != nil {
				e.t.Fatal(err)
			}
			for _, l := range full.Evidence {
				want, asked := says[l.HostName.En]
				if asked && l.Router.En != "" && !slices.Contains(want, l.Router.En) {
					e.t.Errorf("%s: about %s: %s, said by %q, want one of %q", s.name, l.HostName.En, l.Outcome, l.Router.En, want)
				}
				if l.Router.En != "" {
					heard[l.HostName.En] = true
				}
			}
		}
	}
	// A router does not say it to everybody every time.
	if !heard["prohibit"] && !heard["unreachable"] || !heard["loop"] {
		e.t.Errorf("routers were heard about %v only", heard)
	}
}

// rooted says whether every one of the hosts is named as a cause.
func (s *side) rooted(hosts map[string]string) bool {
	var roots []string
	for _, v := range s.news() {
		roots = append(roots, s.names(v.Roots)...)
	}
	for h := range hosts {
		if !slices.Contains(roots, h) {
			return false
		}
	}
	return true
}
