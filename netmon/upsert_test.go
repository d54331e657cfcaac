package netmon_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/netmon"
	"kelian/netmon/probe"
	"kelian/org"

	"database/sql"
)

// anywhere resolves every name to one address, and allows 10.0.0.0/8.
type anywhere struct{}

func (anywhere) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if strings.HasPrefix(host, "nowhere") {
		return nil, nil
	}
	return []netip.Addr{netip.MustParseAddr("10.200.0.1")}, nil
}

func lists(db *store.DB) *netmon.Service {
	p := probe.NewPolicy(probe.PolicyOptions{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	return netmon.New(db, testkit.Clock(), rules, netmon.Options{Policy: p, Resolver: anywhere{}})
}

func icmp() []netmon.CheckInput { return []netmon.CheckInput{{Kind: netmon.ICMP}} }

func results(list []netmon.RowResult) string {
	var out []string
	for _, r := range list {
		s := r.Result
		if r.Result == netmon.Refused {
			s = r.Reason + "@" + strings.Join(r.Path, ".")
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestListsAreUpserted(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		factory.Federation(t, db)
		s := lists(db)
		up := func(dry bool, rows ...netmon.HostRow) []netmon.RowResult {
			t.Helper()
			out, err := s.UpsertHosts(bg, org.System(), netmon.UpsertInput{Hosts: rows, DryRun: dry})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		core := netmon.HostRow{NameZh: "核心", NameEn: "Core", Address: "10.0.0.1", Checks: icmp(), Labels: []string{"机房"}}
		access := netmon.HostRow{Key: "sw-7", NameZh: "接入", NameEn: "Access", Address: "10.0.0.2", Needs: [][]string{{"核心"}}, Checks: icmp()}
		server := netmon.HostRow{NameZh: "网站", Needs: [][]string{{"sw-7"}}, Checks: []netmon.CheckInput{{Kind: netmon.HTTP, Target: "https://www.example.edu/"}, {Kind: netmon.Push}}}
		// The order of the file does not matter.
		all := []netmon.HostRow{server, access, core}
		if got := results(up(true, all...)); got != "CREATED CREATED CREATED" {
			t.Fatal(got)
		}
		if list, err := s.Hosts(bg, org.System()); err != nil || len(list) != 0 {
			t.Fatalf("a dry run wrote: %v %v", list, err)
		}
		first := up(false, all...)
		if results(first) != "CREATED CREATED CREATED" || first[0].Host.IsZero() {
			t.Fatal(first)
		}
		if got := results(up(false, all...)); got != "UNCHANGED UNCHANGED UNCHANGED" {
			t.Fatal(got)
		}
		// By key with a new address and name, by address with a new name, by name.
		access.Address, access.NameZh, core.NameZh, server.Labels = "10.0.0.22", "接入交换机", "核心交换机", []string{"公开"}
		access.Needs = [][]string{{"10.0.0.1"}}
		got := up(false, core, access, server)
		if results(got) != "UPDATED UPDATED UPDATED" || got[2].Host != first[0].Host || got[0].Host != first[2].Host {
			t.Fatal(got)
		}
		bad := []netmon.HostRow{
			{NameZh: "甲", Address: "10.0.0.30", Needs: [][]string{{"乙"}}}, {NameZh: "乙", Address: "10.0.0.31", Needs: [][]string{{"丙"}}}, {NameZh: "丙", Address: "10.0.0.32", Needs: [][]string{{"甲"}}},
			{NameZh: "丁", Address: "10.0.0.33", Needs: [][]string{{"甲"}}},
			{NameZh: "戊", Address: "192.0.2.1", Checks: icmp()}, {NameZh: "己", Address: "10.0.0.34", Needs: [][]string{{"没有"}}},
			{NameZh: "庚", Checks: icmp()}, {NameZh: "辛", Checks: []netmon.CheckInput{{Kind: netmon.TCP, Target: "nowhere.edu:1"}}},
			{NameZh: "壬", Address: "10.0.0.35"}, {NameZh: "癸", Address: "10.0.0.35"}, {Key: "other", NameZh: "子", Address: "10.0.0.22"},
		}
		want := "DEPENDENCY_CYCLE@needs DEPENDENCY_CYCLE@needs DEPENDENCY_CYCLE@needs NEED_REFUSED@needs TARGET_NOT_ALLOWED@address HOST_UNKNOWN@needs.0 BAD_USER_INPUT@address BAD_USER_INPUT@checks.0.target CREATED ROW_TWICE@address ADDRESS_TAKEN@address"
		refused := up(false, bad...)
		if got := results(refused); got != want {
			t.Errorf("have %s\nwant %s", got, want)
		}
		if !strings.Contains(refused[0].Why.Zh, "甲 → 乙 → 丙 → 甲") {
			t.Errorf("the cycle is named: %s", refused[0].Why.Zh)
		}
		// A cycle through a host that is there already.
		core.Needs = [][]string{{"网站"}}
		if got := results(up(false, core)); got != "DEPENDENCY_CYCLE@needs" {
			t.Error(got)
		}
		outsider := org.Actor{Person: factory.Officer(t, db, "外人", "office.member"), Lang: "zh"}
		if _, err := s.UpsertHosts(bg, outsider, netmon.UpsertInput{Hosts: []netmon.HostRow{core}, DryRun: true}); !fault.Is(err, fault.Forbidden) {
			t.Errorf("%v", err)
		}
	})
}

// Two thousand rows in a chain from the last to the first go in by parts.
func TestALongListGoesInByParts(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		factory.Federation(t, db)
		s := lists(db)
		var rows []netmon.HostRow
		for i := range 1200 {
			r := netmon.HostRow{NameZh: fmt.Sprint("主机", i), NameEn: fmt.Sprint("Host ", i), Address: fmt.Sprintf("10.1.%d.%d", i/200, i%200+1), Checks: icmp()}
			if i < 1199 {
				r.Needs = [][]string{{fmt.Sprint("Host ", i+1)}}
			}
			rows = append(rows, r)
		}
		who := org.Actor{Person: factory.Officer(t, db, "王小明", "technical.head"), Lang: "zh"}
		in := netmon.UpsertInput{Hosts: rows, IdempotencyKey: "a-long-list"}
		for _, want := range []string{netmon.Created, netmon.Unchanged} {
			out, err := s.UpsertHosts(bg, who, in)
			if err != nil || slices.ContainsFunc(out, func(r netmon.RowResult) bool { return r.Result != want || r.Host.IsZero() }) {
				t.Fatalf("%+v %v", out[0], err)
			}
		}
	})
}

func TestExportMakesTheSameNetworkAgain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		for seed := range uint64(6) {
			r := rand.New(rand.NewPCG(seed, 1))
			s := lists(db)
			rows := randomNetwork(r)
			if _, err := s.UpsertHosts(bg, org.System(), netmon.UpsertInput{Hosts: rows}); err != nil {
				t.Fatal(err)
			}
			before, err := s.HostsYAML(bg, org.System())
			if err != nil || strings.Count(before, "nameZh") < 5 {
				t.Fatal(before, err)
			}
			l, again, err := s.ImportHosts(bg, org.System(), netmon.ImportInput{Format: netmon.FormatYAML, Text: []byte(before), DryRun: true})
			if err != nil || len(l.Notes) != 0 {
				t.Fatalf("%v\n%s", err, before)
			}
			for _, x := range again {
				if derived := strings.HasPrefix(l.Hosts[x.Row].Key, "hst_"); x.Result == netmon.Refused || x.Result != netmon.Unchanged && !derived {
					t.Fatalf("seed %d: %+v\n%s", seed, x, before)
				}
			}
			empty(t, db)
			s = lists(db)
			if _, out, err := s.ImportHosts(bg, org.System(), netmon.ImportInput{Format: netmon.FormatYAML, Text: []byte(before)}); err != nil || strings.Contains(results(out), "@") {
				t.Fatalf("seed %d: %s %v\n%s", seed, results(out), err, before)
			}
			after, err := s.HostsYAML(bg, org.System())
			if err != nil || after != before {
				t.Fatalf("seed %d: %v\n%s\n---\n%s", seed, err, before, after)
			}
			empty(t, db)
		}
	})
}

