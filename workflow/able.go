package workflow

import (
	"context"
	"slices"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// Moves says what a reader can do with a request now, beside what View says. It
// is judged by the same rules as the moves themselves, which have the last word.
type Moves struct {
	// Of the reader's own open task (View.Mine):
	Fill      []FillField // what an approval may or must fill in
	HandOn    bool        // transfer and add signers
	Block     bool        // make a remark that must be resolved
	Objection bool        // one can only object, by sending back

	Undo    []Window // the reader's decisions that can be taken back
	Disown  []Window // decisions entered from paper in the reader's name
	Resolve []int    // numbers of the open remarks that the reader may settle
	Open    []int    // numbers of all remarks that keep an approval

	Nudge    bool      // the reader may, from NudgeAt on
	NudgeAt  time.Time // zero = not any more
	Nudges   int
	NudgedAt time.Time // the last time; zero = never

	Copy, Amend, CloseOut, Stop bool
	Paper                       bool // the reader enters papers and the request awaits one
}

// FillField is a field that an approver fills in.
type FillField struct {
	Pointer  string
	Required bool
}

// Window is a decision that can be taken back until a moment.
type Window struct {
	Task  id.ID
	Step  flow.Text
	Until time.Time
}

// Moves says what the actor can do with a request that he may see.
func (s *Service) Moves(ctx context.Context, actor org.Actor, request id.ID) (Moves, error) {
	r, st, d, a, err := s.open(ctx, actor, request)
	if err != nil {
		return Moves{}, err
	}
	return s.moves(ctx, a, r, st, d)
}

func (s *Service) moves(ctx context.Context, a org.Actor, r *row, st flow.State, d *Definition) (Moves, error) {
	now := s.clock.Now()
	me, o := a.Person.String(), readable(r, st)
	can := func(action string) bool { return s.rules.Can(a, action, o) }
	out := Moves{Copy: can("workflow.copy"), Nudges: st.Nudges, NudgedAt: st.NudgedAt, Open: openRemarks(st)}
	if can("workflow.nudge") && st.Requester == me {
		out.NudgeAt, out.Nudge = flow.NextNudge(st)
	}
	out.Amend = can("workflow.amend") && st.Status == flow.Approved && st.Requester == me
	out.CloseOut = can("workflow.close_out") && st.Status == flow.Approved && st.CloseOut != nil && st.Requester == me
	if can("workflow.undo") {
		out.Undo = s.windows(r, st, d, flow.Undoable(d.Flow, st, me, now))
	}
	if can("workflow.disown") {
		out.Disown = s.windows(r, st, d, flow.Disownable(d.Flow, st, me, now))
	}
	out.ofTask(st, d, me, a.Acting)
	if st.Requester != me && can("workflow.resolve") {
		for _, n := range out.Open {
			if out.Block || st.Remarks[n-1].By == me {
				out.Resolve = append(out.Resolve, n)
			}
		}
	}
	out.Paper = s.rules.Can(a, "workflow.paper", org.Object{}) && len(paperTasks(st, d, me)) > 0
	if can("workflow.stop") {
		var err error
		if out.Stop, err = s.mayStop(ctx, r, st, d, me, now); err != nil {
			return Moves{}, err
		}
	}
	return out, nil
}

// ofTask is what belongs to the person's first open task.
func (m *Moves) ofTask(st flow.State, d *Definition, me, acting string) {
	for _, t := range st.OpenTasks() {
		step := d.Flow.Step(t.Step)
		if t.Elector.Person != me || acting != "" && acting != t.Elector.Seat || step == nil {
			continue
		}
		m.Objection = st.Step(t.Step).Rule.Kind == flow.Objection
		m.HandOn, m.Block = !step.Fixed && !m.Objection, st.Requester != me
		m.Fill = FillOf(step)
		return
	}
}

// FillOf are the fields that the electors of a step fill in.
func FillOf(step *flow.Step) []FillField {
	var out []FillField
	for _, f := range step.Fields {
		if f.Right == flow.Edit || f.Right == flow.Require {
			out = append(out, FillField{f.Field, f.Right == flow.Require})
		}
	}
	return out
}

func openRemarks(st flow.State) []int {
	var out []int
	for _, m := range st.Remarks {
		if m.Blocking && !m.Resolved {
			out = append(out, m.N)
		}
	}
	return out
}

func (s *Service) windows(r *row, st flow.State, d *Definition, list []flow.Window) []Window {
	out := make([]Window, 0, len(list))
	for _, w := range list {
		t := st.Task(w.Task)
		x := Window{Task: taskID(r.ID, *t), Until: w.Until}
		if step := d.Flow.Step(t.Step); step != nil {
			x.Step = step.Title
		}
		out = append(out, x)
	}
	return out
}

func (s *Service) mayStop(ctx context.Context, r *row, st flow.State, d *Definition, me string, now time.Time) (bool, error) {
	seats := map[string]SeatExpr{}
	for _, src := range d.Flow.Policy.Stop {
		seats[src] = d.Seats[src]
	}
	reads := store.NewReads(s.db.R)
	found := askSeats(reads, seats, "", place{unit: r.Unit, requester: st.Requester, form: stored(r.Form)}, now)
	if err := reads.Run(ctx); err != nil {
		return false, err
	}
	var above []flow.Elector
	for _, people := range found() {
		above = append(above, people...)
	}
	return slices.ContainsFunc(flow.Stoppers(st, above), func(e flow.Elector) bool { return e.Person == me }), nil
}
