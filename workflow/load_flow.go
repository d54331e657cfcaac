package workflow

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"kelian/workflow/flow"
)

// flowLoader reads what asks: blocks, steps, rules, deadlines.
type flowLoader struct {
	*loader
	form      *Form
	guards    *guards
	seats     map[string]SeatExpr
	targets   []string // of send_back
	targetsAt *node
	places    map[string]*node
	choices   int
}

var (
	spanText    = regexp.MustCompile(`^([1-9][0-9]{0,3})(bd|bh|h|m)$`)
	percentText = regexp.MustCompile(`^([1-9][0-9]{0,2})%$`)
	ratioText   = regexp.MustCompile(`^([1-9][0-9]{0,2})/([1-9][0-9]{0,2})$`)
	quorumText  = regexp.MustCompile(`^([1-9][0-9]{0,2}) of n$`)
)

func (l *flowLoader) blocks(n *node, what string) []flow.Block {
	if n == nil || !l.expect(n, listNode, what) {
		return nil
	}
	var out []flow.Block
	for _, x := range n.items {
		if l.expect(x, mapNode, what) {
			out = append(out, l.block(x))
		}
	}
	if len(out) == 0 {
		l.mark("", what, n)
	}
	return out
}

func (l *flowLoader) block(n *node) flow.Block {
	switch {
	case n.get("step") != nil:
		return flow.Block{Kind: flow.KindStep, Step: l.step(n)}
	case n.get("seq") != nil:
		l.only(n, "seq", []string{"seq"})
		return flow.Block{Kind: flow.KindSeq, Blocks: l.blocks(n.get("seq"), "seq")}
	case n.get("par") != nil:
		l.only(n, "par", []string{"par"})
		return flow.Block{Kind: flow.KindPar, Blocks: l.blocks(n.get("par"), "par")}
	case n.get("choice") != nil:
		l.only(n, "choice", []string{"choice"})
		return l.choice(n.get("choice"))
	case n.get("when") != nil:
		return l.choice(&node{kind: listNode, line: n.line, col: n.col, items: []*node{n}})
	}
	l.add(n, "BLOCK", "这里要写 step、seq、par、choice 或 when", "here stands step, seq, par, choice or when")
	return flow.Block{Kind: flow.KindSeq}
}

// choice reads a list of {when, do}, the last of which may be {else}.
func (l *flowLoader) choice(n *node) flow.Block {
	l.choices++
	b := flow.Block{Kind: flow.KindChoice, Choice: fmt.Sprintf("c%d", l.choices)}
	if !l.expect(n, listNode, "choice") {
		return b
	}
	for i, x := range n.items {
		if x.get("else") != nil {
			l.only(x, "else", []string{"else"})
			l.mark("", "else", x)
			b.Branches = append(b.Branches, flow.Branch{Blocks: l.blocks(x.get("else"), "do")})
			continue
		}
		if !l.only(x, "when", []string{"when", "do"}) {
			continue
		}
		br := flow.Branch{Guard: fmt.Sprintf("%s.%d", b.Choice, i+1)}
		br.When, _ = x.get("when").text()
		l.guards.flow = append(l.guards.flow, l.branch(x.get("when"), br.Guard))
		br.Blocks = l.blocks(x.get("do"), "do")
		b.Branches = append(b.Branches, br)
	}
	return b
}

func (l *flowLoader) step(n *node) *flow.Step {
	l.only(n, "step", []string{"step", "title", "ask"}, "rule", "reads", "fields", "due", "on_due",
		"distinct_from", "send_back", "link", "strong", "paper", "always_ask", "draw", "not_same_unit", "fixed")
	s := &flow.Step{Name: l.str(n.get("step"), "step"), Title: l.bilingual(n.get("title"), "title"),
		Link: l.flag(n.get("link"), "link"), Strong: l.flag(n.get("strong"), "strong"),
		Paper: l.flag(n.get("paper"), "paper"), AlwaysAsk: l.flag(n.get("always_ask"), "always_ask"),
		NotSameUnit: l.flag(n.get("not_same_unit"), "not_same_unit"), Fixed: l.flag(n.get("fixed"), "fixed"),
		Draw: l.integer(n.get("draw"), "draw")}
	if prior := l.places[s.Name+"\x00"]; prior != nil {
		l.places[s.Name+"\x00step"] = n.get("step") // the second of the two is the mistake
	}
	l.mark(s.Name, "", n.get("step"))
	for _, k := range n.keys {
		l.mark(s.Name, k.name, k.value)
	}
	l.ask(n.get("ask"), s)
	s.Rule = l.rule(n.get("rule"))
	s.Reads = l.pointers(n.get("reads"), "reads")
	s.Fields = l.rights(n.get("fields"), s)
	l.linkTakesNoFile(n.get("link"), s)
	s.Due = l.span(n.get("due"))
	s.OnDue = l.onDue(n.get("on_due"))
	s.DistinctFrom = l.strs(n.get("distinct_from"), "distinct_from")
	s.SendBack = l.strs(n.get("send_back"), "send_back")
	return s
}

