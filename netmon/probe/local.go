package probe

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// localNets is what this machine's interfaces say: its own addresses and the
// broadcast addresses of its networks. It is read again when older than a
// minute, for interfaces change rarely and reading them costs a system call
// per interface.
var localNets struct {
	sync.Mutex
	read      time.Time
	own       map[netip.Addr]bool
	broadcast map[netip.Addr]bool
}

func isLocalBroadcast(a netip.Addr) bool { _, b := local(); return b[a] }

func isOwnAddress(a netip.Addr) bool { o, _ := local(); return o[a] }

func local() (own, broadcast map[netip.Addr]bool) {
	l := &localNets
	l.Lock()
	defer l.Unlock()
	if l.own != nil && time.Since(l.read) < time.Minute {
		return l.own, l.broadcast
	}
	own, broadcast = map[netip.Addr]bool{}, map[netip.Addr]bool{}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return own, broadcast
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(n.IP)
		ip = ip.Unmap()
		own[ip] = true
		bits, size := n.Mask.Size()
		if ip.Is4() && size == 32 && bits < 31 {
			broadcast[lastOf(netip.PrefixFrom(ip, bits))] = true
		}
	}
	l.own, l.broadcast, l.read = own, broadcast, time.Now()
	return own, broadcast
}

// lastOf is the highest address of an IPv4 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b)
}

// zoneIndex is the interface index of an IPv6 zone, 0 when there is none.
func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0
	}
	return uint32(ifi.Index)
}
