package flow

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Decide turns a command into the events that it causes, or refuses it with a
// *Refusal. Any other error is a fault of the caller: facts that lack an
// entry, or a definition that is not the request's own. A command without
// consequence (a stale timer) gives no events and no error.
func Decide(def *Definition, st State, cmd Command, facts Facts) ([]Event, error) {
	_, events, err := Next(def, st, cmd, facts)
	return events, err
}

// Next is Decide with the state that the events lead to; st is left as it was.
func Next(def *Definition, st State, cmd Command, facts Facts) (State, []Event, error) {
	if _, moves := cmd.(Migrate); st.Status != New && st.Hash != def.Hash && !moves {
		return st, nil, fmt.Errorf("flow: the request is pinned to version %.12s, not %.12s", st.Hash, def.Hash)
	}
	r := &run{def: def, st: st.clone(), facts: facts, now: micro(facts.Now), by: cmd.actor()}
	var err error
	switch c := cmd.(type) {
	case Submit:
		err = r.submit(c)
	case Cast:
		err = r.vote(c)
	case SendBack:
		err = r.sendBack(c)
	case Resubmit:
		err = r.resubmit(c)
	case Withdraw:
		err = r.withdraw(c)
	case Fire:
		err = r.fire(c.Timer)
	case Comment:
		err = r.comment(c)
	case Refresh:
		err = r.refresh()
	default:
		err = r.move(cmd)
	}
	if err != nil {
		return st, nil, err
	}
	return r.st, r.out, nil
}

// run is one Decide at work: st is always the fold of the given events and
// out, because emit applies what it appends.
type run struct {
	def   *Definition
	st    State
	facts Facts
	now   time.Time
	by    Actor
	out   []Event
}

func (r *run) emit(b Body) {
	ev := Event{At: r.now, By: r.by, Body: b}
	r.st.apply(ev)
	r.out = append(r.out, ev)
}

func (r *run) submit(c Submit) error {
	if r.st.Status != New {
		return r.wrongState()
	}
	if c.Form.Rev != 1 || c.By.Person == "" {
		return fmt.Errorf("flow: a submission has a person and form revision 1")
	}
	desk, err := canonicalDesk(c.Desk)
	if err != nil {
		return err
	}
	r.emit(Submitted{Key: r.def.Key, Hash: r.def.Hash, Requester: c.By.Person, Form: c.Form, Desk: desk, Amends: c.Base, Expires: micro(r.facts.Expires)})
	r.copyTo(r.facts.CC, nil)
	if err := r.advance(); err != nil {
		return err
	}
	for i := range r.st.Steps {
		if err := r.vacant(&r.st.Steps[i]); err != nil {
			return err
		}
	}
	return nil
}

// vacant refuses an open step that can never be answered.
func (r *run) vacant(ss *StepState) error {
	if ss.Status != StepOpen || ss.Rule.Short(r.st.Tally(ss.Name)) == 0 {
		return nil
	}
	step := r.def.Step(ss.Name)
	return refuse(NobodyToAsk,
		"“"+step.Title.Zh+"”这一步现在找不到足够的审批人，还不能办理。请联系办公室补上岗位",
		"the step “"+step.Title.En+"” finds too few people to ask; have the office fill the seat first",
		Vacant{Step: ss.Name, Ask: step.Ask})
}

// canonicalDesk spells the desks' facts as the chain does; an empty map is nil,
// as JSON makes it on the way back.
func canonicalDesk(desk map[string]JSON) (map[string]JSON, error) {
	if len(desk) == 0 {
		return nil, nil
	}
	out := make(map[string]JSON, len(desk))
	for name, v := range desk {
		var c JSON
		if err := c.UnmarshalJSON([]byte(v)); err != nil {
			return nil, fmt.Errorf("flow: the fact %s: %w", name, err)
		}
		out[name] = c
	}
	return out, nil
}

