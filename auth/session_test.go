package auth_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/auth"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

func TestSessionIsNewAndTheOldOneEnds(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		planted := strings.Repeat("0", 52) // what an attacker put into the browser before
		first, _, err := d.svc.SignIn(bg, "guchen", right, auth.Device{Previous: planted}, dorm, "zh")
		want(t, err, "")
		if first == planted || len(first) != 52 {
			t.Fatal("the token was taken from the browser")
		}
		d.dead(planted)
		second, _, err := d.svc.SignIn(bg, "guchen", right, auth.Device{Previous: first}, dorm, "zh")
		want(t, err, "")
		d.dead(first)
		if _, _, err := d.svc.Resolve(bg, second); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"", "x", second[:51], second + "0", strings.ToUpper(second)} {
			d.dead(bad)
		}
		if where := grep(t, db, second); len(where) > 0 {
			t.Fatalf("the token stands in %v", where)
		}
	})
}

func TestSessionsEndInTime(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		sign := func(own bool) string {
			token, _, err := d.svc.SignIn(bg, "guchen", right, auth.Device{Own: own}, dorm, "zh")
			want(t, err, "")
			return token
		}
		// live walks through the time in steps of use and says when it ended.
		live := func(token string, step time.Duration) time.Duration {
			start := d.clock.Now()
			for {
				if _, _, err := d.svc.Resolve(bg, token); err != nil {
					want(t, err, "UNAUTHENTICATED")
					return d.clock.Now().Sub(start)
				}
				d.clock.Advance(step)
			}
		}
		if got := live(sign(false), time.Hour); got != 8*time.Hour {
			t.Errorf("a shared device in use stays signed in for %v", got)
		}
		if got := live(sign(true), 10*24*time.Hour); got != 30*24*time.Hour {
			t.Errorf("one's own device in use stays signed in for %v", got)
		}
		if got := live(sign(false), 2*time.Hour); got != 2*time.Hour {
			t.Errorf("a shared device left alone stays signed in for %v", got)
		}
		if got := live(sign(true), 15*24*time.Hour); got != 15*24*time.Hour {
			t.Errorf("one's own device left alone stays signed in for %v", got)
		}
	})
}

func TestResolveIsOneReadAndSeesTheSeatsOfNow(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		vice := d.user("guchen", "fed.vice", "technical.trainer")
		deputy := d.user("luyuan", "supervision.member")
		token, actor, _ := d.in("guchen")
		before := db.Trips()
		if _, _, err := d.svc.Resolve(bg, token); err != nil || db.Trips()-before != 1 {
			t.Fatalf("%d trips, %v", db.Trips()-before, err)
		}
		same := func(a org.Actor) {
			t.Helper()
			judged, err := org.Judge(bg, db.R, org.Actor{Person: a.Person}, d.clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			bySeat := func(x, y org.HeldSeat) int { return strings.Compare(x.Seat, y.Seat) }
			slices.SortFunc(a.Seats, bySeat)
			slices.SortFunc(judged.Seats, bySeat)
			if !slices.Equal(a.Seats, judged.Seats) {
				t.Fatalf("resolved %+v, judged %+v", a.Seats, judged.Seats)
			}
		}
		if actor.Person != vice || len(actor.Seats) != 2 || actor.Lang != "zh" {
			t.Fatalf("%+v", actor)
		}
		same(actor)
		other, _, _ := d.in("luyuan")
		_, err := d.org.Delegate(bg, actor, org.Delegate{Seat: "fed.vice", To: deputy, Until: d.clock.Now().Add(time.Hour)})
		want(t, err, "")
		lent, _, err := d.svc.Resolve(bg, other)
		if err != nil || !lent.Holds("fed.vice") {
			t.Fatalf("%+v %v", lent, err)
		}
		same(lent)
		// A tenure that ended a moment ago counts no more.
		if _, err := db.Bun().Exec(`UPDATE tenure SET until_at = ? WHERE person_id = ?`, d.clock.Now().Add(time.Minute), vice); err != nil {
			t.Fatal(err)
		}
		d.clock.Advance(time.Minute)
		for _, x := range []string{token, other} {
			a, _, err := d.svc.Resolve(bg, x)
			if err != nil || a.Holds("fed.vice") {
				t.Fatalf("%+v %v", a, err)
			}
			same(a)
		}
	})
}

func TestRevocationStopsAtOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		d.user("luyuan")
		a, actor, info := d.in("guchen")
		b, _, second := d.in("guchen")
		c, stranger, _ := d.in("luyuan")
		list, err := d.svc.Sessions(bg, actor)
		if err != nil || len(list) != 2 || list[0].Device != "test" {
			t.Fatal(list, err)
		}
		want(t, d.svc.RevokeSession(bg, stranger, second.ID), "NOT_FOUND")
		want(t, d.svc.RevokeSession(bg, actor, second.ID), "")
		d.dead(b)
		if _, _, err := d.svc.Recheck(bg, second); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal("a stream of an ended session goes on", err)
		}
		if again, _, err := d.svc.Recheck(bg, info); err != nil || again.Person != actor.Person {
			t.Fatal(err)
		}
		want(t, d.svc.SignOut(bg, a), "")
		want(t, d.svc.SignOut(bg, a), "")
		d.dead(a)

		a, actor, info = d.in("guchen")
		bearer, _, err := d.svc.CreateToken(bg, actor, info, auth.NewToken{Name: "script", Scopes: []string{"all"}})
		want(t, err, "")
		_, _, tokenInfo := mustBearer(t, d, bearer)
		if n, err := d.svc.SignOutEverywhere(bg, actor); err != nil || n != 2 {
			t.Fatal(n, err)
		}
		d.dead(a)
		if _, _, err := d.svc.ResolveBearer(bg, bearer); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal("an API token outlived signing out everywhere", err)
		}
		if _, _, err := d.svc.Recheck(bg, tokenInfo); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal(err)
		}
		if _, _, err := d.svc.Resolve(bg, c); err != nil {
			t.Fatal("somebody else was signed out", err)
		}
	})
}

func mustBearer(t *testing.T, d *door, token string) (string, org.Actor, auth.SessionInfo) {
	t.Helper()
	a, info, err := d.svc.ResolveBearer(bg, token)
	if err != nil {
		t.Fatal(err)
	}
	return token, a, info
}

func TestClosedAccountIsOut(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		head := d.user("hejing", "office.head")
		p := d.user("guchen", "publicity.member")
		chair := d.user("chair", "fed.chair")
		_, office, _ := d.in("hejing")
		token, guchen, info := d.in("guchen")
		bearer, _, err := d.svc.CreateToken(bg, guchen, info, auth.NewToken{Name: "x", Scopes: []string{"repair"}})
		want(t, err, "")
		// The state alone is enough, whoever set it.
		for _, state := range []string{"CLOSED", "ACTIVE"} {
			if _, err := db.Bun().Exec(`UPDATE account SET state = ? WHERE person_id = ?`, state, p); err != nil {
				t.Fatal(err)
			}
			_, _, bySession := d.svc.Resolve(bg, token)
			_, _, byToken := d.svc.ResolveBearer(bg, bearer)
			if closed := state == "CLOSED"; (bySession != nil) != closed || (byToken != nil) != closed {
				t.Fatalf("%s: %v, %v", state, bySession, byToken)
			}
		}
		want(t, d.svc.CloseAccount(bg, guchen, head), "FORBIDDEN")
		want(t, d.svc.CloseAccount(bg, office, chair), "FORBIDDEN") // not for those above
		want(t, d.svc.CloseAccount(bg, office, head), "FORBIDDEN")
		want(t, d.svc.CloseAccount(bg, office, id.New()), "NOT_FOUND")
		want(t, d.svc.CloseAccount(bg, office, p), "")
		d.dead(token)
		if _, _, err := d.svc.ResolveBearer(bg, bearer); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal(err)
		}
		want(t, d.try("guchen", right, dorm), "WRONG_SIGN_IN")
		want(t, d.svc.SetPassword(bg, "guchen", "another-plum-lantern"), "")
		want(t, d.try("guchen", "another-plum-lantern", dorm), "")
	})
}

