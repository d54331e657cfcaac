package flow

import (
	"fmt"
	"slices"
	"time"
)

// Progress is how a part of a request stands for a reader.
type Progress string

// The kinds of progress.
const (
	ProgDone    Progress = "done"
	ProgWaiting Progress = "waiting" // somebody is asked
	ProgStuck   Progress = "stuck"   // nobody left can bring it about
	ProgLater   Progress = "later"   // not reached yet
	ProgSkipped Progress = "skipped" // its condition does not hold
	ProgMaybe   Progress = "maybe"   // its condition is not judged yet
	ProgFailed  Progress = "failed"
)

// Requirement is one node of the answer to "why is it not approved": the
// definition's own tree with what is there and what is lacking.
type Requirement struct {
	Kind     BlockKind
	Step     string // of a step
	Title    Text
	When     string // of a branch: its condition's source
	Guard    string // of a branch: what the condition is called
	Progress Progress
	Rule     Rule
	Tally    Tally
	Votes    []Vote // that count, with whether they were carried
	Lapsed   []Vote // that no longer count, with the reason
	Lacking  int    // approving weight still needed, at least
	Waiting  []Wait
	// Fastest are the fewest of Waiting whose approval, if nobody says no,
	// passes the step.
	Fastest  []Wait
	Open     []int // blocking remarks that are to be resolved first
	Drawn    *Drawn
	Excluded []Exclusion
	DueAt    time.Time
	Overdue  bool
	Parts    []Requirement
}

// Wait is somebody whose answer is awaited. Blocked names the rule that keeps
// him from giving it, if any.
type Wait struct {
	Task    string
	Elector Elector
	DueAt   time.Time
	Blocked Code
	Within  string // the group of added signers, if he is one
	Later   bool   // others come first
}

// Explain answers why a request stands where it stands. It reads the same
// state and rules as Decide, so the two cannot disagree.
func Explain(def *Definition, st State, now time.Time) Requirement {
	r := &run{def: def, st: st.clone(), now: micro(now)}
	root := Requirement{Kind: KindSeq, Title: def.Title, Parts: r.explainAll(def.Blocks)}
	root.Progress = sum(root.Parts)
	switch {
	case st.Status == Approved || st.Status == Superseded:
		root.Progress = ProgDone
	case st.Status.Final():
		root.Progress = ProgFailed
	}
	return root
}

func (r *run) explainAll(blocks []Block) []Requirement {
	out := make([]Requirement, 0, len(blocks))
	for i := range blocks {
		b := &blocks[i]
		switch b.Kind {
		case KindStep:
			out = append(out, r.explainStep(b.Step))
		case KindChoice:
			out = append(out, r.explainChoice(b))
		default:
			q := Requirement{Kind: b.Kind, Parts: r.explainAll(b.Blocks)}
			q.Progress = sum(q.Parts)
			out = append(out, q)
		}
	}
	return out
}

func (r *run) explainChoice(b *Block) Requirement {
	taken, judged := -1, false
	for _, c := range r.st.Choices {
		if c.Choice == b.Choice {
			taken, judged = c.Branch, true
		}
	}
	q := Requirement{Kind: KindChoice, Progress: ProgSkipped}
	for i, br := range b.Branches {
		p := Requirement{Kind: KindSeq, When: br.When, Guard: br.Guard, Progress: ProgSkipped}
		switch {
		case !judged:
			p.Progress = ProgMaybe
		case i == taken:
			p.Parts = r.explainAll(br.Blocks)
			p.Progress = sum(p.Parts)
			q.Progress = p.Progress
		}
		q.Parts = append(q.Parts, p)
	}
	if !judged {
		q.Progress = ProgMaybe
	}
	return q
}

func (r *run) explainStep(s *Step) Requirement {
	q := Requirement{Kind: KindStep, Step: s.Name, Title: s.Title, Rule: s.Rule, Progress: ProgLater}
	ss := r.st.Step(s.Name)
	if ss == nil {
		return q
	}
	q.Rule, q.Tally, q.Excluded, q.Drawn = ss.Rule, r.st.Tally(s.Name), ss.Excluded, ss.Drawn
	for _, v := range r.st.Votes {
		if v.Step == s.Name && v.Live {
			q.Votes = append(q.Votes, v)
		} else if v.Step == s.Name && v.Why != "" {
			q.Lapsed = append(q.Lapsed, v)
		}
	}
	switch ss.Status {
	case StepPassed:
		q.Progress = ProgDone
	case StepFailed:
		q.Progress = ProgFailed
	case StepOpen:
		r.explainOpen(&q, ss)
	}
	return q
}

func (r *run) explainOpen(q *Requirement, ss *StepState) {
	q.DueAt = ss.Due.At
	q.Overdue = !ss.Due.At.IsZero() && ss.Due.At.Before(r.now)
	q.Lacking = max(ss.Rule.Lacking(q.Tally), ss.Rule.Short(q.Tally))
	free, turn := 0, true // turn: nobody before, in a step that asks in turn, is kept from answering
	for _, t := range r.st.Tasks {
		if t.Step != ss.Name || t.State != TaskOpen && t.State != TaskWaiting {
			continue
		}
		w := Wait{Task: t.ID, Elector: t.Elector, DueAt: t.DueAt, Within: t.Within, Later: t.State == TaskWaiting}
		if r.conflict(ss.Name, t.Elector) != "" {
			w.Blocked = NotDistinct
			turn = turn && !(ss.Rule.InTurn && t.Within == "")
		} else if t.Within == "" && turn {
			free += t.Elector.weight()
		}
		q.Waiting = append(q.Waiting, w)
	}
	q.Fastest = fastest(q.Waiting, q.Lacking)
	q.Open = r.unresolved()
	q.Progress = ProgWaiting
	if free < q.Lacking {
		q.Progress = ProgStuck
	}
}