// ask reads seat expressions, each alone or as {seat, weight}.
func (l *flowLoader) ask(n *node, s *flow.Step) {
	if n == nil {
		return
	}
	list := []*node{n}
	if n.kind == listNode {
		list = n.items
	}
	for _, x := range list {
		at := x
		if x.kind == mapNode {
			if !l.only(x, "ask", []string{"seat", "weight"}) {
				continue
			}
			at = x.get("seat")
		}
		e := l.str(at, "ask")
		l.seat(at, e)
		s.Ask = append(s.Ask, e)
		if w := x.get("weight"); w != nil {
			if s.Weights == nil {
				s.Weights = map[string]int{}
			}
			s.Weights[e] = l.integer(w, "weight")
		}
	}
}

// rule reads any, all, "3 of n", or a mapping with turnout, veto, abstain and
// the points to be given.
func (l *flowLoader) rule(n *node) flow.Rule {
	if n == nil {
		return flow.Rule{Kind: flow.Any}
	}
	if n.kind == scalarNode {
		return l.threshold(n)
	}
	if !l.only(n, "rule", []string{"pass"}, "of", "turnout", "veto", "abstain", "in_turn", "score") || n.get("pass") == nil {
		return flow.Rule{Kind: flow.Any}
	}
	r := l.threshold(n.get("pass"))
	if of := n.get("of"); of != nil {
		switch s := l.str(of, "of"); {
		case r.Kind == flow.Percent && s == "cast":
			r.Kind = flow.OfCast
		case r.Kind != flow.Percent || s != "all":
			l.add(of, "RULE", "of 只能是 all 或 cast，并且只用于比例", "of is all or cast, and only beside a share")
		}
	}
	if v := n.get("turnout"); v != nil {
		r.Turnout = l.share(v)
	}
	r.Veto = l.flag(n.get("veto"), "veto")
	r.InTurn = l.flag(n.get("in_turn"), "in_turn")
	if v := n.get("score"); v != nil && l.only(v, "score", []string{"max", "mean"}) {
		r.Score, r.Mean = l.number(v.get("max"), "max"), l.number(v.get("mean"), "mean")
	}
	if v := n.get("abstain"); v != nil {
		r.Abstain = l.flag(v, "abstain")
	}
	return r
}

// number reads a whole number, or params.<name> that holds one.
func (l *flowLoader) number(n *node, what string) int {
	text, _ := n.text()
	name, isParam := strings.CutPrefix(text, "params.")
	if !isParam {
		return l.integer(n, what)
	}
	v, ok := l.guards.params[name].(int64)
	if !ok {
		l.add(n, "PARAM", "没有数值参数“"+name+"”", "there is no numeric parameter "+name)
	}
	return int(v)
}

// threshold reads the number that passes. Where several are counted,
// abstaining is allowed unless the definition says otherwise.
func (l *flowLoader) threshold(n *node) flow.Rule {
	s := l.str(n, "rule")
	switch {
	case s == "any":
		return flow.Rule{Kind: flow.Any}
	case s == "all":
		return flow.Rule{Kind: flow.All}
	case s == "objection":
		return flow.Rule{Kind: flow.Objection}
	case quorumText.MatchString(s):
		k, _ := strconv.Atoi(quorumText.FindStringSubmatch(s)[1])
		return flow.Rule{Kind: flow.KOfN, K: k, Abstain: true}
	case ratioText.MatchString(s) || percentText.MatchString(s):
		return flow.Rule{Kind: flow.Percent, Percent: l.share(n), Abstain: true}
	}
	l.add(n, "RULE", "规则要写成 any、all、3 of n、2/3、60% 或 objection", "a rule is written any, all, 3 of n, 2/3, 60% or objection")
	return flow.Rule{Kind: flow.Any}
}

