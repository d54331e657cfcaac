package auth_test

import (
	"strings"
	"testing"
	"time"

	"kelian/auth"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

func importRows(t *testing.T, d *door, by org.Actor, rows ...auth.RosterRow) auth.Roster {
	t.Helper()
	r, err := d.svc.ImportRoster(bg, by, rows)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func states(r auth.Roster) string {
	var out []string
	for _, l := range r.Lines {
		s := l.State
		if l.Error != nil {
			s = "!" + strings.Join(l.Error.Path, ".")
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestImportNamesItsErrors(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("hejing", "office.head")
		_, office, _ := d.in("hejing")
		rows := []auth.RosterRow{
			{"0023010101", "林小满", "维修部", "干事"},
			{"0023010102", "欧阳·买买提", "technical", "试用干事"},
			{"0023010103", "Ken Smith", "Publicity", "member"},
			{"0023010104", "", "维修部", "干事"},
			{"号", "王五", "维修部", "干事"},
			{"0023010105", "王五", "没有的部", "干事"},
			{"0023010106", "王六", "维修部", "皇帝"},
			{"0023010101", "林小满", "维修部", "干事"},
			{"Nhejing", "冒名", "维修部", "干事"},
			{"Nhejing", "hejing", "宣传部", "副部长"},
		}
		r := importRows(t, d, office, rows...)
		if got := states(r); got != "NEW NEW NEW !name !number !unit !title !number !name NEW" {
			t.Fatal(got)
		}
		if got := r.Lines[6].Error.Zh; !strings.Contains(got, "维修技术员") {
			t.Errorf("the error does not say which titles there are: %s", got)
		}
		rows[0].Name, rows[1].Title = "林小曼", "干事"
		if got := states(importRows(t, d, office, rows[:3]...)); got != "UPDATED UPDATED SAME" {
			t.Fatal("imported again:", got)
		}
		_, err := d.svc.ImportRoster(bg, office, nil)
		want(t, err, "BAD_USER_INPUT")
		d.user("luyuan", "supervision.member")
		_, other, _ := d.in("luyuan")
		_, err = d.svc.ImportRoster(bg, other, rows[:1])
		want(t, err, "FORBIDDEN")
		if where := grep(t, db, r.Token); len(where) > 0 {
			t.Fatal("the link's secret stands in", where)
		}
	})
}

func TestClaimWaitsForTheHead(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("hejing", "office.head")
		d.user("head", "technical.maintenance.head")
		d.user("stranger", "publicity.head")
		_, office, _ := d.in("hejing")
		_, head, _ := d.in("head")
		_, stranger, _ := d.in("stranger")
		r := importRows(t, d, office, auth.RosterRow{"0023010101", "林小满", "维修部", "试用干事"}, auth.RosterRow{"0023010102", "周航", "信息中心", "部长"})
		claim := auth.Claim{Token: r.Token, Number: "0023010101", Name: "林小满", Password: right}
		for _, bad := range []auth.Claim{
			{r.Token, "0023010101", "周航", right}, {r.Token, "0099999999", "林小满", right},
		} {
			want(t, d.svc.Claim(bg, bad, dorm), "CLAIM_REFUSED")
		}
		want(t, d.svc.Claim(bg, auth.Claim{Token: "x", Number: claim.Number, Name: claim.Name, Password: right}, dorm), "LINK_ENDED")
		want(t, d.svc.Claim(bg, auth.Claim{Token: r.Token, Number: claim.Number, Name: claim.Name, Password: "pw-0023010101-pw"}, dorm), "BAD_USER_INPUT")
		want(t, d.svc.Claim(bg, claim, dorm), "")
		want(t, d.svc.Claim(bg, claim, dorm), "CLAIM_REFUSED") // taken
		want(t, d.try(claim.Number, right, dorm), "CLAIM_PENDING")
		want(t, d.try(claim.Number, "wrong-wrong-wrong", dorm), "WRONG_SIGN_IN") // which tells nothing

		if list, err := d.svc.PendingClaims(bg, stranger); err != nil || len(list) != 0 {
			t.Fatal(list, err)
		}
		list, err := d.svc.PendingClaims(bg, head)
		if err != nil || len(list) != 1 || list[0].Name != "林小满" || list[0].Kind != org.Probation {
			t.Fatalf("%+v %v", list, err)
		}
		_, err = d.svc.ConfirmClaims(bg, stranger, auth.ConfirmClaims{Confirm: ids(list)})
		want(t, err, "NOT_FOUND")
		in := auth.ConfirmClaims{IdempotencyKey: "k", Confirm: ids(list)}
		out, err := d.svc.ConfirmClaims(bg, head, in)
		if err != nil || len(out.Confirmed) != 1 {
			t.Fatal(out, err)
		}
		again, err := d.svc.ConfirmClaims(bg, head, in)
		if err != nil || len(again.Confirmed) != 1 {
			t.Fatal("sent again:", again, err)
		}
		_, actor, _ := d.in(claim.Number)
		if len(actor.Seats) != 1 || actor.Seats[0].Seat != "technical.maintenance.member" || actor.Seats[0].Kind != org.Probation {
			t.Fatalf("%+v", actor.Seats)
		}
		// The head of a unit is confirmed from above, and nobody by himself.
		want(t, d.svc.Claim(bg, auth.Claim{r.Token, "0023010102", "周航", right}, dorm), "")
		if list, err = d.svc.PendingClaims(bg, office); err != nil || len(list) != 1 || list[0].Seat != "technical.information.head" {
			t.Fatalf("%+v %v", list, err)
		}
		// In office, what is known is no longer kept for a while only.
		d.clock.Advance(61 * 24 * time.Hour)
		if _, err := d.org.Purge(bg); err != nil {
			t.Fatal(err)
		}
		names, err := org.Names(bg, db.R, actor.Person, list[0].Person)
		if err != nil || names[actor.Person] != "林小满" || names[list[0].Person] != org.Erased {
			t.Fatal(names, err)
		}
	})
}

func ids(list []auth.PendingClaim) (out []id.ID) {
	for _, c := range list {
		out = append(out, c.ID)
	}
	return out
}

// Somebody else took the number: the head refuses, and the right one claims.
func TestRefusedClaimIsFreeAgain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("hejing", "office.head")
		_, office, _ := d.in("hejing")
		r := importRows(t, d, office, auth.RosterRow{"0023010101", "林小满", "维修部", "干事"}, auth.RosterRow{"0023010101", "林小满", "宣传部", "干事"},
			auth.RosterRow{"Nhejing", "hejing", "宣传部", "副部长"})
		if got := states(r); got != "NEW NEW NEW" {
			t.Fatal(got)
		}
		want(t, d.svc.Claim(bg, auth.Claim{r.Token, "0023010101", "林小满", "thief-thief-thief-4"}, abroad), "")
		list, err := d.svc.PendingClaims(bg, office)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v %v", list, err) // one's own claim is not among them
		}
		out, err := d.svc.ConfirmClaims(bg, office, auth.ConfirmClaims{Refuse: ids(list[:1])})
		if err != nil || len(out.Refused) != 1 {
			t.Fatal(out, err)
		}
		want(t, d.try("0023010101", "thief-thief-thief-4", abroad), "WRONG_SIGN_IN")
		want(t, d.svc.Claim(bg, auth.Claim{r.Token, "0023010101", "林小满", right}, dorm), "")
		list, err = d.svc.PendingClaims(bg, office)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v %v", list, err)
		}
		if out, err = d.svc.ConfirmClaims(bg, office, auth.ConfirmClaims{Confirm: ids(list)}); err != nil || len(out.Confirmed) != 2 {
			t.Fatal(out, err)
		}
		if _, actor, _ := d.in("0023010101"); len(actor.Seats) != 2 {
			t.Fatalf("%+v", actor.Seats)
		}
	})
}

