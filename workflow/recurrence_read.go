package workflow

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// dated fills in the date for which a draft is.
func dated(form map[string]any, at time.Time) map[string]any {
	words := strings.NewReplacer("{year}", strconv.Itoa(at.Year()), "{month}", strconv.Itoa(int(at.Month())), "{day}", strconv.Itoa(at.Day()))
	var fill func(v any) any
	fill = func(v any) any {
		switch v := v.(type) {
		case string:
			return words.Replace(v)
		case []any:
			out := make([]any, len(v))
			for i := range v {
				out[i] = fill(v[i])
			}
			return out
		case map[string]any:
			out := make(map[string]any, len(v))
			for k := range v {
				out[k] = fill(v[k])
			}
			return out
		}
		return v
	}
	out, _ := fill(form).(map[string]any)
	return out
}

// canSeeOrder says who may know of a standing order: whoever may change it, and
// whoever may read the requests of its unit.
func (s *Service) canSeeOrder(a org.Actor, r *recurrenceRow) bool {
	return s.rules.Can(a, "workflow.recur", r.object()) || s.rules.Can(a, "workflow.read", org.Object{Unit: r.Unit})
}

// Recurrences lists the standing orders that the actor may know of, the newest
// first; ended adds those that are over.
func (s *Service) Recurrences(ctx context.Context, actor org.Actor, ended bool) ([]Recurrence, error) {
	where := `state <> 'ENDED'`
	if ended {
		where = `TRUE`
	}
	return s.recurrences(ctx, actor, `WHERE `+where+` ORDER BY created_at DESC, id DESC`)
}

// Recurrence shows one; one that the actor may not know of is fault.Missing.
func (s *Service) Recurrence(ctx context.Context, actor org.Actor, order id.ID) (Recurrence, error) {
	list, err := s.recurrences(ctx, actor, `WHERE id = ?`, order)
	if err == nil && len(list) == 0 {
		err = fault.Missing()
	}
	if err != nil {
		return Recurrence{}, err
	}
	return list[0], nil
}

func (s *Service) recurrences(ctx context.Context, actor org.Actor, where string, args ...any) ([]Recurrence, error) {
	if actor.Anonymous() {
		return nil, fault.SignIn()
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	r := store.NewReads(s.db.R)
	var rows []recurrenceRow
	judged := org.AskJudge(r, actor, now)
	r.SQL(&rows, `SELECT * FROM recurrence `+where, args...)
	if err := r.Run(ctx); err != nil {
		return nil, store.Busy(err)
	}
	if actor, err = judged(); err != nil {
		return nil, err
	}
	var out []Recurrence
	for i := range rows {
		if len(out) == listedOrders {
			break
		}
		if !s.canSeeOrder(actor, &rows[i]) {
			continue
		}
		out = append(out, s.showOrder(actor, &rows[i], cal))
	}
	return out, s.addDrafts(ctx, out)
}

func (s *Service) showOrder(actor org.Actor, r *recurrenceRow, cal *calendar.Calendar) Recurrence {
	x := Recurrence{ID: r.ID, Definition: r.Definition, Title: r.Title, Unit: r.Unit, Seat: r.Seat, Form: flow.JSON(r.Form), Rule: r.Rule,
		Start: r.StartAt, Shift: r.Shift, State: r.State, Mine: s.rules.Can(actor, "workflow.recur", r.object())}
	if r.State == RecurrenceActive {
		x.Next = &Date{At: r.NextAt, Due: r.NextDue, Provisional: r.Shift != ShiftNone && cal.Provisional(r.NextAt)}
	}
	return x
}

// addDrafts adds the newest drafts of each order.
func (s *Service) addDrafts(ctx context.Context, list []Recurrence) error {
	if len(list) == 0 {
		return nil
	}
	at := map[id.ID]int{}
	orders := make([]id.ID, len(list))
	for i, x := range list {
		at[x.ID], orders[i] = i, x.ID
	}
	var rows []occurrenceRow
	err := s.db.R.NewRaw(`SELECT id, recurrence_id, at, state, request_id, opened_at FROM (
		SELECT *, row_number() OVER (PARTITION BY recurrence_id ORDER BY at DESC) AS n FROM occurrence WHERE recurrence_id IN (?)) AS o
		WHERE n <= ? ORDER BY at DESC, id`, bun.List(orders), listedDrafts).Scan(ctx, &rows)
	for _, o := range rows {
		x := &list[at[o.RecurrenceID]]
		x.Drafts = append(x.Drafts, Occurrence{ID: o.ID, At: o.At, State: o.State, Request: o.RequestID})
	}
	return store.Busy(err)
}

// sending is a draft that a request is to send, with its order.
type sending struct {
	ID         id.ID
	At         time.Time
	State      OccurrenceState
	Definition string
	Unit       string
	Seat       string
	Form       string
}

const sendingSQL = `SELECT o.id, o.at, o.state, r.definition, r.unit, r.seat, r.form FROM recurrence AS r JOIN occurrence AS o ON o.recurrence_id = r.id WHERE o.id = ?`

// askSending reads the draft that a request is to send and locks it, so that two
// who hold the seat do not both send it; what it gives judges the actor.
func (s *Service) askSending(r *store.Reads, draft id.ID) func(actor org.Actor, definition string) error {
	var rows []sending
	if !draft.IsZero() {
		r.SQL(&rows, sendingSQL+` ?`, draft, s.db.Lock(false))
	}
	return func(actor org.Actor, definition string) error {
		if draft.IsZero() {
			return nil
		}
		if err := s.maySend(actor, rows); err != nil {
			return err
		}
		if x := rows[0]; x.Definition != definition {
			return fault.Input("draft", "这份草稿是另一种申请的", "the draft is of another workflow")
		}
		return nil
	}
}

// maySend judges an actor over a draft that was read.
func (s *Service) maySend(actor org.Actor, rows []sending) error {
	if len(rows) == 0 || !s.rules.Can(actor, "workflow.recur", org.Object{Unit: seatUnit(rows[0].Seat), State: rows[0].Seat}) {
		return fault.Missing().At("draft")
	}
	if st := rows[0].State; st != OccurrenceDue && st != OccurrenceMissed {
		return fault.Refuse("ALREADY_SENT", "这一期已经提交过，或已被跳过", "this draft was sent already, or its date was skipped").At("draft")
	}
	return nil
}

// DraftOf is the form that a draft of a standing order begins with. Fields that
// the present form no longer has stay behind. Refusals: ALREADY_SENT.
func (s *Service) DraftOf(ctx context.Context, actor org.Actor, draft id.ID) (Draft, error) {
	if actor.Anonymous() {
		return Draft{}, fault.SignIn()
	}
	r := store.NewReads(s.db.R)
	var rows []sending
	judged := org.AskJudge(r, actor, s.clock.Now())
	r.SQL(&rows, sendingSQL, draft)
	if err := r.Run(ctx); err != nil {
		return Draft{}, store.Busy(err)
	}
	actor, err := judged()
	if err != nil {
		return Draft{}, err
	}
	if err := s.maySend(actor, rows); err != nil {
		return Draft{}, err
	}
	x := rows[0]
	_, def, err := s.current(ctx, s.db.R, x.Definition)
	if err != nil {
		return Draft{}, err
	}
	values, _ := decode([]byte(x.Form)).(map[string]any)
	maps.DeleteFunc(values, func(name string, _ any) bool { _, known := def.Form.Field("/" + name); return !known })
	return Draft{Definition: x.Definition, Unit: x.Unit, Form: flow.JSON(mustCanonical(dated(values, x.At.In(s.Location))))}, nil
}
