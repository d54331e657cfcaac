package auth_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"kelian/auth"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	bg     = context.Background()
	dorm   = netip.MustParseAddr("10.8.0.1")
	abroad = netip.MustParseAddr("203.0.113.9")
	cheap  = auth.Params{Memory: 64, Time: 1, Threads: 1} // hashes are not what most tests are about
)

const right = "correct-plum-lantern"

// door is the seeded federation with its service for accounts.
type door struct {
	t     *testing.T
	db    *store.DB
	clock *clock.Fake
	rules *org.Table
	svc   *auth.Service
	org   *org.Service
	mu    sync.Mutex
	waits []time.Duration

	meanwhile func() // happens once, during the next pause
}

func open(t *testing.T, db *store.DB) *door {
	t.Helper()
	d := &door{t: t, db: db, clock: testkit.Clock(), rules: org.NewTable(org.Rules(), auth.Rules())}
	if _, err := org.Seed(bg, db, d.clock, org.Template()); err != nil {
		t.Fatal(err)
	}
	d.svc = auth.New(db, d.clock, d.rules, auth.Options{Params: cheap, Campus: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Pause: d.pause})
	d.org = org.New(db, d.clock, d.rules, time.FixedZone("CST", 8*3600))
	d.org.OnErase(d.svc.EraseAccount)
	d.org.OnExport(d.svc.ExportAccount())
	return d
}

// pause notes a wait and lets the fake clock live through it.
func (d *door) pause(_ context.Context, w time.Duration) error {
	d.mu.Lock()
	d.waits = append(d.waits, w)
	d.clock.Advance(w)
	then := d.meanwhile
	d.meanwhile = nil
	d.mu.Unlock()
	if then != nil {
		then()
	}
	return nil
}

// user adds somebody with the right password.
func (d *door) user(login string, seats ...string) id.ID {
	d.t.Helper()
	p, err := d.svc.AddUser(bg, auth.NewUser{Login: login, Password: right, Person: org.NewPerson{Name: login, Number: "N" + login}, Seats: seats})
	if err != nil {
		d.t.Fatal(login, err)
	}
	return p
}

// in signs in from the dormitory.
func (d *door) in(login string) (string, org.Actor, auth.SessionInfo) {
	d.t.Helper()
	token, _, err := d.svc.SignIn(bg, login, right, auth.Device{Label: "test"}, dorm, "zh")
	if err != nil {
		d.t.Fatal(login, err)
	}
	actor, info, err := d.svc.Resolve(bg, token)
	if err != nil {
		d.t.Fatal(login, err)
	}
	return token, actor, info
}

func (d *door) try(login, password string, from netip.Addr) error {
	_, _, err := d.svc.SignIn(bg, login, password, auth.Device{}, from, "zh")
	return err
}

func (d *door) dead(token string) {
	d.t.Helper()
	if _, _, err := d.svc.Resolve(bg, token); !fault.Is(err, fault.Unauthenticated) {
		d.t.Fatalf("the session still answers: %v", err)
	}
}

// want compares an error by its reason or code; "" = none.
func want(t *testing.T, err error, reason string) {
	t.Helper()
	e, ok := fault.As(err)
	if reason == "" && err != nil || reason != "" && (!ok || e.Reason != reason && string(e.Code) != reason) {
		t.Fatalf("got %v, want %q", err, reason)
	}
}

func retry(err error) time.Duration {
	if e, ok := fault.As(err); ok {
		if r, ok := e.Detail.(auth.Retry); ok {
			return r.After
		}
	}
	return 0
}

// grep names the columns of all tables that contain the text.
func grep(t *testing.T, db *store.DB, text string) (where []string) {
	t.Helper()
	list := `SELECT m.name AS t, p.name AS c FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p WHERE m.type = 'table'`
	if db.Postgres() {
		list = `SELECT table_name AS t, column_name AS c FROM information_schema.columns WHERE table_schema = 'public'`
	}
	var cols []struct{ T, C string }
	if err := db.R.NewRaw(list).Scan(bg, &cols); err != nil || len(cols) < 50 {
		t.Fatal(len(cols), err)
	}
	for _, c := range cols {
		var n int
		if err := db.R.NewRaw(`SELECT count(*) FROM "`+c.T+`" WHERE lower(CAST("`+c.C+`" AS TEXT)) LIKE lower(?)`, "%"+text+"%").Scan(bg, &n); err != nil {
			t.Fatal(c, err)
		}
		if n > 0 {
			where = append(where, c.T+"."+c.C)
		}
	}
	return where
}
