package probe

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control is what the control messages of one received packet say.
type control struct {
	stamp  int64 // kernel time, nanoseconds; 0 = none
	err    *unix.SockExtendedErr
	router netip.Addr // who sent the ICMP error that err is about
}

// parseControl walks the control messages of entry i of the in-batch.
func (c *conn) parseControl(i int) (out control) {
	const head = unix.SizeofCmsghdr
	b := c.in.ctls[i][:]
	b = b[:min(len(b), int(c.in.msgs[i].Hdr.Controllen))]
	for len(b) >= head {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		n := int(h.Len)
		if n < head || n > len(b) {
			return out
		}
		data := b[head:n]
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPING_NEW && len(data) >= 16:
			// struct scm_timestamping64: the first of three is the software stamp.
			out.stamp = int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
		case (h.Level == unix.SOL_IP && h.Type == unix.IP_RECVERR || h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_RECVERR) &&
			len(data) >= int(unsafe.Sizeof(unix.SockExtendedErr{})):
			out.err = (*unix.SockExtendedErr)(unsafe.Pointer(&data[0]))
			out.router = offender(data[unsafe.Sizeof(unix.SockExtendedErr{}):])
		}
		b = b[min(len(b), unix.CmsgSpace(n-head)):]
	}
	return out
}

// offender reads the sockaddr behind a sock_extended_err.
func offender(b []byte) netip.Addr {
	if len(b) < 8 {
		return netip.Addr{}
	}
	switch binary.NativeEndian.Uint16(b) {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(b[4:8]))
	case unix.AF_INET6:
		if len(b) >= 24 {
			return netip.AddrFrom16([16]byte(b[8:24]))
		}
	}
	return netip.Addr{}
}

// fullBuffer is how many batches one reading takes at most: more than a full
// receive buffer holds, yet a flood cannot keep a round from ending.
const fullBuffer = 256

// receive takes everything that has arrived for f.
func (s *sweep) receive(f *flight) {
	if f.raw && f.v6 {
		f.account()
	}
	s.readErrors(f)
	for range fullBuffer {
		n, errno := f.recv(0)
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 {
			// A router's refusal is pending on a ping socket.
			if s.readErrors(f) == 0 {
				return
			}
			continue
		}
		now := s.now()
		for i := range n {
			s.packet(f, i, now)
		}
		if n < recvBatch {
			return
		}
	}
}

// discard empties the socket before a round: late answers to earlier ones.
func (s *sweep) discard(f *flight) {
	for range fullBuffer {
		n, errno := f.recv(0)
		m, _ := f.recv(unix.MSG_ERRQUEUE)
		if n+m == 0 && errno == unix.EAGAIN {
			return
		}
	}
}

// packet judges entry i of the in-batch.
func (s *sweep) packet(f *flight, i int, now int64) {
	b := f.in.pkts[i][:]
	b = b[:min(len(b), int(f.in.msgs[i].Len))]
	if f.raw && !f.v6 && len(b) > 0 {
		b = b[min(len(b), int(b[0]&15)*4):]
	}
	if len(b) < icmpHeader {
		s.round.Stray++
		return
	}
	reply, gone, exceeded := byte(echoReply4), byte(unreachable4), byte(exceeded4)
	if f.v6 {
		reply, gone, exceeded = echoReply6, unreachable6, exceeded6
	}
	switch b[0] {
	case reply:
		s.reply(f, i, b, now)
	case gone, exceeded:
		s.quoted(f, b[icmpHeader:], f.addrOf(f.source(i)))
	default:
		s.round.Stray++
	}
}

// reply accepts an echo reply if its token, position and source are those of a
// probe of this round.
func (s *sweep) reply(f *flight, i int, b []byte, now int64) {
	if len(b) < icmpHeader+keyLen {
		s.round.Stray++
		return
	}
	pos := binary.BigEndian.Uint32(b[icmpHeader:])
	if int64(pos) >= int64(f.next) {
		s.round.Stray++
		return
	}
	p := &f.probes[pos]
	from := f.source(i)
	if binary.BigEndian.Uint64(b[icmpHeader+4:]) != p.token || from != p.addr {
		s.round.Stray++
		return
	}
	if link := s.e.opts.Link; link != nil && !link.Deliver(f.addrOf(from)) {
		return
	}
	if p.state == Reply {
		s.round.Duplicates++
		return
	}
	p.state = Reply
	p.rx = f.parseControl(i).stamp
	p.seen = now
	f.settled(pos)
}

// quoted takes an ICMP error as evidence if the packet that it quotes is a
// probe of this round: same destination, and same token or, where the router
// quotes only eight bytes, same checksum over it.
func (s *sweep) quoted(f *flight, b []byte, router netip.Addr) {
	var dst [16]byte
	switch {
	case f.v6 && len(b) >= 48:
		copy(dst[:], b[24:40])
		b = b[40:]
	case !f.v6 && len(b) >= 28 && len(b) >= int(b[0]&15)*4+icmpHeader:
		copy(dst[:4], b[16:20])
		b = b[int(b[0]&15)*4:]
	default:
		s.round.Stray++
		return
	}
	s.evidence(f, b, dst, router)
}

