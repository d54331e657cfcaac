package workflow

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"kelian/workflow/flow"
)

var (
	definitionKey = regexp.MustCompile(`^[a-z]+\.[a-z][a-z0-9_]{0,39}$`)
	effectName    = regexp.MustCompile(`^[a-z]+\.[a-z][a-z0-9_]{0,39}$`)
)

// Load reads, proves and compiles a definition. The error is Problems, every
// mistake with its line and column; a text with any does not load.
func Load(src []byte, known Known) (*Definition, error) {
	root, problem := parseYAML(src)
	if problem != nil {
		return nil, Problems{*problem}
	}
	known.Facts, known.Effects = slices.Concat(known.Facts, ownFacts), slices.Concat(known.Effects, ownEffects)
	l := &flowLoader{loader: &loader{known: known}, places: map[string]*node{}, seats: map[string]SeatExpr{}}
	d := l.definition(root)
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b Problem) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Col - b.Col
		})
		return nil, slices.Compact(l.problems)
	}
	sum := sha256.Sum256(src)
	d.Flow.Hash = hex.EncodeToString(sum[:])
	d.Source = slices.Clone(src)
	return d, nil
}

// LoadPublished loads a text that was proved once: the desk names it uses are
// taken as known.
func LoadPublished(src []byte, known Known) (*Definition, error) {
	if root, problem := parseYAML(src); problem == nil {
		known.Facts = append(slices.Clone(known.Facts), textsOf(root.get("facts"))...)
		known.Effects = append(slices.Clone(known.Effects), textsOf(root.get("on_approved"))...)
	}
	return Load(src, known)
}

func textsOf(n *node) []string {
	if n == nil {
		return nil
	}
	var out []string
	for _, x := range n.items {
		if t, ok := x.text(); ok {
			out = append(out, t)
		}
	}
	return out
}

// definition reads the top level.
func (l *flowLoader) definition(n *node) *Definition {
	if !l.only(n, "definition", []string{"key", "title", "about", "unit", "form", "flow"},
		"params", "rules", "facts", "send_back", "policy", "on_approved", "cc", "close_out", "once", "expires") {
		return nil
	}
	d := &Definition{Flow: &flow.Definition{}}
	if k := n.get("key"); k != nil {
		d.Flow.Key = l.str(k, "key")
		if !definitionKey.MatchString(d.Flow.Key) {
			l.add(k, "KEY", "key 要写成 部门.名称，例如 office.property", "a key is written unit.name, e.g. office.property")
		}
	}
	d.Flow.Title = l.bilingual(n.get("title"), "title")
	d.About = l.bilingual(n.get("about"), "about")
	if u := n.get("unit"); u != nil {
		if d.Owner = l.str(u, "unit"); !slices.Contains(unitCodes, d.Owner) {
			l.add(u, "UNIT", "没有这个部门："+d.Owner, "there is no unit "+d.Owner)
		}
	}
	d.Params = l.params(n.get("params"))
	d.Flow.Params = map[string]any{}
	for _, p := range d.Params {
		d.Flow.Params[p.Name] = p.Value
	}
	d.Form = l.readForm(n.get("form"))
	d.Facts = l.names(n.get("facts"), "facts", l.known.Facts, "FACT_UNKNOWN")
	d.Flow.OnApproved = l.names(n.get("on_approved"), "on_approved", l.known.Effects, "EFFECT_UNKNOWN")
	for i, e := range d.Flow.OnApproved {
		if !effectName.MatchString(e) {
			l.add(n.get("on_approved").item(i), "EFFECT_UNKNOWN", "效果要写成 部门.动作", "an effect is written desk.action")
		}
	}
	if d.Form == nil {
		return d // what follows depends on the form
	}
	l.compile(n, d)
	return d
}

