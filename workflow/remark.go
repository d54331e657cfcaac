package workflow

import (
	"time"

	"kelian/internal/id"
	"kelian/workflow/flow"
)

// ReportView is the report on what was approved (结项). Its fields are those of
// Version.CloseOut.
type ReportView struct {
	By      Who
	At      time.Time
	Form    flow.JSON
	Fields  []PrintField
	Comment string
}

// Remark is a comment, or an act that is no decision: with a note, or with the
// people to whom it turned.
type Remark struct {
	By   Who
	At   time.Time
	Text string
	Task id.ID
	// Act is the event: commented, resubmitted, closed, sent_back, transferred,
	// signers_added, copied, resolved.
	Act string
	To  []Who

	// Of a comment: its number, the one it answers, and whether nobody approves
	// before it is resolved.
	N, ReplyTo         int
	Blocking, Resolved bool
}

// remarks lists what was said outside of decisions, in order.
func (v *viewer) remarks() []Remark {
	var out []Remark
	for _, ev := range v.events {
		x := Remark{By: v.who(ev.By), At: ev.At, Act: ev.Body.Type()}
		switch b := ev.Body.(type) {
		case flow.Commented:
			x.Text, x.N, x.ReplyTo, x.Blocking = v.text(&b.Note), b.N, b.Reply, b.Blocking
			x.Resolved = v.st.Remarks[b.N-1].Resolved
			if t := v.st.Task(b.Task); t != nil {
				x.Task = taskID(v.row.ID, *t)
			}
		case flow.Resubmitted:
			x.Text = v.text(b.Note)
		case flow.Closed:
			x.Text = v.text(b.Note)
		case flow.Resolved:
			x.Text, x.ReplyTo = v.text(b.Note), b.N
		case flow.Transferred:
			x.Text, x.To = v.text(b.Note), v.openings(b.To)
		case flow.SignersAdded:
			x.Text, x.To = v.text(b.Note), v.openings(b.Tasks...)
		case flow.Copied:
			x.Text = v.text(b.Note)
			for _, p := range b.People {
				x.To = append(x.To, v.who(flow.Actor{Person: p}))
			}
		}
		if x.Text != "" || len(x.To) > 0 {
			out = append(out, x)
		}
	}
	return out
}

func (v *viewer) openings(list ...flow.Opening) []Who {
	var out []Who
	for _, o := range list {
		out = append(out, v.who(flow.Actor{Person: o.Elector.Person, Seat: o.Elector.Seat}))
	}
	return out
}

// reportView is what was handed in, as the definition's report has it.
func (v *viewer) reportView() *ReportView {
	if v.report == nil || v.def.CloseOut == nil {
		return nil
	}
	form := stored(v.report.Form)
	out := &ReportView{By: v.who(flow.Actor{Person: v.report.ByPerson.String()}), At: v.report.At, Form: form.JSON, Fields: v.def.CloseOut.filled(form, nil)}
	for _, ev := range v.events {
		if b, ok := ev.Body.(flow.ClosedOut); ok {
			out.Comment = v.text(b.Note) // of the newest
		}
	}
	return out
}
