package proof

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"kelian/workflow/flow"
)

// moment is the time of every command: all deadlines are then over, so that
// each may ring at any point of the exploration.
var moment = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// model is a definition with electors who are numbers: those of one seat
// expression are interchangeable, and nobody is asked in two steps (who really
// is asked is the people layer's question).
type model struct {
	def     *flow.Definition
	steps   []modelStep
	choices []string
	facts   flow.Facts
	form    flow.Form
	// edits are revisions of the form, one for each set of steps that must be
	// asked again.
	edits []flow.Form
}

type modelStep struct {
	*flow.Step
	electors []flow.Elector // the last one is of the escalation seat, if there is one
	class    []int          // of each elector; equal ones may change places
	escalate bool
	casts    []flow.Cast // what an elector may say
	edit     *flow.Form  // what an approver fills in, nil: nothing
}

func newModel(def *flow.Definition) *model {
	m := &model{def: def, facts: flow.Facts{Now: moment, Electors: map[string][]flow.Elector{}, Escalate: map[string][]flow.Elector{},
		Due: map[string]flow.Due{}, Seed: "00", CloseOut: flow.Due{At: moment}}}
	if def.Expires != "" {
		m.facts.Expires = moment
	}
	for _, s := range def.Steps() {
		x := modelStep{Step: s}
		for i, n := range counts(s) {
			for k := range n {
				x.electors = append(x.electors, flow.Elector{Person: s.Name + "/" + strconv.Itoa(i) + "/" + strconv.Itoa(k), Seat: s.Ask[i], Weight: s.Weights[s.Ask[i]]})
				x.class = append(x.class, i)
			}
		}
		m.facts.Electors[s.Name] = x.electors
		if x.escalate = s.OnDue.Then == flow.ThenEscalate || s.OnDue.Then == flow.ThenWiden; x.escalate {
			e := flow.Elector{Person: s.Name + "/+", Seat: s.OnDue.Escalate}
			m.facts.Escalate[s.Name] = []flow.Elector{e}
			x.electors, x.class = append(x.electors[:len(x.electors):len(x.electors)], e), append(x.class, len(s.Ask))
		}
		if s.Due.N > 0 {
			m.facts.Due[s.Name] = flow.Due{At: moment}
		}
		x.casts = casts(s)
		m.steps = append(m.steps, x)
	}
	eachChoice(def.Blocks, func(b *flow.Block) { m.choices = append(m.choices, b.Choice) })
	m.revisions()
	for i := range m.steps {
		m.steps[i].edit = m.filledIn(m.steps[i].Step)
	}
	return m
}

// filledIn is the revision by an approver who changes all that the step lets
// him; nil where it lets him nothing.
func (m *model) filledIn(s *flow.Step) *flow.Form {
	f := &flow.Form{Rev: 2, Digests: maps.Clone(m.form.Digests)}
	for _, x := range s.Fields {
		if x.Right == flow.Edit || x.Right == flow.Require {
			f.Digests[x.Field] = "1"
		}
	}
	if maps.Equal(f.Digests, m.form.Digests) {
		return nil
	}
	return f
}

// casts are the answers to a step. Of points the extremes are enough: what
// settles a step between them settles it for one of them.
func casts(s *flow.Step) []flow.Cast {
	if s.Rule.Kind == flow.Objection {
		return nil
	}
	most, none := s.Rule.Score, 0
	out := []flow.Cast{{Verdict: flow.Approve, Score: &most}, {Verdict: flow.Reject, Score: &none}}
	if s.Rule.Abstain {
		out = append(out, flow.Cast{Verdict: flow.Abstain})
	}
	if most > 0 {
		out = append(out, flow.Cast{Verdict: flow.Approve, Score: &none})
	}
	for i := range out {
		out[i].FormRev, out[i].Proved = 1, true
	}
	return out
}

