package web

import (
	"fmt"
	"time"

	"kelian/org"
	"kelian/org/calendar"
)

// calendarPage is one month as deadlines are reckoned by it.
type calendarPage struct {
	Month      time.Time
	Prev, Next string
	Weeks      []calendarWeek
	Working    int // days on which offices work
	Kinds      []kindHours
	Special    []specialDay
	Terms      []termRow
	Notices    []calendar.Notice
	Moving     bool // the month may still change
}

type calendarWeek struct {
	Teaching int // week of the term, 0 = none
	Days     []calendarDay
}

type calendarDay struct {
	N              int // 0 = of another month
	Work, Today    bool
	Special        string // what makes it unlike its weekday
	Exams, Holiday bool
}

type specialDay struct {
	Day  time.Time
	Name string
	Work bool
}

type kindHours struct {
	Kind          calendar.Kind
	Working, Free string
	Exams, Break  calendar.Pace
}

type termRow struct {
	calendar.Term
	From, To time.Time
}

// calendar shows a month (?month=2026-11), the present one by itself.
func (c *call) calendar() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	cal, err := c.Org.Calendar(c.ctx())
	if err != nil {
		return err
	}
	now := c.Clock.Now().In(c.Location)
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, c.Location)
	if m, err := time.ParseInLocation("2006-01", c.r.URL.Query().Get("month"), c.Location); err == nil && m.Year() >= 2000 && m.Year() < 2100 {
		month = m
	}
	d := calendarPage{Month: month, Prev: month.AddDate(0, -1, 0).Format("2006-01"), Next: month.AddDate(0, 1, 0).Format("2006-01"), Notices: cal.Notices(),
		Moving: cal.Provisional(month.AddDate(0, 1, -1))}
	d.days(cal, now)
	for _, k := range calendar.Kinds {
		h := cal.Clock(k).Hours()
		d.Kinds = append(d.Kinds, kindHours{k, spans(h.Working), spans(h.Free), h.Exams, h.Break})
	}
	for _, t := range cal.Terms() {
		if from, to, ok := cal.TermNamed(t.Name); ok {
			d.Terms = append(d.Terms, termRow{t, from.In(c.Location), to.In(c.Location).AddDate(0, 0, -1)})
		}
	}
	return c.show("calendar", c.t("calendar.title"), d)
}

// days fills the weeks, from Monday to Sunday.
func (d *calendarPage) days(cal *org.Calendar, now time.Time) {
	first := d.Month.AddDate(0, 0, -(int(d.Month.Weekday())+6)%7)
	for day := first; day.Before(d.Month.AddDate(0, 1, 0)); day = day.AddDate(0, 0, 7) {
		week := calendarWeek{Teaching: cal.TeachingWeek(day.Add(12 * time.Hour))}
		for i := range 7 {
			t := day.AddDate(0, 0, i).Add(12 * time.Hour)
			x := calendarDay{}
			if t.Month() == d.Month.Month() {
				x = calendarDay{N: t.Day(), Work: cal.IsWorkingDay(t), Exams: cal.IsExamWeek(t), Holiday: cal.IsBreak(t),
					Today: t.Format(time.DateOnly) == now.Format(time.DateOnly)}
				if x.Work {
					d.Working++
				}
				if s, ok := cal.Special(t); ok {
					x.Special = s.Name
					d.Special = append(d.Special, specialDay{t, s.Name, x.Work})
				}
			}
			week.Days = append(week.Days, x)
		}
		d.Weeks = append(d.Weeks, week)
	}
}

// spans spells parts of a day: 08:30–11:30, 14:00–17:00.
func spans(list []calendar.Span) string {
	out := ""
	for i, s := range list {
		if i > 0 {
			out += ", "
		}
		out += fmt.Sprintf("%02d:%02d–%02d:%02d", s.From/60, s.From%60, s.To/60, s.To%60)
	}
	return out
}
