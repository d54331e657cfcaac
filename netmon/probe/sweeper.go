package probe

import (
	"context"
	"maps"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kelian/internal/fault"
)

// Defaults and bounds of a sweep.
const (
	DefaultTimeout = time.Second
	// DefaultPace is in packets per second. Faster bursts queue in the network
	// and so lengthen the very times that they measure.
	DefaultPace = 50_000
	// DefaultNetPace is in packets per second to one /24 or IPv6 /64: its 254
	// hosts hang on the same few switches, whose processors answer pings slowly.
	DefaultNetPace = 2_000
	// Unpaced as Options.Pace sends as fast as the kernel takes packets.
	Unpaced = -1
	// DefaultReceiveBuffer is in bytes. The kernel's usual 208 KB overflow when
	// some hundred answers arrive while the process waits for a processor.
	DefaultReceiveBuffer = 16 << 20
	// fallbackAtOnce bounds the pro-bing Pingers of one sweep.
	fallbackAtOnce = 64
)

// Options of a Sweeper; the zero value is good.
type Options struct {
	Timeout       time.Duration // per target; 0 = DefaultTimeout
	Pacer         *Pacer        // shared by the sweepers of a process; nil = NewPacer(0, 0)
	NoTXStamps    bool          // cheaper; RTT then is an upper bound, some 10 µs high
	ReceiveBuffer int           // bytes; 0 = DefaultReceiveBuffer
	Window        int           // unanswered young probes at most; 0 = what fits the buffer
	Mode          Mode          // "" = the best that works; else only this one
	Link          Link          // nil in production
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Pacer == nil {
		o.Pacer = NewPacer(0, 0)
	}
	if o.ReceiveBuffer <= 0 {
		o.ReceiveBuffer = DefaultReceiveBuffer
	}
	return o
}

// Sweeper holds the sockets of bulk ICMP probing; open one for the life of the
// process. Sweeps on one Sweeper run one after the other, so re-probes of
// suspects that must not wait need a second Sweeper.
type Sweeper struct {
	mu     sync.Mutex
	opts   Options
	eng    *engine // nil in the modes pro-bing and none
	pinger *Pinger
	diag   Diagnosis
	closed bool
}

// Open chooses the best mode that works here. Lack of rights is no error: the
// mode then is pro-bing or none, and Mode says why.
func Open(o Options) (*Sweeper, error) {
	o = o.withDefaults()
	s := &Sweeper{opts: o, pinger: NewPinger(PingerOptions{Link: o.Link})}
	switch o.Mode {
	case "", ModePing, ModeRaw:
		s.eng, s.diag = openEngine(o)
		if s.eng == nil && o.Mode == "" && s.pinger.works() {
			s.diag.Mode = ModeProBing
			s.diag.Zh = "逐个地址探测（pro-bing，最多同时 64 个）：" + s.diag.Zh
			s.diag.En = "one prober per address (pro-bing, at most 64 at once): " + s.diag.En
		}
	case ModeProBing:
		s.diag = Diagnosis{Mode: ModeProBing, Zh: "按配置使用 pro-bing", En: "pro-bing, as configured"}
	case ModeNone:
		s.diag = Diagnosis{Mode: ModeNone, Zh: "按配置关闭 ICMP", En: "ICMP is switched off by configuration"}
	default:
		return nil, fault.Input("mode", "没有这种探测方式："+string(o.Mode), "no such probing mode: "+string(o.Mode))
	}
	return s, nil
}

// Mode says how this Sweeper probes and why.
func (s *Sweeper) Mode() (Mode, Diagnosis) { return s.diag.Mode, s.diag }

// Close gives the sockets back; a running sweep ends first.
func (s *Sweeper) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.eng == nil {
		return nil
	}
	eng := s.eng
	s.eng = nil
	return eng.close()
}

