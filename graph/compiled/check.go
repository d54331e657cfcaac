package compiled

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// harmless directives on a field say something to readers or to gqlgen's
// generator, and do nothing when the field is resolved. A field that goField
// gives a resolver is found among the resolvers.
var harmless = map[string]bool{"deprecated": true, "goField": true, "goTag": true, "compiled": true}

// Check refuses, with every reason, a schema whose @compiled fields cannot be
// answered from plain structs: an interface or union, a field with arguments,
// a directive or a resolver, a field without a row in the table, a row that
// does not fit. resolvers is the generated ResolverRoot interface type,
// reflect.TypeFor[ResolverRoot](). The server calls it before it listens.
func (c *Compiler) Check(resolvers reflect.Type) error {
	k := checker{c: c, resolvers: resolvers, seen: map[string]bool{}}
	for _, def := range c.schema.Types {
		if def.Kind != ast.Object {
			continue
		}
		for _, f := range def.Fields {
			if f.Directives.ForName("compiled") == nil {
				continue
			}
			where := def.Name + "." + f.Name
			if def == c.schema.Subscription {
				k.refuse("%s: a subscription cannot be compiled", where)
				continue
			}
			o := c.objects[f.Type.Name()]
			if o == nil {
				k.refuse("%s: there is no table for %s", where, f.Type.Name())
				continue
			}
			if f.Type.Elem != nil && f.Type.Elem.Elem != nil {
				k.refuse("%s: a list of lists", where)
			}
			k.object(where, f.Type.Name(), o)
		}
	}
	return errors.Join(k.errs...)
}

type checker struct {
	c         *Compiler
	resolvers reflect.Type
	seen      map[string]bool
	errs      []error
}

func (k *checker) refuse(format string, args ...any) {
	k.errs = append(k.errs, fmt.Errorf("compiled: "+format, args...))
}

func (k *checker) object(where, typeName string, o object) {
	if o.typeName() != typeName {
		k.refuse("%s is a %s, its table one of %s", where, typeName, o.typeName())
		return
	}
	if k.seen[typeName] {
		return
	}
	k.seen[typeName] = true
	def := k.c.schema.Types[typeName]
	if def == nil || def.Kind != ast.Object {
		k.refuse("%s: %s is not an object type", where, typeName)
		return
	}
	for _, name := range o.names() {
		if def.Fields.ForName(name) == nil {
			k.refuse("%s has no field %s", typeName, name)
		}
	}
	for _, f := range def.Fields {
		if !strings.HasPrefix(f.Name, "__") {
			k.field(typeName, f, o)
		}
	}
}

func (k *checker) field(typeName string, f *ast.FieldDefinition, o object) {
	where := typeName + "." + f.Name
	row, ok := o.infoOf(f.Name)
	if !ok {
		k.refuse("%s has no row in the table", where)
		return
	}
	if len(f.Arguments) > 0 {
		k.refuse("%s takes arguments", where)
	}
	for _, d := range f.Directives {
		if !harmless[d.Name] {
			k.refuse("%s carries @%s, which would not run", where, d.Name)
		}
	}
	if k.hasResolver(typeName, f.Name) {
		k.refuse("%s has a resolver, which would not run", where)
	}
	switch kind := k.c.schema.Types[f.Type.Name()].Kind; {
	case kind == ast.Interface || kind == ast.Union:
		k.refuse("%s is of the abstract type %s", where, f.Type.Name())
		return
	case (kind == ast.Object) != (row.child != nil):
		k.refuse("%s: leaf and object are mixed up", where)
		return
	}
	if (f.Type.Elem != nil) != row.list || (row.list && f.Type.Elem.Elem != nil) {
		k.refuse("%s: the schema says %s, the table another list depth", where, f.Type)
	}
	if row.nullable && f.Type.NonNull {
		k.refuse("%s is never null in the schema, but may be in the table", where)
	}
	if row.child != nil {
		k.object(where, f.Type.Name(), row.child)
	}
}

// hasResolver looks for Root.<Type>().<Field>; gqlgen's Go names differ from
// the GraphQL names in case and underscores only.
func (k *checker) hasResolver(typeName, field string) bool {
	m, ok := method(k.resolvers, typeName)
	if !ok || m.Type.NumOut() != 1 {
		return false
	}
	_, ok = method(m.Type.Out(0), field)
	return ok
}

func method(t reflect.Type, name string) (reflect.Method, bool) {
	want := strings.ReplaceAll(name, "_", "")
	if t == nil || t.Kind() != reflect.Interface {
		return reflect.Method{}, false
	}
	for i := range t.NumMethod() {
		if m := t.Method(i); strings.EqualFold(strings.ReplaceAll(m.Name, "_", ""), want) {
			return m, true
		}
	}
	return reflect.Method{}, false
}
