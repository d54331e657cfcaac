package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"kelian/internal/fault"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// maxIntrospection bounds what the exemption of introspection may expand to;
// the query that tools send has about 200 fields.
const maxIntrospection = 2000

// ceiling keeps products of page sizes from overflowing.
const ceiling = 1 << 40

// walk adds an operation up and leaves at the first limit it meets, so that a
// query of a thousand bytes that expands to millions of fields costs no more
// than the limit allows. gqlgen's own complexity extension adds everything up
// first.
type walk struct {
	ctx    context.Context
	l      *Limits
	es     graphql.ExecutableSchema
	schema *ast.Schema
	op     *graphql.OperationContext
	once   []string

	fields, aliases, directives, roots, introspected, nodes int
	seen                                                    map[string]int // of once
}

// place is where the walk stands: nesting of fields, of fields and fragments,
// and how many objects it stands for.
type place struct{ depth, nest, times int }

func complexity(zh, en string, limit int) *fault.Error {
	return &fault.Error{Code: ComplexityLimit, Zh: fmt.Sprintf(zh, limit), En: fmt.Sprintf(en, limit)}
}

// operation returns the cost of the whole operation.
func (w *walk) operation() (int, *fault.Error) {
	if err := w.lists(); err != nil {
		return 0, err
	}
	if err := w.directive(w.op.Operation.Directives); err != nil {
		return 0, err
	}
	return w.set(w.op.Operation.SelectionSet, place{1, 1, 1})
}

func (w *walk) directive(list ast.DirectiveList) *fault.Error {
	w.directives += len(list)
	if w.directives > w.l.Directives {
		return complexity("指令超过 %d 个", "more than %d directives", w.l.Directives)
	}
	if list.ForName("defer") != nil {
		return &fault.Error{Code: ValidationFailed, Zh: "不支持 @defer", En: "@defer is not supported"}
	}
	return nil
}

func (w *walk) set(sel ast.SelectionSet, at place) (int, *fault.Error) {
	if at.depth > w.l.Depth || at.nest > w.l.Nesting {
		return 0, &fault.Error{Code: DepthLimit, Zh: fmt.Sprintf("查询嵌套超过 %d 层", w.l.Depth),
			En: fmt.Sprintf("the query is nested deeper than %d", w.l.Depth)}
	}
	cost := 0
	for _, s := range sel {
		if w.fields++; w.fields > w.l.Fields {
			return 0, complexity("展开后字段超过 %d 个", "more than %d fields after expansion", w.l.Fields)
		}
		var c int
		var err *fault.Error
		switch s := s.(type) {
		case *ast.Field:
			c, err = w.field(s, at)
		case *ast.InlineFragment:
			if err = w.directive(s.Directives); err == nil {
				c, err = w.set(s.SelectionSet, place{at.depth, at.nest + 1, at.times})
			}
		case *ast.FragmentSpread:
			if err = w.directive(s.Directives); err == nil {
				c, err = w.set(s.Definition.SelectionSet, place{at.depth, at.nest + 1, at.times})
			}
		}
		if err != nil {
			return 0, err
		}
		cost = min(cost+c, ceiling)
	}
	return cost, nil
}

func (w *walk) field(f *ast.Field, at place) (int, *fault.Error) {
	if f.Alias != f.Name {
		if w.aliases++; w.aliases > w.l.Aliases {
			return 0, complexity("别名超过 %d 个", "more than %d aliases", w.l.Aliases)
		}
	}
	if err := w.directive(f.Directives); err != nil {
		return 0, err
	}
	if at.depth == 1 {
		if err := w.root(f); err != nil {
			return 0, err
		}
		if f.Name == "__schema" || f.Name == "__type" {
			return 0, w.introspection(f.SelectionSet)
		}
	}
	for _, a := range f.Arguments {
		if path, long := longLiteral(a.Value, w.l.List, []string{f.Alias, a.Name}); long {
			return 0, w.tooLong(path)
		}
	}
	args := f.ArgumentMap(w.op.Variables)
	n, err := w.page(f, args)
	if err != nil {
		return 0, err
	}
	inside := place{at.depth + 1, at.nest + 1, at.times}
	if n > 1 {
		inside.times = min(at.times*n, ceiling)
		if w.nodes = min(w.nodes+inside.times, ceiling); w.nodes > w.l.Nodes {
			return 0, complexity("一次最多取 %d 个对象", "at most %d objects at a time", w.l.Nodes)
		}
	}
	child := 0
	if len(f.SelectionSet) > 0 {
		if child, err = w.set(f.SelectionSet, inside); err != nil {
			return 0, err
		}
	}
	if c, ok := w.custom(f, child, args); ok {
		return c, nil
	}
	return min(1+max(n, 1)*child, ceiling), nil
}

