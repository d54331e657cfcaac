package workflow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow/flow"
)

// SubmitInput is a new request. Unit is the unit it is made for, by code; empty
// where the requester belongs to one unit only. Refs are the objects that
// caused it, e.g. a repair ticket.
type SubmitInput struct {
	Definition     string
	Unit           string
	Form           map[string]any
	Refs           []outbox.Ref
	Urgent         bool
	Draft          id.ID // of a standing order, that this sends; zero = none
	IdempotencyKey string
	draft          *draft
}

// Outcome is what a command on a request leaves.
type Outcome struct {
	Request  id.ID
	Status   flow.Status
	FormRev  int
	Decision id.ID // of a decision; else zero
}

// Submit opens a request. Refusals: FORM_INVALID (*FormProblems), NOBODY_TO_ASK
// (*Vacant), NOT_YOUR_UNIT, ALREADY_SENT (of a draft).
func (s *Service) Submit(ctx context.Context, actor org.Actor, in SubmitInput) (Outcome, error) {
	now, cal, err := s.now(ctx)
	if err != nil {
		return Outcome{}, err
	}
	return s.withDraft(ctx, in.Form, func(d *draft) (Outcome, error) {
		in.draft = d
		return raced(store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "submitRequest", in.IdempotencyKey, in), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
			r := store.NewReads(tx)
			submit := s.askSubmit(r, actor, in.Definition, in.Draft, now, cal)
			if err := r.Run(ctx); err != nil {
				return Outcome{}, err
			}
			return submit(ctx, tx, in)
		}))
	})
}

// AskSubmit is Submit inside the transaction of a desk that asks for an approval
// as part of its own act: it adds to the desk's reads what a request of the
// definition needs, and gives what opens one once they have run.
func (s *Service) AskSubmit(ctx context.Context, r *store.Reads, actor org.Actor, definition string) (func(context.Context, *store.Tx, SubmitInput) (Outcome, error), error) {
	now, cal, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	return s.askSubmit(r, actor, definition, id.Nil, now, cal), nil
}

func (s *Service) askSubmit(r *store.Reads, actor org.Actor, definition string, draft id.ID, now time.Time, cal *calendar.Calendar) func(context.Context, *store.Tx, SubmitInput) (Outcome, error) {
	judged, current, owed, sent := org.AskJudge(r, actor, now), s.askCurrent(r, definition), askOwed(r, definition, now), s.askSending(r, draft)
	return func(ctx context.Context, tx *store.Tx, in SubmitInput) (Outcome, error) {
		in.Draft = draft // the one that was judged
		actor, err := judged()
		if err != nil {
			return Outcome{}, err
		}
		unit, seat, err := s.standing(actor, in.Unit)
		if err != nil {
			return Outcome{}, err
		}
		version, def, err := current(ctx, tx)
		if err != nil {
			return Outcome{}, err
		}
		if err := owed(unit); err != nil {
			return Outcome{}, err
		}
		if err := sent(actor, definition); err != nil {
			return Outcome{}, err
		}
		t := &thread{svc: s, tx: tx, def: def, now: now, cal: cal, actor: actor.Person, judge: actor, seat: seat}
		t.row = row{ID: s.NewID(), Series: seriesOf(in.Definition), Year: now.In(s.Location).Year(), Definition: in.Definition, VersionID: version,
			Requester: actor.Person, Unit: unit, Urgent: in.Urgent, VerifyCode: id.Secret(10), OpenedAt: now}
		return t.open(ctx, in)
	}
}

