package flow

import (
	"slices"
	"strconv"
)

// How far adding signers goes: people stay sane and the states finite.
const (
	maxNesting = 3  // signers of signers of signers
	maxSigners = 10 // in one round of a step
)

// transfer hands an open task to another person, who decides in its place.
func (r *run) transfer(c Transfer) error {
	t, step, err := r.give(c.Task)
	if err != nil {
		return err
	}
	c.To.Weight, c.To.For = t.Elector.Weight, ""
	if err := r.mayAsk(step.Name, c.To); err != nil {
		return err
	}
	ss := r.st.Step(step.Name)
	r.emit(Transferred{Step: step.Name, Task: t.ID, Note: c.Note, To: Opening{Task: taskID(step.Name, ss.Round, ss.Tasks+1),
		Elector: c.To, Origin: ByTransfer, Group: t.Group, Within: t.Within, Parent: t.ID}})
	return nil
}

// give finds a task that its elector can hand on; a form that changed meanwhile
// does not matter for that.
func (r *run) give(task string) (*Task, *Step, error) {
	t, step, err := r.mine(task, r.st.Rev(), true)
	if err != nil {
		return nil, nil, err
	}
	if step.Fixed || r.st.Step(step.Name).Rule.Kind == Objection {
		return nil, nil, refuse(StepFixed, "这一步不能转交或加签", "this step takes no transfer and no added signers", nil)
	}
	return t, step, nil
}

// mayAsk says why a person cannot be asked by name in an open step.
func (r *run) mayAsk(step string, e Elector) error {
	if r.def.Policy.NotRequester && (e.Person == r.st.Requester || e.For == r.st.Requester) {
		return refuse(SelfApproval, "申请人不能审批自己的申请", "the requester cannot decide on it", Who{})
	}
	if why, barred := r.barred(step, e); barred {
		return refuse(why, "这个人与申请有关，不能审批这一步", "this person is too close to the request to decide this step", Who{[]Elector{e}})
	}
	if other := r.conflict(step, e); other != "" {
		return refuse(NotDistinct, "这个人已经审批过须由另一个人审批的步骤", "this person decided a step that needs somebody else", Conflict{Step: other, Who: []Elector{e}})
	}
	if r.asked(r.st.Step(step), e.Person) {
		return refuse(AlreadyAsked, "这个人在这一步已经有待办或已表态", "this person is asked in this step already", Who{[]Elector{e}})
	}
	return nil
}

// addSigners asks more people on behalf of an elector.
func (r *run) addSigners(c AddSigners) error {
	t, step, err := r.give(c.Task)
	if err != nil {
		return err
	}
	ss := r.st.Step(step.Name)
	added := 0
	for _, o := range r.st.Tasks {
		if o.Step == step.Name && o.Round == ss.Round && o.Origin == BySigner {
			added++
		}
	}
	if r.depth(t) >= maxNesting || added+len(c.Who) > maxSigners || len(c.Who) == 0 {
		return refuse(TooManySigners, "一步最多加签 10 人、3 层", "a step takes at most 10 added signers, 3 levels deep", nil)
	}
	rule := Rule{Kind: c.Rule.Kind, InTurn: c.Rule.InTurn}
	if rule.Kind != Any {
		rule.Kind = All
	}
	group := t.ID + "+" + strconv.Itoa(len(r.st.Groups)+1)
	var tasks []Opening
	for i, e := range c.Who {
		e.Weight, e.For = 0, ""
		if err := r.mayAsk(step.Name, e); err != nil {
			return err
		}
		if slices.ContainsFunc(c.Who[:i], func(x Elector) bool { return x.Person == e.Person }) {
			return refuse(AlreadyAsked, "同一个人写了两次", "the same person is named twice", Who{[]Elector{e}})
		}
		tasks = append(tasks, Opening{Task: taskID(step.Name, ss.Round, ss.Tasks+1+i), Elector: e, Origin: BySigner, Within: group, Parent: t.ID,
			Waits: c.Place == After || rule.InTurn && i > 0})
	}
	r.emit(SignersAdded{Step: step.Name, Task: t.ID, Group: group, Place: c.Place, Rule: rule, Tasks: tasks, Note: c.Note})
	return nil
}

// depth counts how many groups a task stands in.
func (r *run) depth(t *Task) int {
	n := 0
	for g := r.st.group(t.Within); g != nil; g = r.st.group(t.Within) {
		n++
		t = r.st.Task(g.Parent)
	}
	return n
}

// judgeGroups settles the groups of a step whose outcome is certain, the
// innermost first, and says Failed when one of them said no.
func (r *run) judgeGroups(step string) Outcome {
	ss := r.st.Step(step)
	for i := len(r.st.Groups) - 1; i >= 0; i-- {
		g := r.st.Groups[i]
		if g.Step != step || g.Round != ss.Round || g.Outcome != Undecided {
			continue
		}
		tally := r.st.GroupTally(g.ID)
		outcome := g.Rule.Settle(tally)
		if tally.total() == 0 || r.orphaned(g) { // nobody is left to answer, or to answer for
			outcome = Dropped
		}
		if outcome == Undecided || outcome == Passed && r.groupWaits(g.ID) {
			continue
		}
		r.emit(SignersDone{Group: g.ID, Outcome: outcome, Tally: tally, Void: r.within(g.ID)})
		if outcome == Failed {
			return Failed
		}
	}
	return Undecided
}

// orphaned says that nobody waits for the group's answer any more.
func (r *run) orphaned(g SignerGroup) bool {
	p := r.st.Task(g.Parent)
	if p.State == TaskVoid {
		return true
	}
	outer := r.st.group(p.Within)
	return outer != nil && (outer.Outcome != Undecided || r.orphaned(*outer))
}

// waitsForSigners says that an elector who approved still wants to hear
// somebody.
func (r *run) waitsForSigners(step string) bool {
	ss := r.st.Step(step)
	return slices.ContainsFunc(r.st.Groups, func(g SignerGroup) bool {
		return g.Step == step && g.Round == ss.Round && r.awaited(g)
	})
}

// groupWaits says the same of the members of a group.
func (r *run) groupWaits(group string) bool {
	return slices.ContainsFunc(r.st.Groups, func(g SignerGroup) bool {
		return r.st.Task(g.Parent).Within == group && r.awaited(g)
	})
}

func (r *run) awaited(g SignerGroup) bool {
	p := r.st.Task(g.Parent)
	return g.Outcome == Undecided && p.State == TaskDone && p.Verdict == Approve
}

// within are the tasks of a group, and of groups inside it, that are open or
// wait.
func (r *run) within(group string) []string {
	var out []string
	for _, t := range r.st.Tasks {
		for g := r.st.group(t.Within); g != nil; g = r.st.group(r.st.Task(g.Parent).Within) {
			if g.ID == group && (t.State == TaskOpen || t.State == TaskWaiting) {
				out = append(out, t.ID)
				break
			}
		}
	}
	return out
}

// dropGroups stops waiting for the added signers of a step.
func (r *run) dropGroups(step string) {
	ss := r.st.Step(step)
	for i := len(r.st.Groups) - 1; i >= 0; i-- {
		if g := r.st.Groups[i]; g.Step == step && g.Round == ss.Round && g.Outcome == Undecided {
			r.emit(SignersDone{Group: g.ID, Outcome: Dropped, Tally: r.st.GroupTally(g.ID), Void: r.within(g.ID)})
		}
	}
}
