package netmon_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/netmon"
	"kelian/netmon/judge"
	"kelian/netmon/probe"
	"kelian/org"
)

// ago is a clock that is behind.
type ago time.Duration

func (a ago) Now() time.Time {
	return time.Now().UTC().Truncate(time.Microsecond).Add(-time.Duration(a))
}

func (c *campus) watch(address string, checks ...netmon.CheckInput) id.ID {
	c.t.Helper()
	h, err := c.svc.CreateHost(bg, org.System(), netmon.HostInput{NameZh: "服务 " + address, NameEn: "Service " + address, Address: address, Checks: checks})
	if err != nil {
		c.t.Fatal(err)
	}
	return h.Host
}

func TestSilenceOfAHeartbeatFails(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		factory.Federation(t, db)
		c := newCampus(t, db, 0, "")
		m := c.monitor(quick())
		h := c.watch("", netmon.CheckInput{Kind: netmon.Push, Expect: netmon.Expect{Every: 60, Grace: 30}})
		check := func() netmon.CheckView { return c.state(h).Checks[0] }
		secret := check().Target
		if len(secret) < 20 {
			t.Fatalf("a secret of %d characters", len(secret))
		}
		reader, err := c.svc.HostsByID(bg, c.officer("fed.chair"), h)
		if err != nil || len(reader) != 1 || reader[0].Checks[0].Target != "" || reader[0].Checks[0].Expect.Every != 60 {
			t.Errorf("who does not manage the network has no secret: %+v %v", reader, err)
		}
		c.round(m, 0)
		if v := check(); v.State != judge.Unknown {
			t.Errorf("before its first report: %s", v.State)
		}
		if err := c.svc.Push(bg, secret, netmon.Report{Message: "备份完成\n3 GB", Took: time.Minute}); err != nil {
			t.Fatal(err)
		}
		c.round(m, 0)
		if v := check(); v.State != judge.Up || v.Why.Zh != "备份完成 3 GB" || v.RTT != time.Minute {
			t.Errorf("after a report: %+v", v)
		}
		late := netmon.New(db, ago(91*time.Second), rules, netmon.Options{Policy: policy()})
		if err := late.Push(bg, secret, netmon.Report{}); err != nil {
			t.Fatal(err)
		}
		c.round(m, 0)
		if v := check(); v.State != judge.Down || len(c.incidents()) != 1 {
			t.Errorf("the report is 91 s old: %+v", v)
		}
		for range 2 {
			if err := c.svc.Push(bg, secret, netmon.Report{}); err != nil {
				t.Fatal(err)
			}
			c.round(m, 0)
		}
		if v := check(); v.State != judge.Up {
			t.Errorf("it reports again: %+v", v)
		}
		if err := c.svc.Push(bg, secret, netmon.Report{Down: true, Message: "disk full"}); err != nil {
			t.Fatal(err)
		}
		c.round(m, 0)
		if v := check(); v.State != judge.Down || v.Why.En != "disk full" {
			t.Errorf("it says that it is not well: %+v", v)
		}
		if err := c.svc.Push(bg, strings.Repeat("x", 26), netmon.Report{}); !fault.Is(err, fault.NotFound) {
			t.Errorf("a secret that nobody has: %v", err)
		}
		if _, err := c.svc.RemoveCheck(bg, org.System(), netmon.RemoveCheckInput{Check: check().ID}); err != nil {
			t.Fatal(err)
		}
		if err := c.svc.Push(bg, secret, netmon.Report{}); !fault.Is(err, fault.NotFound) || len(c.state(h).Checks) != 0 {
			t.Errorf("after its check was removed: %v", err)
		}
	})
}

func TestAPageFailsUntilItsChangeIsAccepted(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		factory.Federation(t, db)
		c := newCampus(t, db, 0, "")
		var text atomic.Pointer[string]
		say := func(s string) { text.Store(&s) }
		say("<p>开放时间</p><p>8:00</p>")
		var clock atomic.Int64
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "<body><script>var now = %d</script>%s</body>", clock.Add(1), *text.Load())
		}))
		t.Cleanup(web.Close)
		h := c.watch("", netmon.CheckInput{Kind: netmon.Page, Target: web.URL, Seconds: 10})
		m := c.monitor(quick())
		c.round(m, 0)
		c.round(m, 0)
		check := func() netmon.CheckView { return c.state(h).Checks[0] }
		if v := check(); v.State != judge.Up {
			t.Fatalf("the same page: %+v", v)
		}
		say("<p>开放时间</p><p>被黑了</p>")
		c.round(m, 0)
		v := check()
		if v.State != judge.Down || v.Why.Zh == "" {
			t.Fatalf("the page has changed: %+v", v)
		}
		chief := c.officer("technical.head")
		diff, err := c.svc.PageChange(bg, chief, v.ID)
		if err != nil || fmt.Sprint(diff.Lines) != "[{  开放时间} {- 8:00} {+ 被黑了}]" {
			t.Fatalf("%+v %v", diff, err)
		}
		if _, err := c.svc.PageChange(bg, c.officer("office.member"), v.ID); !fault.Is(err, fault.Forbidden) {
			t.Errorf("what it says is nobody else's: %v", err)
		}
		if _, err := c.svc.AcceptPage(bg, chief, netmon.AcceptPageInput{Check: v.ID, Hash: "other", IdempotencyKey: "accept-00"}); !fault.IsRule(err, "PAGE_MOVED_ON") {
			t.Errorf("something that was not looked at: %v", err)
		}
		if _, err := c.svc.AcceptPage(bg, chief, netmon.AcceptPageInput{Check: v.ID, Hash: diff.Hash, IdempotencyKey: "accept-01"}); err != nil {
			t.Fatal(err)
		}
		c.round(m, 0)
		c.round(m, 0)
		if v := check(); v.State != judge.Up || v.Why.Zh != "" {
			t.Errorf("the new normal: %+v", v)
		}
		if diff, err = c.svc.PageChange(bg, chief, v.ID); err != nil || len(diff.Lines) != 0 {
			t.Errorf("%+v %v", diff, err)
		}
	})
}

