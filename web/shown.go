package web

import (
	"encoding/json"
	"html/template"
	"sort"
	"strconv"
	"strings"
	"time"

	"kelian/workflow"
	"kelian/workflow/flow"
)

// shownField is a filled field as its reader sees it.
type shownField struct {
	Title string
	Value template.HTML
	Kept  bool // personal or hidden
}

// shower spells the values of forms.
type shower struct {
	voice
	form   *workflow.Form      // the present definition's, for names of parts; nil = unknown
	things map[string][]choice // names of rooms, boards and items by code
	file   func(string) string // the name of a file, "" = none that the reader may see
	door   string              // where files are downloaded
}

// print spells the fields of a printed form or of a request's page.
func (s *shower) print(fields []workflow.PrintField) []shownField {
	var out []shownField
	for _, f := range fields {
		title, _ := s.words(f.Title)
		x := shownField{Title: title, Kept: f.Kept}
		if f.Value != "" {
			x.Value = s.value(decodeJSON(f.Value), s.field(f.Pointer, f.Kind))
		}
		out = append(out, x)
	}
	return out
}

// field finds the definition's field, or one that knows its kind only.
func (s *shower) field(pointer, kind string) workflow.Field {
	if s.form != nil {
		if f, ok := s.form.Field(pointer); ok {
			return f
		}
	}
	return workflow.Field{Kind: kind, Format: kind}
}

func decodeJSON(j flow.JSON) any {
	d := json.NewDecoder(strings.NewReader(string(j)))
	d.UseNumber()
	var v any
	_ = d.Decode(&v) // canonical text decodes
	return v
}

// value spells a value as HTML; every part of it is escaped here.
func (s *shower) value(v any, f workflow.Field) template.HTML {
	switch x := v.(type) {
	case nil:
		return "—"
	case []any:
		item := workflow.Field{Kind: f.Kind}
		if f.Item != nil {
			item = element(f)
		}
		if len(x) == 1 {
			return s.value(x[0], item)
		}
		var b strings.Builder
		b.WriteString("<ol>")
		for _, e := range x {
			b.WriteString("<li>" + string(s.value(e, item)) + "</li>")
		}
		return template.HTML(b.String() + "</ol>")
	case map[string]any:
		if f.Kind == "file" {
			return s.link(x)
		}
		return s.object(x, f)
	}
	return template.HTML(strings.ReplaceAll(template.HTMLEscapeString(s.scalar(v, f)), "\n", "<br>"))
}

// link leads to a file, with the digest that was signed.
func (s *shower) link(x map[string]any) template.HTML {
	which, sum := plain(x["file"]), plain(x["sha256"])
	name := ""
	if s.file != nil {
		name = s.file(which)
	}
	sum = template.HTMLEscapeString("SHA-256 " + sum[:min(16, len(sum))] + "…")
	if name == "" {
		return template.HTML(text{"附件已删除，或你看不到它；", "a file that was erased, or that you may not see; "}.in(s.lang) + sum)
	}
	return template.HTML(`<a href="` + template.HTMLEscapeString(s.door) + template.URLQueryEscaper(which) + `">` + template.HTMLEscapeString(name) + `</a> <small>` + sum + `</small>`)
}

func (s *shower) object(x map[string]any, f workflow.Field) template.HTML {
	var parts []string
	done := map[string]bool{}
	for _, p := range f.Props {
		if v, ok := x[p.Name]; ok {
			done[p.Name] = true
			title, _ := s.words(p.Title)
			parts = append(parts, template.HTMLEscapeString(title)+text{"：", ": "}.in(s.lang)+string(s.value(v, p)))
		}
	}
	var rest []string
	for name := range x {
		if !done[name] {
			rest = append(rest, name)
		}
	}
	sort.Strings(rest)
	for _, name := range rest {
		parts = append(parts, template.HTMLEscapeString(name)+": "+string(s.value(x[name], workflow.Field{})))
	}
	return template.HTML(strings.Join(parts, text{"，", ", "}.in(s.lang)))
}

func (s *shower) scalar(v any, f workflow.Field) string {
	raw := plain(v)
	switch {
	case raw == "true" || raw == "false":
		if _, ok := v.(bool); ok {
			return map[string]text{"true": {"是", "yes"}, "false": {"否", "no"}}[raw].in(s.lang)
		}
	case f.Titles[raw] != flow.Text{}:
		return text{f.Titles[raw].Zh, f.Titles[raw].En}.in(s.lang)
	case f.Kind == "money":
		if n, err := strconv.ParseInt(raw, 10, 64); err == nil {
			return s.yuan(n)
		}
	case f.Kind == "unit":
		return s.unitName(raw)
	case f.Format == "date-time":
		if t, err := time.Parse(time.RFC3339, raw); err == nil {
			return s.whenText(t)
		}
	case f.Format == "date":
		if t, err := time.ParseInLocation(time.DateOnly, raw, s.s.Location); err == nil {
			return s.dayText(t)
		}
	}
	for _, c := range s.things[f.Kind] {
		if c.Value == raw {
			return c.Title
		}
	}
	return raw
}

// shownChange is one line of a diff.
type shownChange struct {
	Title         string
	Before, After template.HTML
	Kept          bool
}

func (s *shower) changes(list []workflow.Change) []shownChange {
	var out []shownChange
	for _, c := range list {
		title, _ := s.words(c.Title)
		x := shownChange{Title: title, Kept: c.Personal || c.Hidden, Before: "—", After: "—"}
		f := s.field(c.Pointer, "")
		if c.Before != "" {
			x.Before = s.value(decodeJSON(c.Before), f)
		}
		if c.After != "" {
			x.After = s.value(decodeJSON(c.After), f)
		}
		out = append(out, x)
	}
	return out
}
