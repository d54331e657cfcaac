package graph

import (
	"context"
	"time"

	"kelian/graph/model"
	"kelian/workflow"
	"kelian/workflow/flow"
)

func (r *Resolver) insight(ctx context.Context, key string, term *string, from, to *time.Time, unit *string) (model.WorkflowInsight, error) {
	i, err := r.Workflow.Insight(ctx, actorOf(ctx), workflow.InsightQuery{Definition: key, Unit: or(unit), Term: or(term), From: or(from), To: or(to)})
	if err != nil {
		return model.WorkflowInsight{}, err
	}
	return insightOf(i), nil
}

func insightOf(i workflow.Insight) model.WorkflowInsight {
	out := model.WorkflowInsight{Workflow: i.Definition, Title: text(i.Title.Zh, i.Title.En), From: i.From, To: i.To, Requests: i.Requests,
		Open: i.Status[flow.Open] + i.Status[flow.Returned], Approved: i.Status[flow.Approved], Rejected: i.Status[flow.Rejected],
		Withdrawn: i.Status[flow.Withdrawn], Stopped: i.Status[flow.Stopped], Superseded: i.Status[flow.Superseded], Expired: i.Status[flow.Expired],
		Reworked: i.Reworked, SendBacks: i.SendBacks, Overdue: i.Overdue, Steps: each(i.Steps, stepInsight)}
	if i.Term != "" {
		out.Term = &i.Term
	}
	if i.Decided() > 0 {
		out.MedianHours, out.P90Hours = hours(i.P50), hours(i.P90)
	}
	if i.Requests > 0 {
		out.ReworkRate = float64(i.Reworked) / float64(i.Requests)
	}
	if i.Bottleneck != "" {
		out.Bottleneck = &i.Bottleneck
	}
	return out
}

func stepInsight(s workflow.StepInsight) model.StepInsight {
	out := model.StepInsight{Name: s.Step, Title: text(s.Title.Zh, s.Title.En), Requests: s.Requests, Share: s.Share, Overdue: s.Overdue}
	if s.Requests > 0 {
		out.MedianHours, out.P90Hours = hours(s.P50), hours(s.P90)
	}
	return out
}

func hours(d time.Duration) *float64 {
	h := d.Hours()
	return &h
}
