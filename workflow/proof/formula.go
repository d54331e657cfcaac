package proof

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// formula is a guard over the dimensions of a form. Exactly one part counts.
type formula struct {
	op    string // operators.LogicalAnd, LogicalOr, LogicalNot, or "" for an atom or constant
	kids  []formula
	atom  *atom
	holds bool // of a constant
}

// atom is a test of one dimension.
type atom struct {
	dim  *dim
	test func(any) bool
}

// dim is a field of the form, or a condition outside the fragment that is
// taken as free to be true or false (field == nil).
type dim struct {
	name   string
	field  *field
	cuts   cuts
	atoms  []*atom
	values []any // one of each cell
	value  any   // its value there
}

func (f *formula) eval() bool {
	switch f.op {
	case operators.LogicalAnd:
		return f.kids[0].eval() && f.kids[1].eval()
	case operators.LogicalOr:
		return f.kids[0].eval() || f.kids[1].eval()
	case operators.LogicalNot:
		return !f.kids[0].eval()
	}
	if f.atom != nil {
		return f.atom.test(f.atom.dim.value)
	}
	return f.holds
}

// dims are the dimensions that the formula depends on.
func (f *formula) dims() []*dim {
	var out []*dim
	if f.atom != nil {
		out = append(out, f.atom.dim)
	}
	for i := range f.kids {
		out = append(out, f.kids[i].dims()...)
	}
	return out
}

// reader turns checked CEL into formulas.
type reader struct {
	fields map[string]*field
	params map[string]any
	info   *ast.SourceInfo
	dims   map[string]*dim
	order  []*dim
}

func (r *reader) read(a *cel.Ast) formula {
	r.info = a.NativeRep().SourceInfo()
	return r.formula(a.NativeRep().Expr())
}

func (r *reader) formula(e ast.Expr) formula {
	if v, ok := r.constant(e); ok {
		if b, isBool := v.(bool); isBool {
			return formula{holds: b}
		}
	}
	if f, ok := r.test(e); ok {
		return f
	}
	if e.Kind() == ast.CallKind {
		c := e.AsCall()
		switch c.FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr:
			return formula{op: c.FunctionName(), kids: []formula{r.formula(c.Args()[0]), r.formula(c.Args()[1])}}
		case operators.LogicalNot:
			return not(r.formula(c.Args()[0]))
		case operators.Conditional:
			q := r.formula(c.Args()[0])
			return or(and(q, r.formula(c.Args()[1])), and(not(q), r.formula(c.Args()[2])))
		case operators.NotEquals:
			return not(r.compare(operators.Equals, c.Args()[0], c.Args()[1]))
		case operators.GreaterEquals:
			return not(r.compare(operators.Less, c.Args()[0], c.Args()[1]))
		case operators.LessEquals:
			return not(r.compare(operators.Less, c.Args()[1], c.Args()[0]))
		case operators.Greater:
			return r.compare(operators.Less, c.Args()[1], c.Args()[0])
		case operators.Equals, operators.Less:
			return r.compare(c.FunctionName(), c.Args()[0], c.Args()[1])
		case operators.In:
			return r.in(c.Args()[0], c.Args()[1], e)
		}
	}
	return r.unknown("", e)
}

func not(f formula) formula { return formula{op: operators.LogicalNot, kids: []formula{f}} }
func and(a, b formula) formula {
	return formula{op: operators.LogicalAnd, kids: []formula{a, b}}
}
func or(a, b formula) formula { return formula{op: operators.LogicalOr, kids: []formula{a, b}} }

// test reads a field that is itself a condition: a boolean, or has(form.x).
func (r *reader) test(e ast.Expr) (formula, bool) {
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
		s := e.AsSelect()
		if s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "form" && r.fields[s.FieldName()] != nil {
			return r.atom(s.FieldName(), func(v any) bool { return v != absent{} }), true
		}
		return formula{}, false
	}
	name, ok := r.fieldOf(e)
	if !ok || r.fields[name].Type != "boolean" {
		return formula{}, false
	}
	return r.atom(name, func(v any) bool { return v == true }), true
}

// fieldOf reads x or form.x.
func (r *reader) fieldOf(e ast.Expr) (string, bool) {
	name := ""
	switch e.Kind() {
	case ast.IdentKind:
		name = e.AsIdent()
	case ast.SelectKind:
		s := e.AsSelect()
		if !s.IsTestOnly() && s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "form" {
			name = s.FieldName()
		}
	}
	return name, r.fields[name] != nil
}

// atom makes a test of a field.
func (r *reader) atom(name string, test func(any) bool) formula {
	d := r.dim(name, r.fields[name])
	a := &atom{d, test}
	d.atoms = append(d.atoms, a)
	return formula{atom: a}
}

func (r *reader) dim(name string, f *field) *dim {
	d := r.dims[name]
	if d == nil {
		d = &dim{name: name, field: f}
		r.dims[name] = d
		r.order = append(r.order, d)
	}
	return d
}

// unknown is a condition outside the fragment, the same for the same text.
func (r *reader) unknown(op string, args ...ast.Expr) formula {
	name := "?" + op
	for _, a := range args {
		text, err := cel.ExprToString(a, r.info)
		if err != nil {
			text = "…"
		}
		name += " " + text
	}
	d := r.dim(name, nil)
	a := &atom{d, func(v any) bool { return v == true }}
	d.atoms = append(d.atoms, a)
	return formula{atom: a}
}

