//go:build linux

// Package netlab gives tests and benchmarks a network of their own: kernels'
// network namespaces joined by virtual cables, and a [Responder] that stands in
// for thousands of hosts with delay, loss and forgery. No packet leaves it.
package netlab

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	insideVar = "KELIAN_TEST_NAMESPACE"      // the test that runs inside
	hostVar   = "KELIAN_TEST_HOST_NAMESPACE" // the network it came from
)

// Enter runs body in a process with a network of its own, which dies with it.
// An ordinary user gets it through a user namespace; where the system forbids
// that, without runs instead, and in CI the test fails. The servers that the
// KELIAN_TEST_* variables name on loopback can be reached from inside.
func Enter(t *testing.T, body, without func(t *testing.T)) {
	t.Helper()
	if os.Getenv("CI") == "true" && !HasIPv6() {
		t.Fatal("CI's kernel must know IPv6: half of this test would not run")
	}
	if os.Getenv(insideVar) == t.Name() {
		Here.IP(t, "link set lo up")
		bridge(t)
		body(t)
		return
	}
	cmd := exec.CommandContext(context.Background(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), insideVar+"="+t.Name(), hostVar+"=/proc/"+strconv.Itoa(os.Getpid())+"/ns/net")
	cmd.SysProcAttr = isolated()
	_, missing := exec.LookPath("ip")
	var out []byte
	err := missing
	if missing == nil {
		out, err = cmd.CombinedOutput()
	}
	var exit *exec.ExitError
	switch {
	case err == nil && !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Fatalf("the test did not run in its namespace:\n%s", out)
	case err == nil:
		t.Logf("%s", out)
	case errors.As(err, &exit):
		t.Fatalf("in its namespace:\n%s", out)
	case os.Getenv("CI") == "true":
		t.Fatalf("CI must be able to make network namespaces: %v", err)
	default:
		t.Logf("no network namespace here: %v", err)
		without(t)
	}
}

// isolated starts a process in a new network that ends with its parent.
func isolated() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if os.Getuid() != 0 {
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return a
}

// bridge makes the test's servers listen here under the addresses that they
// have outside.
func bridge(t *testing.T) {
	t.Helper()
	for _, name := range []string{"KELIAN_TEST_DATABASE_URL", "KELIAN_TEST_REDIS_URL"} {
		u, err := url.Parse(os.Getenv(name))
		if err != nil || u.Host == "" {
			continue
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		// It stays until the process ends: TestMain, too, needs the servers.
		go Relay(l, func() (net.Conn, error) { return outside(u.Host) })
	}
}

// outside dials from the network that this process was started in. A thread
// that cannot come back must not go on.
func outside(address string) (net.Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer func() { _ = own.Close() }()
	host, err := os.Open(os.Getenv(hostVar))
	if err != nil {
		return nil, err
	}
	defer func() { _ = host.Close() }()
	if err := unix.Setns(int(host.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	c, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
	if e := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); e != nil {
		panic(e)
	}
	return c, err
}

// Relay carries what comes in at l to connections that dial makes, until l is
// closed.
func Relay(l net.Listener, dial func() (net.Conn, error)) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			out, err := dial()
			if err != nil {
				_ = in.Close()
				return
			}
			go carry(in, out)
			carry(out, in)
		}()
	}
}

// carry copies one direction and then ends both.
func carry(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if _, e := to.Write(b[:n]); e != nil {
				err = e
			}
		}
		if err != nil {
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

// Node is one namespace.
type Node struct{ pid string }

// Here is the namespace that the test itself runs in.
var Here = &Node{}

// NewNode makes a namespace, with its loopback up.
func NewNode(t testing.TB) *Node {
	t.Helper()
	holder := exec.CommandContext(context.Background(), "sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	n := &Node{strconv.Itoa(holder.Process.Pid)}
	n.IP(t, "link set lo up")
	return n
}

// NewRouter makes a namespace that forwards both families, tells of what it
// cannot reach as often as it is asked, and leaves a cable that is out.
func NewRouter(t testing.TB) *Node {
	t.Helper()
	n := NewNode(t)
	n.Sysctl(t, "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratemask=0", "net.ipv4.conf.all.ignore_routes_with_linkdown=1",
		"net.ipv4.conf.default.ignore_routes_with_linkdown=1")
	if HasIPv6() {
		n.Sysctl(t, "net.ipv6.conf.all.forwarding=1", "net.ipv6.icmp.ratelimit=0", "net.ipv6.conf.all.ignore_routes_with_linkdown=1",
			"net.ipv6.conf.default.ignore_routes_with_linkdown=1", "net.ipv6.conf.all.keep_addr_on_down=1", "net.ipv6.conf.default.keep_addr_on_down=1")
	}
	n.NoDAD(t)
	return n
}

// NoDAD makes IPv6 addresses usable at once, whenever a cable is plugged in.
func (n *Node) NoDAD(t testing.TB) {
	t.Helper()
	if HasIPv6() {
		n.Sysctl(t, "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.dad_transmits=0")
	}
}

// HasIPv6 says whether this kernel knows IPv6 at all.
func HasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// Link lays a cable between two namespaces; both ends are up.
func Link(t testing.TB, a *Node, ifA string, b *Node, ifB string) {
	t.Helper()
	Here.IP(t, "link add "+ifA+" type veth peer name "+ifB)
	for node, dev := range map[*Node]string{a: ifA, b: ifB} {
		if node != Here {
			Here.IP(t, "link set "+dev+" netns "+node.pid)
		}
		node.IP(t, "link set "+dev+" up")
	}
}

// IP runs lines of iproute2 in the namespace. Those of IPv6 begin with -6 and
// are left out where the kernel knows none.
func (n *Node) IP(t testing.TB, lines ...string) {
	t.Helper()
	var v4, v6 []string
	for _, l := range lines {
		if rest, six := strings.CutPrefix(l, "-6 "); six {
			v6 = append(v6, rest)
		} else {
			v4 = append(v4, l)
		}
	}
	if len(v4) > 0 {
		n.run(t, strings.Join(v4, "\n")+"\n", "ip", "-batch", "-")
	}
	if len(v6) > 0 && HasIPv6() {
		n.run(t, strings.Join(v6, "\n")+"\n", "ip", "-6", "-batch", "-")
	}
}

// Sysctl sets name=value pairs in the namespace.
func (n *Node) Sysctl(t testing.TB, pairs ...string) {
	t.Helper()
	n.run(t, "", append([]string{"sysctl", "-q", "-w"}, pairs...)...)
}

func (n *Node) run(t testing.TB, input string, args ...string) {
	t.Helper()
	if n != Here {
		args = append([]string{"nsenter", "-t", n.pid, "-n"}, args...)
	}
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(args, " "), err, input, out)
	}
}
