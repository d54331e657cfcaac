//go:build unix

package probe

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// preflight asks the kernel for a route to addr by connecting a UDP socket,
// which sends nothing, and gives the address that packets would come from. The
// socket has no SO_BROADCAST, so a broadcast address of any of this machine's
// networks is refused too.
func preflight(addr netip.Addr) (source netip.Addr, err error) {
	family := unix.AF_INET
	var to unix.Sockaddr = &unix.SockaddrInet4{Port: 9, Addr: v4Bytes(addr)}
	if addr.Is6() {
		family = unix.AF_INET6
		to = &unix.SockaddrInet6{Port: 9, Addr: addr.As16(), ZoneId: zoneIndex(addr.Zone())}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return source, err
	}
	defer func() { _ = unix.Close(fd) }()
	unix.CloseOnExec(fd)
	if err := unix.Connect(fd, to); err != nil {
		return source, err
	}
	own, err := unix.Getsockname(fd)
	switch a := own.(type) {
	case *unix.SockaddrInet4:
		source = netip.AddrFrom4(a.Addr)
	case *unix.SockaddrInet6:
		source = netip.AddrFrom16(a.Addr)
	}
	return source, err
}

func v4Bytes(a netip.Addr) (b [4]byte) {
	if a.Is4() {
		b = a.As4()
	}
	return b
}
