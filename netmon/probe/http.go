package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"regexp"
	"time"

	"kelian/internal/fault"
)

// Bounds of an HTTP check.
const (
	MaxBody      = 64 << 10 // bytes read of the answer
	MaxRedirects = 3
)

// HTTPSpec is one HTTP(S) check.
type HTTPSpec struct {
	URL     string         // http or https, without user and password
	Method  string         // GET (default) or HEAD
	Header  http.Header    // added to the request; Host is not among them
	Status  []int          // accepted codes; empty = 200 to 299
	Contain string         // must occur in the first MaxBody bytes; "" = anything
	Lack    string         // must not occur there; "" = anything may
	Pattern *regexp.Regexp // must match there; nil = anything
	Timeout time.Duration  // for everything together; 0 = 10 s
	// SkipVerify accepts any certificate; its expiry is reported all the same.
	SkipVerify bool
	limit      int // bytes read; 0 = MaxBody
}

// Phases of the last hop of a check; a phase that did not happen is 0.
type Phases struct {
	DNS, Connect, TLS time.Duration
	FirstByte         time.Duration // from the request's last byte to the answer's first
	Total             time.Duration // from the beginning of the check, redirects included
}

// HTTPResult is the outcome of one HTTP check.
type HTTPResult struct {
	State     State // Reply, Mismatch, or as for TCP
	Why       Why   // what was wrong, with State Mismatch
	Addr      netip.AddrPort
	Status    int
	Redirects int
	// Body is for matching and page watch. Only a watched page's text is ever
	// shown, to those who manage the network, or a check would read internal
	// pages for whoever sees it.
	Body      []byte
	Truncated bool      // the answer is longer than MaxBody
	Expires   time.Time // earliest end of the presented certificates; zero without TLS
	Phases    Phases
}

// Why says in what an answer differed from what was expected.
type Why string

// The kinds of mismatch.
const (
	WhyStatus    Why = "status"
	WhyContent   Why = "content"
	WhyRedirects Why = "redirects"   // more than MaxRedirects, or to another scheme
	WhyTLS       Why = "certificate" // not valid for the name, expired, unknown issuer
	WhyProtocol  Why = "protocol"    // not HTTP, or cut off
)

var errRedirect = errors.New("too many redirects or a foreign scheme")

// HTTP makes one request on a connection of its own, without any proxy, and
// follows at most MaxRedirects, each dialled under the Policy anew. Errors are
// as with TCP.
func (c *Checker) HTTP(ctx context.Context, spec HTTPSpec) (HTTPResult, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return HTTPResult{}, err
	}
	defer leave()
	if spec.Timeout <= 0 {
		spec.Timeout = 10 * time.Second
	}
	if spec.limit == 0 {
		spec.limit = MaxBody
	}
	within, cancel := context.WithTimeout(ctx, spec.Timeout)
	defer cancel()
	x := &exchange{c: c, spec: spec}
	req, err := x.request(within)
	if err != nil {
		return HTTPResult{State: Denied}, err
	}
	begun := time.Now()
	x.do(req)
	x.res.Addr, x.res.Phases.DNS, x.res.Phases.Connect = x.hop.addr, x.hop.dns, x.hop.connect
	x.res.Phases.Total = time.Since(begun)
	return x.res, reportable(ctx, x.err)
}

// exchange is one HTTP check under way.
type exchange struct {
	c    *Checker
	spec HTTPSpec
	res  HTTPResult
	err  error
	hop  hop
}

func (x *exchange) request(ctx context.Context) (*http.Request, error) {
	u, err := url.Parse(x.spec.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return nil, fault.Input("url", "请填写 http 或 https 网址，不含用户名和密码", "give an http or https address without user and password")
	}
	method := x.spec.Method
	switch method {
	case "":
		method = http.MethodGet
	case http.MethodGet, http.MethodHead:
	default:
		return nil, fault.Input("method", "只支持 GET 和 HEAD", "only GET and HEAD are possible")
	}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, x.trace()), method, u.String(), nil)
	if err != nil {
		return nil, fault.Input("url", "网址无效", "the address is not valid").Because(err)
	}
	for k, v := range x.spec.Header {
		req.Header[k] = v
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "Kelian-check/1")
	}
	return req, nil
}

