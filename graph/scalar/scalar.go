// Package scalar reads and writes the five scalars of GraphQL as the
// specification says (October 2021, §3.5), where gqlgen's own would take a
// text for a number and a number for a text. gqlgen.yml binds them:
// Int: {model: kelian/graph/scalar.Int} and so on. Every error is
// BAD_USER_INPUT, repeats nothing of the value and gets its path from gqlgen.
package scalar

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"kelian/internal/fault"

	"github.com/99designs/gqlgen/graphql"
)

// MaxID bounds identifiers and cursors, in bytes.
const MaxID = 1024

func bad(zh, en string) error { return fault.Input("", zh, en) }

// MarshalInt writes an Int.
func MarshalInt(n int) graphql.Marshaler { return graphql.MarshalInt(n) }

// UnmarshalInt reads a whole number of 32 bits.
func UnmarshalInt(v any) (int, error) {
	var n int64
	switch v := v.(type) {
	case int:
		n = int64(v)
	case int64:
		n = v
	case json.Number:
		var err error
		if n, err = strconv.ParseInt(string(v), 10, 64); err != nil {
			return 0, bad("须是 32 位整数", "must be a whole number of 32 bits")
		}
	default:
		return 0, bad("须是整数", "must be a whole number")
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return 0, bad("须是 32 位整数", "must be a whole number of 32 bits")
	}
	return int(n), nil
}

// MarshalFloat writes a Float; what JSON cannot spell becomes null.
func MarshalFloat(f float64) graphql.Marshaler {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return graphql.Null
	}
	return graphql.MarshalFloat(f)
}

// UnmarshalFloat reads a finite number.
func UnmarshalFloat(v any) (float64, error) {
	var f float64
	switch v := v.(type) {
	case int:
		f = float64(v)
	case int64:
		f = float64(v)
	case float64:
		f = v
	case json.Number:
		var err error
		if f, err = strconv.ParseFloat(string(v), 64); err != nil {
			return 0, bad("数值超出范围", "the number is out of range")
		}
	default:
		return 0, bad("须是数字", "must be a number")
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, bad("数值超出范围", "the number is out of range")
	}
	return f, nil
}

// MarshalString writes a String.
func MarshalString(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalString reads a text: UTF-8 without NUL, which PostgreSQL cannot
// store.
func UnmarshalString(v any) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", bad("须是文字", "must be a text")
	}
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return "", bad("文字里有不允许的字符", "the text holds characters that are not allowed")
	}
	return s, nil
}

// MarshalBoolean writes a Boolean.
func MarshalBoolean(b bool) graphql.Marshaler { return graphql.MarshalBoolean(b) }

// UnmarshalBoolean reads true or false.
func UnmarshalBoolean(v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, bad("须是 true 或 false", "must be true or false")
	}
	return b, nil
}

// MarshalID writes an ID.
func MarshalID(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalID reads an identifier; ours are texts, and a number is none.
func UnmarshalID(v any) (string, error) {
	s, err := UnmarshalString(v)
	if err != nil || s == "" || len(s) > MaxID {
		return "", bad("编号不合规", "this is not an identifier")
	}
	return s, nil
}
