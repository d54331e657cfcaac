package httpd

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kelian/internal/fault"
)

// Refuse answers with an error in the shape that GraphQL clients read,
// {"errors":[{"message","extensions":{"code","requestId"}}]}, or, to a reader
// who asks for HTML, through page when there is one. Nothing of the request
// is repeated and the cause of the error is not shown.
func Refuse(w http.ResponseWriter, r *http.Request, status int, e *fault.Error, page ErrorPage) {
	ctx := r.Context()
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if page != nil && strings.Contains(r.Header.Get("Accept"), "text/html") {
		page(w, r, status, e)
		return
	}
	body, _ := json.Marshal(map[string]any{"errors": []any{map[string]any{
		"message":    e.Message(Lang(ctx)),
		"extensions": map[string]any{"code": e.Code, "requestId": RequestID(ctx)},
	}}})
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

// ErrorPage writes an error as a page for people.
type ErrorPage func(w http.ResponseWriter, r *http.Request, status int, e *fault.Error)

// Status is the HTTP status of an error that ends a whole request.
func Status(e *fault.Error) int {
	switch e.Code {
	case fault.BadUserInput:
		return http.StatusBadRequest
	case fault.Unauthenticated:
		return http.StatusUnauthorized
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict, fault.Rule:
		return http.StatusConflict
	case fault.RateLimited:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func retryAfter(h http.Header, d time.Duration) {
	h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(d.Seconds())))))
}

func tooFast() *fault.Error {
	return &fault.Error{Code: fault.RateLimited,
		Zh: "请求太频繁，请稍等片刻再试", En: "too many requests; wait a moment and try again"}
}

func internal() *fault.Error {
	return &fault.Error{Code: fault.Internal,
		Zh: "系统出错了，请把请求编号告诉管理员", En: "something went wrong; give the request id to an administrator"}
}
