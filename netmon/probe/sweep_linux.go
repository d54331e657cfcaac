package probe

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// engine is the bulk prober of one Sweeper. The shape comes from measurements:
// one thread, one socket per family, batches in both directions.
type engine struct {
	opts   Options
	key    tokenKey
	run    uint32 // counts sweeps, so that two of one epoch differ
	v4, v6 *conn  // v6 may be nil
	polls  []unix.PollFd
}

// probe is one request in flight. Times are nanoseconds: sent and seen since
// the start of the round (monotonic), tx and rx wall clock by the kernel's
// stamps. Until the transmit stamp arrives tx is minus the wall time of the
// system call, which came before it.
type probe struct {
	token    uint64
	tx, rx   int64
	sent     int64
	seen     int64
	addr     [16]byte // IPv4 in the first four bytes
	target   int32
	state    State
	answered bool // settled: nothing more to wait for
}

// flight is the probes of one family in one round, in sending order.
type flight struct {
	*conn
	probes  []probe
	next    int      // first probe not yet sent
	aged    int      // first probe young enough to count against the window
	due     []int64  // when each may be sent to its network; nil = at once
	young   int      // unanswered probes in [aged, next)
	pending int      // unanswered probes in [0, next)
	byStamp []uint32 // transmit stamp number → probe
	tries   int      // failed attempts to send probes[next]
	broken  bool     // the latest probe could not be sent for patience
	skewed  bool     // stamps do not match probes: ignore them
}

// sweep is one round's working state.
type sweep struct {
	e       *engine
	ctx     context.Context
	targets []Target
	round   *Round
	flights []*flight
	begun   time.Time
	batch   int
}

func openEngine(o Options) (*engine, Diagnosis) {
	var why [2]error
	for i, m := range []Mode{ModePing, ModeRaw} {
		if o.Mode != "" && o.Mode != m {
			continue
		}
		v4, err := openConn(false, m == ModeRaw, o)
		if err != nil {
			why[i] = err
			continue
		}
		e := &engine{opts: o, key: newTokenKey(), v4: v4}
		if e.v6, err = openConn(true, m == ModeRaw, o); err != nil {
			e.v6 = nil // no IPv6 here: its targets take the fallback, which says why
		}
		return e, diagnose(m, why)
	}
	return nil, diagnose(ModeNone, why)
}

// diagnose says in plain words why this mode was taken.
func diagnose(m Mode, why [2]error) Diagnosis {
	d := Diagnosis{Mode: m}
	switch m {
	case ModePing:
		d.Zh, d.En = "批量引擎，使用免特权的 ping 套接字", "bulk engine on an unprivileged ping socket"
		return d
	case ModeRaw:
		d.Zh, d.En = "批量引擎，使用原始套接字", "bulk engine on a raw socket"
		return d
	}
	self, err := os.Executable()
	if err != nil {
		self = "kelian"
	}
	denied := func(e error) bool { return errors.Is(e, unix.EACCES) || errors.Is(e, unix.EPERM) }
	switch {
	case denied(why[1]):
		d.Zh = "没有发送 ICMP 的权限（缺 CAP_NET_RAW，且 net.ipv4.ping_group_range 不包含本用户组）"
		d.En = "no right to send ICMP (CAP_NET_RAW is missing and net.ipv4.ping_group_range does not include this group)"
		d.Command = "sudo setcap cap_net_raw+ep " + self
	case denied(why[0]):
		d.Zh = "不允许使用 ping 套接字（net.ipv4.ping_group_range）"
		d.En = "ping sockets are not allowed (net.ipv4.ping_group_range)"
		d.Command = `sudo sysctl -w net.ipv4.ping_group_range="0 2147483647"`
	default:
		reason := errors.Join(why[0], why[1])
		d.Zh = "无法打开 ICMP 套接字：" + reason.Error()
		d.En = "cannot open an ICMP socket: " + reason.Error()
	}
	return d
}

func (e *engine) takes6() bool { return e.v6 != nil }

func (e *engine) close() error {
	err := unix.Close(e.v4.fd)
	if e.v6 != nil {
		err = errors.Join(err, unix.Close(e.v6.fd))
	}
	return err
}

