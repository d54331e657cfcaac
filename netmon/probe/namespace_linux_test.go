package probe_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kelian/internal/fault"
	"kelian/netmon/probe"
)

const namespaceVar = "KELIAN_PROBE_TEST_NAMESPACE"

// inNamespace runs body in a process with a network of its own, which dies
// with it. An ordinary user gets it through a user namespace; where the system
// forbids that, the test checks that the prober explains itself instead, and
// in CI it fails.
func inNamespace(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(namespaceVar) == t.Name() {
		runtime.LockOSThread()
		ip(t, "link set lo up")
		body(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), namespaceVar+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	_, missing := exec.LookPath("ip")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case missing == nil && err == nil:
		if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Fatalf("the test did not run in its namespace:\n%s", out)
		}
	case missing == nil && errors.As(err, &exit):
		t.Fatalf("in its namespace:\n%s", out)
	case os.Getenv("CI") == "true":
		t.Fatalf("CI must be able to make network namespaces: %v", errors.Join(missing, err))
	default:
		t.Logf("no network namespace here (%v): checking the explanation only", errors.Join(missing, err))
		withoutRights(t)
	}
}

// ip runs iproute2 in this namespace.
func ip(t *testing.T, args string) {
	t.Helper()
	command(t, "ip "+args)
}

func command(t *testing.T, line string) {
	t.Helper()
	f := strings.Fields(line)
	if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

func sysctl(t *testing.T, name, value string) {
	t.Helper()
	path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		t.Fatal(err)
	}
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
		if hasIPv6() {
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

// hasIPv6 says whether this kernel knows IPv6 at all.
func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
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
		pid := otherNamespace(t)
		there := "nsenter -t " + pid + " -n "
		sysctl(t, "net.ipv4.ping_group_range", "0 0")
		ip(t, "link add up0 type veth peer name down0")
		ip(t, "link set down0 netns "+pid)
		ip(t, "addr add 10.200.0.1/24 dev up0")
		ip(t, "link set up0 up")
		command(t, there+"ip link set lo up")
		command(t, there+"ip addr add 10.200.0.2/24 dev down0")
		command(t, there+"ip link set down0 up")
		command(t, there+"sysctl -q -w net.ipv4.ip_forward=1 net.ipv4.icmp_ratemask=0")
		command(t, there+"ip route add local 10.50.0.0/16 dev lo")
		command(t, there+"ip route add unreachable 10.51.0.0/16")
		command(t, there+"ip route add blackhole 10.52.0.0/16")
		ip(t, "route add default via 10.200.0.2")
		targets := targetsOf("10.50.0.1", "10.51.0.1", "10.52.0.1", "10.50.0.2")
		want := "reply unreachable lost reply"
		routers := map[int]string{1: "10.200.0.2"}
		if hasIPv6() {
			ip(t, "-6 addr add fd00:200::1/64 dev up0 nodad")
			command(t, there+"ip -6 addr add fd00:200::2/64 dev down0 nodad")
			command(t, there+"sysctl -q -w net.ipv6.conf.all.forwarding=1 net.ipv6.icmp.ratelimit=0")
			command(t, there+"ip -6 route add unreachable fd00:51::/64")
			ip(t, "-6 route add default via fd00:200::2")
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

// otherNamespace makes one more network and returns the process that holds it.
func otherNamespace(t *testing.T) string {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	return strconv.Itoa(holder.Process.Pid)
}
