package calendar_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org/calendar"
)

// A holiday as the State Council's notice words it: from and to are off, the
// days of work stand beside it.
type holiday struct {
	name, from, to string
	work           []string
}

var published = map[int][]holiday{
	2025: {
		{"元旦", "2025-01-01", "2025-01-01", nil},
		{"春节", "2025-01-28", "2025-02-04", []string{"2025-01-26", "2025-02-08"}},
		{"清明节", "2025-04-04", "2025-04-06", nil},
		{"劳动节", "2025-05-01", "2025-05-05", []string{"2025-04-27"}},
		{"端午节", "2025-05-31", "2025-06-02", nil},
		{"国庆节、中秋节", "2025-10-01", "2025-10-08", []string{"2025-09-28", "2025-10-11"}},
	},
	2026: {
		{"元旦", "2026-01-01", "2026-01-03", []string{"2026-01-04"}},
		{"春节", "2026-02-15", "2026-02-23", []string{"2026-02-14", "2026-02-28"}},
		{"清明节", "2026-04-04", "2026-04-06", nil},
		{"劳动节", "2026-05-01", "2026-05-05", []string{"2026-05-09"}},
		{"端午节", "2026-06-19", "2026-06-21", nil},
		{"中秋节", "2026-09-25", "2026-09-27", nil},
		{"国庆节", "2026-10-01", "2026-10-07", []string{"2026-09-20", "2026-10-10"}},
	},
}

// Each day of both years is what the notice says, and else what its weekday
// says; both years have 248 working days.
func TestPublishedNoticesDayByDay(t *testing.T) {
	c := build(t, calendar.Settings{})
	for year, list := range published {
		off, work := map[string]string{}, map[string]string{}
		for _, h := range list {
			for d := at(h.from + " 12:00"); !d.After(at(h.to + " 12:00")); d = d.AddDate(0, 0, 1) {
				off[d.Format(time.DateOnly)] = h.name
			}
			for _, w := range h.work {
				work[w] = h.name
			}
		}
		total := 0
		for d := at(fmt.Sprint(year, "-01-01 12:00")); d.Year() == year; d = d.AddDate(0, 0, 1) {
			name := d.Format(time.DateOnly)
			want := d.Weekday() != time.Saturday && d.Weekday() != time.Sunday
			holiday := off[name] + work[name]
			if holiday != "" {
				want = off[name] == ""
			}
			if got := c.IsWorkingDay(d); got != want {
				t.Errorf("%s: a day of work is %v, the notice says %v (%s)", name, got, want, holiday)
			}
			if special, _ := c.Special(d); special.Name != holiday {
				t.Errorf("%s is called %q, in the notice %q", name, special.Name, holiday)
			}
			if want {
				total++
			}
		}
		if total != 248 {
			t.Errorf("%d has %d working days in the test's own table", year, total)
		}
		before, end := at(fmt.Sprint(year-1, "-12-31 12:00")), at(fmt.Sprint(year, "-12-31 12:00"))
		if n := c.WorkingDays(before, end); n != 248 {
			t.Errorf("%d has %d working days", year, n)
		}
	}
}

// A deadline across each holiday: set on the last day of work before it, one
// working day is the first day of work after it, for every kind of seat.
func TestDeadlinesAcrossEachHoliday(t *testing.T) {
	c := build(t, calendar.Settings{})
	ends := map[calendar.Kind]string{calendar.Student: "22:00", calendar.Teacher: "17:30", calendar.League: "17:30", calendar.Outside: "17:30"}
	n := 0
	for _, list := range published {
		for _, h := range list {
			last, first := at(h.from+" 12:00").AddDate(0, 0, -1), at(h.to+" 12:00").AddDate(0, 0, 1)
			for !c.IsWorkingDay(last) {
				last = last.AddDate(0, 0, -1)
			}
			for !c.IsWorkingDay(first) {
				first = first.AddDate(0, 0, 1)
			}
			for kind, end := range ends {
				n++
				want := at(first.Format(time.DateOnly) + " " + end)
				if got := c.Clock(kind).EndOf(last, 1); !got.Equal(want) {
					t.Errorf("%s: 1bd of %s set on %s is %s, want %s", h.name, kind, last, got, want)
				}
			}
			// Seven office hours fill one day.
			if got, want := c.Clock(calendar.Teacher).Add(at(last.Format(time.DateOnly)+" 17:30"), 7*time.Hour), at(first.Format(time.DateOnly)+" 17:30"); !got.Equal(want) {
				t.Errorf("%s: 7bh from the close before it is %s, want %s", h.name, got, want)
			}
			for d := at(h.from + " 00:00"); !d.After(at(h.to + " 00:00")); d = d.AddDate(0, 0, 1) {
				if c.Clock(calendar.Student).Passed(d, d.AddDate(0, 0, 1)) != 0 {
					t.Errorf("%s: a student's time runs on %s", h.name, d)
				}
			}
			for _, w := range h.work {
				if got := c.Clock(calendar.Teacher).Passed(at(w+" 00:00"), at(w+" 23:59")); got != 7*time.Hour {
					t.Errorf("%s: %s has %s office hours", h.name, w, got)
				}
			}
		}
	}
	t.Logf("%d deadlines across %d holidays", n, len(published[2025])+len(published[2026]))
}