func TestPasswordIsAskedAgain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		token, actor, info := d.in("guchen")
		want(t, auth.Fresh(info, d.clock.Now()), "")
		d.clock.Advance(auth.Sudo)
		want(t, auth.Fresh(info, d.clock.Now()), "PASSWORD_AGAIN")
		_, _, err := d.svc.CreateToken(bg, actor, info, auth.NewToken{Name: "x", Scopes: []string{"all"}})
		want(t, err, "PASSWORD_AGAIN")
		want(t, d.svc.Confirm(bg, info, "wrong-wrong-wrong", dorm), "WRONG_SIGN_IN")
		want(t, d.svc.Confirm(bg, info, right, dorm), "")
		_, fresh, err := d.svc.Resolve(bg, token)
		want(t, err, "")
		want(t, auth.Fresh(fresh, d.clock.Now()), "")
		secret, _, err := d.svc.CreateToken(bg, actor, fresh, auth.NewToken{Name: "x", Scopes: []string{"all"}})
		want(t, err, "")
		_, _, bearer := mustBearer(t, d, secret)
		want(t, auth.Fresh(bearer, d.clock.Now()), "PASSWORD_AGAIN") // a token never is
		want(t, auth.Fresh(auth.SessionInfo{}, d.clock.Now()), "PASSWORD_AGAIN")
		for range 5 { // guessing there counts as at sign-in
			want(t, d.svc.Confirm(bg, info, "wrong-wrong-wrong", dorm), "WRONG_SIGN_IN")
		}
		want(t, d.svc.Confirm(bg, info, right, dorm), "RATE_LIMITED")
	})
}

func TestTokensDoWhatTheirScopesAllow(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		p := d.user("guchen", "technical.head")
		_, actor, info := d.in("guchen")
		for _, bad := range []auth.NewToken{{Name: "", Scopes: []string{"all"}}, {Name: "x"}, {Name: "x", Scopes: []string{"a;b"}},
			{Name: "x", Scopes: []string{"all"}, Expires: d.clock.Now()}, {Name: "x", Scopes: []string{"all"}, Expires: d.clock.Now().Add(367 * 24 * time.Hour)}} {
			_, _, err := d.svc.CreateToken(bg, actor, info, bad)
			want(t, err, "BAD_USER_INPUT")
		}
		secret, made, err := d.svc.CreateToken(bg, actor, info, auth.NewToken{Name: "monitor", Scopes: []string{"netmon", "repair:read"}, Expires: d.clock.Now().Add(time.Hour)})
		want(t, err, "")
		if !strings.HasPrefix(secret, made.Hint) || !strings.HasPrefix(secret, "kel_") {
			t.Fatal(secret, made)
		}
		if where := grep(t, db, strings.TrimPrefix(secret, made.Hint)); len(where) > 0 {
			t.Fatal("the secret stands in", where)
		}
		_, a, _ := mustBearer(t, d, secret)
		rules := org.NewTable([]org.Rule{{Action: "netmon.write", Who: "technical.head"}, {Action: "netmon.own", Who: "office.head"},
			{Action: "repair.read", Who: "technical.head"}, {Action: "repair.assign", Who: "technical.head"}})
		for action, ok := range map[string]bool{"netmon.write": true, "netmon.own": false, "repair.read": true, "repair.assign": false} {
			if rules.Can(a, action, org.Object{}) != ok {
				t.Errorf("%s: %v", action, !ok)
			}
		}
		if a.Person != p || !a.Holds("technical.head") {
			t.Fatalf("%+v", a)
		}
		before := db.Trips()
		if _, _, err := d.svc.ResolveBearer(bg, secret); err != nil || db.Trips()-before != 1 {
			t.Fatal(db.Trips()-before, err)
		}
		last := secret[:len(secret)-1]
		for _, bad := range []string{"", "kel_", "kel_x_y", last, last + "!", strings.Replace(secret, "kel_", "key_", 1), made.Hint + strings.Repeat("0", 52)} {
			if _, _, err := d.svc.ResolveBearer(bg, bad); !fault.Is(err, fault.Unauthenticated) {
				t.Fatalf("%q: %v", bad, err)
			}
		}
		list, err := d.svc.Tokens(bg, actor)
		if err != nil || len(list) != 1 || list[0].Used.IsZero() || !slices.Equal(list[0].Scopes, []string{"netmon", "repair:read"}) {
			t.Fatalf("%+v %v", list, err)
		}
		d.clock.Advance(time.Hour)
		if _, _, err := d.svc.ResolveBearer(bg, secret); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal("an expired token works", err)
		}
		other, o, err := d.svc.MintToken(bg, p, auth.NewToken{Name: "demo", Scopes: []string{"all"}})
		want(t, err, "")
		want(t, d.svc.RevokeToken(bg, actor, o.ID), "")
		if _, _, err := d.svc.ResolveBearer(bg, other); !fault.Is(err, fault.Unauthenticated) {
			t.Fatal("a revoked token works", err)
		}
	})
}
