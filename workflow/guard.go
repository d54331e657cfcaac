package workflow

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"kelian/workflow/flow"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// maxCost bounds a guard: at load its worst case over the largest form the
// schema accepts, at run time what it really uses. A comparison costs about 1.
const maxCost = 100_000

// guards are the compiled conditions of a definition. Each field of the form
// is a variable of its own type, so that a misspelled name does not load.
// Optional fields that are not filled in read as zero ("", 0, false, []);
// has(form.x) tells them apart. Beside them stand params, now (a timestamp),
// sum(list of int) and working_days(from, to).
type guards struct {
	env    *cel.Env
	form   *Form
	params map[string]any
	flow   []guard
	rules  []formRule
}

type guard struct {
	name      string
	prog      cel.Program
	ast       *cel.Ast
	line, col int // where it begins in the source
}

// formRule is a condition between fields that must hold at submission.
type formRule struct {
	guard
	name string
	at   string
	text flow.Text
}

func newGuards(f *Form, params []Param, known Known) (*guards, error) {
	g := &guards{form: f, params: map[string]any{}}
	reg, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	p := &formTypes{Registry: reg, structs: map[string][]structMember{}}
	opts := []cel.EnvOption{cel.CustomTypeProvider(p), cel.Variable("now", cel.TimestampType),
		cel.Variable("form", p.object("form", f.Fields))}
	for _, fd := range f.Fields {
		opts = append(opts, cel.Variable(fd.Name, p.typeOf(fd)))
	}
	var members []structMember
	for _, x := range params {
		g.params[x.Name] = x.Value
		t := cel.StringType
		switch x.Value.(type) {
		case int64:
			t = cel.IntType
		case bool:
			t = cel.BoolType
		}
		members = append(members, structMember{name: x.Name, typ: t, zero: x.Value})
	}
	p.structs["params"] = members
	opts = append(opts, cel.Variable("params", cel.ObjectType("params")), sumFunction(), daysFunction(known))
	g.env, err = cel.NewEnv(opts...)
	return g, err
}

// sumFunction adds whole numbers; CEL itself has no sum.
func sumFunction() cel.EnvOption {
	return cel.Function("sum", cel.Overload("sum_list_int", []*cel.Type{cel.ListType(cel.IntType)}, cel.IntType,
		cel.UnaryBinding(func(v ref.Val) ref.Val {
			total := types.Int(0)
			for it := v.(traits.Lister).Iterator(); it.HasNext() == types.True; {
				next := total.Add(it.Next())
				n, ok := next.(types.Int)
				if !ok {
					return next // overflow
				}
				total = n
			}
			return total
		})))
}

func daysFunction(known Known) cel.EnvOption {
	count := known.WorkingDays
	if count == nil {
		loc := known.Location
		if loc == nil {
			loc = time.UTC
		}
		count = func(from, to time.Time) int { return weekdays(from.In(loc), to.In(loc)) }
	}
	return cel.Function("working_days", cel.Overload("working_days_timestamps",
		[]*cel.Type{cel.TimestampType, cel.TimestampType}, cel.IntType,
		cel.BinaryBinding(func(a, b ref.Val) ref.Val {
			return types.Int(count(a.(types.Timestamp).Time, b.(types.Timestamp).Time))
		})))
}

// weekdays counts Mondays to Fridays after from up to and including to; more
// than ten years count as ten.
func weekdays(from, to time.Time) int {
	day := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, time.UTC) }
	n := 0
	for d, end, i := day(from).AddDate(0, 0, 1), day(to), 0; !d.After(end) && i < 3660; d, i = d.AddDate(0, 0, 1), i+1 {
		if wd := d.Weekday(); wd != time.Saturday && wd != time.Sunday {
			n++
		}
	}
	return n
}

// compile checks one condition. The issue's place is within the expression,
// line and column from 1.
func (g *guards) compile(name, src string) (guard, *guardIssue) {
	ast, iss := g.env.Compile(src)
	if iss.Err() != nil {
		first := iss.Errors()[0]
		return guard{}, &guardIssue{first.Location.Line(), first.Location.Column() + 1, first.Message}
	}
	if ast.OutputType() != cel.BoolType {
		return guard{}, &guardIssue{1, 1, "a condition is true or false, this is " + ast.OutputType().String()}
	}
	worst, err := g.env.EstimateCost(ast, guardSizes{g.form})
	if err != nil || worst.Max > maxCost {
		return guard{}, &guardIssue{1, 1, fmt.Sprintf("the condition may cost %d steps, more than %d", worst.Max, maxCost)}
	}
	prog, err := g.env.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return guard{}, &guardIssue{1, 1, err.Error()}
	}
	return guard{name: name, prog: prog, ast: ast}, nil
}

type guardIssue struct {
	line, col int
	text      string
}

// guardSizes tells the estimator how large the form's values can be.
type guardSizes struct{ form *Form }

// EstimateSize implements cost.Estimator.
func (s guardSizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	if len(path) == 0 {
		return nil
	}
	if path[0] == "form" {
		path = path[1:]
	}
	pointer := "/" + strings.ReplaceAll(strings.Join(path, "/"), "@items", "*")
	if f, ok := s.form.Field(pointer); ok && f.Max > 0 {
		return &cost.SizeEstimate{Min: 0, Max: uint64(f.Max)}
	}
	return &cost.SizeEstimate{Min: 0, Max: 64} // parameters
}

