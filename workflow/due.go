package workflow

import (
	"fmt"
	"time"

	"kelian/org/calendar"
	"kelian/workflow/flow"
)

// hours are the times of a day at which somebody is expected to answer, in
// minutes since midnight.
type hours struct {
	name          string
	working, free [][2]int // on working days; on days off that are no holiday
}

// Teachers and outside parties keep office hours; students answer at noon, in
// the evening and at weekends.
var (
	officeHours  = hours{name: "office", working: [][2]int{{8*60 + 30, 12 * 60}, {14 * 60, 17*60 + 30}}}
	studentHours = hours{name: "student", working: [][2]int{{12 * 60, 14 * 60}, {18 * 60, 22 * 60}}, free: [][2]int{{9 * 60, 12 * 60}, {14 * 60, 22 * 60}}}
)

// hoursOf picks the calendar by the seats a step asks.
func hoursOf(d *Definition, s *flow.Step) hours {
	for _, e := range d.SeatsOf(s) {
		if e.Kind == SeatOutside || e.Role == "advisor" || e.Unit.Kind == UnitFixed && e.Unit.Code == "league" {
			return officeHours
		}
	}
	return studentHours
}

func (h hours) on(cal *calendar.Calendar, day time.Time) [][2]int {
	if cal.IsWorkingDay(day) {
		return h.working
	}
	if special, ok := cal.Special(day); ok && special.Off {
		return nil
	}
	return h.free
}

// dueOf says when the step is due if it opens now: 1bd is the close of the
// next working day, 8bh are eight of its hours, minutes are minutes.
func dueOf(d *Definition, s *flow.Step, cal *calendar.Calendar, now time.Time) flow.Due {
	h := hoursOf(d, s)
	var at time.Time
	switch s.Due.Unit {
	case flow.WorkingDays:
		day := cal.AddWorkingDays(now, s.Due.N)
		at = minuteOf(day, h.working[len(h.working)-1][1])
	case flow.BusinessHours:
		at = h.add(cal, now.In(cal.Location()), s.Due.N*60)
	case flow.Minutes:
		at = now.Add(time.Duration(s.Due.N) * time.Minute)
	default:
		return flow.Due{}
	}
	due := flow.Due{At: at.UTC(), By: fmt.Sprintf("%d%s %s", s.Due.N, s.Due.Unit, h.name)}
	if cal.Provisional(at) {
		due.By += " provisional"
	}
	for _, percent := range s.OnDue.Remind {
		due.Remind = append(due.Remind, now.Add(due.At.Sub(now)/100*time.Duration(percent)).UTC())
	}
	return due
}

// add walks the hours until so many minutes of them have passed.
func (h hours) add(cal *calendar.Calendar, from time.Time, minutes int) time.Time {
	for i := 0; i < 3660; i++ {
		day := from.AddDate(0, 0, i)
		for _, span := range h.on(cal, day) {
			begin, end := minuteOf(day, span[0]), minuteOf(day, span[1])
			if begin.Before(from) {
				begin = from
			}
			length := int(end.Sub(begin) / time.Minute)
			if length <= 0 {
				continue
			}
			if minutes <= length {
				return begin.Add(time.Duration(minutes) * time.Minute)
			}
			minutes -= length
		}
	}
	return from.AddDate(10, 0, 0)
}

func minuteOf(day time.Time, minute int) time.Time {
	return time.Date(day.Year(), day.Month(), day.Day(), minute/60, minute%60, 0, 0, day.Location())
}
