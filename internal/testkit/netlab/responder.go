//go:build linux

package netlab

import (
	"container/heap"
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Echo is an echo request that came to a Responder.
type Echo struct {
	From, To netip.Addr
	Before   int // requests to this address before this one
}

// Reply is what a Responder sends for it; the zero value is an honest answer
// at once.
type Reply struct {
	After  time.Duration
	From   netip.Addr        // not valid = the host that was asked
	Router bool              // From says that the host cannot be reached
	Alter  func(icmp []byte) // changes the message before its checksum is set
	BadSum bool              // the checksum is wrong
}

// Behaviour decides what comes back; nothing means silence. It is called by one
// goroutine.
type Behaviour func(Echo) []Reply

// Responder stands in for every address that is routed to its TUN device.
type Responder struct {
	tun *os.File

	mu      sync.Mutex
	how     Behaviour
	asked   map[netip.Addr]int
	queue   queue
	wake    chan struct{}
	stopped chan struct{}
}

type answer struct {
	due    time.Time
	packet []byte
}

// queue is a heap of answers, the earliest first.
type queue []answer

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(answer)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// NewResponder makes a TUN device in this namespace, routes the networks to it
// and answers as how says.
func NewResponder(dev string, how Behaviour, nets ...string) (*Responder, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	var req struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(req.name[:], dev)
	req.flags = unix.IFF_TUN | unix.IFF_NO_PI
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&req))); errno != 0 {
		_ = unix.Close(fd)
		return nil, errno
	}
	r := &Responder{tun: os.NewFile(uintptr(fd), dev), how: how, asked: map[netip.Addr]int{}, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	// The device's own queue must hold what comes while this process waits.
	lines := []string{"link set " + dev + " txqueuelen 100000 up"}
	for _, n := range nets {
		lines = append(lines, "route add "+n+" dev "+dev)
	}
	for _, l := range lines {
		args := strings.Fields(l)
		if strings.Contains(l, "::") {
			args = append([]string{"-6"}, args...)
		}
		if out, err := exec.CommandContext(context.Background(), "ip", args...).CombinedOutput(); err != nil {
			_ = r.tun.Close()
			return nil, errors.New(l + ": " + string(out))
		}
	}
	go r.read()
	go r.write()
	return r, nil
}

// Close takes the device away.
func (r *Responder) Close() {
	close(r.stopped)
	_ = r.tun.Close()
}

// Behave changes what comes back from now on.
func (r *Responder) Behave(how Behaviour) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.how, r.asked = how, map[netip.Addr]int{}
}

// Asked is the number of requests since the behaviour was set.
func (r *Responder) Asked() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.asked {
		n += k
	}
	return n
}

func (r *Responder) read() {
	b := make([]byte, 2048)
	for {
		n, err := r.tun.Read(b)
		if err != nil {
			return
		}
		now := time.Now()
		if e, icmp, ok := request(b[:n]); ok {
			r.take(e, icmp, slices.Clone(b[:n]), now)
		}
	}
}

func (r *Responder) take(e Echo, icmp int, packet []byte, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Before = r.asked[e.To]
	r.asked[e.To]++
	for _, a := range r.how(e) {
		heap.Push(&r.queue, answer{now.Add(a.After), respond(e, a, packet, packet[icmp:])})
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// write sends what is due. The runtime's timers are a millisecond late at
// times, so the last stretch is slept by the kernel.
func (r *Responder) write() {
	for {
		r.mu.Lock()
		now := time.Now()
		wait := time.Hour
		if len(r.queue) > 0 {
			if wait = r.queue[0].due.Sub(now); wait <= 0 {
				a := heap.Pop(&r.queue).(answer)
				r.mu.Unlock()
				if _, err := r.tun.Write(a.packet); errors.Is(err, os.ErrClosed) {
					return
				}
				continue
			}
		}
		r.mu.Unlock()
		if wait <= 2*time.Millisecond {
			ts := unix.NsecToTimespec(int64(wait))
			_ = unix.Nanosleep(&ts, nil)
			continue
		}
		timer := time.NewTimer(wait - time.Millisecond)
		select {
		case <-r.stopped:
			return
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// request takes an echo request apart; icmp is where its message begins.
func request(b []byte) (e Echo, icmp int, ok bool) {
	switch {
	case len(b) >= 28 && b[0]>>4 == 4 && b[9] == unix.IPPROTO_ICMP:
		icmp = int(b[0]&15) * 4
		e = Echo{From: netip.AddrFrom4([4]byte(b[12:16])), To: netip.AddrFrom4([4]byte(b[16:20]))}
		return e, icmp, len(b) >= icmp+8 && b[icmp] == 8
	case len(b) >= 48 && b[0]>>4 == 6 && b[6] == unix.IPPROTO_ICMPV6:
		e = Echo{From: netip.AddrFrom16([16]byte(b[8:24])), To: netip.AddrFrom16([16]byte(b[24:40]))}
		return e, 40, b[40] == 128
	}
	return e, 0, false
}

// respond makes the packet of a reply.
func respond(e Echo, a Reply, packet, icmp []byte) []byte {
	from, six := a.From, e.To.Is6()
	if !from.IsValid() {
		from = e.To
	}
	msg := slices.Clone(icmp)
	switch {
	case a.Router && six:
		msg = append([]byte{1, 0, 0, 0, 0, 0, 0, 0}, packet...)
	case a.Router:
		msg = append([]byte{3, 1, 0, 0, 0, 0, 0, 0}, packet...)
	case six:
		msg[0] = 129
	default:
		msg[0] = 0
	}
	if a.Alter != nil {
		a.Alter(msg)
	}
	binary.BigEndian.PutUint16(msg[2:], 0)
	var spoil uint16
	if a.BadSum {
		spoil = 0x55
	}
	if six {
		head := make([]byte, 8, 40+len(msg))
		head[0], head[6], head[7] = 0x60, unix.IPPROTO_ICMPV6, 64
		binary.BigEndian.PutUint16(head[4:], uint16(len(msg)))
		head = append(append(head, from.AsSlice()...), e.From.AsSlice()...)
		pseudo := binary.BigEndian.AppendUint32(slices.Clone(head[8:40]), uint32(len(msg)))
		pseudo = append(append(pseudo, 0, 0, 0, unix.IPPROTO_ICMPV6), msg...)
		binary.BigEndian.PutUint16(msg[2:], sum(pseudo)^spoil)
		return append(head, msg...)
	}
	binary.BigEndian.PutUint16(msg[2:], sum(msg)^spoil)
	head := make([]byte, 12, 20+len(msg))
	head[0], head[8], head[9] = 0x45, 64, unix.IPPROTO_ICMP
	binary.BigEndian.PutUint16(head[2:], uint16(20+len(msg)))
	head = append(append(head, from.AsSlice()...), e.From.AsSlice()...)
	binary.BigEndian.PutUint16(head[10:], sum(head))
	return append(head, msg...)
}

// sum is the Internet checksum (RFC 1071).
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// Delayed answers each request after d.
func Delayed(d time.Duration) Behaviour { return func(Echo) []Reply { return []Reply{{After: d}} } }
