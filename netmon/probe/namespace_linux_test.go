package probe_test

import (
	"context"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kelian/internal/fault"
	"kelian/internal/testkit/netlab"
	"kelian/netmon/probe"
)

// inNamespace runs body in a network of its own. Where the system forbids that,
// the test checks that the prober explains itself instead, and in CI it fails.
func inNamespace(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	netlab.Enter(t, body, withoutRights)
}

// ip runs lines of iproute2 in this namespace.
func ip(t *testing.T, lines ...string) {
	t.Helper()
	netlab.Here.IP(t, lines...)
}

func sysctl(t *testing.T, name, value string) {
	t.Helper()
	netlab.Here.Sysctl(t, name+"="+value)
}

// withoutRights takes CAP_NET_RAW from this thread and checks what the prober
// then says.
func withoutRights(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&head, &none[0]); err != nil {
		t.Fatal(err)
	}
	s, err := probe.Open(probe.Options{Mode: probe.ModeRaw})
	if err != nil {
		t.Fatal(err)
	}
	explains(t, s)
}

func targetsOf(addrs ...string) []probe.Target {
	var ts []probe.Target
	for _, a := range addrs {
		ts = append(ts, probe.Target{Addr: netip.MustParseAddr(a)})
	}
	return ts
}

func states(r probe.Round) string {
	var b []string
	for _, o := range r.Outcomes {
		b = append(b, o.State.String())
	}
	return strings.Join(b, " ")
}

func TestWithoutRights(t *testing.T) { inNamespace(t, withoutRights) }

// Both kinds of socket see the kernel's refusals as what they are, and a route
// that swallows packets is no dead host.
func TestRoutes(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		sysctl(t, "net.ipv4.ping_group_range", "0 0")
		ip(t, "route add local 10.100.0.0/16 dev lo")
		ip(t, "route add blackhole 10.101.0.0/16")
		ip(t, "route add unreachable 10.102.0.0/16")
		ip(t, "route add prohibit 10.103.0.0/16")
		want, noRoute, sent := "no_route", 5, 6 // without IPv6 both of its targets have none
		if netlab.HasIPv6() {
			ip(t, "-6 route add local fd00:100::/64 dev lo")
			ip(t, "-6 route add unreachable fd00:102::/64")
			want = "reply"
		} else {
			noRoute, sent = 6, 5
		}
		want = "reply no_route reply no_route no_route no_route reply " + want + " no_route reply reply"
		targets := targetsOf("10.100.0.1", "10.101.0.1", "10.100.0.2", "10.102.0.1", "10.103.0.1",
			"10.104.0.1", "10.100.0.3", "fd00:100::1", "fd00:102::1", "10.100.9.9", "10.100.9.10")
		for _, mode := range []probe.Mode{probe.ModePing, probe.ModeRaw, probe.ModeProBing} {
			s := mustOpen(t, probe.Options{Mode: mode, Timeout: 100 * time.Millisecond})
			r := sweep(t, s, 1, targets)
			if got := states(r); got != want {
				t.Errorf("%s: %s, want %s", mode, got, want)
			}
			if r.NoRoute != noRoute || r.Sent != sent || r.Healthy() != (noRoute <= 5) {
				t.Errorf("%s: %+v", mode, counts(r))
			}
			if mode != probe.ModeProBing && r.Unstamped != 0 {
				t.Errorf("%s: refusals upset the stamps of %d answers", mode, r.Unstamped)
			}
			// With the uplink gone nothing may be concluded.
			r = sweep(t, s, 2, targetsOf("10.104.0.1", "10.104.0.2", "10.100.0.1"))
			if r.Healthy() || r.Fault.Reason != "UPLINK_LOST" {
				t.Errorf("%s: two of three without a route: fault %v", mode, r.Fault)
			}
		}
		p := probe.NewPinger(probe.PingerOptions{})
		for _, a := range []string{"10.101.0.1", "10.102.0.1", "10.103.0.1", "10.104.0.1"} {
			_, err := p.Ping(context.Background(), netip.MustParseAddr(a), 3, time.Millisecond, time.Minute)
			if !fault.IsRule(err, "NO_ROUTE") {
				t.Errorf("ping %s = %v, want NO_ROUTE at once", a, err)
			}
		}
		if p.Abandoned() != 0 {
			t.Errorf("%d pings hang", p.Abandoned())
		}
	})
}

func mustOpen(t *testing.T, o probe.Options) *probe.Sweeper {
	t.Helper()
	s, err := probe.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if mode, d := s.Mode(); o.Mode != "" && mode != o.Mode {
		t.Fatalf("asked for %s, got %s: %s", o.Mode, mode, d.En)
	}
	return s
}

// A router that says "unreachable" is named, on both kinds of socket.
func TestRouterEvidence(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		there := netlab.NewRouter(t)
		sysctl(t, "net.ipv4.ping_group_range", "0 0")
		netlab.Link(t, netlab.Here, "up0", there, "down0")
		ip(t, "addr add 10.200.0.1/24 dev up0", "route add default via 10.200.0.2")
		there.IP(t, "addr add 10.200.0.2/24 dev down0", "route add local 10.50.0.0/16 dev lo",
			"route add unreachable 10.51.0.0/16", "route add blackhole 10.52.0.0/16")
		targets := targetsOf("10.50.0.1", "10.51.0.1", "10.52.0.1", "10.50.0.2")
		want := "reply unreachable lost reply"
		routers := map[int]string{1: "10.200.0.2"}
		if netlab.HasIPv6() {
			ip(t, "-6 addr add fd00:200::1/64 dev up0 nodad", "-6 route add default via fd00:200::2")
			there.IP(t, "-6 addr add fd00:200::2/64 dev down0 nodad", "-6 route add unreachable fd00:51::/64")
			targets = append(targets, targetsOf("fd00:51::1", "fd00:200::2")...)
			want += " unreachable reply"
			routers[4] = "fd00:200::2"
		}
		for _, mode := range []probe.Mode{probe.ModeRaw, probe.ModePing} {
			s := mustOpen(t, probe.Options{Mode: mode, Timeout: 300 * time.Millisecond})
			for epoch := range uint64(2) { // a Linux router says it five times in a row, then once a second
				r := sweep(t, s, epoch, targets)
				if got := states(r); got != want {
					t.Fatalf("%s: %s, want %s", mode, got, want)
				}
				for i, router := range routers {
					if got := r.Outcomes[i].Router.String(); got != router {
						t.Errorf("%s: %s was called unreachable by %s, want %s", mode, targets[i].Addr, got, router)
					}
				}
				if r.Unreachable != len(routers) || r.Lost != len(routers)+1 || !r.Healthy() {
					t.Errorf("%s: %+v", mode, counts(r))
				}
			}
		}
	})
}