// evidence finds the probe whose ICMP header b begins with. The header holds
// only the lower half of its position.
func (s *sweep) evidence(f *flight, b []byte, dst [16]byte, router netip.Addr) {
	for pos := int(binary.BigEndian.Uint16(b[6:])); pos < f.next; pos += 1 << 16 {
		p := &f.probes[pos]
		if p.addr != dst || !ours(f, p, pos, b) {
			continue
		}
		if link := s.e.opts.Link; link != nil && !link.Deliver(f.addrOf(dst)) {
			return
		}
		if p.state == Lost {
			p.state = Unreachable
			s.round.Outcomes[p.target].Router = router
			f.settled(uint32(pos))
		}
		return
	}
	s.round.Stray++
}

// ours says whether b is the beginning of the request of p.
func ours(f *flight, p *probe, pos int, b []byte) bool {
	if len(b) >= icmpHeader+keyLen {
		return int(binary.BigEndian.Uint32(b[icmpHeader:])) == pos &&
			binary.BigEndian.Uint64(b[icmpHeader+4:]) == p.token
	}
	var want [icmpHeader + keyLen]byte
	want[0] = echoRequest4
	copy(want[4:8], b[4:8])
	binary.BigEndian.PutUint32(want[icmpHeader:], uint32(pos))
	binary.BigEndian.PutUint64(want[icmpHeader+4:], p.token)
	// With IPv6 the checksum covers addresses too; its routers quote in full.
	return !f.v6 && checksum(want[:]) == binary.BigEndian.Uint16(b[2:])
}

// readErrors takes the transmit stamps and, on a ping socket, the routers'
// refusals from the error queue, and says how many entries it read.
func (s *sweep) readErrors(f *flight) (total int) {
	if f.raw && s.e.opts.NoTXStamps {
		return 0
	}
	for range fullBuffer {
		n, errno := f.recv(unix.MSG_ERRQUEUE)
		if errno != 0 {
			return total
		}
		total += n
		for i := range n {
			c := f.parseControl(i)
			if c.err == nil {
				continue
			}
			switch c.err.Origin {
			case unix.SO_EE_ORIGIN_TIMESTAMPING:
				f.stamp(c.err.Data, c.stamp)
			case unix.SO_EE_ORIGIN_ICMP, unix.SO_EE_ORIGIN_ICMP6:
				s.refusal(f, i, c)
			}
		}
		if n < recvBatch {
			break
		}
	}
	return total
}

// refusal is an ICMP error from the error queue: the packet begins with our
// own header, the address is its destination.
func (s *sweep) refusal(f *flight, i int, c control) {
	t := c.err.Type
	if f.v6 && t != unreachable6 && t != exceeded6 || !f.v6 && t != unreachable4 && t != exceeded4 {
		return
	}
	b := f.in.pkts[i][:]
	b = b[:min(len(b), int(f.in.msgs[i].Len))]
	if len(b) < icmpHeader {
		s.round.Stray++
		return
	}
	s.evidence(f, b, f.source(i), c.router)
}

// stamp notes when the kernel handed a probe to the network device. A stamp
// older than the call that sent the probe means that numbers and probes no
// longer match, as when the kernel used up a number for a packet it refused.
func (f *flight) stamp(number uint32, at int64) {
	if f.skewed || at == 0 || int64(number) >= int64(len(f.byStamp)) {
		return
	}
	p := &f.probes[f.byStamp[number]]
	switch {
	case p.tx < 0 && at >= -p.tx:
		p.tx = at
	case p.tx < 0:
		f.skewed = true
	}
}

// settle turns the probes of f into outcomes; in a round cut short those still
// waiting have none.
func (s *sweep) settle(f *flight, cut bool) {
	for i := range f.probes {
		p := &f.probes[i]
		o := &s.round.Outcomes[p.target]
		o.State, o.After = p.state, time.Duration(p.sent)
		if cut && !p.answered {
			o.State = Unknown
		}
		if p.state != Reply {
			continue
		}
		if p.tx < 0 {
			s.round.Unstamped++
			p.tx = -p.tx
		}
		// Between the call that sent it and the call that read the answer; a
		// time outside means that the clock was set in between.
		most := p.seen - p.sent
		rtt := p.rx - p.tx
		if p.rx == 0 || rtt < 0 || rtt > most+int64(time.Millisecond) {
			rtt = most
		}
		if rtt > int64(s.e.opts.Timeout) {
			o.State = Lost
			s.round.Late++
			continue
		}
		o.RTT = time.Duration(rtt)
	}
}
