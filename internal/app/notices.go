package app

import (
	"context"
	"fmt"
	"time"

	"kelian/desk/tell"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/notify"
	"kelian/org"
	"kelian/workflow"
)

// The notices turn the events of domains that know nobody to tell into
// notifications. Each is one transaction under its delivery.

func (a *App) inDelivery(ctx context.Context, d outbox.Delivery, fn func(ctx context.Context, tx *store.Tx) error) error {
	_, err := store.InTx(ctx, a.DB, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		return struct{}{}, fn(ctx, tx)
	})
	return err
}

// onTask tells whoever is asked; where the step may be decided by link, the
// link comes with it.
func (a *App) onTask(topic string) func(ctx context.Context, d outbox.Delivery) error {
	return func(ctx context.Context, d outbox.Delivery) error {
		var p workflow.TaskPayload
		if err := d.Decode(&p); err != nil {
			return err
		}
		return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
			task, err := a.Workflow.TaskFor(ctx, tx, p.Task)
			if err != nil || !task.Open {
				return err // decided meanwhile: nobody is asked any more
			}
			m := notify.Message{Topic: topic, To: p.Person, Ref: outbox.Ref{Kind: workflow.RefRequest, ID: p.Request}, At: a.Clock.Now(),
				Path: "/inbox/" + p.Task.TypeID(workflow.RefTask),
				Params: map[string]string{"number": task.Number, "title.zh": task.Title.Zh, "title.en": task.Title.En, "step.zh": task.Step.Zh, "step.en": task.Step.En,
					"until": a.local(task.DueAt)}}
			_, ok, err := a.Workflow.IssueLink(ctx, tx, p.Task)
			if err != nil {
				return err
			}
			if ok {
				m.Path = taskLink(p.Task, task.FormRev)
			}
			notify.Put(tx, m)
			return nil
		})
	}
}

// onRequest tells the requester how it went.
func (a *App) onRequest(ctx context.Context, d outbox.Delivery) error {
	var p workflow.ChangedPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	topic := map[string]string{"RETURNED": "workflow.returned", "APPROVED": "workflow.approved", "REJECTED": "workflow.rejected", "EXPIRED": "workflow.expired"}[string(p.Status)]
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		if topic == "" {
			return nil
		}
		_, m, err := a.Workflow.FormOf(ctx, tx, p.Request)
		if err != nil {
			return err
		}
		if m.Status != p.Status {
			return nil // it went on meanwhile; that event tells
		}
		notify.Put(tx, notify.Message{Topic: topic, To: m.Requester, Ref: outbox.Ref{Kind: workflow.RefRequest, ID: p.Request}, At: a.Clock.Now(),
			Path: "/requests/" + p.Request.TypeID(workflow.RefRequest), Params: aboutRequest(m)})
		return nil
	})
}

// onIncident tells the technical department, by one message for an incident
// however many devices it darkens.
func (a *App) onIncident(topic string) func(ctx context.Context, d outbox.Delivery) error {
	return func(ctx context.Context, d outbox.Delivery) error {
		var p struct {
			Incident id.ID `json:"incident"`
		}
		if err := d.Decode(&p); err != nil {
			return err
		}
		inc, err := a.Netmon.Incident(ctx, org.System(), p.Incident)
		if err != nil {
			return err
		}
		return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
			if topic == "incident.opened" && !inc.Open {
				return nil
			}
			return a.tellNetwork(ctx, tx, tell.Message{Topic: topic, Ref: outbox.Ref{Kind: "inc", ID: p.Incident}, At: a.Clock.Now(), Critical: true,
				Path: "/incidents/" + p.Incident.TypeID("inc"),
				Params: map[string]string{"number": inc.Number, "cause.zh": inc.Title.Zh, "cause.en": inc.Title.En,
					"hosts": fmt.Sprint(len(inc.Suppressed)), "duration": inc.ClosedAt.Sub(inc.OpenedAt).Round(time.Second).String()}})
		})
	}
}

// local spells a time as people read it.
func (a *App) local(t time.Time) string {
	if t.IsZero() {
		return "—"
	}
	return t.In(a.Config.Timezone).Format("01-02 15:04")
}
