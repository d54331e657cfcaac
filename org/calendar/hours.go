package calendar

import (
	"fmt"
	"sort"
	"sync"
	"time"
)

// Kind is a kind of seat, as far as it has hours of its own.
type Kind string

// The kinds. League and Outside keep a teacher's hours unless they have their
// own; students are officers, societies and colleges' student departments too.
const (
	Student Kind = "student"
	Teacher Kind = "teacher"
	League  Kind = "league"
	Outside Kind = "outside"
)

// Kinds lists every kind.
var Kinds = []Kind{Student, Teacher, League, Outside}

// Hours say when a kind of seat is expected to answer.
type Hours struct {
	Working []Span `json:"working"`        // on working days; a working day ends with the last
	Free    []Span `json:"free,omitempty"` // on other days that are no holiday
	Exams   Pace   `json:"exams"`          // in weeks of examinations
	Break   Pace   `json:"break"`          // between terms
}

// Span is a part of a day in minutes after midnight, To exclusive, at most 1440.
type Span struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Pace is how fast a deadline runs.
type Pace string

// The paces; half makes a deadline twice as far.
const (
	Full  Pace = "full"
	Half  Pace = "half"
	Pause Pace = "pause"
)

// halves is a pace in halves, which the tables count.
func (p Pace) halves() int64 { return map[Pace]int64{Full: 2, Half: 1}[p] }

// DefaultHours are the hours of a kind that has no settings: office hours for
// teachers; noon, evening and the weekend for students.
func DefaultHours(k Kind) Hours {
	if k == Student {
		return Hours{Working: []Span{{12 * 60, 14 * 60}, {18 * 60, 22 * 60}}, Free: []Span{{9 * 60, 22 * 60}}, Exams: Half, Break: Pause}
	}
	return Hours{Working: []Span{{8*60 + 30, 12 * 60}, {14 * 60, 17*60 + 30}}, Exams: Full, Break: Pause}
}

// hoursOf finds the hours of a kind and refuses wrong ones.
func hoursOf(k Kind, set map[Kind]Hours) (Hours, error) {
	h, own := set[k]
	if !own && k != Student {
		h, own = set[Teacher]
	}
	if !own {
		return DefaultHours(k), nil
	}
	if len(h.Working) == 0 {
		return h, fmt.Errorf("calendar: the hours of %s: a working day needs a time to answer", k)
	}
	for _, spans := range [][]Span{h.Working, h.Free} {
		last := 0
		for _, s := range spans {
			if s.From < last || s.To <= s.From || s.To > 24*60 {
				return h, fmt.Errorf("calendar: the hours of %s: spans are minutes of a day, in order, without overlap", k)
			}
			last = s.To
		}
	}
	for _, p := range []Pace{h.Exams, h.Break} {
		if p != Full && p != Half && p != Pause {
			return h, fmt.Errorf("calendar: the hours of %s: a pace is full, half or pause", k)
		}
	}
	return h, nil
}

// Clock is the time of one kind of seat: it runs in the seat's hours only. A
// look-up is a binary search in sums that are made once.
type Clock struct {
	cal   *Calendar
	kind  Kind
	hours Hours
	sums  func() sums
}

// sums are what has passed before each day, in halves: of nanoseconds in the
// seat's hours, and of working days.
type sums struct {
	time []int64
	days []int32
}

// Clock gives the clock of a kind; an unknown kind is a student's.
func (c *Calendar) Clock(k Kind) *Clock {
	if clock := c.clocks[k]; clock != nil {
		return clock
	}
	return c.clocks[Student]
}

func newClock(c *Calendar, k Kind, h Hours) *Clock {
	clock := &Clock{cal: c, kind: k, hours: h}
	clock.sums = sync.OnceValue(clock.add)
	return clock
}

// Kind is the kind whose time it is.
func (k *Clock) Kind() Kind { return k.kind }

// Hours are those that the clock runs in.
func (k *Clock) Hours() Hours { return k.hours }

// Pace is how fast deadlines run on the day of t.
func (k *Clock) Pace(t time.Time) Pace { return k.pace(number(t.In(k.cal.loc))) }

// pace of a day: a day that the university itself declared a day of work is one
// also in a break.
func (k *Clock) pace(day int) Pace {
	if k.cal.exams(day) {
		return k.hours.Exams
	}
	if d, ok := k.cal.special[day]; k.cal.inBreak(day) && (!ok || d.Off || !d.campus) {
		return k.hours.Break
	}
	return Full
}

// open gives the hours of a day and its pace in halves.
func (k *Clock) open(day int) ([]Span, int64) {
	if k.cal.works(day) {
		return k.hours.Working, k.pace(day).halves()
	}
	if d, ok := k.cal.special[day]; ok && d.Off {
		return nil, 0
	}
	return k.hours.Free, k.pace(day).halves()
}

func (k *Clock) add() sums {
	s := sums{make([]int64, tableDays+1), make([]int32, tableDays+1)}
	for i := range tableDays {
		s.time[i+1], s.days[i+1] = s.time[i]+k.within(i, time.Time{}), s.days[i]
		if k.cal.works(i) {
			s.days[i+1] += int32(k.pace(i).halves())
		}
	}
	return s
}

// within is how much of the day has passed at t, in halves of nanoseconds; zero
// t is its end. Spans are measured as time that passes: on a day on which a zone
// changes its clocks, one may be longer or shorter than it reads.
func (k *Clock) within(day int, t time.Time) int64 {
	spans, pace := k.open(day)
	if pace == 0 {
		return 0
	}
	var out int64
	for _, s := range spans {
		begin, end := k.cal.minute(day, s.From), k.cal.minute(day, s.To)
		if !t.IsZero() && end.After(t) {
			end = t
		}
		out += max(int64(end.Sub(begin)), 0) * pace
	}
	return out
}

func (k *Clock) at(t time.Time) int64 {
	day := k.cal.numberIn(t)
	return k.sums().time[day] + k.within(day, t)
}

// Add gives the moment at which so much of the seat's time has passed since t;
// d ≤ 0 is t itself.
func (k *Clock) Add(t time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return t.In(k.cal.loc)
	}
	passed := k.sums().time
	want := k.at(t) + 2*int64(d)
	day := sort.Search(tableDays, func(i int) bool { return passed[i+1] >= want })
	if day == tableDays {
		return k.cal.minute(tableDays, 0)
	}
	rest := want - passed[day]
	spans, pace := k.open(day)
	for _, s := range spans {
		begin := k.cal.minute(day, s.From)
		length := max(int64(k.cal.minute(day, s.To).Sub(begin)), 0) * pace
		if rest <= length {
			return begin.Add(time.Duration((rest + pace - 1) / pace))
		}
		rest -= length
	}
	return k.cal.minute(day+1, 0)
}

// Passed is how much of the seat's time lies between two moments; 0 when to is
// not later.
func (k *Clock) Passed(from, to time.Time) time.Duration {
	return time.Duration(max(k.at(to)-k.at(from), 0) / 2)
}

// EndOf gives the end of the n-th working day after the day of t, n ≥ 1; the day
// of t never counts. A working day at half pace is half of one.
func (k *Clock) EndOf(t time.Time, n int) time.Time {
	days := k.sums().days
	want := days[k.cal.numberIn(t)+1] + 2*int32(n)
	day := min(sort.Search(tableDays, func(i int) bool { return days[i+1] >= want }), tableDays-1)
	return k.cal.minute(day, k.hours.Working[len(k.hours.Working)-1].To)
}
