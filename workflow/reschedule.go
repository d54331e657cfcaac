package workflow

import (
	"context"
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org/calendar"
	"kelian/workflow/flow"
)

// TopicReschedule brings an open request's due times up to date; its handler is
// OnReschedule.
const TopicReschedule = "workflow.reschedule"

type reschedulePayload struct {
	Request id.ID `json:"request"`
}

// DueMove is an open step, or a report that is owed (Step flow.CloseOutTimer),
// whose time another calendar moves, or confirms: then From and To are the same
// and only the rule differs.
type DueMove struct {
	Request      id.ID
	Number       string
	Step         string
	Title        flow.Text // the step's
	From, To     time.Time
	Before, Rule DueRule
}

// rescheduleBatch bounds how many open requests are in memory at a time.
const rescheduleBatch = 500

// DueMoves says which due times of requests a calendar would move, in the
// order of the requests: what OnCalendarChanged does, asked of the same rules.
// It is for those who may change the calendar; the caller has checked that.
func (s *Service) DueMoves(ctx context.Context, cal *calendar.Calendar) ([]DueMove, error) {
	now := s.clock.Now()
	var out []DueMove
	var after id.ID
	for {
		var rows []row
		q := s.db.R.NewSelect().Model(&rows).ExcludeColumn("apart", "search").
			Where("(status = ? OR status = ? AND close_out_due IS NOT NULL AND closed_out_at IS NULL)", flow.Open, flow.Approved)
		if !after.IsZero() {
			q = q.Where("id > ?", after)
		}
		err := q.Order("id").Limit(rescheduleBatch).Scan(ctx)
		if err != nil && !store.NoRows(err) {
			return nil, store.Busy(err)
		}
		for i := range rows {
			moves, err := s.movesOf(ctx, &rows[i], cal, now)
			if err != nil {
				return nil, err
			}
			out = append(out, moves...)
		}
		if len(rows) < rescheduleBatch {
			return out, nil
		}
		after = rows[len(rows)-1].ID
	}
}

func (s *Service) movesOf(ctx context.Context, r *row, cal *calendar.Calendar, now time.Time) ([]DueMove, error) {
	st, err := readState(r.State)
	if err != nil {
		return nil, err
	}
	d, err := s.version(ctx, s.db.R, r.VersionID)
	if err != nil {
		return nil, err
	}
	events, err := flow.Decide(d.Flow, st, reschedule(d, st, stored(r.Form), cal), flow.Facts{Now: now})
	if err != nil {
		return nil, err
	}
	var out []DueMove
	for _, ev := range events {
		b, ok := ev.Body.(flow.Rescheduled)
		if !ok {
			continue
		}
		m := DueMove{Request: r.ID, Number: r.number(), Step: b.Step, Title: flow.Text{Zh: "结项报告", En: "Close-out report"}, To: b.Due.At, Rule: ReadDueRule(b.Due.By)}
		var from flow.Due
		if step := d.Flow.Step(b.Step); step != nil {
			m.Title, from = step.Title, st.Step(b.Step).Due
		} else {
			from = st.CloseOut.Due
		}
		m.From, m.Before = from.At, ReadDueRule(from.By)
		out = append(out, m)
	}
	return out, nil
}

// reschedule reckons anew when each open step is due, as of its opening, and
// the report that is owed.
func reschedule(d *Definition, st flow.State, form Filled, cal *calendar.Calendar) flow.Reschedule {
	out := flow.Reschedule{By: flow.Actor{Door: flow.System}, Due: map[string]flow.Due{flow.CloseOutTimer: closeOutDue(d, form, cal)}}
	for _, ss := range st.Steps {
		if step := d.Flow.Step(ss.Name); step != nil && ss.Status == flow.StepOpen {
			out.Due[ss.Name] = dueOf(d, step, cal, ss.OpenedAt)
		}
	}
	return out
}

// OnCalendarChanged handles calendar.TopicChanged: each open request whose due
// times the new calendar moves gets a TopicReschedule, and standing orders move
// to its working days.
func (s *Service) OnCalendarChanged(ctx context.Context, d outbox.Delivery) error {
	_, cal, err := s.freshCalendar(ctx)
	if err != nil {
		return err
	}
	moves, err := s.DueMoves(ctx, cal)
	if err != nil {
		return err
	}
	var requests []id.ID
	for _, m := range moves {
		if !slices.Contains(requests[max(0, len(requests)-1):], m.Request) {
			requests = append(requests, m.Request)
		}
	}
	_, err = store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (int, error) {
		for _, r := range requests {
			outbox.Timer(tx, r, "reschedule", outbox.Event{Topic: TopicReschedule, Aggregate: r, Payload: reschedulePayload{r}})
		}
		return len(requests), s.rearm(ctx, tx, cal)
	})
	return err
}

// OnReschedule handles TopicReschedule: the request's timers are armed anew, by
// the calendar as it is stored now.
func (s *Service) OnReschedule(ctx context.Context, d outbox.Delivery) error {
	var p reschedulePayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	now, cal, err := s.freshCalendar(ctx)
	if err != nil {
		return err
	}
	_, err = store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		t, err := s.load(ctx, tx, byID, p.Request, now, cal)
		if fault.Is(err, fault.NotFound) {
			return Outcome{}, nil
		}
		if err != nil {
			return Outcome{}, err
		}
		if err := t.apply(ctx, reschedule(t.def, t.st, t.filled, cal), flow.Facts{Now: now}); err != nil {
			return Outcome{}, err
		}
		t.tellMoved()
		return t.outcome(), t.save("workflow.reschedule", false)
	})
	return err
}

// tellMoved tells the requester, and those who are asked, of the time that moved:
// each once, with the earliest that concerns them. A time that was only
// confirmed concerns nobody.
func (t *thread) tellMoved() {
	due := map[string]time.Time{}
	move := func(person string, at time.Time) {
		if old, ok := due[person]; !ok || at.Before(old) {
			due[person] = at
		}
	}
	for _, ss := range t.before.Steps {
		now := t.st.Step(ss.Name)
		if now.Due.At.Equal(ss.Due.At) {
			continue
		}
		move(t.row.Requester.String(), now.Due.At)
		for _, x := range t.st.OpenTasks() {
			if x.Step == ss.Name {
				move(x.Elector.Person, now.Due.At)
			}
		}
	}
	if before, now := t.before.CloseOut, t.st.CloseOut; now != nil && !now.Due.At.Equal(before.Due.At) {
		move(t.row.Requester.String(), now.Due.At)
	}
	for _, person := range sortedKeys(due) {
		t.put(TopicMoved, MovedPayload{Request: t.row.ID, Person: personID(person), DueAt: due[person]})
	}
}