// custom asks the schema's own complexity function; of an interface's field
// the dearest implementation counts.
func (w *walk) custom(f *ast.Field, child int, args map[string]any) (int, bool) {
	types := []*ast.Definition{f.ObjectDefinition}
	if f.ObjectDefinition.Kind == ast.Interface {
		types = w.schema.GetPossibleTypes(f.ObjectDefinition)
	}
	cost, found := 0, false
	for _, t := range types {
		if c, ok := w.es.Complexity(w.ctx, t.Name, f.Name, child, args); ok && c >= 1 {
			cost, found = max(cost, c), true
		}
	}
	return cost, found
}

func (w *walk) root(f *ast.Field) *fault.Error {
	w.roots++
	if w.roots > w.l.Roots {
		return complexity("根字段超过 %d 个", "more than %d root fields", w.l.Roots)
	}
	if w.op.Operation.Operation == ast.Mutation && w.roots > w.l.Mutations {
		return complexity("一次最多 %d 个变更", "at most %d mutations in one operation", w.l.Mutations)
	}
	if f.Name == "__schema" || slices.Contains(w.once, f.Name) {
		if w.seen[f.Name]++; w.seen[f.Name] > 1 {
			return complexity(f.Name+" 一次最多 %d 个", "at most %d "+f.Name+" in one operation", 1)
		}
	}
	return nil
}

// introspection is exempt from depth and complexity, but not from its own
// bound.
func (w *walk) introspection(sel ast.SelectionSet) *fault.Error {
	for _, s := range sel {
		if w.introspected++; w.introspected > maxIntrospection {
			return complexity("内省查询展开后超过 %d 个字段", "introspection of more than %d fields", maxIntrospection)
		}
		var dirs ast.DirectiveList
		var below ast.SelectionSet
		switch s := s.(type) {
		case *ast.Field:
			dirs, below = s.Directives, s.SelectionSet
			if s.Alias != s.Name {
				if w.aliases++; w.aliases > w.l.Aliases {
					return complexity("别名超过 %d 个", "more than %d aliases", w.l.Aliases)
				}
			}
		case *ast.InlineFragment:
			dirs, below = s.Directives, s.SelectionSet
		case *ast.FragmentSpread:
			dirs, below = s.Directives, s.Definition.SelectionSet
		}
		if err := w.directive(dirs); err != nil {
			return err
		}
		if err := w.introspection(below); err != nil {
			return err
		}
	}
	return nil
}

// page is the number of objects a field may answer with: first or last where
// the field has them, the length of a list of ids, else 0.
func (w *walk) page(f *ast.Field, args map[string]any) (int, *fault.Error) {
	n, paged := 0, false
	for _, name := range [...]string{"first", "last"} {
		if f.Definition.Arguments.ForName(name) == nil {
			continue
		}
		paged = true
		v, given := args[name]
		if !given || v == nil {
			continue
		}
		size, ok := wholeNumber(v)
		if !ok || size < 1 || size > int64(w.l.Page) {
			return 0, fault.Input(name, fmt.Sprintf("%s 须在 1 到 %d 之间", name, w.l.Page),
				fmt.Sprintf("%s must be between 1 and %d", name, w.l.Page)).At(f.Alias, name)
		}
		n = max(n, int(size))
	}
	if paged {
		if n == 0 {
			n = w.l.PageUnset
		}
		return n, nil
	}
	if ids, ok := args["ids"].([]any); ok && f.Definition.Type.Elem != nil {
		return len(ids), nil
	}
	return 0, nil
}

func wholeNumber(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	}
	return 0, false
}

// lists refuses overlong lists in the variables.
func (w *walk) lists() *fault.Error {
	for name, v := range w.op.Variables {
		if path, long := longList(v, w.l.List, []string{name}); long {
			return w.tooLong(path)
		}
	}
	return nil
}

func longList(v any, limit int, path []string) ([]string, bool) {
	switch v := v.(type) {
	case []any:
		if len(v) > limit {
			return path, true
		}
		for i, e := range v {
			if p, long := longList(e, limit, append(path, strconv.Itoa(i))); long {
				return p, true
			}
		}
	case map[string]any:
		for k, e := range v {
			if p, long := longList(e, limit, append(path, k)); long {
				return p, true
			}
		}
	}
	return nil, false
}

// longLiteral does the same for a value that stands in the query text.
func longLiteral(v *ast.Value, limit int, path []string) ([]string, bool) {
	if v.Kind == ast.ListValue && len(v.Children) > limit {
		return path, true
	}
	for i, c := range v.Children {
		name := c.Name
		if name == "" {
			name = strconv.Itoa(i)
		}
		if p, long := longLiteral(c.Value, limit, append(path, name)); long {
			return p, true
		}
	}
	return nil, false
}

func (w *walk) tooLong(path []string) *fault.Error {
	return fault.Input("", fmt.Sprintf("列表最多 %d 项", w.l.List), fmt.Sprintf("a list may hold at most %d items", w.l.List)).At(path...)
}