// open makes the thread's row a request.
func (t *thread) open(ctx context.Context, in SubmitInput) (Outcome, error) {
	t.draft = in.draft
	form, err := t.fill(in.Form, 1, nil)
	if err != nil {
		return Outcome{}, err
	}
	facts, desk, err := t.ask(ctx)
	if err != nil {
		return Outcome{}, err
	}
	by := flow.Actor{Person: t.row.Requester.String(), Seat: t.seat, Door: flow.Console}
	if err := t.apply(ctx, flow.Submit{By: by, Form: form, Desk: desk, Base: t.base}, facts); err != nil {
		return Outcome{}, err
	}
	t.row.Search = store.SearchText(t.row.Title, t.def.Flow.Title.Zh, t.def.Flow.Title.En)
	if err := t.save("workflow.submit", true); err != nil {
		return Outcome{}, err
	}
	if !in.Draft.IsZero() {
		t.tx.QueueSQL(`UPDATE occurrence SET state = 'SENT', request_id = ? WHERE id = ?`, t.row.ID, in.Draft)
	}
	for _, ref := range in.Refs {
		outbox.Link(t.tx, ref, t.row.ref(), "asked", t.now)
	}
	// The number comes last: its counter is locked until the commit.
	series := fmt.Sprintf("request.%s.%d", t.row.Series, t.row.Year)
	t.tx.QueueSQL(`INSERT INTO counter (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1`, series)
	t.tx.QueueSQL(`UPDATE request SET serial = (SELECT value FROM counter WHERE name = ?) WHERE id = ?`, series, t.row.ID)
	return t.outcome(), nil
}

func (t *thread) outcome() Outcome {
	return Outcome{Request: t.row.ID, Status: t.st.Status, FormRev: t.st.Rev()}
}

// standing says for which unit, and under which of the seats, somebody asks.
func (s *Service) standing(a org.Actor, unit string) (string, string, error) {
	if err := s.rules.Check(a, "workflow.submit", org.Object{}); err != nil {
		return "", "", err
	}
	var mine []org.HeldSeat
	for _, h := range a.Seats {
		fits := unit == "" || h.Unit == unit || strings.HasPrefix(h.Unit, unit+".")
		if fits && (a.Acting == "" || a.Acting == h.Seat) {
			mine = append(mine, h)
		}
	}
	if len(mine) == 0 {
		return "", "", fault.Refuse("NOT_YOUR_UNIT", "只能为自己所在的单位提交申请", "a request is made for a unit in which you hold a seat").At("unit")
	}
	if unit == "" {
		unit = mine[0].Unit
		for _, h := range mine {
			if h.Unit != unit {
				return "", "", fault.Input("unit", "你在多个单位任职，请选择以哪个单位的名义申请", "you hold seats in several units; say for which one you ask")
			}
		}
	}
	return unit, mine[0].Seat, nil
}

// fill validates a filled form and takes it into the thread: rules between
// fields, personal values apart, the title.
func (t *thread) fill(values map[string]any, rev int, old map[string]string) (flow.Form, error) {
	if values == nil {
		values = map[string]any{}
	}
	raw, err := json.Marshal(values)
	if err != nil {
		return flow.Form{}, fault.Input("form", "表单不是合法的 JSON", "the form is not JSON").Because(err)
	}
	filled, problems := t.def.Form.Fill(raw)
	if len(problems) == 0 {
		if problems, err = t.def.CheckRules(filled, t.now); err != nil {
			return flow.Form{}, err
		}
	}
	if len(problems) > 0 {
		return flow.Form{}, formInvalid(problems)
	}
	// What the form named before is bound already: to this request, or to the
	// one that it amends.
	bound := t.def.Form.filesIn(t.filled.values)
	form, err := t.digest(rev, filled, old)
	if err != nil {
		return form, err
	}
	t.row.Title = titleOf(t.def, t.filled)
	t.files = slices.DeleteFunc(t.def.Form.filesIn(filled.values), func(f namedFile) bool {
		return slices.ContainsFunc(bound, func(b namedFile) bool { return b.file == f.file && b.sha256 == f.sha256 })
	})
	return form, nil
}

func formInvalid(problems []FieldError) error {
	first := problems[0]
	return fault.Refuse("FORM_INVALID", "表单有误："+first.Zh, "the form is not right: "+first.En).
		At(append([]string{"form"}, strings.Split(strings.TrimPrefix(first.Pointer, "/"), "/")...)...).With(&FormProblems{problems})
}

