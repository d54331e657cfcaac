package probe

import (
	"context"

	probing "github.com/prometheus-community/pro-bing"
)

// SipHash16 lets the test compare with the published vectors.
func SipHash16(k0, k1, m0, m1 uint64) uint64 { return siphash16(k0, k1, m0, m1) }

// Hang makes every ping of p ignore its context until free is closed.
func Hang(p *Pinger, free <-chan struct{}) {
	p.run = func(context.Context, *probing.Pinger) error { <-free; return nil }
}
