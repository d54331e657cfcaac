package probe

import "net/netip"

// Prefixes of IPv6 addresses that carry an IPv4 address to which somebody on
// the way (the kernel, a gateway, a relay) may send the packet.
var (
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291 §2.5.5.1, deprecated
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765 §2.1, SIIT
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052 §2.1
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056 §2
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380 §4
)

// forms lists every address that packets to a may end up at: a itself without
// mapping or zone first, then the IPv4 addresses hidden in it. All must pass
// the deny list; where the last is certain to be the destination an allowed
// network may name it instead of the IPv6 form.
func forms(a netip.Addr) []netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return []netip.Addr{a}
	}
	b := a.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case nat64.Contains(a), translated.Contains(a):
		return []netip.Addr{a, at(12)}
	case compatible.Contains(a) && !a.IsLoopback() && !a.IsUnspecified():
		return []netip.Addr{a, at(12)}
	case sixToFour.Contains(a):
		return []netip.Addr{a, at(2)}
	case nat64Local.Contains(a):
		// Where the IPv4 address stands depends on the site's prefix length
		// (RFC 6052 §2.2: /48, /56, /64 or /96); a is last, for none is certain.
		out := []netip.Addr{a}
		for _, v := range [][4]byte{{b[6], b[7], b[9], b[10]}, {b[7], b[9], b[10], b[11]},
			{b[9], b[10], b[11], b[12]}, {b[12], b[13], b[14], b[15]}} {
			if v[0] != 0 { // else certainly a wrong reading: no host is in 0/8
				out = append(out, netip.AddrFrom4(v))
			}
		}
		return append(out, a)
	case teredo.Contains(a):
		client := netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
		return []netip.Addr{a, at(4), client, a}
	case isISATAP(b):
		return []netip.Addr{a, at(12), a}
	}
	return []netip.Addr{a}
}

// isISATAP says whether the interface identifier is 0000:5efe or 0200:5efe and
// an IPv4 address (RFC 5214 §6.1).
func isISATAP(b [16]byte) bool {
	return b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}
