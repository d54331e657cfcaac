package proof

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"kelian/workflow/flow"
)

// explorer walks all states of a model, those with fewer detours on the way (a
// send-back, or an edit while it is open, also by an approver) first. The limit on send-backs is
// taken as never reached: whatever a request can come to, and whatever it needs
// to come out of it again without a detour, is then looked at.
type explorer struct {
	*model
	worlds   *worlds
	branches map[string][]flow.Branch // by choice
	index    map[string]int32
	keys     []string
	from     []int32    // the state each was first met from
	by       []string   // the move that led there
	detours  []int      // on that way
	edges    [][2]int32 // moves that are no detours
	auto     [][2]int32 // those of deadlines alone
	approves [][2]int32 // those that approve
	opened   map[string]bool
	returned map[string]bool // "step target" that was legal somewhere
	queues   [][]int32       // states to expand, by detours
	expanded []bool
	closed   []bool
	improper *Finding
}

// moveKind says what a move does to the request's progress.
type moveKind int

const (
	onward    moveKind = iota
	approving          // by a vote
	automatic          // by a deadline alone
	detour             // sending back, or editing while it is open
)

var errBudget = errors.New("proof: out of budget")

// control explores the definition's states with the engine itself.
func (p *prover) control(w *worlds) {
	before := len(p.report.Findings)
	x := &explorer{model: newModel(p.Flow), worlds: w, branches: map[string][]flow.Branch{}, index: map[string]int32{}, opened: map[string]bool{}, returned: map[string]bool{}}
	eachChoice(p.Flow.Blocks, func(b *flow.Block) { x.branches[b.Choice] = b.Branches })
	x.facts.Guards = x.assume(nil)
	level, err := x.explore(p.Budget)
	if len(x.keys) == 0 && err == nil {
		p.add(Finding{Code: "STUCK", Severity: Error, Witness: &Witness{Trace: []string{"submit"}}, Zh: "没有一份申请提交得上", En: "no request can be submitted"})
		p.report.Control = Layer{Verdict: Refuted}
		return
	}
	if err != nil && !errors.Is(err, errBudget) {
		p.report.Control = Layer{Verdict: Skipped, Explored: len(x.keys), Zh: "引擎不能执行这个定义", En: err.Error()}
		return
	}
	bounded := err != nil
	p.stuck(x)
	if x.improper != nil {
		p.add(*x.improper)
	}
	p.endless(x)
	if !bounded {
		p.unreached(x)
	}
	p.report.Control = Layer{Verdict: p.verdict(before, bounded), Explored: len(x.keys)}
	if bounded {
		p.report.Control.Zh, p.report.Control.En = "连不退回、不修改的情形也没有查完", "not even everything without a send-back or an edit was looked at"
		if level > 0 {
			p.report.Control.Zh = fmt.Sprintf("查完了退回和修改合计不超过 %d 次的所有情形", level-1)
			p.report.Control.En = fmt.Sprintf("everything with at most %d send-backs and edits was looked at", level-1)
		}
	}
}

// explore gives the number of levels (detours) that were finished.
func (x *explorer) explore(b Budget) (int, error) {
	deadline := b.Now().Add(b.Time)
	submit := flow.Submit{By: flow.Actor{Person: "requester", Door: flow.Console}, Form: x.form}
	if err := x.move(-1, flow.State{}, submit, "submit", approving); err != nil {
		return 0, err
	}
	for level := 0; level < len(x.queues); level++ {
		for len(x.queues[level]) > 0 {
			q := x.queues[level]
			s := q[0]
			x.queues[level] = q[1:]
			if x.expanded[s] || x.detours[s] != level {
				continue
			}
			if len(x.keys) > b.States || b.Now().After(deadline) {
				return level, errBudget
			}
			x.expanded[s] = true
			if err := x.expand(s); err != nil {
				return level, err
			}
		}
	}
	return len(x.queues), nil
}

