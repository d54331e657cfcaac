package flow

import (
	"encoding/json"
	"fmt"
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
	if !json.Valid(b) {
		return nil, fmt.Errorf("flow: this is not one JSON value")
	}
	w := spelling{in: b}
	return w.value(make([]byte, 0, len(b)), 0)
}

const maxDepth = 64

// spelling goes over a text that is known to be one JSON value.
type spelling struct {
	in []byte
	at int
}

// next skips white space and gives the byte there.
func (w *spelling) next() byte {
	for strings.IndexByte(" \t\r\n", w.in[w.at]) >= 0 {
		w.at++
	}
	return w.in[w.at]
}

func (w *spelling) value(out []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("flow: JSON deeper than %d levels", maxDepth)
	}
	switch c := w.next(); c {
	case '[':
		return w.array(out, depth)
	case '{':
		return w.object(out, depth)
	case '"':
		s, err := w.text()
		return appendString(out, s), err
	case 't', 'f', 'n':
		word := map[byte]string{'t': "true", 'f': "false", 'n': "null"}[c]
		w.at += len(word)
		return append(out, word...), nil
	}
	from := w.at
	for w.at < len(w.in) && strings.IndexByte("+-.0123456789Ee", w.in[w.at]) >= 0 {
		w.at++
	}
	return appendNumber(out, string(w.in[from:w.at]))
}

// text reads a string; the reader of the standard library knows its escapes.
func (w *spelling) text() (s string, err error) {
	from, plain := w.at, true
	for w.at++; w.in[w.at] != '"'; w.at++ {
		if w.in[w.at] == '\\' {
			plain = false
			w.at++
		}
	}
	w.at++
	if plain {
		return string(w.in[from+1 : w.at-1]), nil
	}
	err = json.Unmarshal(w.in[from:w.at], &s)
	return s, err
}

func (w *spelling) array(out []byte, depth int) (_ []byte, err error) {
	out = append(out, '[')
	w.at++
	for w.next() != ']' {
		if w.in[w.at] == ',' {
			out = append(out, ',')
			w.at++
		}
		if out, err = w.value(out, depth+1); err != nil {
			return nil, err
		}
	}
	w.at++
	return append(out, ']'), nil
}

// member is a key with its value, the bytes from..to of the text being made.
type member struct {
	key      string
	from, to int
}

func (w *spelling) object(out []byte, depth int) (_ []byte, err error) {
	var all []member
	var values []byte
	w.at++
	for w.next() != '}' {
		if w.in[w.at] == ',' {
			w.at++
			w.next()
		}
		m := member{from: len(values)}
		if m.key, err = w.text(); err != nil {
			return nil, err
		}
		w.next()
		w.at++ // the colon
		if values, err = w.value(values, depth+1); err != nil {
			return nil, err
		}
		m.to = len(values)
		all = append(all, m)
	}
	w.at++
	slices.SortFunc(all, func(a, b member) int { return byUnits(a.key, b.key) })
	out = append(out, '{')
	for i, m := range all {
		if i > 0 {
			if all[i-1].key == m.key {
				return nil, fmt.Errorf("flow: the key %.40q occurs twice", m.key)
			}
			out = append(out, ',')
		}
		out = append(appendString(out, m.key), ':')
		out = append(out, values[m.from:m.to]...)
	}
	return append(out, '}'), nil
}

// byUnits compares by UTF-16 units, which differs from the order of the bytes
// beyond ASCII only.
func byUnits(a, b string) int {
	if isASCII(a) && isASCII(b) {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
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
func appendNumber(out []byte, n string) ([]byte, error) {
	f, err := strconv.ParseFloat(n, 64)
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
