package compiled

import (
	"bytes"
	"math"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
)

// Append appends the JSON of one scalar value.
type Append[V any] func(b []byte, v V) []byte

// Value is a scalar or enum field that is never null.
func Value[T, V any](enc Append[V], get func(*T) V) Field[T] {
	run := func(b []byte, v *T) ([]byte, error) { return enc(b, get(v)), nil }
	return Field[T]{plan: func(*env, graphql.CollectedField) appendFunc[T] { return run }}
}

// Maybe is a scalar or enum field that is null when the pointer is nil.
func Maybe[T, V any](enc Append[V], get func(*T) *V) Field[T] {
	run := func(b []byte, v *T) ([]byte, error) {
		if p := get(v); p != nil {
			return enc(b, *p), nil
		}
		return append(b, "null"...), nil
	}
	return Field[T]{info: info{nullable: true}, plan: func(*env, graphql.CollectedField) appendFunc[T] { return run }}
}

// List is a list of scalars or enums that are never null; a nil slice is null
// where the schema allows it and [] elsewhere.
func List[T, V any](enc Append[V], get func(*T) []V) Field[T] {
	return Field[T]{info: info{list: true}, plan: func(_ *env, f graphql.CollectedField) appendFunc[T] {
		empty := emptyList(f)
		one := func(b []byte, v *V) ([]byte, error) { return enc(b, *v), nil }
		return func(b []byte, v *T) ([]byte, error) {
			if s := get(v); s != nil {
				return appendSlice(b, s, one)
			}
			return append(b, empty...), nil
		}
	}}
}

// One is a field of an object type, null when the pointer is nil.
func One[T, C any](child *Object[C], get func(*T) *C) Field[T] {
	return Field[T]{info: info{child: child}, plan: func(e *env, f graphql.CollectedField) appendFunc[T] {
		one, nonNull := child.plan(e, f.Selections), f.Definition.Type.NonNull
		path := f.ObjectDefinition.Name + "." + f.Name
		return func(b []byte, v *T) ([]byte, error) {
			if c := get(v); c != nil {
				return one(b, c)
			}
			if nonNull {
				return b, errNull(path)
			}
			return append(b, "null"...), nil
		}
	}}
}

// Many is a field that lists objects; a nil slice is null where the schema
// allows it and [] elsewhere.
func Many[T, C any](child *Object[C], get func(*T) []C) Field[T] {
	return Field[T]{info: info{child: child, list: true}, plan: func(e *env, f graphql.CollectedField) appendFunc[T] {
		one, empty := child.plan(e, f.Selections), emptyList(f)
		return func(b []byte, v *T) ([]byte, error) {
			if s := get(v); s != nil {
				return appendSlice(b, s, one)
			}
			return append(b, empty...), nil
		}
	}}
}

func emptyList(f graphql.CollectedField) string {
	if f.Definition.Type.NonNull {
		return "[]"
	}
	return "null"
}

// String is a String, ID or enum field.
func String[T any, V ~string](get func(*T) V) Field[T] { return Value(AppendString[V], get) }

// Int is an Int field.
func Int[T any](get func(*T) int) Field[T] { return Value(AppendInt, get) }

// Float is a Float field.
func Float[T any](get func(*T) float64) Field[T] { return Value(AppendFloat, get) }

// Bool is a Boolean field.
func Bool[T any](get func(*T) bool) Field[T] { return Value(AppendBool, get) }

// Self writes a scalar that has a MarshalGQL method.
func Self[V graphql.Marshaler](b []byte, v V) []byte {
	w := bytes.NewBuffer(b)
	v.MarshalGQL(w)
	return w.Bytes()
}

// AppendInt appends a number.
func AppendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

// AppendBool appends true or false.
func AppendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

// AppendFloat appends a number; what JSON cannot spell becomes null.
func AppendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}

const hex = "0123456789ABCDEF"

// AppendString appends a JSON string with the escapes that gqlgen writes.
func AppendString[V ~string](b []byte, v V) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(v); i++ {
		c := v[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, v[start:i]...)
		switch c {
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		case '\n':
			b = append(b, '\\', 'n')
		case '"', '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		start = i + 1
	}
	b = append(b, v[start:]...)
	return append(b, '"')
}