// compile reads everything that refers to the form.
func (l *flowLoader) compile(n *node, d *Definition) {
	g, err := newGuards(d.Form, d.Params, l.known)
	if err != nil {
		l.add(n.get("form"), "GUARD_ENV", "无法为条件准备变量："+err.Error(), "the form cannot be used in conditions: "+err.Error())
		return
	}
	d.guards, l.guards, l.form = g, g, d.Form
	l.rules(n.get("rules"))
	d.Once = l.once(n.get("once"))
	l.policy(n, d.Flow)
	d.Flow.Expires = l.expires(n.get("expires"))
	d.CloseOut = l.closeOut(n.get("close_out"), d.Flow)
	d.Flow.Blocks = l.blocks(n.get("flow"), "flow")
	l.defaultTargets(d.Flow)
	d.Seats, d.places = l.seats, l.placed
	for _, p := range flow.Check(d.Flow) {
		at := l.place(p.Step, p.Field)
		if at == nil {
			at = cmp.Or(n.get("flow"), n)
		}
		l.add(at, p.Code, p.Zh, p.En)
	}
}

// names reads a list of names that the rest of Kelian must know.
func (l *flowLoader) names(n *node, what string, known []string, code string) []string {
	if n == nil || !l.expect(n, listNode, what) {
		return nil
	}
	var out []string
	for _, x := range n.items {
		s := l.str(x, what)
		if slices.Contains(out, s) {
			l.add(x, "TWICE", "“"+s+"”写了两次", s+" stands here twice")
		}
		if !slices.Contains(known, s) {
			l.add(x, code, what+"：没有人提供“"+s+"”", what+": nobody provides "+s)
		}
		out = append(out, s)
	}
	return out
}

// params reads name: value or name: {value, title}.
func (l *flowLoader) params(n *node) []Param {
	if n == nil || !l.expect(n, mapNode, "params") {
		return nil
	}
	var out []Param
	for _, k := range n.keys {
		p := Param{Name: k.name, Title: flow.Text{Zh: k.name, En: k.name}}
		at, v := &node{line: k.line, col: k.col}, k.value
		if v.kind == mapNode {
			l.only(v, k.name, []string{"value", "title"})
			p.Title = l.bilingual(v.get("title"), "title")
			v = v.get("value")
		}
		if !word.MatchString(k.name) {
			l.add(at, "PARAM", "参数名要用小写字母、数字和下划线", "a parameter's name is lower-case letters, digits and _")
		}
		if v == nil {
			continue
		}
		switch v.value.(type) {
		case int64, bool, string:
			p.Value = v.value
		default:
			l.add(v, "PARAM", "参数应是整数、true/false 或文字", "a parameter is a whole number, true or false, or text")
		}
		out = append(out, p)
	}
	return out
}

// rules reads the conditions between fields.
func (l *flowLoader) rules(n *node) {
	if n == nil || !l.expect(n, listNode, "rules") {
		return
	}
	for _, x := range n.items {
		if !l.only(x, "rule", []string{"name", "holds", "at", "zh", "en"}) {
			continue
		}
		r := formRule{name: l.str(x.get("name"), "name"), at: l.str(x.get("at"), "at"),
			text: flow.Text{Zh: l.str(x.get("zh"), "zh"), En: l.str(x.get("en"), "en")}}
		if at := x.get("at"); at != nil {
			l.pointer(at, r.at)
		}
		r.guard = l.guard(x.get("holds"), r.name)
		l.guards.rules = append(l.guards.rules, r)
	}
}

// guard compiles a condition and places its mistakes in the text.
func (l *flowLoader) guard(n *node, name string) guard {
	src, ok := n.text()
	if !ok {
		if n != nil {
			l.add(n, "GUARD", "条件应是一个表达式（文字）", "a condition is an expression, written as text")
		}
		return guard{name: name}
	}
	g, iss := l.guards.compile(name, src)
	if iss != nil {
		l.add(n.inside(iss.line, iss.col), "GUARD", "条件有误："+iss.text, "the condition is wrong: "+iss.text)
	}
	at := n.inside(1, 1)
	g.line, g.col = at.line, at.col
	return g
}

