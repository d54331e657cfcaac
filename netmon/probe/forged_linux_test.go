package probe_test

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kelian/netmon/probe"
)

// attacker stands in for the hosts of a network whose kernel answers no echo:
// answer gets each request (from its ICMP header on) with its destination and
// returns the packets to send back.
type attacker struct {
	fd     int
	answer func(request []byte, to netip.Addr) []forged
}

type forged struct {
	from netip.Addr
	icmp []byte
}

func newAttacker(t *testing.T, answer func([]byte, netip.Addr) []forged) {
	t.Helper()
	sysctl(t, "net.ipv4.icmp_echo_ignore_all", "1")
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_HDRINCL, 1); err != nil {
		t.Fatal(err)
	}
	a := &attacker{fd: fd, answer: answer}
	go a.run()
	t.Cleanup(func() { _ = unix.Shutdown(fd, unix.SHUT_RDWR) })
}

func (a *attacker) run() {
	b := make([]byte, 2048)
	for {
		n, err := unix.Read(a.fd, b)
		if err != nil || n < 28 {
			return
		}
		if head := int(b[0]&15) * 4; b[head] == 8 {
			asker, asked := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
			for _, f := range a.answer(append([]byte(nil), b[head:n]...), asked) {
				a.send(f, asker)
			}
		}
	}
}

func (a *attacker) send(f forged, to netip.Addr) {
	src, dst := f.from.As4(), to.As4()
	head := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0} // the kernel fills lengths and checksum
	p := append(append(append(head, src[:]...), dst[:]...), sum(f.icmp)...)
	_ = unix.Sendto(a.fd, p, 0, &unix.SockaddrInet4{Addr: dst})
}

// sum sets the ICMP checksum.
func sum(b []byte) []byte {
	b[2], b[3] = 0, 0
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	b[2], b[3] = ^byte(s>>8), ^byte(s)
	return b
}

// reply makes the honest answer to a request.
func reply(request []byte) []byte {
	b := append([]byte(nil), request...)
	b[0] = 0
	return b
}

// unreachable makes a router's error that quotes n bytes of the request.
func unreachable(request []byte, to netip.Addr, n int) []byte {
	dst := to.As4()
	b := []byte{3, 1, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 84, 0, 0, 0, 0, 64, 1, 0, 0, 127, 0, 0, 1}
	return append(append(b, dst[:]...), request[:n]...)
}

// Only an answer to this very request counts, whoever sends it.
func TestForgedAndStaleAnswersAreIgnored(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		host := netip.MustParseAddr("127.10.0.1")
		other := netip.MustParseAddr("127.10.0.9")
		var kept []byte
		cases := []struct {
			name   string
			answer func(request []byte) []forged
			want   probe.State
			stray  int
		}{
			{"silence, and the request is kept", func(q []byte) []forged { kept = reply(q); return nil }, probe.Lost, 0},
			{"honest", func(q []byte) []forged { return []forged{{host, reply(q)}} }, probe.Reply, 0},
			{"answer to an earlier round", func([]byte) []forged { return []forged{{host, kept}} }, probe.Lost, 1},
			{"guessed token", func(q []byte) []forged {
				b := reply(q)
				b[12] ^= 1
				return []forged{{host, b}}
			}, probe.Lost, 1},
			{"no token", func(q []byte) []forged { return []forged{{host, reply(q)[:12]}} }, probe.Lost, 1},
			{"another target's position", func(q []byte) []forged {
				b := reply(q)
				b[11] = 200
				return []forged{{host, b}}
			}, probe.Lost, 1},
			{"from another host", func(q []byte) []forged { return []forged{{other, reply(q)}} }, probe.Lost, 1},
			{"router quotes all", func(q []byte) []forged { return []forged{{other, unreachable(q, host, len(q))}} }, probe.Unreachable, 0},
			{"router quotes eight bytes", func(q []byte) []forged { return []forged{{other, unreachable(q, host, 8)}} }, probe.Unreachable, 0},
			{"forged error, eight bytes", func(q []byte) []forged {
				b := unreachable(q, host, 8)
				b[30] ^= 1 // the quoted checksum
				return []forged{{other, b}}
			}, probe.Lost, 1},
			{"forged error about another host", func(q []byte) []forged {
				return []forged{{other, unreachable(q, other, len(q))}}
			}, probe.Lost, 1},
		}
		now := make(chan func([]byte) []forged, 1)
		newAttacker(t, func(q []byte, _ netip.Addr) []forged {
			return (<-now)(q)
		})
		s := mustOpen(t, probe.Options{Mode: probe.ModeRaw, Timeout: 300 * time.Millisecond})
		for _, c := range cases {
			now <- c.answer
			// The same epoch each time: two sweeps of one epoch differ too.
			r := sweep(t, s, 5, []probe.Target{{Addr: host}})
			if r.Outcomes[0].State != c.want || r.Stray != c.stray {
				t.Errorf("%s: %s with %d stray, want %s with %d", c.name, r.Outcomes[0].State, r.Stray, c.want, c.stray)
			}
			if c.want == probe.Unreachable && r.Outcomes[0].Router != other {
				t.Errorf("%s: router %s", c.name, r.Outcomes[0].Router)
			}
		}
	})
}

// A second answer is counted and changes nothing; an answer outweighs a
// router's word.
func TestSecondAnswers(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		silent, doubted := netip.MustParseAddr("127.10.0.2"), netip.MustParseAddr("127.10.0.3")
		newAttacker(t, func(q []byte, to netip.Addr) []forged {
			switch to {
			case silent: // keeps the round open
				return nil
			case doubted:
				return []forged{{silent, unreachable(q, to, len(q))}, {to, reply(q)}}
			}
			return []forged{{to, reply(q)}, {to, reply(q)}}
		})
		s := mustOpen(t, probe.Options{Mode: probe.ModeRaw, Timeout: 300 * time.Millisecond})
		r := sweep(t, s, 1, targetsOf("127.10.0.1", silent.String(), doubted.String()))
		if states(r) != "reply lost reply" || r.Duplicates != 1 || r.Received != 2 {
			t.Fatalf("%s: %+v", states(r), counts(r))
		}
	})
}