// EstimateCallCost implements cost.Estimator.
func (s guardSizes) EstimateCallCost(function, _ string, _ *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	if function != "sum" || len(args) != 1 {
		return nil
	}
	size := s.EstimateSize(args[0])
	if size == nil {
		return nil
	}
	return cost.NewCallEstimate(cost.Estimate{Min: 0, Max: size.Max}, nil)
}

// eval gives every guard's answer, by name.
func (g *guards) eval(list []guard, f Filled, now time.Time) (map[string]bool, error) {
	vars := g.vars(f, now)
	out := make(map[string]bool, len(list))
	for _, c := range list {
		holds, err := c.holds(vars)
		if err != nil {
			return nil, err
		}
		out[c.name] = holds
	}
	return out, nil
}

func (g *guards) evalRules(f Filled, now time.Time) ([]bool, error) {
	vars := g.vars(f, now)
	out := make([]bool, len(g.rules))
	for i, r := range g.rules {
		var err error
		if out[i], err = r.holds(vars); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (c guard) holds(vars map[string]any) (bool, error) {
	v, _, err := c.prog.Eval(vars)
	if err != nil {
		return false, fmt.Errorf("workflow: condition %s: %w", c.name, err)
	}
	b, ok := v.Value().(bool)
	if !ok {
		return false, fmt.Errorf("workflow: condition %s gave %v", c.name, v)
	}
	return b, nil
}

func (g *guards) vars(f Filled, now time.Time) map[string]any {
	form := map[string]any{}
	vars := map[string]any{"now": now, "params": g.params, "form": form}
	for _, fd := range g.form.Fields {
		if v, given := f.values[fd.Name]; given {
			form[fd.Name] = nativeOf(fd, v)
			vars[fd.Name] = form[fd.Name]
		} else if fd.Default != nil { // of a form that was filled in before there was the field
			vars[fd.Name] = nativeOf(fd, fd.Default)
		} else {
			vars[fd.Name] = zeroOf(fd)
		}
	}
	return vars
}

// nativeOf turns a JSON value into what CEL reckons with.
func nativeOf(f Field, v any) any {
	switch x := v.(type) {
	case json.Number:
		n, err := x.Int64()
		if err != nil { // 1e3 and 5.0 are integers to the schema
			fl, _ := x.Float64()
			n = int64(fl)
		}
		return n
	case string:
		if f.Format == "date-time" {
			t, _ := time.Parse(time.RFC3339, x)
			return t
		}
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = nativeOf(*f.Item, x[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for _, p := range f.Props {
			if e, ok := x[p.Name]; ok {
				out[p.Name] = nativeOf(p, e)
			}
		}
		return out
	}
	return v
}

func zeroOf(f Field) any {
	switch {
	case f.Format == "date-time":
		return time.Unix(0, 0).UTC()
	case f.Type == "integer":
		return int64(0)
	case f.Type == "boolean":
		return false
	case f.Type == "array":
		return []any{}
	case f.Type == "object":
		return map[string]any{}
	}
	return ""
}

// formTypes teaches CEL the form's objects, field by field.
type formTypes struct {
	*types.Registry
	structs map[string][]structMember
}

type structMember struct {
	name string
	typ  *cel.Type
	zero any
}

// object declares an object type, named by its place in the form.
func (p *formTypes) object(name string, fields []Field) *cel.Type {
	var out []structMember
	for _, f := range fields {
		out = append(out, structMember{f.Name, p.typeOf(f), zeroOf(f)})
	}
	p.structs[name] = out
	return cel.ObjectType(name)
}

func (p *formTypes) typeOf(f Field) *cel.Type {
	switch f.Type {
	case "integer":
		return cel.IntType
	case "boolean":
		return cel.BoolType
	case "array":
		return cel.ListType(p.typeOf(*f.Item))
	case "object":
		return p.object("form"+strings.NewReplacer("/*", ".item", "/", ".").Replace(f.Pointer), f.Props)
	}
	if f.Format == "date-time" {
		return cel.TimestampType
	}
	return cel.StringType
}

// FindStructType implements types.Provider.
func (p *formTypes) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.structs[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *formTypes) FindStructFieldNames(name string) ([]string, bool) {
	members, ok := p.structs[name]
	if !ok {
		return p.Registry.FindStructFieldNames(name)
	}
	var out []string
	for _, m := range members {
		out = append(out, m.name)
	}
	return out, true
}

// FindStructFieldType implements types.Provider; the values are maps.
func (p *formTypes) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	members, ok := p.structs[name]
	if !ok {
		return p.Registry.FindStructFieldType(name, field)
	}
	for _, m := range members {
		if m.name == field {
			return &types.FieldType{Type: m.typ,
				IsSet: func(v any) bool { _, ok := v.(map[string]any)[m.name]; return ok },
				GetFrom: func(v any) (any, error) {
					if x, ok := v.(map[string]any)[m.name]; ok {
						return x, nil
					}
					return m.zero, nil
				}}, true
		}
	}
	return nil, false
}
