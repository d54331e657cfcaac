package calendar_test

import (
	"testing"
	"time"

	"kelian/org/calendar"

	"pgregory.net/rapid"
)

// A year with examinations from 11 January and a break from 25 January to 28
// February 2027; the 2027 notice is not there.
func TestExamsSlowAndBreaksPause(t *testing.T) {
	c := build(t, settings)
	for _, x := range []struct {
		kind     calendar.Kind
		from     string
		days     int
		hours    int
		want     string
		whatItIs string
	}{
		{calendar.Student, "2026-10-14 10:00", 2, 0, "2026-10-16 22:00", "the end of the second working day"},
		{calendar.Teacher, "2026-10-14 10:00", 2, 0, "2026-10-16 17:30", "a teacher's day ends earlier"},
		{calendar.Outside, "2026-10-14 23:00", 1, 0, "2026-10-15 17:30", "outside parties are as teachers"},
		{calendar.Student, "2026-10-16 21:00", 0, 2, "2026-10-17 10:00", "Saturday morning counts"},
		{calendar.Student, "2026-10-16 21:00", 1, 0, "2026-10-19 22:00", "but Saturday is no working day"},
		{calendar.Teacher, "2026-10-16 17:00", 0, 1, "2026-10-19 09:00", "offices are closed at the weekend"},
		{calendar.Student, "2027-01-11 10:00", 1, 0, "2027-01-13 22:00", "in exam weeks two days are one"},
		{calendar.Teacher, "2027-01-11 10:00", 1, 0, "2027-01-12 17:30", "not a teacher's"},
		{calendar.Student, "2027-01-11 12:00", 0, 1, "2027-01-11 14:00", "two hours are one"},
		{calendar.Student, "2027-01-08 21:00", 0, 2, "2027-01-09 10:00", "the Saturday before is not in them"},
		{calendar.Student, "2027-01-22 10:00", 1, 0, "2027-03-01 22:00", "the break does not count"},
		{calendar.Teacher, "2027-01-22 17:00", 0, 1, "2027-03-01 09:00", "for teachers neither"},
	} {
		got := c.Clock(x.kind).EndOf(at(x.from), x.days)
		if x.hours > 0 {
			got = c.Clock(x.kind).Add(at(x.from), time.Duration(x.hours)*time.Hour)
		}
		if !got.Equal(at(x.want)) {
			t.Errorf("%s: %s from %s is %s, want %s", x.whatItIs, x.kind, x.from, got, x.want)
		}
	}
	// The one whom the law gives fifteen working days has them in a break too.
	if got := c.AddWorkingDays(at("2027-01-22 10:00"), 1); !got.Equal(at("2027-01-25 10:00")) {
		t.Errorf("a statutory working day after the 22nd is %s", got)
	}
	if !c.Provisional(at("2027-07-12 12:00")) {
		t.Error("after the last told term the time may still move")
	}
}

func TestADayOfWorkInABreakCounts(t *testing.T) {
	s := settings
	s.Days = append([]calendar.Day{{Name: "报到", Date: "2027-02-27"}}, s.Days...)
	c := build(t, s)
	if got := c.Clock(calendar.Student).EndOf(at("2027-01-29 10:00"), 1); !got.Equal(at("2027-02-27 22:00")) {
		t.Errorf("%s", got)
	}
}

func TestAForgottenTermIsNoBreak(t *testing.T) {
	c := build(t, calendar.Settings{Terms: []calendar.Term{{Name: "2026 春", First: "2026-03-02", Weeks: 18}, {Name: "2027 春", First: "2027-03-01", Weeks: 18}}})
	if d := at("2026-10-14 12:00"); c.IsBreak(d) || !c.Provisional(d) {
		t.Error("eight months between two terms are no break")
	}
}

