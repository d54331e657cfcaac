package proof

import (
	"encoding/json"
	"slices"

	"kelian/workflow/flow"
)

// witness fills in a form that gives the answers. The bool says that the real
// validator accepts it and the real guards give those answers; a form for
// which that failed is not shown.
func (p *prover) witness(w *worlds, want answers) (json.RawMessage, bool) {
	root, err := parseSchema(p.Schema)
	if err != nil {
		return nil, false
	}
	for _, c := range w.cells(want) {
		for _, s := range variations(c) {
			form, err := canonical(root.fill(c, s))
			if err != nil {
				return nil, false
			}
			if p.Try == nil {
				return form, !w.assumed(want)
			}
			if t := p.Try(form); t.Accepted && agree(t.Guards, want) {
				return form, true
			}
		}
	}
	return nil, false
}

func agree(got map[string]bool, want answers) bool {
	for g, holds := range want {
		if got[g] != holds {
			return false
		}
	}
	return true
}

// variations are ways to fill in what the cell leaves open.
func variations(c cell) []sampling {
	numbers := []int64{0}
	for _, v := range c {
		if n, ok := v.(int64); ok && n != 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	var out []sampling
	for _, first := range slices.Compact(numbers) {
		for _, s := range []sampling{{}, {falling: true}, {optional: true}, {optional: true, falling: true}} {
			s.first = first
			out = append(out, s)
		}
	}
	return out
}

// fill makes a whole form out of a cell.
func (f *field) fill(c cell, s sampling) map[string]any {
	clock := 0
	s.clock = &clock
	out := map[string]any{}
	for _, m := range f.members() {
		v, given := c[m.name]
		switch {
		case given && v == any(absent{}):
		case given && v == any(present{}):
			out[m.name] = m.sample(s)
		case given && m.Type == "array":
			n := *m
			n.MinItems, n.Default = int(v.(int64)), nil
			out[m.name] = n.sample(s)
		case given:
			out[m.name] = v
		case m.required || s.optional && m.Type != "object":
			out[m.name] = m.sample(s)
		}
	}
	return out
}

func canonical(v any) (json.RawMessage, error) {
	raw, err := json.Marshal(v)
	if err == nil {
		raw, err = flow.Canonical(raw)
	}
	return raw, err
}
