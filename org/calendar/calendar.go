package calendar

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"
)

// The tables reach from the first day of firstYear to the last of lastYear;
// what lies outside is counted as the nearest of these days.
const (
	firstYear = 2010
	lastYear  = 2060
)

// A gap between two terms that is longer than this is no break: a term was not
// told.
const longestBreak = 100

// Settings are what the university adds to the public holidays.
type Settings struct {
	Terms []Term         `json:"terms"`
	Days  []Day          `json:"days"`            // a campus holiday, or a day of work in spite of one
	Hours map[Kind]Hours `json:"hours,omitempty"` // of the kinds that differ from DefaultHours
}

// Term is a semester. First is its first Monday, Weeks how many teaching weeks
// it has, ExamWeek the first week of examinations (0 = none).
type Term struct {
	Name     string `json:"name"`
	First    string `json:"first"` // 2006-01-02
	Weeks    int    `json:"weeks"`
	ExamWeek int    `json:"examWeek,omitempty"`
}

// Calendar answers in one time zone; it never changes after it was made.
type Calendar struct {
	loc     *time.Location
	special map[int]special // by number of the day
	notices []Notice        // in order of year
	terms   []term          // in order of time
	clocks  map[Kind]*Clock
	work    func() []int32 // work[i]: working days before the day i
}

type special struct {
	Day
	campus bool
}

type term struct {
	Term
	first, next int // numbers of its first day and of the day after its last
}

// New makes a calendar of the public holidays, the university's settings and
// the notices that were imported.
func New(loc *time.Location, s Settings, imported ...Notice) (*Calendar, error) {
	c := &Calendar{loc: loc, special: map[int]special{}, notices: layered(imported), clocks: map[Kind]*Clock{}}
	for _, n := range c.notices {
		for _, d := range n.Days {
			at, err := time.Parse(time.DateOnly, d.Date)
			if err != nil {
				return nil, fmt.Errorf("calendar: day %q is not a date like 2026-11-06", d.Date)
			}
			c.special[number(at)] = special{Day: d}
		}
	}
	for _, d := range s.Days {
		at, err := time.Parse(time.DateOnly, d.Date)
		if err != nil {
			return nil, fmt.Errorf("calendar: day %q is not a date like 2026-11-06", d.Date)
		}
		c.special[number(at)] = special{d, true}
	}
	if err := c.addTerms(s.Terms); err != nil {
		return nil, err
	}
	for _, k := range Kinds {
		h, err := hoursOf(k, s.Hours)
		if err != nil {
			return nil, err
		}
		c.clocks[k] = newClock(c, k, h)
	}
	c.work = sync.OnceValue(c.countWork)
	return c, nil
}

func (c *Calendar) addTerms(terms []Term) error {
	for _, t := range terms {
		start, err := time.ParseInLocation(time.DateOnly, t.First, c.loc)
		if err != nil || start.Weekday() != time.Monday {
			return fmt.Errorf("calendar: term %q: first must be the date of a Monday, like 2026-09-07", t.Name)
		}
		if t.Weeks < 1 || t.Weeks > 30 || t.ExamWeek < 0 || t.ExamWeek > t.Weeks {
			return fmt.Errorf("calendar: term %q: weeks must be 1 to 30 and the exam week one of them", t.Name)
		}
		first := number(start)
		c.terms = append(c.terms, term{t, first, first + 7*t.Weeks})
	}
	slices.SortFunc(c.terms, func(a, b term) int { return a.first - b.first })
	for i := 1; i < len(c.terms); i++ {
		if a, b := c.terms[i-1], c.terms[i]; b.first < a.next {
			return fmt.Errorf("calendar: terms %q and %q overlap", a.Name, b.Name)
		}
	}
	return nil
}

// tableDays is how many days the tables have.
var tableDays = int(time.Date(lastYear+1, 1, 1, 0, 0, 0, 0, time.UTC).Sub(time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC)) / (24 * time.Hour))

// number gives the number of a date in the tables, whatever its zone.
func number(t time.Time) int {
	y, m, d := t.Date()
	return int((time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() - time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC).Unix()) / 86400)
}

// numberIn is number of an instant, within the tables.
func (c *Calendar) numberIn(t time.Time) int { return min(max(number(t.In(c.loc)), 0), tableDays-1) }

// minute is a minute after midnight, by the clock on the wall, of a day.
func (c *Calendar) minute(day, minute int) time.Time {
	return time.Date(firstYear, 1, 1+day, minute/60, minute%60, 0, 0, c.loc)
}

func weekdayOf(day int) time.Weekday {
	const firstWeekday = int(time.Friday) // 2010-01-01
	return time.Weekday(((day+firstWeekday)%7 + 7) % 7)
}

// Location is the zone the calendar answers in.
func (c *Calendar) Location() *time.Location { return c.loc }

