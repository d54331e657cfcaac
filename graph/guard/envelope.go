package guard

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"sync"

	"kelian/internal/fault"

	"github.com/99designs/gqlgen/graphql"
)

// refusal is an error and the status it is answered with.
type refusal struct {
	status int
	err    *fault.Error
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// readRequest takes a GraphQL-over-HTTP request from a POST body.
func (h *Handler) readRequest(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, *refusal) {
	if bad := acceptable(r); bad != nil {
		return nil, bad
	}
	buf := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, int64(h.opt.Limits.Body))); err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			return nil, h.tooLarge()
		}
		return nil, &refusal{http.StatusBadRequest, fault.Input("", "请求体没有传完", "the request body ended early").At()}
	}
	params, bad := h.envelope(buf.Bytes())
	if bad != nil {
		return nil, &refusal{http.StatusBadRequest, bad}
	}
	params.Headers = r.Header
	return params, nil
}

// acceptable refuses every body that is not plain JSON; a form or a text
// could be sent by a foreign page without a preflight.
func acceptable(r *http.Request) *refusal {
	media, par, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(par["charset"])
	if err != nil || media != "application/json" || (charset != "" && charset != "utf-8") {
		return &refusal{http.StatusUnsupportedMediaType, fault.Input("", "请求体须是 application/json（UTF-8）", "send the body as application/json in UTF-8").At()}
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return &refusal{http.StatusUnsupportedMediaType, fault.Input("", "请求体不能压缩", "send the body uncompressed").At()}
	}
	return nil
}

func (h *Handler) tooLarge() *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, &fault.Error{Code: QueryTooLarge,
		Zh: fmt.Sprintf("请求体超过 %d 字节", h.opt.Limits.Body), En: fmt.Sprintf("the body is larger than %d bytes", h.opt.Limits.Body)}}
}

// envelope reads {query, operationName, variables, extensions}.
func (h *Handler) envelope(body []byte) (*graphql.RawParams, *fault.Error) {
	p := reader{s: body, depth: h.opt.Limits.JSONDepth + 1}
	v, err := p.document()
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fault.Input("", "请求体须是一个 JSON 对象；不支持批量请求", "the body must be one JSON object; batches are not supported").At()
	}
	if p.span[1]-p.span[0] > h.opt.Limits.Variables {
		return nil, &fault.Error{Code: QueryTooLarge, Zh: fmt.Sprintf("变量超过 %d 字节", h.opt.Limits.Variables),
			En: fmt.Sprintf("the variables are larger than %d bytes", h.opt.Limits.Variables)}
	}
	return h.params(m)
}

// params checks an envelope that has been read.
func (h *Handler) params(m map[string]any) (*graphql.RawParams, *fault.Error) {
	out := &graphql.RawParams{}
	for name, v := range m {
		var ok bool
		switch name {
		case "query":
			out.Query, ok = v.(string)
		case "operationName":
			out.OperationName, ok = optional[string](v)
		case "variables":
			out.Variables, ok = optional[map[string]any](v)
		case "extensions":
			out.Extensions, ok = optional[map[string]any](v)
		default:
			return nil, fault.Input("", "请求体里有不认识的名字；只有 query、operationName、variables、extensions",
				"the body holds an unknown name; there are query, operationName, variables and extensions").At()
		}
		if !ok {
			return nil, fault.Input(name, name+" 的类型不对", name+" has the wrong type")
		}
	}
	if strings.TrimSpace(out.Query) == "" {
		return nil, fault.Input("query", "缺少 query", "query is missing")
	}
	if len(out.Query) > h.opt.Limits.Query {
		return nil, &fault.Error{Code: QueryTooLarge, Zh: fmt.Sprintf("查询超过 %d 字节", h.opt.Limits.Query),
			En: fmt.Sprintf("the query is larger than %d bytes", h.opt.Limits.Query)}
	}
	return out, nil
}

// optional accepts null for absent.
func optional[T any](v any) (T, bool) {
	if v == nil {
		var none T
		return none, true
	}
	t, ok := v.(T)
	return t, ok
}
