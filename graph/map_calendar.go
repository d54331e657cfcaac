package graph

import (
	"context"
	"encoding/json"
	"strings"

	"kelian/graph/model"
	"kelian/org/calendar"
	"kelian/workflow"
)

// movesShown bounds how many due times an import lists.
const movesShown = 200

func (r *Resolver) calendar(ctx context.Context) (model.Calendar, error) {
	s, err := r.Org.Settings(ctx)
	if err != nil {
		return model.Calendar{}, err
	}
	cal, err := r.Org.Calendar(ctx)
	if err != nil {
		return model.Calendar{}, err
	}
	return model.Calendar{
		Terms: each(s.Terms, func(t calendar.Term) model.Term {
			out := model.Term{Name: t.Name, First: t.First, Weeks: t.Weeks}
			if t.ExamWeek > 0 {
				out.ExamWeek = &t.ExamWeek
			}
			return out
		}),
		Days:    each(s.Days, dayOf),
		Hours:   each(calendar.Kinds, func(k calendar.Kind) model.SeatHours { return hoursOf(k, cal.Clock(k).Hours()) }),
		Notices: each(cal.Notices(), noticeOf),
	}, nil
}

func dayOf(d calendar.Day) model.CalendarDay {
	return model.CalendarDay{Name: d.Name, Date: d.Date, Off: d.Off}
}

func noticeOf(n calendar.Notice) model.HolidayNotice {
	return model.HolidayNotice{Year: n.Year, Papers: each(n.Papers, func(p string) string { return p }), Days: each(n.Days, dayOf)}
}

func hoursOf(k calendar.Kind, h calendar.Hours) model.SeatHours {
	spans := func(list []calendar.Span) []model.HourSpan {
		return each(list, func(s calendar.Span) model.HourSpan { return model.HourSpan{FromMinute: s.From, ToMinute: s.To} })
	}
	return model.SeatHours{Kind: model.SeatKind(strings.ToUpper(string(k))), Working: spans(h.Working), Free: spans(h.Free),
		Exams: model.Pace(strings.ToUpper(string(h.Exams))), Break: model.Pace(strings.ToUpper(string(h.Break)))}
}

func settingsOf(in model.SetCalendarInput) calendar.Settings {
	spans := func(list []model.HourSpanInput) []calendar.Span {
		return each(list, func(s model.HourSpanInput) calendar.Span { return calendar.Span{From: s.FromMinute, To: s.ToMinute} })
	}
	out := calendar.Settings{
		Terms: each(in.Terms, func(t model.TermInput) calendar.Term {
			return calendar.Term{Name: t.Name, First: t.First, Weeks: t.Weeks, ExamWeek: or(t.ExamWeek)}
		}),
		Days: each(in.Days, func(d model.CalendarDayInput) calendar.Day {
			return calendar.Day{Name: d.Name, Date: d.Date, Off: d.Off}
		}),
		Hours: map[calendar.Kind]calendar.Hours{},
	}
	for _, h := range in.Hours {
		out.Hours[calendar.Kind(strings.ToLower(string(h.Kind)))] = calendar.Hours{Working: spans(h.Working), Free: spans(h.Free),
			Exams: calendar.Pace(strings.ToLower(string(h.Exams))), Break: calendar.Pace(strings.ToLower(string(h.Break)))}
	}
	return out
}

// importHolidays says what the notice moves before it is stored: afterwards it
// may have moved already.
func (r *Resolver) importHolidays(ctx context.Context, in model.ImportHolidaysInput) (model.ImportHolidaysPayload, error) {
	var out model.ImportHolidaysPayload
	text, err := json.Marshal(in.Notice)
	if err != nil {
		return out, err
	}
	notice, err := calendar.ParseNotice(text)
	if err != nil {
		return out, err
	}
	cal, err := r.Org.PreviewHolidays(ctx, actorOf(ctx), notice)
	if err != nil {
		return out, err
	}
	moves, err := r.Workflow.DueMoves(ctx, cal)
	if err != nil {
		return out, err
	}
	out.MovesTotal, out.Moves = len(moves), each(moves[:min(len(moves), movesShown)], moveOf)
	if in.DryRun {
		return out, nil
	}
	_, err = r.Org.ImportHolidays(ctx, actorOf(ctx), in.IdempotencyKey, notice)
	stored := noticeOf(notice)
	out.Notice = &stored
	return out, err
}

func moveOf(m workflow.DueMove) model.DueMove {
	return model.DueMove{Request: m.Request.TypeID("req"), Number: m.Number, Step: text(m.Title.Zh, m.Title.En), From: m.From, To: m.To, Rule: ruleOf(m.Rule)}
}

func ruleOf(r workflow.DueRule) model.DueRule {
	return model.DueRule{Text: text(r.Text.Zh, r.Text.En), Provisional: r.Provisional}
}

func ruleOrNil(r workflow.DueRule) *model.DueRule {
	if r.Text.Zh == "" {
		return nil
	}
	out := ruleOf(r)
	return &out
}
