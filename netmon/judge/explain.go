package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Line is one piece of evidence: what one attempt on a host saw.
type Line struct {
	Host    string
	Check   string
	Vantage string
	Trial
}

// Explanation says in both languages why a decision was taken, with the
// attempts it rests on: first those of the causes, then the latest of what the
// causes need, then the latest of the suppressed hosts, at most 64 of these.
type Explanation struct {
	Evidence []Line `json:",omitempty"`
	Zh, En   string
}

const (
	suppressedLines = 64
	namesShown      = 3
)

// attempts are the remembered attempts on a node, all vantages.
func (j *judgement) attempts(v int32) (out []Line) {
	j.each(v, func(l Line, view *View) {
		for _, l.Trial = range view.Recent {
			out = append(out, l)
		}
		if len(view.Recent) == 0 {
			out = append(out, l)
		}
	})
	return out
}

// latest is the newest attempt on a node, by each vantage.
func (j *judgement) latest(v int32) (out []Line) {
	j.each(v, func(l Line, view *View) {
		if n := len(view.Recent); n > 0 {
			l.Trial = view.Recent[n-1]
		}
		out = append(out, l)
	})
	return out
}

// each visits the views of a node that saw something; the line given is the
// view's latest reply, the whole of what is remembered of a healthy target.
func (j *judgement) each(v int32, visit func(Line, *View)) {
	n, c := &j.g.nodes[v], j.checkOf(v)
	for i := range c.Views {
		if view := &c.Views[i]; view.State != Unknown {
			visit(Line{Host: j.g.hosts[n.host].ID, Check: j.g.checks[n.check].ID, Vantage: view.Vantage,
				Trial: Trial{Epoch: view.Fresh, After: time.Duration(view.Replied - view.Fresh*int64(time.Second)),
					Outcome: Reply, RTT: view.RTT}}, view)
		}
	}
}

func (j *judgement) evidence(i *Incident, d *diagnosis) (out []Line) {
	var parents []int32
	for _, id := range i.Roots {
		v := j.g.index[id]
		out = append(out, j.attempts(v)...)
		parents = append(parents, j.carrying(v, d)...)
	}
	slices.Sort(parents)
	for _, m := range slices.Compact(parents) {
		out = append(out, j.latest(m)...)
	}
	for _, id := range i.Suppressed[:min(len(i.Suppressed), suppressedLines)] {
		out = append(out, j.latest(j.g.index[id])...)
	}
	return out
}

