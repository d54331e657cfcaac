package workflow

import (
	"context"

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
	Scan           id.ID
	ScanSHA256     string // hex
	IdempotencyKey string
}

// RecordPaper enters a decision on paper for the elector of a task, where the
// definition allows it: by the office, and neither by the requester nor by the
// decider. The decider is told and may object (Disown).
func (s *Service) RecordPaper(ctx context.Context, actor org.Actor, in PaperInput) (Outcome, error) {
	decide := DecideInput{Task: in.Task, Verdict: in.Verdict, To: in.To, Comment: in.Comment, FormRev: in.FormRev}
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
		var cmd flow.Command = flow.Cast{By: by, Task: x.task.ID, Verdict: verdicts[decide.Verdict], FormRev: in.FormRev, Proved: true, Note: note}
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
