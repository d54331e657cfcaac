package workflow

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kelian/workflow/flow"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// prefixNames are the names of beginnings of codes: "college." is any college.
var prefixNames = map[string]flow.Text{"college.": {Zh: "学院", En: "the colleges"}, "society.": {Zh: "社团", En: "the societies"},
	"fed.": {Zh: "主席团", En: "the presidium"}, "league.": {Zh: "团委", En: "the League Committee"}, "outside.": {Zh: "校外单位", En: "outside parties"}}

// Condition is a branch's condition in words: the fields by their titles, the
// parameters by their values. names spells the code of a unit or a seat; what
// it does not know is shown as it is. A
// condition that the words do not reach is its source.
func (d *Definition) Condition(b flow.Branch, names func(code string) flow.Text) flow.Text {
	i := slices.IndexFunc(d.guards.flow, func(g guard) bool { return g.name == b.Guard })
	if i < 0 || d.guards.flow[i].ast == nil {
		return flow.Text{Zh: b.When, En: b.When}
	}
	s := sayer{def: d, names: names}
	if t, ok := s.test(d.guards.flow[i].ast.NativeRep().Expr()); ok {
		return t
	}
	return flow.Text{Zh: b.When, En: b.When}
}

type sayer struct {
	def   *Definition
	names func(string) flow.Text
}

// test spells what is true or false.
func (s sayer) test(e ast.Expr) (flow.Text, bool) {
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
		return s.ticked(e, "填了%s", "%s is filled in")
	}
	if e.Kind() != ast.CallKind {
		return s.ticked(e, "%s：是", "%s: yes")
	}
	switch c := e.AsCall(); c.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr:
		return s.joined(c)
	case operators.LogicalNot:
		return s.not(c.Args()[0])
	case operators.In:
		return s.oneOf(c)
	case "startsWith":
		f, ok := s.field(c.Target())
		code, isText := literal(c.Args()[0])
		if !ok || !isText {
			return flow.Text{}, false
		}
		v, kind := prefixNames[code]
		if !kind {
			v = s.names(code)
		}
		return flow.Text{Zh: quoted(f.Title).Zh + "属于" + or(v.Zh, code), En: quoted(f.Title).En + " belongs to " + or(v.En, code)}, true
	default:
		return s.compared(c)
	}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// ticked puts the field's title into a sentence.
func (s sayer) ticked(e ast.Expr, zh, en string) (flow.Text, bool) {
	title, ok := s.title(e)
	return flow.Text{Zh: fmt.Sprintf(zh, title.Zh), En: fmt.Sprintf(en, title.En)}, ok
}

func (s sayer) not(e ast.Expr) (flow.Text, bool) {
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
		return s.ticked(e, "没填%s", "%s is not filled in")
	}
	if e.Kind() != ast.CallKind {
		return s.ticked(e, "%s：否", "%s: no")
	}
	t, ok := s.test(e)
	return flow.Text{Zh: "并非（" + t.Zh + "）", En: "not (" + t.En + ")"}, ok
}

// joined spells a chain of the same connective; a chain of the other one within
// it stands in brackets.
func (s sayer) joined(c ast.CallExpr) (flow.Text, bool) {
	word := flow.Text{Zh: "，且", En: ", and "}
	if c.FunctionName() == operators.LogicalOr {
		word = flow.Text{Zh: "，或", En: ", or "}
	}
	var zh, en []string
	for _, x := range chain(c) {
		t, ok := s.test(x)
		if !ok {
			return t, false
		}
		if x.Kind() == ast.CallKind && slices.Contains([]string{operators.LogicalAnd, operators.LogicalOr}, x.AsCall().FunctionName()) {
			t = flow.Text{Zh: "（" + t.Zh + "）", En: "(" + t.En + ")"}
		}
		zh, en = append(zh, t.Zh), append(en, t.En)
	}
	return flow.Text{Zh: strings.Join(zh, word.Zh), En: strings.Join(en, word.En)}, true
}

// chain flattens a && (b && c).
func chain(c ast.CallExpr) []ast.Expr {
	var out []ast.Expr
	for _, x := range c.Args() {
		if x.Kind() == ast.CallKind && x.AsCall().FunctionName() == c.FunctionName() {
			out = append(out, chain(x.AsCall())...)
		} else {
			out = append(out, x)
		}
	}
	return out
}

func (s sayer) oneOf(c ast.CallExpr) (flow.Text, bool) {
	f, ok := s.field(c.Args()[0])
	if !ok || c.Args()[1].Kind() != ast.ListKind {
		return flow.Text{}, false
	}
	var zh, en []string
	for _, x := range c.Args()[1].AsList().Elements() {
		v, ok := s.value(x, f)
		if !ok {
			return v, false
		}
		zh, en = append(zh, v.Zh), append(en, v.En)
	}
	return flow.Text{Zh: quoted(f.Title).Zh + "是" + strings.Join(zh, "或"), En: quoted(f.Title).En + " is " + strings.Join(en, " or ")}, true
}