// compare reads a == b or a < b.
func (r *reader) compare(op string, a, b ast.Expr) formula {
	left, leftConst := r.constant(a)
	right, rightConst := r.constant(b)
	switch {
	case leftConst && rightConst:
		if holds, ok := compareValues(op, left, right); ok {
			return formula{holds: holds}
		}
	case rightConst:
		if f, ok := r.against(a, right, func(v any) bool { holds, _ := compareValues(op, v, right); return holds }, op); ok {
			return f
		}
	case leftConst:
		if f, ok := r.against(b, left, func(v any) bool { holds, _ := compareValues(op, left, v); return holds }, op); ok {
			return f
		}
	}
	return r.unknown(op, a, b)
}

func compareValues(op string, a, b any) (holds, ok bool) {
	switch x := a.(type) {
	case int64:
		y, same := b.(int64)
		return op == operators.Less && x < y || op == operators.Equals && x == y, same
	case string:
		y, same := b.(string)
		return op == operators.Less && x < y || op == operators.Equals && x == y, same
	case bool:
		y, same := b.(bool)
		return op == operators.Equals && x == y, same && op == operators.Equals
	}
	return false, false
}

// against tests a field, or its size, against a constant.
func (r *reader) against(e ast.Expr, c any, test func(any) bool, op string) (formula, bool) {
	if name, ok := r.sizeOf(e); ok {
		n, isInt := c.(int64)
		if !isInt {
			return formula{}, false
		}
		f := r.atom(name, func(v any) bool { return test(sizeOf(v)) })
		f.atom.dim.cuts.ints = append(f.atom.dim.cuts.ints, n)
		return f, true
	}
	name, ok := r.fieldOf(e)
	if !ok {
		return formula{}, false
	}
	fd := r.fields[name]
	zero := map[string]any{"integer": int64(0), "boolean": false, "string": ""}[fd.Type]
	decidable := false
	d := func() *cuts { return &r.dim(name, fd).cuts }
	switch v := c.(type) {
	case int64:
		if decidable = fd.Type == "integer"; decidable {
			d().ints = append(d().ints, v)
		}
	case bool:
		decidable = fd.Type == "boolean"
	case string:
		// The order of texts is cut by constants only among dates and choices.
		plain := fd.Pattern == "" && (fd.Format == "" || fd.Format == "date")
		if decidable = fd.Type == "string" && plain && (op == operators.Equals || len(fd.Enum) > 0 || fd.Format == "date"); decidable {
			d().strings = append(d().strings, v)
		}
	}
	if !decidable {
		return formula{}, false
	}
	return r.atom(name, func(v any) bool {
		if v == (absent{}) {
			v = zero
		}
		return test(v)
	}), true
}

// sizeOf reads size(x) of a list or a text.
func (r *reader) sizeOf(e ast.Expr) (string, bool) {
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "size" {
		return "", false
	}
	c := e.AsCall()
	of := c.Target()
	if !c.IsMemberFunction() {
		of = c.Args()[0]
	}
	name, ok := r.fieldOf(of)
	if !ok {
		return "", false
	}
	f := r.fields[name]
	return name, f.Type == "array" || f.Type == "string" && f.Pattern == "" && f.Format == ""
}

func sizeOf(v any) int64 {
	switch x := v.(type) {
	case int64:
		return x // a list is its size
	case string:
		return int64(len([]rune(x)))
	}
	return 0
}

// in reads x in [constants].
func (r *reader) in(x, list ast.Expr, whole ast.Expr) formula {
	if list.Kind() != ast.ListKind {
		return r.unknown("", whole)
	}
	out := formula{}
	for _, e := range list.AsList().Elements() {
		out = or(out, r.compare(operators.Equals, x, e))
	}
	return out
}

// constant folds literals and parameters: int64, bool or string.
func (r *reader) constant(e ast.Expr) (any, bool) {
	switch e.Kind() {
	case ast.LiteralKind:
		switch v := e.AsLiteral().(type) {
		case types.Int:
			return int64(v), true
		case types.Bool:
			return bool(v), true
		case types.String:
			return string(v), true
		}
	case ast.SelectKind:
		s := e.AsSelect()
		if !s.IsTestOnly() && s.Operand().Kind() == ast.IdentKind && s.Operand().AsIdent() == "params" {
			v, ok := r.params[s.FieldName()]
			return v, ok
		}
	case ast.CallKind:
		return r.reckon(e.AsCall())
	}
	return nil, false
}

func (r *reader) reckon(c ast.CallExpr) (any, bool) {
	args := make([]int64, len(c.Args()))
	for i, x := range c.Args() {
		v, ok := r.constant(x)
		n, isInt := v.(int64)
		if !ok || !isInt || n > widest || n < -widest {
			return nil, false
		}
		args[i] = n
	}
	switch fn := c.FunctionName(); {
	case fn == operators.Negate && len(args) == 1:
		return -args[0], true
	case len(args) != 2:
	case fn == operators.Add:
		return args[0] + args[1], true
	case fn == operators.Subtract:
		return args[0] - args[1], true
	case fn == operators.Multiply && (args[0] == 0 || args[0]*args[1]/args[0] == args[1]):
		return args[0] * args[1], true
	}
	return nil, false
}
