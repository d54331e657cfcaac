package auth_test

import (
	"encoding/json"
	"sync"
	"testing"

	"kelian/auth"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

const fresh = "another-plum-lantern"

func TestChangePasswordRotates(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		here, actor, info := d.in("guchen")
		there, _, _ := d.in("guchen")
		_, err := d.svc.ChangePassword(bg, actor, info, "wrong-wrong-wrong", fresh, dorm)
		want(t, err, "WRONG_SIGN_IN")
		_, err = d.svc.ChangePassword(bg, actor, info, right, "short", dorm)
		want(t, err, "BAD_USER_INPUT")
		_, err = d.svc.ChangePassword(bg, actor, info, right, "with-Nguchen-inside", dorm)
		want(t, err, "BAD_USER_INPUT")
		next, err := d.svc.ChangePassword(bg, actor, info, right, fresh, dorm)
		want(t, err, "")
		d.dead(here)
		d.dead(there)
		if _, _, err := d.svc.Resolve(bg, next); err != nil {
			t.Fatal(err)
		}
		want(t, d.try("guchen", right, dorm), "WRONG_SIGN_IN")
		want(t, d.try("guchen", fresh, dorm), "")
	})
}

func TestWhoMayIssueAReset(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		member := d.user("member", "technical.member")
		head := d.user("head", "technical.head")
		both := d.user("both", "technical.member", "publicity.member")
		office := d.user("office", "office.head")
		chair := d.user("chair", "fed.chair")
		teacher := d.user("teacher", "league.teacher")
		none := d.user("none")
		for _, c := range []struct {
			by   string
			whom id.ID
			ok   bool
		}{
			{"head", member, true}, {"head", both, false}, {"head", head, false}, {"head", office, false}, {"member", none, false},
			{"office", head, true}, {"office", both, true}, {"office", none, true}, {"office", office, false}, {"office", chair, false}, {"office", teacher, false},
			{"teacher", chair, true}, {"teacher", teacher, false}, {"office", id.New(), false},
		} {
			_, actor, info := d.in(c.by)
			token, err := d.svc.IssueReset(bg, actor, info, c.whom)
			if (err == nil) != c.ok || (token != "") != c.ok {
				t.Errorf("%s for %v: %v", c.by, c.whom, err)
			}
		}
		_, actor, info := d.in("office")
		d.clock.Advance(auth.Sudo)
		_, err := d.svc.IssueReset(bg, actor, info, member)
		want(t, err, "PASSWORD_AGAIN")
	})
}

func TestResetWorksOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		member := d.user("member", "technical.member")
		d.user("head", "technical.head")
		issue := func() string {
			t.Helper()
			_, actor, info := d.in("head")
			token, err := d.svc.IssueReset(bg, actor, info, member)
			want(t, err, "")
			return token
		}
		old := issue()
		token := issue()
		want(t, d.svc.Reset(bg, old, fresh), "LINK_ENDED") // a newer link takes its place
		session, _, _ := d.in("member")
		for range 5 {
			want(t, d.try("member", "wrong-wrong-wrong", dorm), "WRONG_SIGN_IN")
		}
		if l, err := d.svc.Link(bg, token); err != nil || l.Kind != auth.LinkReset {
			t.Fatal(l, err)
		}
		want(t, d.svc.Reset(bg, token, "member-in-the-password"), "BAD_USER_INPUT") // and the link is still good
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for range 6 {
			wg.Go(func() {
				if err := d.svc.Reset(bg, token, fresh); err == nil {
					mu.Lock()
					won++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Fatalf("the link worked %d times", won)
		}
		d.dead(session)
		want(t, d.try("member", fresh, dorm), "") // the lock is lifted
		late := issue()
		d.clock.Advance(auth.ResetLink)
		want(t, d.svc.Reset(bg, late, right), "LINK_ENDED")
		want(t, d.svc.Reset(bg, "", right), "LINK_ENDED")
		for _, secret := range []string{token, late, fresh} {
			if where := grep(t, db, secret); len(where) > 0 {
				t.Fatal("a secret stands in", where)
			}
		}
	})
}

