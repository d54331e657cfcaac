package org_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

var shanghai = time.FixedZone("CST", 8*3600)

// fixture is the seeded federation with an office, a chair and a teacher.
type fixture struct {
	t       *testing.T
	db      *store.DB
	clock   *clock.Fake
	svc     *org.Service
	office  org.Actor
	chair   org.Actor
	teacher org.Actor
}

func federation(t *testing.T, db *store.DB) *fixture {
	t.Helper()
	f := &fixture{t: t, db: db, clock: testkit.Clock()}
	if _, err := org.Seed(bg, db, f.clock, org.Template()); err != nil {
		t.Fatal(err)
	}
	f.svc = org.New(db, f.clock, org.NewTable(org.Rules()), shanghai)
	f.office = f.as(person(t, db, "何静", "office.head"))
	f.chair = f.as(person(t, db, "陈晨", "fed.chair"))
	f.teacher = f.as(person(t, db, "刘老师", "league.teacher"))
	return f
}

func (f *fixture) as(p id.ID) org.Actor {
	f.t.Helper()
	a, err := org.Judge(bg, f.db.R, org.Actor{Person: p, Lang: "zh"}, f.clock.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fixture) start(by org.Actor, p id.ID, seat string, from, until time.Time) (id.ID, error) {
	out, err := f.svc.StartTenure(bg, by, org.StartTenure{Person: p, Seat: seat, From: from, Until: until})
	return out.Tenure, err
}

func want(t *testing.T, err error, reason string) {
	t.Helper()
	if e, ok := fault.As(err); reason == "" && err != nil || reason != "" && (!ok || e.Reason != reason && string(e.Code) != reason) {
		t.Helper()
		t.Fatalf("got %v, want %q", err, reason)
	}
}

func TestSeedMakesTheFederationOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		first, err := org.Seed(bg, db, testkit.Clock(), org.Template())
		if err != nil || first.Units != 31 {
			t.Fatal(first, err)
		}
		inTx(t, db, func(tx *store.Tx) {
			tx.QueueSQL(`UPDATE unit SET name_zh = '我们的办公室' WHERE code = 'office'`)
		})
		again, err := org.Seed(bg, db, testkit.Clock(), org.Template())
		if err != nil || again != (org.Seeded{}) {
			t.Fatal("a second run created", again, err)
		}
		units, err := org.Units(bg, db.R)
		if err != nil {
			t.Fatal(err)
		}
		societies, byCode := 0, map[string]org.Unit{}
		for _, u := range units {
			byCode[u.Code] = u
			if u.Kind == org.Society {
				societies++
			}
		}
		if societies != 13 || byCode["office"].NameZh != "我们的办公室" || byCode["technical.maintenance"].Parent != byCode["technical"].ID {
			t.Fatalf("%d societies, office %q", societies, byCode["office"].NameZh)
		}
		for _, u := range units {
			if u.Kind == org.Society && byCode[u.College].Kind != org.CollegeDepartment {
				t.Errorf("%s has no college in charge: %q", u.Code, u.College)
			}
		}
		seats, err := org.Seats(bg, db.R, "")
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]org.Seat{}
		for _, s := range seats {
			names[s.Name] = s
		}
		for _, n := range []string{"league.secretary", "league.deputy", "league.teacher", "league.finance", "fed.chair", "fed.vice", "office.head", "office.keeper",
			"technical.maintenance.technician", "technical.information.member", "society.robotics.chair", "society.robotics.advisor", "college.cs.head"} {
			if names[n].Name == "" {
				t.Errorf("there is no seat %s", n)
			}
		}
	})
}

func TestTenuresNeverExceedTheCapacity(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := federation(t, db)
		now := f.clock.Now()
		day := func(n int) time.Time { return now.Add(time.Duration(n) * 24 * time.Hour) }
		a, b := person(t, db, "张一"), person(t, db, "李二")
		_, err := f.start(f.office, a, "technical.head", day(10), day(20))
		want(t, err, "")
		_, err = f.start(f.office, b, "technical.head", day(20), time.Time{}) // begins when the other ends
		want(t, err, "")
		_, err = f.start(f.office, b, "technical.head", day(5), day(10))
		want(t, err, "")
		_, err = f.start(f.office, id.New(), "technical.head", day(1), day(2))
		want(t, err, "NOT_FOUND")
		c := person(t, db, "王三")
		for _, span := range [][2]int{{9, 11}, {19, 21}, {12, 13}, {1, 30}, {25, 26}} {
			_, err = f.start(f.office, c, "technical.head", day(span[0]), day(span[1]))
			want(t, err, "SEAT_FULL")
		}
		_, err = f.start(f.office, c, "technical.head", day(1), time.Time{})
		want(t, err, "SEAT_FULL")
		_, err = f.start(f.office, a, "technical.head", day(15), day(16))
		want(t, err, "SEAT_HELD")
		_, err = f.start(f.office, c, "technical.head", day(3), day(2))
		want(t, err, "BAD_USER_INPUT")
	})
}

