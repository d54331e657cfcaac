package workflow

import (
	"context"
	"maps"
	"slices"
	"time"

	"kelian/internal/audit"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// Who is somebody in a request, as its readers see them.
type Who struct {
	Person id.ID
	Name   string
	Seat   string // under which, "" = as oneself
	For    id.ID  // on whose behalf, zero = one's own
}

// View is a request as one reader sees it.
type View struct {
	Summary
	Requester  Who
	Form       flow.JSON  // without hidden and personal leaves
	Hidden     []string   // pointers that this reader does not see
	Personal   []string   // pointers of personal leaves; see Service.Personal
	Desk       []DeskFact // what the desks knew at the newest submission
	Revisions  []RevisionView
	Steps      []StepView // those that were opened, in the order of opening
	Remarks    []Remark
	Back       *Remark // the send-back that waits for an answer
	BackTo     string
	Mine       *TaskView // the reader's open task, the first of them
	SendBack   []string  // where the reader may send it back to
	Resubmit   bool      // the reader may
	Withdraw   bool      // the reader may
	Whole      bool      // nothing but personal values is kept from the reader; see Service.Export
	VerifyCode string
	Seq        int64
	Head       string // of the chain of events
	// Version is the text that the request is pinned to.
	Version *Definition
	Report  *ReportView // what was handed in after approval; nil = none
	// SupersededBy is the amendment that took the request's place; zero = none.
	SupersededBy id.ID

	made *viewer // what Requirements are made of
}

// DeskFact is what a desk answered, as JSON.
type DeskFact struct {
	Name  string
	Value flow.JSON
}

// RevisionView is a revision with what it changed against the one before.
type RevisionView struct {
	Rev     int
	At      time.Time
	Changes []Change // of the first: none
}

// StepView is the newest round of a step.
type StepView struct {
	Name      string
	Title     flow.Text
	Round     int
	Status    flow.StepStatus
	Rule      flow.Rule
	Tally     flow.Tally
	OpenedAt  time.Time
	SettledAt time.Time
	DueAt     time.Time
	DueRule   DueRule // by which DueAt was reckoned
	Overdue   bool
	Tasks     []TaskView // of every round
	Excluded  []ExclusionView
}

// ExclusionView is somebody who may not decide the step, with the rule.
type ExclusionView struct {
	Who
	Why  flow.Code
	Step string
}

// TaskView is one person's share of a step.
type TaskView struct {
	ID       id.ID
	Step     string
	Round    int
	Who      Who
	State    flow.TaskState
	Origin   flow.Origin
	OpenedAt time.Time
	DueAt    time.Time
	ClosedAt time.Time
	ClosedBy id.ID
	Points   int           // the most that the answer gives; 0 = none are asked
	Decision *DecisionView // of a done task
}

// DecisionView is an answer and whether it still counts. CastRev is the form
// revision that was decided on, Rev the newest it holds for: Carried says that
// they differ, or that an earlier round's answer was taken over.
type DecisionView struct {
	ID      id.ID
	By      Who
	Verdict flow.Verdict
	To      string // of a send-back
	Comment string
	At      time.Time
	Door    flow.Door
	Scan    string // of a paper: the digest of its scan
	CastRev int
	Rev     int
	Score   *int // the points given; nil: the step asks for none
	Live    bool
	Carried bool
	Silent  bool
	Why     flow.Why
	Changed []string // pointers it had read and that changed
}

// Request shows one request to somebody who may see it.
func (s *Service) Request(ctx context.Context, actor org.Actor, request id.ID) (View, error) {
	r, st, d, a, err := s.open(ctx, actor, request)
	if err != nil {
		return View{}, err
	}
	return s.view(ctx, a, r, st, d)
}

// Look is a request with all that one reader does with it, of one reading.
type Look struct {
	View
	Moves Moves
	Why   Explanation // of an open request; a closed one waits for nobody
}

// Look shows one request, what the reader may do with it and why it waits.
func (s *Service) Look(ctx context.Context, actor org.Actor, request id.ID) (Look, error) {
	r, st, d, a, err := s.open(ctx, actor, request)
	if err != nil {
		return Look{}, err
	}
	var out Look
	if out.View, err = s.view(ctx, a, r, st, d); err != nil {
		return Look{}, err
	}
	if out.Moves, err = s.moves(ctx, a, r, st, d); err != nil || st.Status != flow.Open {
		return out, err
	}
	out.Why, err = s.explain(ctx, a, r, st, d)
	return out, err
}

// Filled are the fields that hold something, as far as the reader sees them.
func (v *View) Filled() []PrintField {
	return v.Version.Form.filled(stored(string(v.Form)), append(append([]string{}, v.Hidden...), v.Personal...))
}

func (s *Service) view(ctx context.Context, a org.Actor, r *row, st flow.State, d *Definition) (View, error) {
	return s.viewAt(ctx, a, r, st, d, "")
}

// viewAt is view of somebody who came for one task; "" = for the request.
func (s *Service) viewAt(ctx context.Context, a org.Actor, r *row, st flow.State, d *Definition, task string) (View, error) {
	summary, err := s.summary(ctx, r)
	if err != nil {
		return View{}, err
	}
	v := &viewer{svc: s, actor: a, row: r, st: st, def: d, came: task, hidden: s.hiddenTo(a, d, r, st)}
	if err := s.readFor(ctx, []*viewer{v}); err != nil {
		return View{}, err
	}
	return v.view(summary)
}

// view builds the View once what it needs was read.
func (v *viewer) view(summary Summary) (View, error) {
	r, st := v.row, v.st
	form := stored(r.Form)
	var strip []string
	for _, p := range sortedLeaves(form) {
		if below(p, v.hidden) {
			strip = append(strip, p)
		}
	}
	out := View{Summary: summary, Whole: len(v.hidden) == 0, Requester: v.who(flow.Actor{Person: st.Requester}), Form: form.without(strip).JSON, Hidden: v.hidden,
		Personal: sortedKeys(readApart(r.Apart)), Remarks: v.remarks(), VerifyCode: r.VerifyCode, Seq: r.Seq, Head: r.Head,
		Version: v.def, Report: v.reportView(), SupersededBy: personID(st.By), made: v}
	for _, name := range sortedKeys(st.Desk) {
		out.Desk = append(out.Desk, DeskFact{name, st.Desk[name]})
	}
	var err error
	if out.Revisions, err = v.revisions(); err != nil {
		return View{}, err
	}
	for i := range st.Steps {
		out.Steps = append(out.Steps, v.step(&st.Steps[i]))
	}
	v.abilities(&out)
	return out, nil
}

// viewer builds a View out of what readFor has read.
type viewer struct {
	svc    *Service
	actor  org.Actor
	row    *row
	st     flow.State
	def    *Definition
	came   string // the task that the reader came for; "" = none
	hidden []string
	revs   []revisionRow
	events []flow.Event
	report *closeOutRow
	texts  map[string]string // personal rows of the request
	names  map[id.ID]string
}

// people is everybody who is named.
func (v *viewer) people() []id.ID {
	var out []id.ID
	add := func(all ...string) {
		for _, p := range all {
			if x := personID(p); !x.IsZero() && !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
	}
	add(v.st.Requester)
	for _, t := range v.st.Tasks {
		add(t.Elector.Person, t.Elector.For, t.ClosedBy)
	}
	for _, s := range v.st.Steps {
		for _, x := range s.Excluded {
			add(x.Elector.Person)
		}
	}
	for _, ev := range v.events {
		add(ev.By.Person)
		if b, ok := ev.Body.(flow.Copied); ok {
			add(b.People...)
		}
	}
	return out
}

func (v *viewer) who(by flow.Actor) Who {
	w := Who{Person: personID(by.Person), Seat: by.Seat, For: personID(by.For)}
	if by.Person != "" {
		w.Name = v.names[w.Person]
	}
	return w
}

func (v *viewer) text(n *flow.Note) string {
	if n == nil {
		return ""
	}
	if t, ok := v.texts[n.Ref]; ok {
		return t
	}
	return org.Erased
}

func (v *viewer) step(ss *flow.StepState) StepView {
	out := StepView{Name: ss.Name, Title: flow.Text{Zh: ss.Name, En: ss.Name}, Round: ss.Round, Status: ss.Status, Rule: ss.Rule,
		Tally: v.st.Tally(ss.Name), OpenedAt: ss.OpenedAt, SettledAt: ss.SettledAt, DueAt: ss.Due.At, DueRule: ReadDueRule(ss.Due.By), Overdue: ss.Overdue}
	if s := v.def.Flow.Step(ss.Name); s != nil {
		out.Title = s.Title
	}
	for _, t := range v.st.Tasks {
		if t.Step == ss.Name {
			out.Tasks = append(out.Tasks, v.task(t))
		}
	}
	for _, x := range ss.Excluded {
		out.Excluded = append(out.Excluded, ExclusionView{v.who(flow.Actor{Person: x.Elector.Person, Seat: x.Elector.Seat}), x.Why, x.Step})
	}
	return out
}

func (v *viewer) task(t flow.Task) TaskView {
	out := TaskView{ID: taskID(v.row.ID, t), Step: t.Step, Round: t.Round, Who: v.who(flow.Actor{Person: t.Elector.Person, Seat: t.Elector.Seat, For: t.Elector.For}),
		State: t.State, Origin: t.Origin, OpenedAt: t.OpenedAt, DueAt: t.DueAt, ClosedAt: t.ClosedAt, ClosedBy: personID(t.ClosedBy), Points: v.st.Points(t)}
	if t.State != flow.TaskDone {
		return out
	}
	if vote := v.st.Vote(t.ID); vote != nil {
		out.Decision = &DecisionView{ID: decisionID(v.row.ID, t.ID, t.ClosedAt), By: v.who(vote.By), Verdict: vote.Verdict, Comment: v.text(vote.Note),
			At: vote.At, Door: vote.By.Door, Scan: vote.By.Scan, CastRev: vote.CastRev, Rev: vote.Rev, Live: vote.Live, Carried: vote.Carried(), Silent: vote.Silent,
			Why: vote.Why, Changed: vote.Changed}
		if out.Points > 0 && !vote.Silent && vote.Verdict != flow.Abstain {
			out.Decision.Score = &vote.Score
		}
		return out
	}
	for _, ev := range v.events {
		if b, ok := ev.Body.(flow.SentBack); ok && b.Task == t.ID {
			out.Decision = &DecisionView{ID: decisionID(v.row.ID, t.ID, t.ClosedAt), By: v.who(ev.By), Verdict: flow.Return, To: b.To,
				Comment: v.text(b.Note), At: ev.At, Door: ev.By.Door, Scan: ev.By.Scan, CastRev: b.FormRev, Rev: b.FormRev}
		}
	}
	return out
}

func (v *viewer) revisions() ([]RevisionView, error) {
	out := make([]RevisionView, 0, len(v.revs))
	for i := range v.revs {
		x := RevisionView{Rev: v.revs[i].Rev, At: v.revs[i].At}
		if i > 0 {
			var err error
			if x.Changes, err = compare(v.def, &v.revs[i-1], &v.revs[i], v.hidden); err != nil {
				return nil, err
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// abilities says what the reader can do now.
func (v *viewer) abilities(out *View) {
	me := v.actor.Person.String()
	running := v.st.Status == flow.Open || v.st.Status == flow.Returned
	out.Resubmit = running && me == v.st.Requester
	out.Withdraw = out.Resubmit
	for _, t := range v.st.OpenTasks() {
		if t.Elector.Person == me && (v.came == "" || v.came == t.ID) && (v.actor.Acting == "" || v.actor.Acting == t.Elector.Seat) {
			x := v.task(t)
			out.Mine = &x
			out.SendBack = v.targets(t.Step)
			break
		}
	}
	if b := v.st.Back; b != nil {
		for _, ev := range v.events {
			if sb, ok := ev.Body.(flow.SentBack); ok && sb.Task == b.Task {
				t := v.st.Task(b.Task)
				out.Back, out.BackTo = &Remark{By: v.who(ev.By), At: ev.At, Text: v.text(b.Note), Task: taskID(v.row.ID, *t), Act: "sent_back"}, b.To
			}
		}
	}
}

// targets are where the step can be sent back to now; the core has the last
// word.
func (v *viewer) targets(step string) []string {
	s := v.def.Flow.Step(step)
	if s == nil {
		return nil
	}
	var out []string
	for _, to := range s.SendBack {
		if ss := v.st.Step(to); to == flow.Start || ss != nil && ss.Status == flow.StepPassed && v.def.Flow.Precedes(to, step) {
			out = append(out, to)
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// sortedLeaves are the pointers of a form's leaves.
func sortedLeaves(f Filled) []string {
	leaves, err := flow.Leaves([]byte(f.JSON))
	if err != nil {
		return nil // what is stored was cut into leaves before
	}
	return sortedKeys(leaves)
}

func readEvents(rows []eventRow) ([]flow.Event, error) {
	out := make([]flow.Event, len(rows))
	for i := range rows {
		if err := out[i].UnmarshalJSON([]byte(rows[i].Body)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Personal shows the personal leaves of a request's form, by pointer, to its
// requester and to those who have to decide now; every look but the
// requester's own is recorded.
func (s *Service) Personal(ctx context.Context, actor org.Actor, request id.ID) (map[string]flow.JSON, error) {
	r, st, d, a, err := s.open(ctx, actor, request)
	if err != nil {
		return nil, err
	}
	o := org.Object{Unit: r.Unit, Owner: r.Requester, Assignee: openTasks(st), State: string(st.Status)}
	if err := s.rules.Check(a, "workflow.personal", o); err != nil {
		return nil, err
	}
	hidden := s.hiddenTo(a, d, r, st)
	now := s.clock.Now()
	out := map[string]flow.JSON{}
	_, err = store.InTx(ctx, s.db, store.Internal("personalOfRequest"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		values, err := org.PersonalOf(ctx, tx, r.ID)
		if err != nil {
			return struct{}{}, err
		}
		clear(out)
		for pointer, v := range known(readApart(r.Apart), values[r.ID]) {
			if !below(pointer, hidden) {
				out[pointer] = flow.JSON(v)
			}
		}
		if a.Person != r.Requester && len(out) > 0 {
			audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: "workflow.personal", Object: r.ref(), Data: map[string]any{"fields": sortedKeys(out)}, At: now})
		}
		return struct{}{}, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Event is one event of a request as stored.
type Event struct {
	Seq        int64
	Type       string
	At         time.Time
	Prev, Hash string
}

// Events lists a request's chain for somebody who may see the request: types
// and hashes, not what the events hold.
func (s *Service) Events(ctx context.Context, actor org.Actor, request id.ID) ([]Event, error) {
	if _, _, _, _, err := s.open(ctx, actor, request); err != nil {
		return nil, err
	}
	var out []Event
	err := s.db.R.NewRaw(`SELECT seq, type, at, prev, hash FROM event WHERE request_id = ? ORDER BY seq`, request).Scan(ctx, &out)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	return out, nil
}
