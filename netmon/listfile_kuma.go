package netmon

import (
	"context"
	"database/sql"
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// kumaMonitor is a monitor of Uptime Kuma, as in its backup and, under other
// names, its table.
type kumaMonitor struct {
	ID            int         `json:"id"`
	Name          string      `json:"name"`
	Type          string      `json:"type"`
	URL           string      `json:"url"`
	Method        string      `json:"method"`
	Hostname      string      `json:"hostname"`
	Port          json.Number `json:"port"`
	Interval      int         `json:"interval"`
	Keyword       string      `json:"keyword"`
	InvertKeyword bool        `json:"invertKeyword"`
	IgnoreTLS     bool        `json:"ignoreTls"`
	Expiry        bool        `json:"expiryNotification"`
	Accepted      []string    `json:"accepted_statuscodes"`
	DNSType       string      `json:"dns_resolve_type"`
	DNSServer     string      `json:"dns_resolve_server"`
	PushToken     string      `json:"pushToken"`
	Parent        int         `json:"parent"`
	UpsideDown    bool        `json:"upsideDown"`
	Active        *kumaBool   `json:"active"`
	Tags          []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"tags"`
}

// kumaBool is true, false, 1 or 0.
type kumaBool bool

// UnmarshalJSON implements json.Unmarshaler.
func (b *kumaBool) UnmarshalJSON(raw []byte) error {
	*b = string(raw) == "true" || string(raw) == "1"
	return nil
}

func readKuma(l *Listing, raw []byte) error {
	var f struct {
		Notifications []struct {
			Name string `json:"name"`
		} `json:"notificationList"`
		Monitors []kumaMonitor `json:"monitorList"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return err
	}
	for _, n := range f.Notifications {
		l.note("通知方式“%s”没有导入：科联按席位和个人设置通知", "the notification “%s” is not taken over: Kelian tells seats, and people as they wish", n.Name)
	}
	l.kuma(f.Monitors)
	return nil
}

