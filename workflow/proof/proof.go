package proof

import (
	"slices"
	"strings"
	"time"

	"kelian/workflow/flow"

	"cel.dev/cel-go/cel"
)

// Input is what a proof looks at.
type Input struct {
	Flow *flow.Definition
	// Schema is the form, a JSON Schema 2020-12 object without references.
	Schema []byte
	Guards []Guard // every guard of Flow, by name
	Rules  []Guard // conditions that every accepted form fulfils
	Params map[string]any
	// Try runs a form through the real validator, rules and guards. Nil: forms
	// are taken as they were reckoned.
	Try func(form []byte) Tried
	// People is the directory as the definition sees it; nil skips the layer.
	People *People
	// Place finds a step's field in the source, "" and 0 where unknown; nil: no
	// places are known.
	Place  func(step, field string) (line, col int)
	Budget Budget
}

// Guard is a condition as the engine compiled it.
type Guard struct {
	Name      string
	AST       *cel.Ast // checked
	Line, Col int
}

// Tried is what became of a form.
type Tried struct {
	Accepted bool            // by the schema and the rules
	Guards   map[string]bool // if accepted: by name
}

// Budget bounds a proof; a zero field is its default.
type Budget struct {
	States int           // of the control layer, 2 million
	Time   time.Duration // of the control layer, 5 s
	Cells  int           // of the data layer, 1 million
	Nodes  int           // of the people layer's search, 2 million
	// Now is read to keep Time; nil = time.Now.
	Now func() time.Time
}

func (b Budget) orDefault() Budget {
	if b.States == 0 {
		b.States = 2_000_000
	}
	if b.Time == 0 {
		b.Time = 5 * time.Second
	}
	if b.Cells == 0 {
		b.Cells = 1_000_000
	}
	if b.Nodes == 0 {
		b.Nodes = 2_000_000
	}
	if b.Now == nil {
		b.Now = time.Now
	}
	return b
}

// Prove examines a definition that flow.Check finds nothing wrong with.
func Prove(in Input) *Report {
	in.Budget = in.Budget.orDefault()
	p := &prover{Input: in, report: &Report{Definition: in.Flow.Key, Hash: in.Flow.Hash, Findings: []Finding{}}}
	p.lint()
	worlds := p.data()
	p.control(worlds)
	p.people(worlds)
	p.report.sort()
	return p.report
}

// Staff looks at the people alone, as when the directory has changed; the other
// layers are those of an earlier report of the same definition.
func Staff(in Input, earlier *Report) *Report {
	in.Budget = in.Budget.orDefault()
	p := &prover{Input: in, report: &Report{Definition: in.Flow.Key, Hash: in.Flow.Hash, Findings: []Finding{}}}
	p.people(p.data())
	out := *earlier
	out.People = p.report.People
	out.Findings = slices.DeleteFunc(slices.Clone(earlier.Findings), Finding.Staffing)
	for _, f := range p.report.Findings {
		if f.Staffing() {
			out.Findings = append(out.Findings, f)
		}
	}
	out.sort()
	return &out
}

// Shipped is the report of a definition that comes with the program, whose text
// was proved before the release; its people have not been looked at.
func Shipped(def *flow.Definition) *Report {
	done := Layer{Verdict: Skipped, Zh: "随程序发布，发布前已检查", En: "it comes with the program and was proved before the release"}
	return &Report{Definition: def.Key, Hash: def.Hash, Control: done, Data: done, Findings: []Finding{}}
}

// Unstaffed are the errors of the people layer.
func (r *Report) Unstaffed() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Severity != Error || !f.Staffing() })
}

// Staffing says that the finding is about people, not about the text.
func (f Finding) Staffing() bool { return strings.HasPrefix(f.Code, "STAFF_") }

type prover struct {
	Input
	report *Report
}

// add places a finding at a step's field.
func (p *prover) add(f Finding) {
	if f.Line == 0 && p.Place != nil {
		f.Line, f.Col = p.Place(f.Step, f.Field)
	}
	p.report.Findings = append(p.report.Findings, f)
}

// verdict is Refuted when an error was added since the layer began with so many
// findings.
func (p *prover) verdict(before int, bounded bool) Verdict {
	for _, f := range p.report.Findings[before:] {
		if f.Severity == Error {
			return Refuted
		}
	}
	if bounded {
		return Bounded
	}
	return Proven
}

// lint refuses what is legal for the engine and means something else than it
// says.
func (p *prover) lint() {
	for _, s := range p.Flow.Steps() {
		if s.Rule.Kind == flow.Any && s.Rule.Veto {
			p.add(Finding{Code: "VETO_WITH_ANY", Severity: Error, Step: s.Name, Field: "rule",
				Zh: "“" + s.Title.Zh + "”写明任一人同意即可，又允许一票否决：否决要等所有人表态，“任一”就落空了",
				En: "“" + s.Title.En + "” passes with any approval and grants a veto; a veto waits for everybody, so any means nothing"})
		}
		if len(s.SendBack) > 0 && p.Flow.Policy.MaxSendBack == 0 {
			p.add(Finding{Code: "ENDLESS_CYCLE", Severity: Error, Step: s.Name, Field: "send_back",
				Zh:      "“" + s.Title.Zh + "”可以无限次退回：申请可能永远办不完",
				En:      "“" + s.Title.En + "” may send back any number of times, so a request need never end",
				Witness: &Witness{Trace: []string{"submit", s.Name + ": send_back " + s.SendBack[0], "resubmit", "…"}}})
			break // the limit is one for the whole definition
		}
	}
}

// title names a step for people.
func (p *prover) title(step string) flow.Text {
	if s := p.Flow.Step(step); s != nil {
		return s.Title
	}
	return flow.Text{Zh: step, En: step}
}
