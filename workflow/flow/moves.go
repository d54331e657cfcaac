package flow

import (
	"slices"
	"time"
)

func (r *run) sendBack(c SendBack) error {
	t, step, err := r.mine(c.Task, c.FormRev, c.Proved)
	if err != nil {
		return err
	}
	if targets := r.targets(step); !slices.Contains(targets, c.To) {
		return refuse(BadTarget, "不能退回到这一步", "it cannot be sent back there", Targets{targets})
	}
	if limit := r.def.Policy.MaxSendBack; limit > 0 && r.st.SendBacks >= limit {
		return refuse(TooManyReturns, "退回次数已到上限：请同意或不同意", "it was sent back too often; approve or reject", nil)
	}
	mode := c.Mode
	if mode == "" {
		mode = r.def.Policy.Mode
	}
	if mode != Redo {
		mode = ReturnToMe
	}
	r.emit(SentBack{Step: step.Name, Task: t.ID, To: c.To, Mode: mode, FormRev: c.FormRev, Note: c.Note})
	for _, name := range r.openSteps() {
		if c.To == Start || r.def.Precedes(c.To, name) {
			r.drop(name, WhySentBack)
		}
	}
	if c.To == Start {
		return nil
	}
	r.askAgain(c.To, mode)
	return r.advance()
}

// targets are where this step can be sent back to now: the requester, and
// earlier steps that were passed.
func (r *run) targets(step *Step) []string {
	var out []string
	for _, to := range step.SendBack {
		ss := r.st.Step(to)
		if to == Start || ss != nil && ss.Status == StepPassed && r.def.Precedes(to, step.Name) {
			out = append(out, to)
		}
	}
	return out
}

// askAgain takes out the votes of a step, for redo also those of all that
// follow it.
func (r *run) askAgain(to string, mode Mode) {
	why := WhySentBack
	if mode == Redo {
		why = WhyRedo
	}
	for _, v := range slices.Clone(r.st.Votes) {
		if v.Live && (v.Step == to || mode == Redo && r.def.Precedes(to, v.Step)) {
			r.emit(VoteLapsed{Step: v.Step, Task: v.Task, From: v.CastRev, To: r.st.Rev(), Why: why})
		}
	}
}

// resubmit is an edit: after a send-back, or by the requester while the
// request is open. Each vote falls only if something it read has changed.
func (r *run) resubmit(c Resubmit) error {
	if r.st.Status != Open && r.st.Status != Returned {
		return r.wrongState()
	}
	if c.By.Person != r.st.Requester {
		return refuse(NotRequester, "只有申请人可以修改申请", "only the requester edits the request", nil)
	}
	if c.Form.Rev != r.st.Rev()+1 {
		return r.stale(c.Form.Rev - 1)
	}
	desk, err := canonicalDesk(c.Desk)
	if err != nil {
		return err
	}
	redo := r.st.Back != nil && r.st.Back.Mode == Redo
	changed := diff(r.st.Form().Digests, c.Form.Digests)
	r.emit(Resubmitted{Form: c.Form, Changed: changed, Desk: desk, Note: c.Note, Expires: micro(r.facts.Expires)})
	if !redo {
		r.revise(changed, "")
		return r.advance()
	}
	for _, v := range slices.Clone(r.st.Votes) {
		if v.Live {
			r.emit(VoteLapsed{Step: v.Step, Task: v.Task, From: v.CastRev, To: c.Form.Rev, Changed: covered(r.st.Step(v.Step).Reads, changed), Why: WhyRedo})
		}
	}
	return r.advance()
}

func (r *run) withdraw(c Withdraw) error {
	days := time.Duration(r.def.Policy.WithdrawDays) * 24 * time.Hour
	late := r.st.Status == Approved && !r.now.After(r.st.ClosedAt.Add(days)) && days > 0
	if r.st.Status != Open && r.st.Status != Returned && !late {
		return r.wrongState()
	}
	if c.By.Person != r.st.Requester {
		return refuse(NotRequester, "只有申请人可以撤回申请", "only the requester withdraws the request", nil)
	}
	r.end(Withdrawn, c.Note)
	return nil
}
