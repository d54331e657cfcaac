package workflow

import (
	"context"
	"strings"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow/recur"
)

// The topics of standing orders.
const (
	TopicRecurs   = "workflow.recurs"   // {recurrence}, a timer; its handler is OnRecurs
	TopicOccurred = "workflow.occurred" // OccurredPayload; a draft waits
)

type recursPayload struct {
	Recurrence id.ID `json:"recurrence"`
}

// OccurredPayload is what TopicOccurred carries.
type OccurredPayload struct {
	Occurrence id.ID     `json:"occurrence"`
	Recurrence id.ID     `json:"recurrence"`
	Definition string    `json:"definition"`
	Title      string    `json:"title"`
	Seat       string    `json:"seat"`
	At         time.Time `json:"at"`
}

// arm puts the timer of the next draft, or takes it back.
func (s *Service) arm(tx *store.Tx, r *recurrenceRow) {
	if r.State != RecurrenceActive {
		outbox.Void(tx, r.ID)
		return
	}
	outbox.Timer(tx, r.ID, "recurs", outbox.Event{Topic: TopicRecurs, Aggregate: r.ID, Payload: recursPayload{r.ID}, DueAt: r.NextDue})
}

// advance sets the date after the one given, or ends an order that has none.
func (s *Service) advance(r *recurrenceRow, after time.Time, cal *calendar.Calendar) error {
	rule, err := recur.Parse(r.Rule, s.Location)
	if err != nil {
		return err
	}
	dates := rule.After(r.StartAt.In(s.Location), after, 1)
	if len(dates) == 0 {
		r.State, r.NextAt, r.NextDue = RecurrenceEnded, time.Time{}, time.Time{}
		return nil
	}
	d := dateOf(dates[0], r.Shift, cal)
	r.NextAt, r.NextDue = d.At, d.Due
	return nil
}

// OnRecurs handles TopicRecurs: it opens the draft of the date that has come,
// once however often it is called, because the order's next date moves with it.
// After a time without a server the newest date gets a draft and those before it
// are noted as missed. The clock that found the row due may be ahead of this one:
// what was found due is due.
func (s *Service) OnRecurs(ctx context.Context, d outbox.Delivery) error {
	var p recursPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return err
	}
	if d.DueAt.After(now) {
		now = d.DueAt.UTC()
	}
	_, err = store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var rows []recurrenceRow
		err := tx.NewRaw(`SELECT * FROM recurrence WHERE id = ? ?`, p.Recurrence, s.db.Lock(false)).Scan(ctx, &rows)
		if err != nil || len(rows) == 0 || rows[0].State != RecurrenceActive {
			return struct{}{}, err
		}
		r := &rows[0]
		if err := s.occur(tx, r, now, cal); err != nil {
			return struct{}{}, err
		}
		r.ChangedAt = now
		tx.Queue(tx.NewUpdate().Model(r).WherePK())
		s.arm(tx, r)
		return struct{}{}, nil
	})
	return err
}

// occur opens what is due and moves the order on.
func (s *Service) occur(tx *store.Tx, r *recurrenceRow, now time.Time, cal *calendar.Calendar) error {
	var due []occurrenceRow
	for r.State == RecurrenceActive && !r.NextDue.After(now) {
		after := r.NextAt
		due = append(due, occurrenceRow{ID: id.New(), RecurrenceID: r.ID, At: r.NextAt, State: OccurrenceMissed, OpenedAt: now})
		if len(due) > catchUp { // years without a server
			due, after = due[1:], clock.Later(after, now.AddDate(0, 0, -32))
		}
		if err := s.advance(r, after, cal); err != nil {
			return err
		}
	}
	if len(due) == 0 {
		return nil
	}
	newest := &due[len(due)-1]
	newest.State = OccurrenceDue
	tx.QueueSQL(`UPDATE occurrence SET state = 'MISSED' WHERE recurrence_id = ? AND state = 'DUE'`, r.ID)
	tx.Queue(tx.NewInsert().Model(&due))
	outbox.Put(tx, outbox.Event{Topic: TopicOccurred, Aggregate: r.ID,
		Payload: OccurredPayload{Occurrence: newest.ID, Recurrence: r.ID, Definition: r.Definition, Title: r.Title, Seat: r.Seat, At: newest.At}})
	audit.Record(tx, audit.Entry{Action: "workflow.recurs", Object: r.ref(), At: now, Data: map[string]any{"at": newest.At, "missed": len(due) - 1}})
	return nil
}