// sweep probes the targets whose indices v4 and v6 hold and fills their
// outcomes and the engine's counters in r.
func (e *engine) sweep(ctx context.Context, epoch uint64, targets []Target, v4, v6 []int32, r *Round) error {
	if len(v4)+len(v6) == 0 {
		return nil
	}
	runtime.LockOSThread() // so that the thread's CPU time is the sweep's
	defer runtime.UnlockOSThread()
	cpu := threadCPU()
	e.run++
	s := &sweep{e: e, ctx: ctx, targets: targets, round: r, batch: sendBatch, begun: time.Now()}
	if e.opts.NoTXStamps {
		s.batch = plainBatch
	}
	before := 0
	for _, part := range []struct {
		c     *conn
		which []int32
	}{{e.v4, v4}, {e.v6, v6}} {
		if len(part.which) == 0 {
			continue
		}
		f := &flight{conn: part.c}
		f.probes, f.due = e.probes(epoch, targets, part.which, s.begun)
		s.flights = append(s.flights, f)
		s.discard(f)
		if err := f.resetStamps(); err != nil {
			return err
		}
		f.account()
		before += f.lost
	}
	r.Plan = max(r.Plan, e.plan(s.flights))
	err := s.loop()
	for _, f := range s.flights {
		s.receive(f)
		f.account()
		r.Drops += f.lost
		s.settle(f, err != nil)
	}
	r.Drops -= before
	r.CPU = threadCPU() - cpu
	return err
}

// plan is how long the sweep takes when nothing answers.
func (e *engine) plan(flights []*flight) time.Duration {
	n, last := 0, int64(0)
	for _, f := range flights {
		n += len(f.probes)
		if len(f.due) > 0 {
			last = max(last, f.due[len(f.due)-1])
		}
	}
	return e.opts.Timeout + max(time.Duration(last), e.opts.Pacer.takes(n))
}

// probes makes the requests of a family, in an order that differs from epoch
// to epoch so that neighbours on one switch are not asked in one burst, and
// says when each may be sent.
func (e *engine) probes(epoch uint64, targets []Target, which []int32, now time.Time) ([]probe, []int64) {
	rng := rand.New(rand.NewPCG(e.key.k0^epoch, e.key.k1^uint64(e.run)))
	rng.Shuffle(len(which), func(i, j int) { which[i], which[j] = which[j], which[i] })
	due := e.opts.Pacer.spread(targets, which, now)
	ps := make([]probe, len(which))
	for i, t := range which {
		p := &ps[i]
		p.target = t
		p.token = e.key.token(epoch, e.run, uint32(i))
		if a := targets[t].Addr.Unmap(); a.Is4() {
			b := a.As4()
			copy(p.addr[:], b[:])
		} else {
			p.addr = a.As16()
		}
	}
	return ps, due
}

func (s *sweep) now() int64 { return int64(time.Since(s.begun)) }

// loop sends and receives until every probe is settled or out of time.
func (s *sweep) loop() error {
	timeout := int64(s.e.opts.Timeout)
	for last := int64(0); ; {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		now := s.now()
		progress, unsent, pending := 0, 0, 0
		wait := time.Duration(math.MaxInt64)
		for _, f := range s.flights {
			n, w := s.send(f, now)
			if n > 0 {
				progress += n
				last = now
			} else if f.next < len(f.probes) {
				wait = min(wait, w)
			}
			s.receive(f)
			unsent += len(f.probes) - f.next
			pending += f.pending
		}
		switch {
		case unsent == 0 && (pending == 0 || s.now() >= last+timeout):
			return nil
		case unsent == 0:
			s.await(last + timeout - s.now())
		case progress == 0:
			s.pause(wait)
		}
	}
}

// look is how late the end of ctx may be noticed.
const look = 50 * time.Millisecond

// await waits for answers, at most left nanoseconds. After the first one it
// gathers more for half a millisecond: the kernel has stamped them already,
// and a wake-up per answer would cost more than the answer.
func (s *sweep) await(left int64) {
	if s.poll(min(left, int64(look))) {
		if gather := min(left, int64(500*time.Microsecond)); s.pendingAtLeast(sendBatch) {
			ts := unix.NsecToTimespec(gather)
			_ = unix.Nanosleep(&ts, nil)
		}
	}
}

func (s *sweep) pendingAtLeast(n int) bool {
	for _, f := range s.flights {
		n -= f.pending
	}
	return n <= 0
}

// pause waits until sending can go on: as long as the pacer says or a full send
// buffer needs, or, where the window is closed, for answers.
func (s *sweep) pause(wait time.Duration) {
	if wait <= 0 {
		s.poll(int64(time.Millisecond))
		return
	}
	ts := unix.NsecToTimespec(int64(min(wait, look)))
	_ = unix.Nanosleep(&ts, nil)
}

// poll waits for something to read, at most d nanoseconds.
func (s *sweep) poll(d int64) bool {
	fds := s.e.polls[:0]
	for _, f := range s.flights {
		fds = append(fds, unix.PollFd{Fd: int32(f.fd), Events: unix.POLLIN})
	}
	s.e.polls = fds
	ts := unix.NsecToTimespec(max(d, 0))
	n, _ := unix.Ppoll(fds, &ts, nil)
	return n > 0
}

