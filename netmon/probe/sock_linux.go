package probe

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	sendBatch = 32 // more saves little and makes bursts
	// plainBatch applies without transmit stamps, where all probes of a batch
	// share one user-space stamp: their times are too long by half its length.
	plainBatch = 8
	recvBatch  = 256

	icmpHeader = 8
	// payloadLen is what ping and fping send: 84 bytes on the wire with IPv4.
	payloadLen = 56
	packetLen  = icmpHeader + payloadLen
	// keyLen bytes of the payload matter: the probe's position, then its token.
	keyLen = 12

	// replyCost is about what one answer is charged to the receive buffer with,
	// and stampCost one transmit stamp, which waits in the same buffer: the
	// kernel counts its bookkeeping too (skb truesize).
	replyCost, stampCost = 1024, 1024

	echoRequest4, echoReply4, unreachable4, exceeded4 = 8, 0, 3, 11
	echoRequest6, echoReply6, unreachable6, exceeded6 = 128, 129, 1, 3
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	Hdr unix.Msghdr
	Len uint32
}

// conn is one ICMP socket, of one family, with its batches of packet buffers.
type conn struct {
	fd      int
	v6, raw bool
	ident   uint16 // ours in raw mode; the kernel's own choice on a ping socket
	stamps  int    // SO_TIMESTAMPING flags
	window  int    // answers that the receive buffer holds
	buffer  int    // the receive buffer, as the kernel counts it
	lost    int    // packets that the kernel threw away because the buffer was full
	counted int    // the kernel's count of packets thrown away, as last read
	out     outBatch
	in      inBatch
}

type outBatch struct {
	pkts  [sendBatch][packetLen]byte
	names [sendBatch]unix.RawSockaddrInet6 // room for either family
	iovs  [sendBatch]unix.Iovec
	msgs  [sendBatch]mmsghdr
}

type inBatch struct {
	pkts  [recvBatch][192]byte
	names [recvBatch]unix.RawSockaddrInet6
	ctls  [recvBatch][160]byte
	iovs  [recvBatch]unix.Iovec
	msgs  [recvBatch]mmsghdr
	dirty int // entries the kernel has written to since they were made ready
}

// openConn opens a raw or ping socket and sets it up.
func openConn(v6, raw bool, o Options) (*conn, error) {
	family, proto, kind := unix.AF_INET, unix.IPPROTO_ICMP, unix.SOCK_DGRAM
	if v6 {
		family, proto = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	if raw {
		kind = unix.SOCK_RAW
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return nil, err
	}
	c := &conn{fd: fd, v6: v6, raw: raw, ident: uint16(rand.Uint32())}
	if err := c.setUp(o); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	c.wire()
	return c, nil
}

func (c *conn) setUp(o Options) error {
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, o.ReceiveBuffer) != nil {
		// Without CAP_NET_ADMIN the kernel cuts to net.core.rmem_max; the
		// window below then keeps to what was granted.
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, o.ReceiveBuffer)
	}
	granted, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return err
	}
	cost := replyCost + stampCost
	if o.NoTXStamps {
		cost = replyCost
	}
	c.window, c.buffer = max(1, granted/cost), granted
	if o.Window > 0 {
		c.window = o.Window
	}
	if unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20) != nil {
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	}
	c.stamps = unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_RX_SOFTWARE
	if !o.NoTXStamps {
		c.stamps |= unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_TSONLY
	}
	if err := c.resetStamps(); err != nil {
		return err
	}
	if c.raw {
		return c.filter()
	}
	// A ping socket hears of routers' refusals through its error queue.
	if c.v6 {
		return unix.SetsockoptInt(c.fd, unix.SOL_IPV6, unix.IPV6_RECVERR, 1)
	}
	return unix.SetsockoptInt(c.fd, unix.SOL_IP, unix.IP_RECVERR, 1)
}

// resetStamps makes the kernel number transmit stamps from 0 again, which it
// does when OPT_ID goes from off to on.
func (c *conn) resetStamps() error {
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, c.stamps); err != nil {
		return err
	}
	if c.stamps&unix.SOF_TIMESTAMPING_TX_SOFTWARE == 0 {
		return nil
	}
	return unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, c.stamps|unix.SOF_TIMESTAMPING_OPT_ID)
}

// filter lets only answers to our own ident into a raw socket, which otherwise
// gets a copy of every ICMP packet of the machine.
func (c *conn) filter() error {
	var prog []bpf.Instruction
	if c.v6 {
		f := unix.ICMPv6Filter{}
		for i := range f.Data {
			f.Data[i] = ^uint32(0)
		}
		for _, t := range []int{echoReply6, unreachable6, exceeded6} {
			f.Data[t/32] &^= 1 << (t % 32)
		}
		if err := unix.SetsockoptICMPv6Filter(c.fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f); err != nil {
			return err
		}
		prog = c.filter6()
	} else {
		const icmpFilter = 1 // ICMP_FILTER of linux/icmp.h: a set bit blocks the type
		blocked := ^(uint32(1)<<echoReply4 | 1<<unreachable4 | 1<<exceeded4)
		if err := unix.SetsockoptInt(c.fd, unix.SOL_RAW, icmpFilter, int(int32(blocked))); err != nil {
			return err
		}
		prog = c.filter4()
	}
	code, err := bpf.Assemble(prog)
	if err != nil {
		return err
	}
	ins := make([]unix.SockFilter, len(code))
	for i, p := range code {
		ins[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	return unix.SetsockoptSockFprog(c.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(ins)), Filter: &ins[0]})
}