func (r *run) vote(c Cast) error {
	t, step, err := r.mine(c.Task, c.FormRev, c.Proved)
	if err != nil {
		return err
	}
	ss := r.st.Step(t.Step)
	if ss.Rule.Kind == Objection {
		return refuse(ObjectionOnly, "公示期内只能提出异议（退回）", "during the objection window one can only object, by sending back", nil)
	}
	switch c.Verdict {
	case Approve:
		if open := r.unresolved(); len(open) > 0 {
			return refuse(Unresolved, "还有必须处理的意见没有处理", "remarks that must be resolved are open", Remarks{open})
		}
		if err := r.edit(step, c); err != nil {
			return err
		}
	case Reject:
	case Abstain:
		if err := r.mayAbstain(ss, t); err != nil {
			return err
		}
	default:
		return fmt.Errorf("flow: unknown verdict %q", c.Verdict)
	}
	score, err := score(r.st.Points(*t), c)
	if err != nil {
		return err
	}
	r.emit(VoteCast{Step: step.Name, Task: t.ID, Verdict: c.Verdict, FormRev: r.st.Rev(),
		Read: ReadDigest(r.st.Step(step.Name).Reads, r.st.Form()), Note: c.Note, Score: score})
	r.judge(step.Name)
	return r.advance()
}

// score is what the voter gave, where points are asked for, at most so many.
func score(points int, c Cast) (int, error) {
	if points == 0 || c.Verdict == Abstain {
		return 0, nil
	}
	if c.Score == nil || *c.Score < 0 || *c.Score > points {
		most := strconv.Itoa(points)
		return 0, refuse(ScoreNeeded, "请打分：0 到 "+most+" 之间的整数", "give a score: a whole number from 0 to "+most, nil)
	}
	return *c.Score, nil
}

func (r *run) mayAbstain(ss *StepState, t *Task) error {
	if !ss.Rule.Abstain || t.Within != "" {
		return refuse(NoAbstain, "这一步不能弃权：请同意、不同意或退回修改", "this step takes no abstention: approve, reject or send back", nil)
	}
	tally := r.st.Tally(ss.Name)
	if tally.Approve+tally.Reject == 0 && tally.Open == t.Elector.weight() {
		return refuse(LastVote, "其他人都已弃权，你是最后一位，请表示同意或不同意", "everybody else abstained; the last one has to approve or reject", nil)
	}
	return nil
}

// mine finds the task and says why the actor may not settle it.
func (r *run) mine(id string, formRev int, proved bool) (*Task, *Step, error) {
	t := r.st.Task(id)
	if t == nil {
		return nil, nil, refuse(NoSuchTask, "没有这项待办", "there is no such task", nil)
	}
	step := r.def.Step(t.Step)
	if step == nil { // gone with a migration, and its tasks with it
		return nil, nil, r.notOpen(t, formRev)
	}
	if r.by.Person == "" || t.Elector.Person != r.by.Person {
		return nil, nil, r.notYours(t)
	}
	if r.def.Policy.NotRequester && (t.Elector.Person == r.st.Requester || t.Elector.For == r.st.Requester) {
		return nil, nil, r.selfApproval(t.Step)
	}
	if why, barred := r.barred(t.Step, t.Elector); barred {
		return nil, nil, r.refuseBarred(t.Step, why)
	}
	if t.State != TaskOpen {
		return nil, nil, r.notOpen(t, formRev)
	}
	if formRev != r.st.Rev() {
		return nil, nil, r.stale(formRev)
	}
	if other := r.conflict(step.Name, t.Elector); other != "" {
		return nil, nil, r.notDistinct(step.Name, other)
	}
	if err := r.door(step, proved); err != nil {
		return nil, nil, err
	}
	r.by.Seat, r.by.For = t.Elector.Seat, t.Elector.For
	return t, step, nil
}

func (r *run) notYours(t *Task) error {
	if r.def.Policy.NotRequester && r.by.Person == r.st.Requester {
		return r.selfApproval(t.Step)
	}
	for _, x := range r.st.Step(t.Step).Excluded {
		if x.Elector.Person != r.by.Person {
			continue
		}
		if x.Why == NotDistinct {
			return r.notDistinct(t.Step, x.Step)
		}
		return r.refuseBarred(t.Step, x.Why)
	}
	return refuse(NotYourTask, "这项待办不是你的", "this task is not yours", Who{r.who(t.Step)})
}

