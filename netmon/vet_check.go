package netmon

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"kelian/internal/fault"
	"kelian/netmon/probe"
)

// Limits of reports (PUSH).
const (
	maxEvery    = 40 * daily // a monthly backup and its grace
	maxLabels   = 20
	maxLabel    = 40
	maxKey      = 200
	maxAnswers  = 20
	minSecret   = 10 // characters of the secret part of a URL: 59 bits
	maxPattern  = 500
	maxMatch    = 500
	maxStatuses = 20
)

// vetAddress: a host without an address has only checks that say where they go.
func (s *Service) vetAddress(in *HostInput) error {
	in.Address = strings.TrimSpace(in.Address)
	if in.Address == "" {
		for i, c := range in.Checks {
			q, err := parseQuestion(c.Target)
			if c.Kind == ICMP || c.Kind == DNS && err == nil && q.server == "" {
				return fault.Input("address", "第 "+strconv.Itoa(i+1)+" 个检测项要用设备地址：请填写一个 IP 地址", "check "+strconv.Itoa(i+1)+" goes to the host's address: give an IP address")
			}
		}
		return nil
	}
	a, err := netip.ParseAddr(in.Address)
	if err != nil || a.Zone() != "" {
		return fault.Input("address", "请填写一个 IP 地址，例如 10.1.2.3", "give an IP address, such as 10.1.2.3")
	}
	in.Address = a.Unmap().String()
	return at(s.Policy.CheckAddr(a), "address")
}

