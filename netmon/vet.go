package netmon

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/netmon/probe"
	"kelian/org"
)

// resolveWithin is how long the name of a target may take to be looked up when
// it is entered.
const resolveWithin = 2 * time.Second

// vet checks the shape of a host and whether its targets are allowed, before
// the transaction: names are looked up here. The policy is asked again whenever
// a packet is sent.
func (s *Service) vet(ctx context.Context, actor org.Actor, in *HostInput) error {
	if _, err := s.may(ctx, actor, "netmon.manage"); err != nil {
		return err
	}
	in.NameZh, in.NameEn = strings.TrimSpace(in.NameZh), strings.TrimSpace(in.NameEn)
	if !lengthIn(in.NameZh, 1, MaxName) {
		return fault.Input("nameZh", "中文名称应有 1 到 80 个字", "the Chinese name has 1 to 80 characters")
	}
	if !lengthIn(in.NameEn, 1, MaxName) {
		return fault.Input("nameEn", "英文名称应有 1 到 80 个字符", "the English name has 1 to 80 characters")
	}
	a, err := netip.ParseAddr(strings.TrimSpace(in.Address))
	if err != nil || a.Zone() != "" {
		return fault.Input("address", "请填写一个 IP 地址，例如 10.1.2.3", "give an IP address, such as 10.1.2.3")
	}
	in.Address = a.Unmap().String()
	if err := s.Policy.CheckAddr(a); err != nil {
		return at(err, "address")
	}
	if err := vetBuildings(in); err != nil {
		return err
	}
	if err := vetNeeds(in); err != nil {
		return err
	}
	if err := vetRule(in.Rule); err != nil {
		return err
	}
	if len(in.Checks) > MaxChecks {
		return fault.Input("checks", "一台设备最多 20 个检测项", "a host has at most 20 checks")
	}
	for i := range in.Checks {
		if err := s.vetCheck(ctx, &in.Checks[i]); err != nil {
			return at(err, append([]string{"checks", strconv.Itoa(i)}, pathOf(err)...)...)
		}
		for k := range i {
			if in.Checks[k].Kind == in.Checks[i].Kind && in.Checks[k].Target == in.Checks[i].Target {
				return fault.Input("checks", "同一检测项写了两次", "the same check is given twice").At("checks", strconv.Itoa(i), "target")
			}
		}
	}
	return nil
}

