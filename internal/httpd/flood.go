package httpd

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// FloodOptions are requests a minute and the patience of the limiter. Zero
// fields take the defaults named.
type FloodOptions struct {
	Campus  int           // per address of CampusNets, 6,000
	Outside int           // per other address (/64 for IPv6), 600
	Account int           // per vouched credential, 600
	Delay   time.Duration // the longest a request is held back, 5 s
	Waiting int           // requests held back at once, 1,000
	Entries int           // addresses remembered, 50,000
}

func (o FloodOptions) defaults() FloodOptions {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&o.Campus, 6000)
	def(&o.Outside, 600)
	def(&o.Account, 600)
	def(&o.Waiting, 1000)
	def(&o.Entries, 50_000)
	if o.Delay == 0 {
		o.Delay = 5 * time.Second
	}
	return o
}

// Flood slows floods down. An address may send a minute's worth of requests
// at once; what it sends beyond its rate is held back until its turn, and
// refused only when that turn is further away than FloodOptions.Delay. It is
// kept in memory: each replica counts for itself.
type Flood struct {
	opt    FloodOptions
	campus []netip.Prefix

	mu      sync.Mutex
	addrs   map[netip.Prefix]*bucket
	creds   map[credential]*bucket
	waiting int
}

// bucket counts in time: full is when it will be full again. A request moves
// full on by 1/rate, and may pass once full is at most a minute ahead.
type bucket struct {
	full    time.Time
	perItem time.Duration
	vouched time.Time // credentials only: until when it counts for itself
}

const (
	burst     = time.Minute
	vouchTime = 10 * time.Minute
)

// NewFlood makes a limiter; campus networks have the larger allowance.
func NewFlood(opt FloodOptions, campus []netip.Prefix) *Flood {
	return &Flood{opt: opt.defaults(), campus: campus,
		addrs: map[netip.Prefix]*bucket{}, creds: map[credential]*bucket{}}
}

// take charges one request and says how long it must wait; ok is false, and
// nothing is charged, when that is too long.
func (f *Flood) take(a netip.Addr, c credential, now time.Time) (wait time.Duration, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.creds[c]
	if b == nil || now.After(b.vouched) {
		b = f.addr(a, now)
	}
	full := b.full
	if full.Before(now) {
		full = now
	}
	full = full.Add(b.perItem)
	wait = max(0, full.Sub(now)-burst)
	if wait > f.opt.Delay || (wait > 0 && f.waiting >= f.opt.Waiting) {
		return max(wait-f.opt.Delay, time.Second), false
	}
	b.full = full
	if wait > 0 {
		f.waiting++
	}
	return wait, true
}

func (f *Flood) addr(a netip.Addr, now time.Time) *bucket {
	key := LimitKey(a)
	b := f.addrs[key]
	if b == nil {
		rate := f.opt.Outside
		if Contains(f.campus, a) {
			rate = f.opt.Campus
		}
		prune(f.addrs, f.opt.Entries, func(b *bucket) bool { return b.full.Before(now) })
		b = &bucket{perItem: burst / time.Duration(rate)}
		f.addrs[key] = b
	}
	return b
}

// share says whose part of the slots in flight a request draws on.
func (f *Flood) share(a netip.Addr, c credential, now time.Time) share {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b := f.creds[c]; b != nil && !now.After(b.vouched) {
		return share{holder: holder{cred: c}, weight: f.opt.Account}
	}
	s := share{holder: holder{addr: LimitKey(a)}, weight: f.opt.Outside}
	if Contains(f.campus, a) {
		s.weight, s.crowd = f.opt.Campus, true
	}
	return s
}

func (f *Flood) vouch(c credential) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.creds[c]
	if b == nil {
		prune(f.creds, f.opt.Entries, func(b *bucket) bool { return now.After(b.vouched) })
		b = &bucket{perItem: burst / time.Duration(f.opt.Account)}
		f.creds[c] = b
	}
	b.vouched = now.Add(vouchTime)
}

// prune makes room for one more: whatever is idle goes, and when nothing is,
// some of the rest, for memory is bounded before fairness is.
func prune[K comparable](m map[K]*bucket, size int, idle func(*bucket) bool) {
	if len(m) < size {
		return
	}
	for k, b := range m {
		if idle(b) {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) < size*9/10 {
			return
		}
		delete(m, k)
	}
}

// Handler holds requests back before next.
func (f *Flood) Handler(next http.Handler, page ErrorPage) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := of(r.Context())
		q.cred = credentialOf(r)
		wait, ok := f.take(q.client, q.cred, time.Now())
		if !ok {
			retryAfter(w.Header(), wait)
			Refuse(w, r, http.StatusTooManyRequests, tooFast(), page)
			return
		}
		if wait > 0 {
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-r.Context().Done():
				t.Stop()
			}
			f.mu.Lock()
			f.waiting--
			f.mu.Unlock()
			if r.Context().Err() != nil {
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
