package calendar_test

import (
	"context"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org/calendar"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var shanghai = time.FixedZone("CST", 8*3600)

var settings = calendar.Settings{
	Terms: []calendar.Term{{Name: "2026 秋", First: "2026-09-07", Weeks: 20, ExamWeek: 19}, {Name: "2027 春", First: "2027-03-01", Weeks: 18}},
	Days:  []calendar.Day{{Name: "校运会", Date: "2026-11-06", Off: true}, {Name: "补课", Date: "2026-11-08"}},
}

func at(s string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", s, shanghai)
	if err != nil {
		panic(err)
	}
	return t
}

func build(t *testing.T, s calendar.Settings) *calendar.Calendar {
	t.Helper()
	c, err := calendar.New(shanghai, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Days of the notice on 2026: a Sunday of work before, a Saturday of work after
// the National Day week.
func TestWorkingDays(t *testing.T) {
	c := build(t, settings)
	for day, want := range map[string]bool{
		"2026-10-14": true, "2026-10-17": false, "2026-10-01": false, "2026-10-07": false, "2026-10-08": true,
		"2026-10-10": true, // Saturday, 调休
		"2026-02-14": true, "2026-02-28": true, "2026-02-16": false, "2026-11-06": false, "2026-11-08": true,
	} {
		if got := c.IsWorkingDay(at(day + " 12:00")); got != want {
			t.Errorf("%s: %v, want %v", day, got, want)
		}
	}
	// The day is the federation's, not UTC's: 17:00 UTC on the 7th is the 8th.
	if !c.IsWorkingDay(time.Date(2026, 10, 7, 17, 0, 0, 0, time.UTC)) {
		t.Error("the day was taken in UTC")
	}
	if build(t, calendar.Settings{}).IsWorkingDay(at("2026-11-06 09:00")) != true {
		t.Error("one calendar's days are in another")
	}
}

func TestAddWorkingDays(t *testing.T) {
	c := build(t, settings)
	for _, x := range []struct {
		from string
		n    int
		want string
	}{
		{"2026-10-14 10:00", 0, "2026-10-14 10:00"},
		{"2026-10-16 17:30", 1, "2026-10-19 17:30"}, // Friday → Monday
		{"2026-09-30 09:00", 1, "2026-10-08 09:00"}, // over the National Day
		{"2026-10-08 09:00", 2, "2026-10-10 09:00"}, // Saturday of work counts
		{"2026-10-03 09:00", 1, "2026-10-08 09:00"}, // begun on a day off
		{"2026-10-08 09:00", -1, "2026-09-30 09:00"},
		{"2026-11-05 09:00", 1, "2026-11-08 09:00"}, // the campus's own days: the 6th is off, the Sunday is not
		{"2026-12-31 09:00", 1, "2027-01-01 09:00"}, // not announced: by the weekday
	} {
		if got := c.AddWorkingDays(at(x.from), x.n); !got.Equal(at(x.want)) {
			t.Errorf("%s %+d = %v, want %s", x.from, x.n, got, x.want)
		}
	}
	for n := range 60 {
		from := at("2026-09-20 08:00")
		if got := c.WorkingDays(from, c.AddWorkingDays(from, n)); n > 0 && got != n {
			t.Fatalf("%d working days on are %d working days", n, got)
		}
	}
	if !c.Provisional(at("2027-03-01 00:00")) || c.Provisional(at("2026-03-01 00:00")) {
		t.Error("which years are announced is wrong")
	}
}

func TestTeachingWeeks(t *testing.T) {
	c := build(t, settings)
	for when, want := range map[string]int{"2026-09-06 23:59": 0, "2026-09-07 00:00": 1, "2026-09-13 23:59": 1, "2026-09-14 00:00": 2,
		"2026-10-14 10:00": 6, "2027-01-24 23:59": 20, "2027-01-25 00:00": 0, "2027-03-01 00:00": 1} {
		if got := c.TeachingWeek(at(when)); got != want {
			t.Errorf("%s is in week %d, want %d", when, got, want)
		}
	}
	if c.IsExamWeek(at("2027-01-10 23:59")) || !c.IsExamWeek(at("2027-01-11 00:00")) {
		t.Error("the exam weeks begin on another day")
	}
	if got := c.Format(at("2026-10-14 10:00")); got != "10月14日 第6周 周三" {
		t.Error(got)
	}
	if got := c.Format(at("2027-02-14 10:00")); got != "2月14日 周日" {
		t.Error(got)
	}
	if c.AcademicYear(at("2026-08-31 23:00")) != 2025 || c.AcademicYear(at("2026-09-01 00:00")) != 2026 {
		t.Error("the academic year begins in another month")
	}
}

func TestBadSettingsAreRefused(t *testing.T) {
	for name, s := range map[string]calendar.Settings{
		"not a Monday": {Terms: []calendar.Term{{First: "2026-09-08", Weeks: 20}}},
		"not a date":   {Terms: []calendar.Term{{First: "7 September", Weeks: 20}}},
		"no weeks":     {Terms: []calendar.Term{{First: "2026-09-07"}}},
		"exam later":   {Terms: []calendar.Term{{First: "2026-09-07", Weeks: 18, ExamWeek: 19}}},
		"overlap":      {Terms: []calendar.Term{{First: "2026-09-07", Weeks: 20}, {First: "2027-01-18", Weeks: 2}}},
		"bad day":      {Days: []calendar.Day{{Date: "2026-13-01"}}},
	} {
		if _, err := calendar.New(shanghai, s); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestSettingsAreStored(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		put := func(s calendar.Settings) error {
			_, err := store.InTx(ctx, db, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) {
				return 0, calendar.Store(tx, s, testkit.Start)
			})
			return err
		}
		if c, err := calendar.Load(ctx, db.R, shanghai); err != nil || c.HasTerms() {
			t.Fatal(err)
		}
		if err := put(settings); err != nil {
			t.Fatal(err)
		}
		if err := put(calendar.Settings{Terms: []calendar.Term{{First: "x", Weeks: 1}}}); !fault.Is(err, fault.BadUserInput) {
			t.Fatal(err)
		}
		c, err := calendar.Load(ctx, db.R, shanghai)
		if err != nil || c.TeachingWeek(testkit.Start) != 6 {
			t.Fatal(c, err)
		}
	})
}
