package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"kelian/internal/fault"
	"kelian/internal/httpd"

	"github.com/99designs/gqlgen/graphql"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"golang.org/x/time/rate"
)

// Close codes of graphql-transport-ws.
const (
	closeBadRequest   websocket.StatusCode = 4400
	closeUnauthorized websocket.StatusCode = 4401
	closeForbidden    websocket.StatusCode = 4403
	closeSubprotocol  websocket.StatusCode = 4406
	closeInitTimeout  websocket.StatusCode = 4408
	closeDuplicate    websocket.StatusCode = 4409
	closeTooMany      websocket.StatusCode = 4429
)

const subprotocol = "graphql-transport-ws"

// maxOperationID bounds what a client calls its subscription.
const maxOperationID = 128

// socket is one connection. gqlgen's own transport is not used: it waits for
// ever for connection_init, lets a second subscription take the first one's
// id, runs mutations, asks for authority once and blocks on slow readers.
type socket struct {
	h     *Handler
	conn  *websocket.Conn
	pace  *rate.Limiter
	watch sync.WaitGroup
	base  context.Context // ends with the connection

	mu      sync.Mutex
	ctx     context.Context // of the account, once it is known; a child of base
	acked   bool
	ops     map[string]context.CancelFunc
	account func() // gives the account's place back
	closed  bool
	closing chan struct{} // closed when the close handshake is over
}

// webSocket accepts a connection and serves it until it ends.
func (h *Handler) webSocket(w http.ResponseWriter, r *http.Request) {
	if !h.opt.Origins.Allowed(r) {
		h.refuse(w, r, &refusal{http.StatusForbidden, foreign()})
		return
	}
	leave, bad := h.streams.fromAddress(r.Context())
	if bad != nil {
		h.refuse(w, r, &refusal{httpd.Status(bad), bad})
		return
	}
	defer leave()
	stream := httpd.NewStream(w, r)
	defer stream.Done()
	l := &h.opt.Limits
	s := &socket{h: h, ops: map[string]context.CancelFunc{}, account: func() {}, closing: make(chan struct{}),
		pace: rate.NewLimiter(rate.Limit(l.Messages), 6*l.Messages)}
	var err error
	s.conn, err = websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:       []string{subprotocol},
		InsecureSkipVerify: true, // the origin is judged above, by the rule that POST goes by
		OnPingReceived:     func(context.Context, []byte) bool { return s.paced() },
	})
	if err != nil {
		return // Accept has answered
	}
	s.conn.SetReadLimit(int64(l.Message))
	ctx, cancel := context.WithCancel(r.Context())
	s.base, s.ctx = ctx, ctx
	s.serve(stream, cancel)
}

