package proof

import (
	"fmt"
	"slices"
	"strings"

	"kelian/workflow/flow"
)

// People is the directory at one moment, as the definition's seat expressions
// see it.
type People struct{ Situations []Situation }

// Situation is one way to ask: for a unit, with units in the form.
type Situation struct {
	Unit string // for people: the unit's code, or "" where none matters
	// Seats are the holders by seat expression: all that steps ask and escalate
	// to, and Policy.Empty.
	Seats map[string][]flow.Elector
	// Barred by step and person, see flow.Facts.
	Barred map[string]map[string]flow.Code
}

// most is how many different paths through the guards are staffed.
const mostPaths = 256

// people staffs every path for everybody who may ask, then again with each
// escalation, and with each person away.
func (p *prover) people(w *worlds) {
	if p.People == nil {
		p.report.People = Layer{Verdict: Skipped, Zh: "没有对照人员名录", En: "no directory was at hand"}
		return
	}
	before := len(p.report.Findings)
	paths, all := w.paths(p.Flow.Blocks)
	c := &crew{prover: p, said: map[string]bool{}, left: p.Budget.Nodes}
	for i := range p.People.Situations {
		sit := &p.People.Situations[i]
		for _, path := range paths {
			c.situation(sit, path)
		}
	}
	bounded := !all || c.left <= 0
	p.report.People = Layer{Verdict: p.verdict(before, bounded), Explored: c.solved}
	if bounded {
		p.report.People.Zh, p.report.People.En = "人员与路径的组合太多，没有穷尽", "there are too many combinations of people and paths to try them all"
	}
	if len(p.People.Situations) == 0 {
		p.report.People = Layer{Verdict: Skipped, Zh: "名录里没有可以提出这种申请的单位", En: "the directory has no unit that could ask for this"}
	}
}

// crew staffs and reports each kind of trouble once per step.
type crew struct {
	*prover
	said   map[string]bool
	solved int
	left   int // search nodes
}

func (c *crew) situation(sit *Situation, path []*flow.Step) {
	all := candidates(sit, c.Flow, path)
	plain := staffing{crew: c, sit: sit, path: path}
	if stop := plain.solve(); stop != nil {
		c.unstaffed(&plain, stop)
		return // whoever asks and whoever is away, it only gets worse
	}
	c.escalations(plain)
	for _, away := range all {
		short := plain
		short.absent = away
		if stop := short.solve(); stop != nil {
			c.unstaffed(&short, stop)
		}
	}
	if !c.Flow.Policy.NotRequester {
		return // it makes no difference who asks
	}
	for _, requester := range all {
		own := plain
		own.requester = requester
		if stop := own.solve(); stop != nil {
			c.unstaffed(&own, stop)
		} else {
			c.escalations(own)
		}
	}
}

// escalations staffs again with each step in the hands of its escalation seat.
func (c *crew) escalations(base staffing) {
	for _, s := range base.path {
		if s.OnDue.Then != flow.ThenEscalate {
			continue
		}
		late := base
		late.escalated = s.Name
		if stop := late.solve(); stop != nil {
			c.unstaffed(&late, stop)
		}
	}
}

// candidates are all people whom some step, escalation or fallback may ask.
func candidates(sit *Situation, def *flow.Definition, path []*flow.Step) []string {
	var out []string
	seats := []string{def.Policy.Empty}
	for _, s := range path {
		seats = append(append(seats, s.Ask...), s.OnDue.Escalate)
	}
	for _, seat := range seats {
		for _, e := range sit.Seats[seat] {
			for _, person := range []string{e.Person, e.For} {
				if person != "" && !slices.Contains(out, person) {
					out = append(out, person)
				}
			}
		}
	}
	return out
}