func vetLabels(in *HostInput) error {
	if in.Key = strings.TrimSpace(in.Key); in.Key != "" && !lengthIn(in.Key, 1, maxKey) {
		return fault.Input("key", "键最多 200 个字符，不换行", "a key has at most 200 characters on one line")
	}
	var out []string
	for i, l := range in.Labels {
		l = strings.TrimSpace(l)
		if !lengthIn(l, 1, maxLabel) {
			return fault.Input("labels", "标签应有 1 到 40 个字", "a label has 1 to 40 characters").At("labels", strconv.Itoa(i))
		}
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	if in.Labels = out; len(out) > maxLabels {
		return fault.Input("labels", "一台设备最多 20 个标签", "a host has at most 20 labels")
	}
	return nil
}

var kindDefaults = map[Kind]int{ICMP: baseTier, TCP: baseTier, HTTP: baseTier, DNS: baseTier, Push: baseTier, Page: slowest, TLS: daily, Domain: daily}

// vetCheck fills in defaults and checks one check; the path of its error is
// inside the check.
func (s *Service) vetCheck(ctx context.Context, c *CheckInput) error {
	def, known := kindDefaults[c.Kind]
	if !known {
		return fault.Input("kind", "种类应为 ICMP、TCP、HTTP、TLS、DNS、DOMAIN、PUSH 或 PAGE", "the kind is ICMP, TCP, HTTP, TLS, DNS, DOMAIN, PUSH or PAGE")
	}
	if c.Seconds == 0 {
		c.Seconds = def
	}
	slow := c.Kind == TLS || c.Kind == Domain || c.Kind == Page
	if !slices.Contains([]int{10, 30, 60, 300}, c.Seconds) && (!slow || c.Seconds != daily) || c.Kind == Domain && c.Seconds != daily {
		return fault.Input("intervalSeconds", "间隔只能是 10、30、60 或 300 秒；证书和网页内容也可以每天一次，域名到期只能每天一次",
			"the interval is 10, 30, 60 or 300 seconds; certificates and contents of pages also once a day (86400), the end of a domain only so")
	}
	c.Target = strings.TrimSpace(c.Target)
	if err := c.vetExpect(); err != nil {
		return err
	}
	switch c.Kind {
	case ICMP:
		if c.Target != "" {
			return fault.Input("target", "ICMP 检测的目标就是设备地址，请留空", "an ICMP check goes to the host's address: leave the target empty")
		}
		return nil
	case TCP, TLS:
		host, port, err := net.SplitHostPort(c.Target)
		if err != nil {
			return fault.Input("target", "目标应写作 主机:端口，例如 10.1.2.3:443", "a target is host:port, such as 10.1.2.3:443")
		}
		return s.vetTarget(ctx, host, port)
	case HTTP, Page:
		return s.vetURL(ctx, c)
	case DNS:
		return s.vetQuestion(ctx, c)
	case Domain:
		return c.vetDomain()
	}
	return c.vetPush()
}

// vetExpect refuses what the kind does not know: it would look as if it were
// demanded.
func (c *CheckInput) vetExpect() error {
	e := &c.Expect
	none := Expect{}
	switch c.Kind {
	case HTTP:
		none.Status, none.Contain, none.Lack, none.Pattern, none.Head, none.SkipVerify = e.Status, e.Contain, e.Lack, e.Pattern, e.Head, e.SkipVerify
	case Page:
		none.SkipVerify = e.SkipVerify
	case TLS:
		none.Name = e.Name
	case DNS:
		none.Answers = e.Answers
	case Push:
		none.Every, none.Grace = e.Every, e.Grace
	}
	if !same(none, *e) {
		return fault.Input("expect", "这种检测项没有这样的要求", "a check of this kind has no such demand")
	}
	for _, code := range e.Status {
		if code < 100 || code > 599 {
			return fault.Input("expect", "状态码应在 100 到 599 之间", "status codes are between 100 and 599")
		}
	}
	if len(e.Status) > maxStatuses || utf8.RuneCountInString(e.Contain) > maxMatch || utf8.RuneCountInString(e.Lack) > maxMatch || utf8.RuneCountInString(e.Pattern) > maxPattern {
		return fault.Input("expect", "最多 20 个状态码；查找的文字和表达式最多 500 个字", "at most 20 status codes; a text or expression to be found has at most 500 characters")
	}
	if _, err := regexp.Compile(e.Pattern); err != nil {
		return fault.Input("expect", "正则表达式不对（RE2）："+err.Error(), "the regular expression is not valid (RE2): "+err.Error())
	}
	if !utf8.ValidString(e.Contain + e.Lack + e.Pattern) {
		return fault.Input("expect", "查找的文字不是 UTF-8", "the text to be found is not UTF-8")
	}
	if e.Head && e.Contain+e.Lack+e.Pattern != "" {
		return fault.Input("expect", "HEAD 请求没有内容可查：请改用 GET，或不查文字", "a HEAD request has no body to look into: use GET, or demand no text")
	}
	if e.Name != "" && !domainName.MatchString(e.Name) {
		return fault.Input("expect", "证书的名字应是域名", "the name of a certificate is a domain name")
	}
	if len(e.Answers) > maxAnswers {
		return fault.Input("expect", "最多 20 条期望的应答", "at most 20 expected answers")
	}
	for i, a := range e.Answers {
		if !lengthIn(a, 1, 300) {
			return fault.Input("expect", "期望的应答应有 1 到 300 个字", "an expected answer has 1 to 300 characters")
		}
		e.Answers[i] = probe.DNSAnswer(a)
	}
	return nil
}

func (s *Service) vetURL(ctx context.Context, c *CheckInput) error {
	u, err := url.Parse(c.Target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || len(c.Target) > 2000 {
		return fault.Input("target", "目标应为 http 或 https 网址，不含用户名和密码", "the target is an http or https URL without user and password")
	}
	return s.vetTarget(ctx, u.Hostname(), portOf(u))
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

var domainName = regexp.MustCompile(`^(?i)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*\.?$`)

// question is what a DNS check asks; server "" is the host itself.
type question struct{ server, name, kind string }

func parseQuestion(target string) (question, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "dns" || u.User != nil || u.Fragment != "" {
		return question{}, fault.Input("target", "目标应写作 dns:名字?type=A，或 dns://服务器/名字?type=MX", "the target is dns:name?type=A or dns://server/name?type=MX")
	}
	q := question{server: u.Host, name: strings.ToLower(strings.TrimSuffix(u.Opaque+strings.TrimPrefix(u.Path, "/"), ".")), kind: strings.ToUpper(u.Query().Get("type"))}
	if q.kind == "" {
		q.kind = "A"
	}
	if q.server != "" && u.Port() == "" {
		q.server = net.JoinHostPort(u.Hostname(), "53")
	}
	if _, known := probe.DNSTypes[q.kind]; !known || len(q.name) > 253 || !domainName.MatchString(q.name) {
		return q, fault.Input("target", "域名不对，或记录类型不是 A、AAAA、CNAME、MX、TXT、NS、SRV 之一", "the name is not valid, or the type is not A, AAAA, CNAME, MX, TXT, NS or SRV")
	}
	return q, nil
}

func (q question) String() string {
	if q.server == "" {
		return "dns:" + q.name + "?type=" + q.kind
	}
	return "dns://" + q.server + "/" + q.name + "?type=" + q.kind
}

func (s *Service) vetQuestion(ctx context.Context, c *CheckInput) error {
	q, err := parseQuestion(c.Target)
	if err != nil {
		return err
	}
	c.Target = q.String()
	if q.server == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(q.server)
	if err != nil {
		return fault.Input("target", "域名服务器写得不对", "the name server is not valid")
	}
	return s.vetTarget(ctx, host, port)
}

func (c *CheckInput) vetDomain() error {
	c.Target = strings.ToLower(strings.TrimSuffix(c.Target, "."))
	if len(c.Target) > 253 || !domainName.MatchString(c.Target) || !strings.Contains(c.Target, ".") {
		return fault.Input("target", "目标应为注册的域名，例如 example.org", "the target is a registered domain, such as example.org")
	}
	return nil
}

var secretPart = regexp.MustCompile(`^[A-Za-z0-9_-]*$`)

func (c *CheckInput) vetPush() error {
	if n := len(c.Target); n > 0 && n < minSecret || n > 64 || !secretPart.MatchString(c.Target) {
		return fault.Input("target", "心跳网址的密文应有 10 到 64 个字母或数字；留空即生成新的", "the secret part of a heartbeat's URL has 10 to 64 letters and digits; leave it empty for a new one")
	}
	e := &c.Expect
	if e.Every == 0 {
		e.Every = 60
	}
	if e.Grace == 0 {
		e.Grace = max(30, e.Every/10)
	}
	if e.Every < 10 || e.Every > maxEvery || e.Grace < 0 || e.Grace > maxEvery {
		return fault.Input("expect", "心跳间隔应在 10 秒到 40 天之间，宽限最多 40 天", "a heartbeat comes every 10 seconds to 40 days and may be late by at most 40 days")
	}
	return nil
}

// vetTarget asks the policy about an address, or about all of a name's.
func (s *Service) vetTarget(ctx context.Context, host, port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return fault.Input("target", "目标的主机或端口不对", "the target's host or port is not valid")
	}
	addrs, err := s.lookup(ctx, host)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err := s.Policy.Check(netip.AddrPortFrom(a.Unmap(), uint16(n))); err != nil {
			return at(err, "target")
		}
	}
	return nil
}

// lookup gives a name's addresses.
func (s *Service) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	within, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	var r probe.Resolver = net.DefaultResolver
	if s.Resolver != nil {
		r = s.Resolver
	}
	addrs, err := r.LookupNetIP(within, "ip", host)
	if err != nil || len(addrs) == 0 {
		return nil, fault.Input("target", "找不到 "+host+" 的地址：请检查拼写或域名解析", "no address of "+host+" was found: check its spelling or the name service")
	}
	return addrs, nil
}