func empty(t *testing.T, db *store.DB) {
	t.Helper()
	for _, table := range []string{"check_memory", "host_check", "host_need", "host_building", "host"} {
		if _, err := db.Bun().NewRaw(`DELETE FROM ` + table).Exec(bg); err != nil {
			t.Fatal(err)
		}
	}
}

// randomNetwork has odd names, some twice, and every kind of check.
func randomNetwork(r *rand.Rand) (rows []netmon.HostRow) {
	odd := []string{"a: b", "- x", "#1", "'q'", `"d" \ e`, "空 格", "null", "1e3", "~", "😀 {x}", "yes", "\u2028line", "&anchor", "*alias", "% @"}
	kinds := []netmon.CheckInput{{Kind: netmon.ICMP}, {Kind: netmon.TCP, Target: "www.example.edu:22", Seconds: 30},
		{Kind: netmon.HTTP, Target: "https://www.example.edu/?a=<b>&c", Expect: netmon.Expect{Status: []int{200, 401}, Lack: "错误: \"x\"", Pattern: `^\d+\s`}},
		{Kind: netmon.TLS, Target: "www.example.edu:443", Expect: netmon.Expect{Name: "lib.example.edu"}}, {Kind: netmon.Domain, Target: "example.edu"},
		{Kind: netmon.DNS, Target: "dns://10.0.0.53/example.edu?type=MX", Expect: netmon.Expect{Answers: []string{"10 mail.example.edu"}}},
		{Kind: netmon.Push, Expect: netmon.Expect{Every: 86400, Grace: 7200}}, {Kind: netmon.Page, Target: "http://www.example.edu/news", Seconds: 86400}}
	for i := range 8 + r.IntN(20) {
		h := netmon.HostRow{NameZh: odd[r.IntN(len(odd))], NameEn: fmt.Sprint("Host ", r.IntN(30)), Address: fmt.Sprintf("10.7.0.%d", i+1)}
		if r.IntN(3) == 0 {
			h.Key = fmt.Sprint("k:", i)
		}
		for range r.IntN(3) {
			h.Labels = append(h.Labels, odd[r.IntN(len(odd))])
		}
		if r.IntN(2) == 0 {
			h.Buildings = []string{"教学楼 #3", "T" + fmt.Sprint(i)}
		}
		for _, k := range r.Perm(len(kinds))[:r.IntN(len(kinds))] {
			h.Checks = append(h.Checks, kinds[k])
		}
		if noAddress := !slices.ContainsFunc(h.Checks, func(c netmon.CheckInput) bool { return c.Kind == netmon.ICMP }); noAddress && r.IntN(2) == 0 {
			h.Address = ""
		}
		for range r.IntN(3) {
			if k := r.IntN(i + 1); k < i && rows[k].Address != "" {
				h.Needs = append(h.Needs, []string{rows[k].Address})
			}
		}
		if r.IntN(4) == 0 {
			h.Rule = netmon.Rule{Losses: 2, Within: 5, Replies: 1}
		}
		rows = append(rows, h)
	}
	return rows
}

