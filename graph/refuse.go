package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// refusals turns the error of a mutation into the payload's userErrors where a
// rule of the domain refused; everything else stays an error of the field.
// Paths begin at the mutation's argument; names are pairs of a service's and the
// schema's word for a field where they differ.
func (r *Resolver) refusals(ctx context.Context, err error, names ...string) ([]model.UserError, error) {
	if err == nil {
		r.renew(ctx)
		return nil, nil
	}
	e, ok := fault.As(err)
	if !ok {
		return nil, err
	}
	if e.Code != fault.Rule {
		if len(e.Path) == 0 || e.Path[0] == "" {
			return nil, err
		}
		named := *e
		named.Path = inputPath(e.Path, names)
		return nil, &named
	}
	return r.userErrors(ctx, e, inputPath(e.Path, names)), nil
}

func inputPath(path, names []string) []string {
	out := []string{"input"}
	if len(path) > 0 && path[0] == "input" {
		out = nil
	}
	if len(path) == 0 {
		return []string{}
	}
	out = append(out, path...)
	for i := 0; i+1 < len(names); i += 2 {
		if out[1] == names[i] {
			out[1] = names[i+1]
		}
	}
	return out
}

// userErrors gives the typed form of a rule's refusal.
func (r *Resolver) userErrors(ctx context.Context, e *fault.Error, path []string) []model.UserError {
	code, message := e.Reason, e.Message(langOf(ctx))
	switch d := e.Detail.(type) {
	case *workflow.StaleForm:
		return []model.UserError{model.StaleForm{Code: code, Message: message, Path: path, Changes: changes(d.Changes), FormRev: d.Current}}
	case *workflow.AlreadySettled:
		return []model.UserError{model.AlreadySettled{Code: code, Message: message, Path: path, By: r.personOrNil(ctx, d.By, ""), At: d.At}}
	case *workflow.FormProblems:
		return fieldErrors(langOf(ctx), []string{"input", "form"}, d.Errors)
	}
	var list workflow.Problems
	if detail, ok := e.Detail.(error); ok && errors.As(detail, &list) && len(list) > 0 {
		return problems(langOf(ctx), list, path)
	}
	return []model.UserError{model.RuleError{Code: code, Message: message, Path: path}}
}

func changes(list []workflow.Change) []model.FieldChange {
	out := make([]model.FieldChange, len(list))
	for i, c := range list {
		out[i] = model.FieldChange{Pointer: c.Pointer, Before: raw(c.Before), After: raw(c.After)}
	}
	return out
}

// fieldErrors are what is wrong with a form, one for each field.
func fieldErrors(lang string, prefix []string, list []workflow.FieldError) []model.UserError {
	out := make([]model.UserError, len(list))
	for i, p := range list {
		path := slices.Clone(prefix)
		if p.Pointer != "" {
			path = append(path, strings.Split(strings.TrimPrefix(p.Pointer, "/"), "/")...)
		}
		out[i] = model.RuleError{Code: p.Code, Message: pick(lang, p.Zh, p.En), Path: path}
	}
	return out
}

// mostProblems bounds the mistakes of a definition that are told at once.
const mostProblems = 50

func problems(lang string, list workflow.Problems, path []string) []model.UserError {
	var out []model.UserError
	for _, p := range list[:min(len(list), mostProblems)] {
		where := pick(lang, fmt.Sprintf("第 %d 行第 %d 列：", p.Line, p.Col), fmt.Sprintf("line %d, column %d: ", p.Line, p.Col))
		out = append(out, model.RuleError{Code: p.Code, Message: where + pick(lang, p.Zh, p.En), Path: path})
	}
	return out
}

func pick(lang, zh, en string) string {
	if lang == "en" {
		return en
	}
	return zh
}

// parse reads the identifier of an argument.
func parse(prefix, s, field string) (id.ID, error) {
	v, err := id.Parse(prefix, s)
	if err != nil {
		return v, fault.Input(field, "不是 "+prefix+"_ 开头的编号", "not an identifier that begins with "+prefix+"_")
	}
	return v, nil
}

// gone makes what is absent or foreign null.
func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// raw passes JSON on as it is stored.
func raw(v flow.JSON) any {
	if v == "" {
		return nil
	}
	return rawJSON(v)
}
