package app

import (
	"kelian/netmon"
	"kelian/netmon/probe"
)

// newProber probes the real network, or one that can be cut.
func newProber(policy *probe.Policy, o Options) (*netmon.LiveProber, error) {
	p := netmon.ProberOptions{Policy: policy}
	if o.Network != nil {
		p.Link, p.Wrap = o.Network, o.Network.Wrap
	}
	return netmon.NewProber(p)
}
