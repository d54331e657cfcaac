package calendar

import (
	"embed"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

//go:embed holidays/*.json
var files embed.FS

const dateOnly = time.DateOnly

// Settings are what the university adds to the public holidays.
type Settings struct {
	Terms []Term `json:"terms"`
	Days  []Day  `json:"days"` // a campus holiday, or a day of work in spite of one
}

// Term is a semester. First is its first Monday, Weeks how many teaching weeks
// it has, ExamWeek the first week of examinations (0 = none).
type Term struct {
	Name     string `json:"name"`
	First    string `json:"first"` // 2006-01-02
	Weeks    int    `json:"weeks"`
	ExamWeek int    `json:"examWeek,omitempty"`
}

// Day is one day that is not as its weekday says.
type Day struct {
	Name string `json:"name"`
	Date string `json:"date"` // 2006-01-02
	Off  bool   `json:"isOffDay"`
}

// Calendar answers in one time zone; it never changes after it was made.
type Calendar struct {
	loc   *time.Location
	days  map[string]Day
	known map[int]bool // years with a notice
	terms []term
}

type term struct {
	Term
	start, end time.Time
}

// public is the embedded data, read once.
var public = sync.OnceValues(func() (map[string]Day, map[int]bool) {
	days, known := map[string]Day{}, map[int]bool{}
	entries, err := files.ReadDir("holidays")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		var year struct {
			Year int   `json:"year"`
			Days []Day `json:"days"`
		}
		raw, err := files.ReadFile("holidays/" + e.Name())
		if err == nil {
			err = json.Unmarshal(raw, &year)
		}
		if err != nil {
			panic(fmt.Sprintf("calendar: %s: %v", e.Name(), err))
		}
		known[year.Year] = len(year.Days) > 0
		for _, d := range year.Days {
			days[d.Date] = d
		}
	}
	return days, known
})

// New makes a calendar of the public holidays and the university's settings.
func New(loc *time.Location, s Settings) (*Calendar, error) {
	days, known := public()
	c := &Calendar{loc: loc, days: days, known: known}
	if len(s.Days) > 0 {
		c.days = make(map[string]Day, len(days)+len(s.Days))
		for k, d := range days {
			c.days[k] = d
		}
	}
	for _, d := range s.Days {
		if _, err := time.Parse(dateOnly, d.Date); err != nil {
			return nil, fmt.Errorf("calendar: day %q is not a date like 2026-11-06", d.Date)
		}
		c.days[d.Date] = d
	}
	for _, t := range s.Terms {
		start, err := time.ParseInLocation(dateOnly, t.First, loc)
		if err != nil || start.Weekday() != time.Monday {
			return nil, fmt.Errorf("calendar: term %q: first must be the date of a Monday, like 2026-09-07", t.Name)
		}
		if t.Weeks < 1 || t.Weeks > 30 || t.ExamWeek < 0 || t.ExamWeek > t.Weeks {
			return nil, fmt.Errorf("calendar: term %q: weeks must be 1 to 30 and the exam week one of them", t.Name)
		}
		end := start.AddDate(0, 0, 7*t.Weeks)
		for _, other := range c.terms {
			if start.Before(other.end) && other.start.Before(end) {
				return nil, fmt.Errorf("calendar: terms %q and %q overlap", other.Name, t.Name)
			}
		}
		c.terms = append(c.terms, term{t, start, end})
	}
	return c, nil
}

// Location is the zone the calendar answers in.
func (c *Calendar) Location() *time.Location { return c.loc }

// IsWorkingDay says whether the day of t is one on which offices work.
func (c *Calendar) IsWorkingDay(t time.Time) bool {
	t = t.In(c.loc)
	if d, ok := c.days[t.Format(dateOnly)]; ok {
		return !d.Off
	}
	return t.Weekday() != time.Saturday && t.Weekday() != time.Sunday
}

// Special gives what makes the day of t unlike its weekday, e.g. 国庆节.
func (c *Calendar) Special(t time.Time) (Day, bool) {
	d, ok := c.days[t.In(c.loc).Format(dateOnly)]
	return d, ok
}

// Provisional says that the year of t has no notice yet, so that a day counted
// there may still move.
func (c *Calendar) Provisional(t time.Time) bool { return !c.known[t.In(c.loc).Year()] }

// AddWorkingDays gives the same time of day on the n-th working day after the
// day of t, or before it for n < 0; n = 0 is t itself. The day of t never
// counts, so a deadline of one working day set on Friday is on Monday. It
// reaches at most ten years, in which there is always another working day.
func (c *Calendar) AddWorkingDays(t time.Time, n int) time.Time {
	step, left := 1, n
	if n < 0 {
		step, left = -1, -n
	}
	local := t.In(c.loc)
	day := local
	for i := 1; left > 0 && i <= 3660; i++ {
		day = local.AddDate(0, 0, i*step)
		if c.IsWorkingDay(day) {
			left--
		}
	}
	return day
}

// WorkingDays counts the working days after the day of from, up to and with the
// day of to; 0 when to is not later.
func (c *Calendar) WorkingDays(from, to time.Time) int {
	from, to = from.In(c.loc), to.In(c.loc)
	n, last := 0, to.Format(dateOnly)
	for i := 1; i <= 3660; i++ {
		day := from.AddDate(0, 0, i)
		if day.Format(dateOnly) > last {
			break
		}
		if c.IsWorkingDay(day) {
			n++
		}
	}
	return n
}

// Term gives the term that the day of t is in.
func (c *Calendar) Term(t time.Time) (Term, bool) {
	if x := c.termAt(t); x != nil {
		return x.Term, true
	}
	return Term{}, false
}

// TeachingWeek is the week of the term, from 1; 0 outside of terms.
func (c *Calendar) TeachingWeek(t time.Time) int {
	x := c.termAt(t)
	if x == nil {
		return 0
	}
	// By days and not by hours: a zone may change its clocks within a term.
	for w := 1; w <= x.Weeks; w++ {
		if t.Before(x.start.AddDate(0, 0, 7*w)) {
			return w
		}
	}
	return 0
}

// IsExamWeek says whether the day of t is in a term's weeks of examinations.
func (c *Calendar) IsExamWeek(t time.Time) bool {
	x := c.termAt(t)
	return x != nil && x.ExamWeek > 0 && c.TeachingWeek(t) >= x.ExamWeek
}

// AcademicYear is the year in which the academic year of t began; it runs from
// September to August.
func (c *Calendar) AcademicYear(t time.Time) int {
	t = t.In(c.loc)
	if t.Month() < time.September {
		return t.Year() - 1
	}
	return t.Year()
}

// Format writes a date as people say it: 10月14日 第6周 周三.
func (c *Calendar) Format(t time.Time) string {
	t = t.In(c.loc)
	day := [...]string{"周日", "周一", "周二", "周三", "周四", "周五", "周六"}[t.Weekday()]
	week := ""
	if w := c.TeachingWeek(t); w > 0 {
		week = fmt.Sprintf("第%d周 ", w)
	}
	return fmt.Sprintf("%d月%d日 %s%s", t.Month(), t.Day(), week, day)
}

func (c *Calendar) termAt(t time.Time) *term {
	for i, x := range c.terms {
		if !t.Before(x.start) && t.Before(x.end) {
			return &c.terms[i]
		}
	}
	return nil
}

// HasTerms says whether the university has told any term.
func (c *Calendar) HasTerms() bool { return len(c.terms) > 0 }
