package flow

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// advance brings the request to where its tree is now: it opens what is
// reached, drops what is reached no longer, and closes a finished request.
// Walking the whole tree each time makes every move (send back, edit, a branch
// that is no longer taken) the same case.
func (r *run) advance() error {
	if r.st.Status != Open {
		return nil
	}
	w := &walk{run: r}
	done, _, err := w.seq(r.def.Blocks, nil)
	if err != nil || r.st.Status != Open {
		return err
	}
	for _, name := range r.openSteps() {
		if !slices.Contains(w.reached, name) {
			r.drop(name, WhyUnreached)
		}
	}
	if done {
		closed := Closed{Status: Approved, Effects: some(r.def.OnApproved)}
		if r.def.CloseOut != nil {
			closed.CloseOut = r.facts.CloseOut.clean()
		}
		r.emit(closed)
	}
	return nil
}

type walk struct {
	*run
	reached []string
}

// seq walks blocks in order. It says whether all are passed and which steps
// were passed last; before is what was passed last ahead of them.
func (w *walk) seq(blocks []Block, before []string) (bool, []string, error) {
	for i := range blocks {
		done, last, err := w.block(&blocks[i], before)
		if err != nil || !done {
			return false, nil, err
		}
		before = last
	}
	return true, before, nil
}

func (w *walk) block(b *Block, before []string) (bool, []string, error) {
	if w.st.Status != Open { // a step failed on the way
		return false, nil, nil
	}
	switch b.Kind {
	case KindStep:
		done, err := w.step(b.Step, before)
		return done, []string{b.Step.Name}, err
	case KindSeq:
		return w.seq(b.Blocks, before)
	case KindPar:
		return w.par(b.Blocks, before)
	case KindChoice:
		branch, err := w.choose(b)
		if err != nil || branch < 0 {
			return err == nil, before, err
		}
		return w.seq(b.Branches[branch].Blocks, before)
	}
	return false, nil, fmt.Errorf("flow: unknown block kind %q", b.Kind)
}

func (w *walk) par(blocks []Block, before []string) (bool, []string, error) {
	all, last := true, []string{}
	for i := range blocks {
		done, l, err := w.block(&blocks[i], before)
		if err != nil {
			return false, nil, err
		}
		all, last = all && done, append(last, l...)
	}
	return all, last, nil
}

func (w *walk) choose(b *Block) (int, error) {
	for i := range w.st.Choices {
		if w.st.Choices[i].Choice == b.Choice {
			return w.st.Choices[i].Branch, nil
		}
	}
	made := ChoiceMade{Choice: b.Choice, Branch: -1, Guards: map[string]bool{}}
	for i, br := range b.Branches {
		holds := br.Guard == ""
		if !holds {
			var known bool
			if holds, known = w.facts.Guards[br.Guard]; !known {
				return 0, fmt.Errorf("flow: the facts lack guard %q", br.Guard)
			}
			made.Guards[br.Guard] = holds
		}
		if holds {
			made.Branch = i
			break
		}
	}
	w.emit(made)
	return made.Branch, nil
}

func (w *walk) step(s *Step, before []string) (bool, error) {
	w.reached = append(w.reached, s.Name)
	if w.st.Step(s.Name) == nil && w.carry(s) {
		return true, nil
	}
	if ss := w.st.Step(s.Name); ss == nil || ss.Status != StepOpen && ss.Status != StepPassed {
		if err := w.open(s, before); err != nil {
			return false, err
		}
		w.judge(s.Name)
	}
	return w.st.Step(s.Name).Status == StepPassed, nil
}

// open begins a new round of a step.
func (r *run) open(s *Step, before []string) error {
	found, ok := r.facts.Electors[s.Name]
	if !ok {
		return fmt.Errorf("flow: the facts lack the electors of step %q", s.Name)
	}
	electors, excluded := r.admit(s.Name, found)
	fallback := false
	if len(electors) == 0 && r.def.Policy.Empty != "" {
		var more []Exclusion
		electors, more = r.admit(s.Name, r.facts.Empty)
		excluded, fallback = append(excluded, more...), len(electors) > 0
	}
	drawn := r.draw(s, &electors)
	round := r.nextRound(s.Name)
	var tasks []Opening
	turn := false // somebody has the turn
	for i, e := range electors {
		o := Opening{Task: taskID(s.Name, round, i+1), Elector: e, Origin: ByRule}
		if v := r.kept(s.Name, e); v != nil {
			o.Origin, o.Vote = ByCarry, v.Task
		} else if v := r.given(s, e, before); v != nil {
			o.Origin, o.Vote = ByDedupe, v.Task
		} else {
			o.Waits, turn = s.Rule.InTurn && turn, true
		}
		tasks = append(tasks, o)
	}
	r.lapseUncarried(s.Name, tasks)
	due := r.facts.Due[s.Name].clean()
	onDue := s.OnDue
	onDue.Remind = some(onDue.Remind)
	r.emit(StepOpened{Step: s.Name, Round: round, Rule: s.Rule, Reads: some(s.Reads), OnDue: onDue, Due: due,
		Tasks: tasks, Excluded: excluded, Fallback: fallback, Drawn: drawn})
	return nil
}