// counts says how many electors of each seat expression stand for any number of
// them: one each, and enough that the rule can be met and missed.
func counts(s *flow.Step) []int {
	out, weight, people := make([]int, len(s.Ask)), 0, 0
	weigh := func(i int) int { return max(1, s.Weights[s.Ask[i]]) }
	need, atLeast := 1, 2
	switch s.Rule.Kind {
	case flow.KOfN:
		need, atLeast = s.Rule.K, s.Rule.K+1
	case flow.Percent, flow.OfCast:
		atLeast = 3
	case flow.Objection:
		atLeast = 1
	}
	if s.Draw > 0 {
		atLeast = s.Draw
	}
	for i := 0; i < len(out) || weight < need || people < atLeast; i++ {
		if s.Draw > 0 && people == s.Draw {
			break
		}
		k := i % len(out)
		out[k]++
		people, weight = people+1, weight+weigh(k)
	}
	return out
}

// revisions finds the edits that differ in whose votes they void.
func (m *model) revisions() {
	leaves := []string{"/~other"}
	for i := range m.steps {
		leaves = append(leaves, m.steps[i].Reads...)
	}
	m.form = flow.Form{Rev: 1, Digests: map[string]string{}}
	for i := range m.steps {
		for _, f := range m.steps[i].Fields {
			if f.Right == flow.Require { // its elector fills it in
				m.form.Digests[f.Field] = "0"
			}
		}
	}
	seen := map[string]bool{}
	var all []string
	for _, l := range leaves {
		sign := make([]byte, len(m.steps))
		for i := range m.steps {
			if flow.Covers(m.steps[i].Reads, l) {
				sign[i] = 1
			}
		}
		if !seen[string(sign)] {
			seen[string(sign)] = true
			all = append(all, l)
			m.form.Digests[l] = "0"
		}
	}
	edit := func(changed ...string) {
		f := flow.Form{Rev: 2, Digests: map[string]string{}}
		for l := range m.form.Digests {
			f.Digests[l] = "0"
		}
		for _, l := range changed {
			f.Digests[l] = "1"
		}
		m.edits = append(m.edits, f)
	}
	edit()
	for _, l := range all {
		edit(l)
	}
	if len(all) > 1 {
		edit(all...)
	}
}

// touched names the steps whose votes an edit voids, and says whether the edit
// changes anything at all.
func (m *model) touched(edit int, st *flow.State) string {
	out := make([]byte, len(m.steps)+1)
	for leaf, d := range m.edits[edit].Digests {
		if d == m.form.Digests[leaf] {
			continue
		}
		out[len(m.steps)] = 1
		for i := range m.steps {
			voted := slices.ContainsFunc(st.Votes, func(v flow.Vote) bool { return v.Step == m.steps[i].Name })
			if voted && flow.Covers(m.steps[i].Reads, leaf) {
				out[i] = 1
			}
		}
	}
	return string(out)
}

func eachChoice(blocks []flow.Block, visit func(*flow.Block)) {
	for i := range blocks {
		b := &blocks[i]
		if b.Kind == flow.KindChoice {
			visit(b)
		}
		eachChoice(b.Blocks, visit)
		for k := range b.Branches {
			eachChoice(b.Branches[k].Blocks, visit)
		}
	}
}

// The letters of an elector in a key.
const (
	idle    = '.' // not asked, or no longer
	asked   = 'o'
	waiting = 'w'
	handed  = 'v' // what was open went to the escalation seat
	yes     = 'a' // with all points, where there are any
	low     = 'z' // approved without a point
	no      = 'r'
	neither = 'b' // where that is not the same, see countsApprovals
	silent  = 's' // abstained by the deadline
	silence = 't' // rejected by the deadline
)

// The letters of a step in a key.
const (
	unasked = '.' // not reached, or all that was said is void
	passed  = 'P'
	lapsed  = 'p' // passed without a vote that an edit could void
	dropped = 'D' // closed without a result; votes of it still stand
	open    = 'O'
	late    = 'L' // open, and what happens when due has happened
)

