package netmon

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"kelian/netmon/judge"
	"kelian/netmon/probe"
)

// fallbackPort is where a host is knocked at when ICMP is not to be had: a
// refusal answers as well as a connection.
const fallbackPort = 80

// standstill is how much longer than planned a sweep may take before its
// losses are not believed: the process may have been stopped while answers
// were waiting.
const standstill = time.Second

// SweepShard does one round: it claims the shard for the epoch, asks its
// checks, asks what was lost and everything above it twice more, and leaves one
// round row. Somebody else's claim and an epoch that is over are no errors: the
// round is not made. The queue's handler calls it, and the monitor itself.
func (m *Monitor) SweepShard(ctx context.Context, shard int, epoch int64) error {
	start := startOf(epoch)
	if m.clock.Now().After(start.Add(m.opts.Interval)) {
		m.count.late.Add(1)
		return nil
	}
	t, err := m.topology(ctx)
	if err != nil {
		return err
	}
	checks := t.due(shard, epoch, m.opts.Interval)
	if len(checks) == 0 {
		return nil
	}
	switch won, err := m.claim(ctx, shard, epoch); {
	case err != nil && !m.preferred(shard):
		return err // the preferred monitor sweeps while the database is away
	case err == nil && !won:
		m.count.taken.Add(1)
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, start.Add(m.opts.Interval+m.opts.Settle))
	defer cancel()
	s := &sweep{m: m, t: t, epoch: epoch, start: start}
	s.row = roundRow{Vantage: m.opts.Vantage, Shard: shard, Epoch: epoch, Owner: m.owner, Healthy: true, Mode: m.mode(), At: start}
	s.run(ctx, checks)
	if found := s.known.found; len(found) > 0 {
		if err := m.remember(ctx, found); err != nil {
			m.log.Warn("what checks found cannot be written; they look again", "error", err)
		}
	}
	m.count.counted(&s.row)
	m.keep(context.WithoutCancel(ctx), s.row)
	return nil
}

func (m *Monitor) preferred(shard int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rank(shard, m.live[m.opts.Vantage]) == 0
}

// sweep is one round of one shard.
type sweep struct {
	m     *Monitor
	t     *topology
	epoch int64
	start time.Time
	row   roundRow
	known recall
}

// wave is one attempt at some checks; got is in the order of checks, the
// outcome empty while it is not known.
type wave struct {
	checks      []*target
	mu          sync.Mutex
	got         []judge.Attempt
	ping        probe.Round
	pingErr     error
	noRoute     int // connections that this machine has no way for
	quick, slow sync.WaitGroup
}

func (s *sweep) since() time.Duration { return max(0, s.m.clock.Now().Sub(s.start)) }

// run makes the round and its two re-probes, which are sent Gap apart without
// waiting for each other: an outage is known after two time-outs and a gap.
func (s *sweep) run(ctx context.Context, checks []*target) {
	began := s.since()
	first := s.send(ctx, checks)
	first.quick.Wait()
	first.linger(s.m.opts.Timeout - (s.since() - began))
	s.judgeSelf(first)
	waves := []*wave{first}
	if again := s.suspects(first); len(again) > 0 && s.row.Healthy {
		waves = append(waves, s.send(ctx, again))
		if s.m.until(ctx, s.m.clock.Now().Add(s.m.opts.Gap)) {
			waves = append(waves, s.send(ctx, again))
		}
	}
	for _, w := range waves {
		w.quick.Wait()
		w.slow.Wait()
	}
	for _, w := range waves[1:] {
		w.distrust()
	}
	if end := s.since(); end > s.m.opts.Interval+s.m.opts.Settle {
		s.fault("LATE")
	}
	s.row.BeganMs, s.row.TookMs = int(began.Milliseconds()), int((s.since() - began).Milliseconds())
	s.row.Payload = encodeRound(collect(waves))
}