// expand makes every move that the state allows.
func (x *explorer) expand(s int32) error {
	st := x.state(x.keys[s])
	requester := flow.Actor{Person: st.Requester, Door: flow.Console}
	name, kind := "edit", detour
	if st.Status == flow.Returned {
		name, kind = "resubmit", onward
	}
	seen := map[string]bool{}
	for i, form := range x.edits {
		if sign := x.touched(i, &st); seen[sign] {
			continue // as far as this state goes an edit was tried that does the same
		} else {
			seen[sign] = true
		}
		if err := x.move(s, st, flow.Resubmit{By: requester, Form: form}, name, kind); err != nil {
			return err
		}
	}
	if err := x.move(s, st, flow.Withdraw{By: requester}, "withdraw", onward); err != nil {
		return err
	}
	if !st.ExpiresAt.IsZero() {
		if err := x.move(s, st, flow.Fire{Timer: flow.Timer{Step: flow.ExpiryTimer, At: st.ExpiresAt}}, "expires", automatic); err != nil {
			return err
		}
	}
	if st.Status != flow.Open {
		return nil
	}
	for i := range x.steps {
		if err := x.expandStep(s, st, &x.steps[i]); err != nil {
			return err
		}
	}
	return nil
}

func (x *explorer) expandStep(s int32, st flow.State, step *modelStep) error {
	ss := st.Step(step.Name)
	if ss == nil || ss.Status != flow.StepOpen {
		return nil
	}
	last := -1 // class of the elector who voted already in his equals' name
	sentBack := false
	for i, e := range step.electors {
		t := st.Task(step.taskID(i))
		if t == nil || t.State != flow.TaskOpen || step.class[i] == last {
			continue
		}
		last = step.class[i]
		by := flow.Actor{Person: e.Person, Door: flow.Console}
		for _, cast := range step.casts {
			cast.By, cast.Task = by, t.ID
			kind := onward
			if cast.Verdict == flow.Approve && *cast.Score == step.Rule.Score {
				kind = approving
			}
			if err := x.move(s, st, cast, step.Name+": "+string(cast.Verdict), kind); err != nil {
				return err
			}
			if kind == approving && step.edit != nil {
				cast.Edit = step.edit
				if err := x.move(s, st, cast, step.Name+": fill in and approve", detour); err != nil {
					return err
				}
			}
		}
		if sentBack {
			continue // who of them sends it back makes no difference
		}
		sentBack = true
		for _, to := range step.SendBack {
			for _, mode := range []flow.Mode{flow.ReturnToMe, flow.Redo} {
				cmd := flow.SendBack{By: by, Task: t.ID, To: to, Mode: mode, FormRev: 1, Proved: true}
				if err := x.move(s, st, cmd, step.Name+": send_back "+to, detour); err != nil {
					return err
				}
			}
		}
	}
	if ss.Due.At.IsZero() || ss.Overdue || ss.OnDue.Then == flow.ThenNothing {
		return nil
	}
	return x.move(s, st, flow.Fire{Timer: flow.Timer{Step: step.Name, Round: ss.Round, At: ss.Due.At}}, step.Name+": due", automatic)
}

