package probe_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/netmon/probe"
	"kelian/netmon/probe/faulty"
)

// A proxy that answers nobody: checks must not use it. Go reads the variable
// once per process.
func TestMain(m *testing.M) {
	if err := os.Setenv("HTTP_PROXY", "http://127.0.0.1:1"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// canary is a service that nobody may reach; it counts who does.
type canary struct {
	net.Listener
	port string
	hits atomic.Int64
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &canary{Listener: l, port: strconv.Itoa(l.Addr().(*net.TCPAddr).Port)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.hits.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return c
}

// unhurt ends the canary's watch: connections are accepted in order, so after
// one of our own nothing earlier can be on its way.
func (c *canary) unhurt(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", c.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Read(make([]byte, 1)) // ends when the canary has closed it
	_ = conn.Close()
	if n := c.hits.Load(); n != 1 {
		t.Errorf("the canary was reached %d times", n-1)
	}
}

// lax resolves as the most obliging system resolver does (inet_aton's octal,
// hexadecimal and short forms), and the names that a test gives it; each look-up
// of a name takes the next of its answers.
type lax struct {
	names map[string][][]string
	asked map[string]int
}

func (l *lax) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if sets, ok := l.names[host]; ok {
		if l.asked == nil {
			l.asked = map[string]int{}
		}
		set := sets[min(l.asked[host], len(sets)-1)]
		l.asked[host]++
		var out []netip.Addr
		for _, a := range set {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return []netip.Addr{here}, nil
	}
	parts := strings.Split(host, ".")
	var v uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 0, 32)
		if err != nil {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		if i == len(parts)-1 {
			v = v<<(8*(5-len(parts))) | n
		} else {
			v = v<<8 | n
		}
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})}, nil
}

// Whatever way this machine is spelt, nobody reaches it.
func TestNoSpellingReachesLoopback(t *testing.T) {
	c := newCanary(t)
	ch := probe.NewChecker(probe.CheckerOptions{Policy: campus(false), Resolver: &lax{}})
	for _, host := range []string{"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1",
		"017700000001", "0x7f.0x0.0x0.0x1", "0", "0.0.0.0", "localhost", "localhost.", "LOCALHOST", "a.localhost",
		"127.0.0.1.", "①②⑦.0.0.1", "127。0。0。1", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
		"[0:0:0:0:0:0:0:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]"} {
		for _, scheme := range []string{"http", "https"} {
			url := scheme + "://" + host + ":" + c.port + "/"
			r, err := ch.HTTP(context.Background(), probe.HTTPSpec{URL: url, Timeout: time.Second})
			if r.State != probe.Denied && r.State != probe.Unresolved {
				t.Errorf("%s: %s, %v", url, r.State, err)
			}
		}
		r, err := ch.TCP(context.Background(), host+":"+c.port, time.Second)
		if r.State != probe.Denied && r.State != probe.Unresolved {
			t.Errorf("tcp %s: %s, %v", host, r.State, err)
		}
	}
	c.unhurt(t)
}

// A name that answers with a good address first and with loopback afterwards
// is judged each time.
func TestRebinding(t *testing.T) {
	c := newCanary(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://evil.test:"+c.port+"/", http.StatusFound)
	}))
	defer front.Close()
	port := front.URL[strings.LastIndex(front.URL, ":")+1:]
	// The good address is a loopback one that the policy allows by name.
	policy := probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true,
		Own: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:" + c.port)}})
	resolver := &lax{names: map[string][][]string{"evil.test": {{"127.0.0.1"}, {"127.0.0.1"}, {"::ffff:127.0.0.1"}}}}
	ch := probe.NewChecker(probe.CheckerOptions{Policy: policy, Resolver: resolver})
	r, err := ch.HTTP(context.Background(), probe.HTTPSpec{URL: "http://evil.test:" + port + "/", Timeout: 5 * time.Second})
	if r.State != probe.Denied || !fault.IsRule(err, probe.ReasonNotAllowed) || r.Redirects != 1 {
		t.Errorf("redirected to a refused service: %s after %d redirects, %v", r.State, r.Redirects, err)
	}
	// The answer to the second question is this machine.
	strict := campus(false)
	resolver = &lax{names: map[string][][]string{"evil.test": {{"10.255.255.1"}, {"127.0.0.1"}}}}
	first := true
	ch = probe.NewChecker(probe.CheckerOptions{Policy: strict, Resolver: resolver,
		Wrap: func(next probe.DialFunc) probe.DialFunc {
			return func(ctx context.Context, network, address string) (net.Conn, error) {
				if first && address == "10.255.255.1:"+c.port {
					first = false
					return nil, context.DeadlineExceeded // stands in for the campus host
				}
				return next(ctx, network, address)
			}
		}})
	for i, want := range []probe.State{probe.Lost, probe.Denied, probe.Denied} {
		if r, err := ch.TCP(context.Background(), "evil.test:"+c.port, time.Second); r.State != want {
			t.Errorf("look-up %d: %s, %v; want %s", i+1, r.State, err, want)
		}
	}
	// Even a dialer that is led astray below the checks is stopped.
	ch = probe.NewChecker(probe.CheckerOptions{Policy: strict, Wrap: func(next probe.DialFunc) probe.DialFunc {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return next(ctx, network, "127.0.0.1:"+c.port)
		}
	}})
	if r, err := ch.TCP(context.Background(), "10.1.2.3:"+c.port, time.Second); r.State != probe.Denied || !fault.IsRule(err, probe.ReasonNotAllowed) {
		t.Errorf("a dial led astray: %s, %v", r.State, err)
	}
	c.unhurt(t)
}