// rearm reckons the next dates of shifted orders anew, by another calendar.
func (s *Service) rearm(ctx context.Context, tx *store.Tx, cal *calendar.Calendar) error {
	var rows []recurrenceRow
	err := tx.NewRaw(`SELECT * FROM recurrence WHERE state = 'ACTIVE' AND shift <> 'NONE' ORDER BY id ?`, s.db.Lock(false)).Scan(ctx, &rows)
	for i := range rows {
		r := &rows[i]
		if d := dateOf(r.NextAt.In(s.Location), r.Shift, cal); !d.Due.Equal(r.NextDue) {
			r.NextDue = d.Due
			tx.Queue(tx.NewUpdate().Model(r).Column("next_due").WherePK())
			s.arm(tx, r)
		}
	}
	return err
}

// RecurrenceAct is what can be done with a standing order.
type RecurrenceAct string

// The acts: no drafts until it is resumed (dates in between are not made up
// for), the next date is left out, or there are none any more.
const (
	RecurrencePause  RecurrenceAct = "PAUSE"
	RecurrenceResume RecurrenceAct = "RESUME"
	RecurrenceSkip   RecurrenceAct = "SKIP"
	RecurrenceEnd    RecurrenceAct = "END"
)

// ActOnRecurrenceInput does one thing with a standing order.
type ActOnRecurrenceInput struct {
	Recurrence     id.ID
	Act            RecurrenceAct
	IdempotencyKey string
}

// ActOnRecurrence pauses, resumes, skips the next date or ends. Refusals: OVER,
// NOT_ACTIVE, NO_DATE.
func (s *Service) ActOnRecurrence(ctx context.Context, actor org.Actor, in ActOnRecurrenceInput) error {
	if actor.Anonymous() {
		return fault.SignIn()
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return err
	}
	_, err = store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "actOnRecurrence", in.IdempotencyKey, in), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		r := store.NewReads(tx)
		var rows []recurrenceRow
		judged := org.AskJudge(r, actor, now)
		r.SQL(&rows, `SELECT * FROM recurrence WHERE id = ? ?`, in.Recurrence, s.db.Lock(false))
		last := askLastDate(r, in.Recurrence)
		if err := r.Run(ctx); err != nil {
			return struct{}{}, err
		}
		actor, err := judged()
		if err != nil {
			return struct{}{}, err
		}
		if err := s.mayRecur(actor, rows); err != nil {
			return struct{}{}, err
		}
		row := &rows[0]
		data := map[string]any{}
		if !row.NextAt.IsZero() {
			data["next"] = row.NextAt
		}
		if err := s.actOn(tx, row, in.Act, last(), now, cal); err != nil {
			return struct{}{}, err
		}
		row.ChangedAt = now
		tx.Queue(tx.NewUpdate().Model(row).WherePK())
		s.arm(tx, row)
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "workflow.recurrence." + strings.ToLower(string(in.Act)), Object: row.ref(), At: now, Data: data})
		return struct{}{}, nil
	})
	return err
}

func (s *Service) actOn(tx *store.Tx, r *recurrenceRow, act RecurrenceAct, last, now time.Time, cal *calendar.Calendar) error {
	rest := func(state RecurrenceState) { r.State, r.NextAt, r.NextDue = state, time.Time{}, time.Time{} }
	switch act {
	case RecurrencePause:
		rest(RecurrencePaused)
	case RecurrenceEnd:
		rest(RecurrenceEnded)
	case RecurrenceResume:
		if r.State == RecurrenceActive {
			return nil
		}
		dates, err := s.schedule(RecurrenceInput{Rule: r.Rule, Start: r.StartAt, Shift: r.Shift}, 1, last, now, cal)
		if err != nil {
			return err
		}
		r.State, r.NextAt, r.NextDue = RecurrenceActive, dates[0].At, dates[0].Due
	case RecurrenceSkip:
		if r.State != RecurrenceActive {
			return fault.Refuse("NOT_ACTIVE", "已暂停，没有下一次可以跳过", "it is paused and has no next date to skip").At("act")
		}
		tx.Queue(tx.NewInsert().Model(&occurrenceRow{ID: id.New(), RecurrenceID: r.ID, At: r.NextAt, State: OccurrenceSkipped, OpenedAt: now}))
		return s.advance(r, r.NextAt, cal)
	default:
		return fault.Input("act", "act 应为 PAUSE、RESUME、SKIP 或 END", "act is PAUSE, RESUME, SKIP or END")
	}
	return nil
}
