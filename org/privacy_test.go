package org_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

func TestLeastSight(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := federation(t, db)
		var who, student id.ID
		inTx(t, db, func(tx *store.Tx) {
			var err error
			who, err = org.AddPerson(tx, org.NewPerson{Kind: org.Officer, Name: "阿依努尔·买买提", Number: "0023010115", Contacts: []org.Contact{{Kind: "phone", Value: "13800000001"}}}, testkit.Start)
			if err != nil {
				t.Error(err)
			}
			if student, err = org.AddPerson(tx, org.NewPerson{Kind: org.Participant, Name: "王同学"}, testkit.Start); err != nil {
				t.Error(err)
			}
		})
		_, err := f.start(f.office, who, "society.robotics.chair", time.Time{}, time.Time{})
		want(t, err, "")
		_, err = f.svc.Members(bg, org.Stranger("zh", ""), "society.robotics")
		want(t, err, "UNAUTHENTICATED")
		got, err := f.svc.Members(bg, f.chair, "society.robotics")
		if err != nil || len(got) != 1 || got[0].Name != "阿依努尔·买买提" || got[0].Number != "0023****15" || got[0].Tenures[0].Title("zh") != "会长" || !got[0].Tenures[0].Until.IsZero() {
			t.Fatalf("%+v %v", got, err)
		}
		if own, err := f.svc.People(bg, f.as(who), who, student); err != nil || len(own) != 1 || own[0].Number != "0023010115" {
			t.Fatalf("%+v %v", own, err)
		}
		for _, q := range []string{"买买提", "ayinuer", "mmt", "阿依"} {
			if found, err := f.svc.Find(bg, f.chair, q, 10); err != nil || len(found) != 1 || found[0].ID != who {
				t.Fatalf("%q finds %+v %v", q, found, err)
			}
		}
		if found, _ := f.svc.Find(bg, f.chair, "王同学", 10); len(found) != 0 {
			t.Fatal("a student is listed to officers")
		}
		for _, c := range []struct {
			by   org.Actor
			want string
		}{{f.chair, "NOT_FOUND"}, {org.Stranger("zh", ""), "UNAUTHENTICATED"}, {f.as(who), ""}, {f.office, ""}} {
			contacts, err := f.svc.Contacts(bg, c.by, who)
			want(t, err, c.want)
			if c.want == "" && (len(contacts) != 1 || contacts[0] != (org.Contact{Kind: "phone", Value: "13800000001"})) {
				t.Fatal(contacts)
			}
		}
		_, absent := f.svc.Contacts(bg, f.chair, id.New())
		_, foreign := f.svc.Contacts(bg, f.chair, who)
		if absent.Error() != foreign.Error() {
			t.Fatalf("absent %v, foreign %v", absent, foreign)
		}
		var looks int
		if err := db.R.NewRaw(`SELECT count(*) FROM audit WHERE action = 'org.person.look' AND object_id = ?`, who).Scan(bg, &looks); err != nil || looks != 1 {
			t.Fatalf("%d looks recorded, want the office's one; %v", looks, err)
		}
	})
}