// ReadKumaDB reads the database of Uptime Kuma 2 (kuma.db), which it does not
// change.
func ReadKumaDB(ctx context.Context, file string) (Listing, error) {
	var l Listing
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?mode=ro")
	if err != nil {
		return l, err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(ctx, `SELECT id, COALESCE(name, ''), COALESCE(type, ''), COALESCE(url, ''), COALESCE(method, ''), COALESCE(hostname, ''), COALESCE(port, 0),
		COALESCE(interval, 60), COALESCE(keyword, ''), COALESCE(invert_keyword, 0), COALESCE(ignore_tls, 0), COALESCE(expiry_notification, 0),
		COALESCE(accepted_statuscodes_json, '[]'), COALESCE(dns_resolve_type, ''), COALESCE(dns_resolve_server, ''), COALESCE(push_token, ''), COALESCE(parent, 0),
		COALESCE(upside_down, 0), COALESCE(active, 1) FROM monitor ORDER BY id LIMIT 20000`)
	if err != nil {
		return l, err
	}
	defer func() { _ = rows.Close() }()
	var all []kumaMonitor
	for rows.Next() {
		var m kumaMonitor
		var codes string
		var port int
		var active bool
		if err := rows.Scan(&m.ID, &m.Name, &m.Type, &m.URL, &m.Method, &m.Hostname, &port, &m.Interval, &m.Keyword, &m.InvertKeyword, &m.IgnoreTLS, &m.Expiry, &codes,
			&m.DNSType, &m.DNSServer, &m.PushToken, &m.Parent, &m.UpsideDown, &active); err != nil {
			return l, err
		}
		m.Port, m.Active = json.Number(strconv.Itoa(port)), (*kumaBool)(&active)
		_ = json.Unmarshal([]byte(codes), &m.Accepted) // not a list: any 2xx
		all = append(all, m)
	}
	if err := rows.Err(); err != nil {
		return l, err
	}
	tags, err := db.QueryContext(ctx, `SELECT mt.monitor_id, t.name, COALESCE(mt.value, '') FROM monitor_tag AS mt JOIN tag AS t ON t.id = mt.tag_id ORDER BY mt.id`)
	if err != nil {
		return l, err
	}
	defer func() { _ = tags.Close() }()
	for tags.Next() {
		var of int
		var name, value string
		if err := tags.Scan(&of, &name, &value); err != nil {
			return l, err
		}
		for i := range all {
			if all[i].ID == of {
				all[i].Tags = append(all[i].Tags, struct {
					Name  string `json:"name"`
					Value string `json:"value"`
				}{name, value})
			}
		}
	}
	l.kuma(all)
	return l, tags.Err()
}

func (l *Listing) kuma(all []kumaMonitor) {
	parent := map[int]*kumaMonitor{}
	for i := range all {
		parent[all[i].ID] = &all[i]
	}
	g := gather{l: l, at: map[string]int{}}
	for i := range all {
		m := &all[i]
		if m.Type == "group" {
			continue // it is a label of those inside
		}
		if m.Active != nil && !bool(*m.Active) {
			l.note("监控项“%s”已停用，没有导入", "the monitor “%s” is paused and not taken over", m.Name)
			continue
		}
		if m.UpsideDown {
			l.note("监控项“%s”是反向监控，科联没有，没有导入", "the monitor “%s” is upside down, which Kelian has not: not taken over", m.Name)
			continue
		}
		var labels []string
		for p, depth := parent[m.Parent], 0; p != nil && depth < 10; p, depth = parent[p.Parent], depth+1 {
			labels = append(labels, p.Name)
		}
		for _, t := range m.Tags {
			if t.Value != "" {
				t.Name += "=" + t.Value
			}
			labels = append(labels, t.Name)
		}
		g.kuma(m, labels)
	}
}

func (g *gather) kuma(m *kumaMonitor, labels []string) {
	seconds := tier(m.Interval)
	port := m.Port.String()
	switch m.Type {
	case "http", "keyword", "json-query":
		u, err := url.Parse(m.URL)
		if err != nil || u.Hostname() == "" {
			g.l.note("监控项“%s”的网址读不懂，没有导入", "the URL of the monitor “%s” cannot be read: not taken over", m.Name)
			return
		}
		c := CheckInput{Kind: HTTP, Target: m.URL, Seconds: seconds, Expect: Expect{SkipVerify: m.IgnoreTLS, Head: strings.EqualFold(m.Method, "HEAD")}}
		if m.Method != "" && !strings.EqualFold(m.Method, "GET") && !c.Expect.Head {
			g.l.note("监控项“%s”用 %s 请求，改为 GET", "the monitor “%s” asks by %s: GET instead", m.Name, m.Method)
		}
		if m.Type == "json-query" {
			g.l.note("监控项“%s”的 JSON 条件没有导入，只检查状态码", "the JSON condition of the monitor “%s” is not taken over: only the status is checked", m.Name)
		}
		if m.Type == "keyword" && m.InvertKeyword {
			c.Expect.Lack = m.Keyword
		} else if m.Type == "keyword" {
			c.Expect.Contain = m.Keyword
		}
		c.Expect.Status = g.codes(m.Name, m.Accepted)
		g.add(u.Hostname(), m.Name, labels, c)
		if m.Expiry && u.Scheme == "https" {
			g.add(u.Hostname(), m.Name, nil, CheckInput{Kind: TLS, Target: net.JoinHostPort(u.Hostname(), portOf(u)), Seconds: daily})
		}
	case "port":
		g.add(m.Hostname, m.Name, labels, CheckInput{Kind: TCP, Target: net.JoinHostPort(m.Hostname, port), Seconds: seconds})
	case "ping":
		g.add(m.Hostname, m.Name, labels, CheckInput{Kind: ICMP, Seconds: seconds})
	case "dns":
		server, _, _ := strings.Cut(m.DNSServer, ",")
		server = strings.TrimSpace(server)
		if port != "" && port != "0" && port != "53" && server != "" {
			server = net.JoinHostPort(server, port)
		} else if a, err := netip.ParseAddr(server); err == nil && a.Is6() {
			server = "[" + server + "]"
		}
		host, _, err := net.SplitHostPort(server)
		if err != nil {
			host = strings.Trim(server, "[]")
		}
		kind := m.DNSType
		if kind == "" {
			kind = "A"
		}
		g.add(host, m.Name, labels, CheckInput{Kind: DNS, Target: "dns://" + server + "/" + m.Hostname + "?type=" + kind, Seconds: seconds})
	case "push":
		g.add("", m.Name, labels, CheckInput{Kind: Push, Target: m.PushToken, Seconds: baseTier, Expect: Expect{Every: max(10, m.Interval)}})
		g.l.note("心跳“%s”保留了密文，但网址变为 /push/<密文>：请修改发送方", "the heartbeat “%s” keeps its secret, but its URL is now /push/<secret>: change the sender", m.Name)
	default:
		g.l.note("监控项“%s”的类型 %s 没有对应的检测项，没有导入", "the monitor “%s” is of the type %s, for which there is no check here: not taken over", m.Name, m.Type)
	}
}

// codes reads ["200-299", "401"]; any 2xx is our own default.
func (g *gather) codes(name string, accepted []string) (out []int) {
	if len(accepted) == 0 || len(accepted) == 1 && accepted[0] == "200-299" {
		return nil
	}
	for _, a := range accepted {
		from, until, span := strings.Cut(a, "-")
		x, errX := strconv.Atoi(from)
		y, errY := strconv.Atoi(until)
		if !span {
			y, errY = x, nil
		}
		if errX != nil || errY != nil || x < 100 || y > 599 || y < x {
			continue
		}
		for ; x <= y && len(out) <= maxStatuses; x++ {
			out = append(out, x)
		}
	}
	if len(out) > maxStatuses {
		g.l.note("监控项“%s”接受的状态码太多，只取前 20 个", "the monitor “%s” accepts too many codes: the first 20 are taken", name)
		out = out[:maxStatuses]
	}
	return out
}

// gather puts checks of one machine into one row.
type gather struct {
	l  *Listing
	at map[string]int // by address or name
}

func (g *gather) add(host, name string, labels []string, c CheckInput) {
	i, ok := g.at[strings.ToLower(host)]
	if !ok || host == "" {
		i = len(g.l.Hosts)
		row := HostRow{NameZh: name, NameEn: name}
		if a, err := netip.ParseAddr(host); err == nil {
			row.Address = a.Unmap().String()
		}
		g.l.Hosts = append(g.l.Hosts, row)
		g.at[strings.ToLower(host)] = i
	}
	row := &g.l.Hosts[i]
	if c.Kind == ICMP && row.Address == "" {
		row.Ping = host
	}
	for _, l := range labels {
		if r := []rune(strings.TrimSpace(l)); len(r) > 0 && len(row.Labels) < maxLabels {
			row.Labels = append(row.Labels, string(r[:min(len(r), maxLabel)]))
		}
	}
	for _, had := range row.Checks {
		if had.Kind == c.Kind && had.Target == c.Target {
			if !same(had, c) {
				g.l.note("“%s”与“%s”检测同一目标，只保留前一个", "“%s” looks at the same target as “%s”, which is kept", name, row.NameZh)
			}
			return
		}
	}
	row.Checks = append(row.Checks, c)
}

// tier is the slowest of ours that is not slower.
func tier(seconds int) int {
	for _, t := range []int{300, 60, 30} {
		if seconds >= t {
			return t
		}
	}
	return baseTier
}
