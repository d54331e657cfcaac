package proof

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// field is a node of the form's schema, as far as it bounds values.
type field struct {
	name     string
	required bool // of its object

	Type       string           `json:"type"`
	Format     string           `json:"format"`
	Default    any              `json:"default"`
	Enum       []any            `json:"enum"`
	Minimum    *json.Number     `json:"minimum"`
	Maximum    *json.Number     `json:"maximum"`
	MinLength  int              `json:"minLength"`
	MaxLength  *int             `json:"maxLength"`
	Pattern    string           `json:"pattern"`
	MinItems   int              `json:"minItems"`
	MaxItems   *int             `json:"maxItems"`
	Items      *field           `json:"items"`
	Required   []string         `json:"required"`
	Properties map[string]field `json:"properties"`
}

// parseSchema gives the root object.
func parseSchema(schema []byte) (*field, error) {
	if len(schema) == 0 {
		return &field{Type: "object"}, nil
	}
	d := json.NewDecoder(bytes.NewReader(schema))
	d.UseNumber()
	var root field
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("proof: the form's schema: %w", err)
	}
	return &root, nil
}

// members are an object's fields, sorted by name.
func (f *field) members() []*field {
	var out []*field
	for _, name := range slices.Sorted(maps.Keys(f.Properties)) {
		x := f.Properties[name]
		x.name, x.required = name, slices.Contains(f.Required, name)
		out = append(out, &x)
	}
	return out
}

// absent stands for a field that is not filled in.
type absent struct{}

// present stands for an object, such as a file, whatever is in it.
type present struct{}

// mayBeAbsent says that a form can leave the field out; a default fills it in.
func (f *field) mayBeAbsent() bool { return !f.required && f.Default == nil }

const widest = int64(1) << 53 // what every reader of JSON keeps exact

func (f *field) bounds() (lo, hi int64) {
	lo, hi = -widest, widest
	if f.Minimum != nil {
		if n, err := f.Minimum.Int64(); err == nil {
			lo = n
		}
	}
	if f.Maximum != nil {
		if n, err := f.Maximum.Int64(); err == nil {
			hi = n
		}
	}
	return lo, hi
}

// cuts are the constants that guards compare a field with.
type cuts struct {
	ints    []int64 // values, or sizes of lists and texts
	strings []string
}

// candidates are values of the field, at least one of each cell that the cuts
// make: int64, bool, string, the size of a list (int64), present or absent.
func (f *field) candidates(c cuts) []any {
	var out []any
	switch f.Type {
	case "boolean":
		out = []any{false, true}
	case "integer":
		out = f.integers(c)
	case "array":
		most := widest
		if f.MaxItems != nil {
			most = int64(*f.MaxItems)
		}
		for _, n := range around(append(c.ints, int64(f.MinItems))) {
			if n >= int64(f.MinItems) && n <= most {
				out = append(out, n)
			}
		}
	case "string":
		out = f.texts(c)
	case "object":
		out = []any{present{}}
	}
	if f.mayBeAbsent() {
		out = append(out, absent{})
	}
	return out
}

func (f *field) integers(c cuts) []any {
	var out []any
	if len(f.Enum) > 0 {
		for _, e := range f.Enum {
			if n, err := e.(json.Number).Int64(); err == nil {
				out = append(out, n)
			}
		}
		return out
	}
	lo, hi := f.bounds()
	for _, n := range around(append(c.ints, lo, hi)) {
		if n >= lo && n <= hi {
			out = append(out, n)
		}
	}
	return out
}

// around are the numbers with their neighbours, sorted.
func around(list []int64) []int64 {
	var out []int64
	for _, n := range list {
		out = append(out, n-1, n, n+1)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (f *field) texts(c cuts) []any {
	var out []any
	if len(f.Enum) > 0 {
		return f.Enum
	}
	if f.Format == "date" {
		out = append(out, f.sample(sampling{}))
		for _, s := range c.strings {
			if d, err := time.Parse(time.DateOnly, s); err == nil {
				for _, k := range []int{-1, 0, 1} {
					out = append(out, d.AddDate(0, 0, k).Format(time.DateOnly))
				}
			}
		}
		return out
	}
	fits := func(n int) bool { return n >= f.MinLength && (f.MaxLength == nil || n <= *f.MaxLength) }
	for _, s := range c.strings {
		if fits(utf8.RuneCountInString(s)) {
			out = append(out, s)
		}
	}
	for _, n := range around(append(c.ints, int64(f.MinLength), 1)) {
		if n < 0 || n > 1<<16 || !fits(int(n)) {
			continue
		}
		// A text of this length that is none of the constants.
		for _, letter := range []string{"x", "y", "z", "w"} {
			if s := strings.Repeat(letter, int(n)); n == 0 || !slices.Contains(c.strings, s) {
				out = append(out, s)
				break
			}
		}
	}
	return out
}

// sampling varies the values that sample makes up, so that one of the
// variations keeps the rules between fields.
type sampling struct {
	optional bool  // fill in what may stay empty
	falling  bool  // a later date-time for the earlier name
	first    int64 // first number of a list of numbers
	clock    *int  // counts date-times
}

// sample makes a value that the field's own schema accepts.
func (f *field) sample(s sampling) any {
	if f.Default != nil {
		return f.Default
	}
	if len(f.Enum) > 0 {
		return f.Enum[0]
	}
	switch f.Type {
	case "boolean":
		return false
	case "integer":
		lo, hi := f.bounds()
		return min(max(1, lo), hi)
	case "array":
		n := f.MinItems
		if f.Items.Type == "integer" && s.first != 0 && s.optional {
			n = max(n, 1)
		}
		out := make([]any, n)
		for i := range out {
			out[i] = f.Items.sample(s)
			if f.Items.Type == "integer" && i == 0 && s.first != 0 {
				out[i] = s.first
			}
		}
		return out
	case "object":
		out := map[string]any{}
		for _, m := range f.members() {
			if m.required || s.optional && m.Type != "object" {
				out[m.name] = m.sample(s)
			}
		}
		return out
	}
	return f.sampleText(s)
}

func (f *field) sampleText(s sampling) string {
	switch f.Format {
	case "date":
		return "2099-06-01"
	case "time":
		return "12:00:00Z"
	case "date-time":
		n := 0
		if s.clock != nil {
			*s.clock++
			n = *s.clock
		}
		if s.falling {
			n = -n
		}
		return time.Date(2099, 6, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Hour).Format(time.RFC3339)
	case "email":
		return "a@example.com"
	case "uri":
		return "https://example.com/"
	case "uuid":
		return "00000000-0000-4000-8000-000000000000"
	}
	if strings.HasPrefix(f.Pattern, "^fil_") {
		return "fil_" + strings.Repeat("0", 26)
	}
	if strings.Contains(f.Pattern, "[0-9a-f]{64}") {
		return strings.Repeat("0", 64)
	}
	return strings.Repeat("x", max(1, f.MinLength))
}
