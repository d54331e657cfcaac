// Package workflow carries requests through the approvals of the federation.
// Definitions are YAML texts that Load proves and compiles; the pure core that
// decides is workflow/flow.
package workflow

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"kelian/workflow/flow"
)

// Definition is one loaded, immutable version of a workflow.
type Definition struct {
	Flow     *flow.Definition // what the core reads; Flow.Key, Flow.Hash and Flow.Title name it
	Source   []byte           // the YAML text that Flow.Hash is the SHA-256 of
	About    flow.Text        // when to use it, one or two sentences
	Owner    string           // code of the unit that keeps it, e.g. "office"
	Params   []Param          // in the order of the text
	Form     *Form
	CloseOut *Form               // of the report that the requester owes; nil: none
	Facts    []string            // desk facts to be recorded at each submission
	Once     []string            // fields whose values one request alone may use
	Seats    map[string]SeatExpr // by source, all that Flow mentions
	guards   *guards
	places   func(step, field string) (line, col int) // in Source
}

// Param is a number, a switch or a word that the federation may set without
// a new flow. Value is int64, bool or string.
type Param struct {
	Name  string
	Value any
	Title flow.Text
}

// Known is what the rest of Kelian offers to definitions. A definition that
// names anything else is refused.
type Known struct {
	Facts   []string // names of desk facts
	Effects []string // names of on_approved effects
	// WorkingDays counts the working days after from up to and including to,
	// for the CEL function working_days; nil counts Mondays to Fridays in
	// Location.
	WorkingDays func(from, to time.Time) int
	Location    *time.Location // nil: UTC
}

// Guards evaluates every guard of the flow on a filled form, for
// flow.Facts.Guards.
func (d *Definition) Guards(f Filled, now time.Time) (map[string]bool, error) {
	return d.guards.eval(d.guards.flow, f, now)
}

// CheckRules judges the rules between fields; the form itself has been
// validated by Form.Fill. now is the moment of the first submission also for a
// later revision: a lead time that was kept is not missed by a correction.
func (d *Definition) CheckRules(f Filled, now time.Time) ([]FieldError, error) {
	held, err := d.guards.evalRules(f, now)
	if err != nil {
		return nil, err
	}
	var out []FieldError
	for i, r := range d.guards.rules {
		if !held[i] {
			out = append(out, FieldError{Pointer: r.at, Code: r.name, Zh: r.text.Zh, En: r.text.En})
		}
	}
	return out, nil
}

// SeatsOf are the parsed seat expressions a step asks.
func (d *Definition) SeatsOf(step *flow.Step) []SeatExpr {
	out := make([]SeatExpr, 0, len(step.Ask))
	for _, s := range step.Ask {
		out = append(out, d.Seats[s])
	}
	return out
}

// Interests are the relations to a request that a definition may name in
// policy.interest; who stands in one decides nothing about it.
//
//   - same_unit: holds a seat in the requesting unit
//   - host: holds a seat in a unit that the form names
//   - named: is named in the form, by a field of kind person
var Interests = []string{"same_unit", "host", "named"}

//go:embed definitions/*.yaml
var builtin embed.FS

// Builtin loads the definitions that come with Kelian, sorted by key.
func Builtin(known Known) ([]*Definition, error) {
	names, err := fs.Glob(builtin, "definitions/*.yaml")
	if err != nil {
		return nil, err
	}
	var out []*Definition
	for _, name := range names {
		src, err := builtin.ReadFile(name)
		if err != nil {
			return nil, err
		}
		d, err := Load(src, known)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if base := strings.TrimSuffix(path.Base(name), ".yaml"); base != d.Flow.Key {
			return nil, fmt.Errorf("%s holds the definition %s", name, d.Flow.Key)
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b *Definition) int { return strings.Compare(a.Flow.Key, b.Flow.Key) })
	return out, nil
}
