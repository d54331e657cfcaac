package workflow

import (
	"context"
	"slices"
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
	"kelian/workflow/flow"
	"kelian/workflow/recur"

	"github.com/uptrace/bun"
)

// The kinds of a standing order and of one of its drafts.
const (
	RefRecurrence = "rec"
	RefOccurrence = "occ"
)

// The limits of standing orders (docs/limits.md).
const (
	maxRecurrences = 20  // of one seat, those ended not counted
	maxDates       = 10  // of a preview
	listedOrders   = 200 // that a list shows, the newest
	listedDrafts   = 12  // that an order shows, the newest
	catchUp        = 400 // dates that one ring of a timer looks at
	startsWithin   = 2 * 365 * 24 * time.Hour
)

// Shift says what becomes of a date that is no working day: NONE leaves it,
// BEFORE and AFTER take the nearest working day on that side.
type Shift string

// The shifts.
const (
	ShiftNone   Shift = "NONE"
	ShiftBefore Shift = "BEFORE"
	ShiftAfter  Shift = "AFTER"
)

// RecurrenceState is where a standing order stands; one that is ended stays so.
type RecurrenceState string

// The states of a standing order.
const (
	RecurrenceActive RecurrenceState = "ACTIVE"
	RecurrencePaused RecurrenceState = "PAUSED"
	RecurrenceEnded  RecurrenceState = "ENDED"
)

// OccurrenceState is what became of one date of a standing order.
type OccurrenceState string

// The states of an occurrence: its draft waits, was sent, was overtaken by the
// next one (and may still be sent), or the date was skipped beforehand.
const (
	OccurrenceDue     OccurrenceState = "DUE"
	OccurrenceSent    OccurrenceState = "SENT"
	OccurrenceMissed  OccurrenceState = "MISSED"
	OccurrenceSkipped OccurrenceState = "SKIPPED"
)

// recurrenceRow is a standing order: a request that a seat makes again and
// again. It belongs to the seat, so that it outlives whoever holds it.
type recurrenceRow struct {
	bun.BaseModel `bun:"table:recurrence"`

	ID         id.ID `bun:",pk"`
	Definition string
	Unit       string
	Seat       string
	Title      string
	Form       string // the fields that drafts begin with
	Rule       string
	StartAt    time.Time
	Shift      Shift
	State      RecurrenceState
	NextAt     time.Time `bun:",nullzero"`
	NextDue    time.Time `bun:",nullzero"`
	CreatedBy  id.ID
	CreatedAt  time.Time
	ChangedAt  time.Time
}

func (r *recurrenceRow) ref() outbox.Ref { return outbox.Ref{Kind: RefRecurrence, ID: r.ID} }

// object is what the rules need to know of it.
func (r *recurrenceRow) object() org.Object { return org.Object{Unit: seatUnit(r.Seat), State: r.Seat} }

// seatUnit is the unit whose seat it is.
func seatUnit(seat string) string { return seat[:max(0, strings.LastIndexByte(seat, '.'))] }

// occurrenceRow is one date of a standing order, and its draft.
type occurrenceRow struct {
	bun.BaseModel `bun:"table:occurrence"`

	ID           id.ID `bun:",pk"`
	RecurrenceID id.ID
	At           time.Time // by the rule
	State        OccurrenceState
	RequestID    id.ID `bun:",nullzero"`
	OpenedAt     time.Time
}

// RecurrenceInput says what recurs. Of Form only the fields stand there that
// every draft begins with; {year}, {month} and {day} in a text become those of
// the date. Personal values and files have no place in it. Start's time of day,
// in the university's zone, is that of every date.
type RecurrenceInput struct {
	Recurrence     id.ID // of an update
	Definition     string
	Unit           string // for which it is asked: the seat's own, or one above it
	Seat           string
	Title          string
	Form           map[string]any
	Rule           string // RRULE, see package recur
	Start          time.Time
	Shift          Shift // empty = NONE
	IdempotencyKey string
}

// Date is a date of a standing order.
type Date struct {
	At          time.Time // by the rule
	Due         time.Time // when its draft opens
	Provisional bool      // a holiday that is not announced yet may move it
}

// dateOf shifts a date to a working day; one that has none within a month stays.
func dateOf(at time.Time, shift Shift, cal *calendar.Calendar) Date {
	d := Date{At: at.UTC(), Due: at.UTC(), Provisional: shift != ShiftNone && cal.Provisional(at)}
	step := map[Shift]int{ShiftBefore: -1, ShiftAfter: 1}[shift]
	for days := 0; step != 0 && days <= 31; days++ {
		if day := at.AddDate(0, 0, step*days); cal.IsWorkingDay(day) {
			d.Due = day.UTC()
			break
		}
	}
	return d
}

// askLastDate reads the last date of an order that was opened or skipped: it does
// not come again, whatever becomes of the rule or the clock.
func askLastDate(r *store.Reads, order id.ID) func() time.Time {
	var rows []struct{ At time.Time }
	r.SQL(&rows, `SELECT at FROM occurrence WHERE recurrence_id = ? ORDER BY at DESC LIMIT 1`, order)
	return func() time.Time {
		if len(rows) == 0 {
			return time.Time{}
		}
		return rows[0].At
	}
}