// send sends at most one batch of f and says how many probes it dealt with, or
// how long to wait; without either the window is closed.
func (s *sweep) send(f *flight, now int64) (int, time.Duration) {
	f.age(now - int64(s.e.opts.Timeout)/4)
	n := min(s.batch, len(f.probes)-f.next, f.window-f.young)
	if n <= 0 {
		return 0, 0
	}
	n, wait := f.allowed(n, now)
	if n == 0 {
		return 0, wait
	}
	if wait := s.e.opts.Pacer.take(n); wait > 0 {
		return 0, wait
	}
	for i := range n {
		p := &f.probes[f.next+i]
		f.put(i, p, uint32(f.next+i), s.scope(f, p))
	}
	at := time.Now()
	took, errno := f.conn.send(n)
	for try := 0; try < 2 && !f.raw && noWay(errno); try++ {
		// On a ping socket this may be a router's answer to an earlier probe;
		// reading the error queue clears it.
		s.readErrors(f)
		took, errno = f.conn.send(n)
	}
	s.e.opts.Pacer.untake(n - took)
	if errno != 0 {
		return s.sendFailed(f, errno)
	}
	f.tries, f.broken = 0, false
	for i := range took {
		p := &f.probes[f.next+i]
		p.sent, p.tx = int64(at.Sub(s.begun)), -at.UnixNano()
		p.state = Lost // until something better is known
		f.byStamp = append(f.byStamp, uint32(f.next+i))
	}
	f.next += took
	f.young += took
	f.pending += took
	return took, 0
}

// allowed is how many of the next n probes their networks may be sent, or how
// long to wait. It waits for a whole batch, but not long.
func (f *flight) allowed(n int, now int64) (int, time.Duration) {
	const gather = int64(2 * time.Millisecond)
	if f.due == nil || f.due[f.next+n-1] <= now {
		return n, 0
	}
	last := f.due[f.next+n-1]
	k := 0
	for k < n && f.due[f.next+k] <= now {
		k++
	}
	switch {
	case k == 0:
		return 0, time.Duration(min(last, f.due[f.next]+gather) - now)
	case last-now <= gather:
		return 0, time.Duration(last - now)
	}
	return k, 0
}

// sendFailed judges why probes[next] could not be sent. It returns 1 when the
// probe is done with, else how long to wait before it is tried again. Once
// patience ran out, no further probe gets any until one can be sent: a dead
// interface must not hold up the round by as much for each target.
func (s *sweep) sendFailed(f *flight, errno unix.Errno) (int, time.Duration) {
	const patience = 200 // pauses of 1 ms each
	p := &f.probes[f.next]
	switch errno {
	case unix.EINTR, unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM:
		if errno == unix.ENOBUFS && !f.raw {
			// The queueing discipline refused a packet that had already been
			// given a stamp number.
			f.byStamp = append(f.byStamp, uint32(f.next))
		}
		if f.tries++; f.tries < patience && !f.broken {
			return 0, time.Millisecond
		}
		f.broken = true
	}
	p.state, p.answered = Unsent, true
	if noWay(errno) {
		p.state = NoRoute
	}
	f.next++
	f.tries = 0
	return 1, 0
}

// noWay says whether a send error means that the kernel knows no way to the
// target or forbids it: EINVAL is a blackhole route, EACCES a prohibit route
// or a broadcast address, EPERM a firewall.
func noWay(errno unix.Errno) bool {
	switch errno {
	case unix.EACCES, unix.EPERM, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EINVAL, unix.EADDRNOTAVAIL:
		return true
	}
	return false
}

// age moves the window past probes sent before the given time: an answer so
// late does not come in a burst with the others.
func (f *flight) age(before int64) {
	for f.aged < f.next && f.probes[f.aged].sent < before {
		if !f.probes[f.aged].answered {
			f.young--
		}
		f.aged++
	}
}

// settled counts probes[pos] as answered.
func (f *flight) settled(pos uint32) {
	p := &f.probes[pos]
	if p.answered {
		return
	}
	p.answered = true
	f.pending--
	if int(pos) >= f.aged {
		f.young--
	}
}

// scope is the interface index of a link-local IPv6 target, else 0.
func (s *sweep) scope(f *flight, p *probe) uint32 {
	if !f.v6 {
		return 0
	}
	return zoneIndex(s.targets[p.target].Addr.Zone())
}

// threadCPU is the CPU time of this thread, user and system.
func threadCPU() time.Duration {
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
