package httpd

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"kelian/internal/fault"
)

// Origins decides which web pages may talk to this server. Pages of the
// server itself may; pages of the listed origins may with a bearer token or
// as nobody, never with a cookie; other pages may not change anything.
type Origins struct {
	public string
	cors   []string
}

// NewOrigins takes the public address (may be empty) and the exact origins of
// web clients elsewhere, "https://example.edu.cn" or with a port.
func NewOrigins(publicURL string, cors []string) (*Origins, error) {
	o := &Origins{cors: cors}
	if publicURL != "" {
		u, err := url.Parse(publicURL)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("httpd: public address %q is not a URL", publicURL)
		}
		o.public = strings.ToLower(u.Scheme + "://" + u.Host)
	}
	for _, c := range cors {
		u, err := url.Parse(c)
		if err != nil || u.Host == "" || c != u.Scheme+"://"+u.Host || strings.Contains(c, "*") {
			return nil, fmt.Errorf("httpd: %q is not an exact origin such as https://example.edu.cn", c)
		}
	}
	return o, nil
}

func (o *Origins) listed(origin string) bool { return slices.Contains(o.cors, origin) }

// Allowed says whether the page that sent the request may open a stream: no
// page at all, a page of this server, or a listed one. A WebSocket handshake
// is a GET, which CrossOriginProtection lets pass, so this is its only guard.
func (o *Origins) Allowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	if o != nil && (o.listed(origin) || (o.public != "" && strings.EqualFold(origin, o.public))) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// Handler enforces the rule around next.
func (o *Origins) Handler(next http.Handler, page ErrorPage) http.Handler {
	guarded := http.NewCrossOriginProtection()
	if o.public != "" {
		// Behind a proxy the Host header need not be the public one.
		_ = guarded.AddTrustedOrigin(o.public)
	}
	guarded.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Refuse(w, r, http.StatusForbidden, foreignPage(), page)
	}))
	protected := guarded.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		if len(o.cors) > 0 {
			w.Header().Add("Vary", "Origin")
		}
		switch {
		case origin != "" && o.listed(origin):
			r = withoutCookies(r)
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, ETag, Location, Upload-Offset, Upload-Length")
			// A page elsewhere reads the answer, so the default of
			// same-origin would take it away again.
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				h.Set("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE")
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Accept-Language, Range, If-None-Match, Upload-Length, Upload-Offset, Upload-SHA256")
				h.Set("Access-Control-Max-Age", "600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
			next.ServeHTTP(&cookieless{ResponseWriter: w}, r)
		case strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "):
			// No page can add this header without a preflight that we
			// refuse; and with it the cookie counts for nothing.
			next.ServeHTTP(w, withoutCookies(r))
		default:
			protected.ServeHTTP(w, r)
		}
	})
}

func withoutCookies(r *http.Request) *http.Request {
	if r.Header.Get("Cookie") == "" {
		return r
	}
	r2 := *r
	r2.Header = r.Header.Clone()
	r2.Header.Del("Cookie")
	return &r2
}

// cookieless keeps a page elsewhere from having a session set in the reader's
// browser.
type cookieless struct {
	http.ResponseWriter
	wrote bool
}

func (w *cookieless) WriteHeader(code int) {
	if !w.wrote {
		w.wrote = code >= 200 || code == http.StatusSwitchingProtocols
		w.Header().Del("Set-Cookie")
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *cookieless) Write(b []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (w *cookieless) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func foreignPage() *fault.Error {
	return &fault.Error{Code: fault.Forbidden, Reason: "CROSS_ORIGIN",
		Zh: "请求来自别的网站，已拒绝；请从本站页面操作，或使用访问令牌",
		En: "this request comes from another website and was refused; use a page of this site or an access token"}
}
