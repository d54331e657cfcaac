package app

import (
	"context"
	"strings"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/notify"
	"kelian/org"
	"kelian/workflow"
)

// tellOf tells one person of a request, by its number and title; more are names
// and values of further parameters.
func (a *App) tellOf(ctx context.Context, tx *store.Tx, topic string, request, person id.ID, more ...string) error {
	_, m, err := a.Workflow.FormOf(ctx, tx, request)
	if err != nil {
		return err
	}
	params := aboutRequest(m)
	for i := 0; i < len(more); i += 2 {
		params[more[i]] = more[i+1]
	}
	notify.Put(tx, notify.Message{Topic: topic, To: person, Ref: outbox.Ref{Kind: workflow.RefRequest, ID: request}, At: a.Clock.Now(),
		Path: "/requests/" + request.TypeID(workflow.RefRequest), Params: params})
	return nil
}

// aboutRequest are the parameters that every notice of a request has.
func aboutRequest(m workflow.Meta) map[string]string {
	title := m.TitleIn()
	return map[string]string{"number": m.Number, "title.zh": title.Zh, "title.en": title.En}
}

// onPerson tells the person whom the event names.
func (a *App) onPerson(topic string) func(ctx context.Context, d outbox.Delivery) error {
	return func(ctx context.Context, d outbox.Delivery) error {
		var p workflow.PersonPayload
		if err := d.Decode(&p); err != nil {
			return err
		}
		return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error { return a.tellOf(ctx, tx, topic, p.Request, p.Person) })
	}
}

// onMoved tells whom it concerns that a due time moved.
func (a *App) onMoved(ctx context.Context, d outbox.Delivery) error {
	var p workflow.MovedPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		return a.tellOf(ctx, tx, "workflow.moved", p.Request, p.Person, "until", a.local(p.DueAt))
	})
}

// onOwed tells the requester that the report on what was approved is due.
func (a *App) onOwed(ctx context.Context, d outbox.Delivery) error {
	var p workflow.OwedPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		_, m, err := a.Workflow.FormOf(ctx, tx, p.Request)
		if err != nil {
			return err
		}
		topic := map[bool]string{false: "workflow.owed", true: "workflow.owes"}[p.Overdue]
		return a.tellOf(ctx, tx, topic, p.Request, m.Requester)
	})
}

// onUndone tells the requester why what was approved was not carried out.
func (a *App) onUndone(ctx context.Context, d outbox.Delivery) error {
	var p workflow.UndonePayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		return a.tellOf(ctx, tx, "workflow.undone", p.Request, p.Person, "what.zh", p.Zh, "what.en", p.En)
	})
}

// onUnstaffed tells those who keep a workflow that a step of it has lost its
// people.
func (a *App) onUnstaffed(ctx context.Context, d outbox.Delivery) error {
	var p workflow.UnstaffedPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		now := a.Clock.Now()
		keepers, err := org.Holders(ctx, tx, p.Owner+".head", now)
		if err != nil {
			return err
		}
		for _, k := range keepers {
			notify.Put(tx, notify.Message{Topic: "workflow.unstaffed", To: k.Person, Ref: outbox.Ref{Kind: workflow.RefVersion, ID: p.Version}, At: now,
				Path: "/workflows", Params: map[string]string{"title.zh": p.Title.Zh, "title.en": p.Title.En, "what.zh": p.Zh, "what.en": p.En}})
		}
		return nil
	})
}

// onOccurred tells those who hold the seat of a standing order that a draft
// waits; where nobody holds it, those who lead its unit.
func (a *App) onOccurred(ctx context.Context, d outbox.Delivery) error {
	var p workflow.OccurredPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		now := a.Clock.Now()
		unit := p.Seat[:strings.LastIndexByte(p.Seat, '.')]
		r := store.NewReads(tx)
		read := org.AskHolders(r, now, p.Seat, unit+"."+string(org.Head), unit+"."+string(org.Chair))
		if err := r.Run(ctx); err != nil {
			return err
		}
		told := map[id.ID]bool{}
		list := read()
		for _, h := range list {
			if told[h.Person] || list[0].Seat == p.Seat && h.Seat != p.Seat {
				continue
			}
			told[h.Person] = true
			notify.Put(tx, notify.Message{Topic: "workflow.recurring", To: h.Person, Ref: outbox.Ref{Kind: workflow.RefRecurrence, ID: p.Recurrence}, At: now,
				Path:   "/requests/new/" + p.Definition + "?draft=" + p.Occurrence.TypeID(workflow.RefOccurrence),
				Params: map[string]string{"title.zh": p.Title, "title.en": p.Title, "until": a.local(p.At)}})
		}
		return nil
	})
}