// comparisons and what they are called with a number; equality has words of its
// own for other values.
var comparisons = map[string]flow.Text{
	operators.Equals: {Zh: "是", En: " is "}, operators.NotEquals: {Zh: "不是", En: " is not "},
	operators.Greater: {Zh: "超过 ", En: " is over "}, operators.GreaterEquals: {Zh: "达到 ", En: " is at least "},
	operators.Less: {Zh: "不到 ", En: " is under "}, operators.LessEquals: {Zh: "不超过 ", En: " is at most "},
}

func (s sayer) compared(c ast.CallExpr) (flow.Text, bool) {
	word, ok := comparisons[c.FunctionName()]
	if !ok {
		return flow.Text{}, false
	}
	left, right := c.Args()[0], c.Args()[1]
	if of, ok := call(left, "size"); ok && c.FunctionName() == operators.Greater && isZero(right) {
		return s.ticked(of, "填了%s", "%s is filled in")
	}
	title, ok := s.title(left)
	if !ok {
		return flow.Text{}, false
	}
	f, ok := s.field(left)
	if !ok { // a sum is measured as its elements are
		of, _ := call(left, "sum")
		if f, ok = s.field(of); ok && f.Item != nil && f.Kind == "" {
			f = *f.Item
		}
	}
	v, ok := s.value(right, f)
	return flow.Text{Zh: title.Zh + word.Zh + v.Zh, En: title.En + word.En + v.En}, ok
}

// title names a field, or what is counted of one.
func (s sayer) title(e ast.Expr) (flow.Text, bool) {
	if e == nil {
		return flow.Text{}, false
	}
	if f, ok := s.field(e); ok {
		return quoted(f.Title), true
	}
	if p, ok := s.param(e); ok {
		return quoted(p.Title), true
	}
	for name, say := range map[string]flow.Text{"size": {Zh: "的项数", En: "the number of "}, "sum": {Zh: "的总和", En: "the sum of "}} {
		if of, is := call(e, name); is {
			f, ok := s.field(of)
			return flow.Text{Zh: quoted(f.Title).Zh + say.Zh, En: say.En + quoted(f.Title).En}, ok
		}
	}
	return flow.Text{}, false
}

func quoted(t flow.Text) flow.Text {
	return flow.Text{Zh: "“" + t.Zh + "”", En: "“" + t.En + "”"}
}

// field finds a field with a title.
func (s sayer) field(e ast.Expr) (Field, bool) {
	if e == nil {
		return Field{}, false
	}
	p := pointerOf(e)
	f, ok := s.def.Form.Field(strings.TrimPrefix(p, "/form"))
	return f, ok && p != "" && f.Title.Zh != ""
}

func (s sayer) param(e ast.Expr) (Param, bool) {
	name, ok := strings.CutPrefix(pointerOf(e), "/params/")
	i := slices.IndexFunc(s.def.Params, func(p Param) bool { return p.Name == name })
	if !ok || i < 0 {
		return Param{}, false
	}
	return s.def.Params[i], true
}

// value spells what the field is compared with.
func (s sayer) value(e ast.Expr, f Field) (flow.Text, bool) {
	raw, ok := literal(e)
	if p, is := s.param(e); is {
		raw, ok = fmt.Sprint(p.Value), true
	}
	if !ok {
		return s.title(e)
	}
	if t := f.Titles[raw]; t.Zh != "" {
		return quoted(t), true
	}
	if n, err := strconv.ParseInt(raw, 10, 64); err == nil && f.Kind == "money" {
		yuan := strconv.FormatInt(n/100, 10)
		if n%100 != 0 {
			yuan = fmt.Sprintf("%d.%02d", n/100, n%100)
		}
		return flow.Text{Zh: yuan + " 元", En: "¥" + yuan}, true
	}
	if t := s.names(raw); f.Type == "string" && t.Zh != "" {
		return t, true
	}
	return flow.Text{Zh: raw, En: raw}, true
}

// literal is a written number or text.
func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	switch v := e.AsLiteral().Value().(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	}
	return "", false
}

func isZero(e ast.Expr) bool {
	raw, ok := literal(e)
	return ok && raw == "0"
}

// call gives the argument of a function of one, written either way.
func call(e ast.Expr, name string) (ast.Expr, bool) {
	if e == nil || e.Kind() != ast.CallKind || e.AsCall().FunctionName() != name {
		return nil, false
	}
	c := e.AsCall()
	if c.IsMemberFunction() {
		return c.Target(), true
	}
	return c.Args()[0], len(c.Args()) == 1
}