const kuma = `{"version":"1.23.11","notificationList":[{"id":1,"name":"QQ 群"}],"monitorList":[
{"id":1,"name":"图书馆","type":"group","active":true},
{"id":2,"name":"主页","type":"keyword","url":"https://www.example.edu/","method":"GET","interval":60,"keyword":"欢迎","invertKeyword":false,"accepted_statuscodes":["200-299"],"expiryNotification":true,"parent":1,"active":true,"tags":[{"name":"外网","value":""}]},
{"id":3,"name":"主页 SSH","type":"port","hostname":"www.example.edu","port":22,"interval":20,"active":1},
{"id":4,"name":"网关","type":"ping","hostname":"10.3.0.1","interval":20,"active":true},
{"id":5,"name":"解析","type":"dns","hostname":"example.edu","dns_resolve_server":"10.3.0.53","dns_resolve_type":"MX","port":53,"interval":300,"active":true},
{"id":6,"name":"备份","type":"push","pushToken":"abcDEF1234","interval":86400,"active":true},
{"id":7,"name":"数据库","type":"mysql","interval":60,"active":true},
{"id":8,"name":"旧站","type":"http","url":"http://old.example.edu","active":false},
{"id":9,"name":"登录","type":"http","url":"https://www.example.edu/login","method":"POST","interval":600,"accepted_statuscodes":["401","403"],"active":true}]}`

