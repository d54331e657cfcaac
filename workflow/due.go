package workflow

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kelian/org/calendar"
	"kelian/workflow/flow"
)

// clockOf picks whose time a step takes by the seats it asks: as soon as one of
// them keeps office hours, those.
func clockOf(d *Definition, s *flow.Step) calendar.Kind {
	kinds := map[calendar.Kind]bool{}
	for _, e := range d.SeatsOf(s) {
		kinds[kindOf(e)] = true
	}
	for _, k := range []calendar.Kind{calendar.Outside, calendar.League, calendar.Teacher} {
		if kinds[k] {
			return k
		}
	}
	return calendar.Student
}

func kindOf(e SeatExpr) calendar.Kind {
	switch {
	case e.Kind == SeatOutside:
		return calendar.Outside
	case e.Unit.Kind == UnitFixed && e.Unit.Code == "league":
		return calendar.League
	case slices.Contains([]string{"advisor", "teacher", "secretary"}, e.Role):
		return calendar.Teacher
	}
	return calendar.Student
}

// The words of Due.By behind the span and the kind of seat.
const (
	byExams       = "exams"       // a part of the time ran at another pace
	byBreak       = "break"       // and a part not at all
	byProvisional = "provisional" // see calendar.Calendar.Provisional
)

// dueOf says when the step is due if it opens now: 1bd is the end of the next
// working day, 8bh are eight of the seat's hours, minutes are minutes whatever
// the day. Reminders come when so much of the same time has passed.
func dueOf(d *Definition, s *flow.Step, cal *calendar.Calendar, now time.Time) flow.Due {
	clock := cal.Clock(clockOf(d, s))
	var at time.Time
	switch s.Due.Unit {
	case flow.WorkingDays:
		at = clock.EndOf(now, s.Due.N)
	case flow.BusinessHours:
		at = clock.Add(now, time.Duration(s.Due.N)*time.Hour)
	case flow.Minutes:
		due := flow.Due{At: now.Add(time.Duration(s.Due.N) * time.Minute).UTC(), By: spell(s.Due)}
		for _, percent := range s.OnDue.Remind {
			due.Remind = append(due.Remind, now.Add(due.At.Sub(now)/100*time.Duration(percent)).UTC())
		}
		return due
	default:
		return flow.Due{}
	}
	due := flow.Due{At: at.UTC(), By: spell(s.Due) + " " + string(clock.Kind())}
	for _, word := range slowed(cal, clock, now, at) {
		due.By += " " + word
	}
	passes := clock.Passed(now, at)
	for _, percent := range s.OnDue.Remind {
		remind := at
		if percent < 100 {
			remind = clock.Add(now, passes/100*time.Duration(percent))
		}
		due.Remind = append(due.Remind, remind.UTC())
	}
	return due
}

func spell(s flow.Span) string { return fmt.Sprintf("%d%s", s.N, s.Unit) }

// slowed says what made the time longer than it reads, and whether it may move.
func slowed(cal *calendar.Calendar, clock *calendar.Clock, from, to time.Time) []string {
	var out []string
	add := func(word string) {
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	for day, days := from, 0; day.Before(to) && days < 400; day, days = day.AddDate(0, 0, 1), days+1 {
		switch {
		case clock.Pace(day) == calendar.Full:
		case cal.IsBreak(day):
			add(byBreak)
		default:
			add(byExams)
		}
	}
	if cal.Provisional(to) {
		add(byProvisional)
	}
	return out
}

// DueRule tells people by which rule a due time was reckoned.
type DueRule struct {
	Text        flow.Text
	Provisional bool // the time may still move
}

// ReadDueRule reads flow.Due.By; one that is empty or older than the words it
// knows keeps its text.
func ReadDueRule(by string) DueRule {
	words := strings.Fields(by)
	if len(words) == 0 {
		return DueRule{}
	}
	r := DueRule{Text: spanInWords(words[0])}
	for _, w := range words[1:] {
		zh, en := w, w
		switch w {
		case string(calendar.Student):
			zh, en = "学生时段", "students' hours"
		case string(calendar.Teacher), "office":
			zh, en = "教师办公时间", "teachers' office hours"
		case string(calendar.League):
			zh, en = "团委办公时间", "the League Committee's office hours"
		case string(calendar.Outside):
			zh, en = "校外办公时间", "office hours of outside parties"
		case byExams:
			zh, en = "考试周放慢", "slower in exam weeks"
		case byBreak:
			zh, en = "假期不计", "the break does not count"
		case byProvisional:
			r.Provisional = true
			zh, en = "校历或放假通知未公布，可能调整", "may move: the calendar is not announced yet"
		}
		r.Text.Zh, r.Text.En = r.Text.Zh+"，"+zh, r.Text.En+", "+en
	}
	return r
}

// spanInWords spells 2bd, 8bh or 30m.
func spanInWords(span string) flow.Text {
	digits := strings.TrimRight(span, "bdhm")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return flow.Text{Zh: span, En: span}
	}
	return flow.Span{N: n, Unit: flow.Unit(strings.TrimPrefix(span, digits))}.Say()
}
