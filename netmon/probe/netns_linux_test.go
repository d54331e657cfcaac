package probe_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/internal/testkit"
	"kelian/internal/testkit/netlab"
	"kelian/netmon/probe"
)

// patient is a timeout that the responder, which shares the processor with
// whatever else runs, keeps to.
const patient = 2 * time.Second

// both are the modes of the engine.
var both = []probe.Mode{probe.ModeRaw, probe.ModePing}

// responder answers for 10.77.0.0/16 and fd00:77::/64.
func responder(t *testing.T, how netlab.Behaviour) *netlab.Responder {
	t.Helper()
	nets := []string{"10.77.0.0/16"}
	if netlab.HasIPv6() {
		nets = append(nets, "fd00:77::/64")
	}
	r, err := netlab.NewResponder("tun0", how, nets...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	sysctl(t, "net.ipv4.ping_group_range", "0 0")
	// Packets leave from an address of the device.
	ip(t, "addr add 10.78.0.1/32 dev tun0", "-6 addr add fd00:78::1/128 dev tun0 nodad")
	return r
}

// hosts lists n addresses behind the responder, half of them IPv6 where the
// kernel knows it.
func hosts(n int) (out []probe.Target) {
	v4, v6 := netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("fd00:77::1")
	for len(out) < n {
		if len(out)%2 == 1 && netlab.HasIPv6() {
			out, v6 = append(out, probe.Target{Addr: v6}), v6.Next()
			continue
		}
		out, v4 = append(out, probe.Target{Addr: v4}), v4.Next()
	}
	return out
}

// shared makes the options of a sweeper that is not held to a network's pace.
func shared(mode probe.Mode, timeout time.Duration) probe.Options {
	return probe.Options{Mode: mode, Timeout: timeout, Pacer: probe.NewPacer(0, probe.Unpaced)}
}

// Loss, duplicates, disorder and forgery of both families, each told for what
// it is, and times that are those of the network.
func TestNetnsImpairments(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		const hold = 20 * time.Millisecond
		targets, liar := hosts(400), netip.MustParseAddr("10.77.200.200")
		liar6 := netip.MustParseAddr("fd00:77::dead")
		index := map[netip.Addr]int{}
		for i, x := range targets {
			index[x.Addr] = i
		}
		forge := func(e netlab.Echo, how netlab.Reply) []netlab.Reply { return []netlab.Reply{how} }
		r := responder(t, nil)
		for _, mode := range both {
			r.Behave(func(e netlab.Echo) []netlab.Reply {
				from := liar
				if e.To.Is6() {
					from = liar6
				}
				switch i := index[e.To]; i / 2 % 8 {
				case 0: // silent
					return nil
				case 1: // twice
					return []netlab.Reply{{After: hold}, {After: hold + 5*time.Millisecond}}
				case 2: // out of order
					return forge(e, netlab.Reply{After: hold - time.Duration(i%16)*time.Millisecond})
				case 3: // another host answers
					return forge(e, netlab.Reply{After: hold, From: from})
				case 4: // a guessed token
					return forge(e, netlab.Reply{After: hold, Alter: func(b []byte) { b[15] ^= 1 }})
				case 5: // too late
					return forge(e, netlab.Reply{After: 6 * time.Second})
				case 6: // a router speaks for it
					return forge(e, netlab.Reply{After: hold, From: from, Router: true})
				}
				return forge(e, netlab.Reply{After: hold})
			})
			s := mustOpen(t, shared(mode, patient))
			got := sweep(t, s, 1, targets)
			for i, o := range got.Outcomes {
				kind := i / 2 % 8
				want := []probe.State{probe.Lost, probe.Reply, probe.Reply, probe.Lost, probe.Lost, probe.Lost, probe.Unreachable, probe.Reply}[kind]
				if o.State != want {
					t.Errorf("%s: %s, kind %d, is %s, want %s", mode, targets[i].Addr, kind, o.State, want)
				}
				if kind == 7 && o.RTT < hold {
					t.Errorf("%s: %s answered after %v, but was held for %v", mode, targets[i].Addr, o.RTT, hold)
				}
				if kind == 6 && o.Router != liar && o.Router != liar6 {
					t.Errorf("%s: %s was called unreachable by %s", mode, targets[i].Addr, o.Router)
				}
			}
			if !got.Healthy() || got.Duplicates != 50 || got.Stray != 100 || got.Unreachable != 50 {
				t.Errorf("%s: %+v, fault %v", mode, counts(got), got.Fault)
			}
		}
	})
}