// trace measures the phases; each hop overwrites those of the one before.
func (x *exchange) trace() *httptrace.ClientTrace {
	var tlsBegun, written time.Time
	return &httptrace.ClientTrace{
		TLSHandshakeStart: func() { tlsBegun = time.Now() },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			x.res.Phases.TLS = time.Since(tlsBegun)
			x.res.Expires = ends(s.PeerCertificates)
		},
		WroteRequest:         func(httptrace.WroteRequestInfo) { written = time.Now() },
		GotFirstResponseByte: func() { x.res.Phases.FirstByte = time.Since(written) },
	}
}

// ends says when the first of the presented certificates ends.
func ends(certs []*x509.Certificate) (first time.Time) {
	for _, c := range certs {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter.UTC()
		}
	}
	return first
}

func (x *exchange) do(req *http.Request) {
	tr := &http.Transport{
		Proxy: nil,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			x.hop = hop{}
			return x.c.dial(ctx, address, &x.hop)
		},
		TLSClientConfig:        &tls.Config{RootCAs: x.c.roots, InsecureSkipVerify: x.spec.SkipVerify},
		DisableKeepAlives:      true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // a small answer must not unfold into a large one
	}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) > MaxRedirects || next.URL.Scheme != "http" && next.URL.Scheme != "https" {
			return errRedirect
		}
		x.res.Redirects = len(via)
		return nil
	}}
	resp, err := client.Do(req)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		x.res.Status = resp.StatusCode
		x.res.Body, err = io.ReadAll(io.LimitReader(resp.Body, int64(x.spec.limit)+1))
	}
	if err != nil {
		x.failed(err)
		return
	}
	if len(x.res.Body) > x.spec.limit {
		x.res.Body, x.res.Truncated = x.res.Body[:x.spec.limit], true
	}
	x.judge()
}

// judge compares the answer with what the spec expects.
func (x *exchange) judge() {
	x.res.State = Reply
	switch {
	case !x.accepts(x.res.Status):
		x.res.State, x.res.Why = Mismatch, WhyStatus
	case !bytes.Contains(x.res.Body, []byte(x.spec.Contain)),
		x.spec.Lack != "" && bytes.Contains(x.res.Body, []byte(x.spec.Lack)),
		x.spec.Pattern != nil && !x.spec.Pattern.Match(x.res.Body):
		x.res.State, x.res.Why = Mismatch, WhyContent
	}
}

func (x *exchange) accepts(status int) bool {
	for _, s := range x.spec.Status {
		if s == status {
			return true
		}
	}
	return len(x.spec.Status) == 0 && status >= 200 && status <= 299
}

// failed turns the client's error into a state.
func (x *exchange) failed(err error) {
	x.err = err
	var invalid *tls.CertificateVerificationError
	var notTLS tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.As(err, &invalid):
		x.res.Expires = ends(invalid.UnverifiedCertificates)
		x.res.State, x.res.Why = Mismatch, WhyTLS
	case errors.Is(err, errRedirect):
		x.res.State, x.res.Why = Mismatch, WhyRedirects
	case errors.As(err, &notTLS):
		x.res.State, x.res.Why = Mismatch, WhyProtocol
	default:
		x.res.State = classify(err, x.hop.addr.Addr())
		connected := !errors.As(err, &op) || op.Op != "dial"
		if x.res.State == Lost && connected && !timedOut(err) || x.res.State == Unreachable && connected {
			x.res.State, x.res.Why = Mismatch, WhyProtocol
		}
	}
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