// schedule reads a rule and gives its first n dates after last that open later
// than now.
func (s *Service) schedule(in RecurrenceInput, n int, last, now time.Time, cal *calendar.Calendar) ([]Date, error) {
	switch {
	case !slices.Contains([]Shift{ShiftNone, ShiftBefore, ShiftAfter}, in.Shift):
		return nil, fault.Input("shift", "shift 应为 NONE、BEFORE 或 AFTER", "shift is NONE, BEFORE or AFTER")
	}
	rule, err := recur.Parse(in.Rule, s.Location)
	if err != nil {
		return nil, err
	}
	var out []Date
	// A date of the last month may open today, if it is shifted.
	for _, at := range rule.After(in.Start.In(s.Location), clock.Later(last, now.AddDate(0, 0, -32)), n+33) {
		if d := dateOf(at, in.Shift, cal); d.Due.After(now) && len(out) < n {
			out = append(out, d)
		}
	}
	if len(out) == 0 {
		return nil, fault.Refuse("NO_DATE", "按这条规则以后没有日期", "the rule gives no date from now on").At(recur.Field)
	}
	return out, nil
}

// startable refuses a start that is being entered; one that was entered may grow
// old.
func startable(start, now time.Time) error {
	if start.IsZero() || start.Sub(now).Abs() > startsWithin {
		return fault.Refuse("BAD_START", "开始时间应在前后两年之内", "the start lies within two years of today").At("start")
	}
	return nil
}

// PreviewRecurrence gives the next n dates of a rule, 1 to 10. Refusals:
// BAD_RRULE, BAD_START, NO_DATE.
func (s *Service) PreviewRecurrence(ctx context.Context, actor org.Actor, rule string, start time.Time, shift Shift, n int) ([]Date, error) {
	if actor.Anonymous() {
		return nil, fault.SignIn()
	}
	if n < 1 || n > maxDates {
		return nil, fault.Input("first", "一次预览 1–10 个日期", "preview 1 to 10 dates")
	}
	now, cal, err := s.now(ctx)
	if err == nil {
		err = startable(start, now)
	}
	if err != nil {
		return nil, err
	}
	return s.schedule(RecurrenceInput{Rule: rule, Start: start, Shift: shift}, n, time.Time{}, now, cal)
}

// CreateRecurrence makes a standing order and gives its identifier. Refusals:
// BAD_RRULE, BAD_START, NO_DATE, FORM_INVALID, NOT_YOUR_UNIT, TOO_MANY.
func (s *Service) CreateRecurrence(ctx context.Context, actor org.Actor, in RecurrenceInput) (id.ID, error) {
	return s.saveRecurrence(ctx, actor, in, "createRecurrence")
}

// UpdateRecurrence replaces all that was said of a standing order but its
// definition; the drafts that are open stay. Refusals as of CreateRecurrence,
// and OVER for one that has ended.
func (s *Service) UpdateRecurrence(ctx context.Context, actor org.Actor, in RecurrenceInput) error {
	_, err := s.saveRecurrence(ctx, actor, in, "updateRecurrence")
	return err
}

func (s *Service) saveRecurrence(ctx context.Context, actor org.Actor, in RecurrenceInput, mutation string) (id.ID, error) {
	if actor.Anonymous() {
		return id.Nil, fault.SignIn()
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return id.Nil, err
	}
	cmd := store.FromClient(s.db, actor.Person, mutation, in.IdempotencyKey, in)
	if in.Shift == "" {
		in.Shift = ShiftNone
	}
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (id.ID, error) {
		r := store.NewReads(tx)
		var old []recurrenceRow
		var seats []string
		var orders []int
		judged, last := org.AskJudge(r, actor, now), askLastDate(r, in.Recurrence)
		r.SQL(&old, `SELECT * FROM recurrence WHERE id = ? ?`, in.Recurrence, s.db.Lock(false))
		r.SQL(&seats, `SELECT name FROM seat WHERE name = ?`, in.Seat)
		r.SQL(&orders, `SELECT count(*) AS n FROM recurrence WHERE seat = ? AND state <> 'ENDED'`, in.Seat)
		if err := r.Run(ctx); err != nil {
			return id.Nil, err
		}
		actor, err := judged()
		if err != nil {
			return id.Nil, err
		}
		if len(seats) == 0 {
			return id.Nil, fault.Input("seat", "没有这个岗位", "there is no such seat")
		}
		row := recurrenceRow{ID: id.New(), Definition: in.Definition, State: RecurrenceActive, CreatedBy: actor.Person, CreatedAt: now}
		if !in.Recurrence.IsZero() {
			if err := s.mayRecur(actor, old); err != nil {
				return id.Nil, err
			}
			row = old[0]
		}
		if err := s.rules.Check(actor, "workflow.recur", org.Object{Unit: seatUnit(in.Seat), State: in.Seat}); err != nil {
			return id.Nil, err
		}
		if orders[0] >= maxRecurrences && row.Seat != in.Seat {
			return id.Nil, fault.Refuse("TOO_MANY", "这个岗位的定期申请已有 20 项，请先结束不用的", "the seat has 20 standing orders; end one that is not needed").At("seat")
		}
		if err := s.order(ctx, tx, &row, in, last(), now, cal); err != nil {
			return id.Nil, err
		}
		if in.Recurrence.IsZero() {
			tx.Queue(tx.NewInsert().Model(&row))
		} else {
			tx.Queue(tx.NewUpdate().Model(&row).WherePK())
		}
		s.arm(tx, &row)
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "workflow." + mutation, Object: row.ref(), At: now,
			Data: map[string]any{"definition": row.Definition, "seat": row.Seat, "unit": row.Unit, "rule": row.Rule, "start": row.StartAt, "shift": row.Shift}})
		return row.ID, nil
	})
}

