package graph

import (
	"context"
	"encoding/json"
	"strings"

	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/workflow"
	"kelian/workflow/proof"
	"kelian/workflow/render"
)

func persons(list []string) ([]id.ID, error) {
	out := make([]id.ID, len(list))
	for i, s := range list {
		var err error
		if out[i], err = parse("per", s, "people"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// decideTasks gives each decision its own answer; what one refuses does not
// fail the others.
func (r *Resolver) decideTasks(ctx context.Context, list []workflow.DecideInput) (model.DecideTasksPayload, error) {
	done, err := r.Workflow.DecideMany(ctx, actorOf(ctx), list)
	if err != nil {
		refused, err := r.refusals(ctx, err)
		return model.DecideTasksPayload{Results: []model.TaskResult{}, UserErrors: refused}, err
	}
	out := model.DecideTasksPayload{}
	for _, d := range done {
		x := model.TaskResult{Task: d.Task.TypeID("tsk")}
		if f, ok := fault.As(d.Err); ok && f.Code != fault.Rule {
			x.UserErrors = []model.UserError{model.RuleError{Code: string(f.Code), Message: f.Message(langOf(ctx)), Path: []string{"input", "tasks"}}}
		} else if p, err := r.requestPayload(ctx, d.Outcome, d.Err); err != nil {
			return model.DecideTasksPayload{}, err
		} else {
			x.Request, x.UserErrors = p.Request, p.UserErrors
		}
		out.Results = append(out.Results, x)
	}
	return out, nil
}

// published finds a published workflow by its key.
func (r *Resolver) published(ctx context.Context, key string) (workflow.Listed, error) {
	all, err := r.Workflow.Definitions(ctx, actorOf(ctx))
	if err != nil {
		return workflow.Listed{}, err
	}
	for _, l := range all {
		if l.Key == key {
			return l, nil
		}
	}
	return workflow.Listed{}, fault.Missing().At("key")
}

func (r *Resolver) diagram(ctx context.Context, key string, format model.DiagramFormat) (string, error) {
	l, err := r.published(ctx, key)
	if err != nil {
		return "", err
	}
	return render.Draw(l.Definition.Flow, render.Lang(langOf(ctx)), render.Format(strings.ToLower(string(format))), render.Words{})
}

func reportOf(ctx context.Context, report *proof.Report) (model.WorkflowReport, error) {
	text, err := json.Marshal(report)
	return model.WorkflowReport{Sound: report.OK(), Text: report.Text(langOf(ctx) != "en"), Report: json.RawMessage(text)}, err
}