func lengthIn(s string, low, high int) bool {
	n := utf8.RuneCountInString(s)
	return n >= low && n <= high && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// at puts the field's path into an error for people.
func at(err error, path ...string) error {
	if f, ok := fault.As(err); ok {
		return f.At(path...)
	}
	return err
}

func pathOf(err error) []string {
	if f, ok := fault.As(err); ok && len(f.Path) > 0 {
		return f.Path
	}
	return []string{"target"}
}

// buildingKey is how buildings are compared.
func buildingKey(b string) string { return strings.ToLower(strings.TrimSpace(b)) }

func vetBuildings(in *HostInput) error {
	if len(in.Buildings) > MaxBuildings {
		return fault.Input("buildings", "一台设备最多服务 20 栋楼", "a host serves at most 20 buildings")
	}
	in.Buildings = slices.Clone(in.Buildings)
	for i, b := range in.Buildings {
		b = strings.TrimSpace(b)
		if !lengthIn(b, 1, MaxName) {
			return fault.Input("buildings", "楼名应有 1 到 80 个字", "a building's name has 1 to 80 characters").At("buildings", strconv.Itoa(i))
		}
		if slices.ContainsFunc(in.Buildings[:i], func(o string) bool { return buildingKey(o) == buildingKey(b) }) {
			return fault.Input("buildings", "同一栋楼写了两次", "the same building is given twice").At("buildings", strconv.Itoa(i))
		}
		in.Buildings[i] = b
	}
	return nil
}

// vetNeeds drops empty groups and repeated hosts within a group.
func vetNeeds(in *HostInput) error {
	var groups [][]id.ID
	for i, g := range in.Needs {
		var group []id.ID
		for _, n := range g {
			if !slices.Contains(group, n) {
				group = append(group, n)
			}
		}
		if len(group) > MaxGroups {
			return fault.Input("needs", "一组最多 16 台设备", "a group has at most 16 hosts").At("needs", strconv.Itoa(i))
		}
		if len(group) > 0 {
			groups = append(groups, group)
		}
	}
	if in.Needs = groups; len(groups) > MaxGroups {
		return fault.Input("needs", "依赖最多 16 组", "there are at most 16 groups of needs")
	}
	return nil
}

func vetRule(r Rule) error {
	for _, n := range []int{r.Losses, r.Within, r.Replies} {
		if n < 0 || n > 20 {
			return fault.Input("rule", "次数应在 1 到 20 之间", "the counts are between 1 and 20")
		}
	}
	return nil
}

// vetCheck fills in defaults and checks one check; the path of its error is
// inside the check.
func (s *Service) vetCheck(ctx context.Context, c *CheckInput) error {
	if c.Seconds == 0 {
		c.Seconds = baseTier
	}
	if !slices.Contains([]int{10, 30, 60, 300}, c.Seconds) {
		return fault.Input("intervalSeconds", "间隔只能是 10、30、60 或 300 秒", "the interval is 10, 30, 60 or 300 seconds")
	}
	c.Target = strings.TrimSpace(c.Target)
	switch c.Kind {
	case ICMP:
		if c.Target != "" {
			return fault.Input("target", "ICMP 检测的目标就是设备地址，请留空", "an ICMP check goes to the host's address: leave the target empty")
		}
		return nil
	case TCP:
		host, port, err := net.SplitHostPort(c.Target)
		if err != nil {
			return fault.Input("target", "目标应写作 主机:端口，例如 10.1.2.3:443", "a target is host:port, such as 10.1.2.3:443")
		}
		return s.vetTarget(ctx, host, port)
	case HTTP:
		return s.vetURL(ctx, c)
	}
	return fault.Input("kind", "种类应为 ICMP、TCP 或 HTTP", "the kind is ICMP, TCP or HTTP")
}

func (s *Service) vetURL(ctx context.Context, c *CheckInput) error {
	u, err := url.Parse(c.Target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || len(c.Target) > 2000 {
		return fault.Input("target", "目标应为 http 或 https 网址，不含用户名和密码", "the target is an http or https URL without user and password")
	}
	for _, code := range c.Expect.Status {
		if code < 100 || code > 599 {
			return fault.Input("expect", "状态码应在 100 到 599 之间", "status codes are between 100 and 599")
		}
	}
	if len(c.Expect.Status) > 20 || utf8.RuneCountInString(c.Expect.Contain) > 500 {
		return fault.Input("expect", "最多 20 个状态码；查找的文字最多 500 个字", "at most 20 status codes; the text to be found has at most 500 characters")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return s.vetTarget(ctx, u.Hostname(), port)
}

// vetTarget asks the policy about an address, or about all of a name's.
func (s *Service) vetTarget(ctx context.Context, host, port string) error {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return fault.Input("target", "目标的主机或端口不对", "the target's host or port is not valid")
	}
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, a)
	} else {
		within, cancel := context.WithTimeout(ctx, resolveWithin)
		defer cancel()
		var r probe.Resolver = net.DefaultResolver
		if s.Resolver != nil {
			r = s.Resolver
		}
		if addrs, err = r.LookupNetIP(within, "ip", host); err != nil || len(addrs) == 0 {
			return fault.Input("target", "找不到 "+host+" 的地址：请检查拼写或域名解析", "no address of "+host+" was found: check its spelling or the name service")
		}
	}
	for _, a := range addrs {
		if err := s.Policy.Check(netip.AddrPortFrom(a.Unmap(), uint16(n))); err != nil {
			return at(err, "target")
		}
	}
	return nil
}
