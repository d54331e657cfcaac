package workflow

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// Verdict is what somebody says to a task.
type Verdict string

// The verdicts.
const (
	Approve  Verdict = "APPROVE"
	Reject   Verdict = "REJECT"
	Abstain  Verdict = "ABSTAIN"
	SendBack Verdict = "SEND_BACK"
)

// maxNote bounds a comment, in characters.
const maxNote = 2000

// DecideInput answers a task. FormRev is the revision the decider had before
// the eyes. To and Mode belong to SEND_BACK: "start" (the requester) or an
// earlier step, and what is asked again; an empty To is "start".
type DecideInput struct {
	Task           id.ID
	Verdict        Verdict
	To             string
	Mode           flow.Mode
	Comment        string
	FormRev        int
	Fields         map[string]any
	Score          *int // where the step's rule asks for points; nil: none
	IdempotencyKey string
}

// Decide answers a task. Refusals: those of package flow, with the details of
// refuse.go, and SEAT_ENDED, WRONG_SEAT. It takes at most four round trips:
// begin, the request under lock, the directory, writes with commit.
func (s *Service) Decide(ctx context.Context, actor org.Actor, in DecideInput) (Outcome, error) {
	if actor.Anonymous() {
		return Outcome{}, fault.SignIn()
	}
	if err := in.check(); err != nil {
		return Outcome{}, err
	}
	now, cal, err := s.now(ctx)
	if err != nil {
		return Outcome{}, err
	}
	return raced(store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "decideTask", in.IdempotencyKey, in).Ahead(), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		t, err := s.load(ctx, tx, byTask, in.Task, now, cal)
		if err != nil {
			return Outcome{}, err
		}
		return t.decide(ctx, actor, in, flow.Actor{Person: actor.Person.String(), Door: flow.Console}, false)
	}))
}

func (in *DecideInput) check() error {
	switch in.Verdict {
	case Approve, Abstain:
	case SendBack:
		if in.To == "" {
			in.To = flow.Start
		}
	case Reject:
	default:
		return fault.Input("verdict", "verdict 应为 APPROVE、REJECT、ABSTAIN 或 SEND_BACK", "verdict is APPROVE, REJECT, ABSTAIN or SEND_BACK")
	}
	if len(in.Fields) > 0 && in.Verdict != Approve {
		return fault.Input("fields", "只有同意时可以填写内容", "fields are filled in with an approval only")
	}
	if in.Mode != "" && in.Mode != flow.Redo && in.Mode != flow.ReturnToMe {
		return fault.Input("mode", "mode 应为 redo 或 return_to_me", "mode is redo or return_to_me")
	}
	return checkNote("comment", in.Comment, in.Verdict == Reject || in.Verdict == SendBack)
}

// checkNote bounds a comment; a no without a reason helps nobody.
func checkNote(field, text string, needed bool) error {
	text = strings.TrimSpace(text)
	switch {
	case utf8.RuneCountInString(text) > maxNote:
		return fault.Input(field, "不能超过 2000 字", "at most 2,000 characters")
	case needed && text == "":
		return fault.Refuse("REASON_NEEDED", "请写明理由", "say why").At(field)
	}
	return nil
}

// decide runs in the transaction of any door. by is who decides; proved that a
// second proof was given.
func (t *thread) decide(ctx context.Context, actor org.Actor, in DecideInput, by flow.Actor, proved bool) (Outcome, error) {
	t.actor, t.judge = actor.Person, actor
	task := t.byID(in.Task)
	if task == nil {
		return Outcome{}, fault.Missing()
	}
	mine := task.Elector.Person == by.Person
	if !mine {
		a, err := org.Judge(ctx, t.tx, actor, t.now)
		if err != nil {
			return Outcome{}, err
		}
		if !t.svc.canRead(a, &t.row, t.st) {
			return Outcome{}, fault.Missing()
		}
	}
	cast := flow.Cast{By: by, Task: task.ID, Verdict: verdicts[in.Verdict], FormRev: in.FormRev, Proved: proved, Score: in.Score}
	if mine && len(in.Fields) > 0 && in.FormRev == t.st.Rev() {
		if err := t.fillIn(ctx, in.Fields, &cast); err != nil {
			return Outcome{}, err
		}
	}
	facts, people, err := t.facts(ctx, task.Elector.Seat)
	if err != nil {
		return Outcome{}, err
	}
	if mine {
		if err := t.authority(actor, task, people); err != nil {
			return Outcome{}, err
		}
		t.seat = task.Elector.Seat
	}
	note := t.note(in.Comment)
	cast.Note = note
	var cmd flow.Command = cast
	if in.Verdict == SendBack {
		cmd = flow.SendBack{By: by, Task: task.ID, To: in.To, Mode: in.Mode, FormRev: in.FormRev, Proved: proved, Note: note}
	}
	if err := t.apply(ctx, cmd, facts); err != nil {
		return Outcome{}, err
	}
	if err := t.save("workflow."+strings.ToLower(string(in.Verdict)), false); err != nil {
		return Outcome{}, err
	}
	out := t.outcome()
	out.Decision = decisionID(t.row.ID, task.ID, t.now)
	return out, nil
}

