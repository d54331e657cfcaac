package probe_test

import (
	"net/netip"
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/netmon/probe"
)

func prefixes(ps ...string) (out []netip.Prefix) {
	for _, p := range ps {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// campus allows generously, so that what is refused is refused by the rules
// that nothing overrides.
func campus(loopback bool) *probe.Policy {
	return probe.NewPolicy(probe.PolicyOptions{
		Allow: prefixes("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "192.0.0.0/24", "0.0.0.0/8", "127.0.0.0/8",
			"224.0.0.0/4", "240.0.0.0/4", "fd00::/8", "fe80::/10", "ff00::/8", "::/96", "64:ff9b::/96",
			"64:ff9b:1::/48", "2002::/16", "2001::/32", "2001:db8::/32", "::ffff:172.16.0.0/108"),
		AllowLoopback: loopback,
		Own: []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:5432"), netip.MustParseAddrPort("10.9.9.10:0"),
			netip.MustParseAddrPort("0.0.0.0:8080"), netip.MustParseAddrPort("[fd00::9]:6379")},
	})
}

func TestPolicyTable(t *testing.T) {
	p, demo := campus(false), campus(true)
	for _, c := range []struct {
		to   string
		ok   bool
		demo bool // the answer where loopback is allowed
	}{
		{"10.1.2.3:443", true, true},
		{"[::ffff:10.1.2.3]:443", true, true},
		{"172.16.5.5:80", true, true}, // allowed in its mapped spelling
		{"[fd00::1]:443", true, true},
		{"[2001:db8::1]:443", true, true},
		{"[64:ff9b::10.1.2.3]:443", true, true},
		{"[64:ff9b::a01:203]:443", true, true},
		{"[2002:a01:203::1]:443", true, true},

		{"8.8.8.8:53", false, false}, // not in the list
		{"192.168.1.1:80", false, false},
		{"[2600::1]:443", false, false},

		{"127.0.0.1:80", false, true},
		{"127.1.2.3:80", false, true},
		{"127.255.255.254:80", false, true},
		{"[::1]:80", false, true},
		{"[::ffff:127.0.0.1]:80", false, true},
		{"[::ffff:7f00:1]:80", false, true},
		{"[0:0:0:0:0:ffff:7f00:0001]:80", false, true},
		{"127.255.255.255:80", false, false}, // the broadcast address of lo

		{"[64:ff9b::127.0.0.1]:80", false, true},
		{"[64:ff9b::7f00:1]:80", false, true},
		{"[::127.0.0.1]:80", false, true},
		{"[2002:7f00:1::]:80", false, true},
		{"[::ffff:0:127.0.0.1]:80", false, true}, // SIIT
		{"[2001:0:7f00:1::1]:80", false, true},   // Teredo server
		{"[2001:0:a01:203::80ff:fffe]:80", false, true},
		{"[fd00::5efe:127.0.0.1]:80", false, true}, // ISATAP
		{"[fd00::200:5efe:127.0.0.1]:80", false, true},
		{"[64:ff9b:1::127.0.0.1]:80", false, true},
		{"[64:ff9b:1:7f00:0:100::]:80", false, true},
		{"[64:ff9b:1::10.1.2.3]:80", true, true},

		{"169.254.169.254:80", false, false},
		{"[::ffff:169.254.169.254]:80", false, false},
		{"[64:ff9b::169.254.169.254]:80", false, false},
		{"[64:ff9b::a9fe:a9fe]:80", false, false},
		{"[2002:a9fe:a9fe::1]:80", false, false},
		{"[::169.254.169.254]:80", false, false},
		{"[fd00::5efe:169.254.169.254]:80", false, false},
		{"[64:ff9b:1:a9fe:a9:fe00::]:80", false, false},
		{"[2001:0:a01:203::5601:5601]:80", false, false}, // Teredo client, inverted
		{"100.100.100.200:80", false, false},
		{"[::ffff:100.100.100.200]:80", false, false},
		{"192.0.0.192:80", false, false},
		{"[fd00:ec2::254]:80", false, false},
		{"[fd20:ce::254]:80", false, false},

		{"169.254.1.1:80", false, false},
		{"[fe80::1]:80", false, false},
		{"[fe80::1%eth0]:80", false, false},

		{"0.0.0.0:80", false, false},
		{"0.1.2.3:80", false, false},
		{"[::]:80", false, false},
		{"[::ffff:0.0.0.0]:80", false, false},
		{"[64:ff9b::0.0.0.0]:80", false, false},

		{"224.0.0.1:80", false, false},
		{"239.255.255.250:1900", false, false},
		{"[ff02::1]:80", false, false},
		{"[ff02::1%lo]:80", false, false},
		{"[64:ff9b::224.0.0.1]:80", false, false},
		{"255.255.255.255:80", false, false},
		{"[::ffff:255.255.255.255]:80", false, false},
		{"[2002:ffff:ffff::1]:80", false, false},

		{"10.9.9.9:5432", false, false},
		{"10.9.9.9:80", true, true},
		{"[::ffff:10.9.9.9]:5432", false, false},
		{"[64:ff9b::10.9.9.9]:5432", false, false},
		{"10.9.9.10:1", false, false},
		{"127.0.0.1:8080", false, false},
		{"127.9.9.9:8080", false, false},
		{"[::1]:8080", false, false},
		{"[fd00::9]:6379", false, false},
		{"[fd00::9%eth0]:6379", false, false},
	} {
		to := netip.MustParseAddrPort(c.to)
		if err := p.Check(to); (err == nil) != c.ok {
			t.Errorf("%s: %v, want allowed = %v", c.to, err, c.ok)
		}
		if err := demo.Check(to); (err == nil) != c.demo {
			t.Errorf("%s with loopback allowed: %v, want allowed = %v", c.to, err, c.demo)
		}
	}
	if err := p.Check(netip.AddrPort{}); err == nil {
		t.Error("no address at all is allowed")
	}
}

func TestPolicyRefusalsNameTheFix(t *testing.T) {
	nothing := probe.NewPolicy(probe.PolicyOptions{})
	err := nothing.CheckAddr(netip.MustParseAddr("10.1.2.3"))
	f, ok := fault.As(err)
	if !ok || f.Reason != probe.ReasonNotAllowed {
		t.Fatalf("an empty policy says %v", err)
	}
	for _, text := range []string{f.Zh, f.En} {
		if !strings.Contains(text, "10.1.2.3") || !strings.Contains(text, probe.AllowSetting) {
			t.Errorf("%q names neither the address nor the setting", text)
		}
	}
	// Loopback stays shut when the demo's switch is off, and opens with it
	// although no network is allowed.
	if nothing.CheckAddr(netip.MustParseAddr("127.0.0.1")) == nil {
		t.Error("loopback is open by default")
	}
	if err := probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true}).CheckAddr(netip.MustParseAddr("127.0.0.1")); err != nil {
		t.Errorf("loopback with its switch on: %v", err)
	}
}

