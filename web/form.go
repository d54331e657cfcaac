package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"kelian/desk/property"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// formField is one input of a form that a definition asks for. Name is the
// field's JSON pointer, so that what a service refuses finds its place.
type formField struct {
	Name     string
	Title    string
	Help     string
	Why      string // purpose and retention of a personal field
	Input    string // text, number, money, date, datetime-local, email, tel, checkbox, area, select, fixed, group, list, file
	Value    string
	Checked  bool
	Required bool
	Rows     int
	Max      int
	Choices  []choice
	Parts    []formField // of a group; of a list: its rows
	Sum      string      // of a file: its digest; Value is its identifier
	File     string      // of a file: its name
	Accept   string      // of a file: the kinds that a phone offers
	Error    string
}

type choice struct {
	Value, Title string
	Chosen       bool
}

// hints are what the JSON Schema says of a field beside its type.
type hints struct {
	UI struct {
		Of   []string  `json:"of"`
		Rows int       `json:"rows"`
		Help flow.Text `json:"help"`
	} `json:"x-ui"`
	Properties map[string]*hints `json:"properties"`
	Items      *hints            `json:"items"`
}

func (h *hints) prop(name string) *hints {
	if h == nil || h.Properties[name] == nil {
		return &hints{}
	}
	return h.Properties[name]
}

// formBuilder makes inputs of a definition, with the values entered so far.
type formBuilder struct {
	voice
	errors map[string]string   // by pointer
	things map[string][]choice // by kind: unit, room, board, item
	all    []org.Unit
	file   func(string) string // the name of a file by its identifier
}

// inputs gives the form's inputs with values as decoded from JSON.
func (b *formBuilder) inputs(f *workflow.Form, values map[string]any) []formField {
	var root hints
	_ = json.Unmarshal([]byte(f.Schema), &root) // the loader wrote it
	return b.fields(f.Fields, "", &root, values)
}

func (b *formBuilder) fields(list []workflow.Field, at string, h *hints, values map[string]any) []formField {
	var out []formField
	for _, f := range list {
		out = append(out, b.field(f, at+"/"+f.Name, h.prop(f.Name), values[f.Name]))
	}
	return out
}

func (b *formBuilder) field(f workflow.Field, name string, h *hints, value any) formField {
	x := formField{Name: name, Title: text{f.Title.Zh, f.Title.En}.in(b.lang), Help: text{h.UI.Help.Zh, h.UI.Help.En}.in(b.lang),
		Required: f.Required, Max: f.Max, Rows: h.UI.Rows, Error: b.errors[name], Input: "text"}
	if f.Personal != nil {
		x.Why = b.personal(f.Personal)
	}
	if value == nil {
		value = f.Default
	}
	switch {
	case f.Kind == "file" && f.Type == "object":
		x.Input = "file"
		inner, _ := value.(map[string]any)
		if x.Value = plain(inner["file"]); x.Value != "" {
			x.Sum, x.File = plain(inner["sha256"]), cmp.Or(b.file(x.Value), x.Value)
		}
	case f.Type == "boolean":
		x.Input = "checkbox"
		x.Checked, _ = value.(bool)
	case f.Type == "object":
		x.Input = "group"
		inner, _ := value.(map[string]any)
		x.Parts = b.fields(f.Props, name, h, inner)
		if !f.Required {
			relax(x.Parts)
		}
	case f.Type == "array":
		x.Input = "list"
		list, _ := value.([]any)
		for i := range max(len(list), 1) {
			var v any
			if i < len(list) {
				v = list[i]
			}
			item := h.Items
			if item == nil {
				item = &hints{}
			}
			x.Parts = append(x.Parts, b.row(f, x.Title, name, i, item, v))
		}
		x.Max = f.Max
		if !f.Required {
			relax(x.Parts)
		}
	default:
		b.scalar(&x, f, h, value)
	}
	return x
}

// relax takes the mark of what is needed from the parts of something that may
// be left out as a whole.
func relax(parts []formField) {
	for i := range parts {
		parts[i].Required = false
		relax(parts[i].Parts)
	}
}

// row is one element of a list. Money may stand at the list or at its elements.
func (b *formBuilder) row(list workflow.Field, title, name string, i int, h *hints, value any) formField {
	r := b.field(element(list), name+"/"+strconv.Itoa(i), h, value)
	if r.Title == "" {
		r.Title = title
	}
	r.Title = fmt.Sprintf("%s %d", r.Title, i+1)
	return r
}

func element(list workflow.Field) workflow.Field {
	item := *list.Item
	if item.Kind == "" {
		item.Kind = list.Kind
	}
	return item
}

// scalar chooses the input of a single value.
func (b *formBuilder) scalar(x *formField, f workflow.Field, h *hints, value any) {
	x.Value = plain(value)
	switch {
	case len(f.Enum) == 1 && f.Required:
		x.Input, x.Value = "fixed", f.Enum[0] // there is nothing to choose
	case len(f.Enum) > 0:
		x.Input = "select"
		for _, v := range f.Enum {
			x.Choices = append(x.Choices, choice{v, text{f.Titles[v].Zh, f.Titles[v].En}.in(b.lang), v == x.Value})
		}
	case f.Kind == "unit":
		x.Input = "select"
		x.Choices = b.units(h.UI.Of, x.Value)
	case f.Kind == "money":
		x.Input = "money"
		if n, err := strconv.ParseInt(x.Value, 10, 64); err == nil {
			x.Value = property.Yuan(n)
		}
	case len(b.things[f.Kind]) > 0:
		x.Input = "select"
		for _, t := range b.things[f.Kind] {
			t.Chosen = t.Value == x.Value
			x.Choices = append(x.Choices, t)
		}
	case f.Type == "integer":
		x.Input = "number"
	case f.Format == "date":
		x.Input = "date"
	case f.Format == "date-time":
		x.Input = "datetime-local"
		if t, err := time.Parse(time.RFC3339, x.Value); err == nil {
			x.Value = t.In(b.s.Location).Format("2006-01-02T15:04")
		}
	case f.Kind == "email" || f.Format == "email":
		x.Input = "email"
	case f.Kind == "phone":
		x.Input = "tel"
	case f.Kind == "longtext":
		x.Input = "area"
		x.Rows = max(x.Rows, 3)
	}
}

