package flow

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Migrate moves the request to the version that Decide is given. Steps maps
// names of the old version to names of the new one where they differ, and to ""
// what is not to go on; a step that it does not name keeps its name.
type Migrate struct {
	By    Actor
	From  *Definition // the version that the request is pinned to
	Steps map[string]string
	Note  *Note
}

func (c Migrate) actor() Actor { return c.By }

// Migrated moves the request to another version. Steps maps old names to new
// ones where they differ; Gone are the old names of steps without a successor,
// Anew those of the new version that an amendment no longer carries over.
type Migrated struct {
	From    string            `json:"from"` // hashes
	To      string            `json:"to"`
	Steps   map[string]string `json:"steps,omitempty"`
	Gone    []string          `json:"gone,omitempty"`
	Anew    []string          `json:"anew,omitempty"`
	Note    *Note             `json:"note,omitempty"`
	Expires time.Time         `json:"expires,omitzero"` // see Definition.Expires; of the version moved to
}

// Type implements Body.
func (Migrated) Type() string { return "migrated" }

// Unmapped comes with STEP_UNMAPPED and STEP_TWICE: the steps of the old version.
type Unmapped struct{ Steps []string }

// migrate moves the request to the version r.def. A step that asks the same
// question there stands as it is; one that asks another is asked anew, and the
// votes that had read all that it reads now are carried, like after an edit.
// What has no successor counts no more, and the tree is walked again.
func (r *run) migrate(c Migrate) error {
	if r.st.Hash == r.def.Hash {
		return nil
	}
	if r.st.Status != Open && r.st.Status != Returned {
		return r.wrongState()
	}
	if c.From == nil || c.From.Hash != r.st.Hash {
		return fmt.Errorf("flow: the version that the request is pinned to was not given")
	}
	p, err := r.planOf(c)
	if err != nil {
		return err
	}
	r.emit(Migrated{From: r.st.Hash, To: r.def.Hash, Steps: p.renamed, Gone: some(p.gone), Anew: some(r.baseAnew(c.From, p)), Note: c.Note, Expires: micro(r.facts.Expires)})
	touched := r.lapseUnfit(p)
	for _, ss := range slices.Clone(r.st.Steps) {
		old, stays := p.was[ss.Name]
		if !stays && ss.Status == StepOpen || stays && (touched[ss.Name] || r.asksAnew(&ss, c.From.Step(old), r.def.Step(ss.Name))) &&
			(ss.Status == StepOpen || ss.Status == StepPassed) {
			r.drop(ss.Name, WhyMigrated)
		}
	}
	opened := len(r.out)
	if err := r.advance(); err != nil {
		return err
	}
	for _, ev := range r.out[opened:] {
		if b, ok := ev.Body.(StepOpened); ok {
			if err := r.vacant(r.st.Step(b.Step)); err != nil {
				return err
			}
		}
	}
	return nil
}

// plan is a Migrate worked out for one request.
type plan struct {
	renamed map[string]string // old name → name afterwards, where they differ
	was     map[string]string // new name → old name, of the steps that go on
	gone    []string
}

// planOf finds each step's successor. A step that is gone gives its name up to
// one of the new version that is called so.
func (r *run) planOf(c Migrate) (plan, error) {
	p := plan{was: map[string]string{}}
	rename := func(from, to string) {
		if from != to && p.renamed == nil {
			p.renamed = map[string]string{}
		}
		if from != to {
			p.renamed[from] = to
		}
	}
	var names []string
	for _, s := range c.From.Steps() {
		names = append(names, s.Name)
	}
	known := len(names) // those behind went in an earlier migration
	for _, ss := range r.st.Steps {
		if !slices.Contains(names, ss.Name) {
			names = append(names, ss.Name)
		}
	}
	for i, name := range names {
		to, planned := c.Steps[name]
		if !planned {
			to = name
		}
		if goes := i < known && r.def.Step(to) != nil; goes {
			if other, taken := p.was[to]; taken {
				return p, refuse(StepTwice, "两个步骤不能接到同一个步骤上：“"+other+"”和“"+name+"”都接到“"+to+"”",
					"two steps cannot go on as one: "+other+" and "+name+" both as "+to, Unmapped{[]string{other, name}})
			}
			p.was[to] = name
			rename(name, to)
			continue
		}
		ss := r.st.Step(name)
		if ss != nil && ss.Status == StepOpen && !planned {
			return p, refuse(StepUnmapped, "申请停在“"+name+"”，新版本没有这一步：请在方案里写明它接到哪一步，或写明不再需要",
				"the request is at the step "+name+", which the new version lacks: say in the plan as which step it goes on, or that it does not", Unmapped{[]string{name}})
		}
		if ss != nil {
			p.gone = append(p.gone, name)
		}
		if r.def.Step(name) != nil {
			rename(name, r.spareName(name))
		}
	}
	return p, nil
}

