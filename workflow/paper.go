package workflow

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// PaperInput enters a decision that somebody made on paper. Scan is the file of
// the signed paper, which the recorder uploaded, with its digest.
type PaperInput struct {
	Task           id.ID
	Verdict        Verdict
	To             string
	Comment        string
	FormRev        int
	Fields         map[string]any // what an approval fills in
	Score          *int           // see DecideInput
	Scan           id.ID
	ScanSHA256     string // hex
	IdempotencyKey string
}

// RecordPaper enters a decision on paper for the elector of a task, where the
// definition allows it: by the office, and neither by the requester nor by the
// decider. The decider is told and may object (Disown).
func (s *Service) RecordPaper(ctx context.Context, actor org.Actor, in PaperInput) (Outcome, error) {
	decide := DecideInput{Task: in.Task, Verdict: in.Verdict, To: in.To, Comment: in.Comment, FormRev: in.FormRev, Fields: in.Fields}
	if err := decide.check(); err != nil {
		return Outcome{}, err
	}
	if in.Scan.IsZero() {
		return Outcome{}, fault.Refuse("SCAN_NEEDED", "请上传签字盖章的扫描件", "attach the scan of the signed paper").At("scan")
	}
	m := moves{mutation: "recordPaperDecision", key: in.IdempotencyKey, input: in, task: in.Task, action: "workflow.paper"}
	bind := func(*store.Tx) []id.ID { return []id.ID{in.Scan} }
	m.ask = func(x *move, r *store.Reads) {
		if s.Files != nil {
			bind = s.Files.AskAttach(r, x.judge.Person, x.row.ID, []Attachment{{File: in.Scan, SHA256: in.ScanSHA256}})
		}
	}
	return s.act(ctx, actor, m, func(ctx context.Context, x *move) error {
		if len(bind(x.tx)) > 0 {
			return fault.Refuse("FILE", "找不到这份扫描件，请重新上传", "the scan is not there or not yours; upload it again").At("scan")
		}
		elector := x.task.Elector
		by := flow.Actor{Person: elector.Person, Seat: elector.Seat, For: elector.For, Door: flow.Paper, Recorder: x.judge.Person.String(), Scan: in.ScanSHA256}
		x.scan = in.Scan.TypeID(refFile)
		note := x.note(decide.Comment)
		cast := flow.Cast{By: by, Task: x.task.ID, Verdict: verdicts[decide.Verdict], FormRev: in.FormRev, Proved: true, Note: note, Score: in.Score}
		if len(in.Fields) > 0 && in.FormRev == x.st.Rev() {
			if err := x.fillIn(ctx, in.Fields, &cast); err != nil {
				return err
			}
			var err error // the way may depend on what was filled in
			if x.facts, _, err = x.thread.facts(ctx, ""); err != nil {
				return err
			}
		}
		var cmd flow.Command = cast
		if decide.Verdict == SendBack {
			cmd = flow.SendBack{By: by, Task: x.task.ID, To: decide.To, FormRev: in.FormRev, Proved: true, Note: note}
		}
		if err := x.apply(ctx, cmd, x.facts); err != nil {
			return err
		}
		x.tellTasks(TopicRecorded, []string{x.task.ID}, false)
		return nil
	})
}

// PaperDesk is what the office needs to enter a signed paper.
type PaperDesk struct {
	Request   id.ID
	Number    string
	Kind      flow.Text
	Title     string
	Unit      string
	Requester string
	FormRev   int
	OpenedAt  time.Time
	Version   *Definition
	Tasks     []PaperTask
}

// PaperTask is a task that can be decided on paper.
type PaperTask struct {
	Task     id.ID
	Step     flow.Text
	Who      Who
	SendBack []string    // where the paper can send it back to
	Fill     []FillField // what an approval fills in
	Points   int         // the most that the answer gives; 0 = none are asked
}

// PaperByCode finds the request of a printed form by the code on it, for those
// who enter papers. Whoever asked or is asked does not enter his own; a code
// that was never given is fault.Missing, as for everybody else.
func (s *Service) PaperByCode(ctx context.Context, actor org.Actor, code string) (PaperDesk, error) {
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return PaperDesk{}, err
	}
	if err := s.rules.Check(a, "workflow.paper", org.Object{}); err != nil {
		return PaperDesk{}, err
	}
	v, err := s.VerifyCode(ctx, code)
	if err != nil {
		return PaperDesk{}, err
	}
	r, st, d, err := s.get(ctx, s.db.R, v.Request)
	if err != nil {
		return PaperDesk{}, err
	}
	view := viewer{svc: s, actor: a, row: r, st: st, def: d}
	if view.names, err = org.Names(ctx, s.db.R, view.people()...); err != nil {
		return PaperDesk{}, err
	}
	out := PaperDesk{Request: r.ID, Number: v.Number, Kind: v.Kind, Title: r.Title, Unit: r.Unit, FormRev: v.FormRev, OpenedAt: v.OpenedAt, Version: d,
		Requester: view.who(flow.Actor{Person: st.Requester}).Name}
	for _, t := range paperTasks(st, d, a.Person.String()) {
		step := d.Flow.Step(t.Step)
		out.Tasks = append(out.Tasks, PaperTask{Task: taskID(r.ID, t), Step: step.Title,
			Who: view.who(flow.Actor{Person: t.Elector.Person, Seat: t.Elector.Seat, For: t.Elector.For}), SendBack: view.targets(t.Step), Fill: FillOf(step), Points: st.Points(t)})
	}
	return out, nil
}

// paperTasks are the open tasks whose answer recorder may enter from paper.
func paperTasks(st flow.State, d *Definition, recorder string) []flow.Task {
	var out []flow.Task
	for _, t := range st.OpenTasks() {
		if step := d.Flow.Step(t.Step); step != nil && step.Paper && recorder != st.Requester && recorder != t.Elector.Person {
			out = append(out, t)
		}
	}
	return out
}
