package netmon

import (
	"bytes"
	"encoding/csv"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"kelian/internal/fault"

	"golang.org/x/net/publicsuffix"
)

// readGatus reads the endpoints of a configuration of Gatus.
func readGatus(l *Listing, raw []byte) error {
	var f struct {
		Endpoints []gatusEndpoint `yaml:"endpoints"`
	}
	if err := unmarshal(raw, &f); err != nil {
		return err
	}
	g := gather{l: l, at: map[string]int{}}
	for _, e := range f.Endpoints {
		if e.Enabled != nil && !*e.Enabled {
			l.note("检测项“%s”已停用，没有导入", "the endpoint “%s” is disabled and not taken over", e.Name)
			continue
		}
		g.gatus(e)
	}
	return nil
}

type gatusEndpoint struct {
	Name       string   `yaml:"name"`
	Group      string   `yaml:"group"`
	URL        string   `yaml:"url"`
	Method     string   `yaml:"method"`
	Interval   string   `yaml:"interval"`
	Enabled    *bool    `yaml:"enabled"`
	Conditions []string `yaml:"conditions"`
	DNS        *struct {
		Name string `yaml:"query-name"`
		Type string `yaml:"query-type"`
	} `yaml:"dns"`
	Client struct {
		Insecure bool `yaml:"insecure"`
	} `yaml:"client"`
}

var condition = regexp.MustCompile(`^\s*\[([A-Z_]+)\]\s*(==|!=|<=|>=|<|>)\s*(.*?)\s*$`)

func (g *gather) gatus(e gatusEndpoint) {
	d, err := time.ParseDuration(e.Interval)
	if err != nil {
		d = time.Minute
	}
	seconds := tier(int(d / time.Second))
	var labels []string
	if e.Group != "" {
		labels = append(labels, e.Group)
	}
	u, err := url.Parse(e.URL)
	if e.DNS != nil {
		server := strings.TrimPrefix(e.URL, "dns://")
		host, _, err := net.SplitHostPort(server)
		if err != nil {
			host = server
		}
		c := CheckInput{Kind: DNS, Target: "dns://" + server + "/" + e.DNS.Name + "?type=" + e.DNS.Type, Seconds: seconds}
		g.conditions(e, &c)
		g.add(host, e.Name, labels, c)
		return
	}
	if err != nil || u.Host == "" {
		g.l.note("检测项“%s”的网址读不懂，没有导入", "the URL of the endpoint “%s” cannot be read: not taken over", e.Name)
		return
	}
	c := CheckInput{Seconds: seconds}
	switch u.Scheme {
	case "http", "https":
		c.Kind, c.Target, c.Expect = HTTP, e.URL, Expect{SkipVerify: e.Client.Insecure, Head: strings.EqualFold(e.Method, "HEAD")}
	case "tcp":
		c.Kind, c.Target = TCP, u.Host
	case "tls":
		c.Kind, c.Target = TLS, u.Host
	case "icmp":
		c.Kind = ICMP
	default:
		g.l.note("检测项“%s”的协议 %s 没有对应的检测项，没有导入", "the endpoint “%s” speaks %s, for which there is no check here: not taken over", e.Name, u.Scheme)
		return
	}
	host := u.Hostname()
	g.conditions(e, &c)
	g.add(host, e.Name, labels, c)
	for _, x := range e.Conditions {
		m := condition.FindStringSubmatch(x)
		switch {
		case m == nil:
		case m[1] == "CERTIFICATE_EXPIRATION" && c.Kind == HTTP && u.Scheme == "https":
			g.add(host, e.Name, nil, CheckInput{Kind: TLS, Target: net.JoinHostPort(host, portOf(u)), Seconds: daily})
		case m[1] == "DOMAIN_EXPIRATION":
			registered, err := publicsuffix.EffectiveTLDPlusOne(host)
			if err != nil { // a name that nobody can register
				g.l.note("检测项“%s”的域名 %s 不是注册来的，没有导入到期检测", "the endpoint “%s” asks for the end of %s, which nobody registers: not taken over", e.Name, host)
				continue
			}
			g.add(host, e.Name, nil, CheckInput{Kind: Domain, Target: registered, Seconds: daily})
		}
	}
}

// conditions takes over what a check can demand, and names the rest.
func (g *gather) conditions(e gatusEndpoint, c *CheckInput) {
	for _, x := range e.Conditions {
		m := condition.FindStringSubmatch(x)
		lost := m == nil
		if m != nil {
			what, op, v := m[1], m[2], strings.Trim(m[3], `"`)
			n, err := strconv.Atoi(v)
			pattern := strings.HasPrefix(v, "pat(") && strings.HasSuffix(v, ")")
			switch {
			case what == "STATUS" && op == "==" && err == nil && c.Kind == HTTP:
				c.Expect.Status = []int{n}
			case what == "STATUS" && op == "==" && strings.HasPrefix(v, "any(") && c.Kind == HTTP:
				for _, s := range strings.Split(strings.TrimSuffix(v[4:], ")"), ",") {
					if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
						c.Expect.Status = append(c.Expect.Status, n)
					}
				}
			case what == "STATUS" && op == "<" && v == "300" && c.Kind == HTTP:
			case what == "BODY" && (op == "==" || op == "!=") && pattern && c.Kind == HTTP:
				text := strings.Trim(v[4:len(v)-1], "*")
				if lost = strings.ContainsAny(text, "*?["); !lost && op == "==" {
					c.Expect.Contain = text
				} else if !lost {
					c.Expect.Lack = text
				}
			case what == "BODY" && op == "==" && c.Kind == DNS && !pattern:
				c.Expect.Answers = append(c.Expect.Answers, v)
			case what == "CONNECTED" && v == "true", what == "DNS_RCODE" && v == "NOERROR", what == "CERTIFICATE_EXPIRATION", what == "DOMAIN_EXPIRATION":
			default:
				lost = true
			}
		}
		if lost {
			g.l.note("检测项“%s”的条件 %s 没有导入", "the condition of the endpoint “%s” is not taken over: %s", e.Name, x)
		}
	}
}

