package graph

import (
	"context"
	"strings"

	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/workflow"
	"kelian/workflow/flow"
)

func versionOf(v workflow.Version) model.WorkflowVersion {
	return model.WorkflowVersion{ID: v.ID.TypeID("wfv"), Version: v.N, Sha256: v.Hash, PublishedAt: v.PublishedAt, RetiredAt: when(v.RetiredAt), Running: v.Running}
}

func diffOf(ctx context.Context, c workflow.Comparison) model.WorkflowDiff {
	out := model.WorkflowDiff{Workflow: c.Definition, From: c.From, Text: workflow.DiffText(c.Changes, langOf(ctx) != "en"),
		Changes: each(c.Changes, func(d workflow.Difference) model.WorkflowChange {
			return model.WorkflowChange{Area: model.WorkflowArea(strings.ToUpper(string(d.Area))), Name: d.Name, Part: d.Part,
				Kind: model.ChangeKind(strings.ToUpper(string(d.Edit))), Before: raw(d.Before), After: raw(d.After), Line: text(d.Zh, d.En)}
		})}
	if c.To > 0 {
		out.To = &c.To
	}
	return out
}

// retire closes a workflow and shows the version that was open.
func (r *Resolver) retire(ctx context.Context, in model.RetireWorkflowInput) (model.RetireWorkflowPayload, error) {
	out, err := r.Workflow.Retire(ctx, actorOf(ctx), workflow.RetireInput{Definition: in.Workflow, Reason: in.Reason, IdempotencyKey: in.IdempotencyKey})
	refused, err := r.refusals(ctx, err, "definition", "workflow")
	if err != nil || refused != nil {
		return model.RetireWorkflowPayload{UserErrors: refused}, err
	}
	list, err := r.Workflow.Versions(ctx, actorOf(ctx), in.Workflow)
	for _, v := range list {
		if v.ID == out.Version {
			shown := versionOf(v)
			return model.RetireWorkflowPayload{Version: &shown}, err
		}
	}
	return model.RetireWorkflowPayload{}, err
}

// planOf reads a plan; a step that is named twice is a mistake.
func planOf(in model.MigrationPlan) (workflow.Plan, error) {
	out := workflow.Plan{Definition: in.Workflow, To: or(in.To), Steps: map[string]string{}}
	for _, m := range in.Steps {
		if _, twice := out.Steps[m.From]; twice {
			return out, fault.Input("steps", "步骤“"+m.From+"”写了两次", "the step "+m.From+" stands there twice").At("plan", "steps")
		}
		out.Steps[m.From] = or(m.To)
	}
	for _, s := range in.Requests {
		key, err := parse("req", s, "requests")
		if err != nil {
			return out, err
		}
		out.Requests = append(out.Requests, key)
	}
	if in.Requests != nil && len(out.Requests) == 0 {
		return out, fault.Input("requests", "请写明申请；不写就是全部", "name requests, or leave the field out for all of them").At("plan", "requests")
	}
	return out, nil
}

func (r *Resolver) migrate(ctx context.Context, in model.MigrateRequestsInput) (model.MigrateRequestsPayload, error) {
	plan, err := planOf(in.Plan)
	var out workflow.Migrating
	if err == nil {
		out, err = r.Workflow.Migrate(ctx, actorOf(ctx), workflow.MigrateInput{Plan: plan, IdempotencyKey: in.IdempotencyKey})
	}
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.MigrateRequestsPayload{UserErrors: refused}, err
	}
	return model.MigrateRequestsPayload{To: &out.N, Requests: out.Requests}, nil
}

func (r *Resolver) previewMigration(ctx context.Context, in model.MigrationPlan, first *int, after *string) (model.MigrationPreview, error) {
	plan, err := planOf(in)
	if err != nil {
		return model.MigrationPreview{}, err
	}
	p := page(first, after)
	list, err := r.Workflow.PreviewMigration(ctx, actorOf(ctx), plan, p.First, p.After)
	if err != nil {
		return model.MigrationPreview{}, err
	}
	out := model.MigrationPreview{Workflow: list.Definition, To: list.To, Running: list.Running}
	out.Edges, out.PageInfo = edges(list.Requests, list.More, workflow.Moving.Cursor, func(c string, m workflow.Moving) model.RequestMoveEdge {
		return model.RequestMoveEdge{Cursor: c, Node: r.requestMove(ctx, m)}
	})
	return out, nil
}

func (r *Resolver) requestMove(ctx context.Context, m workflow.Moving) model.RequestMove {
	return model.RequestMove{ID: m.Request.TypeID("req"), Number: m.Number, Title: some(m.Title), From: m.From, Status: model.RequestStatus(m.Status), Moves: len(m.Stays) == 0,
		Reasons: each(m.Stays, func(x workflow.Reason) model.MoveReason {
			return model.MoveReason{Code: x.Code, Pointer: some(x.Pointer), Message: pick(langOf(ctx), x.Zh, x.En)}
		}),
		Was: each(m.Was, stepRef), Is: each(m.Is, stepRef), StatusAfter: model.RequestStatus(m.After),
		Carried: r.shares(ctx, m.Carried), Again: r.shares(ctx, m.Again), Asked: r.shares(ctx, m.Asked), Lost: r.shares(ctx, m.Lost), Released: r.shares(ctx, m.Released)}
}

func stepRef(s workflow.StepName) model.StepRef {
	return model.StepRef{Name: s.Name, Title: text(s.Title.Zh, s.Title.En)}
}

func (r *Resolver) shares(ctx context.Context, list []workflow.Part) []model.StepShare {
	return each(list, func(p workflow.Part) model.StepShare {
		return model.StepShare{Step: stepRef(p.Step), Seat: p.Who.Seat, Person: r.personOrNil(ctx, p.Who.Person, p.Who.Name)}
	})
}

func (r *Resolver) replay(ctx context.Context, yaml string, requests *int) (model.WorkflowReplay, error) {
	in := workflow.ReplayInput{Source: yaml, Last: 100}
	if requests != nil {
		in.Last = *requests
	}
	rep, err := r.Workflow.Replay(ctx, actorOf(ctx), in)
	if err != nil {
		return model.WorkflowReplay{}, err
	}
	ending := func(e workflow.Ending) model.ReplayEnding {
		out := model.ReplayEnding{Stuck: some(string(e.Stuck))}
		if e.Status != flow.New {
			status := model.RequestStatus(e.Status)
			out.Status = &status
		}
		return out
	}
	return model.WorkflowReplay{Workflow: rep.Definition, Examined: rep.Examined, Bounded: rep.Bounded,
		HoursBefore: rep.Before.Hours(), HoursAfter: rep.After.Hours(), HoursChange: rep.Change.Hours(), Text: rep.Text(langOf(ctx) != "en"),
		Seats: each(rep.Seats, func(s workflow.SeatChange) model.SeatChange {
			return model.SeatChange{Seat: s.Seat, More: s.More, Less: s.Less}
		}),
		Changed: each(rep.Changed, func(c workflow.ReplayCase) model.ReplayedRequest {
			return model.ReplayedRequest{ID: ref("req", c.Request), Number: some(c.Number), Title: some(c.Title), More: r.shares(ctx, c.More), Less: r.shares(ctx, c.Less),
				Before: ending(c.Before), After: ending(c.After), HoursChange: c.Change.Hours()}
		}),
		Unfit: each(rep.Unfit, func(c workflow.ReplayCase) model.UnfitRequest {
			return model.UnfitRequest{ID: ref("req", c.Request), Number: some(c.Number), Problems: fieldErrors(langOf(ctx), []string{"form"}, c.Problems)}
		})}, nil
}
