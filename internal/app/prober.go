package app

import (
	"net/netip"

	"kelian/netmon"
	"kelian/netmon/probe"
)

// newProber probes the real network, or one that can be cut. Registries of
// domains stand on the Internet: they are asked under a policy of their own.
func newProber(policy *probe.Policy, bootstrap string, own []netip.AddrPort, o Options) (*netmon.LiveProber, error) {
	p := netmon.ProberOptions{Policy: policy, Registry: bootstrap, RegistryPolicy: probe.NewPolicy(probe.PolicyOptions{Public: true, Own: own})}
	if o.Network != nil {
		p.Link, p.Wrap = o.Network, o.Network.Wrap
		p.Registry = "" // a network that is played knows no registry
	}
	return netmon.NewProber(p)
}