const next = `{"year": 2027, "papers": ["https://www.gov.cn/"], "days": [
	{"name": "元旦", "date": "2026-12-26", "isOffDay": false}, {"name": "元旦", "date": "2026-12-31", "isOffDay": true},
	{"name": "元旦", "date": "2027-01-01", "isOffDay": true}]}`

func notice(t *testing.T, text string) calendar.Notice {
	t.Helper()
	n, err := calendar.ParseNotice([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Until the next notice is there, the last week of December may still change;
// the next one sets it.
func TestTheNextNoticeSetsDecember(t *testing.T) {
	before := build(t, calendar.Settings{})
	after, err := calendar.New(shanghai, calendar.Settings{}, notice(t, next))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		day                 string
		provisional, before bool
		after               bool
	}{
		{"2026-12-24", false, true, true}, {"2026-12-26", true, false, true}, {"2026-12-31", true, true, false},
		{"2027-01-01", true, true, false}, {"2027-01-04", true, true, true},
	} {
		d := at(x.day + " 12:00")
		if before.Provisional(d) != x.provisional || before.IsWorkingDay(d) != x.before {
			t.Errorf("%s before the notice: provisional %v, works %v", x.day, before.Provisional(d), before.IsWorkingDay(d))
		}
		if after.Provisional(d) || after.IsWorkingDay(d) != x.after {
			t.Errorf("%s after the notice: provisional %v, works %v", x.day, after.Provisional(d), after.IsWorkingDay(d))
		}
	}
}

// The university's days are over the State Council's, those over the weekday.
func TestCampusOverStateOverWeekday(t *testing.T) {
	c := build(t, calendar.Settings{Days: []calendar.Day{
		{Name: "值班", Date: "2026-10-02"}, {Name: "校运会", Date: "2026-10-10", Off: true}, {Name: "停课", Date: "2026-10-14", Off: true},
		{Name: "迎新", Date: "2026-10-17"}}})
	for day, want := range map[string]bool{"2026-10-01": false, "2026-10-02": true, "2026-10-10": false, "2026-10-14": false, "2026-10-17": true, "2026-10-15": true, "2026-10-18": false} {
		if c.IsWorkingDay(at(day+" 12:00")) != want {
			t.Errorf("%s: works %v", day, !want)
		}
	}
}

func TestBadNoticesAreRefused(t *testing.T) {
	day := func(date string, off bool) string {
		return fmt.Sprintf(`{"year": 2027, "days": [{"name": "元旦", "date": "2027-01-01", "isOffDay": true}, {"name": "x", "date": %q, "isOffDay": %v}]}`, date, off)
	}
	for name, text := range map[string]string{
		"not JSON": "2027", "no year": `{"days": [{"name": "元旦", "date": "2027-01-01", "isOffDay": true}]}`,
		"not announced": `{"year": 2027, "days": []}`, "no date": day("1 Jan", true), "another year": day("2026-11-01", true),
		"twice": day("2027-01-01", true), "make-up on a Wednesday": day("2027-02-03", false), "make-up alone": `{"year": 2027, "days": [{"name": "x", "date": "2027-02-06", "isOffDay": false}]}`,
		"no name": strings.Replace(day("2027-02-06", true), `"x"`, `""`, 1),
	} {
		if _, err := calendar.ParseNotice([]byte(text)); !fault.Is(err, fault.BadUserInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImportedNoticesAreStored(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		ctx := context.Background()
		put := func(n calendar.Notice) {
			t.Helper()
			if _, err := store.InTx(ctx, db, store.Internal("x"), func(_ context.Context, tx *store.Tx) (int, error) {
				return 0, calendar.StoreNotice(tx, n, testkit.Start)
			}); err != nil {
				t.Fatal(err)
			}
		}
		works := func(day string) bool {
			t.Helper()
			c, err := calendar.Load(ctx, db.R, shanghai)
			if err != nil {
				t.Fatal(err)
			}
			return c.IsWorkingDay(at(day + " 12:00"))
		}
		if !works("2027-01-01") {
			t.Fatal("a year without a notice is not as its weekdays say")
		}
		put(notice(t, next))
		if works("2027-01-01") || !works("2027-02-08") {
			t.Fatal("the notice is not in the calendar")
		}
		put(notice(t, strings.Replace(next, "2027-01-01", "2027-02-08", 1)))
		if !works("2027-01-01") || works("2027-02-08") {
			t.Fatal("the second notice on the year has not taken the first one's place")
		}
		put(notice(t, `{"year": 2026, "days": [{"name": "国庆节", "date": "2026-10-01", "isOffDay": true}]}`))
		if !works("2026-10-02") || works("2025-10-02") {
			t.Fatal("a corrected notice replaces the embedded one of its year, and no other")
		}
	})
}
