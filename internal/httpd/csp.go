package httpd

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Policy is a Content-Security-Policy: directive → sources.
type Policy map[string]string

// StrictPolicy allows what this server itself serves and nothing inline, and
// forbids framing. data: images are the QR codes of printed pages.
func StrictPolicy() Policy {
	return Policy{
		"default-src":     "'self'",
		"img-src":         "'self' data:",
		"object-src":      "'none'",
		"base-uri":        "'none'",
		"form-action":     "'self'",
		"frame-ancestors": "'none'",
	}
}

// With returns a copy in which one directive is replaced, or removed when
// sources is empty.
func (p Policy) With(directive, sources string) Policy {
	out := maps.Clone(p)
	if sources == "" {
		delete(out, directive)
	} else {
		out[directive] = sources
	}
	return out
}

// String is the header's value.
func (p Policy) String() string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(p)) {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(name + " " + p[name])
	}
	return b.String()
}

// SetPolicy gives one page another policy than the server's; call it before
// the page writes.
func SetPolicy(w http.ResponseWriter, p Policy) {
	w.Header().Set("Content-Security-Policy", p.String())
}

// securityHeaders sets what a page may still override before it writes.
func securityHeaders(next http.Handler, p Policy, https bool) http.Handler {
	csp := p.String()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not no-referrer: it would make forms send "Origin: null", which
		// plain http, without Sec-Fetch-Site, could not tell from a foreign
		// page.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
		if https {
			h.Set("Strict-Transport-Security", "max-age=15552000")
		}
		next.ServeHTTP(w, r)
	})
}
