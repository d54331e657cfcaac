package guard

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"kelian/internal/fault"
	"kelian/internal/httpd"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// events serves one subscription as server-sent events (GraphQL over SSE,
// distinct connections mode): "next" events, then "complete". A stream that
// the server ends before the subscription does has no "complete", so that the
// client comes back.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) {
	account := h.opt.Account(r.Context())
	if bad := h.streamRefusal(r, account); bad != nil {
		h.refuse(w, r, bad)
		return
	}
	params, bad := h.readRequest(w, r)
	if bad != nil {
		h.refuse(w, r, bad)
		return
	}
	leave, err := h.enter(r.Context(), account)
	if err != nil {
		h.refuse(w, r, &refusal{httpd.Status(err), err})
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	sub, errs := h.subscribe(ctx, params)
	if errs != nil {
		resp := &graphql.Response{Errors: errs}
		h.write(w, r, statusOf(resp), resp)
		return
	}
	stream := httpd.NewStream(w, r)
	defer stream.Done()
	out := &eventWriter{w: w, rc: http.NewResponseController(w), patience: h.opt.Limits.Write, cancel: cancel}
	head := w.Header()
	head.Set("Content-Type", "text/event-stream; charset=utf-8")
	head.Set("Cache-Control", "no-store")
	head.Set("X-Accel-Buffering", "no") // nginx would hold events back
	out.comment()

	var watch sync.WaitGroup
	watch.Go(func() { h.watchEvents(ctx, stream, out) })
	errs = sub.read(out.next)
	if ctx.Err() == nil {
		if errs != nil {
			out.next(&graphql.Response{Errors: errs})
		}
		out.complete()
	}
	cancel()
	watch.Wait()
}

// streamRefusal judges what opens an event stream before its body is read.
func (h *Handler) streamRefusal(r *http.Request, account string) *refusal {
	if !h.opt.Origins.Allowed(r) {
		return &refusal{http.StatusForbidden, foreign()}
	}
	if account == "" {
		return &refusal{http.StatusUnauthorized, fault.SignIn()}
	}
	return nil
}

func foreign() *fault.Error {
	return &fault.Error{Code: fault.Forbidden, Reason: "CROSS_ORIGIN", Zh: "别的网站不能打开实时连接", En: "another website cannot open a live connection"}
}

// enter takes a place of the address and one of the account.
func (h *Handler) enter(ctx context.Context, account string) (leave func(), err *fault.Error) {
	addr, err := h.streams.fromAddress(ctx)
	if err != nil {
		return nil, err
	}
	acct, err := h.streams.ofAccount(account)
	if err != nil {
		addr()
		return nil, err
	}
	return func() { acct(); addr() }, nil
}

// watchEvents keeps the stream alive and ends it when its time has come.
func (h *Handler) watchEvents(ctx context.Context, stream *httpd.Stream, out *eventWriter) {
	l := &h.opt.Limits
	ping, stopPing := ticks(l.Ping, true)
	defer stopPing()
	look, stopLook := ticks(l.Reauthorize, h.opt.Reauthorize != nil)
	defer stopLook()
	age := time.NewTimer(l.age())
	defer age.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ping:
			out.comment()
		case <-look:
			if err := h.revoked(ctx); err != nil {
				out.next(&graphql.Response{Errors: gqlerror.List{h.present(ctx, err)}})
				out.complete()
				out.cancel()
				return
			}
		case <-age.C:
			out.cancel()
			return
		case <-stream.Draining():
			l.pause(ctx)
			out.cancel()
			return
		}
	}
}

// eventWriter writes whole events, one at a time, and gives up on a reader
// who does not take one within its patience.
type eventWriter struct {
	w        http.ResponseWriter
	rc       *http.ResponseController
	patience time.Duration
	cancel   context.CancelFunc

	mu    sync.Mutex
	ended bool
}

func (e *eventWriter) write(last bool, text []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return false
	}
	e.ended = last
	_ = e.rc.SetWriteDeadline(time.Now().Add(e.patience))
	_, err := e.w.Write(text)
	if err == nil {
		err = e.rc.Flush()
	}
	if err != nil {
		e.ended = true
		e.cancel()
		return false
	}
	return true
}

func (e *eventWriter) comment() { e.write(false, []byte(":\n\n")) }

func (e *eventWriter) complete() { e.write(true, []byte("event: complete\ndata:\n\n")) }

// next writes one answer. JSON holds no line break, so it is one data line.
func (e *eventWriter) next(resp *graphql.Response) bool {
	var b bytes.Buffer
	b.WriteString("event: next\ndata: ")
	compose(&b, resp)
	b.WriteString("\n\n")
	return e.write(false, b.Bytes())
}

func compose(b *bytes.Buffer, resp *graphql.Response) {
	var tail bytes.Buffer
	frame(b, &tail, resp)
	b.Write(resp.Data)
	b.Write(tail.Bytes())
}
