package netmon_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/netmon"
	"kelian/netmon/probe"
	"kelian/org"
)

// names resolves what the test says.
type names map[string]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := n[host]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}, nil
	}
	return nil, nil
}

// strict is a production service: 10.0.0.0/8 may be probed, Kelian itself
// listens on 10.0.0.5:8080.
func strict(db *store.DB) *netmon.Service {
	p := probe.NewPolicy(probe.PolicyOptions{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16")},
		Own: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.5:8080")}})
	return netmon.New(db, testkit.Clock(), rules, netmon.Options{Policy: p, Resolver: names{"inside.example.edu": "10.0.0.9", "sneaky.example.edu": "127.0.0.1"}})
}

func TestHostsThatAreRefused(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		s := strict(db)
		good := netmon.HostInput{NameZh: "主页", NameEn: "Website", Address: "10.0.0.9", Buildings: []string{"T1"},
			Checks: []netmon.CheckInput{{Kind: netmon.ICMP}, {Kind: netmon.TCP, Target: "10.0.0.9:443", Seconds: 30}, {Kind: netmon.HTTP, Target: "https://inside.example.edu/"}}}
		with := func(f func(*netmon.HostInput)) netmon.HostInput {
			in := good
			in.Checks = append([]netmon.CheckInput(nil), good.Checks...)
			f(&in)
			return in
		}
		check := func(kind netmon.Kind, target string) netmon.HostInput {
			return with(func(in *netmon.HostInput) { in.Checks = []netmon.CheckInput{{Kind: kind, Target: target}} })
		}
		for name, c := range map[string]struct {
			in   netmon.HostInput
			path string
			rule string // "" = BAD_USER_INPUT
		}{
			"loopback":         {with(func(in *netmon.HostInput) { in.Address = "127.0.0.1" }), "address", probe.ReasonNotAllowed},
			"metadata":         {with(func(in *netmon.HostInput) { in.Address = "169.254.169.254" }), "address", probe.ReasonNotAllowed},
			"outside":          {with(func(in *netmon.HostInput) { in.Address = "192.0.2.1" }), "address", probe.ReasonNotAllowed},
			"mapped loopback":  {with(func(in *netmon.HostInput) { in.Address = "::ffff:127.0.0.1" }), "address", probe.ReasonNotAllowed},
			"no address":       {with(func(in *netmon.HostInput) { in.Address = "host.example" }), "address", ""},
			"no name":          {with(func(in *netmon.HostInput) { in.NameEn = " " }), "nameEn", ""},
			"long name":        {with(func(in *netmon.HostInput) { in.NameZh = strings.Repeat("名", 81) }), "nameZh", ""},
			"own service":      {check(netmon.TCP, "10.0.0.5:8080"), "checks.0.target", probe.ReasonNotAllowed},
			"own page":         {check(netmon.HTTP, "http://10.0.0.5:8080/x"), "checks.0.target", probe.ReasonNotAllowed},
			"name of loopback": {check(netmon.TCP, "sneaky.example.edu:80"), "checks.0.target", probe.ReasonNotAllowed},
			"unknown name":     {check(netmon.TCP, "nobody.example.edu:80"), "checks.0.target", ""},
			"no port":          {check(netmon.TCP, "10.0.0.9"), "checks.0.target", ""},
			"password":         {check(netmon.HTTP, "http://a:b@10.0.0.9/"), "checks.0.target", ""},
			"file":             {check(netmon.HTTP, "file:///etc/passwd"), "checks.0.target", ""},
			"target for ICMP":  {check(netmon.ICMP, "10.0.0.9"), "checks.0.target", ""},
			"odd tier":         {with(func(in *netmon.HostInput) { in.Checks[0].Seconds = 7 }), "checks.0.intervalSeconds", ""},
			"check twice":      {with(func(in *netmon.HostInput) { in.Checks = append(in.Checks, in.Checks[1]) }), "checks.3.target", ""},
			"unknown parent":   {with(func(in *netmon.HostInput) { in.Needs = [][]id.ID{{id.New()}} }), "needs", "HOST_UNKNOWN"},
			"building twice":   {with(func(in *netmon.HostInput) { in.Buildings = []string{"T1", " t1"} }), "buildings.1", ""},
		} {
			_, err := s.CreateHost(bg, org.System(), c.in)
			f, ok := fault.As(err)
			if !ok || strings.Join(f.Path, ".") != c.path || f.Reason != c.rule || c.rule == "" && f.Code != fault.BadUserInput || f.Zh == "" || f.En == "" {
				t.Errorf("%s: %v at %v", name, err, f)
			}
		}
		first, err := s.CreateHost(bg, org.System(), good)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateHost(bg, org.System(), good); !fault.IsRule(err, "ADDRESS_TAKEN") {
			t.Errorf("the same address again: %v", err)
		}
		child := with(func(in *netmon.HostInput) { in.Address, in.Needs = "10.0.0.10", [][]id.ID{{first.Host}} })
		second, err := s.CreateHost(bg, org.System(), child)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.UpdateHost(bg, org.System(), first.Host, with(func(in *netmon.HostInput) { in.Needs = [][]id.ID{{second.Host}} }))
		if f, _ := fault.As(err); !fault.IsRule(err, "DEPENDENCY_CYCLE") || f.Path[0] != "needs" || !strings.Contains(f.Zh, "主页 → 主页") {
			t.Errorf("a cycle: %v", err)
		}
		if _, err := s.RemoveHost(bg, org.System(), netmon.RemoveInput{Host: first.Host}); !fault.IsRule(err, "HOST_NEEDED") {
			t.Errorf("removing a host that another needs: %v", err)
		}
	})
}

