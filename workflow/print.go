package workflow

import (
	"context"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// Print is the A4 approval form (审批表) of a request: what was asked, and a
// box for each step that is part of its way.
type Print struct {
	Number     string
	Kind       flow.Text
	Title      string
	Unit       string
	Requester  Who
	Status     flow.Status
	FormRev    int
	OpenedAt   time.Time
	ClosedAt   time.Time
	Fields     []PrintField
	Boxes      []PrintBox
	VerifyCode string // the QR leads to /verify/<code>
	Head       string // of the chain of events
	Version    *Definition
}

// PrintField is a line of the form; Value is JSON, empty where Kept.
type PrintField struct {
	Pointer string
	Title   flow.Text
	Kind    string // x-ui kind or format, e.g. money
	Value   flow.JSON
	Kept    bool // personal or hidden: not printed
}

// PrintBox is one step: opinion, signature, date. A step without signatures is
// an empty box to sign by hand.
type PrintBox struct {
	Step  string
	Title flow.Text
	Seats []string // seat expressions that are asked
	Done  bool
	// Points is the most that each signature gives; 0 = none are asked.
	Points int
	Signs  []PrintSign
}

// PrintSign is one answer that counts.
type PrintSign struct {
	By      Who
	Verdict flow.Verdict
	Opinion string
	At      time.Time // write the local date
	Door    flow.Door
	FormRev int  // on which it was given
	Score   *int // the points given; nil = none
	Carried bool // given for an earlier revision or round that it did not read a change of
}

// PrintModel gives what the printed form holds, to somebody who may see the
// request.
func (s *Service) PrintModel(ctx context.Context, actor org.Actor, request id.ID) (Print, error) {
	r, st, d, a, err := s.open(ctx, actor, request)
	if err != nil {
		return Print{}, err
	}
	v, err := s.view(ctx, a, r, st, d)
	if err != nil {
		return Print{}, err
	}
	out := Print{Number: v.Number, Kind: v.Kind, Title: v.Title, Unit: v.Unit, Requester: v.Requester, Status: v.Status, FormRev: v.FormRev,
		OpenedAt: v.OpenedAt, ClosedAt: v.ClosedAt, VerifyCode: v.VerifyCode, Head: v.Head}
	out.Fields, out.Version = v.Filled(), d
	ahead, err := s.ahead(ctx, r, d)
	if err != nil {
		return Print{}, err
	}
	for _, step := range d.Flow.Steps() {
		if box, on := printBox(step, v, d, st); on || ahead[step.Name] {
			out.Boxes = append(out.Boxes, box)
		}
	}
	return out, nil
}

// filled are the fields that hold something, in the order of the form; those of
// kept are named without their value.
func (f *Form) filled(form Filled, kept []string) []PrintField {
	var out []PrintField
	for _, fd := range f.Fields {
		value, given := form.values[fd.Name]
		x := PrintField{Pointer: fd.Pointer, Title: fd.Title, Kind: fd.Kind, Kept: below(fd.Pointer, kept)}
		if x.Kind == "" {
			x.Kind = fd.Format
		}
		if given {
			x.Value = flow.JSON(mustCanonical(value))
		} else if !x.Kept {
			continue
		}
		out = append(out, x)
	}
	return out
}

// ahead names the steps that the present form leads through, so that the paper
// of a request under way has a box for everybody who will be asked.
func (s *Service) ahead(ctx context.Context, r *row, d *Definition) (map[string]bool, error) {
	out := map[string]bool{}
	if r.Status.Final() {
		return out, nil
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	form, _, err := s.FormOf(ctx, s.db.R, r.ID)
	if err != nil {
		return nil, err
	}
	at := place{unit: r.Unit, requester: r.Requester.String()}
	if at.form, _, err = s.tryForm(d, form, now); err != nil {
		return nil, err
	}
	facts, err := s.facts(ctx, s.db.R, d, at, now, cal)
	if err != nil {
		return nil, err
	}
	steps, err := flow.Forecast(d.Flow, at.requester, facts)
	for _, f := range steps {
		out[f.Step] = true
	}
	return out, err
}

// printBox gives a step's box; on is false for a step of a branch that the form
// does not take.
func printBox(step *flow.Step, v View, d *Definition, st flow.State) (box PrintBox, on bool) {
	box = PrintBox{Step: step.Name, Title: step.Title, Seats: step.Ask, Points: step.Rule.Score}
	for _, sv := range v.Steps {
		if sv.Name != step.Name {
			continue
		}
		box.Done = sv.Status == flow.StepPassed || sv.Status == flow.StepFailed
		for _, t := range sv.Tasks {
			if c := t.Decision; c != nil && c.Live {
				box.Signs = append(box.Signs, PrintSign{By: c.By, Verdict: c.Verdict, Opinion: c.Comment, At: c.At, Door: c.Door, FormRev: c.CastRev, Score: c.Score, Carried: c.Carried})
			}
		}
	}
	if len(box.Signs) > 0 {
		return box, true
	}
	return box, onTheWay(flow.Explain(d.Flow, st, v.OpenedAt), step.Name)
}

// onTheWay says whether the step is asked, or will be as far as it is known.
func onTheWay(q flow.Requirement, step string) bool {
	if q.Step == step {
		return true
	}
	for _, p := range q.Parts {
		if onTheWay(p, step) {
			return true
		}
	}
	return false
}

// Verified is what the public page /verify/<code> shows: that the paper is
// true, and nothing personal.
type Verified struct {
	Request  id.ID
	Number   string
	Kind     flow.Text
	Status   flow.Status
	Unit     string
	FormRev  int
	OpenedAt time.Time
	ClosedAt time.Time
}

// VerifyCode answers the code on a printed form, for anybody. A code that was
// never given is fault.Missing.
func (s *Service) VerifyCode(ctx context.Context, code string) (Verified, error) {
	code = strings.ToLower(strings.TrimSpace(code))
	r := new(row)
	err := s.db.R.NewSelect().Model(r).ExcludeColumn("form", "apart", "state", "search").Where("verify_code = ?", code).Scan(ctx)
	if store.NoRows(err) {
		return Verified{}, fault.Missing()
	}
	if err != nil {
		return Verified{}, store.Busy(err)
	}
	d, err := s.version(ctx, s.db.R, r.VersionID)
	if err != nil {
		return Verified{}, err
	}
	return Verified{Request: r.ID, Number: r.number(), Kind: d.Flow.Title, Status: r.Status, Unit: r.Unit, FormRev: r.FormRev, OpenedAt: r.OpenedAt, ClosedAt: r.ClosedAt}, nil
}
