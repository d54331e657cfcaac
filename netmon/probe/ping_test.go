package probe_test

import (
	"context"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/netmon/probe"
	"kelian/netmon/probe/faulty"
)

var here = netip.MustParseAddr("127.0.0.1")

// canPing says whether this machine lets us ping at all; where it does not,
// the Pinger must say UNAVAILABLE, and in CI that fails.
func canPing(t *testing.T) bool {
	t.Helper()
	_, err := probe.NewPinger(probe.PingerOptions{}).Ping(context.Background(), here, 1, time.Second, time.Second)
	if err == nil {
		return true
	}
	if os.Getenv("CI") == "true" && runtime.GOOS == "linux" {
		t.Fatalf("CI must be able to ping: %v", err)
	}
	if !fault.Is(err, fault.Unavailable) {
		t.Fatalf("ping without rights = %v, want UNAVAILABLE", err)
	}
	return false
}

func TestPingCountsAnswers(t *testing.T) {
	if !canPing(t) {
		return
	}
	p := probe.NewPinger(probe.PingerOptions{})
	st, err := p.Ping(context.Background(), netip.MustParseAddr("::ffff:127.0.0.1"), 5, time.Millisecond, time.Second)
	if err != nil || st.Sent != 5 || st.Received != 5 || len(st.RTTs) != 5 || st.Min <= 0 || st.Min > st.Avg || st.Avg > st.Max {
		t.Fatalf("%+v, %v", st, err)
	}
}

func TestPingRefusals(t *testing.T) {
	p := probe.NewPinger(probe.PingerOptions{Policy: probe.NewPolicy(probe.PolicyOptions{})})
	for addr, reason := range map[string]string{
		"224.0.0.1": "TARGET_BROADCAST", "ff02::1": "TARGET_BROADCAST", "255.255.255.255": "TARGET_BROADCAST",
		"127.255.255.255": "TARGET_BROADCAST", "0.0.0.0": "TARGET_BROADCAST", "::": "TARGET_BROADCAST",
		"10.1.2.3": probe.ReasonNotAllowed, "127.0.0.1": probe.ReasonNotAllowed,
	} {
		if _, err := p.Ping(context.Background(), netip.MustParseAddr(addr), 1, time.Second, time.Second); !fault.IsRule(err, reason) {
			t.Errorf("ping %s = %v, want %s", addr, err, reason)
		}
	}
	if _, err := p.Ping(context.Background(), netip.Addr{}, 1, time.Second, time.Second); err == nil {
		t.Error("pinged no address at all")
	}
}

func TestPingOverAFaultyLinkTakesItsTimeout(t *testing.T) {
	if !canPing(t) {
		return
	}
	var net faulty.Network
	net.Cut(here)
	p := probe.NewPinger(probe.PingerOptions{Link: &net})
	begun := time.Now()
	st, err := p.Ping(context.Background(), here, 3, 10*time.Millisecond, 100*time.Millisecond)
	if err != nil || st.Sent != 3 || st.Received != 0 {
		t.Fatalf("%+v, %v", st, err)
	}
	if took := time.Since(begun); took < 120*time.Millisecond {
		t.Fatalf("the silence was not waited for: %v", took)
	}
}

// pro-bing can hang for ever; eight such pings are let go, then no more are
// started, and when they end pinging goes on.
func TestHangingPingsAreAbandoned(t *testing.T) {
	p := probe.NewPinger(probe.PingerOptions{})
	free := make(chan struct{})
	probe.Hang(p, free)
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // so that each is given up after its grace
	gone := make(chan error, probe.MaxAbandoned)
	for range probe.MaxAbandoned {
		go func() {
			_, err := p.Ping(ctx, here, 1, time.Second, time.Second)
			gone <- err
		}()
	}
	for range probe.MaxAbandoned {
		if err := <-gone; !fault.Is(err, fault.Unavailable) {
			t.Fatalf("a hanging ping = %v, want UNAVAILABLE", err)
		}
	}
	if n := p.Abandoned(); n != probe.MaxAbandoned {
		t.Fatalf("%d abandoned, want %d", n, probe.MaxAbandoned)
	}
	if _, err := p.Ping(context.Background(), here, 1, time.Second, time.Second); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("the ninth ping = %v, want UNAVAILABLE at once", err)
	}
	close(free)
	for end := time.Now().Add(10 * time.Second); p.Abandoned() > 0; runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("%d pings still count as hanging after they ended", p.Abandoned())
		}
	}
	if _, err := p.Ping(context.Background(), here, 1, time.Second, time.Second); err != nil {
		t.Fatalf("after the hanging ones ended: %v", err)
	}
}