// fillIn makes the next revision of the form with what an approver fills in.
func (t *thread) fillIn(ctx context.Context, fields map[string]any, cast *flow.Cast) error {
	r := store.NewReads(t.tx)
	personal := org.AskPersonal(r, t.row.ID)
	if err := r.Run(ctx); err != nil {
		return err
	}
	old := personal()[t.row.ID]
	values := t.filled.with(known(t.apart, old)).plainForm()
	for name, v := range fields {
		values[name] = v
	}
	form, err := t.fill(values, t.st.Rev()+1, old)
	if err != nil {
		return err
	}
	desk := t.askDesk(r)
	if err := r.Run(ctx); err != nil {
		return err
	}
	cast.Edit = &form
	cast.Desk, err = desk()
	return err
}

var verdicts = map[Verdict]flow.Verdict{Approve: flow.Approve, Reject: flow.Reject, Abstain: flow.Abstain, SendBack: flow.Return}

// byID finds a task by its identifier outside of the request.
func (t *thread) byID(task id.ID) *flow.Task {
	for i := range t.st.Tasks {
		if taskID(t.row.ID, t.st.Tasks[i]) == task {
			return &t.st.Tasks[i]
		}
	}
	return nil
}

// authority checks what the core cannot know: the token's scope, that the seat
// is still held at this moment, and under which of several seats one acts.
func (t *thread) authority(actor org.Actor, task *flow.Task, people found) error {
	if err := t.svc.rules.Check(actor, "workflow.decide", org.Object{Unit: t.row.Unit, Owner: t.row.Requester, Assignee: []id.ID{actor.Person}}); err != nil {
		return err
	}
	seat := task.Elector.Seat
	if actor.Acting != "" && actor.Acting != seat && task.State == flow.TaskOpen {
		return fault.Refuse("WRONG_SEAT", "这项待办请你以“"+seat+"”的身份办理，请先切换岗位", "this task asks you as "+seat+"; act under that seat")
	}
	if !people.holds(task.Elector) && task.State == flow.TaskOpen {
		return t.whoCan(fault.Refuse("SEAT_ENDED", "你已不在该岗位，不能再办理这项待办", "you no longer hold the seat that this task asks"), "", people[ownPrefix+seat])
	}
	return nil
}

// CommentInput is a remark on a request, or on one of its tasks.
type CommentInput struct {
	Request        id.ID
	Task           id.ID // zero = the request
	ReplyTo        int   // number of the remark that it answers; 0 = none
	Blocking       bool  // nobody approves before it is resolved
	Text           string
	IdempotencyKey string
}

// Comment adds a remark; whoever may read the request may.
func (s *Service) Comment(ctx context.Context, actor org.Actor, in CommentInput) (Outcome, error) {
	if err := checkNote("text", in.Text, true); err != nil {
		return Outcome{}, err
	}
	m := moves{mutation: "commentRequest", key: in.IdempotencyKey, input: in, request: in.Request, action: "workflow.comment", bare: true}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		name := ""
		if !in.Task.IsZero() {
			task := x.byID(in.Task)
			if task == nil {
				return fault.Missing().At("task")
			}
			name = task.ID
		}
		return x.apply(ctx, flow.Comment{By: x.by, Task: name, Reply: in.ReplyTo, Blocking: in.Blocking, Note: *x.note(in.Text)}, x.facts)
	})
}

// BulkOutcome is what became of one of several decisions.
type BulkOutcome struct {
	Task    id.ID
	Outcome Outcome
	Err     error
}

// maxBulk bounds how many tasks one command decides.
const maxBulk = 50

// DecideMany decides several tasks the same way, each by itself and with the
// same checks as one: what one refuses does not keep the others from being
// decided. The result has an entry for each, in the order of the input.
func (s *Service) DecideMany(ctx context.Context, actor org.Actor, list []DecideInput) ([]BulkOutcome, error) {
	if n := len(list); n == 0 || n > maxBulk {
		return nil, fault.Input("tasks", "一次可办理 1–50 项", "decide 1 to 50 tasks at a time")
	}
	for i, in := range list {
		if slices.ContainsFunc(list[:i], func(x DecideInput) bool { return x.Task == in.Task }) {
			return nil, fault.Input("tasks", "同一项待办写了两次", "a task is named twice")
		}
	}
	out := make([]BulkOutcome, len(list))
	for i, in := range list {
		o, err := s.Decide(ctx, actor, in)
		out[i] = BulkOutcome{Task: in.Task, Outcome: o, Err: err}
	}
	return out, nil
}