func TestUpdateKeepsChecksThatStay(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		s := strict(db)
		in := netmon.HostInput{NameZh: "主页", NameEn: "Website", Address: "10.0.0.9", Buildings: []string{"T1"},
			Checks: []netmon.CheckInput{{Kind: netmon.ICMP}, {Kind: netmon.TCP, Target: "10.0.0.9:443"}}}
		h, err := s.CreateHost(bg, org.System(), in)
		if err != nil {
			t.Fatal(err)
		}
		read := func() netmon.HostView {
			t.Helper()
			v, err := s.HostsByID(bg, org.System(), h.Host)
			if err != nil || len(v) != 1 {
				t.Fatal(v, err)
			}
			return v[0]
		}
		before := read()
		in.NameEn, in.Buildings = "Home page", []string{"T2", "T3"}
		in.Checks = []netmon.CheckInput{{Kind: netmon.ICMP, Seconds: 60}, {Kind: netmon.HTTP, Target: "http://10.0.0.9/", Expect: netmon.Expect{Status: []int{204}}}}
		if _, err := s.UpdateHost(bg, org.System(), h.Host, in); err != nil {
			t.Fatal(err)
		}
		after := read()
		if after.Name.En != "Home page" || strings.Join(after.Buildings, ",") != "T2,T3" || after.Version != before.Version+1 || len(after.Checks) != 2 {
			t.Fatalf("%+v", after)
		}
		if after.Checks[0].ID != before.Checks[0].ID || after.Checks[0].Seconds != 60 || after.Checks[1].Kind != netmon.HTTP || after.Checks[1].Expect.Status[0] != 204 {
			t.Fatalf("checks: %+v", after.Checks)
		}
		if _, err := s.RemoveHost(bg, org.System(), netmon.RemoveInput{Host: h.Host}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.RemoveHost(bg, org.System(), netmon.RemoveInput{Host: h.Host}); !fault.Is(err, fault.NotFound) {
			t.Errorf("removing it again: %v", err)
		}
		if l, err := s.Hosts(bg, org.System()); err != nil || len(l) != 0 {
			t.Errorf("after the removal: %+v %v", l, err)
		}
	})
}