// who are the electors with an open task in the step.
func (r *run) who(step string) []Elector {
	var out []Elector
	for _, t := range r.st.Tasks {
		if t.Step == step && t.State == TaskOpen && t.Elector.Person != r.by.Person {
			out = append(out, t.Elector)
		}
	}
	return out
}

func (r *run) selfApproval(step string) error {
	return refuse(SelfApproval, "不能审批自己的申请", "nobody decides on a request of his own", Who{r.who(step)})
}

// barred says whether a relation to the request keeps the elector, or the one
// he stands for, out of the step.
func (r *run) barred(step string, e Elector) (Code, bool) {
	if why, ok := r.facts.Barred[step][e.Person]; ok {
		return why, true
	}
	why, ok := r.facts.Barred[step][e.For]
	return why, ok && e.For != ""
}

func (r *run) refuseBarred(step string, why Code) error {
	if why == SameUnit {
		return refuse(SameUnit, "申请单位的人不能审批这一步", "people of the requesting unit do not decide this step", Who{r.who(step)})
	}
	return refuse(Interested, "你与这份申请有利害关系，须由别人审批", "you have an interest in this request; somebody else has to decide", Who{r.who(step)})
}

func (r *run) notDistinct(step, other string) error {
	zh, en := other, other
	if s := r.def.Step(other); s != nil {
		zh, en = s.Title.Zh, s.Title.En
	}
	return refuse(NotDistinct, "你已经审批过“"+zh+"”，这一步须由另一个人审批",
		"you decided “"+en+"”; this step needs another person", Conflict{Step: other, Who: r.who(step)})
}

func (r *run) notOpen(t *Task, formRev int) error {
	v := r.st.Vote(t.ID)
	overtaken := t.State == TaskVoid || v != nil && !v.Live
	if r.st.Status == Open && formRev < r.st.Rev() && overtaken {
		return r.stale(formRev)
	}
	return refuse(AlreadySettled, "这项待办已经办结", "this task is settled already", Settled{By: t.ClosedBy, At: t.ClosedAt})
}

func (r *run) stale(read int) error {
	return refuse(StaleForm, "申请内容已经修改，请看过改动再审批", "the form was changed; look at what changed and decide again",
		Stale{Read: read, Current: r.st.Rev(), Changes: r.st.Changes(read, r.st.Rev())})
}

func (r *run) wrongState() error {
	if r.st.Status.Final() {
		return refuse(AlreadySettled, "这份申请已经办结", "the request is closed", Settled{By: r.st.ClosedBy, At: r.st.ClosedAt})
	}
	return refuse(WrongState, "申请现在不能这样办理", "the request does not take this now", r.st.Status)
}

// door checks the way in (three ways to decide, one record).
func (r *run) door(step *Step, proved bool) error {
	switch r.by.Door {
	case Link:
		if !step.Link {
			return refuse(DoorClosed, "这一步不能用链接办理，请登录", "this step is not decided by link; sign in", nil)
		}
		if step.Strong && !proved {
			return refuse(NeedsProof, "请先输入邮件里的验证码", "enter the code from the mail first", nil)
		}
	case Paper:
		if !step.Paper {
			return refuse(DoorClosed, "这一步不能录入纸质意见", "this step takes no decision on paper", nil)
		}
		if rec := r.by.Recorder; rec == "" || rec == r.st.Requester || rec == r.by.Person {
			return refuse(DoorClosed, "纸质意见须由申请人和审批人以外的人录入", "a paper decision is entered by somebody who neither asked nor decided", nil)
		}
	}
	return nil
}

// conflict names a step that must be decided by somebody else than the given
// step and that this elector has decided.
func (r *run) conflict(step string, e Elector) string {
	for _, v := range r.st.Votes {
		if v.Live && !v.Silent && v.Step != step && r.def.Apart(step, v.Step) && involves(v, e) {
			return v.Step
		}
	}
	return ""
}

// involves says that a person behind the vote is a person behind the elector.
func involves(v Vote, e Elector) bool {
	people := []string{v.By.Person, v.By.For, v.Elector.Person, v.Elector.For}
	return slices.Contains(people, e.Person) || e.For != "" && slices.Contains(people, e.For)
}
