package probe_test

import (
	"context"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/netmon/probe"
	"kelian/netmon/probe/faulty"
)

// loopback lists n addresses from 127.1.0.1 on.
func loopback(n int) []probe.Target {
	var ts []probe.Target
	for a := netip.MustParseAddr("127.1.0.1"); len(ts) < n; a = a.Next() {
		if last := a.As4()[3]; last != 0 && last != 255 {
			ts = append(ts, probe.Target{Addr: a})
		}
	}
	return ts
}

// open opens a Sweeper. Where ICMP is not to be had, it checks instead that
// the prober says so and how to mend it, and returns nil; in CI that fails.
func open(t *testing.T, o probe.Options) *probe.Sweeper {
	t.Helper()
	s, err := probe.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if mode, _ := s.Mode(); mode == probe.ModeRaw || mode == probe.ModePing {
		return s
	}
	if os.Getenv("CI") == "true" {
		_, d := s.Mode()
		t.Fatalf("CI must be able to send ICMP: %s (%s)", d.En, d.Command)
	}
	explains(t, s)
	return nil
}

// explains asserts what a Sweeper without rights owes its operator.
func explains(t *testing.T, s *probe.Sweeper) {
	t.Helper()
	mode, d := s.Mode()
	if mode != probe.ModeNone || d.Command == "" || d.Zh == "" || d.En == "" {
		t.Fatalf("without rights the prober must say why and how to mend it, got %+v", d)
	}
	_, err := s.Sweep(context.Background(), 1, loopback(1))
	if !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a sweep without ICMP = %v, want UNAVAILABLE", err)
	}
}

func sweep(t *testing.T, s *probe.Sweeper, epoch uint64, targets []probe.Target) probe.Round {
	t.Helper()
	r, err := s.Sweep(context.Background(), epoch, targets)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Outcomes) != len(targets) || r.Sent != r.Received+r.Lost {
		t.Fatalf("%d outcomes for %d targets, sent %d, received %d, lost %d",
			len(r.Outcomes), len(targets), r.Sent, r.Received, r.Lost)
	}
	return r
}

func TestTenThousandAddressesLoseNone(t *testing.T) {
	for name, o := range map[string]probe.Options{
		"kernel stamps":   {Pacer: probe.NewPacer(probe.Unpaced, 0)},
		"no transmit":     {Pacer: probe.NewPacer(probe.Unpaced, 0), NoTXStamps: true},
		"paced":           {},
		"in small window": {Pacer: probe.NewPacer(probe.Unpaced, 0), Window: 5},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, o)
			if s == nil {
				return
			}
			r := sweep(t, s, 7, loopback(10_000))
			if r.Received != 10_000 || r.Lost != 0 || r.Duplicates != 0 || !r.Healthy() {
				t.Fatalf("of 10000 live addresses: %+v", counts(r))
			}
			for i, o := range r.Outcomes {
				if o.State != probe.Reply || o.RTT <= 0 || o.RTT > r.Wall {
					t.Fatalf("target %d: %+v in a round of %v", i, o, r.Wall)
				}
			}
			if stamped := r.Received - r.Unstamped; o.NoTXStamps == (stamped > 0) {
				t.Fatalf("%d of %d answers were timed by kernel stamps alone", stamped, r.Received)
			}
			if r.CPU <= 0 {
				t.Fatalf("CPU of the sweep = %v", r.CPU)
			}
		})
	}
}

// counts is a Round without its long list.
func counts(r probe.Round) probe.Round {
	r.Outcomes = nil
	return r
}

func TestSweepAgreesWithProBing(t *testing.T) {
	s := open(t, probe.Options{})
	if s == nil {
		return
	}
	oracle, err := probe.Open(probe.Options{Mode: probe.ModeProBing})
	if err != nil {
		t.Fatal(err)
	}
	// All are alive but the two that may not be asked; silent and unreachable
	// ones are compared in TestRoutes, which has a network of its own.
	targets := append(loopback(200),
		probe.Target{Addr: netip.MustParseAddr("224.0.0.1")},
		probe.Target{Addr: netip.MustParseAddr("255.255.255.255")},
		probe.Target{Addr: netip.MustParseAddr("::1")},
		probe.Target{Addr: netip.MustParseAddr("::ffff:127.0.0.9")})
	a, b := sweep(t, s, 1, targets), sweep(t, oracle, 1, targets)
	if b.Mode != probe.ModeProBing {
		t.Fatalf("the oracle ran as %s", b.Mode)
	}
	for i, target := range targets {
		if a.Outcomes[i].State != b.Outcomes[i].State {
			t.Errorf("%s: engine says %s, pro-bing says %s", target.Addr, a.Outcomes[i].State, b.Outcomes[i].State)
		}
	}
	if a.Received != b.Received || a.Received < 201 {
		t.Errorf("the engine received %d answers, pro-bing %d", a.Received, b.Received)
	}
}

