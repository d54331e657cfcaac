package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/httpd"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// panicked is what a recovered panic becomes; its details are in the log.
type panicked struct{}

func (panicked) Error() string { return "panic" }

func (h *Handler) recovered(ctx context.Context, p any) error {
	h.opt.Log.ErrorContext(ctx, "graphql: resolver panicked", "request", httpd.RequestID(ctx),
		"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return panicked{}
}

// present turns any error into what a client may see. It never shows the text
// of an error that is not a *fault.Error or the parser's.
func (h *Handler) present(ctx context.Context, err error) *gqlerror.Error {
	var ge *gqlerror.Error
	if !errors.As(err, &ge) {
		ge = &gqlerror.Error{Path: graphql.GetPath(ctx)}
	}
	out := &gqlerror.Error{Path: ge.Path, Locations: ge.Locations}
	e, input := h.explain(ctx, err, ge)
	if input != nil {
		// An argument's place is not a place in the answer.
		out.Path = nil
		if fc := graphql.GetFieldContext(ctx); fc != nil {
			out.Path = fc.Path()
		}
	}
	out.Message = e.Message(h.opt.Lang(ctx))
	code := e.Code
	if code == fault.Rule {
		code = fault.Conflict // a rule's place is the payload; here it keeps its reason
	}
	out.Extensions = map[string]any{"code": string(code), "requestId": httpd.RequestID(ctx)}
	// A scalar does not know its place; gqlgen's path says it.
	if len(e.Path) > 0 && e.Path[0] != "" {
		input = e.Path
	}
	if len(input) > 0 {
		out.Extensions["path"] = input
	}
	if e.Reason != "" {
		out.Extensions["reason"] = e.Reason
	}
	return out
}

// explain finds the refusal behind an error, and the input path when it is
// about an argument.
func (h *Handler) explain(ctx context.Context, err error, ge *gqlerror.Error) (*fault.Error, []string) {
	input := argumentPath(ctx, ge.Path)
	if e, ok := fault.As(err); ok {
		if e.Code == fault.Internal || e.Code == fault.Unavailable {
			h.log(ctx, slog.LevelWarn, ge, e)
		}
		return e, input
	}
	if errors.Is(err, panicked{}) {
		return internal(), nil
	}
	if code, _ := ge.Extensions["code"].(string); code == errcode.ValidationFailed || code == errcode.ParseFailed {
		return invalid(ge, code)
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Busy(err), nil
	case input != nil:
		return fault.Input("", "“"+strings.Join(input, ".")+"”的值不合规", "the value of "+strings.Join(input, ".")+" is not valid").At(input...), input
	}
	h.log(ctx, slog.LevelError, ge, err)
	return internal(), nil
}

func (h *Handler) log(ctx context.Context, level slog.Level, ge *gqlerror.Error, err error) {
	h.opt.Log.Log(ctx, level, "graphql: error", "request", httpd.RequestID(ctx), "path", ge.Path.String(), "error", err)
}

// argumentPath is what of an error's path lies beyond the field that was
// being called: gqlgen reports an argument that could not be read so.
func argumentPath(ctx context.Context, path ast.Path) []string {
	fc := graphql.GetFieldContext(ctx)
	if fc == nil {
		return nil
	}
	n := len(fc.Path())
	if len(path) <= n {
		return nil
	}
	return words(path[n:])
}

func words(path ast.Path) []string {
	var out []string
	for _, p := range path {
		switch p := p.(type) {
		case ast.PathName:
			out = append(out, string(p))
		case ast.PathIndex:
			out = append(out, fmt.Sprint(int(p)))
		}
	}
	return out
}

func internal() *fault.Error {
	return &fault.Error{Code: fault.Internal,
		Zh: "系统出错了，请把请求编号告诉管理员", En: "something went wrong; give the request id to an administrator"}
}

// invalid words what the parser and the validator found without repeating a
// value from the query.
func invalid(ge *gqlerror.Error, code string) (*fault.Error, []string) {
	msg := ge.Message
	switch {
	case strings.HasPrefix(msg, "exceeded token limit"):
		return &fault.Error{Code: QueryTooLarge, Zh: "查询太长：记号太多", En: "the query has too many tokens"}, nil
	case code == errcode.ParseFailed:
		at := gqlerror.Location{}
		if len(ge.Locations) > 0 {
			at = ge.Locations[0]
		}
		return &fault.Error{Code: ValidationFailed, Zh: fmt.Sprintf("查询第 %d 行第 %d 列有语法错误", at.Line, at.Column),
			En: fmt.Sprintf("syntax error in the query at line %d, column %d", at.Line, at.Column)}, nil
	case len(ge.Path) > 0 && ge.Path[0] == ast.PathName("variable"):
		return variable(msg, words(ge.Path[1:]))
	case strings.HasPrefix(ge.Rule, "ValuesOfCorrectType"):
		return literal(msg), nil
	}
	msg = cut(msg, 300)
	return &fault.Error{Code: ValidationFailed, Zh: "查询不符合接口定义：" + msg, En: msg}, nil
}

// variable words an error of the variables' validation.
func variable(msg string, path []string) (*fault.Error, []string) {
	name := strings.Join(path, ".")
	code, zh, en := ValidationFailed, "的类型不对", "has the wrong type"
	switch {
	case strings.Contains(msg, "must be defined"):
		zh, en = "没有给出", "is missing"
	case strings.Contains(msg, "cannot be null"):
		zh, en = "不能为空", "must not be null"
	case strings.Contains(msg, "unknown field"):
		zh, en = "不是接口里的字段", "is not a field of this input"
	case strings.Contains(msg, "is not a valid"):
		zh, en = "不是可选的值", "is not one of the allowed values"
	case strings.HasPrefix(msg, "cannot use"):
		code = fault.BadUserInput
	}
	return &fault.Error{Code: code, Path: path, Zh: "变量 " + name + " " + zh, En: "variable " + name + " " + en}, path
}

// literal words an error about a value that stands in the query text.
func literal(msg string) *fault.Error {
	for _, kind := range []string{"Int", "Float", "String", "Boolean", "ID"} {
		if strings.HasPrefix(msg, kind+" cannot represent") {
			return fault.Input("", "此处的值须是 "+kind, "the value here must be of type "+kind).At()
		}
	}
	for _, sep := range []string{", found ", ": "} {
		if before, _, found := strings.Cut(msg, sep); found {
			msg = before + "."
		}
	}
	msg = cut(msg, 300)
	return &fault.Error{Code: ValidationFailed, Zh: "查询不符合接口定义：" + msg, En: msg}
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// trim keeps the first errors that fit.
func (h *Handler) trim(list gqlerror.List) gqlerror.List {
	if len(list) > h.opt.Limits.Errors {
		list = slices.Clone(list[:h.opt.Limits.Errors])
	}
	room := h.opt.Limits.ErrorBytes - 16 // what stands around them
	for i, e := range list {
		if room -= size(e); room >= 0 {
			continue
		}
		if i > 0 {
			return list[:i]
		}
		// One error fills everything: a path of names that are thousands of
		// bytes long. It stays without the path.
		short := &gqlerror.Error{Message: cut(e.Message, 300), Extensions: maps.Clone(e.Extensions)}
		delete(short.Extensions, "path")
		return gqlerror.List{short}
	}
	return list
}

func size(e *gqlerror.Error) int {
	b, err := json.Marshal(e)
	if err != nil {
		return 1 << 20
	}
	return len(b) + 1
}
