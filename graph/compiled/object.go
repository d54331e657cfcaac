// Package compiled writes the answer of a few hot read fields without
// gqlgen's marshaller. A field marked @compiled resolves to plain structs;
// the directive turns the selection into a list of closures that append JSON,
// once per query text, and hands gqlgen the finished bytes.
//
// What is lost below such a field: child resolvers, directives on children,
// field middleware, @defer and null propagation inside (a null where the
// schema says non-null makes the whole field null with an error). Check
// refuses at start-up whatever would need them. Authority is judged before
// the structs are built.
package compiled

import (
	"fmt"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
)

// appendFunc appends the JSON of one field of v.
type appendFunc[T any] func(b []byte, v *T) ([]byte, error)

// Fields are a type's fields by their GraphQL names.
type Fields[T any] map[string]Field[T]

// Field knows how to append one field of T.
type Field[T any] struct {
	info info
	plan func(e *env, f graphql.CollectedField) appendFunc[T]
}

// info is what Check compares with the schema.
type info struct {
	list     bool
	nullable bool   // may append null for a leaf
	child    object // nil for leaves
}

// Object is the table of one GraphQL object type with Go type T.
type Object[T any] struct {
	name   string
	fields Fields[T]
}

// object is an Object whose Go type is forgotten.
type object interface {
	typeName() string
	infoOf(field string) (info, bool)
	names() []string
	root(e *env, f graphql.CollectedField) rootFunc
}

// rootFunc appends a resolver's whole value; ok is false for a value that
// gqlgen shall write itself.
type rootFunc func(b []byte, v any) (out []byte, ok bool, err error)

// env is what planning needs to know about the operation.
type env struct {
	op        *graphql.OperationContext
	satisfies func(typeName string) []string
}

// For makes the table of a type.
func For[T any](name string, fields Fields[T]) *Object[T] {
	return &Object[T]{name: name, fields: fields}
}

// Add puts one more field into the table, for types that refer to each other.
func (o *Object[T]) Add(name string, f Field[T]) { o.fields[name] = f }

func (o *Object[T]) typeName() string { return o.name }

func (o *Object[T]) infoOf(field string) (info, bool) {
	f, ok := o.fields[field]
	return f.info, ok
}

func (o *Object[T]) names() []string {
	var out []string
	for name := range o.fields {
		out = append(out, name)
	}
	return out
}

// plan compiles a selection; gqlgen's own CollectFields decides what it
// contains, so aliases, fragments and merged fields follow its rules.
func (o *Object[T]) plan(e *env, sel ast.SelectionSet) appendFunc[T] {
	type step struct {
		key []byte
		run appendFunc[T]
	}
	var steps []step
	for i, f := range graphql.CollectFields(e.op, sel, e.satisfies(o.name)) {
		key := append([]byte(nil), ',')
		if i == 0 {
			key[0] = '{'
		}
		key = append(AppendString(key, f.Alias), ':')
		if f.Name == "__typename" {
			steps = append(steps, step{AppendString(key, o.name), func(b []byte, _ *T) ([]byte, error) { return b, nil }})
			continue
		}
		steps = append(steps, step{key, o.fields[f.Name].plan(e, f)})
	}
	if len(steps) == 0 {
		return func(b []byte, _ *T) ([]byte, error) { return append(b, "{}"...), nil }
	}
	return func(b []byte, v *T) ([]byte, error) {
		var err error
		for i := range steps {
			b = append(b, steps[i].key...)
			if b, err = steps[i].run(b, v); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	}
}

// root accepts what gqlgen's models hold: T, *T, []T, []*T.
func (o *Object[T]) root(e *env, f graphql.CollectedField) rootFunc {
	one := o.plan(e, f.Selections)
	path := f.Name
	elemNonNull := f.Definition.Type.Elem != nil && f.Definition.Type.Elem.NonNull
	return func(b []byte, v any) ([]byte, bool, error) {
		var err error
		switch v := v.(type) {
		case *T:
			if v == nil {
				return b, false, nil
			}
			b, err = one(b, v)
		case T:
			b, err = one(b, &v)
		case []T:
			if v == nil {
				return b, false, nil
			}
			b, err = appendSlice(b, v, one)
		case []*T:
			if v == nil {
				return b, false, nil
			}
			b, err = appendPointers(b, v, one, path, elemNonNull)
		default:
			return b, false, nil
		}
		return b, true, err
	}
}

func appendSlice[T any](b []byte, v []T, one appendFunc[T]) ([]byte, error) {
	var err error
	b = append(b, '[')
	for i := range v {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = one(b, &v[i]); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func appendPointers[T any](b []byte, v []*T, one appendFunc[T], path string, nonNull bool) ([]byte, error) {
	var err error
	b = append(b, '[')
	for i, p := range v {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case p != nil:
			b, err = one(b, p)
		case nonNull:
			err = errNull(path)
		default:
			b = append(b, "null"...)
		}
		if err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func errNull(path string) error {
	return fmt.Errorf("compiled: %s is null where the schema says it is not", path)
}