func TestWhoMayDoWhat(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		factory.Federation(t, db)
		c := newCampus(t, db, 0, "")
		m := c.monitor(quick())
		c.round(m, 0)
		c.outage()
		c.round(m, 0)
		v := c.switchOutage()
		head, member, outsider, stranger := c.officer("technical.head"), c.officer("technical.member"), c.officer("office.member"), org.Stranger("zh", "")

		ack := netmon.AcknowledgeInput{Incident: v.ID, Note: "去机房看看", IdempotencyKey: "a"}
		for _, a := range []org.Actor{member, outsider} {
			if _, err := c.svc.AcknowledgeIncident(bg, a, ack); !fault.Is(err, fault.Forbidden) {
				t.Errorf("acknowledging without the seat: %v", err)
			}
		}
		if _, err := c.svc.AcknowledgeIncident(bg, stranger, ack); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a stranger acknowledges: %v", err)
		}
		for range 2 { // the same key is the same act
			if _, err := c.svc.AcknowledgeIncident(bg, head, ack); err != nil {
				t.Fatal(err)
			}
		}
		ack.IdempotencyKey = "b"
		if _, err := c.svc.AcknowledgeIncident(bg, head, ack); !fault.IsRule(err, "ALREADY_ACKNOWLEDGED") {
			t.Errorf("acknowledging again: %v", err)
		}
		if v = c.switchOutage(); v.AcknowledgedBy != head.Person || v.AcknowledgedNote != "去机房看看" || v.AcknowledgedAt.IsZero() {
			t.Errorf("acknowledged: %+v", v)
		}
		ack.Incident = id.New()
		if _, err := c.svc.AcknowledgeIncident(bg, head, ack); !fault.Is(err, fault.NotFound) {
			t.Errorf("an incident that is none: %v", err)
		}

		in := netmon.HostInput{NameZh: "新", NameEn: "New", Address: "127.7.0.99", Checks: []netmon.CheckInput{{Kind: netmon.ICMP}}, IdempotencyKey: "c"}
		if _, err := c.svc.CreateHost(bg, outsider, in); !fault.Is(err, fault.Forbidden) {
			t.Errorf("an outsider adds a host: %v", err)
		}
		one, err := c.svc.CreateHost(bg, member, in)
		two, err2 := c.svc.CreateHost(bg, member, in)
		if err != nil || err2 != nil || one != two {
			t.Errorf("a technician adds a host, twice with one key: %v %v, %v %v", one, err, two, err2)
		}

		if _, err := c.svc.Hosts(bg, stranger); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a stranger reads hosts: %v", err)
		}
		for _, x := range []struct {
			actor org.Actor
			sees  bool
		}{{member, true}, {outsider, false}} {
			l, err := c.svc.Hosts(bg, x.actor)
			if err != nil || len(l) != 9 {
				t.Fatal(len(l), err)
			}
			for _, h := range l {
				if (h.Address != "") != x.sees || (h.Checks[0].Target != "") != x.sees {
					t.Fatalf("address %q, target %q for somebody who may see it: %v", h.Address, h.Checks[0].Target, x.sees)
				}
			}
		}

		s, err := c.svc.Status(bg, stranger)
		if err != nil {
			t.Fatal(err)
		}
		if s.Hosts != 9 || s.Up != 1 || s.Down != 1 || s.Suppressed != 6 || s.Unsure != 1 || s.Round != 2 || len(s.Incidents) != 1 {
			t.Errorf("status: %+v", s)
		}
		whole, err := json.Marshal([]any{s, v})
		if err != nil || strings.Contains(string(whole), "127.7.") {
			t.Errorf("what everybody sees holds an address: %s %v", whole, err)
		}
	})
}

