package probe

import (
	"net/netip"
	"slices"
	"syscall"

	"kelian/internal/fault"
)

// AllowSetting is the setting that a refusal tells the reader to change.
const AllowSetting = "KELIAN_PROBE_NETS"

// ReasonNotAllowed marks a Policy's refusals.
const ReasonNotAllowed = "TARGET_NOT_ALLOWED"

// PolicyOptions of a Policy. The zero value allows nothing.
type PolicyOptions struct {
	// Allow lists the networks that may be probed.
	Allow []netip.Prefix
	// Public opens the addresses of the Internet that anybody may have, for
	// messages to servers of others.
	Public bool
	// AllowLoopback opens 127.0.0.0/8 and ::1, for the demo and tests.
	AllowLoopback bool
	// Own lists Kelian's own services (listeners, database, Redis), refused
	// even inside Allow. An unspecified address means every address of this
	// machine; port 0 means every port.
	Own []netip.AddrPort
}

// Policy decides which addresses may be probed. It is asked about the resolved
// address at the moment of dialling, so neither a spelling nor a name whose
// answer changes gets around it. It is read-only and safe for concurrent use.
type Policy struct {
	allow    []netip.Prefix
	public   bool
	loopback bool
	own      []netip.AddrPort
}

// NewPolicy makes a Policy.
func NewPolicy(o PolicyOptions) *Policy {
	p := &Policy{public: o.Public, loopback: o.AllowLoopback}
	for _, n := range o.Allow {
		if n.Addr().Is4In6() && n.Bits() >= 96 {
			n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
		}
		p.allow = append(p.allow, n.Masked())
	}
	for _, s := range o.Own {
		p.own = append(p.own, netip.AddrPortFrom(s.Addr().Unmap().WithZone(""), s.Port()))
	}
	return p
}

// Check says whether the service may be probed: nil, or a refusal that names
// the fix.
func (p *Policy) Check(to netip.AddrPort) error {
	if err := p.CheckAddr(to.Addr()); err != nil {
		return err
	}
	for _, a := range forms(to.Addr()) {
		if p.isOwn(a, to.Port()) {
			return refuse(to.String(), "这是科联自己的服务，不能作为检测目标：请换一个地址",
				"this is a service of Kelian itself and never a target: choose another address")
		}
	}
	return nil
}

// CheckAddr says whether the address may be pinged.
func (p *Policy) CheckAddr(a netip.Addr) error {
	name := a.String()
	if !a.IsValid() {
		return refuse(name, "不是有效的地址", "not an address")
	}
	all := forms(a)
	for _, f := range all {
		if why := p.never(f); why != nil {
			return refuse(name, why[0], why[1])
		}
	}
	for _, n := range p.allow {
		// The last form is what the packets end up at.
		if n.Contains(all[0]) || n.Contains(all[len(all)-1]) {
			return nil
		}
	}
	if p.loopback && all[0].IsLoopback() {
		return nil
	}
	if p.public && !slices.ContainsFunc(all, special) {
		return nil
	}
	return refuse(name, "不在允许检测的网段内：请管理员把它所在的网段加入 "+AllowSetting,
		"not inside the networks that may be probed: ask the operator to add its network to "+AllowSetting)
}

func refuse(what, zh, en string) *fault.Error {
	return fault.Refuse(ReasonNotAllowed, what+"："+zh, what+": "+en)
}

// isOwn says whether the address and port are one of Kelian's own services.
func (p *Policy) isOwn(a netip.Addr, port uint16) bool {
	for _, s := range p.own {
		if s.Port() != 0 && s.Port() != port {
			continue
		}
		if s.Addr() == a || s.Addr().IsUnspecified() && (a.IsLoopback() || isOwnAddress(a)) {
			return true
		}
	}
	return false
}

// Addresses that hand out a cloud machine's credentials to whoever asks from
// it: AWS, Azure, GCP and most others; Alibaba; Oracle; AWS and GCP on IPv6.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"): true,
	netip.MustParseAddr("100.100.100.200"): true,
	netip.MustParseAddr("192.0.0.192"):     true,
	netip.MustParseAddr("fd00:ec2::254"):   true,
	netip.MustParseAddr("fd20:ce::254"):    true,
}

// Networks in which no server of the Internet stands, beside those that
// netip.Addr knows: RFC 6890 §2.2, RFC 4291 §2.5.7.
var specials = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001:2::/48"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"), netip.MustParsePrefix("fec0::/10"),
}

func special(a netip.Addr) bool {
	return !a.IsGlobalUnicast() || a.IsPrivate() || slices.ContainsFunc(specials, func(n netip.Prefix) bool { return n.Contains(a) })
}

var thisNetwork = netip.MustParsePrefix("0.0.0.0/8") // RFC 1122 §3.2.1.3: Linux takes it for itself

// never says in zh and en why an address is refused whatever Allow says.
func (p *Policy) never(a netip.Addr) []string {
	switch {
	case metadata[a]:
		return []string{"云主机元数据地址，永不检测", "a cloud metadata address, never probed"}
	case a.IsLoopback() && !p.loopback:
		return []string{"本机回环地址，不能作为检测目标：请填写主机在校园网里的地址",
			"a loopback address, never a target: give the host's address on the network"}
	case a.IsLinkLocalUnicast():
		return []string{"链路本地地址，不能作为检测目标：请填写可路由的地址",
			"a link-local address, never a target: give a routable one"}
	case a.IsUnspecified(), thisNetwork.Contains(a):
		return []string{"空地址，不能作为检测目标", "the unspecified address is no target"}
	case a.IsMulticast():
		return []string{"组播地址，不能作为检测目标", "a multicast address is no target"}
	case a == limitedBroadcast, isLocalBroadcast(a):
		return []string{"广播地址，不能作为检测目标", "a broadcast address is no target"}
	}
	return nil
}

// control is a net.Dialer.Control: the last look at the address before the
// connection is made.
func (p *Policy) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return refuse(address, "不是有效的地址", "not an address")
	}
	return p.Check(to)
}
