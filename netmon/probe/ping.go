package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	probing "github.com/prometheus-community/pro-bing"

	"kelian/internal/fault"
)

// Stats is the result of one Ping. Times are pro-bing's: taken in user space,
// good to some 0.1 ms on an idle machine.
type Stats struct {
	Sent, Received, Duplicates int
	Min, Avg, Max, StdDev      time.Duration
	RTTs                       []time.Duration // in order of arrival
}

// Reasons of Pinger and Policy refusals.
const (
	reasonNoRoute   = "NO_ROUTE"
	reasonBroadcast = "TARGET_BROADCAST"
	reasonBreaker   = "PING_STUCK"
)

// MaxAbandoned pings may hang before a Pinger refuses new ones.
const MaxAbandoned = 8

// pingGrace is what a ping may take beyond its own timeout before it is
// abandoned.
const pingGrace = time.Second

// PingerOptions of a Pinger; the zero value is good.
type PingerOptions struct {
	Policy *Policy // nil = no policy: the operator's own tools only
	Link   Link    // nil in production
}

// Pinger asks single addresses through pro-bing and guards against what
// pro-bing 0.9.1 does: after EACCES it sets SO_BROADCAST and tries again for
// ever, deaf to timeout and context. Safe for concurrent use.
type Pinger struct {
	opts      PingerOptions
	abandoned atomic.Int64
	raw       atomic.Bool // ping sockets are not allowed here
	run       func(context.Context, *probing.Pinger) error
}

// NewPinger makes a Pinger; it opens no socket yet.
func NewPinger(o PingerOptions) *Pinger {
	p := &Pinger{opts: o, run: func(ctx context.Context, pp *probing.Pinger) error { return pp.RunWithContext(ctx) }}
	p.raw.Store(runtime.GOOS == "windows") // which knows no ping sockets
	return p
}

// Abandoned is how many pings are hanging now; for metrics.
func (p *Pinger) Abandoned() int { return int(p.abandoned.Load()) }

// Ping sends count requests, interval apart, and waits for the last answer at
// most timeout. No answer is no error: Stats says 0 received. Refusals are
// rules: NO_ROUTE, TARGET_BROADCAST and those of the Policy; UNAVAILABLE means
// that this machine cannot ping now.
func (p *Pinger) Ping(ctx context.Context, addr netip.Addr, count int, interval, timeout time.Duration) (Stats, error) {
	addr = addr.Unmap()
	if err := p.admit(addr); err != nil {
		return Stats{}, err
	}
	count, interval = max(count, 1), max(interval, time.Millisecond)
	whole := time.Duration(count-1)*interval + timeout
	begun := time.Now()
	st, err := p.ping(ctx, addr, count, interval, whole)
	if err != nil || p.opts.Link == nil || p.opts.Link.Deliver(addr) {
		return st, err
	}
	// The link swallowed the answers: take as long as a silent host would.
	select {
	case <-time.After(whole - time.Since(begun)):
	case <-ctx.Done():
		return Stats{}, ctx.Err()
	}
	return Stats{Sent: max(st.Sent, count)}, nil
}

// admit refuses what must not or cannot be pinged.
func (p *Pinger) admit(addr netip.Addr) error {
	if n := p.abandoned.Load(); n >= MaxAbandoned {
		return &fault.Error{Code: fault.Unavailable, Reason: reasonBreaker,
			Zh: "已有 8 个 ping 卡住，暂停新的 ping：请检查本机防火墙和路由（ip route）",
			En: "8 pings are hanging, new ones are paused: check this machine's firewall and routes (ip route)"}
	}
	if !addr.IsValid() || addr.IsMulticast() || addr.IsUnspecified() || addr == limitedBroadcast || isLocalBroadcast(addr) {
		return fault.Refuse(reasonBroadcast, "不能 ping 广播、组播或空地址："+addr.String(),
			"broadcast, multicast and empty addresses cannot be pinged: "+addr.String())
	}
	if p.opts.Policy != nil {
		if err := p.opts.Policy.CheckAddr(addr); err != nil {
			return err
		}
	}
	if _, err := preflight(addr); err != nil {
		return fault.Refuse(reasonNoRoute, "本机没有到 "+addr.String()+" 的路由，请检查 ip route",
			"this machine has no route to "+addr.String()+", check ip route").Because(err)
	}
	return nil
}

// ping runs pro-bing in a goroutine that is left behind when it hangs.
func (p *Pinger) ping(ctx context.Context, addr netip.Addr, count int, interval, whole time.Duration) (Stats, error) {
	type result struct {
		st  Stats
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, whole+pingGrace)
	defer cancel()
	done := make(chan result, 1)
	var left atomic.Bool // whoever sets it first decides: finished or abandoned
	go func() {
		st, err := p.once(ctx, addr, count, interval, whole)
		done <- result{st, err}
		if !left.CompareAndSwap(false, true) {
			p.abandoned.Add(-1)
		}
	}()
	select {
	case r := <-done:
		return r.st, r.err
	case <-ctx.Done():
	}
	// A ping that heeds the context ends at once.
	select {
	case r := <-done:
		return r.st, r.err
	case <-time.After(pingGrace):
	}
	p.abandoned.Add(1)
	if !left.CompareAndSwap(false, true) {
		p.abandoned.Add(-1) // it ended in this very moment
	}
	return Stats{}, &fault.Error{Code: fault.Unavailable, Reason: reasonBreaker,
		Zh: "ping " + addr.String() + " 卡住，已放弃等待", En: "the ping of " + addr.String() + " hangs and was given up"}
}

// once runs one pro-bing Pinger, on a raw socket where ping sockets are not
// allowed.
func (p *Pinger) once(ctx context.Context, addr netip.Addr, count int, interval, whole time.Duration) (Stats, error) {
	raw := p.raw.Load()
	pp := newProbing(addr, raw)
	pp.Count, pp.Interval, pp.Timeout = count, interval, whole
	err := p.run(ctx, pp)
	if err != nil && !raw && errors.Is(err, os.ErrPermission) {
		p.raw.Store(true)
		return p.once(ctx, addr, count, interval, whole)
	}
	if err != nil {
		if ctx.Err() != nil {
			return Stats{}, ctx.Err()
		}
		return Stats{}, &fault.Error{Code: fault.Unavailable, Reason: "NO_ICMP",
			Zh: "本机不能发送 ICMP，请运行 kelian doctor", En: "this machine cannot send ICMP, run kelian doctor"}
	}
	s := pp.Statistics()
	return Stats{Sent: s.PacketsSent, Received: s.PacketsRecv, Duplicates: s.PacketsRecvDuplicates,
		Min: s.MinRtt, Avg: s.AvgRtt, Max: s.MaxRtt, StdDev: s.StdDevRtt, RTTs: s.Rtts}, nil
}

func newProbing(addr netip.Addr, raw bool) *probing.Pinger {
	pp := probing.New(addr.String())
	pp.SetIPAddr(&net.IPAddr{IP: addr.AsSlice(), Zone: addr.Zone()})
	pp.SetPrivileged(raw)
	pp.SetLogger(probing.NoopLogger{})
	pp.RecordTTLs = false
	return pp
}

// works says whether pro-bing can open a socket at all: it pings this machine.
func (p *Pinger) works() bool {
	_, err := p.ping(context.Background(), netip.AddrFrom4([4]byte{127, 0, 0, 1}), 1, time.Second, 100*time.Millisecond)
	return err == nil
}
