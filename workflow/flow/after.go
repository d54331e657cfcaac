package flow

import "slices"

// AmendBase is what an amendment starts from: the approved request, by its
// identifier and the head of its chain.
func AmendBase(request, head string, st State) *Base {
	b := &Base{Request: request, Head: head, Rev: st.Rev()}
	for _, ss := range st.Steps {
		if ss.Status != StepPassed {
			continue
		}
		step := BaseStep{Step: ss.Name, Read: ReadDigest(ss.Reads, st.Form()), Rule: ss.Rule, Reads: ss.Reads}
		for _, v := range st.Votes {
			if v.Live && v.Step == ss.Name && v.Within == "" {
				step.Votes = append(step.Votes, CarriedVote{Task: v.Task, Elector: v.Elector, By: v.By, Verdict: v.Verdict, Silent: v.Silent, Score: v.Score})
			}
		}
		b.Steps = append(b.Steps, step)
	}
	return b
}

// carry passes a step of an amendment that nothing has changed for. It is
// asked the first time only: a step that was sent back is asked again.
func (r *run) carry(s *Step) bool {
	if r.st.Amends == nil {
		return false
	}
	b := r.base(s)
	if b == nil || slices.ContainsFunc(b.Votes, func(v CarriedVote) bool { return !v.Silent && r.overtaken(s.Name, v) }) {
		return false
	}
	r.emit(StepCarried{Step: b.Step, Rule: b.Rule, Reads: some(b.Reads), Votes: b.Votes})
	return true
}

// overtaken says that somebody behind a vote of the amended request may not
// decide the step of the amendment: a rule keeps him out, or he has decided
// meanwhile what needs somebody else.
func (r *run) overtaken(step string, v CarriedVote) bool {
	return slices.ContainsFunc([]Elector{v.Elector, {Person: v.By.Person, For: v.By.For}}, func(e Elector) bool {
		return r.keptOut(step, e) || r.conflict(step, e) != ""
	})
}

// base is the step of the approved request, if nothing that it read is other in
// the amendment.
func (r *run) base(s *Step) *BaseStep {
	for i := range r.st.Amends.Steps {
		b := &r.st.Amends.Steps[i]
		if b.Step == s.Name && len(b.Votes) > 0 && b.Rule.Kind != Objection && b.Read == ReadDigest(b.Reads, r.st.Form()) {
			return b
		}
	}
	return nil
}

// stop ends what was approved, at once.
func (r *run) stop(c Stop) error {
	if r.st.Status != Approved && r.st.Status != Open {
		return r.wrongState()
	}
	can := Stoppers(r.st, r.facts.Stop)
	i := slices.IndexFunc(can, func(e Elector) bool { return e.Person == c.By.Person && c.By.Person != "" })
	if i < 0 {
		return refuse(NotStoppable, "只有审批过的岗位和上级可以叫停", "only those who decided, and those above them, can stop it", Who{can})
	}
	r.by.Seat, r.by.For = can[i].Seat, can[i].For
	r.end(Stopped, c.Note)
	return nil
}

func (r *run) supersede(c Supersede) error {
	if r.st.Status != Approved {
		return nil // stopped meanwhile, or told twice
	}
	r.emit(Closed{Status: Superseded, By: c.Request})
	return nil
}

func (r *run) closeOut(c CloseOut) error {
	if r.st.Status != Approved || r.st.CloseOut == nil {
		return refuse(NoCloseOut, "这份申请不需要结项，或还没有通过", "this request owes no report, or is not approved", nil)
	}
	if c.By.Person != r.st.Requester {
		return refuse(NotRequester, "只有申请人可以提交结项材料", "only the requester closes it out", nil)
	}
	r.emit(ClosedOut{Report: c.Report, Note: c.Note})
	return nil
}