// mayRecur judges an actor over an order that was read; to whom it is no
// business it does not exist.
func (s *Service) mayRecur(actor org.Actor, rows []recurrenceRow) error {
	if len(rows) == 0 || !s.canSeeOrder(actor, &rows[0]) {
		return fault.Missing().At("recurrence")
	}
	if err := s.rules.Check(actor, "workflow.recur", rows[0].object()); err != nil {
		return err
	}
	if rows[0].State == RecurrenceEnded {
		return fault.Refuse("OVER", "这项定期申请已经结束，请另建一项", "this standing order has ended; make another").At("recurrence")
	}
	return nil
}

// order puts what was said into the row, with the next date.
func (s *Service) order(ctx context.Context, tx *store.Tx, row *recurrenceRow, in RecurrenceInput, last, now time.Time, cal *calendar.Calendar) error {
	if u := seatUnit(in.Seat); u != in.Unit && !strings.HasPrefix(u, in.Unit+".") {
		return fault.Refuse("NOT_YOUR_UNIT", "只能以岗位所在的单位或其上级的名义申请", "it is asked for the unit of the seat, or one above it").At("unit")
	}
	if in.Title = strings.TrimSpace(in.Title); in.Title == "" || len([]rune(in.Title)) > 200 {
		return fault.Input("title", "请起一个名称，最多 200 字", "give it a name of at most 200 characters")
	}
	if row.StartAt.IsZero() || !clock.Cut(in.Start).Equal(row.StartAt) {
		if err := startable(in.Start, now); err != nil {
			return err
		}
	}
	dates, err := s.schedule(in, 1, last, now, cal)
	if err != nil {
		return err
	}
	_, def, err := s.current(ctx, tx, row.Definition)
	if err != nil {
		return err
	}
	form, err := s.template(def, in.Form, dates[0].At)
	if err != nil {
		return err
	}
	row.Unit, row.Seat, row.Title, row.Form = in.Unit, in.Seat, in.Title, form
	row.Rule, row.StartAt, row.Shift, row.ChangedAt = strings.TrimSpace(in.Rule), clock.Cut(in.Start), in.Shift, now
	if row.State == RecurrenceActive {
		row.NextAt, row.NextDue = dates[0].At, dates[0].Due
	}
	return nil
}

// template checks the fields that drafts begin with: what is missing is for
// whoever sends the draft, what is there must fit.
func (s *Service) template(def *Definition, form map[string]any, first time.Time) (string, error) {
	if form == nil {
		form = map[string]any{}
	}
	var problems []FieldError
	for _, name := range sortedKeys(form) {
		f, known := def.Form.Field("/" + name)
		switch {
		case !known:
			problems = append(problems, FieldError{"/" + name, "UNKNOWN_FIELD", "表单里没有这一项", "the form has no such field"})
		case f.holdsFile() || def.Form.private(f.Pointer):
			problems = append(problems, FieldError{f.Pointer, "NOT_RECURRING", "“" + f.Title.Zh + "”每次另填，不能预先写好", f.Title.En + " is filled in each time"})
		}
	}
	if len(problems) == 0 {
		_, problems = def.Form.Fill(mustCanonical(dated(form, first.In(s.Location))))
		problems = slices.DeleteFunc(problems, func(p FieldError) bool { return p.Code == "REQUIRED" })
	}
	if len(problems) > 0 {
		return "", formInvalid(problems)
	}
	return string(mustCanonical(form)), nil
}

// Recurrence is a standing order as its reader sees it.
type Recurrence struct {
	ID         id.ID
	Definition string
	Title      string
	Unit       string
	Seat       string
	Form       flow.JSON
	Rule       string
	Start      time.Time
	Shift      Shift
	State      RecurrenceState
	Next       *Date // of one that is active
	Mine       bool  // the reader may change it and send its drafts
	Drafts     []Occurrence
}

// Occurrence is one date of a standing order: its draft and what became of it.
type Occurrence struct {
	ID      id.ID
	At      time.Time
	State   OccurrenceState
	Request id.ID // that it was sent as; else zero
}
