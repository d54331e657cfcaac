//go:build !unix

package probe

import (
	"net"
	"net/netip"
)

// preflight asks the system for a route to addr by connecting a UDP socket,
// which sends nothing.
func preflight(addr netip.Addr) error {
	c, err := net.Dial("udp", netip.AddrPortFrom(addr, 9).String())
	if err != nil {
		return err
	}
	return c.Close()
}
