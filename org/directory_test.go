package org_test

import (
	"slices"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/org/calendar"
)

func TestHoldersAndJudgeFollowTheDates(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		unit(t, db, "technical", "", 1, org.Head)
		head := person(t, db, "张伟", "technical.head")
		inTx(t, db, func(tx *store.Tx) {
			tx.QueueSQL(`UPDATE tenure SET until_at = ?`, testkit.Start.Add(time.Hour))
		})
		for _, at := range []struct {
			after time.Duration
			holds bool
		}{{-time.Microsecond, false}, {0, true}, {time.Hour - time.Microsecond, true}, {time.Hour, false}} {
			now := testkit.Start.Add(at.after)
			got, err := org.Holders(bg, db.R, "technical.head", now)
			if err != nil || (len(got) == 1) != at.holds {
				t.Fatalf("after %v: %v %v", at.after, got, err)
			}
			a, err := org.Judge(bg, db.R, org.Actor{Person: head}, now)
			if err != nil || a.Holds("technical.head") != at.holds {
				t.Fatalf("after %v: judged %+v %v", at.after, a, err)
			}
		}
	})
}

func TestDelegatedSeatLastsAsLongAsBoth(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		unit(t, db, "office", "", 1, org.Head, org.Deputy)
		head, deputy := person(t, db, "何静", "office.head"), person(t, db, "李明", "office.deputy")
		start := testkit.Start
		inTx(t, db, func(tx *store.Tx) {
			tx.QueueSQL(`INSERT INTO delegation (id, seat_id, from_person, to_person, from_at, until_at) VALUES (?, ?, ?, ?, ?, ?)`,
				id.New(), seatID(t, db, "office.head"), head, deputy, start, start.Add(48*time.Hour))
		})
		judge := func(now time.Time) org.Actor {
			a, err := org.Judge(bg, db.R, org.Actor{Person: deputy}, now)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		a := judge(start.Add(time.Hour))
		if len(a.Seats) != 2 || a.Seats[1] != (org.HeldSeat{Seat: "office.head", Unit: "office", Role: org.Head, Kind: org.Acting, For: head}) {
			t.Fatalf("%+v", a.Seats)
		}
		if d, err := org.Delegates(bg, db.R, "office.head", start.Add(time.Hour)); err != nil || len(d) != 1 || d[0].Person != deputy {
			t.Fatal(d, err)
		}
		if judge(start.Add(48 * time.Hour)).Holds("office.head") {
			t.Fatal("the delegation outlived its time")
		}
		// Who no longer holds the seat cannot have delegated it.
		inTx(t, db, func(tx *store.Tx) {
			tx.QueueSQL(`UPDATE tenure SET until_at = ? WHERE person_id = ?`, start.Add(2*time.Hour), head)
		})
		if judge(start.Add(3 * time.Hour)).Holds("office.head") {
			t.Fatal("the delegation outlived its holder's tenure")
		}
	})
}

func TestViceOfClimbsToTheParent(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		unit(t, db, "fed", "", 5, org.Vice, org.Chair)
		unit(t, db, "technical", "fed", 1, org.Head)
		unit(t, db, "technical.maintenance", "technical", 1, org.Head)
		unit(t, db, "office", "fed", 1, org.Head)
		vice := person(t, db, "顾晨", "fed.vice")
		tech, err := org.UnitByCode(bg, db.R, "technical")
		if err != nil {
			t.Fatal(err)
		}
		inTx(t, db, func(tx *store.Tx) {
			tx.Queue(db.Bun().NewInsert().Model(&org.Portfolio{UnitID: tech.ID, SeatID: seatID(t, db, "fed.vice"), PersonID: vice, From: testkit.Start}))
		})
		for code, want := range map[string]int{"technical": 1, "technical.maintenance": 1, "office": 0, "fed": 0, "nowhere": 0} {
			got, err := org.ViceOf(bg, db.R, code, testkit.Start)
			if err != nil || len(got) != want {
				t.Fatalf("%s: %v %v", code, got, err)
			}
			if want == 1 && got[0] != (org.Holder{Person: vice, Seat: "fed.vice", Unit: "fed", Kind: org.Full}) {
				t.Fatalf("%+v", got)
			}
		}
	})
}

