package graph

import (
	"context"

	"kelian/graph/model"
	"kelian/internal/id"
	"kelian/workflow"
)

func recurrenceOf(x workflow.Recurrence) model.Recurrence {
	out := model.Recurrence{ID: x.ID.TypeID(workflow.RefRecurrence), Title: x.Title, Workflow: x.Definition, Unit: x.Unit, Seat: x.Seat, Form: raw(x.Form),
		Rrule: x.Rule, Start: x.Start, Shift: model.DateShift(x.Shift), State: model.RecurrenceState(x.State), Mine: x.Mine,
		Drafts: each(x.Drafts, func(o workflow.Occurrence) model.Occurrence {
			return model.Occurrence{ID: o.ID.TypeID(workflow.RefOccurrence), At: o.At, State: model.OccurrenceState(o.State), Request: ref("req", o.Request)}
		})}
	if x.Next != nil {
		next := recurrenceDate(*x.Next)
		out.Next = &next
	}
	return out
}

func recurrenceDate(d workflow.Date) model.RecurrenceDate {
	return model.RecurrenceDate{At: d.At, DueAt: d.Due, Provisional: d.Provisional}
}

// recurrencePayload shows a standing order that was changed, or why it was not.
func (r *Resolver) recurrencePayload(ctx context.Context, order id.ID, err error) (model.RecurrencePayload, error) {
	refused, err := r.refusals(ctx, err, "definition", "workflow")
	if err != nil || refused != nil {
		return model.RecurrencePayload{UserErrors: refused}, err
	}
	x, err := r.Workflow.Recurrence(ctx, actorOf(ctx), order)
	if err != nil {
		return model.RecurrencePayload{}, gone(err) // it was given to a seat that is none of the actor's business
	}
	shown := recurrenceOf(x)
	return model.RecurrencePayload{Recurrence: &shown}, nil
}

func (r *Resolver) createRecurrence(ctx context.Context, in model.CreateRecurrenceInput) (model.RecurrencePayload, error) {
	form, err := object(in.Form, "form")
	var order id.ID
	if err == nil {
		order, err = r.Workflow.CreateRecurrence(ctx, actorOf(ctx), workflow.RecurrenceInput{Definition: in.Workflow, Unit: in.Unit, Seat: in.Seat, Title: in.Title,
			Form: form, Rule: in.Rrule, Start: in.Start, Shift: workflow.Shift(or(in.Shift)), IdempotencyKey: in.IdempotencyKey})
	}
	return r.recurrencePayload(ctx, order, err)
}

func (r *Resolver) updateRecurrence(ctx context.Context, in model.UpdateRecurrenceInput) (model.RecurrencePayload, error) {
	order, err := parse(workflow.RefRecurrence, in.Recurrence, "recurrence")
	var form map[string]any
	if err == nil {
		form, err = object(in.Form, "form")
	}
	if err == nil {
		err = r.Workflow.UpdateRecurrence(ctx, actorOf(ctx), workflow.RecurrenceInput{Recurrence: order, Unit: in.Unit, Seat: in.Seat, Title: in.Title,
			Form: form, Rule: in.Rrule, Start: in.Start, Shift: workflow.Shift(or(in.Shift)), IdempotencyKey: in.IdempotencyKey})
	}
	return r.recurrencePayload(ctx, order, err)
}

func (r *Resolver) actOnRecurrence(ctx context.Context, in model.ActOnRecurrenceInput) (model.RecurrencePayload, error) {
	order, err := parse(workflow.RefRecurrence, in.Recurrence, "recurrence")
	if err == nil {
		err = r.Workflow.ActOnRecurrence(ctx, actorOf(ctx), workflow.ActOnRecurrenceInput{Recurrence: order, Act: workflow.RecurrenceAct(in.Act), IdempotencyKey: in.IdempotencyKey})
	}
	return r.recurrencePayload(ctx, order, err)
}
