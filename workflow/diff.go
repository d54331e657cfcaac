package workflow

import (
	"encoding/json"
	"slices"
	"strings"

	"kelian/workflow/flow"
)

// Area is the part of a definition that a Difference is about.
type Area string

// The areas, in the order in which differences are told.
const (
	AreaDefinition Area = "definition" // title, about, unit, facts, effects
	AreaParam      Area = "param"
	AreaForm       Area = "form" // Name is the pointer of a field, empty: the form itself
	AreaRule       Area = "rule" // between fields
	AreaStep       Area = "step"
	AreaPolicy     Area = "policy"
	AreaCloseOut   Area = "close_out" // Name as of AreaForm, empty: when the report is due
)

// Edit says what happened to a part of a definition.
type Edit string

// The edits.
const (
	Added   Edit = "added"
	Removed Edit = "removed"
	Changed Edit = "changed"
)

// Difference is one thing in which two definitions differ. Part names the
// keyword, as it is written in a definition or in its form, whose value was
// changed from Before to After; the empty JSON is no value. An Edit of Added or
// Removed is about the whole step, field, rule or parameter, and has no Part.
//
// Two parts of a step are not written in it: "when" lists the conditions under
// which it is asked, and "place" the steps of both definitions that always come
// before it.
type Difference struct {
	Area   Area      `json:"area"`
	Name   string    `json:"name,omitempty"`
	Part   string    `json:"part,omitempty"`
	Edit   Edit      `json:"edit"`
	Before flow.JSON `json:"before"`
	After  flow.JSON `json:"after"`
	Zh     string    `json:"zh"`
	En     string    `json:"en"`
}

// piece is what differences are told of: something with a name and parts.
type piece struct {
	area  Area
	name  string
	title flow.Text
	parts map[string]flow.JSON
}

// Diff lists in what two definitions differ, in the order of the new text;
// what was removed comes last in its area. Two texts that differ in comments
// and layout alone have no differences.
func Diff(from, to *Definition) []Difference {
	before, after := pieces(from), pieces(to)
	old := byPlace(before)
	var out []Difference
	for _, area := range []Area{AreaDefinition, AreaParam, AreaForm, AreaRule, AreaStep, AreaPolicy, AreaCloseOut} {
		for _, p := range after {
			if p.area != area {
				continue
			}
			if o, both := old[p.area][p.name]; both {
				out = append(out, changes(o, p)...)
				if area == AreaStep {
					out = append(out, moved(from.Flow, to.Flow, p)...)
				}
			} else if !inside(p, after, before) {
				out = append(out, whole(p, Added))
			}
		}
		now := byPlace(after)
		for _, p := range before {
			if _, still := now[p.area][p.name]; p.area == area && !still && !inside(p, before, after) {
				out = append(out, whole(p, Removed))
			}
		}
	}
	return out
}

func byPlace(all []piece) map[Area]map[string]piece {
	out := map[Area]map[string]piece{}
	for _, p := range all {
		if out[p.area] == nil {
			out[p.area] = map[string]piece{}
		}
		out[p.area][p.name] = p
	}
	return out
}

// inside says that the piece is part of a field that is in one list only, and
// is told with it.
func inside(p piece, with, without []piece) bool {
	parent := func(o piece) bool {
		return o.area == p.area && o.name != "" && strings.HasPrefix(p.name, o.name+"/")
	}
	return slices.ContainsFunc(with, func(o piece) bool {
		return parent(o) && !slices.ContainsFunc(without, func(x piece) bool { return x.area == o.area && x.name == o.name })
	})
}

func whole(p piece, e Edit) Difference {
	d := Difference{Area: p.area, Name: p.name, Edit: e}
	value, _ := canonical(p.parts) // parts are JSON already
	if e == Added {
		d.After = value
	} else {
		d.Before = value
	}
	d.Zh, d.En = sayWhole(p, e)
	return d
}

func changes(o, n piece) []Difference {
	var out []Difference
	parts := sortedKeys(o.parts)
	for _, k := range sortedKeys(n.parts) {
		if _, had := o.parts[k]; !had {
			parts = append(parts, k)
		}
	}
	slices.Sort(parts)
	for _, k := range parts {
		if o.parts[k] != n.parts[k] {
			out = append(out, changed(n, k, o.parts[k], n.parts[k]))
		}
	}
	return out
}

func changed(p piece, part string, before, after flow.JSON) Difference {
	d := Difference{Area: p.area, Name: p.name, Part: part, Edit: Changed, Before: before, After: after}
	d.Zh, d.En = sayChanged(p, part, before, after)
	return d
}

// moved compares a step's place among the steps that both definitions have.
func moved(from, to *flow.Definition, p piece) []Difference {
	ahead := func(d, other *flow.Definition) flow.JSON {
		names := []string{}
		for _, s := range d.Steps() {
			if other.Step(s.Name) != nil && d.Precedes(s.Name, p.name) {
				names = append(names, s.Name)
			}
		}
		slices.Sort(names)
		j, _ := canonical(names)
		return j
	}
	if before, after := ahead(from, to), ahead(to, from); before != after {
		return []Difference{changed(p, "place", before, after)}
	}
	return nil
}