func TestPersonalValuesAreErasable(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		a, b := person(t, db, "王伟"), person(t, db, "王伟")
		var hashes []string
		if err := db.R.NewRaw(`SELECT hash FROM personal WHERE field = 'name'`).Scan(bg, &hashes); err != nil || len(hashes) != 2 || hashes[0] == hashes[1] {
			t.Fatalf("two people of one name have the hashes %v (%v)", hashes, err)
		}
		inTx(t, db, func(tx *store.Tx) {
			if err := org.Erase(bg, tx, a, testkit.Start); err != nil {
				t.Error(err)
			}
			org.SetPersonal(tx, db.Key(), b, testkit.Start, time.Time{}, map[string]string{org.FieldNumber: " 0023 ", org.FieldName: "王薇"})
		})
		names, err := org.Names(bg, db.R, a, b, id.New())
		if err != nil || names[a] != "已删除" || names[b] != "王薇" || len(names) != 3 {
			t.Fatal(names, err)
		}
		values, err := org.PersonalOf(bg, db.R, a, b)
		if err != nil || len(values) != 1 || values[b]["number"] != "0023" {
			t.Fatal(values, err)
		}
		inTx(t, db, func(tx *store.Tx) {
			org.SetPersonal(tx, db.Key(), b, testkit.Start, time.Time{}, map[string]string{org.FieldNumber: ""})
		})
		if values, _ = org.PersonalOf(bg, db.R, b); values[b]["number"] != "" {
			t.Fatal("an empty value did not delete the field")
		}
	})
}

func TestMasks(t *testing.T) {
	for in, want := range map[string]string{"张伟": "张*", "阿依努尔·买买提": "阿*", "": "", org.Erased: org.Erased} {
		if got := org.Mask(in); got != want {
			t.Errorf("Mask(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"2023010115": "2023****15", "T0042": "T****", "": ""} {
		if got := org.MaskNumber(in); got != want {
			t.Errorf("MaskNumber(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCandidatesBySkillFreeHoursAndAbsence(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		shanghai := time.FixedZone("CST", 8*3600)
		unit(t, db, "technical", "", 9, org.Technician, org.Member)
		a := person(t, db, "周航", "technical.member", "technical.technician")
		b := person(t, db, "林小满", "technical.technician")
		now := testkit.Start // Wednesday 10:00 in Shanghai
		inTx(t, db, func(tx *store.Tx) {
			tx.QueueSQL(`INSERT INTO skill (person_id, name, certificate, from_at, until_at) VALUES (?, 'network', FALSE, ?, NULL), (?, 'electric', TRUE, ?, ?), (?, 'optics', FALSE, ?, ?)`,
				a, now, a, now, now.Add(time.Hour), a, now.Add(-time.Hour), now)
			tx.QueueSQL(`INSERT INTO free_hour (person_id, weekday, parity, from_min, to_min) VALUES (?, 3, 'all', 600, 660), (?, 3, 'all', 480, 600)`, a, b)
			tx.QueueSQL(`INSERT INTO absence (id, person_id, from_at, until_at) VALUES (?, ?, ?, ?)`, id.New(), b, now, now.Add(time.Hour))
		})
		got, err := org.Candidates(bg, db.R, now, shanghai, []string{"technical.member", "technical.technician"})
		if err != nil || len(got) != 2 {
			t.Fatal(got, err)
		}
		want := org.Candidate{Person: a, Seats: []string{"technical.member", "technical.technician"}, Skills: []string{"network"}, Certificates: []string{"electric"}, Free: true}
		if c := got[0]; c.Person != want.Person || !slices.Equal(c.Seats, want.Seats) || !slices.Equal(c.Skills, want.Skills) || !slices.Equal(c.Certificates, want.Certificates) || !c.Free || c.Absent {
			t.Fatalf("%+v", c)
		}
		if c := got[1]; c.Free || !c.Absent {
			t.Fatalf("%+v", c)
		}
	})
}

func TestFreeHoursFollowTheTeachingWeek(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		unit(t, db, "technical", "", 9, org.Member)
		p := person(t, db, "周航", "technical.member")
		inTx(t, db, func(tx *store.Tx) {
			tx.QueueSQL(`INSERT INTO free_hour (person_id, weekday, parity, from_min, to_min) VALUES (?, 3, 'even', 600, 700)`, p)
		})
		at := func(s string) time.Time {
			when, err := time.ParseInLocation("2006-01-02 15:04", s, shanghai)
			if err != nil {
				t.Fatal(err)
			}
			return when
		}
		free := func(s string) bool {
			got, err := org.FreeAt(bg, db.R, []id.ID{p}, at(s), shanghai)
			if err != nil {
				t.Fatal(err)
			}
			return got[p]
		}
		if !free("2026-10-07 10:00") || !free("2026-10-14 10:00") {
			t.Error("before the terms are known, hours of either parity count")
		}
		inTx(t, db, func(tx *store.Tx) {
			if err := calendar.Store(tx, calendar.Settings{Terms: []calendar.Term{{Name: "秋", First: "2026-09-07", Weeks: 20}}}, testkit.Start); err != nil {
				t.Error(err)
			}
		})
		for when, want := range map[string]bool{
			"2026-10-14 10:00": true,  // Wednesday of week 6
			"2026-10-14 11:40": false, // the end is not within
			"2026-10-14 09:59": false,
			"2026-10-07 10:00": false, // week 5
			"2026-10-13 10:00": false, // Tuesday
			"2026-08-05 10:00": true,  // no classes outside of terms
		} {
			if free(when) != want {
				t.Errorf("%s: free %v, want %v", when, !want, want)
			}
		}
	})
}
