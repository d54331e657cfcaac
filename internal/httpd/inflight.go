package httpd

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"kelian/internal/fault"
)

// InFlight bounds the requests that run at once, so that a slow database
// makes answers late or refused but never piles requests up. What there is is
// shared between the clients in proportion to their allowances: a slot that
// becomes free goes to the waiting client that has the fewest, and a full
// queue is shortened where it is longest. Streams give their slot back
// (NewStream).
type InFlight struct {
	slots, queue int
	wait         time.Duration

	mu      sync.Mutex
	clients map[holder]*client
	running int
	queued  int
	turn    uint64 // counts arrivals: between equals the one that came first
}

// holder is who is counted as one: an account's credential or an address.
type holder struct {
	cred credential
	addr netip.Prefix
}

// share is a holder's part: Weight is its allowance of requests a minute.
// Crowd says that many people stand behind it; everybody else holds at most a
// quarter of slots and queue, whether somebody else wants them or not.
type share struct {
	holder holder
	weight int
	crowd  bool
}

type client struct {
	share
	running int
	waiting []*waiter // in the order of arrival
}

type waiter struct {
	turn uint64
	got  chan bool // true = a slot, false = pushed out of the queue
}

// NewInFlight lets run requests pass, queue more wait at most wait.
func NewInFlight(run, queue int, wait time.Duration) *InFlight {
	return &InFlight{slots: run, queue: queue, wait: wait, clients: map[holder]*client{}}
}

// Running is the number of slots taken.
func (c *InFlight) Running() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.running
}

// Queued is the number of requests that wait for a slot.
func (c *InFlight) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued
}

// acquire takes a slot for the holder; release gives it back.
func (c *InFlight) acquire(ctx context.Context, s share) (release func(), ok bool) {
	cl, w := c.enter(s)
	if cl == nil {
		return nil, false
	}
	if w != nil && !c.await(ctx, cl, w) {
		return nil, false
	}
	return sync.OnceFunc(func() { c.leave(cl) }), true
}

// enter gives a slot at once (no waiter), a place in the queue, or nothing.
func (c *InFlight) enter(s share) (*client, *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := c.clients[s.holder]
	if cl == nil {
		cl = &client{share: s}
	}
	cl.share = s
	if !s.crowd && cl.running+len(cl.waiting) >= max(1, (c.slots+c.queue)/4) {
		return nil, nil
	}
	if c.running < c.slots {
		c.clients[s.holder] = cl
		c.running++
		cl.running++
		return cl, nil
	}
	if c.queued >= c.queue && !c.shorten(cl) {
		return nil, nil
	}
	c.turn++
	w := &waiter{turn: c.turn, got: make(chan bool, 1)}
	c.clients[s.holder] = cl
	cl.waiting = append(cl.waiting, w)
	c.queued++
	return cl, w
}

// shorten pushes the last of the longest queue out, unless that of the one who
// comes would be as long.
func (c *InFlight) shorten(comes *client) bool {
	var longest *client
	for _, cl := range c.clients {
		if len(cl.waiting) > 0 && (longest == nil || len(cl.waiting)*longest.weight > len(longest.waiting)*cl.weight) {
			longest = cl
		}
	}
	if longest == nil || len(longest.waiting)*comes.weight <= (len(comes.waiting)+1)*longest.weight {
		return false
	}
	last := len(longest.waiting) - 1
	longest.waiting[last].got <- false
	longest.waiting = longest.waiting[:last]
	c.queued--
	c.forget(longest)
	return true
}

// leave gives the slot to the waiting client that has the fewest.
func (c *InFlight) leave(cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl.running--
	c.running--
	var next *client
	for _, o := range c.clients {
		if len(o.waiting) == 0 {
			continue
		}
		if next == nil {
			next = o
			continue
		}
		a, b := o.running*next.weight, next.running*o.weight
		if a < b || (a == b && o.waiting[0].turn < next.waiting[0].turn) {
			next = o
		}
	}
	if next != nil {
		next.waiting[0].got <- true
		next.waiting = next.waiting[1:]
		next.running++
		c.running++
		c.queued--
	}
	c.forget(cl)
}

// await waits for the slot. Who gives up just as it comes takes it.
func (c *InFlight) await(ctx context.Context, cl *client, w *waiter) bool {
	t := time.NewTimer(c.wait)
	defer t.Stop()
	select {
	case got := <-w.got:
		return got
	case <-t.C:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, o := range cl.waiting {
		if o == w {
			cl.waiting = append(cl.waiting[:i:i], cl.waiting[i+1:]...)
			c.queued--
			c.forget(cl)
			return false
		}
	}
	return <-w.got
}

func (c *InFlight) forget(cl *client) {
	if cl.running == 0 && len(cl.waiting) == 0 {
		delete(c.clients, cl.holder)
	}
}

// Handler answers 503 with Retry-After when there is no slot in time.
func (c *InFlight) Handler(next http.Handler, page ErrorPage) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := share{weight: 1}
		q := of(r.Context())
		if q != nil && q.limiter != nil {
			s = q.limiter.share(q.client, q.cred, time.Now())
		}
		release, ok := c.acquire(r.Context(), s)
		if !ok {
			retryAfter(w.Header(), c.wait)
			Refuse(w, r, http.StatusServiceUnavailable, fault.Busy(nil), page)
			return
		}
		defer release()
		if q != nil {
			q.release = release
		}
		next.ServeHTTP(w, r)
	})
}