// pieces takes a definition apart. Steps and the policy are cut by their JSON,
// forms by their schema, so that nothing of them is left out.
func pieces(d *Definition) []piece {
	var out []piece
	add := func(area Area, name string, title flow.Text, v any, more ...any) {
		p := piece{area: area, name: name, title: title, parts: members(v)}
		for i := 0; i+1 < len(more); i += 2 {
			if j, _ := canonical(more[i+1]); j != "null" && j != `""` {
				p.parts[more[i].(string)] = j
			}
		}
		out = append(out, p)
	}
	add(AreaDefinition, "", d.Flow.Title, nil, "title", d.Flow.Title, "about", d.About, "unit", d.Owner, "facts", some(d.Facts), "on_approved", some(d.Flow.OnApproved))
	for _, p := range d.Params {
		add(AreaParam, p.Name, p.Title, nil, "value", p.Value, "title", p.Title)
	}
	out = append(out, fieldsOf(AreaForm, d.Form)...)
	for _, r := range d.guards.rules {
		add(AreaRule, r.name, r.text, nil, "holds", r.ast.Source().Content(), "at", r.at, "text", r.text)
	}
	when := map[string][]string{}
	conditions(d.Flow.Blocks, nil, when)
	for _, s := range d.Flow.Steps() {
		add(AreaStep, s.Name, s.Title, s, "when", some(when[s.Name]))
		delete(out[len(out)-1].parts, "name")
	}
	add(AreaPolicy, "", flow.Text{}, d.Flow.Policy)
	if d.CloseOut != nil {
		add(AreaCloseOut, "", flow.Text{}, d.Flow.CloseOut)
		out = append(out, fieldsOf(AreaCloseOut, d.CloseOut)...)
	}
	return out
}

func some[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// members are the members of a JSON object.
func members(v any) map[string]flow.JSON {
	out := map[string]flow.JSON{}
	if raw, err := json.Marshal(v); err == nil {
		_ = json.Unmarshal(raw, &out) // nil has no members
	}
	if out == nil {
		out = map[string]flow.JSON{}
	}
	return out
}

// conditions lists for each step what holds when it is asked.
func conditions(blocks []flow.Block, path []string, out map[string][]string) {
	for i := range blocks {
		b := &blocks[i]
		if b.Step != nil {
			out[b.Step.Name] = path
		}
		conditions(b.Blocks, path, out)
		otherwise := slices.Clone(path)
		for k := range b.Branches {
			here := otherwise
			if when := b.Branches[k].When; b.Branches[k].Guard != "" {
				here = append(slices.Clone(otherwise), when)
				otherwise = append(otherwise, "!("+when+")")
			}
			conditions(b.Branches[k].Blocks, here, out)
		}
	}
}

// fieldsOf cuts a form's schema by field; a field's parts are its keywords, and
// whether it is required.
func fieldsOf(area Area, f *Form) []piece {
	var schema map[string]any
	_ = json.Unmarshal([]byte(f.Schema), &schema) // a loaded form's schema is valid
	at := map[string]piece{}
	cutSchema(area, "", schema, false, at)
	out := []piece{}
	take := func(name string) {
		if p, ok := at[name]; ok {
			out = append(out, p)
			delete(at, name)
		}
	}
	if area == AreaForm {
		take("") // of a report, "" is when it is due
	}
	delete(at, "")
	eachField(f.Fields, func(x Field) { take(x.Pointer) })
	for _, name := range sortedKeys(at) {
		take(name)
	}
	return out
}

func cutSchema(area Area, pointer string, schema map[string]any, required bool, out map[string]piece) {
	p := piece{area: area, name: pointer, title: flow.Text{Zh: pointer, En: pointer}, parts: map[string]flow.JSON{}}
	for k, v := range schema {
		switch k {
		case "properties", "items", "required":
		default:
			p.parts[k], _ = canonical(v)
		}
	}
	if t, ok := schema["x-title"].(map[string]any); ok {
		p.title.Zh, _ = t["zh"].(string)
		p.title.En, _ = t["en"].(string)
	}
	if required {
		p.parts["required"] = "true"
	}
	out[pointer] = p
	if ui, _ := schema["x-ui"].(map[string]any); ui["kind"] == "file" {
		return // its members are the same for every file
	}
	needed, _ := schema["required"].([]any)
	props, _ := schema["properties"].(map[string]any)
	for name, v := range props {
		if sub, ok := v.(map[string]any); ok {
			cutSchema(area, pointer+"/"+name, sub, slices.Contains(needed, any(name)), out)
		}
	}
	if item, ok := schema["items"].(map[string]any); ok {
		cutSchema(area, pointer+"/*", item, false, out)
	}
}