// linger waits for the HTTP checks as well, at most as long as a lost ping
// takes, so that one that fails quickly is asked again in this round.
func (w *wave) linger(d time.Duration) {
	done := make(chan struct{})
	go func() {
		w.slow.Wait()
		close(done)
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func (s *sweep) fault(reason string) {
	if s.row.Healthy {
		s.row.Healthy, s.row.Fault = false, reason
	}
}

// judgeSelf says whether the round's losses are evidence: not when this machine
// threw answers away, cannot send, or stood still.
func (s *sweep) judgeSelf(w *wave) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, pings, dials := &w.ping, 0, 0
	for i, c := range w.checks {
		if s.pinged(c) {
			pings++
			continue
		}
		dials++
		s.row.Sent++
		switch w.got[i].Outcome {
		case judge.Reply:
			s.row.Received++
		case judge.Lost, judge.NoRoute, judge.Failed:
			s.row.Lost++
		}
	}
	s.row.Sent, s.row.Received, s.row.Lost, s.row.Drops = s.row.Sent+r.Sent, s.row.Received+r.Received, s.row.Lost+r.Lost, r.Drops
	switch {
	case w.pingErr != nil:
		s.fault("NO_ICMP")
	case r.Fault != nil:
		s.fault(r.Fault.Reason)
	case r.Wall > r.Plan+standstill:
		s.fault("STOOD_STILL")
	case pings == 0 && 2*w.noRoute > dials:
		s.fault("UPLINK_LOST")
	}
}

// distrust takes back the losses of a re-probe whose own machine was not well.
func (w *wave) distrust() {
	if w.ping.Fault == nil && w.pingErr == nil {
		return
	}
	for i := range w.got {
		if w.checks[i].Kind == ICMP && w.got[i].Outcome != judge.Reply {
			w.got[i].Outcome = judge.Missing
		}
	}
}

// suspects are the checks that were lost and those that speak for the hosts
// above them, up to the top, whatever their shard.
func (s *sweep) suspects(w *wave) (out []*target) {
	w.mu.Lock()
	defer w.mu.Unlock()
	in := map[*target]bool{}
	add := func(c *target) {
		if c != nil && !in[c] {
			in[c] = true
			out = append(out, c)
		}
	}
	for i, c := range w.checks {
		switch w.got[i].Outcome {
		case judge.Lost, judge.NoRoute, judge.Failed:
			add(c)
			for _, host := range s.t.graph.Ancestors(c.id) {
				add(s.t.checks[s.t.graph.Reachability(host)])
			}
		}
	}
	return out
}

// collect lines up each check's attempts, oldest first.
func collect(waves []*wave) []seen {
	at := map[int64]int{}
	var out []seen
	for _, w := range waves {
		for i, c := range w.checks {
			k, ok := at[c.Number]
			if !ok {
				k = len(out)
				at[c.Number] = k
				out = append(out, seen{number: c.Number})
			}
			out[k].attempts = append(out[k].attempts, w.got[i])
		}
	}
	return out
}

// pinged says whether the check goes by ICMP here.
func (s *sweep) pinged(c *target) bool {
	mode, _ := s.m.prober.Mode()
	return c.Kind == ICMP && mode != probe.ModeNone
}

// send starts a wave. Pings and TCP checks end within Timeout, HTTP checks
// within twice that: who is still waiting then is not asked again in this round.
func (s *sweep) send(ctx context.Context, checks []*target) *wave {
	w := &wave{checks: checks, got: make([]judge.Attempt, len(checks))}
	s.recall(ctx, checks)
	var pings []int
	for i, c := range checks {
		switch {
		case s.pinged(c):
			pings = append(pings, i)
		case c.Kind == HTTP:
			w.slow.Go(func() { w.set(i, s.http(ctx, c, w)) })
		case c.Kind == DNS:
			w.quick.Go(func() { w.set(i, s.dns(ctx, c, w)) })
		case c.Kind.remembers():
			w.slow.Go(func() { w.set(i, s.remembered(ctx, c, w)) })
		default:
			w.quick.Go(func() { w.set(i, s.tcp(ctx, c, w)) })
		}
	}
	if len(pings) > 0 {
		w.quick.Go(func() { s.ping(ctx, w, pings) })
	}
	return w
}

func (w *wave) set(i int, a judge.Attempt) {
	w.mu.Lock()
	w.got[i] = a
	w.mu.Unlock()
}

func (s *sweep) ping(ctx context.Context, w *wave, which []int) {
	targets := make([]probe.Target, len(which))
	for k, i := range which {
		targets[k].Addr = w.checks[i].host.addr
	}
	after := s.since()
	r, err := s.m.prober.Sweep(ctx, uint64(s.epoch), targets)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ping, w.pingErr = r, err
	for k, i := range which {
		w.got[i] = judge.Attempt{Outcome: judge.Missing, After: after}
		if k < len(r.Outcomes) {
			o := r.Outcomes[k]
			w.got[i] = judge.Attempt{Outcome: outcomeOf(o.State), After: after + o.After, RTT: o.RTT}
			if o.State == probe.Unreachable && o.Router.IsValid() {
				w.got[i].By = o.Router.String()
			}
		}
	}
}

// tcp connects to the check's target; for a host that cannot be pinged, to any
// port of it.
func (s *sweep) tcp(ctx context.Context, c *target, w *wave) judge.Attempt {
	where := c.Target
	if c.Kind == ICMP {
		where = net.JoinHostPort(c.Address(), strconv.Itoa(c.knock()))
	}
	after := s.since()
	r, err := s.m.prober.TCP(ctx, where, s.m.opts.Timeout)
	if r.Connect > 0 { // it may have waited for its turn
		after = max(after, s.since()-r.Connect-r.DNS)
	}
	w.lostWay(r.State)
	a := judge.Attempt{Outcome: outcomeOf(r.State), After: after, RTT: r.Connect}
	switch {
	case err != nil:
		a.Outcome = judge.Missing
	case r.State == probe.Refused && c.Kind == ICMP:
		a.Outcome = judge.Reply
	}
	return a
}

// Address is the host's.
func (c *target) Address() string { return c.host.Address }

// knock is the port of the host's own TCP check, where it has one.
func (c *target) knock() int {
	i := slices.IndexFunc(c.host.checks, func(x *target) bool { return x.Kind == TCP })
	if i >= 0 {
		host, port, err := net.SplitHostPort(c.host.checks[i].Target)
		if n, e := strconv.Atoi(port); err == nil && e == nil && host == c.Address() {
			return n
		}
	}
	return fallbackPort
}

func (s *sweep) http(ctx context.Context, c *target, w *wave) judge.Attempt {
	after := s.since()
	r, err := s.m.prober.HTTP(ctx, c.spec(2*s.m.opts.Timeout))
	if r.Phases.Total > 0 {
		after = max(after, s.since()-r.Phases.Total)
	}
	w.lostWay(r.State)
	a := judge.Attempt{Outcome: outcomeOf(r.State), After: after, RTT: r.Phases.Total}
	if err != nil {
		a.Outcome = judge.Missing
	}
	return a
}

func (w *wave) lostWay(s probe.State) {
	if s == probe.NoRoute {
		w.mu.Lock()
		w.noRoute++
		w.mu.Unlock()
	}
}

// outcomeOf says what a state means for the target. What speaks of this machine
// or of the name service is Missing.
func outcomeOf(s probe.State) judge.Outcome {
	switch s {
	case probe.Reply:
		return judge.Reply
	case probe.Lost:
		return judge.Lost
	case probe.Unreachable:
		return judge.NoRoute
	case probe.Refused, probe.Mismatch:
		return judge.Failed
	}
	return judge.Missing
}
