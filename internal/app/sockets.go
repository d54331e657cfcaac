package app

import (
	"context"
	"net"
	"sync"
	"time"
)

// sockets keeps listening addresses open while the application behind them is
// composed anew: connections that come meanwhile wait in the kernel.
type sockets struct {
	open map[string]*net.TCPListener
}

// listen gives a listener on the address. Closing it stops its user from
// accepting and leaves the socket open for the next.
func (s *sockets) listen(address string) (net.Listener, error) {
	ln := s.open[address]
	if ln == nil {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
		if err != nil {
			return nil, err
		}
		ln = l.(*net.TCPListener)
		if s.open == nil {
			s.open = map[string]*net.TCPListener{}
		}
		s.open[address] = ln
	}
	if err := ln.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return &keptListener{TCPListener: ln}, nil
}

// Close closes the sockets.
func (s *sockets) Close() {
	for _, ln := range s.open {
		_ = ln.Close()
	}
}

// keptListener is one user's turn on a socket.
type keptListener struct {
	*net.TCPListener
	accepting sync.Mutex
	closed    bool
}

// Accept implements net.Listener.
func (k *keptListener) Accept() (net.Conn, error) {
	k.accepting.Lock()
	defer k.accepting.Unlock()
	if k.closed {
		return nil, net.ErrClosed
	}
	return k.TCPListener.Accept()
}

// Close implements net.Listener: no Accept runs after it and none begins, so
// nothing is taken from the next user.
func (k *keptListener) Close() error {
	err := k.SetDeadline(time.Unix(1, 0))
	k.accepting.Lock()
	defer k.accepting.Unlock()
	k.closed = true
	return err
}
