package workflow

import (
	"context"
	"encoding/json"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow/flow"
)

// StopInput stops what was approved.
type StopInput struct {
	Request        id.ID
	Comment        string
	IdempotencyKey string
}

// Stop ends an approved thing at once, or an open request from above: by those
// who decided it and those whom its definition names. Everybody concerned is
// told, and what was reserved for it is given back.
func (s *Service) Stop(ctx context.Context, actor org.Actor, in StopInput) (Outcome, error) {
	if err := checkNote("comment", in.Comment, true); err != nil {
		return Outcome{}, err
	}
	m := moves{mutation: "stopRequest", key: in.IdempotencyKey, input: in, request: in.Request, action: "workflow.stop"}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		return x.apply(ctx, flow.Stop{By: x.by, Note: x.note(in.Comment)}, x.facts)
	})
}

// AmendInput asks to change what was approved.
type AmendInput struct {
	Request        id.ID // the approved one
	Form           map[string]any
	IdempotencyKey string
	draft          *draft
}

// Amend opens a linked request of the same version with the changed form. Steps
// that read nothing of what changed are carried over with their votes; the
// others are asked. The approved request stays in force until the amendment is
// approved, and then is superseded by it. Refusals: those of Submit, and
// AMENDED_ALREADY while another amendment is open.
func (s *Service) Amend(ctx context.Context, actor org.Actor, in AmendInput) (Outcome, error) {
	if actor.Anonymous() {
		return Outcome{}, fault.SignIn()
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return Outcome{}, err
	}
	return s.withDraft(ctx, in.Form, func(d *draft) (Outcome, error) {
		in.draft = d
		return s.amend(ctx, actor, in, now, cal)
	})
}

func (s *Service) amend(ctx context.Context, actor org.Actor, in AmendInput, now time.Time, cal *calendar.Calendar) (Outcome, error) {
	return raced(store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "amendRequest", in.IdempotencyKey, in), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		r := store.NewReads(tx)
		loaded, judged := s.askLoad(r, tx, byID, in.Request, now, cal), org.AskJudge(r, actor, now)
		var open []id.ID
		r.SQL(&open, `SELECT id FROM request WHERE amends = ? AND status IN ('OPEN', 'RETURNED')`, in.Request)
		if err := r.Run(ctx); err != nil {
			return Outcome{}, err
		}
		base, err := loaded(ctx)
		if err != nil {
			return Outcome{}, err
		}
		a, err := judged()
		if err != nil {
			return Outcome{}, err
		}
		if !s.canRead(a, &base.row, base.st) {
			return Outcome{}, fault.Missing()
		}
		if err := s.rules.Check(a, "workflow.amend", org.Object{Owner: base.row.Requester, Unit: base.row.Unit}); err != nil {
			return Outcome{}, err
		}
		switch {
		case base.st.Status != flow.Approved:
			return Outcome{}, fault.Refuse("WRONG_STATE", "只有已通过的申请可以变更", "only an approved request is amended")
		case len(open) > 0:
			return Outcome{}, fault.Refuse("AMENDED_ALREADY", "已有一份变更在办理", "another amendment is under way").With(&AmendedAlready{Request: open[0]})
		}
		return s.openAmendment(ctx, tx, base, a, in, now, cal)
	}))
}

// AmendedAlready comes with AMENDED_ALREADY: the amendment that is open.
type AmendedAlready struct{ Request id.ID }

func (s *Service) openAmendment(ctx context.Context, tx *store.Tx, base *thread, a org.Actor, in AmendInput, now time.Time, cal *calendar.Calendar) (Outcome, error) {
	t := &thread{svc: s, tx: tx, def: base.def, now: now, cal: cal, actor: a.Person, judge: a, seat: a.Acting, filled: base.filled}
	t.row = row{ID: s.NewID(), Series: base.row.Series, Year: now.In(s.Location).Year(), Definition: base.row.Definition, VersionID: base.row.VersionID,
		Requester: a.Person, Unit: base.row.Unit, Urgent: base.row.Urgent, VerifyCode: id.Secret(10), OpenedAt: now, Amends: base.row.ID}
	t.base = flow.AmendBase(base.row.ID.String(), base.row.Head, base.st)
	outbox.Link(tx, base.row.ref(), t.row.ref(), "amended", now)
	return t.open(ctx, SubmitInput{Definition: base.row.Definition, Form: in.Form, draft: in.draft})
}

