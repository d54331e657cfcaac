package flow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON is one JSON value in canonical spelling; the empty JSON is null.
type JSON string

// MarshalJSON writes the value.
func (j JSON) MarshalJSON() ([]byte, error) {
	if j == "" {
		return []byte("null"), nil
	}
	return []byte(j), nil
}

// UnmarshalJSON takes any spelling and keeps the canonical one.
func (j *JSON) UnmarshalJSON(b []byte) error {
	c, err := Canonical(b)
	if err == nil {
		*j = JSON(c)
		if *j == "null" {
			*j = ""
		}
	}
	return err
}

// Canonical spells one JSON value as RFC 8785 does: keys sorted by UTF-16
// units, no white space, shortest numbers. Stricter than that, it refuses
// what two readers could take for two values: a key that occurs twice,
// integers from 2^53 on, and text that is not Unicode.
func Canonical(b []byte) ([]byte, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("flow: the JSON text is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	out, err := canonical(nil, d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("flow: more than one JSON value")
	}
	return out, nil
}

const maxDepth = 64

func canonical(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("flow: JSON deeper than %d levels", maxDepth)
	}
	tok, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("flow: JSON: %w", err)
	}
	switch v := tok.(type) {
	case json.Delim:
		if v == '[' {
			return canonicalArray(out, d, depth)
		}
		return canonicalObject(out, d, depth)
	case string:
		return appendString(out, v), nil
	case json.Number:
		return appendNumber(out, v)
	case bool:
		return strconv.AppendBool(out, v), nil
	}
	return append(out, "null"...), nil
}

func canonicalArray(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	out = append(out, '[')
	for n := 0; d.More(); n++ {
		if n > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = canonical(out, d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return append(out, ']'), err
}

func canonicalObject(out []byte, d *json.Decoder, depth int) ([]byte, error) {
	type member struct {
		key   string
		units []uint16
		value []byte
	}
	var all []member
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("flow: JSON: %w", err)
		}
		value, err := canonical(nil, d, depth+1)
		if err != nil {
			return nil, err
		}
		key := tok.(string)
		all = append(all, member{key, utf16.Encode([]rune(key)), value})
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("flow: JSON: %w", err)
	}
	slices.SortFunc(all, func(a, b member) int { return slices.Compare(a.units, b.units) })
	out = append(out, '{')
	for i, m := range all {
		if i > 0 {
			if all[i-1].key == m.key {
				return nil, fmt.Errorf("flow: the key %.40q occurs twice", m.key)
			}
			out = append(out, ',')
		}
		out = append(appendString(out, m.key), ':')
		out = append(out, m.value...)
	}
	return append(out, '}'), nil
}

// appendString escapes as RFC 8785 §3.2.2.2: only what must be.
func appendString(out []byte, s string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for i := range len(s) {
		c := s[i]
		if k := strings.IndexByte("\"\\\b\f\n\r\t", c); k >= 0 {
			out = append(out, '\\', "\"\\bfnrt"[k])
		} else if c < 0x20 {
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		} else {
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// appendNumber spells as ECMAScript does (RFC 8785 §3.2.2.3).
func appendNumber(out []byte, n json.Number) ([]byte, error) {
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("flow: the number %.40s is out of range", n)
	}
	abs := math.Abs(f)
	if f == math.Trunc(f) && abs >= 1<<53 {
		return nil, fmt.Errorf("flow: the integer %.40s is not below 2^53", n)
	}
	if f == 0 {
		return append(out, '0'), nil
	}
	if abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(out, f, 'f', -1, 64), nil
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	mantissa, exp, _ := strings.Cut(s, "e")
	sign := exp[:1]
	return append(out, mantissa+"e"+sign+strings.TrimLeft(exp[1:], "0")...), nil
}