func (s *socket) serve(stream *httpd.Stream, cancel context.CancelFunc) {
	defer func() {
		cancel()
		s.watch.Wait()
		s.mu.Lock()
		closing := s.closed
		s.mu.Unlock()
		if closing {
			<-s.closing
		}
		_ = s.conn.CloseNow()
		s.account()
	}()
	if s.conn.Subprotocol() != subprotocol {
		s.close(closeSubprotocol, "subprotocol not acceptable")
		return
	}
	init := time.AfterFunc(s.h.opt.Limits.Init, func() {
		s.mu.Lock()
		late := !s.acked
		s.mu.Unlock()
		if late {
			s.close(closeInitTimeout, "connection initialisation timeout")
		}
	})
	defer init.Stop()
	s.watch.Go(func() { s.endInTime(stream) })
	s.watch.Go(s.pings)
	for {
		kind, data, err := s.conn.Read(context.Background())
		if err != nil {
			return
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed || !s.paced() {
			continue // the read ends with the closing handshake
		}
		if kind != websocket.MessageText {
			s.close(closeBadRequest, "binary message")
			continue
		}
		s.message(data)
	}
}

// paced counts a message of the client's.
func (s *socket) paced() bool {
	if s.pace.Allow() {
		return true
	}
	s.close(closeTooMany, "too many messages")
	return false
}

// close ends the connection with a code; the first one counts.
func (s *socket) close(code websocket.StatusCode, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	// What ends now ends because the connection does, not as complete.
	for _, cancel := range s.ops {
		cancel()
	}
	go func() {
		defer close(s.closing)
		_ = s.conn.Close(code, reason)
	}()
}

// endInTime closes the connection when it is old or the server drains.
func (s *socket) endInTime(stream *httpd.Stream) {
	age := time.NewTimer(s.h.opt.Limits.age())
	defer age.Stop()
	select {
	case <-s.base.Done():
	case <-age.C:
		s.close(websocket.StatusGoingAway, "old enough; connect again")
	case <-stream.Draining():
		s.h.opt.Limits.pause(s.base)
		s.close(websocket.StatusGoingAway, "server is stopping; connect again")
	}
}

// pings finds out that the other side is gone.
func (s *socket) pings() {
	t := time.NewTicker(s.h.opt.Limits.Ping)
	defer t.Stop()
	for {
		select {
		case <-s.base.Done():
			return
		case <-t.C:
			ctx, cancel := context.WithTimeout(s.base, s.h.opt.Limits.Write)
			err := s.conn.Ping(ctx)
			cancel()
			if err != nil && s.base.Err() == nil {
				_ = s.conn.CloseNow()
				return
			}
		}
	}
}

// message acts on one message of the client's.
func (s *socket) message(data []byte) {
	p := reader{s: data, depth: s.h.opt.Limits.JSONDepth + 2}
	v, bad := p.document()
	m, ok := v.(map[string]any)
	kind, _ := m["type"].(string)
	id, idOK := optional[string](m["id"])
	payload, payloadOK := optional[map[string]any](m["payload"])
	if bad != nil || !ok || !idOK || !payloadOK || len(id) > maxOperationID {
		s.close(closeBadRequest, "invalid message")
		return
	}
	switch kind {
	case "connection_init":
		s.initialise(payload)
	case "ping":
		s.send(map[string]any{"type": "pong"})
	case "pong":
	case "subscribe":
		s.start(id, payload)
	case "complete":
		s.mu.Lock()
		if cancel := s.ops[id]; cancel != nil {
			delete(s.ops, id)
			cancel()
		}
		s.mu.Unlock()
	default:
		s.close(closeBadRequest, "unknown message type")
	}
}

// initialise finds out whose connection this is.
func (s *socket) initialise(payload map[string]any) {
	s.mu.Lock()
	again, ctx := s.acked, s.ctx
	s.mu.Unlock()
	if again {
		s.close(closeTooMany, "too many initialisation requests")
		return
	}
	for _, name := range [...]string{"Authorization", "authorization"} {
		auth, ok := payload[name].(string)
		if !ok {
			continue
		}
		known, err := s.h.opt.Authenticate(ctx, auth)
		if err != nil {
			s.closeFor(err)
			return
		}
		ctx = known
		break
	}
	account := s.h.opt.Account(ctx)
	if account == "" {
		s.close(closeUnauthorized, "unauthorized")
		return
	}
	leave, bad := s.h.streams.ofAccount(account)
	if bad != nil {
		s.close(closeTooMany, "too many connections")
		return
	}
	s.mu.Lock()
	s.acked, s.ctx, s.account = true, ctx, leave
	s.mu.Unlock()
	s.send(map[string]any{"type": "connection_ack"})
	if s.h.opt.Reauthorize != nil {
		s.watch.Go(func() { s.reauthorize(ctx) })
	}
}

func (s *socket) closeFor(err error) {
	code, reason := websocket.StatusInternalError, "try again later"
	if e, ok := fault.As(err); ok {
		switch e.Code {
		case fault.Unauthenticated:
			code, reason = closeUnauthorized, "unauthorized"
		case fault.Forbidden:
			code, reason = closeForbidden, "forbidden"
		case fault.Unavailable:
			code = websocket.StatusTryAgainLater
		}
	}
	s.close(code, reason)
}

// reauthorize closes the connection soon after its account loses its rights.
func (s *socket) reauthorize(ctx context.Context) {
	t := time.NewTicker(s.h.opt.Limits.Reauthorize)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := s.h.revoked(ctx); err != nil {
				s.closeFor(err)
				return
			}
		}
	}
}

// start begins a subscription.
func (s *socket) start(id string, payload map[string]any) {
	s.mu.Lock()
	ctx, cancel := context.WithCancel(s.ctx)
	code, reason := websocket.StatusCode(0), ""
	switch {
	case !s.acked:
		code, reason = closeUnauthorized, "unauthorized"
	case id == "":
		code, reason = closeBadRequest, "a subscription needs an id"
	case s.ops[id] != nil:
		code, reason = closeDuplicate, "subscriber already exists"
	case len(s.ops) >= s.h.opt.Limits.Subscriptions:
		code, reason = closeTooMany, "too many subscriptions"
	default:
		s.ops[id] = cancel
	}
	s.mu.Unlock()
	if code != 0 {
		cancel()
		s.close(code, reason)
		return
	}
	s.watch.Go(func() {
		defer cancel()
		s.run(ctx, id, payload)
	})
}

// run reads one subscription to its end. What it ends with is sent unless the
// client ended it first.
func (s *socket) run(ctx context.Context, id string, payload map[string]any) {
	errs := s.follow(ctx, id, payload)
	s.mu.Lock()
	ended := ctx.Err() != nil
	if !ended {
		delete(s.ops, id)
	}
	s.mu.Unlock()
	switch {
	case ended:
	case errs != nil:
		s.send(map[string]any{"type": "error", "id": id, "payload": errs})
	default:
		s.send(map[string]any{"type": "complete", "id": id})
	}
}

func (s *socket) follow(ctx context.Context, id string, payload map[string]any) (errs gqlerror.List) {
	defer func() {
		if p := recover(); p != nil {
			errs = gqlerror.List{s.h.present(ctx, s.h.recovered(ctx, p))}
		}
	}()
	params, bad := s.h.params(payload)
	if bad != nil {
		return gqlerror.List{s.h.present(ctx, bad)}
	}
	sub, errs := s.h.subscribe(ctx, params)
	if errs != nil {
		return errs
	}
	return sub.read(func(resp *graphql.Response) bool {
		var b bytes.Buffer
		b.WriteString(`{"type":"next","id":`)
		b.Write(mustJSON(id))
		b.WriteString(`,"payload":`)
		compose(&b, resp)
		b.WriteByte('}')
		return s.write(b.Bytes())
	})
}

func (s *socket) send(m map[string]any) {
	if b, err := json.Marshal(m); err == nil {
		s.write(b)
	}
}

// write gives up on a reader who does not take the message in time; the
// connection is cut then.
func (s *socket) write(b []byte) bool {
	ctx, cancel := context.WithTimeout(context.Background(), s.h.opt.Limits.Write)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, b) == nil
}