// A registration that ends soon is a warning, told once per threshold; the
// registry is asked once a day while all is well.
func TestTheEndOfADomainWarnsBeforeItFails(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		var ends atomic.Pointer[time.Time]
		set := func(d time.Duration) { e := time.Now().Add(d); ends.Store(&e) }
		var asked atomic.Int64
		mux := http.NewServeMux()
		srv := httptest.NewServer(mux)
		t.Cleanup(srv.Close)
		mux.HandleFunc("/dns.json", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"services":[[["edu"],[%q]]]}`, srv.URL)
		})
		mux.HandleFunc("/domain/{name}", func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			fmt.Fprintf(w, `{"events":[{"eventAction":"expiration","eventDate":%q}]}`, ends.Load().UTC().Format(time.RFC3339))
		})
		p, err := netmon.NewProber(netmon.ProberOptions{Policy: policy(), Timeout: 100 * time.Millisecond, Registry: srv.URL + "/dns.json"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		m := c.monitorWith(p, quick())
		h := c.watch("", netmon.CheckInput{Kind: netmon.Domain, Target: "example.edu"})
		check := func() netmon.CheckView { return c.state(h).Checks[0] }
		told := func() int64 {
			return c.number(`SELECT count(*) FROM outbox WHERE topic = 'netmon.check.warned'`)
		}
		look := func() { // over all thirty epochs: the check is due in one
			t.Helper()
			e := c.next()
			for k := range int64(30) {
				if err := m.SweepShard(bg, 0, e+k); err != nil {
					t.Fatal(err)
				}
			}
		}
		forget := func() { // a day goes by
			if _, err := db.Bun().NewRaw(`UPDATE check_memory SET due_at = at`).Exec(bg); err != nil {
				t.Fatal(err)
			}
		}
		set(300 * 24 * time.Hour)
		look()
		if v := check(); v.Expires.IsZero() || v.Warning.Zh != "" || asked.Load() != 1 || told() != 0 {
			t.Fatalf("far away: %+v, asked %d, told %d", v, asked.Load(), told())
		}
		for _, x := range []struct {
			left time.Duration
			told int64
		}{{13 * 24 * time.Hour, 1}, {12 * 24 * time.Hour, 1}, {6 * 24 * time.Hour, 2}, {20 * time.Hour, 3}} {
			set(x.left)
			forget()
			c.epoch += 30
			e := c.epoch
			for k := range int64(30) {
				if err := m.SweepShard(bg, 0, e+k); err != nil {
					t.Fatal(err)
				}
			}
			if v := check(); v.Warning.En == "" || told() != x.told {
				t.Errorf("%s left: %+v, told %d times", x.left, v.Warning, told())
			}
		}
		if n := asked.Load(); n != 5 {
			t.Errorf("the registry was asked %d times", n)
		}
		if n := len(c.incidents()); n != 0 {
			t.Errorf("a warning opened %d incidents", n)
		}
	})
}

func TestNameServersOfTheHostItself(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		l, err := net.ListenPacket("udp", "127.7.0.60:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() { // an echo with the bit of an answer: no records
			buf := make([]byte, 512)
			for {
				n, from, err := l.ReadFrom(buf)
				if err != nil {
					return
				}
				buf[2] |= 0x80
				_, _ = l.WriteTo(buf[:n], from)
			}
		}()
		h := c.watch("127.7.0.60", netmon.CheckInput{Kind: netmon.ICMP}, netmon.CheckInput{Kind: netmon.DNS, Target: "dns://" + l.LocalAddr().String() + "/Lib.example.edu?type=a"})
		m := c.monitor(quick())
		c.round(m, 0)
		v := c.state(h)
		if v.State != judge.Up || v.Checks[1].State != judge.Down || v.Checks[1].Target != "dns://"+l.LocalAddr().String()+"/lib.example.edu?type=A" {
			t.Errorf("%+v", v)
		}
		s := strict(db)
		for target, reason := range map[string]string{"dns://127.0.0.1/a.edu": probe.ReasonNotAllowed, "dns:a.edu?type=HINFO": "", "dns:a..edu": "", "http://a.edu": ""} {
			_, err := s.CreateHost(bg, org.System(), netmon.HostInput{NameZh: "n", NameEn: "n", Address: "10.0.0.77", Checks: []netmon.CheckInput{{Kind: netmon.DNS, Target: target}}})
			if f, ok := fault.As(err); !ok || f.Reason != reason || strings.Join(f.Path, ".") != "checks.0.target" {
				t.Errorf("%s: %v", target, err)
			}
		}
	})
}
