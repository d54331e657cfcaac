package graph

import (
	"context"
	"strings"

	"kelian/graph/model"
	"kelian/internal/id"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// requirements lists what a request needs.
func (r *Resolver) requirements(ctx context.Context, request id.ID) ([]model.Requirement, error) {
	v, err := r.view(ctx, request)
	if err != nil {
		return nil, err
	}
	f, err := r.fed(ctx)
	if err != nil {
		return nil, err
	}
	names := func(code string) flow.Text {
		if u, ok := f.byCode[code]; ok {
			return flow.Text{Zh: u.NameZh, En: u.NameEn}
		}
		seat := f.named[code]
		return flow.Text{Zh: seat.TitleZh, En: seat.TitleEn}
	}
	return each(v.Requirements(r.Clock.Now(), names), func(q workflow.RequirementView) model.Requirement { return r.requirement(ctx, q) }), nil
}

func (r *Resolver) requirement(ctx context.Context, q workflow.RequirementView) model.Requirement {
	out := model.Requirement{Number: q.Number, Parent: positive(q.Parent), Kind: model.RequirementKind(strings.ToUpper(string(q.Kind))),
		Progress: model.Progress(strings.ToUpper(string(q.Progress))), Step: some(q.Step), Title: said(words(q.Title)), Condition: said(words(q.Condition)),
		Tally: model.Tally{Approvals: q.Tally.Approve, Rejections: q.Tally.Reject, Abstentions: q.Tally.Abstain + q.Tally.Silent},
		Excluded: each(q.Barred, func(x workflow.ExclusionView) model.Excluded {
			return model.Excluded{Person: r.person(ctx, x.Person, x.Name), Rule: string(x.Why), Step: some(x.Step)}
		})}
	if q.Kind == flow.KindStep {
		out.Rule = said(words(q.Rule.Say()))
	}
	if q.Kind == flow.KindStep && (q.Progress == flow.ProgWaiting || q.Progress == flow.ProgStuck) {
		out.Open = r.openRequirement(ctx, q)
	}
	return out
}

func (r *Resolver) openRequirement(ctx context.Context, q workflow.RequirementView) *model.OpenRequirement {
	return &model.OpenRequirement{Lacking: q.Lacking, Fastest: each(q.Fastest, func(t id.ID) string { return t.TypeID("tsk") }),
		Comments: append([]int{}, q.Open...), DueAt: when(q.DueAt), Overdue: q.Overdue,
		Waiting: each(q.Asked, func(a workflow.AskedView) model.Awaited {
			return model.Awaited{Task: a.Task.TypeID("tsk"), Person: r.person(ctx, a.Who.Person, a.Who.Name), Seat: a.Who.Seat, DueAt: when(a.DueAt),
				Blocked: some(string(a.Blocked)), Added: a.Added, Later: a.Later}
		})}
}
