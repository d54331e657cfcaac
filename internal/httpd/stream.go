package httpd

import (
	"net/http"
	"sync"
	"time"
)

// streamCounter is the part of a WaitGroup that a stream needs.
type streamCounter interface {
	Add(int)
	Done()
}

// Stream is a request that outlives the limits of ordinary ones: a WebSocket,
// a server-sent event stream, a long upload or download.
type Stream struct {
	q    *request
	once sync.Once
}

// NewStream turns the request into a stream: its slot of the in-flight cap is
// given back and the server's read and write deadlines no longer hold; the
// handler sets its own. Call it before a hijack. The handler must call Done.
func NewStream(w http.ResponseWriter, r *http.Request) *Stream {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
	q := of(r.Context())
	if q == nil {
		return &Stream{}
	}
	q.stream.Store(true)
	if q.release != nil {
		q.release()
	}
	if q.streams != nil {
		q.streams.Add(1)
	}
	return &Stream{q: q}
}

// Draining is closed when the server begins to stop: the stream then ends
// itself. It is nil, and so never ready, outside a Server.
func (s *Stream) Draining() <-chan struct{} {
	if s.q == nil {
		return nil
	}
	return s.q.draining
}

// Done says that the stream has ended.
func (s *Stream) Done() {
	s.once.Do(func() {
		if s.q != nil && s.q.streams != nil {
			s.q.streams.Done()
		}
	})
}