// Posts to others' servers go to addresses that anybody may have, and to
// nothing else that is not allowed by name.
func TestPublicAddresses(t *testing.T) {
	p := probe.NewPolicy(probe.PolicyOptions{Public: true, Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	for to, ok := range map[string]bool{
		"8.8.8.8:443": true, "[2600::1]:443": true, "[::ffff:8.8.8.8]:443": true, "[64:ff9b::8.8.8.8]:443": true, "10.1.2.3:443": true,
		"10.2.0.1:443": false, "172.16.0.1:443": false, "192.168.0.1:443": false, "100.64.0.1:443": false, "100.100.100.200:443": false, "127.0.0.1:443": false,
		"169.254.1.1:443": false, "0.0.0.0:443": false, "224.0.0.1:443": false, "240.0.0.1:443": false, "255.255.255.255:443": false, "192.0.2.1:443": false,
		"198.18.0.1:443": false, "[::1]:443": false, "[fd00::1]:443": false, "[fe80::1]:443": false, "[fec0::1]:443": false, "[2001:db8::1]:443": false,
		"[::ffff:192.168.0.1]:443": false, "[64:ff9b::192.168.0.1]:443": false, "[2002:c0a8:1::1]:443": false,
	} {
		if err := p.Check(netip.MustParseAddrPort(to)); (err == nil) != ok {
			t.Errorf("%s: %v", to, err)
		}
	}
}