func open127() *probe.Policy { return probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true}) }

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	live := l.Addr().String()
	var cut faulty.Network
	ch := probe.NewChecker(probe.CheckerOptions{Policy: open127(), Resolver: &lax{names: map[string][][]string{
		"two.test": {{"8.8.8.8", "127.0.0.1"}}}}, Wrap: cut.Wrap})
	check := func(target string, want probe.State) probe.TCPResult {
		t.Helper()
		r, _ := ch.TCP(context.Background(), target, 200*time.Millisecond)
		if r.State != want {
			t.Errorf("%s: %s, want %s", target, r.State, want)
		}
		return r
	}
	if r := check(live, probe.Reply); r.Addr.String() != live || r.Connect <= 0 {
		t.Errorf("%+v", r)
	}
	// Of a name's addresses the allowed one is dialled.
	check("two.test:"+live[strings.LastIndex(live, ":")+1:], probe.Reply)
	check("nowhere.test:80", probe.Unresolved)
	check("127.0.0.1", probe.Denied)
	check("127.0.0.1:0", probe.Denied)
	check("127.0.0.1:99999", probe.Denied)
	cut.Cut(here)
	begun := time.Now()
	check(live, probe.Lost)
	if took := time.Since(begun); took < 200*time.Millisecond {
		t.Errorf("a cut host answered after %v, the timeout is 200 ms", took)
	}
	cut.Restore(here)
	check(live, probe.Reply)
	_ = l.Close()
	check(live, probe.Refused)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ch.TCP(ctx, live, time.Second); err == nil {
		t.Error("a cancelled check reports nothing")
	}
}

func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the gate is open") })
	mux.HandleFunc("/teapot", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("x", probe.MaxBody) + "late"))
	})
	mux.HandleFunc("/hop/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		if n == 0 {
			fmt.Fprint(w, "arrived")
			return
		}
		http.Redirect(w, r, "/hop/"+strconv.Itoa(n-1), http.StatusFound)
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	return mux
}