func TestHoursAreSettings(t *testing.T) {
	s := calendar.Settings{Hours: map[calendar.Kind]calendar.Hours{
		calendar.Teacher: {Working: []calendar.Span{{From: 9 * 60, To: 11 * 60}}, Exams: calendar.Full, Break: calendar.Full},
		calendar.League:  {Working: []calendar.Span{{From: 0, To: 24 * 60}}, Free: []calendar.Span{{From: 0, To: 24 * 60}}, Exams: calendar.Full, Break: calendar.Full},
	}}
	c := build(t, s)
	for kind, want := range map[calendar.Kind]string{calendar.Teacher: "2026-10-15 11:00", calendar.Outside: "2026-10-15 11:00",
		calendar.League: "2026-10-16 00:00", calendar.Student: "2026-10-15 22:00"} {
		if got := c.Clock(kind).EndOf(at("2026-10-14 12:00"), 1); !got.Equal(at(want)) {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
	for name, h := range map[string]calendar.Hours{
		"no working time": {Exams: calendar.Full, Break: calendar.Full},
		"overlap":         {Working: []calendar.Span{{From: 60, To: 120}, {From: 90, To: 180}}, Exams: calendar.Full, Break: calendar.Full},
		"empty span":      {Working: []calendar.Span{{From: 60, To: 60}}, Exams: calendar.Full, Break: calendar.Full},
		"past midnight":   {Working: []calendar.Span{{From: 60, To: 1441}}, Exams: calendar.Full, Break: calendar.Full},
		"no pace":         {Working: []calendar.Span{{From: 60, To: 120}}},
	} {
		if _, err := calendar.New(shanghai, calendar.Settings{Hours: map[calendar.Kind]calendar.Hours{calendar.Student: h}}); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// Shanghai knows no summer time; the others change at different hours, Lord
// Howe by half an hour.
var zones = []string{"Asia/Shanghai", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "UTC"}

func drawCalendar(t *rapid.T) (*calendar.Calendar, *calendar.Clock) {
	loc, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	s := settings
	if rapid.Bool().Draw(t, "no terms") {
		s.Terms = nil
	}
	if rapid.Bool().Draw(t, "all day") { // so that the hours of a change of clocks are among them
		s.Hours = map[calendar.Kind]calendar.Hours{calendar.Student: {Working: []calendar.Span{{From: 0, To: 150}, {From: 150, To: 1440}},
			Free: []calendar.Span{{From: 30, To: 1440}}, Exams: calendar.Half, Break: calendar.Pause}}
	}
	c, err := calendar.New(loc, s)
	if err != nil {
		t.Fatal(err)
	}
	return c, c.Clock(rapid.SampledFrom(calendar.Kinds).Draw(t, "kind"))
}

func drawTime(t *rapid.T, c *calendar.Calendar, name string) time.Time {
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, c.Location())
	return from.Add(time.Duration(rapid.Int64Range(0, int64(500*24*time.Hour/time.Microsecond)).Draw(t, name)) * time.Microsecond)
}

// Time never runs backwards, adds up, and Add undoes Passed.
func TestTimeAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, clock := drawCalendar(t)
		a := drawTime(t, c, "a")
		b := a.Add(time.Duration(rapid.Int64Range(0, int64(60*24*time.Hour)).Draw(t, "to b")))
		d := b.Add(time.Duration(rapid.Int64Range(0, int64(60*24*time.Hour)).Draw(t, "to d")))
		whole, parts := clock.Passed(a, d), clock.Passed(a, b)+clock.Passed(b, d)
		if whole < parts || whole > parts+1 { // half nanoseconds
			t.Fatalf("%s→%s→%s: %s and %s", a, b, d, whole, parts)
		}
		if whole > d.Sub(a) {
			t.Fatalf("%s→%s has %s of the seat's time", a, d, whole)
		}
		x := time.Duration(rapid.Int64Range(1, int64(200*time.Hour)).Draw(t, "x"))
		end := clock.Add(a, x)
		if !end.After(a) || clock.Passed(a, end) != x {
			t.Fatalf("%s + %s is %s, which is %s later", a, x, end, clock.Passed(a, end))
		}
		if clock.Passed(a, end.Add(-2)) >= x {
			t.Fatalf("%s + %s is over before %s", a, x, end)
		}
		y := time.Duration(rapid.Int64Range(1, int64(200*time.Hour)).Draw(t, "y"))
		if once, twice := clock.Add(a, x+y), clock.Add(end, y); once.Sub(twice).Abs() > 2 {
			t.Fatalf("%s + %s + %s is %s or %s", a, x, y, once, twice)
		}
		if later := clock.Add(b, x); later.Before(end) {
			t.Fatalf("%s is later than %s, but ends earlier: %s, %s", b, a, later, end)
		}
	})
}