// units are those of the kinds that the field takes, by the words before their
// codes' first dot.
func (b *formBuilder) units(of []string, chosen string) []choice {
	var out []choice
	for _, u := range b.all {
		kind, _, _ := strings.Cut(u.Code, ".")
		if len(of) == 0 || slices.Contains(of, kind) && kind != u.Code || slices.Contains(of, strings.ToLower(string(u.Kind))) {
			out = append(out, choice{u.Code, text{u.NameZh, u.NameEn}.in(b.lang), u.Code == chosen})
		}
	}
	return out
}

func (b *formBuilder) personal(p *workflow.Personal) string {
	why, _ := b.words(p.Purpose)
	keep := p.Retention
	switch n := strings.TrimRight(keep, "dm"); {
	case keep == "term":
		keep = text{"学期末", "the end of term"}.in(b.lang)
	case strings.HasSuffix(keep, "d"):
		keep = text{"结束后 " + n + " 天", n + " days after the end"}.in(b.lang)
	default:
		keep = text{"结束后 " + n + " 个月", n + " months after the end"}.in(b.lang)
	}
	return text{"用途：" + why + "；保留到" + keep, "Used for: " + why + "; kept until " + keep}.in(b.lang)
}

// plain is a JSON scalar as text.
func plain(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case json.Number:
		return x.String()
	case bool:
		return strconv.FormatBool(x)
	}
	return fmt.Sprint(v)
}

// read puts what was entered into the shape that the definition asks for. What
// is not a number or a time stays text, so that the form refuses it in place.
func (b *formBuilder) read(f *workflow.Form, in url.Values) map[string]any {
	return b.readFields(f.Fields, "", in)
}

func (b *formBuilder) readFields(list []workflow.Field, at string, in url.Values) map[string]any {
	out := map[string]any{}
	for _, f := range list {
		if v := b.readField(f, at+"/"+f.Name, in); v != nil {
			out[f.Name] = v
		}
	}
	return out
}

// readField gives nil for a field that was left empty.
func (b *formBuilder) readField(f workflow.Field, name string, in url.Values) any {
	switch {
	case f.Kind == "file" && f.Type == "object":
		if in.Get(name+"/file") == "" || in.Get(name+"/drop") == "true" {
			return nil
		}
		return map[string]any{"file": in.Get(name + "/file"), "sha256": in.Get(name + "/sha256")}
	case f.Type == "boolean":
		return in.Get(name) == "true"
	case f.Type == "object":
		if v := b.readFields(f.Props, name, in); !empty(v) {
			return v
		}
		return nil
	case f.Type == "array":
		var out []any
		for _, i := range rows(in, name) {
			if v := b.readField(element(f), name+"/"+strconv.Itoa(i), in); v != nil {
				out = append(out, v)
			}
		}
		if out == nil {
			return nil
		}
		return out
	}
	s := strings.TrimSpace(in.Get(name))
	switch {
	case s == "":
		return nil
	case f.Kind == "money":
		if n, ok := fen(s); ok {
			return json.Number(strconv.FormatInt(n, 10))
		}
	case f.Type == "integer":
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return json.Number(strconv.FormatInt(n, 10))
		}
	case f.Format == "date-time":
		for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
			if t, err := time.ParseInLocation(layout, s, b.s.Location); err == nil {
				return t.Format(time.RFC3339)
			}
		}
	}
	return s
}

// empty says that nothing but unticked boxes came in.
func empty(v map[string]any) bool {
	for _, x := range v {
		if x != false {
			return false
		}
	}
	return true
}

// maxRows bounds the rows of a list that a page takes.
const maxRows = 500

// rows are the numbers of a list's rows that came in, in order.
func rows(in url.Values, name string) []int {
	seen := map[int]bool{}
	for key := range in {
		rest, ok := strings.CutPrefix(key, name+"/")
		if !ok {
			continue
		}
		first, _, _ := strings.Cut(rest, "/")
		if n, err := strconv.Atoi(first); err == nil && n >= 0 && n < maxRows {
			seen[n] = true
		}
	}
	out := make([]int, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	sort.Ints(out)
	return out
}

// addRow appends an empty row to the list at a pointer's first name.
func addRow(inputs []formField, name string, b *formBuilder, f *workflow.Form) {
	for i := range inputs {
		if inputs[i].Name != name || inputs[i].Input != "list" {
			continue
		}
		for _, fd := range f.Fields {
			if "/"+fd.Name != name || len(inputs[i].Parts) >= fd.Max {
				continue
			}
			var root hints
			_ = json.Unmarshal([]byte(f.Schema), &root)
			item := root.prop(fd.Name).Items
			if item == nil {
				item = &hints{}
			}
			row := b.row(fd, inputs[i].Title, name, len(inputs[i].Parts), item, nil)
			inputs[i].Parts = append(inputs[i].Parts, row)
		}
	}
}