// key writes down all of a state that decides what can happen next, and
// nothing of its history: rounds, void tasks and votes, which of two equal
// electors did something. Two requests with one key have the same future.
func (m *model) key(st *flow.State) string {
	if st.Status.Final() {
		return string(st.Status)
	}
	out := make([]byte, 0, 16+len(m.choices)+6*len(m.steps))
	out = append(out, st.Status[0], ' ')
	if st.Back != nil {
		out[1] = st.Back.Mode[len(st.Back.Mode)-1]
	}
	for _, name := range m.choices {
		c := byte('?')
		for i := range st.Choices {
			if st.Choices[i].Choice == name {
				c = byte('1' + st.Choices[i].Branch) // '0': none
			}
		}
		out = append(out, c)
	}
	for i := range m.steps {
		out = m.steps[i].key(out, st)
	}
	return string(out)
}

func (x *modelStep) key(out []byte, st *flow.State) []byte {
	ss := st.Step(x.Name)
	if ss == nil {
		return append(out, unasked)
	}
	letters, votes := x.letters(st, ss)
	switch {
	case ss.Status == flow.StepOpen && ss.Overdue:
		out = append(out, late)
	case ss.Status == flow.StepOpen:
		out = append(out, open)
	case ss.Status == flow.StepPassed && votes:
		return append(out, passed)
	case ss.Status == flow.StepPassed:
		return append(out, lapsed)
	case votes:
		out = append(out, dropped)
	default:
		return append(out, unasked)
	}
	if !x.Rule.InTurn {
		x.sort(letters)
	}
	return append(out, letters...)
}

// sort brings the electors of each class into one order.
func (x *modelStep) sort(letters []byte) {
	for i := 1; i < len(letters); i++ {
		for k := i; k > 0 && x.class[k] == x.class[k-1] && letters[k] < letters[k-1]; k-- {
			letters[k], letters[k-1] = letters[k-1], letters[k]
		}
	}
}

// letters says how each elector stands, and whether a vote of theirs counts.
func (x *modelStep) letters(st *flow.State, ss *flow.StepState) (out []byte, votes bool) {
	out = make([]byte, len(x.electors))
	for i := range out {
		out[i] = idle
	}
	for k := range st.Tasks {
		t := &st.Tasks[k]
		if t.Step != x.Name || t.Round != ss.Round || ss.Status != flow.StepOpen {
			continue
		}
		switch t.State {
		case flow.TaskOpen:
			out[x.at(t.Elector)] = asked
		case flow.TaskWaiting:
			out[x.at(t.Elector)] = waiting
		case flow.TaskVoid:
			out[x.at(t.Elector)] = handed
		}
	}
	for k := range st.Votes {
		v := &st.Votes[k]
		if v.Live && v.Step == x.Name {
			votes = true
			out[x.at(v.Elector)] = x.letterOf(v)
		}
	}
	return out, votes
}

func (x *modelStep) letterOf(v *flow.Vote) byte {
	switch {
	case v.Verdict == flow.Approve && v.Score < x.Rule.Score:
		return low
	case v.Verdict == flow.Abstain && !v.Silent && x.countsApprovals():
		return no
	case v.Verdict == flow.Approve:
		return yes
	case v.Silent && v.Verdict == flow.Abstain:
		return silent
	case v.Silent:
		return silence
	case v.Verdict == flow.Reject:
		return no
	}
	return neither
}

// countsApprovals says that the rule tells an abstention from a rejection by
// nothing: only approvals count, against a number that is fixed.
func (x *modelStep) countsApprovals() bool {
	r := x.Rule
	return (r.Kind == flow.KOfN || r.Kind == flow.Percent) && !r.Veto && r.Turnout == flow.Ratio{} && r.Score == 0
}