// fastest takes added signers, whose answer is needed anyhow, and then the
// heaviest electors until nothing lacks.
func fastest(waiting []Wait, lacking int) []Wait {
	var out []Wait
	var electors []Wait
	for _, w := range waiting {
		switch {
		case w.Blocked != "":
		case w.Within != "":
			out = append(out, w)
		default:
			electors = append(electors, w)
		}
	}
	slices.SortStableFunc(electors, func(a, b Wait) int { return b.Elector.weight() - a.Elector.weight() })
	for _, w := range electors {
		if lacking <= 0 {
			break
		}
		out, lacking = append(out, w), lacking-w.Elector.weight()
	}
	return out
}

// sum is how a list of parts stands as a whole.
func sum(parts []Requirement) Progress {
	out := ProgDone
	rank := map[Progress]int{ProgDone: 0, ProgSkipped: 0, ProgMaybe: 1, ProgLater: 1, ProgWaiting: 2, ProgStuck: 3, ProgFailed: 4}
	for _, p := range parts {
		if rank[p.Progress] > rank[out] {
			out = p.Progress
		}
	}
	return out
}

// ForecastStep is a step that will be asked, as far as it can be told now.
type ForecastStep struct {
	Step     string
	Title    Text
	Stage    int // steps of one stage are asked at the same time
	Rule     Rule
	Ask      []string // seat expressions
	Electors []Elector
	Excluded []Exclusion // the requester
	Fallback bool        // Electors are those of Policy.Empty
	Apart    []string    // earlier steps whose deciders are kept out
	// Otherwise are those of Policy.Empty, who are asked if everybody of
	// Electors is kept out by what he decided before.
	Otherwise []Elector
	Draw      int // so many of Electors, by lot; 0: all
	Span      Span
	Due       Due  // as if it opened now
	Short     int  // weight by which too few can be asked: it would be stuck
	Carried   bool // of an edit: its votes hold, nobody is asked again
}

// Forecast lists who will be asked if the request were submitted now by this
// requester, with guards and electors from the facts.
func Forecast(def *Definition, requester string, facts Facts) ([]ForecastStep, error) {
	r := &run{def: def, facts: facts, st: State{Status: Open, Requester: requester}}
	f := &forecaster{walk: walk{run: r}}
	err := f.look()
	return f.out, err
}

// look walks the whole way.
func (f *forecaster) look() error {
	_, err := f.seq(f.def.Blocks, 0)
	f.keepOut()
	return err
}

// keepOut finds the steps whose electors may all have decided a step that has
// to be decided by others, before or beside them.
func (f *forecaster) keepOut() {
	if f.def.Policy.Empty == "" {
		return
	}
	for i := range f.out {
		q := &f.out[i]
		if q.Fallback || len(q.Electors) == 0 {
			continue
		}
		var before []Elector // who may decide such a step first
		for k, p := range f.out {
			if k != i && f.def.Apart(p.Step, q.Step) && !f.def.Precedes(q.Step, p.Step) {
				before = slices.Concat(before, p.Electors, f.facts.Empty)
			}
		}
		first := func(e Elector) bool {
			return slices.ContainsFunc(before, func(b Elector) bool {
				return e.Person == b.Person || e.Person == b.For || e.For != "" && (e.For == b.Person || e.For == b.For)
			})
		}
		if !slices.ContainsFunc(q.Electors, func(e Elector) bool { return !first(e) }) {
			q.Otherwise, _ = f.admit(q.Step, f.facts.Empty)
		}
	}
}

type forecaster struct {
	walk
	out []ForecastStep
}

func (f *forecaster) seq(blocks []Block, stage int) (int, error) {
	var err error
	for i := range blocks {
		if stage, err = f.block(&blocks[i], stage); err != nil {
			return 0, err
		}
	}
	return stage, nil
}

// block gives the stage that follows it.
func (f *forecaster) block(b *Block, stage int) (int, error) {
	switch b.Kind {
	case KindStep:
		return stage + 1, f.step(b.Step, stage)
	case KindPar:
		next := stage
		for i := range b.Blocks {
			end, err := f.block(&b.Blocks[i], stage)
			if err != nil {
				return 0, err
			}
			next = max(next, end)
		}
		return next, nil
	case KindChoice:
		branch, err := f.choose(b)
		if err != nil || branch < 0 {
			return stage, err
		}
		return f.seq(b.Branches[branch].Blocks, stage)
	}
	return f.seq(b.Blocks, stage)
}

func (f *forecaster) step(s *Step, stage int) error {
	found, ok := f.facts.Electors[s.Name]
	if !ok {
		return fmt.Errorf("flow: the facts lack the electors of step %q", s.Name)
	}
	q := ForecastStep{Step: s.Name, Title: s.Title, Stage: stage, Rule: s.Rule, Ask: s.Ask, Draw: s.Draw, Span: s.Due,
		Due: f.facts.Due[s.Name].clean()}
	q.Electors, q.Excluded = f.admit(s.Name, found)
	if len(q.Electors) == 0 && f.def.Policy.Empty != "" {
		q.Electors, _ = f.admit(s.Name, f.facts.Empty)
		q.Fallback = len(q.Electors) > 0
	}
	weight := 0
	asked := q.Electors
	if s.Draw > 0 && len(asked) > s.Draw {
		asked = asked[:s.Draw]
	}
	for _, e := range asked {
		weight += e.weight()
	}
	q.Short = s.Rule.Short(Tally{Open: weight})
	for _, p := range f.out {
		if f.def.Apart(p.Step, s.Name) {
			q.Apart = append(q.Apart, p.Step)
		}
	}
	f.out = append(f.out, q)
	return nil
}
