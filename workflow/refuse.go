package workflow

import (
	"context"
	"slices"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// The details of refusals (fault.Error.Detail). The reasons are the codes of
// package flow, and those named here.
type (
	// FormProblems comes with FORM_INVALID: what is wrong, field by field.
	FormProblems struct{ Errors []FieldError }
	// StaleForm comes with STALE_FORM: what changed since the form was read.
	StaleForm struct {
		Request       id.ID
		Read, Current int
		Changes       []Change
	}
	// AlreadySettled comes with ALREADY_SETTLED; By is zero for a deadline.
	AlreadySettled struct {
		Request id.ID
		By      id.ID
		At      time.Time
	}
	// WhoCan comes with NOT_YOUR_TASK, SELF_APPROVAL, NOT_DISTINCT and
	// SEAT_ENDED: who can decide instead. Step is the other step of NOT_DISTINCT.
	WhoCan struct {
		Request id.ID
		Step    string
		People  []PersonSeat
	}
	// Targets comes with BAD_TARGET: where it can be sent back to.
	Targets struct{ Steps []string }
	// TooSoon comes with TOO_SOON: when it can be done again.
	TooSoon struct{ At time.Time }
	// Unresolved comes with UNRESOLVED: the numbers of the remarks.
	Unresolved struct{ Remarks []int }
	// FieldsOf comes with FIELD_FIXED and FIELD_REQUIRED.
	FieldsOf struct{ Pointers []string }
	// Vacant comes with NOBODY_TO_ASK.
	Vacant struct {
		Step string
		Ask  []string
	}
)

// PersonSeat is somebody on a seat.
type PersonSeat struct {
	Person id.ID
	Seat   string
}

// Change is one leaf of a form that differs between two revisions. Before and
// After are empty where there is no value, and where it is personal or hidden.
type Change struct {
	Pointer       string
	Title         flow.Text
	Personal      bool
	Hidden        bool
	Before, After flow.JSON
}

// refusal turns the core's no into the error that doors show.
func (t *thread) refusal(ctx context.Context, err error) error {
	r, ok := flow.AsRefusal(err)
	if !ok {
		return err
	}
	out := fault.Refuse(string(r.Code), r.Zh, r.En)
	if r.Code == flow.ScoreNeeded {
		out = out.At("score")
	}
	switch d := r.Detail.(type) {
	case flow.Who:
		return t.whoCan(out, "", d.Electors)
	case flow.Conflict:
		return t.whoCan(out, d.Step, d.Who)
	case flow.Settled:
		return out.With(&AlreadySettled{Request: t.row.ID, By: personID(d.By), At: d.At})
	case flow.Targets:
		return out.With(&Targets{Steps: d.Steps})
	case flow.Again:
		return out.With(&TooSoon{At: d.At})
	case flow.Remarks:
		return out.With(&Unresolved{Remarks: d.Open})
	case flow.Fields:
		return out.At(append([]string{"fields"}, strings.Split(strings.TrimPrefix(d.Pointers[0], "/"), "/")...)...).With(&FieldsOf{Pointers: d.Pointers})
	case flow.Vacant:
		return out.With(&Vacant{Step: d.Step, Ask: d.Ask})
	case flow.Stale:
		changes, err := t.svc.changes(ctx, t.tx, t.def, t.row.ID, d.Read, d.Current, t.hidden())
		if err != nil {
			return err
		}
		return out.With(&StaleForm{Request: t.row.ID, Read: d.Read, Current: d.Current, Changes: changes})
	}
	return out
}

// whoCan names the seats in the text and the people in the detail.
func (t *thread) whoCan(out *fault.Error, step string, who []flow.Elector) error {
	detail := &WhoCan{Request: t.row.ID, Step: step}
	var zh, en []string
	for _, e := range who {
		detail.People = append(detail.People, PersonSeat{personID(e.Person), e.Seat})
		if title := org.SeatTitle(e.Seat); !slices.Contains(zh, title.Zh) {
			zh, en = append(zh, title.Zh), append(en, title.En)
		}
	}
	if len(zh) > 0 {
		out.Zh += "。可以办理的岗位：" + strings.Join(zh, "、")
		out.En += "; those who can: " + strings.Join(en, ", ")
	}
	return out.With(detail)
}

// hidden are the fields that the acting person must not see.
func (t *thread) hidden() []string { return hiddenFrom(t.def, t.st, t.row.Requester, t.actor) }

// hiddenFrom lists the fields that every step hides in which the person is
// asked; nothing is hidden from the requester.
func hiddenFrom(d *Definition, st flow.State, requester, person id.ID) []string {
	if person == requester || person.IsZero() {
		return nil
	}
	var steps []*flow.Step
	for _, x := range st.Tasks {
		if x.Elector.Person != person.String() {
			continue
		}
		if s := d.Flow.Step(x.Step); s != nil && !slices.Contains(steps, s) {
			steps = append(steps, s)
		}
	}
	var out []string
	for i, s := range steps {
		for _, f := range s.Fields {
			everywhere := f.Right == flow.Hide
			for _, other := range steps {
				everywhere = everywhere && other.Right(f.Field) == flow.Hide
			}
			if everywhere && (i == 0 || !slices.Contains(out, f.Field)) {
				out = append(out, f.Field)
			}
		}
	}
	return out
}

// below says whether the pointer is one of the fields or lies in it.
func below(pointer string, fields []string) bool {
	return slices.ContainsFunc(fields, func(f string) bool { return pointer == f || strings.HasPrefix(pointer, f+"/") })
}

// changes compares two revisions of a form, leaf by leaf.
func (s *Service) changes(ctx context.Context, q bun.IDB, d *Definition, request id.ID, from, to int, hidden []string) ([]Change, error) {
	var rows []revisionRow
	if err := q.NewSelect().Model(&rows).Where("request_id = ?", request).Where("rev IN (?, ?)", from, to).Scan(ctx); err != nil {
		return nil, err
	}
	side := map[int]*revisionRow{}
	for i := range rows {
		side[rows[i].Rev] = &rows[i]
	}
	return compare(d, side[from], side[to], hidden)
}

// compare lists the leaves in which two revisions differ, sorted; nil is the
// empty form. Personal leaves are compared by where they stand: a changed one
// stands in a new row.
func compare(d *Definition, from, to *revisionRow, hidden []string) ([]Change, error) {
	before, err := leavesOf(from)
	if err != nil {
		return nil, err
	}
	after, err := leavesOf(to)
	if err != nil {
		return nil, err
	}
	var pointers []string
	for p, v := range before {
		if w, ok := after[p]; !ok || v != w {
			pointers = append(pointers, p)
		}
	}
	for p := range after {
		if _, ok := before[p]; !ok {
			pointers = append(pointers, p)
		}
	}
	slices.Sort(pointers)
	out := make([]Change, 0, len(pointers))
	for _, p := range pointers {
		c := Change{Pointer: p, Title: flow.Text{Zh: p, En: p}, Personal: before[p].apart || after[p].apart, Hidden: below(p, hidden)}
		if f, ok := d.Form.Field(p); ok {
			c.Title = f.Title
		}
		if !c.Personal && !c.Hidden {
			c.Before, c.After = flow.JSON(before[p].value), flow.JSON(after[p].value)
		}
		out = append(out, c)
	}
	return out, nil
}

type leaf struct {
	value string // JSON, or where a personal value stands
	apart bool
}

func leavesOf(r *revisionRow) (map[string]leaf, error) {
	out := map[string]leaf{}
	if r == nil {
		return out, nil
	}
	plain, err := flow.Leaves([]byte(r.Form))
	if err != nil {
		return nil, err
	}
	for p, v := range plain {
		out[p] = leaf{value: string(v)}
	}
	for p, field := range readApart(r.Apart) {
		out[p] = leaf{value: field, apart: true}
	}
	return out, nil
}
