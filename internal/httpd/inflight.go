package httpd

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"kelian/internal/fault"
)

// InFlight bounds the requests that run at once, so that a slow database
// makes answers late or refused but never piles requests up. Streams give
// their slot back (NewStream).
type InFlight struct {
	slots  chan struct{}
	queued atomic.Int64
	queue  int64
	wait   time.Duration
}

// NewInFlight lets run requests pass, queue more wait at most wait.
func NewInFlight(run, queue int, wait time.Duration) *InFlight {
	return &InFlight{slots: make(chan struct{}, run), queue: int64(queue), wait: wait}
}

// Running is the number of slots taken.
func (c *InFlight) Running() int { return len(c.slots) }

func (c *InFlight) acquire(r *http.Request) bool {
	select {
	case c.slots <- struct{}{}:
		return true
	default:
	}
	if c.queued.Add(1) > c.queue {
		c.queued.Add(-1)
		return false
	}
	defer c.queued.Add(-1)
	t := time.NewTimer(c.wait)
	defer t.Stop()
	select {
	case c.slots <- struct{}{}:
		return true
	case <-t.C:
	case <-r.Context().Done():
	}
	return false
}

// Handler answers 503 with Retry-After when there is no slot in time.
func (c *InFlight) Handler(next http.Handler, page ErrorPage) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.acquire(r) {
			retryAfter(w.Header(), c.wait)
			Refuse(w, r, http.StatusServiceUnavailable, fault.Busy(nil), page)
			return
		}
		release := sync.OnceFunc(func() { <-c.slots })
		defer release()
		if q := of(r.Context()); q != nil {
			q.release = release
		}
		next.ServeHTTP(w, r)
	})
}
