package netmon_test

import (
	"database/sql"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/netmon"
	"kelian/netmon/judge"
	"kelian/org"
)

func TestPayloadTellsWhatWasSeen(t *testing.T) {
	ms := time.Millisecond
	in := map[int64][]judge.Attempt{
		1:       {{Outcome: judge.Reply, After: 12 * ms, RTT: 341 * time.Microsecond}},
		7:       {{Outcome: judge.Lost, After: 12 * ms}, {Outcome: judge.NoRoute, After: 1012 * ms}, {Outcome: judge.Failed, After: 2012 * ms}},
		9:       {{Outcome: judge.NoRoute, By: "10.0.0.254"}, {Outcome: judge.NoRoute, After: 1000 * ms, By: "fd00::1"}},
		100_000: {{Outcome: judge.Reply}},
	}
	with := maps.Clone(in)
	with[8] = []judge.Attempt{{Outcome: judge.Missing, After: ms}} // says nothing and is not kept
	raw := netmon.EncodeRound(with)
	out, err := netmon.DecodeRound(raw)
	if err != nil || !reflect.DeepEqual(in, out) {
		t.Fatalf("%v, want %v (%v)", out, in, err)
	}
	for n := 1; n < len(raw); n++ {
		if out, err := netmon.DecodeRound(raw[:n]); err == nil && len(out) >= len(in) {
			t.Fatalf("%d of %d bytes are as good as all", n, len(raw))
		}
	}
	if _, err := netmon.DecodeRound(append([]byte{9}, raw[1:]...)); err == nil {
		t.Error("a payload of another version is read")
	}
}

func FuzzPayload(f *testing.F) {
	f.Add(netmon.EncodeRound(map[int64][]judge.Attempt{3: {{Outcome: judge.Lost}, {Outcome: judge.Reply, RTT: time.Millisecond}, {Outcome: judge.NoRoute, By: "10.0.0.1"}}}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := netmon.DecodeRound(raw)
		if err != nil {
			return
		}
		for n, a := range out {
			if len(a) == 0 {
				t.Fatalf("check %d was seen no time", n)
			}
		}
	})
}

// A page that answers wrongly is a fault of its own: the host stays UP, and the
// incident names the page without its address.
func TestPageFailsWhileItsHostIsUp(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		var broken atomic.Bool
		ln, err := net.Listen("tcp", "127.7.0.40:0")
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if broken.Load() {
				w.WriteHeader(http.StatusInternalServerError)
			}
			fmt.Fprint(w, "<title>科联</title>")
		}))
		web.Listener = ln
		web.Start()
		t.Cleanup(web.Close)
		h, err := c.svc.CreateHost(bg, org.System(), netmon.HostInput{NameZh: "主页服务器", NameEn: "Web server", Address: "127.7.0.40", Needs: [][]id.ID{{c.core}},
			Checks: []netmon.CheckInput{{Kind: netmon.ICMP}, {Kind: netmon.TCP, Target: ln.Addr().String()},
				{Kind: netmon.HTTP, Target: web.URL + "/", Expect: netmon.Expect{Contain: "科联"}}}})
		if err != nil {
			t.Fatal(err)
		}
		m := c.monitor(quick())
		c.round(m, 0)
		v := c.state(h.Host)
		for _, x := range v.Checks {
			if x.State != judge.Up || x.LastEpoch != c.epoch || x.RTT <= 0 {
				t.Fatalf("%+v", x)
			}
		}
		broken.Store(true)
		c.round(m, 0)
		l := c.incidents()
		if len(l) != 1 || l[0].Title.Zh != "主页服务器 · 网页不正常" || l[0].Title.En != "Web server · web page is not well" || strings.Contains(l[0].Why.Zh, "127.") {
			t.Fatalf("%+v", l)
		}
		if v := c.state(h.Host); v.State != judge.Up {
			t.Errorf("the host is %s", v.State)
		}
		broken.Store(false)
		c.round(m, 0)
		c.round(m, 0)
		if l := c.incidents(); len(l) != 1 || l[0].Open {
			t.Errorf("the page is back: %+v", l)
		}
	})
}

// away makes every write wait, as a database that cannot be reached does.
func away(t *testing.T, db *store.DB) (back func()) {
	t.Helper()
	if db.Postgres() {
		tx, err := db.Bun().BeginTx(bg, nil)
		if err == nil {
			// The server ends transactions that do nothing for a while.
			_, err = tx.Exec(`SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE round, shard_claim, lease IN ACCESS EXCLUSIVE MODE`)
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() { _ = tx.Rollback() }
	}
	var seq int
	var name, file string
	if err := db.R.QueryRow(`PRAGMA database_list`).Scan(&seq, &name, &file); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", file)
	if err == nil {
		other.SetMaxOpenConns(1)
		_, err = other.Exec(`BEGIN IMMEDIATE`)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = other.Close() }
}

func TestRoundsWaitForTheDatabase(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCampus(t, db, 0, "")
		o := quick()
		o.Keep = 2 * time.Second
		m := c.monitor(o)
		c.round(m, 0)
		back := away(t, db)
		for range 5 {
			if err := m.SweepShard(bg, 0, c.next()); err != nil {
				t.Fatal(err)
			}
		}
		st := m.Stats()
		if st.Swept != 6 || st.Waiting == 0 || st.Dropped == 0 || st.Waiting+st.Dropped != 5 {
			t.Fatalf("while the database is away: %+v", st)
		}
		back()
		c.run(m)
		testkit.Eventually(t, "every round is stored or counted as dropped", func() bool {
			st := m.Stats()
			return st.Swept > 6 && st.Waiting == 0 && c.number(`SELECT COUNT(*) FROM round`) == st.Swept-st.Dropped &&
				c.number(`SELECT SUM(dropped) FROM round`) == st.Dropped
		})
	})
}
