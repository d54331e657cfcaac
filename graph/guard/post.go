package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"kelian/internal/fault"
	"kelian/internal/httpd"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

const responseJSON = "application/graphql-response+json"

// post executes one query or mutation. Malformed, invalid and refused
// operations are answered with 4xx, executed ones with 200 whatever their
// fields say (GraphQL over HTTP, draft, §6.4.2).
func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	params, bad := h.readRequest(w, r)
	if bad != nil {
		h.refuse(w, r, bad)
		return
	}
	ctx, cancel := context.WithTimeout(h.opt.Prepare(r.Context()), h.opt.Limits.Operation)
	defer cancel()
	op, errs := h.accept(ctx, params)
	if errs == nil && op.Operation.Operation == ast.Subscription {
		errs = gqlerror.List{wrap(fault.Input("query", "订阅请用 WebSocket 或 SSE", "use a WebSocket or server-sent events for subscriptions"))}
	}
	if errs != nil {
		resp := h.exec.DispatchError(graphql.WithOperationContext(ctx, op), errs)
		h.write(w, r, statusOf(resp), resp)
		return
	}
	if op.Operation.Operation == ast.Query && h.opt.Reading != nil {
		ctx = h.opt.Reading(ctx)
	}
	responses, ctx := h.exec.DispatchOperation(ctx, op)
	resp := responses(ctx)
	if resp == nil { // the client went away or the time ran out before anything was done
		h.refuse(w, r, &refusal{http.StatusServiceUnavailable, fault.Busy(ctx.Err())})
		return
	}
	if len(resp.Data) > h.opt.Limits.Response && op.Operation.Operation == ast.Query {
		h.refuse(w, r, &refusal{http.StatusBadRequest, complexity("答复超过 %d 字节，请少取一些", "the answer is larger than %d bytes; ask for less", h.opt.Limits.Response)})
		return
	}
	h.write(w, r, http.StatusOK, resp)
}

// accept parses, validates and judges an operation. What a stranger may not
// do is refused as such even when its variables are wrong.
func (h *Handler) accept(ctx context.Context, params *graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	op, errs := h.exec.CreateOperationContext(ctx, params)
	if len(errs) == 0 {
		return op, nil
	}
	// A thousand unknown directives are a thousand errors; wording those
	// that nobody will read costs more than finding them.
	errs = errs[:min(len(errs), h.opt.Limits.Errors)]
	if op.Operation != nil {
		if err := h.gate(ctx, op); err != nil {
			errs = gqlerror.List{wrap(err)}
		}
	}
	return op, errs
}

// statusOf is the status of a refused operation.
func statusOf(resp *graphql.Response) int {
	if len(resp.Errors) == 0 {
		return http.StatusInternalServerError
	}
	code, _ := resp.Errors[0].Extensions["code"].(string)
	switch fault.Code(code) {
	case QueryTooLarge, DepthLimit, ComplexityLimit, ValidationFailed:
		return http.StatusBadRequest
	}
	return httpd.Status(&fault.Error{Code: fault.Code(code)})
}

// refuse answers a request that is no operation.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, bad *refusal) {
	ctx := r.Context()
	if bad.status >= http.StatusInternalServerError || bad.status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	h.write(w, r, bad.status, &graphql.Response{Errors: gqlerror.List{h.present(ctx, bad.err)}})
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// write sends the answer with its length; data is written as it is, once.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, status int, resp *graphql.Response) {
	head, tail := buffers.Get().(*bytes.Buffer), buffers.Get().(*bytes.Buffer)
	defer buffers.Put(head)
	defer buffers.Put(tail)
	head.Reset()
	tail.Reset()
	frame(head, tail, resp)
	header := w.Header()
	header.Set("Content-Type", contentType(r))
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(head.Len()+len(resp.Data)+tail.Len()))
	if status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if len(resp.Data) <= maxCopied {
		head.Write(resp.Data)
		head.Write(tail.Bytes())
		_, _ = w.Write(head.Bytes())
		return
	}
	_, _ = w.Write(head.Bytes())
	_, _ = w.Write(resp.Data)
	_, _ = w.Write(tail.Bytes())
}

// maxCopied is the size up to which one write of a copy is cheaper than three
// writes, and which the pooled buffers keep.
const maxCopied = 64 << 10

// frame writes what stands before and after the data: errors first, as the
// specification recommends.
func frame(head, tail *bytes.Buffer, resp *graphql.Response) {
	head.WriteByte('{')
	if len(resp.Errors) > 0 {
		head.WriteString(`"errors":`)
		head.Write(mustJSON(resp.Errors))
	}
	switch {
	case resp.Data != nil && len(resp.Errors) > 0:
		head.WriteString(`,"data":`)
	case resp.Data != nil:
		head.WriteString(`"data":`)
	case len(resp.Errors) == 0:
		head.WriteString(`"data":null`)
	}
	if len(resp.Extensions) > 0 {
		tail.WriteString(`,"extensions":`)
		tail.Write(mustJSON(resp.Extensions))
	}
	tail.WriteByte('}')
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return b
}

// accepts says whether the Accept header names the media type.
func accepts(r *http.Request, media string) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		name, _, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), media) {
			return true
		}
	}
	return false
}

// contentType is application/json only for clients that ask for it and not
// for GraphQL's own type.
func contentType(r *http.Request) string {
	if accepts(r, "application/json") && !accepts(r, responseJSON) {
		return "application/json; charset=utf-8"
	}
	return responseJSON + "; charset=utf-8"
}