// A seat of three takes a fourth person where only two overlap at any moment.
func TestCapacityCountsMomentsAndNotOverlaps(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := federation(t, db)
		now := f.clock.Now()
		day := func(n int) time.Time { return now.Add(time.Duration(n) * 24 * time.Hour) }
		for i, span := range [][2]int{{0, 10}, {0, 10}, {10, 20}, {10, 20}, {0, 20}} { // office.deputy holds 3
			_, err := f.start(f.chair, person(t, db, fmt.Sprint("副", i)), "office.deputy", day(span[0]), day(span[1]))
			want(t, err, "")
		}
		_, err := f.start(f.chair, person(t, db, "多余"), "office.deputy", day(19), day(30))
		want(t, err, "SEAT_FULL")
	})
}

// The schema refuses what the service refuses, whoever writes.
func TestSchemaRefusesAFullSeat(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		unit(t, db, "technical", "", 1, org.Head)
		a, b := person(t, db, "甲", "technical.head"), person(t, db, "乙")
		start := testkit.Start
		put := func(p id.ID, from, until time.Time) error {
			row := org.Tenure{ID: id.New(), SeatID: seatID(t, db, "technical.head"), PersonID: p, Kind: org.Full, From: from, Until: until}
			_, err := db.Bun().NewInsert().Model(&row).Exec(bg)
			return err
		}
		if err := put(b, start.Add(time.Hour), time.Time{}); !store.IsConstraint(err) {
			t.Fatalf("a second head was accepted: %v", err)
		}
		if err := put(b, start.Add(-time.Hour), start.Add(time.Second)); !store.IsConstraint(err) {
			t.Fatalf("a second head before was accepted: %v", err)
		}
		if err := put(b, start.Add(-time.Hour), start); err != nil {
			t.Fatalf("the head before the head was refused: %v", err)
		}
		if _, err := db.Bun().Exec(`UPDATE tenure SET until_at = ? WHERE person_id = ?`, start.Add(time.Hour), b); !store.IsConstraint(err) {
			t.Fatalf("a tenure grew into another's: %v", err)
		}
		if _, err := db.Bun().Exec(`UPDATE seat SET capacity = 2`); err != nil {
			t.Fatal(err)
		}
		if err := put(a, start.Add(time.Hour), start.Add(2*time.Hour)); !store.IsConstraint(err) {
			t.Fatalf("one person sits twice on a seat: %v", err)
		}
		if err := put(b, start.Add(time.Hour), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Bun().Exec(`UPDATE seat SET capacity = 1`); !store.IsConstraint(err) {
			t.Fatalf("the seat shrank below its holders: %v", err)
		}
	})
}

func TestTwoAtOnceCannotTakeTheLastPlace(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := federation(t, db)
		people := make([]id.ID, 8)
		for i := range people {
			people[i] = person(t, db, fmt.Sprint("人", i))
		}
		var mu sync.Mutex
		won := 0
		var wg sync.WaitGroup
		for _, p := range people {
			wg.Go(func() {
				_, err := f.start(f.office, p, "supervision.head", time.Time{}, time.Time{})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if !fault.IsRule(err, "SEAT_FULL") {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Fatalf("%d people became the head", won)
		}
	})
}

func TestWhoMaySeatWhom(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := federation(t, db)
		head := f.as(person(t, db, "部长", "technical.head"))
		member := f.as(person(t, db, "干事", "technical.member"))
		newcomer := person(t, db, "新人")
		for _, c := range []struct {
			by     org.Actor
			person id.ID
			seat   string
			ok     bool
		}{
			{head, newcomer, "technical.member", true},
			{head, newcomer, "technical.deputy", false}, // not above one's reach
			{head, newcomer, "office.member", false},    // not in another unit
			{member, newcomer, "technical.trainer", false},
			{f.office, f.office.Person, "office.keeper", false}, // nobody seats himself
			{f.office, newcomer, "fed.vice", false},             // the chairs are the League Committee's
			{f.teacher, newcomer, "fed.vice", true},
			{f.teacher, newcomer, "league.finance", false},
			{org.Stranger("zh", ""), newcomer, "office.member", false},
		} {
			_, err := f.start(c.by, c.person, c.seat, time.Time{}, time.Time{})
			if (err == nil) != c.ok {
				t.Errorf("%v seats on %s: %v", c.by.Seats, c.seat, err)
			}
		}
		var seat string
		err := db.R.NewRaw(`SELECT seat FROM audit WHERE action = 'org.tenure.start' ORDER BY seq LIMIT 1`).Scan(bg, &seat)
		if err != nil || seat != "technical.head" {
			t.Fatalf("recorded under %q %v", seat, err)
		}
	})
}

func TestEndedTenureDecidesNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := federation(t, db)
		p := person(t, db, "干事")
		ten, err := f.start(f.office, p, "office.keeper", time.Time{}, time.Time{})
		want(t, err, "")
		stranger := f.as(person(t, db, "别人", "publicity.member"))
		f.clock.Advance(time.Hour)
		_, err = f.svc.EndTenure(bg, stranger, org.EndTenure{Tenure: ten})
		want(t, err, "FORBIDDEN")
		_, err = f.svc.EndTenure(bg, f.as(p), org.EndTenure{Tenure: ten}) // one's own seat may be given up
		want(t, err, "")
		if f.as(p).Holds("office.keeper") {
			t.Fatal("the seat is still held")
		}
		_, err = f.svc.EndTenure(bg, f.office, org.EndTenure{Tenure: ten})
		want(t, err, "TENURE_ENDED")
		// One that has not begun is taken back, not turned upside down.
		later, err := f.start(f.office, p, "office.keeper", f.clock.Now().Add(time.Hour), time.Time{})
		want(t, err, "")
		_, err = f.svc.EndTenure(bg, f.office, org.EndTenure{Tenure: later})
		want(t, err, "")
		var events int
		if err := db.R.NewRaw(`SELECT count(*) FROM outbox WHERE topic = 'org.tenure.ended'`).Scan(bg, &events); err != nil || events != 2 {
			t.Fatal(events, err)
		}
	})
}

func TestPortfolioLiaisonDelegation(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := federation(t, db)
		vice := f.as(person(t, db, "顾晨", "fed.vice"))
		officer := person(t, db, "陆远", "supervision.member")
		_, err := f.svc.SetPortfolio(bg, f.chair, org.SetPortfolio{Unit: "technical", Seat: "fed.vice", Person: officer})
		want(t, err, "SEAT_NOT_HELD")
		_, err = f.svc.SetPortfolio(bg, f.chair, org.SetPortfolio{Unit: "technical", Seat: "fed.vice", Person: vice.Person})
		want(t, err, "")
		if got, err := org.ViceOf(bg, db.R, "technical.information", f.clock.Now()); err != nil || len(got) != 1 || got[0].Person != vice.Person {
			t.Fatal(got, err)
		}
		_, err = f.svc.SetPortfolio(bg, f.chair, org.SetPortfolio{Unit: "technical", Seat: "fed.vice"})
		want(t, err, "")
		if got, _ := org.ViceOf(bg, db.R, "technical", f.clock.Now()); len(got) != 0 {
			t.Fatal("the portfolio was not taken back", got)
		}
		_, err = f.svc.SetLiaison(bg, f.office, org.SetLiaison{Unit: "society.robotics", Person: vice.Person})
		want(t, err, "NOT_SUPERVISION")
		_, err = f.svc.SetLiaison(bg, f.office, org.SetLiaison{Unit: "society.robotics", Person: officer})
		want(t, err, "")
		if got, err := org.LiaisonOf(bg, db.R, "society.robotics", f.clock.Now()); err != nil || !slices.Equal(got, []id.ID{officer}) {
			t.Fatal(got, err)
		}

		until := f.clock.Now().Add(72 * time.Hour)
		_, err = f.svc.Delegate(bg, f.office, org.Delegate{Seat: "fed.vice", To: officer, Until: until})
		want(t, err, "SEAT_NOT_HELD")
		_, err = f.svc.Delegate(bg, vice, org.Delegate{Seat: "fed.vice", To: person(t, db, "闲人"), Until: until})
		want(t, err, "NOT_AN_OFFICER")
		_, err = f.svc.Delegate(bg, vice, org.Delegate{Seat: "fed.vice", To: officer, Until: f.clock.Now().Add(61 * 24 * time.Hour)})
		want(t, err, "TOO_LONG")
		d, err := f.svc.Delegate(bg, vice, org.Delegate{Seat: "fed.vice", To: officer, Until: until})
		want(t, err, "")
		if !f.as(officer).Holds("fed.vice") {
			t.Fatal("the delegate does not hold the seat")
		}
		_, err = f.svc.Delegate(bg, f.as(officer), org.Delegate{Seat: "fed.vice", To: f.office.Person, Until: until})
		want(t, err, "SEAT_NOT_HELD") // what was delegated is not passed on
		f.clock.Advance(time.Hour)
		_, err = f.svc.EndDelegation(bg, vice, "", d.Delegation)
		want(t, err, "")
		if f.as(officer).Holds("fed.vice") {
			t.Fatal("a delegation taken back still works")
		}
	})
}