// branch is the condition of a branch. It is evaluated again whenever the
// request moves, on the form as it is stored, where personal values are kept
// apart; rules between fields see the form as it is handed in, whole.
func (l *flowLoader) branch(n *node, name string) guard {
	g := l.guard(n, name)
	if g.ast == nil {
		return g
	}
	if pointer, line, col := g.personal(l.form); pointer != "" {
		l.add(n.inside(line, col), "PERSONAL_READ", "条件读了个人信息 "+pointer+"：它与表单分开保存，条件里总是空的",
			"the condition reads "+pointer+", which is personal and kept apart from the form, so that it is always empty here")
	}
	return g
}

// unread refuses a personal field where the stored form is read.
func (l *flowLoader) unread(at *node, pointer string) {
	if pointer != "" && l.form.apart(pointer) {
		l.add(at, "PERSONAL_READ", pointer+" 是个人信息，与表单分开保存，这里读不到",
			pointer+" is personal and kept apart from the form; it cannot be read here")
	}
}

// pointer refuses a pointer to a field the form does not have.
func (l *flowLoader) pointer(at *node, p string) {
	if _, ok := l.form.Field(p); !ok {
		l.add(at, "POINTER", "表单里没有 "+p, "the form has no field "+p)
	}
}

// seat parses a seat expression and remembers it.
func (l *flowLoader) seat(at *node, src string) {
	if src == "" {
		return
	}
	e, err := ParseSeat(src, l.form.Units())
	if err != nil {
		l.add(at, "SEAT", "岗位写法有误："+err.Error(), err.Error())
	}
	for u := &e.Unit; u != nil; u = u.Of {
		l.unread(at, u.Field)
	}
	l.seats[src] = e
}

// once reads the fields whose values one request alone may use: texts, or
// lists of texts.
func (l *flowLoader) once(n *node) []string {
	out := l.pointers(n, "once")
	for i, p := range out {
		f, ok := l.form.Field(p)
		if text := f.Type == "string" || f.Item != nil && f.Item.Type == "string"; ok && (!text || strings.Count(p, "/") != 1 || f.Max > onceMax || f.Item != nil && f.Item.Max > onceMax) {
			l.add(n.item(i), "ONCE", p+" 不是短文字或短文字的列表（不超过 200 字）", p+" is no short text or list of them (at most 200 characters)")
		}
		l.unread(n.item(i), p)
	}
	return out
}

func (l *flowLoader) policy(n *node, d *flow.Definition) {
	d.Policy = flow.Policy{NotRequester: true, Dedupe: flow.DedupeConsecutive, Mode: flow.ReturnToMe}
	if p := n.get("policy"); p != nil && l.only(p, "policy", nil, "not_requester", "dedupe", "empty", "withdraw_days", "interest", "stop") {
		if v := p.get("not_requester"); v != nil {
			d.Policy.NotRequester = l.flag(v, "not_requester")
		}
		if v := p.get("dedupe"); v != nil {
			d.Policy.Dedupe = flow.Dedupe(l.str(v, "dedupe"))
			l.mark("", "dedupe", v)
		}
		if v := p.get("empty"); v != nil {
			d.Policy.Empty = l.str(v, "empty")
			l.seat(v, d.Policy.Empty)
		}
	}
	if p := n.get("policy"); p != nil {
		d.Policy.WithdrawDays = l.integer(p.get("withdraw_days"), "withdraw_days")
		l.mark("", "withdraw_days", p.get("withdraw_days"))
		d.Policy.Interest = l.names(p.get("interest"), "interest", Interests, "INTEREST_UNKNOWN")
		l.interest(p.get("interest"))
		d.Policy.Stop = l.seatList(p.get("stop"), "stop")
	}
	d.Policy.CC = l.seatList(n.get("cc"), "cc")
	b := n.get("send_back")
	if b == nil || !l.only(b, "send_back", []string{"targets"}, "mode", "max") {
		return
	}
	l.targets = l.strs(b.get("targets"), "targets")
	l.targetsAt = b.get("targets")
	if v := b.get("mode"); v != nil {
		d.Policy.Mode = flow.Mode(l.str(v, "mode"))
		l.mark("", "mode", v)
	}
	d.Policy.MaxSendBack = l.integer(b.get("max"), "max")
}

