// Package httpd is the plumbing between the network and Kelian's doors: the
// server with its time limits, the middleware that every request passes, the
// flood limiter, the cap on requests in flight, health, draining and the
// listener for operators. It knows nothing of GraphQL, pages or accounts.
package httpd

import (
	"context"
	"crypto/sha256"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"

	"kelian/internal/id"
)

// request is what the outermost middleware learns about a request; it is
// reached through the context by everything inside.
type request struct {
	id       string
	client   netip.Addr
	lang     string
	limiter  *Flood
	cred     credential
	release  func()        // gives the slot of the in-flight cap back
	stream   atomic.Bool   // the request became a stream
	draining chan struct{} // closed when the server drains; nil outside one
	streams  streamCounter
}

type requestKey struct{}

func of(ctx context.Context) *request {
	r, _ := ctx.Value(requestKey{}).(*request)
	return r
}

// RequestID is the identifier that stands in the X-Request-Id header of the
// answer, in the log and in error answers; empty outside a request.
func RequestID(ctx context.Context) string {
	if r := of(ctx); r != nil {
		return r.id
	}
	return ""
}

// ClientIP is the address the request came from, behind trusted proxies the
// one they name. It is the zero Addr when it is not known.
func ClientIP(ctx context.Context) netip.Addr {
	if r := of(ctx); r != nil {
		return r.client
	}
	return netip.Addr{}
}

// Lang is the reader's language, "zh" or "en".
func Lang(ctx context.Context) string {
	if r := of(ctx); r != nil && r.lang != "" {
		return r.lang
	}
	return "zh"
}

// Vouch says that this request's credential belongs to an account. For the
// next ten minutes requests with the same credential draw on its own
// allowance and no longer on that of their address, so that one attacker
// behind a shared address slows nobody who is signed in. The door that
// authenticates calls it, after it has checked the credential.
func Vouch(ctx context.Context) {
	if r := of(ctx); r != nil && r.limiter != nil && r.cred != (credential{}) {
		r.limiter.vouch(r.cred)
	}
}

// credential names a session cookie or bearer token without keeping it.
type credential [sha256.Size]byte

func credentialOf(r *http.Request) credential {
	if v := r.Header.Get("Authorization"); v != "" {
		return sha256.Sum256([]byte(v))
	}
	for _, name := range [...]string{"__Host-kelian", "kelian"} {
		if c, err := r.Cookie(name); err == nil && c.Value != "" {
			return sha256.Sum256([]byte("cookie:" + c.Value))
		}
	}
	return credential{}
}

// LimitKey is the unit that limits per address count by: an IPv4 address or
// an IPv6 /64, which is what one subscriber gets.
func LimitKey(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// DefaultCampusNets are the private ranges (RFC 1918, RFC 6598, RFC 4193),
// link-local and loopback.
func DefaultCampusNets() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
		"169.254.0.0/16", "127.0.0.0/8", "::1/128", "fc00::/7", "fe80::/10"} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Contains says whether one of the networks holds the address.
func Contains(nets []netip.Prefix, a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// clientAddr believes X-Forwarded-For only as far as trusted proxies wrote
// it: from the right, the first address that is no trusted proxy.
func clientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	at := peer.Addr().Unmap()
	if !Contains(trusted, at) {
		return at
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return at
		}
		at = hop.Unmap()
		if !Contains(trusted, at) {
			return at
		}
	}
	return at
}

// acceptLang is "en" when the reader's browser asks for English before
// Chinese and "zh" otherwise.
func acceptLang(r *http.Request) string {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		switch tag := strings.ToLower(strings.TrimSpace(part)); {
		case strings.HasPrefix(tag, "zh"):
			return "zh"
		case strings.HasPrefix(tag, "en"):
			return "en"
		}
	}
	return "zh"
}

// begin puts what is known about the request into its context.
func (s *Server) begin(next http.Handler) http.Handler {
	lang := s.opt.Lang
	if lang == nil {
		lang = acceptLang
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := &request{
			id:       id.New().TypeID("rq"),
			client:   clientAddr(r, s.opt.TrustedProxies),
			lang:     lang(r),
			limiter:  s.flood,
			draining: s.draining,
			streams:  &s.streams,
		}
		w.Header().Set("X-Request-Id", q.id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, q)))
	})
}