// unstaffed reports the step at which a staffing fails.
func (c *crew) unstaffed(s *staffing, stop *stop) {
	f := Finding{Severity: Error, Step: stop.step.Name, Field: "ask",
		Witness: &Witness{Unit: s.sit.Unit, Requester: s.requester, Absent: s.absent, Escalated: s.escalated, Person: stop.person}}
	zh, en := "“"+stop.step.Title.Zh+"”", "“"+stop.step.Title.En+"”"
	if s.sit.Unit != "" {
		zh, en = s.sit.Unit+" 提出申请时，"+zh, en+", asked for "+s.sit.Unit+","
	}
	switch {
	case s.escalated != "":
		f.Code, f.Field = "STAFF_ESCALATION", "distinct_from"
		t := c.title(s.escalated)
		f.Zh = fmt.Sprintf("“%s”逾期升级后，%s找不到另一个人审批", t.Zh, zh)
		f.En = fmt.Sprintf("once “%s” is late and escalated, %s finds nobody else to decide", t.En, en)
	case s.absent != "":
		f.Code, f.Severity = "STAFF_ONE_DEEP", Warning
		f.Zh = fmt.Sprintf("%s不在时，%s办不下去", s.seats(s.absent), zh)
		f.En = fmt.Sprintf("while %s is away, %s cannot go on", s.seats(s.absent), en)
	case s.requester != "":
		f.Code = "STAFF_REQUESTER"
		f.Zh = fmt.Sprintf("%s自己提出申请时，%s没有别人可以审批", s.seats(s.requester), zh)
		f.En = fmt.Sprintf("when %s asks, %s has nobody else to decide", s.seats(s.requester), en)
	default:
		f.Code = stop.code
		f.Zh, f.En = zh+map[string]string{"STAFF_VACANT": "现在没有人", "STAFF_TOO_FEW": "人数不够", "STAFF_DISTINCT": "找不到与前面不同的人"}[stop.code],
			en+map[string]string{"STAFF_VACANT": " finds nobody", "STAFF_TOO_FEW": " finds too few people", "STAFF_DISTINCT": " finds nobody who did not decide before"}[stop.code]
	}
	f.Zh += "（" + strings.Join(stop.step.Ask, "、") + "）"
	f.En += " (" + strings.Join(stop.step.Ask, ", ") + ")"
	key := strings.Join([]string{f.Code, f.Step, s.escalated}, " ")
	if !c.said[key] {
		c.said[key] = true
		c.add(f)
	}
}

// seats are those that a person holds, for people to read.
func (s *staffing) seats(person string) string {
	var out []string
	for _, list := range s.sit.Seats {
		for _, e := range list {
			if (e.Person == person || e.For == person) && !slices.Contains(out, e.Seat) {
				out = append(out, e.Seat)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, "、")
}

// paths are the sequences of steps that some form asks, without those that are
// part of a longer one; false: there are too many to list.
func (w *worlds) paths(blocks []flow.Block) ([][]*flow.Step, bool) {
	ways, all := w.ways(blocks, []way{{}})
	var out [][]*flow.Step
	for i, a := range ways {
		part := slices.ContainsFunc(ways, func(b way) bool {
			return len(b.steps) > len(a.steps) && a.within(b)
		}) || slices.ContainsFunc(ways[:i], func(b way) bool { return len(b.steps) == len(a.steps) && a.within(b) })
		if !part {
			out = append(out, a.steps)
		}
	}
	return out, all
}

type way struct {
	want  answers
	steps []*flow.Step
}

func (a way) within(b way) bool {
	return !slices.ContainsFunc(a.steps, func(s *flow.Step) bool { return !slices.Contains(b.steps, s) })
}

func (w *worlds) ways(blocks []flow.Block, in []way) ([]way, bool) {
	all := true
	for i := range blocks {
		b := &blocks[i]
		var out []way
		switch b.Kind {
		case flow.KindStep:
			for _, x := range in {
				out = append(out, way{x.want, append(slices.Clone(x.steps), b.Step)})
			}
		case flow.KindChoice:
			rest := in
			for k := range b.Branches {
				br := &b.Branches[k]
				taken, more := w.ways(br.Blocks, w.narrow(rest, br.Guard, true))
				out, all = append(out, taken...), all && more
				rest = w.narrow(rest, br.Guard, false)
			}
			out = append(out, rest...)
		default:
			var more bool
			out, more = w.ways(b.Blocks, in)
			all = all && more
		}
		if len(out) > mostPaths {
			out, all = out[:mostPaths], false
		}
		in = out
	}
	return in, all
}

// narrow keeps the ways on which the guard may answer so; "" always holds.
func (w *worlds) narrow(in []way, guard string, holds bool) []way {
	if guard == "" {
		if holds {
			return in
		}
		return nil
	}
	var out []way
	for _, x := range in {
		if want := x.want.with(guard, holds); w.possible(want) {
			out = append(out, way{want, x.steps})
		}
	}
	return out
}