// IsWorkingDay says whether the day of t is one on which offices work.
func (c *Calendar) IsWorkingDay(t time.Time) bool { return c.works(number(t.In(c.loc))) }

func (c *Calendar) works(day int) bool {
	if d, ok := c.special[day]; ok {
		return !d.Off
	}
	w := weekdayOf(day)
	return w != time.Saturday && w != time.Sunday
}

// Special gives what makes the day of t unlike its weekday, e.g. 国庆节.
func (c *Calendar) Special(t time.Time) (Day, bool) {
	d, ok := c.special[number(t.In(c.loc))]
	return d.Day, ok
}

// Notices lists the years that have a notice, in order.
func (c *Calendar) Notices() []Notice { return c.notices }

// Provisional says that what is counted up to t may still move: the year of t
// has no notice yet, or the next year's may change the last week of December,
// or t lies in a time whose term was not told.
func (c *Calendar) Provisional(t time.Time) bool {
	t = t.In(c.loc)
	known := func(year int) bool {
		return slices.ContainsFunc(c.notices, func(n Notice) bool { return n.Year == year })
	}
	if !known(t.Year()) || t.Month() == time.December && t.Day() >= 25 && !known(t.Year()+1) {
		return true
	}
	day := number(t)
	return len(c.terms) > 0 && day >= c.terms[0].first && c.termOn(day) == nil && !c.inBreak(day)
}

// countWork makes the table of working days.
func (c *Calendar) countWork() []int32 {
	out := make([]int32, tableDays+1)
	for i := range tableDays {
		out[i+1] = out[i]
		if c.works(i) {
			out[i+1]++
		}
	}
	return out
}

// AddWorkingDays gives the same time of day on the n-th working day after the
// day of t, or before it for n < 0; n = 0 is t itself. The day of t never
// counts, so a deadline of one working day set on Friday is on Monday.
func (c *Calendar) AddWorkingDays(t time.Time, n int) time.Time {
	local, work, from := t.In(c.loc), c.work(), c.numberIn(t)
	to := from
	switch {
	case n > 0:
		want := work[from+1] + int32(n)
		to = min(sort.Search(tableDays, func(i int) bool { return work[i+1] >= want }), tableDays-1)
	case n < 0:
		want := work[from] + int32(n) // so many lie before the day looked for
		to = max(sort.Search(tableDays, func(i int) bool { return work[i] > want })-1, 0)
	}
	return local.AddDate(0, 0, to-from)
}

// WorkingDays counts the working days after the day of from, up to and with the
// day of to; 0 when to is not later.
func (c *Calendar) WorkingDays(from, to time.Time) int {
	work := c.work()
	return int(max(work[c.numberIn(to)+1]-work[c.numberIn(from)+1], 0))
}

// Term gives the term that the day of t is in.
func (c *Calendar) Term(t time.Time) (Term, bool) {
	if x := c.termOn(number(t.In(c.loc))); x != nil {
		return x.Term, true
	}
	return Term{}, false
}

// TeachingWeek is the week of the term, from 1; 0 outside of terms.
func (c *Calendar) TeachingWeek(t time.Time) int {
	day := number(t.In(c.loc))
	x := c.termOn(day)
	if x == nil {
		return 0
	}
	return (day-x.first)/7 + 1
}

// IsExamWeek says whether the day of t is in a term's weeks of examinations.
func (c *Calendar) IsExamWeek(t time.Time) bool { return c.exams(number(t.In(c.loc))) }

// IsBreak says whether the day of t is between two told terms.
func (c *Calendar) IsBreak(t time.Time) bool { return c.inBreak(number(t.In(c.loc))) }

func (c *Calendar) exams(day int) bool {
	x := c.termOn(day)
	return x != nil && x.ExamWeek > 0 && (day-x.first)/7+1 >= x.ExamWeek
}

func (c *Calendar) inBreak(day int) bool {
	for i := 1; i < len(c.terms); i++ {
		from, to := c.terms[i-1].next, c.terms[i].first
		if from <= day && day < to {
			return to-from <= longestBreak
		}
	}
	return false
}

func (c *Calendar) termOn(day int) *term {
	for i, x := range c.terms {
		if x.first <= day && day < x.next {
			return &c.terms[i]
		}
	}
	return nil
}

// Terms lists the terms that the university has told, in order.
func (c *Calendar) Terms() []Term {
	out := make([]Term, len(c.terms))
	for i, t := range c.terms {
		out[i] = t.Term
	}
	return out
}

// TermNamed gives when the term of that name begins, and the moment after its
// last day.
func (c *Calendar) TermNamed(name string) (from, to time.Time, ok bool) {
	for _, t := range c.terms {
		if t.Name == name {
			return c.minute(t.first, 0).UTC(), c.minute(t.next, 0).UTC(), true
		}
	}
	return from, to, false
}

// HasTerms says whether the university has told any term.
func (c *Calendar) HasTerms() bool { return len(c.terms) > 0 }

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