func TestPingNowIsLimited(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		factory.Federation(t, db)
		c := newCampus(t, db, 0, "")
		a, b := c.officer("technical.member"), c.officer("technical.maintenance.technician")
		st, err := c.svc.PingHost(bg, a, netmon.PingInput{Host: c.core, Count: 2})
		if err != nil || st.Sent != 2 || st.Received != 2 {
			t.Fatalf("%+v %v", st, err)
		}
		if _, err := c.svc.PingHost(bg, a, netmon.PingInput{Host: c.core}); !fault.Is(err, fault.RateLimited) {
			t.Errorf("again at once: %v", err)
		}
		c.cut(c.core)
		if st, err = c.svc.PingHost(bg, b, netmon.PingInput{Host: c.core, Count: 1}); err != nil || st.Received != 0 {
			t.Errorf("somebody else, of a silent host: %+v %v", st, err)
		}
		if _, err := c.svc.PingHost(bg, c.officer("office.head"), netmon.PingInput{Host: c.core}); !fault.Is(err, fault.Forbidden) {
			t.Errorf("the office pings: %v", err)
		}
		if _, err := c.svc.PingHost(bg, a, netmon.PingInput{Host: c.core, Count: 11}); !fault.Is(err, fault.BadUserInput) {
			t.Errorf("11 packets: %v", err)
		}
		if n := c.number(`SELECT COUNT(*) FROM audit WHERE action = 'netmon.host.ping'`); n != 2 {
			t.Errorf("%d pings are recorded", n)
		}
		clk := testkit.Clock()
		s := netmon.New(db, clk, rules, netmon.Options{Policy: policy(), Prober: c.prober})
		for range 2 {
			if _, err := s.PingHost(bg, a, netmon.PingInput{Host: c.access, Count: 1}); err != nil {
				t.Errorf("five seconds later: %v", err)
			}
			clk.Advance(netmon.PingEvery)
		}
	})
}

func TestBuildingsKnowTheirIncident(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		m := c.monitor(quick())
		c.round(m, 0)
		if _, _, ok, err := c.svc.OpenForBuilding(bg, db.R, "T3"); ok || err != nil {
			t.Fatal(ok, err)
		}
		c.outage()
		c.round(m, 0)
		v := c.switchOutage()
		got, text, ok, err := c.svc.OpenForBuilding(bg, db.R, " t3 ")
		if err != nil || !ok || got != v.ID || !strings.Contains(text.Zh, v.Number) || !strings.Contains(text.En, "Access switch") ||
			!strings.Contains(text.Zh, v.OpenedAt.UTC().Format("（1月2日 15:04 起）")) {
			t.Errorf("%v %+v %v %v", got, text, ok, err)
		}
		if _, _, ok, err := c.svc.OpenForBuilding(bg, db.R, "T99"); ok || err != nil {
			t.Error("a building that nothing happened to", ok, err)
		}
		info, err := c.svc.IncidentInfo(bg, db.R, v.ID)
		if err != nil || info.Title != v.Title || info.Closed || strings.Join(info.Buildings, "") != "T1T2T3T4T5T6" || info.Skills[0] != "network" {
			t.Errorf("%+v %v", info, err)
		}
		if _, err := c.svc.IncidentInfo(bg, db.R, id.New()); !fault.Is(err, fault.NotFound) {
			t.Errorf("an incident that is none: %v", err)
		}
	})
}

func TestIncidentsComeInPages(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		m := c.monitor(quick())
		c.round(m, 0)
		c.cut(c.hosts[:3]...)
		c.round(m, 0)
		seen := map[id.ID]bool{}
		page := store.Page{First: 2}
		for n := 0; ; n++ {
			l, more, err := c.svc.Incidents(bg, org.System(), page, nil)
			if err != nil || n > 2 {
				t.Fatal(n, err)
			}
			for _, v := range l {
				seen[v.ID] = true
				if v.Title.En == "" || len(v.Roots) != 1 || v.Evidence != nil {
					t.Fatalf("%+v", v)
				}
			}
			if !more {
				break
			}
			page.After = l[len(l)-1].Cursor()
		}
		if len(seen) != 3 {
			t.Errorf("%d incidents", len(seen))
		}
		for open, want := range map[bool]int{true: 3, false: 0} {
			if l, _, err := c.svc.Incidents(bg, org.System(), store.Page{First: 9}, &open); err != nil || len(l) != want {
				t.Errorf("open %v: %d %v", open, len(l), err)
			}
		}
	})
}
