package recur_test

import (
	"slices"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/workflow/recur"
)

var cst = time.FixedZone("CST", 8*3600)

func at(t *testing.T, s string, loc *time.Location) time.Time {
	t.Helper()
	d, err := time.ParseInLocation("2006-01-02 15:04", s, loc)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func dates(t *testing.T, rule, start, after string, loc *time.Location, n int) (out []string) {
	t.Helper()
	r, err := recur.Parse(rule, loc)
	if err != nil {
		t.Fatalf("%s: %v", rule, err)
	}
	for _, d := range r.After(at(t, start, loc), at(t, after, loc), n) {
		out = append(out, d.Format("2006-01-02 15:04"))
	}
	return out
}

func TestDates(t *testing.T) {
	for _, c := range []struct {
		rule, start, after string
		n                  int // asked for; it ends where there are fewer
		want               []string
	}{
		{"FREQ=MONTHLY;BYMONTHDAY=25", "2026-11-01 08:00", "2026-11-01 08:00", 3, []string{"2026-11-25 08:00", "2026-12-25 08:00", "2027-01-25 08:00"}},
		{"FREQ=MONTHLY;BYMONTHDAY=-1", "2027-01-31 08:00", "2027-01-31 08:00", 2, []string{"2027-02-28 08:00", "2027-03-31 08:00"}},
		// The 31st is no day of a short month.
		{"FREQ=MONTHLY", "2026-10-31 08:00", "2026-10-31 08:00", 2, []string{"2026-12-31 08:00", "2027-01-31 08:00"}},
		{"FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", "2026-11-02 20:30", "2026-11-02 20:30", 3, []string{"2026-11-06 20:30", "2026-11-16 20:30", "2026-11-20 20:30"}},
		{"FREQ=MONTHLY;BYDAY=-1FR", "2026-11-01 09:00", "2026-11-27 08:59", 2, []string{"2026-11-27 09:00", "2026-12-25 09:00"}},
		{"FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-11-01 09:00", "2027-01-01 00:00", 1, []string{"2027-01-29 09:00"}},
		{"FREQ=YEARLY;BYMONTH=3,9;BYMONTHDAY=1", "2026-11-01 09:00", "2026-11-01 09:00", 2, []string{"2027-03-01 09:00", "2027-09-01 09:00"}},
		{"rrule:freq=daily;count=3", "2026-11-01 09:00", "2026-11-01 09:00", 3, []string{"2026-11-02 09:00", "2026-11-03 09:00"}},
		{"FREQ=DAILY;UNTIL=20261102", "2026-11-01 09:00", "2026-10-01 09:00", 3, []string{"2026-11-01 09:00", "2026-11-02 09:00"}},
		{"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "2026-11-01 09:00", "2026-11-01 09:00", 1, nil},
	} {
		if got := dates(t, c.rule, c.start, c.after, cst, c.n); !slices.Equal(got, c.want) {
			t.Errorf("%s after %s: %v, want %v", c.rule, c.after, got, c.want)
		}
	}
}

// Nine in the morning stays nine in the morning when the clocks change.
func TestTheTimeOfDayIsTheStarts(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"2027-03-27 09:00", "2027-03-28 09:00", "2027-03-29 09:00"}
	if got := dates(t, "FREQ=DAILY", "2027-03-26 09:00", "2027-03-26 09:00", berlin, 3); !slices.Equal(got, want) {
		t.Error(got)
	}
}

func TestAWrongRuleNamesThePart(t *testing.T) {
	for rule, part := range map[string]string{
		"": "", "FREQ=HOURLY": "FREQ", "FREQ=MINUTELY": "FREQ", "FREQ=SECONDLY": "FREQ", "FREQ=OFTEN": "FREQ", "BYMONTHDAY=1": "FREQ",
		"FREQ=DAILY;INTERVAL=0": "INTERVAL", "FREQ=DAILY;INTERVAL=100": "INTERVAL", "FREQ=DAILY;COUNT=-1": "COUNT", "FREQ=DAILY;COUNT=1001": "COUNT",
		"FREQ=DAILY;UNTIL=soon": "UNTIL", "FREQ=DAILY;COUNT=2;UNTIL=20270101": "UNTIL", "FREQ=MONTHLY;BYMONTHDAY=32": "BYMONTHDAY", "FREQ=MONTHLY;BYMONTHDAY=0": "BYMONTHDAY",
		"FREQ=WEEKLY;BYMONTHDAY=1": "BYMONTHDAY", "FREQ=YEARLY;BYMONTH=13": "BYMONTH", "FREQ=YEARLY;BYMONTH=-1": "BYMONTH", "FREQ=WEEKLY;BYDAY=XX": "BYDAY", "FREQ=WEEKLY;BYDAY=1MO": "BYDAY",
		"FREQ=MONTHLY;BYDAY=6MO": "BYDAY", "FREQ=MONTHLY;BYDAY=M": "BYDAY", "FREQ=MONTHLY;BYSETPOS=1": "BYSETPOS", "FREQ=DAILY;BYDAY=MO;BYSETPOS=1": "BYSETPOS", "FREQ=DAILY;BYHOUR=9": "BYHOUR", "FREQ=DAILY;BYEASTER=1": "BYEASTER",
		"FREQ=YEARLY;BYWEEKNO=1": "BYWEEKNO", "FREQ=DAILY;FREQ=DAILY": "FREQ", "FREQ=DAILY;COUNT": "COUNT", "FREQ=DAILY;": "", "FREQ=WEEKLY;WKST=X": "WKST",
	} {
		_, err := recur.Parse(rule, cst)
		f, ok := fault.As(err)
		if !ok || f.Reason != "BAD_RRULE" || f.Path[0] != recur.Field || f.Zh == "" || f.En == "" {
			t.Errorf("%q: %v", rule, err)
			continue
		}
		if part != "" && (len(f.Path) != 2 || f.Path[1] != part) {
			t.Errorf("%q is refused at %v, want %s", rule, f.Path, part)
		}
	}
}