// All sweepers that share a pacer keep to the pace of a network together, and
// an IPv6 /64 is a network.
func TestNetnsPaceOfOneNetwork(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		r := responder(t, netlab.Delayed(0))
		pacer := probe.NewPacer(0, 1000)
		one, other := hosts(200), hosts(200)
		slices.Reverse(other)
		begun := time.Now()
		var wait sync.WaitGroup
		for _, targets := range [][]probe.Target{one, other} {
			s := mustOpen(t, probe.Options{Pacer: pacer})
			wait.Go(func() {
				got, err := s.Sweep(context.Background(), 1, targets)
				if err != nil || got.Received != len(targets) || got.Plan < 90*time.Millisecond {
					t.Errorf("%v %+v", err, counts(got))
				}
			})
		}
		wait.Wait()
		// 200 to each of two networks, or 400 to one.
		if took := time.Since(begun); took < 170*time.Millisecond || r.Asked() != 400 {
			t.Errorf("%d requests to networks of 1000 a second took %v", r.Asked(), took)
		}
		// Many networks are no slower than one alone.
		var many []probe.Target
		for i := range 200 {
			many = append(many, probe.Target{Addr: netip.AddrFrom4([4]byte{10, 77, byte(100 + i%100), byte(1 + i/100)})})
		}
		if got := sweep(t, mustOpen(t, probe.Options{Pacer: pacer}), 1, many); got.Plan > time.Second+20*time.Millisecond || got.Received != 200 {
			t.Errorf("%+v", counts(got))
		}
	})
}

// With the cable out the kernel keeps its routes and throws the packets away:
// nobody behind it may be called dead, in any mode.
func TestNetnsCableIsOut(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		far := netlab.NewRouter(t)
		netlab.Link(t, netlab.Here, "up0", far, "down0")
		sysctl(t, "net.ipv4.ping_group_range", "0 0")
		ip(t, "addr add 10.9.0.2/24 dev up0", "route add default via 10.9.0.1", "-6 addr add fd00:9::2/64 dev up0 nodad", "-6 route add default via fd00:9::1")
		far.IP(t, "addr add 10.9.0.1/24 dev down0", "route add local 10.50.0.0/16 dev lo", "-6 addr add fd00:9::1/64 dev down0 nodad", "-6 route add local fd00:50::/64 dev lo")
		var targets []probe.Target
		for i := range 100 {
			targets = append(targets, probe.Target{Addr: netip.AddrFrom4([4]byte{10, 50, 0, byte(i)})})
			if netlab.HasIPv6() {
				targets = append(targets, targetsOf("fd00:50::"+string(rune('1'+i%9)))...)
			}
		}
		sweepers := map[probe.Mode]*probe.Sweeper{}
		for _, m := range append(both, probe.ModeProBing) {
			sweepers[m] = mustOpen(t, probe.Options{Mode: m, Timeout: 200 * time.Millisecond})
			if got := sweep(t, sweepers[m], 1, targets); got.Received != len(targets) || !got.Healthy() {
				t.Fatalf("%s: %+v %v", m, counts(got), got.Fault)
			}
		}
		far.IP(t, "link set down0 down")
		for m, s := range sweepers {
			got := sweep(t, s, 2, targets)
			if got.Healthy() || got.Lost > 0 || got.NoRoute == 0 {
				t.Errorf("%s: with the cable out: %+v, fault %v", m, counts(got), got.Fault)
			}
		}
		far.IP(t, "link set down0 up", "-6 addr replace fd00:9::1/64 dev down0 nodad")
		for m, s := range sweepers {
			epoch := uint64(2)
			testkit.Eventually(t, string(m)+" sees all with the cable in again", func() bool {
				epoch++
				got := sweep(t, s, epoch, targets)
				return got.Received == len(targets) && got.Healthy()
			})
		}
	})
}

// Anybody can send packets with a wrong checksum; they must not make the rounds
// worthless.
func TestNetnsWrongChecksumsAreNoDrops(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		targets := hosts(40)
		responder(t, func(netlab.Echo) []netlab.Reply {
			return []netlab.Reply{{BadSum: true}, {After: time.Millisecond}}
		})
		for _, mode := range both {
			got := sweep(t, mustOpen(t, shared(mode, patient)), 1, targets)
			if !got.Healthy() || got.Received != len(targets) {
				t.Errorf("%s: %+v, fault %v: %s", mode, counts(got), got.Fault, strings.Fields(states(got))[0])
			}
		}
	})
}