// Whoever has an account cannot be claimed by somebody else with the link.
func TestAnAccountIsClaimedOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("hejing", "office.head")
		_, office, _ := d.in("hejing")
		row := auth.RosterRow{"0023010101", "林小满", "维修部", "干事"}
		r := importRows(t, d, office, row)
		_, err := d.svc.AddUser(bg, auth.NewUser{Password: right, Person: org.NewPerson{Name: "林小满", Number: row.Number}})
		want(t, err, "")
		thief := auth.Claim{r.Token, row.Number, row.Name, "thief-thief-thief-4"}
		want(t, d.svc.Claim(bg, thief, dorm), "CLAIM_REFUSED")
		if list, err := d.svc.PendingClaims(bg, office); err != nil || len(list) != 1 {
			t.Fatal(list, err) // the account is there: only the confirmation is wanting
		}
		if _, err := db.Bun().Exec(`UPDATE roster SET state = 'WAITING'`); err != nil {
			t.Fatal(err)
		}
		want(t, d.svc.Claim(bg, thief, dorm), "CLAIM_REFUSED")
		want(t, d.try(row.Number, right, dorm), "")
	})
}

// Next year's list: an officer who has an account needs no claim, and a seat
// that is still held says so without spoiling the rest of the batch.
func TestNextYearsList(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("hejing", "office.head")
		d.user("old", "technical.head")
		d.user("next", "technical.member")
		_, office, _ := d.in("hejing")
		if got := states(importRows(t, d, office, auth.RosterRow{"Nnext", "next", "技术部", "部长"}, auth.RosterRow{"Nnext", "next", "技术部", "干事"},
			auth.RosterRow{"Nold", "old", "外联部", "部长"})); got != "NEW SAME NEW" {
			t.Fatal(got)
		}
		list, err := d.svc.PendingClaims(bg, office)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v %v", list, err)
		}
		out, err := d.svc.ConfirmClaims(bg, office, auth.ConfirmClaims{Confirm: ids(list)})
		if err != nil || len(out.Confirmed) != 1 || len(out.Failed) != 1 || out.Failed[0].Reason != "SEAT_FULL" {
			t.Fatalf("%+v %v", out, err)
		}
		if _, actor, _ := d.in("old"); !actor.Holds("liaison.head") {
			t.Fatalf("%+v", actor.Seats)
		}
	})
}

