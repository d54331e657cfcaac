package proof

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a finding stops the publication.
type Severity string

// Error findings refuse a definition, warnings are shown to its keeper.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Verdict is how a layer ended.
type Verdict string

// The verdicts.
const (
	Proven  Verdict = "proven"  // all of it was looked at, and it holds
	Refuted Verdict = "refuted" // there is a counter-example: an error finding
	Bounded Verdict = "bounded" // the budget ended first; what was looked at holds
	Skipped Verdict = "skipped" // not looked at, Note says why
)

// Layer is the result of one layer.
type Layer struct {
	Verdict Verdict `json:"verdict"`
	// Explored counts states (control), cells (data) or staffings (people).
	Explored int `json:"explored"`
	// Zh and En say how far a bounded layer came, or why it was skipped.
	Zh string `json:"zh,omitempty"`
	En string `json:"en,omitempty"`
}

// Finding is one thing that is wrong or doubtful, with its place in the source
// (from 1; 0 = unknown) and a counter-example where there is one.
type Finding struct {
	Code     string   `json:"code"` // a key of Codes
	Severity Severity `json:"severity"`
	Step     string   `json:"step,omitempty"`
	Field    string   `json:"field,omitempty"`
	Line     int      `json:"line,omitempty"`
	Col      int      `json:"col,omitempty"`
	Zh       string   `json:"zh"`
	En       string   `json:"en"`
	// Assumed says that a condition outside the decidable fragment was taken
	// as able to be either true or false.
	Assumed bool     `json:"assumed,omitempty"`
	Witness *Witness `json:"witness,omitempty"`
}

// Witness is a counter-example; what is empty does not matter to it.
type Witness struct {
	Form      json.RawMessage `json:"form,omitempty"`      // a filled form
	Trace     []string        `json:"trace,omitempty"`     // moves from the submission on
	Unit      string          `json:"unit,omitempty"`      // code of the unit that asks
	Requester string          `json:"requester,omitempty"` // identifier; empty: anybody
	Absent    string          `json:"absent,omitempty"`    // identifier of who is away
	Person    string          `json:"person,omitempty"`    // whom the rules keep out
	Escalated string          `json:"escalated,omitempty"` // the step that went to its escalation seat
}

// Report is the outcome of a proof.
type Report struct {
	Definition string    `json:"definition"`
	Hash       string    `json:"hash"` // of the source, hex SHA-256
	Control    Layer     `json:"control"`
	Data       Layer     `json:"data"`
	People     Layer     `json:"people"`
	Findings   []Finding `json:"findings"`
}

// OK says that nothing refuses the definition.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == Error })
}

// sort puts errors first, then follows the text.
func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}

// Text is the report for people, in Chinese or English.
func (r *Report) Text(zh bool) string {
	say := func(z, e string) string {
		if zh {
			return z
		}
		return e
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %.12s\n", r.Definition, r.Hash)
	for _, l := range []struct {
		zh, en, unitZh, unitEn string
		Layer
	}{{"流程", "control", "个状态", "states", r.Control}, {"条件", "data", "种表单", "cells", r.Data}, {"人员", "people", "种情形", "staffings", r.People}} {
		fmt.Fprintf(&b, "%s%s%s", say(l.zh, l.en), say("：", ": "), say(verdictZh[l.Verdict], string(l.Verdict)))
		if l.Verdict != Skipped {
			fmt.Fprintf(&b, say("（%d %s）", " (%d %s)"), l.Explored, say(l.unitZh, l.unitEn))
		}
		if note := say(l.Zh, l.En); note != "" {
			b.WriteString(say("，", ", ") + note)
		}
		b.WriteByte('\n')
	}
	for _, f := range r.Findings {
		b.WriteString(f.text(zh))
	}
	return b.String()
}

var verdictZh = map[Verdict]string{Proven: "已证明", Refuted: "有反例", Bounded: "未穷尽", Skipped: "未检查"}

func (f *Finding) text(zh bool) string {
	severity, said, code := string(f.Severity), f.En, Codes[f.Code]
	mend := code.MendEn
	if zh {
		severity, said, mend = map[Severity]string{Error: "错误", Warning: "注意"}[f.Severity], f.Zh, code.MendZh
	}
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "%d:%d ", f.Line, f.Col)
	}
	fmt.Fprintf(&b, "%s %s: %s\n    %s\n", severity, f.Code, said, mend)
	if w := f.Witness; w != nil {
		if len(w.Form) > 0 {
			fmt.Fprintf(&b, "    %s\n", w.Form)
		}
		if len(w.Trace) > 0 {
			fmt.Fprintf(&b, "    %s\n", strings.Join(w.Trace, " → "))
		}
	}
	return b.String()
}
