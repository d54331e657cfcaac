package probe

import (
	"cmp"
	"kelian/internal/clock"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Pacer bounds how fast the sweepers that share it send: all of them together,
// and all of them to one network, a /24 or an IPv6 /64, which is about what
// hangs on one switch. It is safe for concurrent use.
type Pacer struct {
	pace, netPace float64 // packets/s, ≤ 0 = no limit

	mu   sync.Mutex
	next time.Time            // when the next packet is due
	nets map[uint64]time.Time // when the next packet to a network is due
}

// NewPacer makes a Pacer of pace packets a second, netPace of them to one
// network. 0 is DefaultPace and DefaultNetPace, Unpaced is no limit; a pacer
// without a limit has none for a network either unless one is given.
func NewPacer(pace, netPace int) *Pacer {
	switch {
	case netPace == 0 && pace < 0:
		netPace = Unpaced
	case netPace == 0:
		netPace = DefaultNetPace
	}
	if pace == 0 {
		pace = DefaultPace
	}
	return &Pacer{pace: float64(pace), netPace: float64(netPace), nets: map[uint64]time.Time{}}
}

func span(n int, pace float64) time.Duration { return time.Duration(float64(n) / pace * 1e9) }

// take asks to send n packets now. It says how long to wait before asking
// again, 0 when they may go. A sweeper that stood still does not make up for it
// in a burst of more than n.
func (p *Pacer) take(n int) time.Duration {
	if p.pace <= 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if d := p.next.Sub(now); d > 0 {
		return d
	}
	p.next = clock.Later(p.next, now.Add(-span(n, p.pace))).Add(span(n, p.pace))
	return 0
}

// untake gives back packets that were not sent after all.
func (p *Pacer) untake(n int) {
	if p.pace <= 0 || n <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = p.next.Add(-span(n, p.pace))
}

// takes is how long n packets take.
func (p *Pacer) takes(n int) time.Duration {
	if p.pace <= 0 {
		return 0
	}
	return span(n, p.pace)
}

// slots sets aside the time that so many packets to each network take and says
// from when on they may be sent.
func (p *Pacer) slots(counts map[uint64]int, now time.Time) map[uint64]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, t := range p.nets {
		if t.Before(now) {
			delete(p.nets, n)
		}
	}
	from := make(map[uint64]time.Time, len(counts))
	for n, k := range counts {
		from[n] = clock.Later(p.nets[n], now)
		p.nets[n] = from[n].Add(span(k, p.netPace))
	}
	return from
}

// netOf is the network that an address is paced in.
func netOf(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return 1<<24 | uint64(b[0])<<16 | uint64(b[1])<<8 | uint64(b[2])
	}
	b := a.As16()
	var n uint64
	for _, x := range b[:8] {
		n = n<<8 | uint64(x)
	}
	return n
}

// spread puts the probes, which are in the order of the epoch, into the order
// in which their networks may be asked, and gives the moments, in nanoseconds
// after now. It gives none where the pace of all keeps to that of each: with
// many networks well mixed that is so.
func (p *Pacer) spread(targets []Target, which []int32, now time.Time) []int64 {
	if p.netPace <= 0 || len(which) == 0 {
		return nil
	}
	nets, counts := make([]uint64, len(which)), map[uint64]int{}
	for i, t := range which {
		nets[i] = netOf(targets[t].Addr.Unmap())
		counts[nets[i]]++
	}
	from, rank := p.slots(counts, now), make(map[uint64]int, len(counts))
	due, binds := make([]int64, len(which)), false
	each := 0.0
	if p.pace > 0 {
		each = 1e9 / p.pace
	}
	for i, n := range nets {
		due[i] = int64(from[n].Sub(now) + span(rank[n], p.netPace))
		rank[n]++
		binds = binds || float64(due[i]) > float64(i)*each
	}
	if !binds {
		return nil
	}
	order := make([]int32, len(which))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(due[a], due[b]) })
	was, moments := slices.Clone(which), slices.Clone(due)
	for i, o := range order {
		which[i], due[i] = was[o], moments[o]
	}
	return due
}
