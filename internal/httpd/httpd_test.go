package httpd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/internal/httpd"

	"github.com/prometheus/client_golang/prometheus"
)

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func serve(t *testing.T, opt httpd.Options, h http.HandlerFunc) http.Handler {
	t.Helper()
	if opt.Log == nil {
		opt.Log = silent()
	}
	s, err := httpd.New(opt, h)
	if err != nil {
		t.Fatal(err)
	}
	return s.Handler()
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

type header map[string]string

func request(method, target string, h header) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for k, v := range h {
		if k == "Host" {
			r.Host = v
		}
		r.Header.Set(k, v)
	}
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func codeOf(t *testing.T, body []byte) (code, requestID string) {
	t.Helper()
	var out struct {
		Errors []struct {
			Message    string
			Extensions struct{ Code, RequestId string }
		}
	}
	if err := json.Unmarshal(body, &out); err != nil || len(out.Errors) != 1 || out.Errors[0].Message == "" {
		t.Fatalf("not an error answer: %s (%v)", body, err)
	}
	return out.Errors[0].Extensions.Code, out.Errors[0].Extensions.RequestId
}

func TestRequestIDIsReturnedAndReachesTheHandler(t *testing.T) {
	var inside []string
	h := serve(t, httpd.Options{}, func(w http.ResponseWriter, r *http.Request) {
		inside = append(inside, httpd.RequestID(r.Context()))
	})
	for range 2 {
		w := do(h, request("GET", "/", nil))
		if got := w.Header().Get("X-Request-Id"); got == "" || got != inside[len(inside)-1] {
			t.Fatalf("header %q, handler %q", got, inside[len(inside)-1])
		}
	}
	if inside[0] == inside[1] {
		t.Fatal("two requests have one id")
	}
}

func TestPanicIsAnsweredAndOthersGoOn(t *testing.T) {
	var log bytes.Buffer
	h := serve(t, httpd.Options{Log: slog.New(slog.NewJSONHandler(&log, nil))}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/boom" {
			panic("the secret detail")
		}
		ok(w, r)
	})
	w := do(h, request("GET", "/boom", nil))
	code, rid := codeOf(t, w.Body.Bytes())
	if w.Code != 500 || code != "INTERNAL" || rid != w.Header().Get("X-Request-Id") {
		t.Fatalf("%d %s %s", w.Code, code, w.Body)
	}
	if strings.Contains(w.Body.String(), "secret") || !strings.Contains(log.String(), "the secret detail") || !strings.Contains(log.String(), rid) {
		t.Fatalf("the detail belongs into the log only: %s", log.String())
	}
	if w := do(h, request("GET", "/", nil)); w.Code != 200 {
		t.Fatalf("next request: %d", w.Code)
	}
}

func TestAccessLogKeepsSecretsOut(t *testing.T) {
	var log bytes.Buffer
	h := serve(t, httpd.Options{Log: slog.New(slog.NewJSONHandler(&log, nil))}, ok)
	for _, p := range []string{"/t/tokenAAA", "/d/tokenAAA?x=queryBBB", "/p/tokenAAA/more", "/setup/tokenAAA", "/push/tokenAAA", "/status?queryBBB"} {
		do(h, request("GET", p, nil))
	}
	for _, secret := range []string{"tokenAAA", "queryBBB"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s stands in the log", secret)
		}
	}
	if n := strings.Count(log.String(), `"msg":"http"`); n != 6 {
		t.Errorf("%d lines for 6 requests", n)
	}
}

func TestSecurityHeadersAndThePageThatOverrides(t *testing.T) {
	h := serve(t, httpd.Options{PublicURL: "https://kelian.example.edu.cn"}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/console" {
			httpd.SetPolicy(w, httpd.StrictPolicy().With("style-src", "'self' 'nonce-x'"))
		}
	})
	w := do(h, request("GET", "/", nil))
	csp := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'self'", "object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("policy %q lacks %s", csp, want)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "nonce") {
		t.Errorf("policy %q", csp)
	}
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Strict-Transport-Security") == "" {
		t.Error("headers missing", w.Header())
	}
	if got := do(h, request("GET", "/console", nil)).Header().Get("Content-Security-Policy"); !strings.Contains(got, "'nonce-x'") || !strings.Contains(got, "object-src 'none'") {
		t.Errorf("override: %q", got)
	}
	plain := serve(t, httpd.Options{PublicURL: "http://10.0.0.5:8080"}, ok)
	if do(plain, request("GET", "/", nil)).Header().Get("Strict-Transport-Security") != "" {
		t.Error("HSTS on plain http")
	}
}

