package compiled

import (
	"context"
	"io"
	"slices"
	"sync"

	"kelian/graph/internal/bounded"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// cachedPlans is the number of query fields whose plans are kept; it goes
// with the size of the query cache, whose documents the keys belong to.
const cachedPlans = 1000

// Compiler implements the directive @compiled for one schema.
type Compiler struct {
	schema  *ast.Schema
	objects map[string]object
	plans   *bounded.Cache[*ast.Field, rootFunc]
	plain   bool
}

// New makes a compiler from the tables of the types that @compiled fields
// return; the tables of their children come with them.
func New(schema *ast.Schema, roots ...object) *Compiler {
	c := &Compiler{schema: schema, objects: map[string]object{},
		plans: bounded.New[*ast.Field, rootFunc](cachedPlans, cachedPlans)}
	for _, o := range roots {
		c.objects[o.typeName()] = o
	}
	return c
}

// Plain returns a compiler whose directive does nothing, so that gqlgen
// writes everything: the reference that answers are compared with.
func (c *Compiler) Plain() *Compiler {
	return &Compiler{schema: c.schema, objects: c.objects, plans: c.plans, plain: true}
}

// Directive is the implementation for gqlgen's DirectiveRoot.
func (c *Compiler) Directive(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
	v, err := next(ctx)
	if err != nil || v == nil || c.plain {
		return v, err
	}
	run := c.plan(graphql.GetOperationContext(ctx), graphql.GetFieldContext(ctx).Field)
	if run == nil {
		return v, nil
	}
	buf := buffers.Get().(*result)
	out, ok, err := run(buf.b[:0], v)
	buf.b = out
	if err != nil || !ok {
		buffers.Put(buf)
		if err != nil {
			return nil, err
		}
		return v, nil
	}
	return buf, nil
}

// plan finds or makes the closures for a field; nil leaves it to gqlgen.
func (c *Compiler) plan(op *graphql.OperationContext, f graphql.CollectedField) rootFunc {
	o := c.objects[f.Definition.Type.Name()]
	if o == nil {
		return nil
	}
	// A field that appears twice in the query is merged, and with what
	// depends on where: only a field that stands alone has one plan.
	alone := len(f.Selections) == len(f.SelectionSet)
	if alone {
		if run, ok := c.plans.Get(f.Field); ok {
			return run
		}
	}
	var run rootFunc
	if !conditional(f.Selections) {
		run = o.root(&env{op: op, satisfies: c.satisfies}, f)
	}
	if alone {
		c.plans.Put(f.Field, run, 1)
	}
	return run
}

// conditional says that directives (@skip, @include, @defer) stand below, so
// that the answer's shape depends on variables.
func conditional(sel ast.SelectionSet) bool {
	for _, s := range sel {
		switch s := s.(type) {
		case *ast.Field:
			if len(s.Directives) > 0 || conditional(s.SelectionSet) {
				return true
			}
		case *ast.InlineFragment:
			if len(s.Directives) > 0 || conditional(s.SelectionSet) {
				return true
			}
		case *ast.FragmentSpread:
			if len(s.Directives) > 0 || len(s.Definition.Directives) > 0 || conditional(s.Definition.SelectionSet) {
				return true
			}
		}
	}
	return false
}

// satisfies lists the type conditions that an object type meets.
func (c *Compiler) satisfies(name string) []string {
	out := []string{name}
	if def := c.schema.Types[name]; def != nil {
		out = append(out, def.Interfaces...)
	}
	for _, def := range c.schema.Types {
		if def.Kind == ast.Union && slices.Contains(def.Types, name) {
			out = append(out, def.Name)
		}
	}
	return out
}

// result is finished JSON; its buffer is used again once it is written.
type result struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &result{} }}

// maxPooled keeps a rare huge answer from staying in memory.
const maxPooled = 256 << 10

// MarshalGQL writes the JSON; gqlgen calls it once.
func (r *result) MarshalGQL(w io.Writer) {
	_, _ = w.Write(r.b)
	if cap(r.b) <= maxPooled {
		buffers.Put(r)
	}
}