func TestErasedPersonIsGoneFromEveryTable(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		const canary = "zzcanary"
		d.user("hejing", "office.head")
		_, office, _ := d.in("hejing")
		p, err := d.svc.AddUser(bg, auth.NewUser{Login: canary, Password: right, Person: org.NewPerson{Name: canary, Number: canary + "1", Class: canary,
			Contacts: []org.Contact{{Kind: "email", Value: canary + "@example.edu", Verified: true}}}})
		want(t, err, "")
		token, _, err := d.svc.SignIn(bg, canary, right, auth.Device{Label: canary + "'s phone"}, dorm, "zh")
		want(t, err, "")
		actor, info, err := d.svc.Resolve(bg, token)
		want(t, err, "")
		bearer, _, err := d.svc.CreateToken(bg, actor, info, auth.NewToken{Name: canary, Scopes: []string{"all"}})
		want(t, err, "")
		want(t, d.try(canary, "wrong-wrong-wrong", dorm), "WRONG_SIGN_IN")
		want(t, d.svc.RequestReset(bg, canary, dorm), "")
		importRows(t, d, office, auth.RosterRow{canary + "1", canary, "宣传部", "干事"})
		export, err := d.org.Export(bg, actor, p)
		if err != nil || export.Sections["account"] == nil {
			t.Fatal(err)
		}
		if len(grep(t, db, canary)) < 6 {
			t.Fatal("the test looks in the wrong places", grep(t, db, canary))
		}
		_, err = d.org.ErasePerson(bg, actor, "", p)
		want(t, err, "")
		if where := grep(t, db, canary); len(where) > 0 {
			t.Fatal("still in", where)
		}
		d.dead(token)
		if _, _, err := d.svc.ResolveBearer(bg, bearer); err == nil {
			t.Fatal("an API token outlived its owner")
		}
		want(t, d.try(canary, right, dorm), "WRONG_SIGN_IN")
		var left int
		if err := db.R.NewRaw(`SELECT count(*) FROM audit WHERE actor = ?`, p).Scan(bg, &left); err != nil || left == 0 {
			t.Fatal("history went with the person", err)
		}
	})
}

func TestPurge(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := open(t, db)
		d.user("guchen")
		d.in("guchen")
		want(t, d.try("nobody", "wrong-wrong-wrong", abroad), "WRONG_SIGN_IN")
		if n, err := d.svc.Purge(bg); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		d.clock.Advance(24 * time.Hour)
		if n, err := d.svc.Purge(bg); err != nil || n != 3 { // the session and two counters
			t.Fatal(n, err)
		}
	})
}
