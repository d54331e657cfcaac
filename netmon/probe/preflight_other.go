//go:build !unix

package probe

import (
	"net"
	"net/netip"
)

// preflight asks the system for a route to addr by connecting a UDP socket,
// which sends nothing, and gives the address that packets would come from.
func preflight(addr netip.Addr) (source netip.Addr, err error) {
	c, err := net.Dial("udp", netip.AddrPortFrom(addr, 9).String())
	if err != nil {
		return source, err
	}
	if a, ok := c.LocalAddr().(*net.UDPAddr); ok {
		source = a.AddrPort().Addr().Unmap().WithZone("")
	}
	return source, c.Close()
}