// move runs a command under every combination of guards that it reads and some
// form allows. A refused command is no move.
func (x *explorer) move(s int32, st flow.State, cmd flow.Command, name string, kind moveKind) error {
	made, first := x.made(st.Choices), answers{}
	switch c := cmd.(type) {
	case flow.Resubmit:
		if maps.Equal(x.form.Digests, c.Form.Digests) {
			first = made // the same form answers the same
		}
		made = answers{}
	case flow.Cast:
		if c.Edit != nil {
			made = answers{}
		}
	}
	facts := x.facts
	for todo := []answers{first}; len(todo) > 0; {
		fixed := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		facts.Guards = x.assume(fixed)
		next, events, err := flow.Next(x.def, st, cmd, facts)
		if _, refused := flow.AsRefusal(err); refused {
			return nil
		}
		if err != nil {
			return err
		}
		got := answers{}
		for _, ev := range events {
			if c, ok := ev.Body.(flow.ChoiceMade); ok {
				x.answered(c, func(g string, holds bool) {
					if _, was := fixed[g]; !was { // taken as false; true is to be tried too
						other := maps.Clone(fixed)
						maps.Copy(other, got)
						todo = append(todo, other.with(g, true))
					}
					got[g] = holds
				})
			}
		}
		if len(got) > 0 {
			all := maps.Clone(made)
			maps.Copy(all, got)
			if !x.worlds.possible(all) {
				continue
			}
		}
		x.follow(s, next, events, name, kind)
	}
	return nil
}

// made are the answers that the choices of a request rest on.
func (x *explorer) made(choices []flow.ChoiceMade) answers {
	out := answers{}
	for _, c := range choices {
		x.answered(c, func(g string, holds bool) { out[g] = holds })
	}
	return out
}

// answered tells what a choice says of its guards, in their order.
func (x *explorer) answered(c flow.ChoiceMade, tell func(guard string, holds bool)) {
	for i, br := range x.branches[c.Choice] {
		if br.Guard != "" {
			tell(br.Guard, i == c.Branch)
		}
		if i == c.Branch {
			return
		}
	}
}

// assume gives every guard an answer, false where none is fixed.
func (x *explorer) assume(fixed answers) map[string]bool {
	if len(fixed) == 0 && x.facts.Guards != nil {
		return x.facts.Guards
	}
	out := map[string]bool{}
	for _, branches := range x.branches {
		for _, br := range branches {
			out[br.Guard] = fixed[br.Guard]
		}
	}
	return out
}

// follow notes where the events led to and what they show.
func (x *explorer) follow(s int32, st flow.State, events []flow.Event, name string, kind moveKind) {
	if len(events) == 0 {
		return
	}
	for _, ev := range events {
		switch b := ev.Body.(type) {
		case flow.StepOpened:
			x.opened[b.Step] = true
		case flow.SentBack:
			x.returned[b.Step+" "+b.To] = true
		}
	}
	to := x.reach(s, &st, name, kind)
	if x.improper == nil && st.Status.Final() {
		x.proper(&st, s, name)
	}
	if s < 0 || kind == detour {
		return
	}
	x.edges = append(x.edges, [2]int32{s, to})
	if kind == approving {
		x.approves = append(x.approves, [2]int32{s, to})
	}
	if kind == automatic && !st.Status.Final() {
		x.auto = append(x.auto, [2]int32{s, to})
	}
}

// reach gives the number of the state, which is new or was met before with as
// many detours or fewer, or else is to be looked at again.
func (x *explorer) reach(s int32, st *flow.State, name string, kind moveKind) int32 {
	n := 0
	if s >= 0 {
		n = x.detours[s]
	}
	if kind == detour {
		n++
	}
	key := x.key(st)
	to, seen := x.index[key]
	if !seen {
		to = int32(len(x.keys))
		x.index[key] = to
		x.keys, x.from, x.by, x.detours = append(x.keys, key), append(x.from, s), append(x.by, name), append(x.detours, n)
		x.closed, x.expanded = append(x.closed, st.Status.Final()), append(x.expanded, st.Status.Final())
	} else if x.expanded[to] || n >= x.detours[to] {
		return to
	} else {
		x.from[to], x.by[to], x.detours[to] = s, name, n
	}
	for len(x.queues) <= n {
		x.queues = append(x.queues, nil)
	}
	x.queues[n] = append(x.queues[n], to)
	return to
}

// trace is the way to a state, by moves.
func (x *explorer) trace(s int32) []string {
	var out []string
	for ; s >= 0; s = x.from[s] {
		out = append(out, x.by[s])
	}
	slices.Reverse(out)
	return out
}
