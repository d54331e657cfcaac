package graph

import (
	"encoding/json"
	"time"

	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/workflow/flow"
)

func rawJSON(v flow.JSON) json.RawMessage { return json.RawMessage(v) }

func text(zh, en string) model.Text { return model.Text{Zh: zh, En: en} }

// or gives an optional argument's value, the zero value when there is none.
func or[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// when is nil for no moment.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// some is nil for an empty text.
func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// said is nil for an empty text.
func said(t words) *model.Text {
	if t.En == "" {
		return nil
	}
	out := text(t.Zh, t.En)
	return &out
}

// words is one text in both languages, as the domains have it.
type words = struct{ Zh, En string }

// ref is nil for no object.
func ref(prefix string, v id.ID) *string {
	if v.IsZero() {
		return nil
	}
	s := v.TypeID(prefix)
	return &s
}

// micros is nil where nothing answered.
func micros(d time.Duration) *int {
	if d <= 0 {
		return nil
	}
	n := int(d.Microseconds())
	return &n
}

// page reads a connection's arguments.
func page(first *int, after *string) store.Page {
	p := store.Page{First: store.PageDefault, After: or(after)}
	if first != nil {
		p.First = *first
	}
	return p
}

// edges makes a connection's edges; cursor names the place after a row.
func edges[V, E any](list []V, more bool, cursor func(V) string, edge func(string, V) E) ([]E, model.PageInfo) {
	out, info := make([]E, len(list)), model.PageInfo{HasNextPage: more}
	for i, v := range list {
		c := cursor(v)
		out[i] = edge(c, v)
		info.EndCursor = &c
	}
	return out, info
}

// object reads a form: a JSON value that has to be an object.
func object(v any, field string) (map[string]any, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fault.Input(field, "表单应是一个 JSON 对象", "the form is a JSON object")
	}
	return m, nil
}

func each[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}