// OnAmended handles TopicAmended: the amendment was approved, what it amends is
// superseded.
func (s *Service) OnAmended(ctx context.Context, d outbox.Delivery) error {
	var p AmendedPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.system(ctx, d.Command(), p.Base, "workflow.supersede", flow.Supersede{By: flow.Actor{Door: flow.System}, Request: p.Request.String()})
}

// CloseOutInput is the report on what was approved.
type CloseOutInput struct {
	Request        id.ID
	Form           map[string]any
	Comment        string
	IdempotencyKey string
}

// CloseOut hands in the report that the definition asks for; a second one
// replaces the first. Refusals: FORM_INVALID, NO_CLOSE_OUT, NOT_REQUESTER.
func (s *Service) CloseOut(ctx context.Context, actor org.Actor, in CloseOutInput) (Outcome, error) {
	if err := checkNote("comment", in.Comment, false); err != nil {
		return Outcome{}, err
	}
	m := moves{mutation: "closeOutRequest", key: in.IdempotencyKey, input: in, request: in.Request, action: "workflow.close_out"}
	raw, err := json.Marshal(in.Form)
	if err != nil {
		return Outcome{}, fault.Input("form", "表单不是合法的 JSON", "the form is not JSON").Because(err)
	}
	var filled Filled
	var problems []FieldError
	var files func() error
	m.ask = func(x *move, r *store.Reads) {
		if x.def.CloseOut != nil {
			filled, problems = x.def.CloseOut.Fill(raw)
			x.files = x.def.CloseOut.filesIn(filled.values)
			files = x.askFiles(r)
		}
	}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		if x.def.CloseOut == nil {
			return x.apply(ctx, flow.CloseOut{By: x.by}, x.facts) // refused by the core
		}
		if len(problems) > 0 {
			return formInvalid(problems)
		}
		if err := files(); err != nil {
			return err
		}
		report, err := x.def.CloseOut.Digests(1, filled, nil)
		if err != nil {
			return err
		}
		if err := x.apply(ctx, flow.CloseOut{By: x.by, Report: report, Note: x.note(in.Comment)}, x.facts); err != nil {
			return err
		}
		x.tx.QueueSQL(`INSERT INTO close_out (request_id, form, by_person, at) VALUES (?, ?, ?, ?)
			ON CONFLICT (request_id) DO UPDATE SET form = excluded.form, by_person = excluded.by_person, at = excluded.at`,
			x.row.ID, string(filled.JSON), x.judge.Person, x.now)
		return nil
	})
}

// askOwed reads the number of the oldest report of this kind that each unit owes; nobody
// starts the next thing before the last one is closed out.
func askOwed(r *store.Reads, definition string, now time.Time) func(unit string) error {
	var owed []owedRow
	r.SQL(&owed, `SELECT unit, series, year, serial FROM (SELECT unit, series, year, serial, row_number() OVER (PARTITION BY unit ORDER BY close_out_due) AS nth
		FROM request WHERE definition = ? AND status = 'APPROVED' AND close_out_due < ? AND closed_out_at IS NULL) AS o WHERE nth = 1`, definition, now)
	return func(unit string) error {
		for _, o := range owed {
			if o.Unit == unit {
				n := Number(o.Series, o.Year, o.Serial)
				return fault.Refuse("OWES_CLOSE_OUT", "请先提交 "+n+" 的结项材料", "first close out "+n)
			}
		}
		return nil
	}
}

type owedRow struct {
	Unit, Series string
	Year         int
	Serial       int64
}