func TestHTTP(t *testing.T) {
	plain := httptest.NewServer(site())
	defer plain.Close()
	// Go's proxy settings spare loopback addresses, so the site has a name.
	ch := probe.NewChecker(probe.CheckerOptions{Policy: open127(),
		Resolver: &lax{names: map[string][][]string{"site.test": {{"127.0.0.1"}}}}})
	base := strings.Replace(plain.URL, "127.0.0.1", "site.test", 1)
	for _, c := range []struct {
		path  string
		spec  probe.HTTPSpec
		state probe.State
		why   probe.Why
	}{
		{"/ok", probe.HTTPSpec{}, probe.Reply, ""},
		{"/ok", probe.HTTPSpec{Contain: "gate"}, probe.Reply, ""},
		{"/ok", probe.HTTPSpec{Contain: "closed"}, probe.Mismatch, probe.WhyContent},
		{"/ok", probe.HTTPSpec{Method: "HEAD"}, probe.Reply, ""},
		{"/teapot", probe.HTTPSpec{}, probe.Mismatch, probe.WhyStatus},
		{"/teapot", probe.HTTPSpec{Status: []int{200, 418}}, probe.Reply, ""},
		{"/big", probe.HTTPSpec{Contain: "late"}, probe.Mismatch, probe.WhyContent},
		{"/hop/3", probe.HTTPSpec{Contain: "arrived"}, probe.Reply, ""},
		{"/hop/4", probe.HTTPSpec{}, probe.Mismatch, probe.WhyRedirects},
		{"/file", probe.HTTPSpec{}, probe.Mismatch, probe.WhyRedirects},
		{"/hang", probe.HTTPSpec{Timeout: 100 * time.Millisecond}, probe.Lost, ""},
		{"/cut", probe.HTTPSpec{}, probe.Mismatch, probe.WhyProtocol},
	} {
		c.spec.URL = base + c.path
		r, err := ch.HTTP(context.Background(), c.spec)
		if err != nil || r.State != c.state || r.Why != c.why {
			t.Errorf("%s %+v: %s %s, %v; want %s %s", c.path, c.spec, r.State, r.Why, err, c.state, c.why)
		}
		if len(r.Body) > probe.MaxBody || r.Truncated != (c.path == "/big") {
			t.Errorf("%s: %d bytes kept, truncated %v", c.path, len(r.Body), r.Truncated)
		}
		if c.state == probe.Reply && (r.Phases.Total <= 0 || r.Phases.Connect <= 0 || r.Phases.FirstByte <= 0 || r.Phases.TLS != 0) {
			t.Errorf("%s: phases %+v", c.path, r.Phases)
		}
	}
	for _, url := range []string{"ftp://127.0.0.1/", "http://", "127.0.0.1", "http://user:secret@127.0.0.1/", "file:///etc/passwd", "http://%zz/"} {
		if r, err := ch.HTTP(context.Background(), probe.HTTPSpec{URL: url}); r.State != probe.Denied || !fault.Is(err, fault.BadUserInput) {
			t.Errorf("%s: %s, %v", url, r.State, err)
		}
	}
	if _, err := ch.HTTP(context.Background(), probe.HTTPSpec{URL: plain.URL, Method: "POST"}); !fault.Is(err, fault.BadUserInput) {
		t.Errorf("POST: %v", err)
	}
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(site())
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of those who hang up
	s.StartTLS()
	defer s.Close()
	ends := s.Certificate().NotAfter
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	trusting := probe.NewChecker(probe.CheckerOptions{Policy: open127(), Roots: roots})
	r, err := trusting.HTTP(context.Background(), probe.HTTPSpec{URL: s.URL + "/ok"})
	if err != nil || r.State != probe.Reply || !r.Expires.Equal(ends) || r.Phases.TLS <= 0 {
		t.Errorf("trusted: %s, expires %v, phases %+v, %v", r.State, r.Expires, r.Phases, err)
	}
	strange := probe.NewChecker(probe.CheckerOptions{Policy: open127(), Roots: x509.NewCertPool()})
	r, err = strange.HTTP(context.Background(), probe.HTTPSpec{URL: s.URL + "/ok"})
	if err != nil || r.State != probe.Mismatch || r.Why != probe.WhyTLS || !r.Expires.Equal(ends) {
		t.Errorf("unknown issuer: %s %s, expires %v, %v", r.State, r.Why, r.Expires, err)
	}
	r, err = strange.HTTP(context.Background(), probe.HTTPSpec{URL: s.URL + "/ok", SkipVerify: true})
	if err != nil || r.State != probe.Reply || !r.Expires.Equal(ends) {
		t.Errorf("any certificate: %s, expires %v, %v", r.State, r.Expires, err)
	}
	plain := httptest.NewServer(site())
	defer plain.Close()
	r, err = trusting.HTTP(context.Background(), probe.HTTPSpec{URL: "https" + strings.TrimPrefix(plain.URL, "http") + "/ok"})
	if err != nil || r.State != probe.Mismatch || r.Why != probe.WhyProtocol {
		t.Errorf("no TLS behind https: %s %s, %v", r.State, r.Why, err)
	}
}

// A host that falls silent in the middle of a conversation is a time-out.
func TestCutConnectionHearsNothing(t *testing.T) {
	var cut faulty.Network
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cut.Cut(here)
		fmt.Fprint(w, "too late")
	}))
	defer s.Close()
	ch := probe.NewChecker(probe.CheckerOptions{Policy: open127(), Wrap: cut.Wrap})
	r, err := ch.HTTP(context.Background(), probe.HTTPSpec{URL: s.URL, Timeout: 100 * time.Millisecond})
	if err != nil || r.State != probe.Lost || r.Phases.Total < 90*time.Millisecond { // the time allowed begins a moment before the phases
		t.Fatalf("%s after %v, %v", r.State, r.Phases.Total, err)
	}
}