func TestOtherMonitorsAreTakenOver(t *testing.T) {
	check := func(h netmon.HostRow) string {
		var out []string
		for _, c := range h.Checks {
			out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %d", c.Kind, c.Target, c.Seconds)))
		}
		return strings.Join(out, ", ")
	}
	read := func(format netmon.Format, text string, notes int, want ...string) netmon.Listing {
		t.Helper()
		l, err := netmon.ReadList(format, []byte(text))
		if err != nil {
			t.Fatal(format, err)
		}
		var got []string
		for _, h := range l.Hosts {
			got = append(got, h.NameZh+"|"+h.Address+"|"+strings.Join(h.Labels, ",")+"|"+check(h))
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || len(l.Notes) != notes {
			t.Errorf("%s: have\n%s\nwith %d notes %v", format, strings.Join(got, "\n"), len(l.Notes), l.Notes)
		}
		return l
	}
	fromKuma := []string{"主页||图书馆,外网|HTTP https://www.example.edu/ 60, TLS www.example.edu:443 86400, TCP www.example.edu:22 10, HTTP https://www.example.edu/login 300",
		"网关|10.3.0.1||ICMP  10", "解析|10.3.0.53||DNS dns://10.3.0.53/example.edu?type=MX 300", "备份|||PUSH abcDEF1234 10"}
	l := read(netmon.FormatKuma, kuma, 5, fromKuma...)
	if e := l.Hosts[0].Checks[0].Expect; e.Contain != "欢迎" || len(e.Status) != 0 || fmt.Sprint(l.Hosts[0].Checks[3].Expect.Status) != "[401 403]" || l.Hosts[3].Checks[0].Expect.Every != 86400 {
		t.Errorf("%+v", l.Hosts)
	}
	read(netmon.FormatGatus, `
endpoints:
  - name: front-end
    group: core
    url: "https://www.example.edu/health"
    interval: 5m
    conditions: ["[STATUS] == 200", "[BODY] == pat(*UP*)", "[CERTIFICATE_EXPIRATION] > 240h", "[DOMAIN_EXPIRATION] > 720h", "[RESPONSE_TIME] < 150"]
  - name: resolver
    url: "10.3.0.53"
    interval: 30s
    dns: {query-name: "example.edu", query-type: "A"}
    conditions: ["[BODY] == 10.1.2.3", "[DNS_RCODE] == NOERROR"]
  - name: ping
    url: "icmp://10.3.0.9"
    conditions: ["[CONNECTED] == true"]
  - name: ssh
    url: "ssh://10.3.0.9:22"
    conditions: ["[CONNECTED] == true"]
`, 2, "front-end||core|HTTP https://www.example.edu/health 300, TLS www.example.edu:443 86400, DOMAIN example.edu 86400", "resolver|10.3.0.53||DNS dns://10.3.0.53/example.edu?type=A 30", "ping|10.3.0.9||ICMP  60")
	read(netmon.FormatPrometheus, `[{"targets":["https://www.example.edu","10.3.0.1:9100","10.3.0.2"],"labels":{"job":"blackbox"}},{"targets":["10.3.0.4"],"labels":{"module":"icmp","name":"出口"}},{"targets":["10.3.0.5:53"],"labels":{"__param_module":"dns_udp"}}]`, 1,
		"https://www.example.edu||job=blackbox|HTTP https://www.example.edu 0", "10.3.0.1:9100|10.3.0.1|job=blackbox|TCP 10.3.0.1:9100 0", "10.3.0.2|10.3.0.2|job=blackbox|ICMP  0", "出口|10.3.0.4||ICMP  0")
	l = read(netmon.FormatCSV, "\ufeffname_zh,address,needs,checks,labels\n核心,10.3.0.1,,ICMP,机房\n接入,10.3.0.2,核心;10.3.0.8|10.3.0.9,ICMP 30;TCP 10.3.0.2:22 60,\n", 0, "核心|10.3.0.1|机房|ICMP  0", "接入|10.3.0.2||ICMP  30, TCP 10.3.0.2:22 60")
	if fmt.Sprint(l.Hosts[1].Needs) != "[[核心] [10.3.0.8 10.3.0.9]]" {
		t.Error(l.Hosts[1].Needs)
	}
	for format, text := range map[netmon.Format]string{netmon.FormatKuma: "[", netmon.FormatGatus: "a: &x [1]\nb: *x", netmon.FormatPrometheus: "- targets: 1", netmon.FormatCSV: "colour\nred", netmon.FormatYAML: "hosts:\n- colour: red", "XML": ""} {
		if _, err := netmon.ReadList(format, []byte(text)); !fault.Is(err, fault.BadUserInput) {
			t.Errorf("%s: %v", format, err)
		}
	}
	file := filepath.Join(t.TempDir(), "kuma #1.db")
	db, err := sql.Open("sqlite", "file:"+strings.ReplaceAll(file, "#", "%23"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(kumaSchema); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	l, err = netmon.ReadKumaDB(bg, file)
	if err != nil || len(l.Hosts) != 2 || check(l.Hosts[0]) != "HTTP https://www.example.edu/ 60, TLS www.example.edu:443 86400" || fmt.Sprint(l.Hosts[0].Labels) != "[图书馆 环境=生产]" || check(l.Hosts[1]) != "ICMP  30" {
		t.Errorf("%+v %v", l, err)
	}
}

const kumaSchema = `CREATE TABLE monitor (id INTEGER PRIMARY KEY, name VARCHAR(150), active BOOLEAN NOT NULL DEFAULT 1, interval INTEGER NOT NULL DEFAULT 20, url TEXT, type VARCHAR(20), hostname VARCHAR(255), port INTEGER,
keyword VARCHAR(255), ignore_tls BOOLEAN NOT NULL DEFAULT 0, upside_down BOOLEAN NOT NULL DEFAULT 0, accepted_statuscodes_json TEXT NOT NULL DEFAULT '["200-299"]', dns_resolve_type VARCHAR(5), dns_resolve_server VARCHAR(255),
push_token VARCHAR(32), method TEXT NOT NULL DEFAULT 'GET', expiry_notification BOOLEAN DEFAULT 1, invert_keyword BOOLEAN NOT NULL DEFAULT 0, parent INTEGER);
CREATE TABLE tag (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL, color VARCHAR(255) NOT NULL);
CREATE TABLE monitor_tag (id INTEGER PRIMARY KEY, monitor_id INTEGER NOT NULL, tag_id INTEGER NOT NULL, value TEXT);
INSERT INTO monitor (id, name, type, url, hostname, interval, parent) VALUES (1, '图书馆', 'group', NULL, NULL, 60, NULL), (2, '主页', 'http', 'https://www.example.edu/', NULL, 60, 1), (3, '网关', 'ping', 'https://', '10.3.0.1', 45, NULL);
INSERT INTO tag VALUES (1, '环境', '#fff'); INSERT INTO monitor_tag VALUES (1, 2, 1, '生产');`

func FuzzReadList(f *testing.F) {
	f.Add("KUMA", kuma)
	f.Add("GATUS", "endpoints:\n- name: a\n  url: https://x\n  conditions: ['[STATUS] == any(1,']")
	f.Add("PROMETHEUS", "- targets: [a]\n  labels: {b: c}")
	f.Add("CSV", "name_zh,checks\na,ICMP")
	f.Add("YAML", "hosts:\n- nameZh: a\n  checks:\n  - {\"kind\":\"ICMP\"}")
	f.Fuzz(func(t *testing.T, format, text string) {
		l, err := netmon.ReadList(netmon.Format(format), []byte(text))
		if err != nil && !fault.Is(err, fault.BadUserInput) {
			t.Fatal(err)
		}
		if len(l.Notes) > 500 {
			t.Fatal(len(l.Notes))
		}
	})
}