func TestCorrectExportErase(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := federation(t, db)
		const canary = "canaryvalue"
		out, err := f.svc.AddPerson(bg, f.office, "k", org.NewPerson{Name: canary, Number: canary + "-1", Class: canary,
			Contacts: []org.Contact{{Kind: "email", Value: canary + "@example.edu"}, {Kind: "wechat", Value: canary}}})
		want(t, err, "")
		_, err = f.svc.AddPerson(bg, f.office, "k2", org.NewPerson{Name: "别人", Number: canary + "-1"})
		want(t, err, "NUMBER_TAKEN")
		me := org.Actor{Person: out.Person}
		ten, err := f.start(f.office, me.Person, "publicity.member", time.Time{}, time.Time{})
		want(t, err, "")
		me = f.as(me.Person)
		_, err = f.svc.CorrectPerson(bg, me, org.CorrectPerson{Values: map[string]string{"name": "改名"}})
		want(t, err, "FORBIDDEN")
		_, err = f.svc.CorrectPerson(bg, me, org.CorrectPerson{Values: map[string]string{"class": "11010519491231002X"}})
		want(t, err, "BAD_USER_INPUT") // an identity card number
		_, err = f.svc.CorrectPerson(bg, me, org.CorrectPerson{Values: map[string]string{"class": canary + "2"}, AddContacts: []org.Contact{{Kind: "qq", Value: "123456"}}})
		want(t, err, "")
		_, err = f.svc.SetFreeHours(bg, me, org.SetFreeHours{Hours: []org.FreeHour{{Weekday: 3, Parity: "odd", FromMin: 480, ToMin: 600}}})
		want(t, err, "")
		inTx(t, db, func(tx *store.Tx) { org.GiveConsent(tx, me.Person, "photo", "v1", "form", f.clock.Now()) })
		_, err = f.svc.Export(bg, f.chair, me.Person)
		want(t, err, "FORBIDDEN")
		export, err := f.svc.Export(bg, me, me.Person)
		want(t, err, "")
		raw, err := json.Marshal(export)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{canary + "2", canary + "-1", canary + "@example.edu", "123456", "publicity.member", "photo", "odd"} {
			if !strings.Contains(string(raw), s) {
				t.Errorf("the export lacks %s: %s", s, raw)
			}
		}
		_, err = f.svc.AskRight(bg, me, "", "ERASE")
		want(t, err, "")
		reqs, err := f.svc.RightsRequests(bg, f.office)
		// 15 working days after Wednesday 14 October 2026, with no holiday between.
		if err != nil || len(reqs) != 1 || !reqs[0].DueAt.Equal(testkit.Start.AddDate(0, 0, 21)) {
			t.Fatalf("%+v %v", reqs, err)
		}
		_, err = f.svc.ErasePerson(bg, f.office, "", me.Person)
		want(t, err, "STILL_IN_OFFICE")
		f.clock.Advance(time.Minute)
		_, err = f.svc.EndTenure(bg, f.office, org.EndTenure{Tenure: ten})
		want(t, err, "")
		_, err = f.svc.ErasePerson(bg, f.office, "", me.Person)
		want(t, err, "")
		if where := testGrep(t, db, canary); len(where) > 0 {
			t.Fatalf("the erased person's values are still in %v", where)
		}
		names, err := org.Names(bg, db.R, me.Person)
		if err != nil || names[me.Person] != org.Erased {
			t.Fatal(names, err)
		}
		if reqs, _ = f.svc.RightsRequests(bg, f.office); len(reqs) != 0 {
			t.Fatal("the wish is still open")
		}
		_, err = f.svc.ErasePerson(bg, f.office, "", me.Person)
		want(t, err, "NOT_FOUND")
	})
}

func TestRetentionPurges(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := federation(t, db)
		ticket := id.New()
		inTx(t, db, func(tx *store.Tx) {
			org.SetPersonal(tx, db.Key(), ticket, f.clock.Now(), f.clock.Now().Add(time.Hour), map[string]string{org.FieldClass: "x"})
		})
		if n, err := f.svc.Purge(bg); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		f.clock.Advance(time.Hour)
		if n, err := f.svc.Purge(bg); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if left, _ := org.PersonalOf(bg, db.R, ticket); len(left) != 0 {
			t.Fatal(left)
		}
	})
}

func TestConsentIsOnePerPurpose(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		s := id.New()
		inTx(t, db, func(tx *store.Tx) { org.GiveConsent(tx, s, "contact", "v1", "form", testkit.Start) })
		inTx(t, db, func(tx *store.Tx) { org.GiveConsent(tx, s, "contact", "v2", "form", testkit.Start.Add(time.Minute)) })
		rows, err := org.Consents(bg, db.R, s)
		if err != nil || len(rows) != 2 || rows[0].Version != "v2" || rows[1].WithdrawnAt.IsZero() {
			t.Fatalf("%+v %v", rows, err)
		}
		inTx(t, db, func(tx *store.Tx) { org.WithdrawConsent(tx, s, "contact", testkit.Start.Add(time.Hour)) })
		if ok, err := org.Consented(bg, db.R, s, "contact"); ok || err != nil {
			t.Fatal("a withdrawn consent stands", err)
		}
	})
}

func TestUnregisteredPersonalFieldIsRefused(t *testing.T) {
	db := testkit.SQLite(t)
	defer func() {
		if recover() == nil {
			t.Fatal("a field that /privacy does not know was stored")
		}
	}()
	_, _ = store.InTx(bg, db, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) {
		org.SetPersonal(tx, db.Key(), id.New(), testkit.Start, time.Time{}, map[string]string{"blood_group": "A"})
		return 0, nil
	})
}

// testGrep names the columns of all tables that contain the text.
func testGrep(t *testing.T, db *store.DB, text string) (where []string) {
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
		if err := db.R.NewRaw(`SELECT count(*) FROM "`+c.T+`" WHERE CAST("`+c.C+`" AS TEXT) LIKE '%`+text+`%'`).Scan(bg, &n); err != nil {
			t.Fatal(c, err)
		}
		if n > 0 {
			where = append(where, c.T+"."+c.C)
		}
	}
	return where
}
