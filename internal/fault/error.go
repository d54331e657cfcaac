// Package fault holds the one error type that crosses Kelian's rooms, and the
// points at which a test may kill the process.
package fault

import (
	"errors"
	"fmt"
)

// Code is the machine-readable kind of an Error. Doors map it to a status and
// never to anything else; the set is closed.
type Code string

// The codes that a door answers with at top level (see docs/api.md).
const (
	BadUserInput    Code = "BAD_USER_INPUT"
	Unauthenticated Code = "UNAUTHENTICATED"
	Forbidden       Code = "FORBIDDEN"
	NotFound        Code = "NOT_FOUND"
	Conflict        Code = "CONFLICT"
	RateLimited     Code = "RATE_LIMITED"
	Unavailable     Code = "UNAVAILABLE"
	Internal        Code = "INTERNAL"
	// Rule marks a refusal by the domain (form, state, quorum, stale,
	// capacity). GraphQL shows it in the payload's userErrors, pages beside
	// the form; Reason says which rule.
	Rule Code = "RULE"
)

// Error is a refusal that a person can act on. Zh and En say what happened
// and what to do; neither may hold personal data.
type Error struct {
	Code   Code
	Reason string   // e.g. "STALE_FORM"; for Forbidden the rule's name
	Path   []string // the input field it is about, outermost first
	Zh, En string
	Detail any // typed extra for userErrors, e.g. *workflow.StaleForm
	cause  error
}

// Error implements error in English, for logs.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.En, e.cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.En)
}

// Unwrap gives the cause, which is logged and never shown.
func (e *Error) Unwrap() error { return e.cause }

// Message is the text in the reader's language ("zh" or "en").
func (e *Error) Message(lang string) string {
	if lang == "en" {
		return e.En
	}
	return e.Zh
}

// Input is BAD_USER_INPUT about one field.
func Input(path, zh, en string) *Error {
	return &Error{Code: BadUserInput, Path: []string{path}, Zh: zh, En: en}
}

// Refuse is a domain rule's refusal; reason is its stable name.
func Refuse(reason, zh, en string) *Error {
	return &Error{Code: Rule, Reason: reason, Zh: zh, En: en}
}

// At adds the field the error is about and returns the error.
func (e *Error) At(path ...string) *Error {
	e.Path = path
	return e
}

// With attaches a typed detail and returns the error.
func (e *Error) With(detail any) *Error {
	e.Detail = detail
	return e
}

// Because attaches the cause and returns the error.
func (e *Error) Because(err error) *Error {
	e.cause = err
	return e
}

// Missing is the one answer for absent and for foreign objects, so that it
// cannot be used to find out which of the two it was.
func Missing() *Error {
	return &Error{Code: NotFound, Zh: "没有这个对象，或者你看不到它", En: "no such object, or you may not see it"}
}

// SignIn says that the act needs an account.
func SignIn() *Error {
	return &Error{Code: Unauthenticated, Zh: "请先登录", En: "sign in first"}
}

// Deny names the rule that refused and who may do it instead.
func Deny(rule, whoZh, whoEn string) *Error {
	return &Error{Code: Forbidden, Reason: rule,
		Zh: "你没有这项权限（" + rule + "）。可以办理的人：" + whoZh,
		En: "the rule " + rule + " does not allow you this; those who can: " + whoEn}
}

// Busy is UNAVAILABLE: nothing was changed, or it is unknown whether it was;
// the caller sends the same command with the same idempotency key again.
func Busy(err error) *Error {
	return &Error{Code: Unavailable, Zh: "系统暂时繁忙，请稍后用同一请求重试", En: "temporarily unavailable; send the same request again", cause: err}
}

// As finds an *Error in err's chain.
func As(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

// Is says whether err carries the code.
func Is(err error, code Code) bool {
	e, ok := As(err)
	return ok && e.Code == code
}

// IsRule says whether err is the named domain refusal.
func IsRule(err error, reason string) bool {
	e, ok := As(err)
	return ok && e.Code == Rule && e.Reason == reason
}