// titleOf is the form's own title, else the kind's.
func titleOf(d *Definition, f Filled) string {
	title, _ := f.values["title"].(string)
	if title = strings.TrimSpace(title); title == "" {
		title = d.Flow.Title.Zh
	}
	if r := []rune(title); len(r) > 200 {
		title = string(r[:200])
	}
	return title
}

// ResubmitInput is a new revision of a request's form. FormRev is the revision
// that it was made from.
type ResubmitInput struct {
	Request        id.ID
	Form           map[string]any
	FormRev        int
	Comment        string
	IdempotencyKey string
}

// Resubmit edits a request, after a send-back or while it is open. Votes whose
// fields changed lapse, the others are carried.
func (s *Service) Resubmit(ctx context.Context, actor org.Actor, in ResubmitInput) (Outcome, error) {
	if err := checkNote("comment", in.Comment, false); err != nil {
		return Outcome{}, err
	}
	var personal func() map[id.ID]map[string]string
	m := moves{mutation: "resubmitRequest", key: in.IdempotencyKey, input: in, request: in.Request, action: "workflow.resubmit", requester: true, bare: true,
		early: func(r *store.Reads) { personal = org.AskPersonal(r, in.Request) }}
	return s.withDraft(ctx, in.Form, func(d *draft) (Outcome, error) {
		return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
			x.draft = d
			return x.resubmit(ctx, in, personal)
		})
	})
}

func (x *move) resubmit(ctx context.Context, in ResubmitInput, personal func() map[id.ID]map[string]string) error {
	if x.st.Status.Final() || in.FormRev != x.st.Rev() {
		// Refused by the core, which says why; the form does not matter.
		return x.apply(ctx, flow.Resubmit{By: x.by, Form: flow.Form{Rev: in.FormRev + 1}}, x.facts)
	}
	form, err := x.fill(in.Form, in.FormRev+1, personal()[x.row.ID])
	if err != nil {
		return err
	}
	facts, desk, err := x.ask(ctx)
	if err != nil {
		return err
	}
	return x.apply(ctx, flow.Resubmit{By: x.by, Form: form, Desk: desk, Note: x.note(in.Comment)}, facts)
}

// WithdrawInput ends a request by its requester.
type WithdrawInput struct {
	Request        id.ID
	Comment        string
	IdempotencyKey string
}

// Withdraw ends a request by its requester.
func (s *Service) Withdraw(ctx context.Context, actor org.Actor, in WithdrawInput) (Outcome, error) {
	if err := checkNote("comment", in.Comment, false); err != nil {
		return Outcome{}, err
	}
	m := moves{mutation: "withdrawRequest", key: in.IdempotencyKey, input: in, request: in.Request, action: "workflow.withdraw", requester: true, bare: true}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		return x.apply(ctx, flow.Withdraw{By: x.by, Note: x.note(in.Comment)}, x.facts)
	})
}

// Draft is a form to begin a new request with.
type Draft struct {
	Definition string
	Unit       string
	Form       flow.JSON
}

// Clone drafts a new request from an older one that the actor may read. What
// the present form no longer has, files and personal values stay behind.
func (s *Service) Clone(ctx context.Context, actor org.Actor, request id.ID) (Draft, error) {
	r, st, old, a, err := s.open(ctx, actor, request)
	if err != nil {
		return Draft{}, err
	}
	_, def, err := s.current(ctx, s.db.R, r.Definition)
	if err != nil {
		return Draft{}, err
	}
	hidden := s.hiddenTo(a, old, r, st)
	values := map[string]any{}
	for name, v := range stored(r.Form).values {
		f, known := def.Form.Field("/" + name)
		if known && !f.holdsFile() && !below("/"+name, hidden) {
			values[name] = v
		}
	}
	return Draft{Definition: r.Definition, Unit: r.Unit, Form: flow.JSON(mustCanonical(values))}, nil
}