// carrying are the parents that lead to a node.
func (j *judgement) carrying(v int32, d *diagnosis) (out []int32) {
	for _, group := range j.g.nodes[v].groups {
		for _, m := range group {
			if d.carries[m] && !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}

func (j *judgement) whyOpen(i *Incident, d *diagnosis) Explanation {
	e := Explanation{Evidence: j.evidence(i, d)}
	e.Zh, e.En = j.causes(i, d)
	return e
}

// causes says why these nodes and no others.
func (j *judgement) causes(i *Incident, d *diagnosis) (zh, en string) {
	var z, n []string
	for _, id := range i.Roots[:min(len(i.Roots), namesShown)] {
		a, b := j.cause(j.g.index[id], d)
		z, n = append(z, a), append(n, b)
	}
	if more := len(i.Roots) - namesShown; more > 0 {
		z, n = append(z, fmt.Sprintf("另有 %d 个原因", more)), append(n, fmt.Sprintf("and %d more causes", more))
	}
	zh, en = strings.Join(z, "；")+"。", strings.Join(n, "; ")+"."
	if k := len(i.Suppressed); k > 0 {
		zh += fmt.Sprintf("另有 %d 台设备受牵连：通往它们的每一条路径都经过上述原因，所以不单独告警。", k)
		en += fmt.Sprintf(" %s affected: every path to them crosses the causes above, so they raise no alarm of their own.", devices(k, "is", "are"))
	}
	return zh, en
}

func (j *judgement) cause(v int32, d *diagnosis) (zh, en string) {
	n, c := &j.g.nodes[v], j.checkOf(v)
	zh, en = n.name+" 现在有回应，但状态反复变化", n.name+" answers now but keeps changing"
	if d.cond[v] == Failing {
		zh, en = j.failing(v)
	}
	if c.Overlay&Flapping != 0 && c.Changes > 1 {
		zh += fmt.Sprintf("（反复 %d 次）", c.Changes)
		en += fmt.Sprintf(" (%d changes)", c.Changes)
	}
	if c.Overlay&Disputed != 0 {
		zh, en = zh+"（各观测点看法不一）", en+" (the vantages disagree)"
	}
	parents := j.carrying(v, d)
	if len(n.groups) == 0 {
		return zh + "，它不依赖其他设备", en + "; it depends on no other device"
	}
	var names []string
	after := true
	for _, m := range parents {
		names = append(names, j.g.nodes[m].name)
		after = after && j.checkOf(m).Replied >= c.Failing
	}
	if !after || len(names) == 0 {
		return zh + "，它所依赖的设备没有已知的故障", en + "; nothing it depends on is known to fail"
	}
	return zh + "，而它所依赖的 " + strings.Join(names, "、") + " 在此之后仍有回应",
		en + ", while " + strings.Join(names, ", ") + ", on which it depends, answered after that"
}

// failing puts the latest losses of a node into words.
func (j *judgement) failing(v int32) (zh, en string) {
	name, total, lost, told := j.g.nodes[v].name, 0, 0, 0
	how, by := Lost, ""
	for _, l := range j.attempts(v) {
		total++
		switch {
		case l.Outcome == NoRoute:
			lost, told, by = lost+1, told+1, l.By
		case l.Outcome.lost():
			lost, how = lost+1, l.Outcome
		}
	}
	// An address has no place in a text that everybody may read.
	zhBy, enBy := "路由器", "a router"
	if r, known := j.g.index[by]; known {
		zhBy, enBy = " "+j.g.nodes[r].name+" ", j.g.nodes[r].name
	}
	zhHow, enHow := "没有回应", "got no answer"
	switch {
	case told > 0 && told == lost:
		zhHow, enHow = "被"+zhBy+"告知无法到达", "were told by "+enBy+" that there is no route"
	case told > 0: // routers do not say it every time
		zhHow, enHow = "失败，其中"+zhBy+"告知无法到达", "failed, and "+enBy+" said that there is no route"
	case how == Failed:
		zhHow, enHow = "得到的回应不正确", "got a wrong answer"
	}
	return fmt.Sprintf("%s 最近 %d 次探测中有 %d 次%s", name, total, lost, zhHow),
		fmt.Sprintf("%s: %d of the last %d attempts %s", name, lost, total, enHow)
}

func (j *judgement) whyUpdate(i, old *Incident, joined, left []string, d *diagnosis) Explanation {
	e := Explanation{Evidence: j.evidence(i, d)}
	zh, en := j.causes(i, d)
	if len(joined) > 0 {
		e.Zh += "新加入：" + j.list(joined, "、") + "。"
		e.En += "Joined: " + j.list(joined, ", ") + ". "
	}
	if len(left) > 0 {
		e.Zh += "已离开：" + j.list(left, "、") + "。"
		e.En += "Left: " + j.list(left, ", ") + ". "
	}
	if i.Flapping && !old.Flapping {
		e.Zh += "状态反复变化，稳定之后才给出结论。"
		e.En += "It keeps changing; the outcome is told once it has settled. "
	} else if old.Flapping && !i.Flapping {
		e.Zh += "状态已稳定：仍未恢复。"
		e.En += "It has settled: still not well. "
	}
	e.Zh, e.En = e.Zh+zh, e.En+en
	return e
}

func (j *judgement) whyClose(old *Incident, reason CloseReason, into string) Explanation {
	var e Explanation
	for _, id := range old.Faults {
		if v, ok := j.g.index[id]; ok {
			e.Evidence = append(e.Evidence, j.attempts(v)...)
		}
	}
	zh, en := j.list(old.Faults, "、"), j.list(old.Faults, ", ")
	switch reason {
	case Merged:
		e.Zh = "与更早的故障 " + into + " 属于同一片区域，并入其中。"
		e.En = "Part of the same region as the earlier incident " + into + ", which goes on."
	case Removed:
		e.Zh, e.En = zh+" 已不在监测范围内。", en+" left the network."
	default:
		e.Zh, e.En = zh+" 已恢复。", en+" recovered."
		if k := len(old.Suppressed); k > 0 {
			e.Zh += fmt.Sprintf("受牵连的 %d 台设备会重新探测，仍不通的另行立案。", k)
			e.En += fmt.Sprintf(" %s looked at afresh; what still fails then becomes an incident of its own.", devices(k, "is", "are"))
		}
	}
	return e
}

func whyVantage(id string, v VantageState) Explanation {
	if v.State == Sick {
		return Explanation{
			Zh: fmt.Sprintf("观测点 %s 看到 %d 个互不相关的目标中有 %d 个同时失败：多半是观测点自身的网络有问题。它的这一轮不判定任何设备为故障。", id, v.Of, v.Failing),
			En: fmt.Sprintf("vantage %s sees %d of %d unrelated targets fail at once: more likely its own network is at fault. Its round makes nothing DOWN.", id, v.Failing, v.Of),
		}
	}
	return Explanation{Zh: "观测点 " + id + " 恢复正常。", En: "vantage " + id + " can be believed again."}
}

// list names a few nodes and counts the rest.
func (j *judgement) list(ids []string, sep string) string {
	var names []string
	for _, id := range ids[:min(len(ids), namesShown)] {
		if v, ok := j.g.index[id]; ok {
			id = j.g.nodes[v].name
		}
		names = append(names, id)
	}
	if more := len(ids) - namesShown; more > 0 {
		names = append(names, fmt.Sprintf("+%d", more))
	}
	return strings.Join(names, sep)
}

func devices(n int, one, many string) string {
	if n == 1 {
		return "1 device " + one
	}
	return fmt.Sprintf("%d devices %s", n, many)
}
