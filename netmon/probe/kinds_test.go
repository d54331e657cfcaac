package probe_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/netmon/probe"

	"golang.org/x/net/dns/dnsmessage"
)

// authority signs certificates that the test's checker trusts.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test root"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(9e3 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

// serve listens with a certificate; self signs it by itself.
func (a *authority) serve(name string, from, until time.Time, self bool) string {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: until}
	parent, signer := a.cert, a.key
	if self {
		parent, signer = tpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func TestCertificatesAreJudgedInWords(t *testing.T) {
	a := newAuthority(t)
	c := probe.NewChecker(probe.CheckerOptions{Policy: probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true}), Roots: a.pool})
	now := time.Now()
	end := now.Add(72 * time.Hour)
	for name, x := range map[string]struct {
		target, ask string
		state       probe.State
		en          string
		expires     time.Time
	}{
		"good":          {a.serve("lib.example.edu", now.Add(-time.Hour), end, false), "lib.example.edu", probe.Reply, "", end},
		"wrong name":    {a.serve("lib.example.edu", now.Add(-time.Hour), end, false), "www.example.edu", probe.Mismatch, "not issued for www.example.edu (it is for lib.example.edu)", end},
		"expired":       {a.serve("lib.example.edu", now.Add(-48*time.Hour), now.Add(-24*time.Hour), false), "lib.example.edu", probe.Mismatch, "expired on", now.Add(-24 * time.Hour)},
		"not yet valid": {a.serve("lib.example.edu", now.Add(24*time.Hour), end, false), "lib.example.edu", probe.Mismatch, "not valid before", end},
		"self-signed":   {a.serve("lib.example.edu", now.Add(-time.Hour), end, true), "lib.example.edu", probe.Mismatch, "self-signed", end},
	} {
		r, err := c.TLS(context.Background(), x.target, x.ask, 5*time.Second)
		if err != nil || r.State != x.state || !strings.Contains(r.En, x.en) || (r.Zh == "") != (x.en == "") || r.Expires.Unix() != x.expires.Unix() {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	plain := newCanary(t)
	if r, err := c.TLS(context.Background(), plain.Addr().String(), "x.example", 5*time.Second); err != nil || r.State != probe.Mismatch || r.Zh == "" {
		t.Errorf("no TLS there: %+v %v", r, err)
	}
	strict := probe.NewChecker(probe.CheckerOptions{})
	if r, err := strict.TLS(context.Background(), "127.0.0.1:443", "", time.Second); r.State != probe.Denied || !fault.IsRule(err, probe.ReasonNotAllowed) {
		t.Errorf("the policy: %+v %v", r, err)
	}
}

// nameServer answers by UDP and TCP; names beginning with "big" do not fit UDP.
func nameServer(t *testing.T) string {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = tcp.Close(), udp.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			if strings.Contains(string(buf[:n]), "silent") {
				continue
			}
			_, _ = udp.WriteTo(zone(buf[:n], true), from)
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			head := make([]byte, 2)
			if _, err := io.ReadFull(c, head); err == nil {
				q := make([]byte, int(head[0])<<8|int(head[1]))
				if _, err := io.ReadFull(c, q); err == nil {
					a := zone(q, false)
					_, _ = c.Write(append([]byte{byte(len(a) >> 8), byte(len(a))}, a...))
				}
			}
			_ = c.Close()
		}
	}()
	return tcp.Addr().String()
}