// filter4 sees the packet from its IP header on. Errors quote our own header
// behind an outer one that is taken to have no options; routers send none.
func (c *conn) filter4() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: echoReply4, SkipTrue: 2},
		bpf.LoadIndirect{Off: 4, Size: 2},
		bpf.Jump{Skip: 2},
		bpf.LoadMemShift{Off: 20 + icmpHeader},
		bpf.LoadIndirect{Off: 20 + icmpHeader + 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(c.ident), SkipFalse: 1},
		bpf.RetConstant{Val: 0xffff},
		bpf.RetConstant{Val: 0},
	}
}

// filter6 sees the packet from its ICMPv6 header on.
func (c *conn) filter6() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: echoReply6, SkipTrue: 2},
		bpf.LoadAbsolute{Off: 4, Size: 2},
		bpf.Jump{Skip: 1},
		bpf.LoadAbsolute{Off: icmpHeader + 40 + 4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(c.ident), SkipFalse: 1},
		bpf.RetConstant{Val: 0xffff},
		bpf.RetConstant{Val: 0},
	}
}

// wire points the message headers at their buffers, once.
func (c *conn) wire() {
	o, in := &c.out, &c.in
	nameLen := uint32(unix.SizeofSockaddrInet4)
	if c.v6 {
		nameLen = unix.SizeofSockaddrInet6
	}
	for i := range o.msgs {
		o.iovs[i].Base = &o.pkts[i][0]
		o.iovs[i].SetLen(packetLen)
		h := &o.msgs[i].Hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&o.names[i])), nameLen
		h.Iov = &o.iovs[i]
		h.SetIovlen(1)
	}
	for i := range in.msgs {
		in.iovs[i].Base = &in.pkts[i][0]
		in.iovs[i].SetLen(len(in.pkts[i]))
		h := &in.msgs[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		h.Iov = &in.iovs[i]
		h.SetIovlen(1)
		h.Control = &in.ctls[i][0]
	}
	in.dirty = recvBatch
}

// put writes the echo request of a probe into slot i.
func (c *conn) put(i int, p *probe, pos uint32, scope uint32) {
	b := c.out.pkts[i][:]
	b[0] = echoRequest4
	if c.v6 {
		b[0] = echoRequest6
	}
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint16(b[4:], c.ident)
	binary.BigEndian.PutUint16(b[6:], uint16(pos))
	binary.BigEndian.PutUint32(b[icmpHeader:], pos)
	binary.BigEndian.PutUint64(b[icmpHeader+4:], p.token)
	name := &c.out.names[i]
	if c.v6 {
		// The kernel fills in the checksum, which covers its choice of source.
		*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: p.addr, Scope_id: scope}
		return
	}
	binary.BigEndian.PutUint16(b[2:], checksum(b[:icmpHeader+keyLen]))
	n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
	n4.Family = unix.AF_INET
	n4.Addr = [4]byte(p.addr[:4])
}

// send hands the first n slots to the kernel and says how many it took; with
// an errno none, and the error is the first packet's.
func (c *conn) send(n int) (int, unix.Errno) {
	sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(c.fd),
		uintptr(unsafe.Pointer(&c.out.msgs[0])), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sent), 0
}

// recv fills the in-batch, from the error queue with flag MSG_ERRQUEUE.
func (c *conn) recv(flag int) (int, unix.Errno) {
	in := &c.in
	for i := range in.msgs[:in.dirty] {
		h := &in.msgs[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(len(in.ctls[i]))
		h.Flags = 0
	}
	in.dirty = 0
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.fd),
		uintptr(unsafe.Pointer(&in.msgs[0])), recvBatch, uintptr(unix.MSG_DONTWAIT|flag), 0, 0)
	if errno != 0 {
		// The kernel may have written to the first entry before it failed.
		in.dirty = 1
		return 0, errno
	}
	in.dirty = min(int(n)+1, recvBatch)
	return int(n), 0
}

// account reads how many packets the kernel has thrown away. A raw socket also
// counts ICMPv6 packets with a wrong checksum, which anybody can send; so on
// such a socket this is asked before each reading, when the buffer is as full
// as it gets: if there was room, it was not that.
func (c *conn) account() {
	const ample = 4 << 10 // more than one packet takes
	taken, drops := c.memory()
	if !c.raw || !c.v6 || taken > c.buffer/2 || c.buffer-taken < ample {
		c.lost += drops - c.counted
	}
	c.counted = drops
}

// memory is how much of the receive buffer is taken, and the packets dropped.
func (c *conn) memory() (taken, drops int) {
	var mem [unix.SK_MEMINFO_VARS]uint32
	size := uint32(unsafe.Sizeof(mem))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(c.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&mem)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, c.counted
	}
	return int(mem[unix.SK_MEMINFO_RMEM_ALLOC]), int(mem[unix.SK_MEMINFO_DROPS])
}

// checksum is the Internet checksum (RFC 1071) of b, whose length is even.
func checksum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// addrOf makes a netip.Addr of a probe's address bytes.
func (c *conn) addrOf(b [16]byte) netip.Addr {
	if c.v6 {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}

// source is the address bytes of the sender of entry i of the in-batch.
func (c *conn) source(i int) (b [16]byte) {
	if c.v6 {
		return c.in.names[i].Addr
	}
	n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&c.in.names[i]))
	copy(b[:], n4.Addr[:])
	return b
}