// nextRound numbers the step's rounds; after a migration the name may have
// belonged to another step, whose tasks keep their numbers.
func (r *run) nextRound(step string) int {
	round := 0
	if ss := r.st.Step(step); ss != nil {
		round = ss.Round
	}
	for _, t := range r.st.Tasks {
		if strings.HasPrefix(t.ID, step+"#") {
			round = max(round, t.Round)
		}
	}
	return round + 1
}

// some makes an empty list nil, as JSON does on the way back.
func some[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func taskID(step string, round, n int) string {
	return step + "#" + strconv.Itoa(round) + "." + strconv.Itoa(n)
}

// admit keeps one elector per person and takes out those whom the separation
// of duties forbids.
func (r *run) admit(step string, found []Elector) (in []Elector, out []Exclusion) {
	seen := map[string]bool{}
	for _, e := range found {
		if seen[e.Person] {
			continue
		}
		seen[e.Person] = true
		if req := r.st.Requester; r.def.Policy.NotRequester && (e.Person == req || e.For == req) {
			out = append(out, Exclusion{Elector: e, Why: SelfApproval})
		} else if why, barred := r.barred(step, e); barred {
			out = append(out, Exclusion{Elector: e, Why: why})
		} else if other := r.conflict(step, e); other != "" {
			out = append(out, Exclusion{Elector: e, Why: NotDistinct, Step: other})
		} else {
			in = append(in, e)
		}
	}
	return in, out
}

// kept is this elector's own vote of an earlier round, if it still counts.
func (r *run) kept(step string, e Elector) *Vote {
	for i := range r.st.Votes {
		v := &r.st.Votes[i]
		if v.Live && !v.Silent && v.Step == step && v.Within == "" && v.Elector.Person == e.Person && v.Elector.Seat == e.Seat && v.Elector.For == e.For {
			return v
		}
	}
	return nil
}

// given is an approval of an earlier step that answers this one too: the
// same person, who read at least what this step reads.
func (r *run) given(s *Step, e Elector, before []string) *Vote {
	mode := r.def.Policy.Dedupe
	if s.AlwaysAsk || s.Strong || s.Rule.Score > 0 || mode != DedupeConsecutive && mode != DedupeAnywhere {
		return nil
	}
	for i := range r.st.Votes {
		v := &r.st.Votes[i]
		if !v.Live || v.Silent || v.Verdict != Approve || v.Step == s.Name || v.By.Person != e.Person || v.By.For != e.For {
			continue
		}
		if mode == DedupeConsecutive && !slices.Contains(before, v.Step) {
			continue
		}
		if covers(r.st.Step(v.Step).Reads, s.Reads, r.st.Form()) {
			return v
		}
	}
	return nil
}

// lapseUncarried takes out votes of earlier rounds that no task repeats, so
// that every live vote belongs to its step's newest round.
func (r *run) lapseUncarried(step string, tasks []Opening) {
	for _, v := range slices.Clone(r.st.Votes) {
		carried := slices.ContainsFunc(tasks, func(o Opening) bool { return o.Vote == v.Task })
		if v.Live && v.Step == step && !carried {
			r.emit(VoteLapsed{Step: step, Task: v.Task, From: v.CastRev, To: r.st.Rev(), Why: WhyNotAsked})
		}
	}
}

// judge settles a step whose outcome is certain; a failed step rejects the
// request. Added signers come first: their no is a no, and the step waits for
// those whom an elector who approved wanted to hear.
func (r *run) judge(step string) {
	ss := r.st.Step(step)
	if ss.Status != StepOpen {
		return
	}
	outcome := r.judgeGroups(step)
	tally := r.st.Tally(step)
	if outcome == Undecided {
		outcome = ss.Rule.Settle(tally)
		if outcome == Passed && r.waitsForSigners(step) {
			return
		}
	}
	if outcome == Undecided {
		return
	}
	r.emit(StepSettled{Step: step, Round: ss.Round, Outcome: outcome, Tally: tally, Void: r.openTasks(step)})
	if outcome == Failed {
		r.end(Rejected, nil)
	}
}

// end closes the request without approval.
func (r *run) end(status Status, note *Note) {
	for _, name := range r.openSteps() {
		r.drop(name, WhyClosed)
	}
	r.emit(Closed{Status: status, Note: note})
}

// drop ends a step's round without an outcome.
func (r *run) drop(step string, why Why) {
	r.emit(StepSettled{Step: step, Round: r.st.Step(step).Round, Outcome: Dropped,
		Tally: r.st.Tally(step), Void: r.openTasks(step), Why: why})
}

func (r *run) openSteps() []string {
	var out []string
	for _, ss := range r.st.Steps {
		if ss.Status == StepOpen {
			out = append(out, ss.Name)
		}
	}
	return out
}

// openTasks are the step's tasks that are open or wait.
func (r *run) openTasks(step string) []string {
	var out []string
	for _, t := range r.st.Tasks {
		if t.Step == step && (t.State == TaskOpen || t.State == TaskWaiting) {
			out = append(out, t.ID)
		}
	}
	return out
}