// spareName is a name that no step of any version has.
func (r *run) spareName(name string) string {
	for n := 1; ; n++ {
		if spare := name + "~" + strconv.Itoa(n); r.st.Step(spare) == nil {
			return spare
		}
	}
}

// lapseUnfit takes out the votes that do not count in the new version: of steps
// that are gone, of people whom it keeps out, and those that had not read all
// that their step reads now. It names the steps that lost one.
func (r *run) lapseUnfit(p plan) map[string]bool {
	touched := map[string]bool{}
	for _, v := range slices.Clone(r.st.Votes) {
		if !v.Live {
			continue
		}
		if _, stays := p.was[v.Step]; stays && (v.Silent || r.fits(v)) {
			continue
		}
		touched[v.Step] = true
		r.emit(VoteLapsed{Step: v.Step, Task: v.Task, From: v.CastRev, To: r.st.Rev(), Why: WhyMigrated})
	}
	return touched
}

// fits says that a vote can stand in its step of the version r.def.
func (r *run) fits(v Vote) bool {
	s := r.def.Step(v.Step)
	if !covers(r.st.Step(v.Step).Reads, s.Reads, r.st.Form()) || r.keptOut(v.Step, v.Elector) {
		return false
	}
	if first := r.firstOf(v); first.Step != v.Step && (s.AlwaysAsk || s.Strong || r.def.Policy.Dedupe == DedupeOff || r.def.Policy.Dedupe == "") {
		return false
	}
	for _, o := range r.st.Votes {
		if o.Live && !o.Silent && o.Seq < v.Seq && o.Step != v.Step && r.def.Apart(v.Step, o.Step) && involves(o, v.Elector) {
			return false
		}
	}
	return true
}

// firstOf is the vote that this one repeats, itself if it repeats none.
func (r *run) firstOf(v Vote) Vote {
	for o := r.st.Vote(v.CarriedFrom); o != nil; o = r.st.Vote(v.CarriedFrom) {
		v = *o
	}
	return v
}

// keptOut says that a rule keeps the elector out of the step, whatever others
// decided.
func (r *run) keptOut(step string, e Elector) bool {
	_, barred := r.barred(step, e)
	return barred || r.def.Policy.NotRequester && (e.Person == r.st.Requester || e.For == r.st.Requester)
}

// asksAnew says that the step as it was opened is not the question that the new
// version asks. Its time matters only while it is open, and so does whether
// those who are asked may still answer.
func (r *run) asksAnew(ss *StepState, old, s *Step) bool {
	if ss.Rule != s.Rule || !slices.Equal(some(ss.Reads), some(s.Reads)) || !sameElectors(old, s) {
		return true
	}
	if ss.Status != StepOpen {
		return false
	}
	if old.Due != s.Due || ss.OnDue.Then != s.OnDue.Then || ss.OnDue.Escalate != s.OnDue.Escalate || !slices.Equal(some(ss.OnDue.Remind), some(s.OnDue.Remind)) {
		return true
	}
	return slices.ContainsFunc(r.st.Tasks, func(t Task) bool {
		return t.Step == ss.Name && (t.State == TaskOpen || t.State == TaskWaiting) && (r.keptOut(ss.Name, t.Elector) || r.conflict(ss.Name, t.Elector) != "")
	})
}

func sameElectors(a, b *Step) bool {
	if !slices.Equal(a.Ask, b.Ask) || a.Draw != b.Draw || a.NotSameUnit != b.NotSameUnit {
		return false
	}
	return !slices.ContainsFunc(a.Ask, func(e string) bool { return a.Weights[e] != b.Weights[e] })
}

// baseAnew are the steps that an amendment carried over and that the new
// version asks otherwise, or of other people.
func (r *run) baseAnew(from *Definition, p plan) []string {
	if r.st.Amends == nil {
		return nil
	}
	var out []string
	for _, b := range r.st.Amends.Steps {
		name := p.renames(b.Step)
		s := r.def.Step(name)
		if s == nil || p.was[name] != b.Step || b.Rule != s.Rule || !slices.Equal(some(b.Reads), some(s.Reads)) || !sameElectors(from.Step(b.Step), s) ||
			!slices.Equal(apartFrom(from, b.Step, p), apartFrom(r.def, name, plan{})) ||
			slices.ContainsFunc(b.Votes, func(v CarriedVote) bool { return r.keptOut(name, v.Elector) }) {
			out = append(out, name)
		}
	}
	return out
}