// readPrometheus reads the file of file_sd_configs; a module of blackbox, as
// the label module or __param_module, says what is checked.
func readPrometheus(l *Listing, raw []byte) error {
	var f []struct {
		Targets []string          `yaml:"targets"`
		Labels  map[string]string `yaml:"labels"`
	}
	if err := unmarshal(raw, &f); err != nil {
		return err
	}
	g := gather{l: l, at: map[string]int{}}
	for _, group := range f {
		module := group.Labels["__param_module"] + group.Labels["module"]
		var labels []string
		for _, k := range slices.Sorted(maps.Keys(group.Labels)) {
			if !strings.HasPrefix(k, "__") && k != "module" && k != "name" {
				labels = append(labels, k+"="+group.Labels[k])
			}
		}
		for _, t := range group.Targets {
			g.prometheus(t, module, group.Labels["name"], labels)
		}
	}
	return nil
}

func (g *gather) prometheus(t, module, name string, labels []string) {
	if name == "" {
		name = t
	}
	host, _, err := net.SplitHostPort(t)
	u, urlErr := url.Parse(t)
	web := urlErr == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
	switch {
	case strings.HasPrefix(module, "icmp") || module == "" && err != nil && !web:
		g.add(strings.Trim(t, "[]"), name, labels, CheckInput{Kind: ICMP})
	case strings.HasPrefix(module, "http") && !web:
		g.prometheus("http://"+t, "http", name, labels)
	case web && !strings.HasPrefix(module, "tcp") && !strings.HasPrefix(module, "dns"):
		g.add(u.Hostname(), name, labels, CheckInput{Kind: HTTP, Target: t})
	case (module == "" || strings.HasPrefix(module, "tcp")) && err == nil:
		g.add(host, name, labels, CheckInput{Kind: TCP, Target: t})
	default:
		g.l.note("目标 %s（模块 %s）没有对应的检测项，没有导入", "the target %s (module %s) has no check here: not taken over", t, module)
	}
}

// readCSV reads key, name_zh, name_en, address, labels, buildings, needs and
// checks, in any order, the first line names them. Lists are split by ";", a
// group of needs by "|"; a check is its kind, its target and its seconds.
func readCSV(l *Listing, raw []byte) error {
	r := csv.NewReader(bytes.NewReader(raw))
	r.FieldsPerRecord = -1
	all, err := r.ReadAll()
	if err != nil {
		return err
	}
	columns := map[string]func(h *HostRow, v string) error{
		"key": func(h *HostRow, v string) error { h.Key = v; return nil }, "address": func(h *HostRow, v string) error { h.Address = v; return nil },
		"name_zh": func(h *HostRow, v string) error { h.NameZh = v; return nil }, "name_en": func(h *HostRow, v string) error { h.NameEn = v; return nil },
		"labels": func(h *HostRow, v string) error { h.Labels = split(v, ";"); return nil }, "buildings": func(h *HostRow, v string) error { h.Buildings = split(v, ";"); return nil },
		"needs": func(h *HostRow, v string) error {
			for _, g := range split(v, ";") {
				h.Needs = append(h.Needs, split(g, "|"))
			}
			return nil
		},
		"checks": csvChecks,
	}
	for i, record := range all {
		if i == 0 {
			for _, name := range record {
				if columns[strings.TrimSpace(name)] == nil {
					return fault.Input("text", "第一行有不认识的列名 "+name+"；可用：key, name_zh, name_en, address, labels, buildings, needs, checks", "the first line has an unknown column "+name+"; there are key, name_zh, name_en, address, labels, buildings, needs, checks")
				}
			}
			continue
		}
		var h HostRow
		for k, v := range record {
			if k >= len(all[0]) {
				return fault.Input("text", "第 "+strconv.Itoa(i+1)+" 行的列比第一行多", "line "+strconv.Itoa(i+1)+" has more columns than the first")
			}
			if err := columns[strings.TrimSpace(all[0][k])](&h, strings.TrimSpace(v)); err != nil {
				return err
			}
		}
		l.Hosts = append(l.Hosts, h)
	}
	return nil
}

func csvChecks(h *HostRow, v string) error {
	for _, c := range split(v, ";") {
		f := strings.Fields(c)
		in := CheckInput{Kind: Kind(strings.ToUpper(f[0]))}
		for _, x := range f[1:] {
			if n, err := strconv.Atoi(x); err == nil {
				in.Seconds = n
			} else {
				in.Target = x
			}
		}
		h.Checks = append(h.Checks, in)
	}
	return nil
}

func split(s, by string) (out []string) {
	for v := range strings.SplitSeq(s, by) {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}
