package proof

import (
	"slices"

	"kelian/workflow/flow"
)

// proper notes a closed request that still asks somebody.
func (x *explorer) proper(st *flow.State, s int32, name string) {
	left := len(st.OpenTasks()) > 0 || slices.ContainsFunc(st.Tasks, func(t flow.Task) bool { return t.State == flow.TaskWaiting }) ||
		slices.ContainsFunc(st.Steps, func(ss flow.StepState) bool { return ss.Status == flow.StepOpen }) ||
		slices.ContainsFunc(st.Timers(), func(t flow.Timer) bool { return t.Step != flow.CloseOutTimer })
	if left {
		x.improper = &Finding{Code: "LEFT_OPEN", Severity: Error, Zh: "申请办结后还有待办或计时没有关闭", En: "something stays open or armed after the request is closed",
			Witness: &Witness{Trace: append(x.trace(s), name)}}
	}
}

// stuck reports a state from which no decision can be reached any more without
// a detour, or one that only approvals led to and from which no approval can.
// States that were not expanded for lack of budget count as able to.
func (p *prover) stuck(x *explorer) {
	approved := func(s int) bool { return x.keys[s] == string(flow.Approved) || !x.expanded[s] }
	decided := func(s int) bool { return approved(s) || x.keys[s] == string(flow.Rejected) }
	passes, ends := x.before(approved), x.before(decided)
	willing := make([]bool, len(x.keys)) // come to by approvals alone
	follows := x.neighbours(x.approves, false)
	var todo []int32
	for s := range x.keys {
		if x.from[s] < 0 {
			willing[s], todo = true, append(todo, int32(s))
		}
	}
	spread(willing, todo, follows)
	for s := range x.keys {
		if x.closed[s] || ends[s] && (passes[s] || !willing[s] || len(follows[s]) > 0) {
			continue
		}
		f := Finding{Code: "STUCK", Severity: Error, Witness: &Witness{Trace: x.trace(int32(s))},
			Zh: "申请会停在一个再也通不过的状态", En: "a request can come to where it can no longer be approved"}
		st := x.state(x.keys[s])
		for _, ss := range st.Steps {
			if ss.Status == flow.StepOpen {
				f.Step = ss.Name
			}
		}
		p.add(f)
		return
	}
}

// before are the states from which one that is wanted can be reached.
func (x *explorer) before(wanted func(int) bool) []bool {
	out := make([]bool, len(x.keys))
	var todo []int32
	for s := range x.keys {
		if wanted(s) {
			out[s], todo = true, append(todo, int32(s))
		}
	}
	spread(out, todo, x.neighbours(x.edges, true))
	return out
}

func (x *explorer) neighbours(edges [][2]int32, back bool) [][]int32 {
	out := make([][]int32, len(x.keys))
	for _, e := range edges {
		if back {
			e[0], e[1] = e[1], e[0]
		}
		out[e[0]] = append(out[e[0]], e[1])
	}
	return out
}

// spread marks all that the edges lead to.
func spread(marked []bool, todo []int32, edges [][]int32) {
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, q := range edges[s] {
			if !marked[q] {
				marked[q], todo = true, append(todo, q)
			}
		}
	}
}

// endless reports a circle of deadlines that turns without anybody's doing.
func (p *prover) endless(x *explorer) {
	next, into := map[int32][]int32{}, map[int32]int{}
	for _, e := range x.auto {
		next[e[0]] = append(next[e[0]], e[1])
		into[e[1]]++
	}
	var todo []int32
	for s := range next {
		if into[s] == 0 {
			todo = append(todo, s)
		}
	}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, q := range next[s] {
			if into[q]--; into[q] == 0 {
				todo = append(todo, q)
			}
		}
	}
	for s := range int32(len(x.keys)) {
		if into[s] > 0 {
			p.add(Finding{Code: "ENDLESS_CYCLE", Severity: Error, Witness: &Witness{Trace: x.trace(s)},
				Zh: "到期处理会自己循环，没有尽头", En: "deadlines follow one another in a circle without an end"})
			return
		}
	}
}

// unreached reports steps that no path asks and targets that are never legal,
// where the reason is not a branch that is reported already.
func (p *prover) unreached(x *explorer) {
	for i := range x.steps {
		s := x.steps[i].Step
		if !x.opened[s.Name] {
			if !slices.ContainsFunc(p.report.Findings, func(f Finding) bool { return f.Code == "GUARD_DEAD" }) {
				p.add(Finding{Code: "STEP_DEAD", Severity: Error, Step: s.Name, Field: "step",
					Zh: "步骤“" + s.Title.Zh + "”在任何情况下都不会问到", En: "the step “" + s.Title.En + "” is never asked"})
			}
			continue
		}
		for _, to := range s.SendBack {
			if !x.returned[s.Name+" "+to] && (to == flow.Start || x.opened[to]) {
				p.add(Finding{Code: "TARGET_NEVER", Severity: Error, Step: s.Name, Field: "send_back",
					Zh: "从“" + s.Title.Zh + "”永远不能退回到“" + p.title(to).Zh + "”：走到这一步的申请都没有经过那里",
					En: "“" + s.Title.En + "” can never send back to “" + p.title(to).En + "”: no request that comes here has passed it"})
			}
		}
	}
}