// lastEvent reads the payload of the newest event of the topic.
func lastEvent(t *testing.T, db *store.DB, topic string) (out struct{ Person, Link id.ID }, n int) {
	t.Helper()
	var rows []string
	if err := db.R.NewRaw(`SELECT payload FROM outbox WHERE topic = ? ORDER BY seq DESC`, topic).Scan(bg, &rows); err != nil && !store.NoRows(err) {
		t.Fatal(err)
	}
	if len(rows) > 0 {
		if err := json.Unmarshal([]byte(rows[0]), &out); err != nil {
			t.Fatal(err)
		}
	}
	return out, len(rows)
}

func TestResetByVerifiedMailbox(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		p := d.user("guchen")
		_, actor, _ := d.in("guchen")
		_, err := d.org.CorrectPerson(bg, actor, org.CorrectPerson{AddContacts: []org.Contact{{Kind: "email", Value: "Gu@example.edu", Verified: true}}})
		want(t, err, "")
		want(t, d.svc.RequestReset(bg, "guchen", dorm), "")
		want(t, d.svc.RequestReset(bg, "nobody", dorm), "")
		if _, n := lastEvent(t, db, "auth.reset.requested"); n != 0 {
			t.Fatal("a mailbox that nobody verified got a link")
		}
		want(t, d.svc.RequestVerify(bg, actor, org.Contact{Kind: "email", Value: "other@example.edu"}), "NOT_FOUND")
		want(t, d.svc.RequestVerify(bg, actor, org.Contact{Kind: "email", Value: "gu@example.edu"}), "")
		e, _ := lastEvent(t, db, "auth.verify.requested")
		proof := auth.LinkToken(db.Key(), e.Link)
		want(t, d.svc.Reset(bg, proof, fresh), "LINK_ENDED") // a link is for its own end only
		want(t, d.svc.Verify(bg, proof), "")
		want(t, d.svc.Verify(bg, proof), "LINK_ENDED")
		if c, err := org.Contacts(bg, db.R, p); err != nil || len(c) != 1 || !c[0].Verified {
			t.Fatal(c, err)
		}
		before := db.Trips()
		want(t, d.svc.RequestReset(bg, "guchen", dorm), "")
		known := db.Trips() - before
		before = db.Trips()
		want(t, d.svc.RequestReset(bg, "nobody", dorm), "")
		if unknown := db.Trips() - before; db.Postgres() && unknown != known {
			t.Errorf("%d trips for a known, %d for an unknown login", known, unknown)
		}
		e, n := lastEvent(t, db, "auth.reset.requested")
		if n != 1 || e.Person != p {
			t.Fatal(n, e)
		}
		token := auth.LinkToken(db.Key(), e.Link)
		if where := grep(t, db, token); len(where) > 0 {
			t.Fatal("the link's secret stands in", where)
		}
		want(t, d.svc.Reset(bg, token, fresh), "")
		want(t, d.try("guchen", fresh, dorm), "")
		for range 3 {
			want(t, d.svc.RequestReset(bg, "guchen", dorm), "")
		}
		want(t, d.svc.RequestReset(bg, "guchen", dorm), "RATE_LIMITED") // no flood of mail
		want(t, d.try("guchen", fresh, dorm), "")                       // which keeps nobody from signing in
	})
}

func TestSetupMakesTheFirstAccountOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		old, err := d.svc.SetupToken(bg)
		want(t, err, "")
		token, err := d.svc.SetupToken(bg)
		want(t, err, "")
		first := auth.NewUser{Login: "hejing", Password: right, Person: org.NewPerson{Name: "何静"}}
		_, _, err = d.svc.Setup(bg, old, first, auth.Device{})
		want(t, err, "LINK_ENDED")
		_, _, err = d.svc.Setup(bg, token, auth.NewUser{Login: "hejing", Person: org.NewPerson{Name: "何静"}}, auth.Device{})
		want(t, err, "BAD_USER_INPUT")
		session, actor, err := d.svc.Setup(bg, token, first, auth.Device{})
		if err != nil || !actor.Holds("office.head") {
			t.Fatal(actor, err)
		}
		if a, _, err := d.svc.Resolve(bg, session); err != nil || a.Person != actor.Person {
			t.Fatal(err)
		}
		_, _, err = d.svc.Setup(bg, token, auth.NewUser{Login: "other", Password: right, Person: org.NewPerson{Name: "x"}}, auth.Device{})
		want(t, err, "LINK_ENDED")
		_, err = d.svc.SetupToken(bg)
		want(t, err, "SET_UP")
	})
}