func (p plan) renames(old string) string {
	if to, ok := p.renamed[old]; ok {
		return to
	}
	return old
}

// apartFrom lists the steps that other people than this one's decide, by their
// names afterwards.
func apartFrom(d *Definition, step string, p plan) []string {
	var out []string
	for _, s := range d.Steps() {
		if d.Apart(step, s.Name) {
			out = append(out, p.renames(s.Name))
		}
	}
	slices.Sort(out)
	return out
}

func (s *State) migrate(b Migrated) {
	s.Hash, s.Choices, s.ExpiresAt = b.To, nil, b.Expires
	name := plan{renamed: b.Steps}.renames
	for i := range s.Steps {
		s.Steps[i].Name = name(s.Steps[i].Name)
	}
	for i := range s.Tasks {
		s.Tasks[i].Step = name(s.Tasks[i].Step)
	}
	for i := range s.Votes {
		s.Votes[i].Step = name(s.Votes[i].Step)
	}
	for i := range s.Groups {
		s.Groups[i].Step = name(s.Groups[i].Step)
	}
	s.Last = name(s.Last)
	if s.Back != nil {
		back := *s.Back
		back.Step, back.To = name(back.Step), name(back.To)
		s.Back = &back
	}
	if s.Amends != nil {
		base := *s.Amends
		base.Steps = nil
		for _, x := range s.Amends.Steps {
			if x.Step = name(x.Step); !slices.Contains(b.Anew, x.Step) {
				base.Steps = append(base.Steps, x)
			}
		}
		s.Amends = &base
	}
}

// Share is somebody's part in a step.
type Share struct {
	Step    string
	Elector Elector
}

// Migration is what a Migrate does to a request: where it was and is then, and
// what becomes of those who answered or were asked. Steps have their new names,
// but for Was and Released, which have the old.
type Migration struct {
	Was, Is  []string // the steps that are open
	Status   Status   // afterwards
	Carried  []Share  // answers that count afterwards
	Again    []Share  // who had answered and is asked again
	Asked    []Share  // who is asked and was not
	Lost     []Share  // answers that count no more, and whose giver is not asked again
	Released []Share  // who was asked and is not
}

// Preview says what a Migrate would do, by deciding it; the error is that of
// Decide.
func Preview(def *Definition, st State, c Migrate, facts Facts) (Migration, error) {
	after, events, err := Next(def, st, c, facts)
	if err != nil {
		return Migration{}, err
	}
	names := plan{}
	for _, ev := range events {
		if b, ok := ev.Body.(Migrated); ok {
			names.renamed = b.Steps
		}
	}
	out := Migration{Status: after.Status}
	openBefore, openAfter := openShares(st), openShares(after)
	for _, x := range openBefore {
		out.Was = appendNew(out.Was, x.Step)
		if !slices.ContainsFunc(openAfter, func(y Share) bool { return y.is(Share{names.renames(x.Step), x.Elector}) }) && !answered(after, names.renames(x.Step), x.Elector) {
			out.Released = append(out.Released, x)
		}
	}
	for _, x := range openAfter {
		out.Is = appendNew(out.Is, x.Step)
	}
	for _, v := range after.Votes {
		if v.Live {
			out.Carried = append(out.Carried, Share{v.Step, v.Elector})
		}
	}
	var again []Share
	for _, v := range st.Votes {
		x := Share{names.renames(v.Step), v.Elector}
		switch {
		case !v.Live || answered(after, x.Step, x.Elector):
		case slices.ContainsFunc(openAfter, x.is):
			again = append(again, x)
		default:
			out.Lost = append(out.Lost, x)
		}
	}
	for _, x := range openAfter {
		was := func(y Share) bool { return x.is(Share{names.renames(y.Step), y.Elector}) }
		if slices.ContainsFunc(again, x.is) {
			out.Again = append(out.Again, x)
		} else if !slices.ContainsFunc(openBefore, was) {
			out.Asked = append(out.Asked, x)
		}
	}
	return out, nil
}

// is compares by step and person.
func (x Share) is(y Share) bool {
	return x.Step == y.Step && x.Elector.Person == y.Elector.Person && x.Elector.For == y.Elector.For
}

func openShares(st State) []Share {
	var out []Share
	for _, t := range st.OpenTasks() {
		out = append(out, Share{t.Step, t.Elector})
	}
	return out
}

// answered says that an answer of the elector counts in the step.
func answered(st State, step string, e Elector) bool {
	return slices.ContainsFunc(st.Votes, func(v Vote) bool { return v.Live && Share{v.Step, v.Elector}.is(Share{step, e}) })
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