// Working days agree with walking day by day.
func TestWorkingDaysAgreeWithWalking(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, clock := drawCalendar(t)
		from := drawTime(t, c, "from")
		n := rapid.IntRange(1, 40).Draw(t, "n")
		halves, day := 2*n, from
		for halves > 0 {
			day = day.AddDate(0, 0, 1)
			if c.IsWorkingDay(day) {
				halves -= map[calendar.Pace]int{calendar.Full: 2, calendar.Half: 1}[clock.Pace(day)]
			}
		}
		end := clock.EndOf(from, n)
		if end.Add(-time.Minute).In(c.Location()).Format(time.DateOnly) != day.Format(time.DateOnly) {
			t.Fatalf("%d working days of %s after %s are over at %s, by walking on %s", n, clock.Kind(), from, end, day)
		}
		if next := clock.EndOf(from, n+1); !next.After(end) {
			t.Fatalf("%d working days are not longer than %d", n+1, n)
		}
		left, walked := n, from
		for left > 0 {
			walked = walked.AddDate(0, 0, 1)
			if c.IsWorkingDay(walked) {
				left--
			}
		}
		got := c.AddWorkingDays(from, n)
		if !got.Equal(walked) || c.WorkingDays(from, got) != n {
			t.Fatalf("%d working days after %s are %s, by walking %s", n, from, got, walked)
		}
		back := c.AddWorkingDays(from, -n)
		if !c.IsWorkingDay(back) || c.WorkingDays(back, from.AddDate(0, 0, -1)) != n-1 {
			t.Fatalf("%d working days before %s are %s", n, from, back)
		}
	})
}

func TestTimesOutsideTheTablesHaveAnAnswer(t *testing.T) {
	c := build(t, settings)
	for _, year := range []int{1, 1999, 2061, 9999} {
		far := time.Date(year, 5, 5, 5, 5, 5, 0, shanghai)
		clock := c.Clock(calendar.Student)
		clock.EndOf(far, 2)
		clock.Add(far, 8*time.Hour)
		if n := c.WorkingDays(at("2026-10-14 10:00"), far); (n > 0) != (year > 2026) {
			t.Errorf("%d working days until %d", n, year)
		}
	}
}

func BenchmarkEndOf(b *testing.B) {
	c, err := calendar.New(shanghai, settings)
	if err != nil {
		b.Fatal(err)
	}
	clock, from := c.Clock(calendar.Student), at("2026-10-14 10:00")
	for b.Loop() {
		clock.EndOf(from, 2)
	}
}

func BenchmarkAdd(b *testing.B) {
	c, err := calendar.New(shanghai, settings)
	if err != nil {
		b.Fatal(err)
	}
	clock, from := c.Clock(calendar.Student), at("2026-10-14 10:00")
	for b.Loop() {
		clock.Add(from, 8*time.Hour)
	}
}

// A new calendar with the sums of one kind, as after each change.
func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		c, err := calendar.New(shanghai, settings)
		if err != nil {
			b.Fatal(err)
		}
		c.Clock(calendar.Student).EndOf(at("2026-10-14 10:00"), 2)
	}
}