// Sweep sends one echo request to each target and waits for the answers, at
// most Options.Timeout after the last one was sent. Answers of other epochs do
// not count. The error is ctx's, with what is known so far in the Round, or
// UNAVAILABLE when this machine cannot send ICMP at all.
func (s *Sweeper) Sweep(ctx context.Context, epoch uint64, targets []Target) (Round, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Round{Outcomes: make([]Outcome, len(targets)), Mode: s.diag.Mode}
	if s.closed || s.diag.Mode == ModeNone {
		return r, &fault.Error{Code: fault.Unavailable, Reason: "NO_ICMP",
			Zh: "本机不能发送 ICMP：" + s.diag.Zh, En: "this machine cannot send ICMP: " + s.diag.En}
	}
	if len(targets) > math.MaxInt32 {
		return r, fault.Input("targets", "目标太多", "too many targets")
	}
	begun, dead := time.Now(), deadAddresses()
	v4, v6 := split(targets, r.Outcomes)
	var slow []int32
	if s.eng == nil {
		slow, v4, v6 = append(v4, v6...), nil, nil
	} else if !s.eng.takes6() {
		slow, v6 = v6, nil
	}
	var wait sync.WaitGroup
	if len(slow) > 0 {
		r.Plan = s.opts.Timeout * time.Duration((len(slow)+fallbackAtOnce-1)/fallbackAtOnce)
		wait.Go(func() { s.fallback(ctx, targets, slow, r.Outcomes) })
	}
	var err error
	if s.eng != nil {
		err = s.eng.sweep(ctx, epoch, targets, v4, v6, &r)
	}
	wait.Wait()
	r.Wall = time.Since(begun)
	unplugged(targets, r.Outcomes, dead)
	r.tally()
	if err == nil {
		err = ctx.Err()
	}
	return r, err
}

// split sorts the targets by family and marks those that are never sent to.
func split(targets []Target, out []Outcome) (v4, v6 []int32) {
	v4 = make([]int32, 0, len(targets))
	for i, t := range targets {
		switch a := t.Addr.Unmap(); {
		case !a.IsValid() || a.IsMulticast() || a.IsUnspecified() || a == limitedBroadcast:
			out[i].State = Denied
		case a.Is4():
			v4 = append(v4, int32(i))
		default:
			v6 = append(v6, int32(i))
		}
	}
	return v4, v6
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// fallback probes the targets with pro-bing, at most fallbackAtOnce at a time.
func (s *Sweeper) fallback(ctx context.Context, targets []Target, which []int32, out []Outcome) {
	begun := time.Now()
	var wait sync.WaitGroup
	defer wait.Wait()
	next := make(chan int32)
	for range min(fallbackAtOnce, len(which)) {
		wait.Go(func() {
			for i := range next {
				out[i].After = time.Since(begun)
				st, err := s.pinger.Ping(ctx, targets[i].Addr, 1, s.opts.Timeout, s.opts.Timeout)
				switch {
				case err == nil && st.Received > 0:
					out[i].State, out[i].RTT = Reply, st.Min
				case err == nil:
					out[i].State = Lost
				default:
					out[i].State = stateOf(err)
				}
			}
		})
	}
	defer close(next)
	for _, i := range which {
		select {
		case next <- i:
		case <-ctx.Done():
			return
		}
	}
}

// unplugged turns losses on an interface that had no carrier before the round
// or after it into NoRoute: with the cable out the kernel keeps the routes and
// throws the packets away.
func unplugged(targets []Target, out []Outcome, dead map[netip.Addr]bool) {
	if !slices.ContainsFunc(out, func(o Outcome) bool { return o.State == Lost || o.State == Unsent }) {
		return
	}
	if maps.Copy(dead, deadAddresses()); len(dead) == 0 {
		return
	}
	for i := range out {
		if out[i].State != Lost && out[i].State != Unsent {
			continue
		}
		if from, err := preflight(targets[i].Addr.Unmap()); err == nil && dead[from] {
			out[i].State = NoRoute
		}
	}
}

// deadAddresses are this machine's addresses on interfaces that are switched on
// and have no carrier.
func deadAddresses() map[netip.Addr]bool {
	dead := map[netip.Addr]bool{}
	all, err := net.Interfaces()
	if err != nil {
		return dead
	}
	for _, ifi := range all {
		if ifi.Flags&net.FlagUp == 0 || ifi.Flags&net.FlagRunning != 0 {
			continue
		}
		addrs, _ := ifi.Addrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(n.IP)
				dead[ip.Unmap()] = true
			}
		}
	}
	return dead
}

// stateOf turns a Pinger's refusal into an outcome.
func stateOf(err error) State {
	switch {
	case fault.IsRule(err, reasonNoRoute):
		return NoRoute
	case fault.Is(err, fault.Rule):
		return Denied
	case fault.Is(err, fault.Unavailable):
		return Unsent
	}
	return Unknown
}