func (x *modelStep) at(e flow.Elector) int {
	for i := range x.electors {
		if x.electors[i].Person == e.Person {
			return i
		}
	}
	return -1
}

// state builds the plainest request that has the key.
func (m *model) state(key string) flow.State {
	st := flow.State{Status: flow.Open, Key: m.def.Key, Hash: m.def.Hash, Requester: "requester", Forms: []flow.Form{m.form}, Seq: 1}
	if m.def.Expires != "" {
		st.ExpiresAt = moment
	}
	if key[0] == flow.Returned[0] {
		st.Status, st.Back = flow.Returned, &flow.SentBack{To: flow.Start, Mode: flow.Redo}
		if key[1] == flow.ReturnToMe[len(flow.ReturnToMe)-1] {
			st.Back.Mode = flow.ReturnToMe
		}
	}
	for i, name := range m.choices {
		if c := key[2+i]; c != '?' {
			st.Choices = append(st.Choices, flow.ChoiceMade{Choice: name, Branch: int(c) - '1'})
		}
	}
	rest := key[2+len(m.choices):]
	for i := range m.steps {
		rest = m.steps[i].build(rest, &st)
	}
	return st
}

func (x *modelStep) build(key string, st *flow.State) string {
	letter, key := key[0], key[1:]
	ss := flow.StepState{Name: x.Name, Round: 1, Rule: x.Rule, Reads: x.Reads, OnDue: x.OnDue, Tasks: len(x.electors)}
	switch letter {
	case unasked:
		return key
	case passed, lapsed:
		ss.Status = flow.StepPassed
		if letter == passed {
			st.Votes = append(st.Votes, x.vote(0, yes))
		}
		st.Steps = append(st.Steps, ss)
		return key
	case dropped:
		ss.Status = flow.StepDropped
	default:
		ss.Status, ss.Overdue = flow.StepOpen, letter == late
		if x.Due.N > 0 {
			ss.Due = flow.Due{At: moment}
		}
	}
	st.Steps = append(st.Steps, ss)
	weight := 0
	for i := range x.electors {
		if key[i] == handed {
			weight += max(1, x.electors[i].Weight)
		}
	}
	for i := range x.electors {
		x.task(i, key[i], weight, ss.Status == flow.StepOpen, st)
	}
	return key[len(x.electors):]
}

// task gives the elector what his letter says; weight is what the escalation
// seat took over.
func (x *modelStep) task(i int, letter byte, weight int, open bool, st *flow.State) {
	if letter == idle {
		return
	}
	t := flow.Task{ID: x.taskID(i), Step: x.Name, Round: 1, Elector: x.electors[i], Origin: flow.ByRule}
	if x.escalate && i == len(x.electors)-1 && weight > 0 {
		t.Elector.Weight = weight
	}
	switch letter {
	case asked:
		t.State = flow.TaskOpen
	case waiting:
		t.State = flow.TaskWaiting
	case handed:
		t.State = flow.TaskVoid
	default:
		v := x.vote(i, letter)
		v.Elector = t.Elector
		t.State, t.Verdict = flow.TaskDone, v.Verdict
		st.Votes = append(st.Votes, v)
	}
	if open {
		st.Tasks = append(st.Tasks, t)
	}
}

func (x *modelStep) taskID(i int) string { return x.Name + "#1." + strconv.Itoa(i+1) }

func (x *modelStep) vote(i int, letter byte) flow.Vote {
	v := flow.Vote{Task: x.taskID(i), Step: x.Name, Round: 1, Elector: x.electors[i], By: flow.Actor{Person: x.electors[i].Person},
		Verdict: flow.Approve, CastRev: 1, Rev: 1, Live: true, Silent: letter == silent || letter == silence}
	if letter == yes {
		v.Score = x.Rule.Score
	}
	switch letter {
	case no, silence:
		v.Verdict = flow.Reject
	case neither, silent:
		v.Verdict = flow.Abstain
	}
	return v
}
