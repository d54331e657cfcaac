// Package faulty makes hosts fall silent without touching the network: real
// packets go out and their answers are thrown away, so that every time-out is
// real. The demo and tests bind it, and binaries with the build tag fault.
package faulty

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"

	"kelian/netmon/probe"
)

// Network is a network of which parts can be cut off at run time. It is safe
// for concurrent use; the zero value is whole.
type Network struct {
	mu  sync.RWMutex
	cut map[netip.Addr]struct{}
}

// Cut makes the addresses silent.
func (n *Network) Cut(addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut == nil {
		n.cut = map[netip.Addr]struct{}{}
	}
	for _, a := range addrs {
		n.cut[a.Unmap()] = struct{}{}
	}
}

// Restore lets the addresses answer again; without any it restores all.
func (n *Network) Restore(addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(addrs) == 0 {
		clear(n.cut)
	}
	for _, a := range addrs {
		delete(n.cut, a.Unmap())
	}
}

// Deliver implements probe.Link.
func (n *Network) Deliver(from netip.Addr) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	_, cut := n.cut[from.Unmap()]
	return !cut
}

// Wrap is for probe.CheckerOptions: a dial to a silent address fails when its
// context ends, and a connection that was made before hears nothing more.
func (n *Network) Wrap(next probe.DialFunc) probe.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return next(ctx, network, address)
		}
		conn, err := next(ctx, network, address)
		if n.Deliver(to.Addr()) {
			if err != nil {
				return nil, err
			}
			return &quiet{Conn: conn, net: n, from: to.Addr(), closed: make(chan struct{})}, nil
		}
		if conn != nil {
			_ = conn.Close()
		}
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: network, Addr: net.TCPAddrFromAddrPort(to), Err: ctx.Err()}
	}
}

// quiet is a connection that goes silent with its peer.
type quiet struct {
	net.Conn
	net    *Network
	from   netip.Addr
	once   sync.Once
	closed chan struct{}
}

// Read throws away what comes from a silent peer, its farewell included, until
// the connection is closed on this side or its deadline passes.
func (q *quiet) Read(b []byte) (int, error) {
	for {
		k, err := q.Conn.Read(b)
		switch {
		case q.net.Deliver(q.from):
			return k, err
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, err
		case err != nil:
			<-q.closed
			return 0, net.ErrClosed
		}
	}
}

// Close implements net.Conn.
func (q *quiet) Close() error {
	q.once.Do(func() { close(q.closed) })
	return q.Conn.Close()
}
