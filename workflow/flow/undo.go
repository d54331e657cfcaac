package flow

import (
	"slices"
	"time"
)

// UndoWithin is how long a vote can be taken back, DisownWithin how long a
// decision entered from paper can be disowned (about three working days).
const (
	UndoWithin   = 10 * time.Minute
	DisownWithin = 5 * 24 * time.Hour
)

// undo takes one's own vote back as long as nobody relies on it.
func (r *run) undo(c Undo) error {
	v := r.st.Vote(c.Task)
	if err := r.mayUndo(v, c.By.Person); err != nil {
		return err
	}
	if step := r.def.Step(v.Step); step != nil {
		if err := r.door(step, c.Proved); err != nil {
			return err
		}
	}
	return r.reopen(v, WhyUndone)
}

func (r *run) mayUndo(v *Vote, person string) error {
	if v == nil || person == "" || v.By.Person != person || v.CarriedFrom != "" || v.Silent {
		return refuse(NotYours, "只能撤销自己刚作出的决定", "one takes back one's own vote only", nil)
	}
	if !v.Live || r.st.Status != Open || v.CastRev != r.st.Rev() || r.now.After(v.At.Add(UndoWithin)) || r.reliedOn(v) {
		return refuse(UndoTooLate, "已超过 10 分钟，或后面已有人据此办理，不能撤销", "it is more than 10 minutes ago, or somebody has gone on from it", nil)
	}
	return nil
}

// disown takes out a decision that was entered from paper, by the person in
// whose name it was.
func (r *run) disown(c Disown) error {
	v := r.st.Vote(c.Task)
	if err := r.mayDisown(v, c.By.Person); err != nil {
		return err
	}
	if r.st.Status == Returned { // the vote falls; who is asked again shows on resubmission
		r.emit(VoteLapsed{Step: v.Step, Task: v.Task, From: v.CastRev, To: r.st.Rev(), Why: WhyObjected})
		return nil
	}
	return r.reopen(v, WhyObjected)
}

func (r *run) mayDisown(v *Vote, person string) error {
	if v == nil || person == "" || v.By.Person != person || v.By.Door != Paper {
		return refuse(NotYours, "只有本人能对录入的纸质意见提出异议", "only the person named can object to a decision from paper", nil)
	}
	if !v.Live || r.st.Status.Final() || r.now.After(v.At.Add(DisownWithin)) {
		return refuse(UndoTooLate, "申请已办结或已过异议期，请联系办公室", "the request is closed or the time to object is over; ask the office", nil)
	}
	return nil
}

// reliedOn says that somebody decided in a step that came after the vote's, or
// was asked by an after-signer of it.
func (r *run) reliedOn(v *Vote) bool {
	for _, o := range r.st.Votes {
		later := o.Seq > v.Seq && !o.Silent && o.CarriedFrom == ""
		if later && (r.def.Precedes(v.Step, o.Step) || o.Within != "" && r.st.group(o.Within).Parent == v.Task) {
			return true
		}
	}
	return false
}

// reopen lapses a vote. A step that is still open asks the voter again in the
// same place; one that had passed is asked in a new round, in which the other
// votes are kept.
func (r *run) reopen(v *Vote, why Why) error {
	task := *r.st.Task(v.Task)
	at := task.ClosedAt
	open := r.st.Step(v.Step).Status == StepOpen
	r.emit(VoteLapsed{Step: v.Step, Task: v.Task, From: v.CastRev, To: r.st.Rev(), Why: why})
	if !open {
		return r.advance()
	}
	ss := r.st.Step(v.Step)
	ev := Reopened{Step: v.Step, Round: ss.Round}
	again := func(t Task) {
		ev.Tasks = append(ev.Tasks, Opening{Task: taskID(t.Step, ss.Round, ss.Tasks+1+len(ev.Tasks)), Elector: t.Elector, Origin: ByUndo,
			Group: t.Group, Within: t.Within, Parent: t.ID})
	}
	again(task)
	for _, t := range slices.Clone(r.st.Tasks) {
		if task.Group != "" && t.Group == task.Group && t.State == TaskVoid && t.ClosedAt.Equal(at) {
			again(t)
		}
	}
	for i := range r.st.Groups { // who was to be heard after the vote is heard no more
		if g := r.st.Groups[i]; g.Parent == task.ID && g.Outcome == Undecided {
			r.emit(SignersDone{Group: g.ID, Outcome: Dropped, Tally: r.st.GroupTally(g.ID), Void: r.within(g.ID)})
		}
	}
	r.emit(ev)
	r.judge(v.Step)
	return r.advance()
}