func TestClientAddressBehindProxies(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")}
	for _, c := range []struct{ name, remote, forwarded, want string }{
		{"no proxy", "203.0.113.9:1", "", "203.0.113.9"},
		{"a stranger's header is not believed", "203.0.113.9:1", "198.51.100.1", "203.0.113.9"},
		{"one proxy", "10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"what the client wrote itself is not believed", "10.0.0.1:1", "1.2.3.4, 198.51.100.1", "198.51.100.1"},
		{"two proxies", "10.0.0.1:1", "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1"},
		{"v6", "[fd00::1]:1", "2001:db8::7", "2001:db8::7"},
		{"v4 in v6", "[::ffff:10.0.0.1]:1", "198.51.100.1", "198.51.100.1"},
		{"garbage stops at the last good hop", "10.0.0.1:1", "198.51.100.1, unknown", "10.0.0.1"},
		{"proxy without header", "10.0.0.1:1", "", "10.0.0.1"},
	} {
		var got netip.Addr
		h := serve(t, httpd.Options{TrustedProxies: proxies}, func(_ http.ResponseWriter, r *http.Request) { got = httpd.ClientIP(r.Context()) })
		r := request("GET", "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		do(h, r)
		if got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestPagesElsewhere(t *testing.T) {
	const listed = "https://club.example.org"
	var cookie, auth string
	h := serve(t, httpd.Options{PublicURL: "http://kelian.test:8080", CORSOrigins: []string{listed}}, func(w http.ResponseWriter, r *http.Request) {
		cookie, auth = r.Header.Get("Cookie"), r.Header.Get("Authorization")
		w.Header().Set("Set-Cookie", "kelian=new")
		ok(w, r)
	})
	for _, c := range []struct {
		name   string
		h      header
		status int
		cookie bool
	}{
		{"own page, modern browser", header{"Sec-Fetch-Site": "same-origin", "Origin": "http://kelian.test:8080"}, 200, true},
		{"own page on plain http", header{"Origin": "http://kelian.test:8080"}, 200, true},
		{"own page behind a proxy that changes Host", header{"Origin": "http://kelian.test:8080", "Host": "backend:1"}, 200, true},
		{"no browser", nil, 200, true},
		{"cross-site", header{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403, false},
		{"sibling subdomain", header{"Sec-Fetch-Site": "same-site", "Origin": "http://other.kelian.test:8080"}, 403, false},
		{"other port", header{"Origin": "http://kelian.test:9999"}, 403, false},
		{"null origin", header{"Origin": "null"}, 403, false},
		{"listed, cookies count for nothing", header{"Sec-Fetch-Site": "cross-site", "Origin": listed}, 200, false},
		{"listed with other case is another origin", header{"Sec-Fetch-Site": "cross-site", "Origin": "https://CLUB.example.org"}, 403, false},
		{"bearer, cookies count for nothing", header{"Authorization": "Bearer kel_x", "Origin": "https://evil.example"}, 200, false},
	} {
		cookie, auth = "", ""
		r := request("POST", "http://kelian.test:8080/graphql", c.h)
		r.Header.Set("Cookie", "kelian=session")
		w := do(h, r)
		if w.Code != c.status || (cookie != "") != c.cookie {
			t.Errorf("%s: status %d, cookie %q", c.name, w.Code, cookie)
		}
		if c.status == 403 {
			if code, _ := codeOf(t, w.Body.Bytes()); code != "FORBIDDEN" {
				t.Errorf("%s: %s", c.name, w.Body)
			}
		}
		if allow := w.Header().Get("Access-Control-Allow-Origin"); (c.h["Origin"] == listed) != (allow == listed) {
			t.Errorf("%s: allow-origin %q", c.name, allow)
		}
		if c.h["Origin"] == listed && w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: a cookie was set", c.name)
		}
		if w.Header().Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: credentials allowed", c.name)
		}
		if auth != c.h["Authorization"] {
			t.Errorf("%s: authorization %q", c.name, auth)
		}
	}
	w := do(h, request("OPTIONS", "/graphql", header{"Origin": listed, "Access-Control-Request-Method": "POST"}))
	if w.Code != 204 || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
}

func TestOriginsMustBeExact(t *testing.T) {
	for _, bad := range []string{"*", "https://*.example.org", "https://a.example/", "https://a.example/x", "a.example", "null"} {
		if _, err := httpd.NewOrigins("", []string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestHealth(t *testing.T) {
	var dbErr error
	calls := 0
	health := httpd.NewHealth(silent(), httpd.Check{Name: "database", Run: func(context.Context) error { calls++; return dbErr }})
	h := serve(t, httpd.Options{Health: health}, ok)
	for range 3 {
		if w := do(h, request("GET", "/readyz", nil)); w.Code != 200 || !strings.Contains(w.Body.String(), `"database":"ok"`) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if calls > 2 {
		t.Errorf("%d checks for three questions at once", calls)
	}
	dbErr = errors.New("dial tcp 10.1.2.3: password wrong")
	failing := serve(t, httpd.Options{Health: httpd.NewHealth(silent(), httpd.Check{Name: "database", Run: func(context.Context) error { return dbErr }})}, ok)
	w := do(failing, request("GET", "/readyz", nil))
	if w.Code != 503 || !strings.Contains(w.Body.String(), `"database":"failed"`) || strings.Contains(w.Body.String(), "10.1.2.3") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := do(failing, request("GET", "/livez", nil)); w.Code != 200 {
		t.Fatalf("livez %d", w.Code)
	}
	health.Drain()
	if w := do(h, request("GET", "/readyz", nil)); w.Code != 503 {
		t.Fatalf("draining: %d", w.Code)
	}
}

func TestAdminListener(t *testing.T) {
	reg := prometheus.NewRegistry()
	h := serve(t, httpd.Options{Metrics: reg}, ok)
	do(h, request("GET", "/", nil))
	admin := httpd.AdminHandler(httpd.NewAdmin(reg, httpd.NewHealth(silent())))
	if w := do(admin, request("GET", "/metrics", nil)); !strings.Contains(w.Body.String(), `kelian_http_requests_total{method="GET",status="200"} 1`) {
		t.Errorf("metrics: %s", w.Body)
	}
	if w := do(admin, request("GET", "/debug/pprof/goroutine?debug=1", nil)); w.Code != 200 {
		t.Errorf("pprof: %d", w.Code)
	}
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		if w := do(h, request("GET", path, nil)); w.Body.String() != "ok" {
			t.Errorf("%s is served to strangers", path)
		}
	}
	if w := do(admin, request("POST", "/debug/pprof/symbol", header{"Sec-Fetch-Site": "cross-site"})); w.Code != 403 {
		t.Errorf("a foreign page reached the admin listener: %d", w.Code)
	}
}

func TestLanguageAndErrorPages(t *testing.T) {
	for lang, want := range map[string]string{"": "zh", "en-GB,zh;q=0.5": "en", "fr, zh-CN": "zh", "de": "zh"} {
		var got string
		h := serve(t, httpd.Options{}, func(_ http.ResponseWriter, r *http.Request) { got = httpd.Lang(r.Context()) })
		do(h, request("GET", "/", header{"Accept-Language": lang}))
		if got != want {
			t.Errorf("%q: %s", lang, got)
		}
	}
	page := func(w http.ResponseWriter, _ *http.Request, status int, e *fault.Error) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<p>"+e.Zh)
	}
	h := serve(t, httpd.Options{ErrorPage: page}, func(http.ResponseWriter, *http.Request) { panic("x") })
	if w := do(h, request("GET", "/", header{"Accept": "text/html"})); w.Code != 500 || !strings.HasPrefix(w.Body.String(), "<p>") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(h, request("GET", "/", header{"Accept": "*/*"})); !strings.HasPrefix(w.Body.String(), "{") {
		t.Errorf("%s", w.Body)
	}
}