// interest refuses relations that rest on fields which cannot be read.
func (l *flowLoader) interest(n *node) {
	kinds := map[string]string{"named": kindPerson, "host": "unit"}
	for i, relation := range l.strs(n, "interest") {
		for _, f := range l.form.Fields {
			if kind := kinds[relation]; kind != "" && (f.Kind == kind || f.Item != nil && f.Item.Kind == kind) {
				l.unread(n.item(i), f.Pointer)
			}
		}
	}
}

func (l *flowLoader) seatList(n *node, what string) []string {
	out := l.strs(n, what)
	for i, e := range out {
		l.seat(n.item(i), e)
	}
	return out
}

// closeOut reads what the requester owes after approval, and the form of it.
func (l *flowLoader) closeOut(n *node, d *flow.Definition) *Form {
	if n == nil || !l.only(n, "close_out", []string{"after", "due", "form"}) {
		return nil
	}
	rule := &flow.CloseOutRule{After: l.str(n.get("after"), "after"), Due: l.span(n.get("due"))}
	l.pointer(n.get("after"), rule.After)
	l.unread(n.get("after"), rule.After)
	if f, ok := l.form.Field(rule.After); ok && f.Format != "date" && f.Format != "date-time" {
		l.add(n.get("after"), "CLOSE_OUT", rule.After+" 不是日期字段", rule.After+" is not a date")
	}
	l.mark("", "close_out", n)
	form := l.readForm(n.get("form"))
	if form == nil {
		return nil
	}
	if len(form.Personal()) > 0 {
		l.add(n.get("form"), "CLOSE_OUT", "结项材料里不收集个人信息", "a report holds no personal fields")
	}
	d.CloseOut = rule
	return form
}

// expires reads the date by which the request has to be decided.
func (l *flowLoader) expires(n *node) string {
	if n == nil {
		return ""
	}
	p := l.str(n, "expires")
	l.pointer(n, p)
	l.unread(n, p)
	if f, ok := l.form.Field(p); ok && f.Format != "date" && f.Format != "date-time" {
		l.add(n, "EXPIRES", p+" 不是日期字段", p+" is not a date")
	}
	return p
}

// defaultTargets gives each step without targets of its own those of the
// definition that stand before it.
func (l *flowLoader) defaultTargets(d *flow.Definition) {
	for i, t := range l.targets {
		if t != flow.Start && d.Step(t) == nil {
			l.add(l.targetsAt.item(i), "TARGET", "没有步骤“"+t+"”", "there is no step "+t)
		}
	}
	for _, s := range d.Steps() {
		if s.SendBack != nil {
			continue
		}
		for _, t := range l.targets {
			if t == flow.Start || d.Precedes(t, s.Name) {
				s.SendBack = append(s.SendBack, t)
			}
		}
	}
}

// mark remembers where a step's field stands, for flow.Check's findings.
func (l *flowLoader) mark(step, field string, at *node) {
	if key := step + "\x00" + field; at != nil && l.places[key] == nil {
		l.places[key] = at
	}
}

// placed is place as the proof asks for it.
func (l *flowLoader) placed(step, field string) (line, col int) {
	if n := l.place(step, field); n != nil {
		return n.line, n.col
	}
	return 0, 0
}

// place finds a marked field, else its step.
func (l *flowLoader) place(step, field string) *node {
	if n := l.places[step+"\x00"+field]; n != nil {
		return n
	}
	return l.places[step+"\x00"]
}

// oneOf says whether s is in the list, and lists it for the message.
func oneOf[T ~string](s T, list ...T) (bool, string) {
	names := make([]string, len(list))
	for i, x := range list {
		names[i] = string(x)
	}
	return slices.Contains(list, s), strings.Join(names, ", ")
}