// A receive buffer that cannot hold a batch of answers loses some; the round
// must own up to it.
func TestOverflowMakesTheRoundUnhealthy(t *testing.T) {
	s := open(t, probe.Options{Timeout: 200 * time.Millisecond, Pacer: probe.NewPacer(probe.Unpaced, 0), ReceiveBuffer: 4096, Window: 1000})
	if s == nil {
		return
	}
	r := sweep(t, s, 1, loopback(500))
	if r.Lost == 0 {
		t.Fatal("the buffer was meant to overflow and did not")
	}
	if r.Healthy() || r.Fault.Reason != "PROBER_DROPS" || r.Drops < r.Lost {
		t.Fatalf("%d answers are lost, %d drops admitted, fault %v", r.Lost, r.Drops, r.Fault)
	}
	// Left to itself the engine keeps to what the buffer holds.
	s = open(t, probe.Options{Pacer: probe.NewPacer(probe.Unpaced, 0), ReceiveBuffer: 4096})
	if r := sweep(t, s, 1, loopback(500)); r.Lost != 0 || !r.Healthy() {
		t.Fatalf("with the buffer's own window: %+v", counts(r))
	}
}

func TestFaultyLinkSilencesAddresses(t *testing.T) {
	var net faulty.Network
	s := open(t, probe.Options{Timeout: 150 * time.Millisecond, Link: &net})
	if s == nil {
		return
	}
	targets := loopback(50)
	net.Cut(targets[3].Addr, targets[40].Addr)
	r := sweep(t, s, 1, targets)
	for i, o := range r.Outcomes {
		want := probe.Reply
		if i == 3 || i == 40 {
			want = probe.Lost
		}
		if o.State != want {
			t.Errorf("target %d is %s, want %s", i, o.State, want)
		}
	}
	if !r.Healthy() {
		t.Errorf("a silent host is no fault of the prober: %v", r.Fault)
	}
	if r.Wall < 150*time.Millisecond {
		t.Errorf("the silence was not waited for: the round took %v", r.Wall)
	}
	net.Restore(targets[3].Addr)
	if r := sweep(t, s, 2, targets); r.Outcomes[3].State != probe.Reply || r.Outcomes[40].State != probe.Lost {
		t.Errorf("after restoring one: %s and %s", r.Outcomes[3].State, r.Outcomes[40].State)
	}
	net.Restore()
	if r := sweep(t, s, 3, targets); r.Lost != 0 {
		t.Errorf("after restoring all %d are lost", r.Lost)
	}
}

func TestCutWhileSweeping(t *testing.T) {
	var net faulty.Network
	s := open(t, probe.Options{Timeout: 50 * time.Millisecond, Link: &net})
	if s == nil {
		return
	}
	targets := loopback(100)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				net.Cut(targets[1].Addr)
				net.Restore(targets[1].Addr)
			}
		}
	})
	for epoch := range uint64(5) {
		r := sweep(t, s, epoch, targets)
		if r.Received < len(targets)-1 {
			t.Errorf("received %d, only one address was ever cut", r.Received)
		}
	}
	close(stop)
	wait.Wait()
}

func TestCancelledSweepSaysWhatItKnows(t *testing.T) {
	var net faulty.Network
	s := open(t, probe.Options{Timeout: time.Minute, Link: &net})
	if s == nil {
		return
	}
	targets := loopback(10)
	net.Cut(targets[9].Addr)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	r, err := s.Sweep(ctx, 1, targets)
	if err == nil || r.Outcomes[0].State != probe.Reply || r.Outcomes[9].State != probe.Unknown || r.Lost != 0 {
		t.Fatalf("error %v, first %s, waiting %s, lost %d", err, r.Outcomes[0].State, r.Outcomes[9].State, r.Lost)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sweep(context.Background(), 2, targets); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("a closed sweeper says %v", err)
	}
}
