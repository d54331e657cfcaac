// Package clock is the one source of business time. Leases and visibility use
// the database's own now() instead; no column is compared with both.
package clock

import (
	"sync"
	"time"
)

// Clock tells business time, always UTC and cut to microseconds, the precision
// that both databases keep.
type Clock interface{ Now() time.Time }

// System is the machine's clock.
type System struct{}

// Now implements Clock.
func (System) Now() time.Time { return Cut(time.Now()) }

// Cut is UTC in microseconds.
func Cut(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Later is the later one of two moments.
func Later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Fake is a clock that a test moves by hand.
type Fake struct {
	mu sync.Mutex
	t  time.Time
}

// NewFake starts a fake clock at t.
func NewFake(t time.Time) *Fake { return &Fake{t: Cut(t)} }

// Now implements Clock.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.t
}

// Advance moves the clock by d, which may be negative.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.t = Cut(f.t.Add(d))
}
