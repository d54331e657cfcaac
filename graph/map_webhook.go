package graph

import (
	"context"
	"strings"
	"time"

	"kelian/graph/model"
	"kelian/internal/id"
	"kelian/webhook"
)

func (r *Resolver) webhook(ctx context.Context, h webhook.Hook) model.Webhook {
	out := model.Webhook{ID: h.ID.TypeID(webhook.RefKind), URL: h.URL, Description: h.Description, Events: h.Types(), Enabled: h.Enabled(), Owner: r.person(ctx, h.Owner, ""),
		FailingSince: when(h.FailingSince), CreatedAt: h.CreatedAt, ChangedAt: h.ChangedAt}
	if now := r.Clock.Now(); h.Enabled() {
		out.PausedUntil, out.PreviousSecretUntil = upcoming(h.PauseUntil, now), upcoming(h.PreviousUntil, now)
	} else {
		zh, en := webhook.Explain(h.Disabled, 0)
		reason := text(zh, en)
		out.DisabledReason = &reason
	}
	return out
}

// upcoming is nil for a moment that is over.
func upcoming(t, now time.Time) *time.Time {
	if !t.After(now) {
		return nil
	}
	return &t
}

func webhookDelivery(d webhook.Delivery) model.WebhookDelivery {
	out := model.WebhookDelivery{ID: d.ID.TypeID(webhook.RefKindDelivery), Event: d.Event, About: ref(d.ObjectKind, d.ObjectID), State: model.WebhookDeliveryState(strings.ToUpper(string(d.State))),
		Attempts: d.Attempt, Answer: some(d.Answer), Body: d.Body, PossibleDuplicates: d.PossibleDuplicate, CreatedAt: d.CreatedAt, TriedAt: when(d.TriedAt), SentAt: when(d.SentAt)}
	if d.Code != 0 {
		out.Code = &d.Code
	}
	if d.Reason != "" {
		zh, en := webhook.Explain(d.Reason, d.Code)
		reason := text(zh, en)
		out.Reason = &reason
	}
	if d.State == webhook.Waiting {
		out.NextAt = &d.NextAt
	}
	return out
}

// secretOf is the payload of a mutation that shows a secret.
func (r *Resolver) secretOf(ctx context.Context, secret string, h webhook.Hook, err error) (model.WebhookSecretPayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.WebhookSecretPayload{UserErrors: refused}, err
	}
	out := r.webhook(ctx, h)
	return model.WebhookSecretPayload{Webhook: &out, Secret: &secret}, nil
}

func (r *Resolver) updateWebhook(ctx context.Context, in model.UpdateWebhookInput) (out model.WebhookPayload, err error) {
	change := webhook.UpdateInput{URL: in.URL, Description: in.Description, Enabled: in.Enabled, IdempotencyKey: in.IdempotencyKey}
	if in.Events != nil {
		change.Events = &in.Events
	}
	if change.Webhook, err = parse(webhook.RefKind, in.Webhook, "webhook"); err == nil {
		err = r.Webhook.Update(ctx, actorOf(ctx), change)
	}
	if out.UserErrors, err = r.refusals(ctx, err); err != nil || out.UserErrors != nil {
		return out, err
	}
	h, err := r.Webhook.Get(ctx, actorOf(ctx), change.Webhook)
	shown := r.webhook(ctx, h)
	out.Webhook = &shown
	return out, err
}

func (r *Resolver) webhookDeliveries(ctx context.Context, hook string, state *model.WebhookDeliveryState, first *int, after *string) (model.WebhookDeliveryConnection, error) {
	at, err := parse(webhook.RefKind, hook, "webhook")
	if err != nil {
		return model.WebhookDeliveryConnection{}, err
	}
	list, next, err := r.Webhook.Deliveries(ctx, actorOf(ctx), at, webhook.State(strings.ToLower(string(or(state)))), page(first, after))
	out, info := edges(list, next != "", func(d webhook.Delivery) string { return cursorOf(d.CreatedAt, d.ID) }, func(c string, d webhook.Delivery) model.WebhookDeliveryEdge {
		return model.WebhookDeliveryEdge{Cursor: c, Node: webhookDelivery(d)}
	})
	return model.WebhookDeliveryConnection{Edges: out, PageInfo: info}, err
}

// deliveryPayload names a delivery that is on its way.
func (r *Resolver) deliveryPayload(ctx context.Context, delivery id.ID, err error) (model.WebhookDeliveryPayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.WebhookDeliveryPayload{UserErrors: refused}, err
	}
	return model.WebhookDeliveryPayload{Delivery: ref(webhook.RefKindDelivery, delivery)}, nil
}
