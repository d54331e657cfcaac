package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"kelian/internal/fault"
)

// Dial is net.Dialer.DialContext under a policy: it resolves the name, and
// connects only to an address that the policy allows. A refusal is a
// *fault.Error.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// poster posts for one scheme.
type poster struct{ http.Client }

// newPoster knows no proxy, no cookies and no redirects, and opens a connection
// for each post, so that each is judged anew.
func newPoster(dial Dial) *poster {
	return &poster{http.Client{
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// outcome is what came of a post.
type outcome struct {
	code       int // 0 = no answer
	answer     string
	reason     string        // "" = taken
	retryAfter time.Duration // 0 = not asked for
}

func (o outcome) ok() bool { return o.reason == "" }

// post is the second step.
func (s *Service) post(ctx context.Context, t *taken) outcome {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	u, err := url.Parse(t.hook.URL)
	if err != nil || s.posts[u.Scheme] == nil {
		return outcome{reason: reasonBlocked} // the settings have changed since
	}
	message, now := t.delivery.ID.TypeID(RefKindDelivery), s.clock.Now()
	signature, err := Sign(message, now, t.delivery.Body, s.secrets(&t.hook, now)...)
	if err != nil {
		return outcome{reason: reasonConnect}
	}
	var wrote atomic.Bool
	trace := &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodPost, t.hook.URL, strings.NewReader(t.delivery.Body))
	if err != nil {
		return outcome{reason: reasonBlocked}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Kelian-webhook/1")
	req.Header.Set("webhook-id", message)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("webhook-signature", signature)
	res, err := s.posts[u.Scheme].Do(req)
	if err != nil {
		return outcome{reason: why(err, wrote.Load())}
	}
	defer func() { _ = res.Body.Close() }()
	return answered(res, now)
}

func answered(res *http.Response, now time.Time) outcome {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, answerRead))
	out := outcome{code: res.StatusCode, answer: snippet(raw)}
	switch {
	case out.code < 100: // no status of RFC 9110
		return outcome{reason: reasonConnect}
	case out.code >= 200 && out.code < 300:
		return out
	case out.code >= 300 && out.code < 400:
		out.reason = reasonRedirect
	case out.code == http.StatusGone:
		out.reason = Gone
	default:
		out.reason = reasonStatus
	}
	if out.code == http.StatusTooManyRequests || out.code == http.StatusServiceUnavailable {
		out.retryAfter = retryAfter(res.Header.Get("Retry-After"), now)
	}
	return out
}

// retryAfter reads RFC 9110 §10.2.3: seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	var wait time.Duration
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		wait = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), retryMost)
}

// why names a failure without an answer; wrote says that the other side may
// have got the event.
func why(err error, wrote bool) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError // crypto/tls wraps alerts in one, theirs and ours
	_, refused := fault.As(err)
	switch {
	case refused:
		return reasonBlocked
	case errors.As(err, &dns) && !dns.IsTimeout:
		return reasonDNS
	case errors.As(err, &cert), errors.As(err, &record), errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"):
		return reasonTLS
	case wrote:
		return reasonUnknown
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return reasonTimeout
	}
	return reasonConnect
}

// snippet is the beginning of an answer as one line of text.
func snippet(raw []byte) string {
	text := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(raw), ""))
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > answerKept {
		text = string(r[:answerKept])
	}
	return text
}