func (l *flowLoader) share(n *node) flow.Ratio {
	s := l.str(n, "share")
	if m := ratioText.FindStringSubmatch(s); m != nil {
		num, _ := strconv.Atoi(m[1])
		den, _ := strconv.Atoi(m[2])
		return flow.Ratio{Num: num, Den: den}
	}
	if m := percentText.FindStringSubmatch(s); m != nil {
		num, _ := strconv.Atoi(m[1])
		return flow.Ratio{Num: num, Den: 100}
	}
	l.add(n, "RULE", "比例要写成 2/3 或 60%", "a share is written 2/3 or 60%")
	return flow.Ratio{Num: 1, Den: 1}
}

func (l *flowLoader) pointers(n *node, what string) []string {
	out := l.strs(n, what)
	for i, p := range out {
		l.pointer(n.item(i), p)
	}
	return out
}

// rights reads {read, edit, hide, require}: lists of fields.
func (l *flowLoader) rights(n *node, s *flow.Step) []flow.FieldRight {
	if n == nil || !l.only(n, "fields", nil, "read", "edit", "hide", "require") {
		return nil
	}
	var out []flow.FieldRight
	for _, right := range []flow.Right{flow.Read, flow.Edit, flow.Hide, flow.Require} {
		for _, p := range l.pointers(n.get(string(right)), string(right)) {
			out = append(out, flow.FieldRight{Field: p, Right: right})
			if right == flow.Hide && (len(s.Reads) == 0 || flow.Covers(s.Reads, p)) {
				l.add(n.get("hide"), "HIDDEN_READ", "隐藏的字段 "+p+" 不能算作审批人读过（写明 reads）",
					"a vote cannot sign the hidden field "+p+"; name what it reads")
			}
		}
	}
	return out
}

// linkTakesNoFile refuses a step that is decided by link and has its decider
// attach a file: who comes by a link uploads nothing.
func (l *flowLoader) linkTakesNoFile(at *node, s *flow.Step) {
	for _, x := range FillOf(s) {
		if f, ok := l.form.Field(x.Pointer); ok && s.Link && f.anyFile() {
			l.add(at, "LINK_FILE", "用链接办理的人不能上传附件，而这一步要填 "+x.Pointer, "who decides by link uploads nothing, and this step fills in the file "+x.Pointer)
		}
	}
}

func (l *flowLoader) span(n *node) flow.Span {
	if n == nil {
		return flow.Span{}
	}
	s, _ := n.text()
	m := spanText.FindStringSubmatch(s)
	if m == nil {
		l.add(n, "DUE", "期限要写成 2bd、8bh、36h 或 30m", "a due time is written 2bd, 8bh, 36h or 30m")
		return flow.Span{N: 1, Unit: flow.WorkingDays}
	}
	v, _ := strconv.Atoi(m[1])
	if m[2] == "h" {
		return flow.Span{N: v * 60, Unit: flow.Minutes}
	}
	return flow.Span{N: v, Unit: flow.Unit(m[2])}
}

func (l *flowLoader) onDue(n *node) flow.OnDue {
	var out flow.OnDue
	if n == nil || !l.only(n, "on_due", nil, "remind", "then") {
		return out
	}
	for _, s := range l.strs(n.get("remind"), "remind") {
		m := percentText.FindStringSubmatch(s)
		if m == nil {
			l.add(n.get("remind"), "DUE", "提醒要写成百分比，例如 50%", "a reminder is a percentage, e.g. 50%")
			continue
		}
		v, _ := strconv.Atoi(m[1])
		out.Remind = append(out.Remind, v)
	}
	then := n.get("then")
	if then == nil {
		return out
	}
	s := l.str(then, "then")
	for _, call := range []flow.Then{flow.ThenEscalate, flow.ThenWiden} {
		if seat, ok := callArg(strings.TrimSpace(s), string(call)); ok {
			l.seat(then, seat)
			out.Then, out.Escalate = call, seat
			return out
		}
	}
	out.Then = flow.Then(s)
	if ok, list := oneOf(out.Then, flow.ThenRemind, flow.ThenAbstain, flow.ThenReject, flow.ThenPass, flow.ThenReplace); !ok {
		l.add(then, "DUE", "到期处理只有 "+list+"、escalate(岗位) 和 widen(岗位)；除公示外到期不会自动同意", "then is "+list+", escalate(seat) or widen(seat); nothing but an objection window is approved by lapse of time")
		out.Then = flow.ThenRemind
	}
	return out
}