func zone(raw []byte, short bool) []byte {
	var m dnsmessage.Message
	if m.Unpack(raw) != nil {
		return nil
	}
	q := m.Questions[0]
	m.Response = true
	name := func(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }
	add := func(b dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}, Body: b})
	}
	switch {
	case strings.HasPrefix(q.Name.String(), "nobody"):
		m.RCode = dnsmessage.RCodeNameError
	case strings.HasPrefix(q.Name.String(), "big") && short:
		m.Truncated = true
	default:
		switch q.Type {
		case dnsmessage.TypeA:
			add(&dnsmessage.AResource{A: [4]byte{10, 1, 2, 3}})
			add(&dnsmessage.AResource{A: [4]byte{10, 1, 2, 4}})
		case dnsmessage.TypeAAAA:
			add(&dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::1").As16()})
		case dnsmessage.TypeCNAME:
			add(&dnsmessage.CNAMEResource{CNAME: name("WWW.example.edu.")})
		case dnsmessage.TypeNS:
			add(&dnsmessage.NSResource{NS: name("ns.example.edu.")})
		case dnsmessage.TypeMX:
			add(&dnsmessage.MXResource{Pref: 10, MX: name("mail.example.edu.")})
		case dnsmessage.TypeTXT:
			add(&dnsmessage.TXTResource{TXT: []string{"v=spf1 ", "-all"}})
		case dnsmessage.TypeSRV:
			add(&dnsmessage.SRVResource{Priority: 0, Weight: 5, Port: 5060, Target: name("sip.example.edu.")})
		}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

func TestNameServersAreAsked(t *testing.T) {
	server := nameServer(t)
	c := probe.NewChecker(probe.CheckerOptions{Policy: probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true})})
	for name, x := range map[string]struct {
		ask, kind string
		want      []string
		state     probe.State
		got       string
	}{
		"address":       {"lib.example.edu", "A", []string{"10.1.2.4"}, probe.Reply, "10.1.2.3,10.1.2.4"},
		"wrong address": {"lib.example.edu", "A", []string{"10.9.9.9"}, probe.Mismatch, "10.1.2.3,10.1.2.4"},
		"IPv6":          {"lib.example.edu", "AAAA", []string{"2001:DB8:0::1"}, probe.Reply, "2001:db8::1"},
		"alias":         {"lib.example.edu", "CNAME", []string{"www.example.edu."}, probe.Reply, "www.example.edu"},
		"servers":       {"example.edu", "NS", nil, probe.Reply, "ns.example.edu"},
		"mail":          {"example.edu", "MX", []string{"10 mail.example.edu"}, probe.Reply, "10 mail.example.edu"},
		"text":          {"example.edu", "TXT", []string{"v=spf1 -all"}, probe.Reply, "v=spf1 -all"},
		"service":       {"_sip._udp.example.edu", "SRV", nil, probe.Reply, "0 5 5060 sip.example.edu"},
		"by TCP":        {"big.example.edu", "A", nil, probe.Reply, "10.1.2.3,10.1.2.4"},
		"no such name":  {"nobody.example.edu", "A", nil, probe.Mismatch, ""},
		"silence":       {"silent.example.edu", "A", nil, probe.Lost, ""},
	} {
		r, err := c.DNS(context.Background(), probe.DNSSpec{Server: server, Name: x.ask, Type: x.kind, Answers: x.want, Timeout: 300 * time.Millisecond})
		if err != nil || r.State != x.state || strings.Join(r.Answers, ",") != x.got {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	strict := probe.NewChecker(probe.CheckerOptions{})
	if r, err := strict.DNS(context.Background(), probe.DNSSpec{Server: server, Name: "a.b", Type: "A", Timeout: time.Second}); r.State != probe.Denied || !fault.IsRule(err, probe.ReasonNotAllowed) {
		t.Errorf("the policy holds for name servers too: %+v %v", r, err)
	}
}

func TestRegistriesSayWhenADomainEnds(t *testing.T) {
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	mux.HandleFunc("/dns.json", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"version":"1.0","services":[[["edu"],[%q]],[["cn"],["http://127.0.0.1:1/"]],[["com.cn"],[%q]]]}`, srv.URL+"/rdap/", srv.URL+"/rdap/")
	})
	mux.HandleFunc("/rdap/domain/{name}", func(w http.ResponseWriter, r *http.Request) {
		switch r.PathValue("name") {
		case "example.edu", "kelian.com.cn":
			fmt.Fprint(w, `{"objectClassName":"domain","events":[{"eventAction":"registration","eventDate":"1999-01-01T00:00:00Z"},{"eventAction":"expiration","eventDate":"2031-02-03T04:05:06Z"}]}`)
		case "odd.edu":
			fmt.Fprint(w, `{"events":[]}`)
		default:
			http.NotFound(w, r)
		}
	})
	loop := probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true})
	c := probe.NewChecker(probe.CheckerOptions{Registry: srv.URL + "/dns.json", RegistryPolicy: loop})
	for name, want := range map[string]probe.State{"example.edu": probe.Reply, "Kelian.com.cn.": probe.Reply, "free.edu": probe.Mismatch, "odd.edu": probe.Unresolved,
		"a.cn": probe.Unresolved, "a.nowhere": probe.Unresolved} {
		r, err := c.Domain(context.Background(), name, 5*time.Second)
		if err != nil || r.State != want || (r.Zh == "") != (want == probe.Reply) || want == probe.Reply && r.Expires.Format(time.RFC3339) != "2031-02-03T04:05:06Z" {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
	if _, err := probe.NewChecker(probe.CheckerOptions{Policy: loop}).Domain(context.Background(), "example.edu", time.Second); !fault.IsRule(err, "DOMAINS_NOT_ASKED") {
		t.Errorf("without a list: %v", err)
	}
	guarded := probe.NewChecker(probe.CheckerOptions{Policy: loop, Registry: srv.URL + "/dns.json?other", RegistryPolicy: probe.NewPolicy(probe.PolicyOptions{Public: true})})
	if r, err := guarded.Domain(context.Background(), "example.edu", time.Second); err != nil && !errors.As(err, new(*fault.Error)) || r.State == probe.Reply {
		t.Errorf("a registry inside the campus: %+v %v", r, err)
	}
}

func TestBodiesAreMatched(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "在线 42 人, no error") }))
	t.Cleanup(srv.Close)
	c := probe.NewChecker(probe.CheckerOptions{Policy: probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true})})
	for i, x := range []struct {
		spec probe.HTTPSpec
		ok   bool
	}{
		{probe.HTTPSpec{Contain: "在线"}, true}, {probe.HTTPSpec{Contain: "离线"}, false},
		{probe.HTTPSpec{Lack: "fatal"}, true}, {probe.HTTPSpec{Lack: "error"}, false},
		{probe.HTTPSpec{Pattern: regexp.MustCompile(`在线 \d+ 人`)}, true}, {probe.HTTPSpec{Pattern: regexp.MustCompile(`^\d`)}, false},
	} {
		x.spec.URL = srv.URL
		r, err := c.HTTP(context.Background(), x.spec)
		if err != nil || (r.State == probe.Reply) != x.ok || !x.ok && r.Why != probe.WhyContent {
			t.Errorf("%d: %+v %v", i, r, err)
		}
	}
}

func TestPageTextIsWhatAReaderSees(t *testing.T) {
	a := probe.PageText([]byte("<html><head><style>p{}</style><script>var n=1</script></head><body><p>开放时间 <b>8:00</b>&nbsp;起</p>\n\n<p>A &amp; B</p><!-- 1 --></body>"))
	b := probe.PageText([]byte("<html><body class=x>\n<p>开放时间\t<b>8:00</b> 起</p><p>A &amp; B</p><script>var n=2</script><!-- 2 --></body>"))
	if a != "开放时间 8:00 起\nA & B" || a != b || probe.PageHash(a) != probe.PageHash(b) {
		t.Errorf("%q, %q", a, b)
	}
	if c := probe.PageText([]byte("<p>开放时间 9:00 起</p>")); probe.PageHash(c) == probe.PageHash(a) {
		t.Error("a change is not seen")
	}
}

func FuzzPageText(f *testing.F) {
	f.Add([]byte("<p>a<script>b</p>"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := probe.PageText(raw)
		if len(s) > probe.MaxBody || strings.ContainsRune(s, 0) || slices.Contains(strings.Split(s, "\n"), "") && s != "" {
			t.Fatalf("%q", s)
		}
	})
}
