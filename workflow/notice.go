package workflow

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// Notice is what a message about a task says.
type Notice struct {
	Request id.ID
	Number  string
	Title   flow.Text
	Step    flow.Text
	Person  id.ID
	Seat    string
	DueAt   time.Time
	Open    bool // somebody still waits for the answer
	FormRev int
}

// titled is a request's title in both languages: what the requester wrote is
// one for both, a kind's own title is not.
func titled(kind flow.Text, title string) flow.Text {
	if title == kind.Zh {
		return kind
	}
	return flow.Text{Zh: title, En: title}
}

// LinkToken is the token of the decision link that IssueLink issued for the
// task and revision; without that it opens nothing.
func (s *Service) LinkToken(task id.ID, rev int) string { return s.token(task, rev) }

// TaskFor reads a task for whoever writes messages; an absent one is
// fault.Missing. It checks no authority: it is for the system.
func (s *Service) TaskFor(ctx context.Context, q bun.IDB, task id.ID) (Notice, error) {
	var t taskRow
	err := q.NewSelect().Model(&t).Where("id = ?", task).Scan(ctx)
	if store.NoRows(err) {
		return Notice{}, fault.Missing()
	}
	if err != nil {
		return Notice{}, store.Busy(err)
	}
	r, _, d, err := s.get(ctx, q, t.RequestID)
	if err != nil {
		return Notice{}, err
	}
	n := Notice{Request: r.ID, Number: r.number(), Title: titled(d.Flow.Title, r.Title), Person: t.Person, Seat: t.Seat, DueAt: t.DueAt, FormRev: r.FormRev, Open: t.State == flow.TaskOpen}
	if step := d.Flow.Step(t.Step); step != nil {
		n.Step = step.Title
	}
	return n, nil
}
