package workflow

import (
	"errors"
	"time"

	"kelian/workflow/proof"
)

// Prove examines a loaded definition as it would be published at the moment
// now. people is the directory as the definition sees it; nil: the people are
// not looked at.
func Prove(d *Definition, people *proof.People, now time.Time) *proof.Report {
	return proof.Prove(proofInput(d, people, now))
}

func proofInput(d *Definition, people *proof.People, now time.Time) proof.Input {
	in := proof.Input{Flow: d.Flow, Schema: []byte(d.Form.Schema), Params: d.Flow.Params, People: people, Place: d.places}
	for _, g := range d.guards.flow {
		in.Guards = append(in.Guards, proof.Guard{Name: g.name, AST: g.ast, Line: g.line, Col: g.col})
	}
	for _, r := range d.guards.rules {
		in.Rules = append(in.Rules, proof.Guard{Name: r.name, AST: r.ast, Line: r.line, Col: r.col})
	}
	in.Try = func(form []byte) proof.Tried {
		filled, wrong := d.Form.Fill(form)
		if len(wrong) > 0 {
			return proof.Tried{}
		}
		if broken, err := d.CheckRules(filled, now); err != nil || len(broken) > 0 {
			return proof.Tried{}
		}
		guards, err := d.Guards(filled, now)
		return proof.Tried{Accepted: err == nil, Guards: guards}
	}
	return in
}

// ProveSource is Prove for a text that may not load: the loader's mistakes are
// then the findings, and no layer is looked at.
func ProveSource(src []byte, known Known, now time.Time) *proof.Report {
	d, err := Load(src, known)
	if err == nil {
		return Prove(d, nil, now)
	}
	var problems Problems
	errors.As(err, &problems)
	return unloaded(problems)
}

func unloaded(problems Problems) *proof.Report {
	skipped := proof.Layer{Verdict: proof.Skipped, Zh: "定义有误，没有读入", En: "the text has mistakes and was not loaded"}
	out := &proof.Report{Control: skipped, Data: skipped, People: skipped, Findings: []proof.Finding{}}
	for _, p := range problems {
		out.Findings = append(out.Findings, proof.Finding{Code: p.Code, Severity: proof.Error, Line: p.Line, Col: p.Col, Zh: p.Zh, En: p.En})
	}
	return out
}
