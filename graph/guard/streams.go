package guard

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"kelian/internal/fault"
	"kelian/internal/httpd"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// streams counts the streams open per address and per account.
type streams struct {
	l      *Limits
	campus []netip.Prefix

	mu       sync.Mutex
	addrs    map[netip.Prefix]int
	accounts map[string]int
	total    int
}

func newStreams(l *Limits, campus []netip.Prefix) *streams {
	return &streams{l: l, campus: campus, addrs: map[netip.Prefix]int{}, accounts: map[string]int{}}
}

// fromAddress takes a place for a stream; release gives it back.
func (s *streams) fromAddress(ctx context.Context) (release func(), err *fault.Error) {
	addr := httpd.ClientIP(ctx)
	key, limit := httpd.LimitKey(addr), s.l.StreamsPerAddress
	if httpd.Contains(s.campus, addr) {
		limit = s.l.StreamsPerCampus
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.l.Streams {
		return nil, fault.Busy(nil)
	}
	if s.addrs[key] >= limit {
		return nil, tooManyStreams()
	}
	s.total++
	s.addrs[key]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		drop(s.addrs, key)
	}), nil
}

// ofAccount takes one of the account's places.
func (s *streams) ofAccount(account string) (release func(), err *fault.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[account] >= s.l.StreamsPerAccount {
		return nil, tooManyStreams()
	}
	s.accounts[account]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		drop(s.accounts, account)
	}), nil
}

func drop[K comparable](m map[K]int, k K) {
	if m[k]--; m[k] == 0 {
		delete(m, k)
	}
}

// Streams is the number of WebSockets and event streams open.
func (h *Handler) Streams() int {
	h.streams.mu.Lock()
	defer h.streams.mu.Unlock()
	return h.streams.total
}

func tooManyStreams() *fault.Error {
	return &fault.Error{Code: fault.RateLimited, Zh: "打开的实时连接太多，请关掉一些页面", En: "too many live connections are open; close some pages"}
}

type endKey struct{}

// ending is how a subscription will end.
type ending struct {
	mu  sync.Mutex
	err error
}

// EndStream makes the subscription that ctx belongs to end with an error
// rather than as finished: a resolver calls it before it closes its channel,
// for instance when the reader lost events and must load everything again.
func EndStream(ctx context.Context, err error) {
	if e, ok := ctx.Value(endKey{}).(*ending); ok {
		e.mu.Lock()
		e.err = err
		e.mu.Unlock()
	}
}

// subscription is an accepted one, ready to be read.
type subscription struct {
	h         *Handler
	ctx       context.Context
	responses graphql.ResponseHandler
	end       *ending
}

// subscribe accepts a subscription and runs its resolver. Queries and
// mutations are refused: over a stream they would pass by the middleware that
// POST goes through.
func (h *Handler) subscribe(ctx context.Context, params *graphql.RawParams) (*subscription, gqlerror.List) {
	ctx = h.opt.Prepare(graphql.StartOperationTrace(ctx))
	op, errs := h.accept(ctx, params)
	if errs == nil && op.Operation.Operation != ast.Subscription {
		errs = gqlerror.List{wrap(fault.Input("query", "这里只能订阅；查询和变更请用 POST", "only subscriptions here; use POST for queries and mutations"))}
	}
	if errs != nil {
		return nil, h.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs).Errors
	}
	s := &subscription{h: h, end: &ending{}}
	s.responses, s.ctx = h.exec.DispatchOperation(context.WithValue(ctx, endKey{}, s.end), op)
	return s, nil
}

// read gives each event to send until the subscription ends or send returns
// false, and returns the errors it ended with. An answer with errors and
// without data is such an end too.
func (s *subscription) read(send func(*graphql.Response) bool) gqlerror.List {
	for {
		resp := s.responses(s.h.opt.Prepare(s.ctx))
		switch {
		case resp == nil:
			s.end.mu.Lock()
			defer s.end.mu.Unlock()
			if s.end.err != nil && s.ctx.Err() == nil {
				return gqlerror.List{s.h.present(s.ctx, s.end.err)}
			}
			return nil
		case resp.Data == nil && len(resp.Errors) > 0:
			return s.h.trim(resp.Errors)
		case !send(resp):
			return nil
		}
	}
}

// age is the most a stream lives, scattered so that those which began
// together do not end together.
func (l *Limits) age() time.Duration {
	return time.Duration(float64(l.Age) * (0.9 + 0.2*rand.Float64()))
}

// revoked says whether a look at the account's rights ends the stream.
func (h *Handler) revoked(ctx context.Context) *fault.Error {
	err := h.opt.Reauthorize(ctx)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	if e, ok := fault.As(err); ok && (e.Code == fault.Unauthenticated || e.Code == fault.Forbidden) {
		return e
	}
	h.opt.Log.WarnContext(ctx, "graphql: could not look at a stream's rights", "request", httpd.RequestID(ctx), "error", err)
	return nil
}

// ticks is a ticker's channel, or one that never ticks when there is nothing
// to do.
func ticks(every time.Duration, wanted bool) (<-chan time.Time, func()) {
	if !wanted {
		return nil, func() {}
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// pause waits for a part of the time in which all streams end.
func (l *Limits) pause(ctx context.Context) {
	t := time.NewTimer(rand.N(l.DrainJitter))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
