package flow

import "slices"

// edit takes an approving elector's new revision of the fields that the step
// lets him edit, and demands those that it requires. Other votes that had read
// them fall like after any edit; in the elector's own step they are asked again
// at once.
func (r *run) edit(step *Step, c Cast) error {
	form := r.st.Form()
	if c.Edit != nil {
		form = *c.Edit
	}
	if missing := lacking(step, form); len(missing) > 0 {
		return refuse(FieldRequired, "同意前请填写本步骤要求的内容", "fill in what this step requires before approving", Fields{missing})
	}
	if c.Edit == nil {
		return nil
	}
	if form.Rev != r.st.Rev()+1 {
		return r.stale(form.Rev - 1)
	}
	changed := diff(r.st.Form().Digests, form.Digests)
	fixed := slices.DeleteFunc(slices.Clone(changed), func(p string) bool {
		right := step.Right(p)
		return right == Edit || right == Require
	})
	if len(fixed) > 0 {
		return refuse(FieldFixed, "这一步不能修改这些内容，请退回修改", "this step does not edit these fields; send the request back", Fields{fixed})
	}
	if len(changed) == 0 {
		return nil
	}
	desk, err := canonicalDesk(c.Desk)
	if err != nil {
		return err
	}
	r.emit(Resubmitted{Form: form, Changed: changed, Desk: desk, Expires: micro(r.facts.Expires)})
	r.revise(changed, step.Name)
	return nil
}

// lacking are the fields that the step requires and the form does not hold.
func lacking(step *Step, form Form) []string {
	var out []string
	for _, f := range step.Fields {
		held := false
		for p := range form.Digests {
			held = held || within(p, f.Field)
		}
		if f.Right == Require && !held {
			out = append(out, f.Field)
		}
	}
	return out
}

// revise lets votes fall whose fields the newest revision changed, and carries
// the others. A step that loses a vote is asked anew, but for keep, whose
// electors are asked again in place.
func (r *run) revise(changed []string, keep string) {
	rev := r.st.Rev()
	var again []Opening
	for _, v := range slices.Clone(r.st.Votes) {
		if !v.Live {
			continue
		}
		touched := covered(r.st.Step(v.Step).Reads, changed)
		if len(touched) == 0 {
			r.emit(VoteCarried{Step: v.Step, Task: v.Task, From: rev - 1, To: rev})
			continue
		}
		r.emit(VoteLapsed{Step: v.Step, Task: v.Task, From: v.CastRev, To: rev, Changed: touched, Why: WhyChanged})
		ss := r.st.Step(v.Step)
		switch {
		case v.Step == keep:
			t := r.st.Task(v.Task)
			again = append(again, Opening{Task: taskID(keep, ss.Round, ss.Tasks+1+len(again)), Elector: t.Elector, Origin: ByUndo,
				Group: t.Group, Within: t.Within, Parent: t.ID})
		case ss.Status == StepOpen:
			r.drop(v.Step, WhyChanged)
		}
	}
	if len(again) > 0 {
		r.emit(Reopened{Step: keep, Round: r.st.Step(keep).Round, Tasks: again})
	}
}
