package app

import (
	"context"
	"net/netip"
	"slices"

	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/internal/config"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/jobs"
	"kelian/netmon"
	"kelian/netmon/probe"
	"kelian/notify"
	"kelian/org"
	"kelian/webhook"
	"kelian/workflow"

	"github.com/uptrace/bun"
)

// hookSources says which events of the outbox mean something to the outside,
// and what: the names are those of webhook.Types, each in one place.
func (a *App) hookSources() map[string]hookSource {
	return map[string]hookSource{
		workflow.TopicChanged:       {[]string{"request.opened", "request.changed", "request.returned", "request.closed"}, a.hookRequest},
		workflow.TopicUndone:        {[]string{"request.effect_failed"}, a.hookUndone},
		netmon.TopicOpened:          {[]string{"incident.opened"}, a.hookIncident("incident.opened")},
		netmon.TopicChanged:         {[]string{"incident.changed"}, a.hookIncident("incident.changed")},
		netmon.TopicClosed:          {[]string{"incident.closed"}, a.hookIncident("incident.closed")},
		repair.TopicOpened:          {[]string{"ticket.opened"}, a.hookTicket(true)},
		repair.TopicChanged:         {[]string{"ticket.changed", "ticket.closed"}, a.hookTicket(false)},
		"property.purchase.changed": {[]string{"purchase.changed"}, a.hookPurchase},
		"sponsor.changed":           {[]string{"pledge.changed"}, a.hookPledge},
	}
}

type hookSource struct {
	types    []string
	describe webhook.Describe
}

func (a *App) hookHandlers(r *jobs.Registry) {
	for topic, s := range a.hookSources() {
		r.HandleWhile(topic, webhook.Consumer, webhook.Wanted, a.Webhook.OnEvent(s.describe))
	}
	r.Handle(webhook.TopicSend, webhook.Consumer, a.Webhook.OnSend)
	r.Handle(webhook.TopicDisabled, "notify", a.onWebhookDisabled)
}

// bindWebhook lets posts go to public addresses by https, and to those that the
// operator allowed by either scheme.
func (a *App) bindWebhook(own []netip.AddrPort) {
	nets := a.Config.WebhookNets
	policy := func(public bool) *probe.Policy {
		return probe.NewPolicy(probe.PolicyOptions{Allow: nets, Public: public, Own: own,
			AllowLoopback: slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Addr().IsLoopback() })})
	}
	policies := map[string]*probe.Policy{"https": policy(true)}
	if len(nets) > 0 {
		policies["http"] = policy(false)
	}
	dial := map[string]webhook.Dial{}
	for scheme, p := range policies {
		dial[scheme] = probe.NewChecker(probe.CheckerOptions{Policy: p}).DialContext
	}
	a.Webhook = webhook.New(a.DB, a.Clock, a.Rules, webhook.Options{PublicURL: publicURL(a.Config), Dial: dial,
		Vet: func(scheme string, to netip.AddrPort) error { return policies[scheme].Check(to) }})
}

func publicURL(c config.Config) string {
	if c.PublicURL == "" {
		return "http://" + c.Listen
	}
	return c.PublicURL
}

func (a *App) hookRequest(ctx context.Context, q bun.IDB, d outbox.Delivery) ([]webhook.Fact, error) {
	var p workflow.ChangedPayload
	if err := d.Decode(&p); err != nil {
		return nil, err
	}
	var types []string
	if p.Before == "" {
		types = append(types, "request.opened")
	}
	switch {
	case p.Status != p.Before && p.Status.Final():
		types = append(types, "request.closed")
	case p.Status != p.Before && p.Status == "RETURNED":
		types = append(types, "request.returned")
	case p.Before != "":
		types = append(types, "request.changed")
	}
	return a.hookFacts(ctx, q, p.Request, d.Version, string(p.Status), types...)
}

func (a *App) hookUndone(ctx context.Context, q bun.IDB, d outbox.Delivery) ([]webhook.Fact, error) {
	var p workflow.UndonePayload
	if err := d.Decode(&p); err != nil {
		return nil, err
	}
	return a.hookFacts(ctx, q, p.Request, d.Version, "EFFECT_FAILED", "request.effect_failed")
}

func (a *App) hookFacts(ctx context.Context, q bun.IDB, request id.ID, version int64, status string, types ...string) ([]webhook.Fact, error) {
	number, definition, err := a.Workflow.Brief(ctx, q, request)
	ref := outbox.Ref{Kind: workflow.RefRequest, ID: request}
	var out []webhook.Fact
	for _, t := range types {
		out = append(out, webhook.Fact{Type: t, Ref: ref, Version: version, Number: number, Kind: definition, Status: status, Path: "/requests/" + ref.String()})
	}
	return out, err
}

func (a *App) hookIncident(kind string) webhook.Describe {
	return func(ctx context.Context, q bun.IDB, d outbox.Delivery) ([]webhook.Fact, error) {
		number, status, err := a.Netmon.Brief(ctx, q, d.Aggregate)
		ref := outbox.Ref{Kind: netmon.RefIncident, ID: d.Aggregate}
		return []webhook.Fact{{Type: kind, Ref: ref, Version: d.Version, Number: number, Kind: "incident", Status: status, Path: "/incidents/" + ref.String()}}, err
	}
}

func (a *App) hookTicket(opened bool) webhook.Describe {
	return func(ctx context.Context, q bun.IDB, d outbox.Delivery) ([]webhook.Fact, error) {
		number, kind, state, err := a.Repair.Brief(ctx, q, d.Aggregate)
		if !opened && err == nil {
			var p repair.ChangedPayload
			err, state = d.Decode(&p), p.State
		}
		ref := outbox.Ref{Kind: repair.RefKind, ID: d.Aggregate}
		f := webhook.Fact{Type: "ticket.changed", Ref: ref, Version: d.Version, Number: number, Kind: string(kind), Status: string(state), Path: "/tickets/" + ref.String()}
		switch {
		case opened:
			f.Type = "ticket.opened"
		case state == repair.Closed || state == repair.Cancelled:
			f.Type = "ticket.closed"
		}
		return []webhook.Fact{f}, err
	}
}

func (a *App) hookPurchase(ctx context.Context, q bun.IDB, d outbox.Delivery) ([]webhook.Fact, error) {
	number, state, err := a.Property.Brief(ctx, q, d.Aggregate)
	if err == nil {
		var p property.Changed
		err, state = d.Decode(&p), p.State
	}
	return []webhook.Fact{{Type: "purchase.changed", Ref: outbox.Ref{Kind: "pur", ID: d.Aggregate}, Version: d.Version, Number: number, Kind: "purchase", Status: string(state), Path: "/purchases"}}, err
}

func (a *App) hookPledge(ctx context.Context, q bun.IDB, d outbox.Delivery) ([]webhook.Fact, error) {
	number, kind, state, err := a.Sponsor.Brief(ctx, q, d.Aggregate)
	return []webhook.Fact{{Type: "pledge.changed", Ref: outbox.Ref{Kind: "plg", ID: d.Aggregate}, Version: d.Version, Number: number, Kind: string(kind), Status: string(state), Path: "/pledges"}}, err
}

// onWebhookDisabled tells who set the endpoint up, and who runs the system now.
func (a *App) onWebhookDisabled(ctx context.Context, d outbox.Delivery) error {
	var p webhook.DisabledPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		now := a.Clock.Now()
		heads, err := org.Holders(ctx, tx, "technical.head", now)
		if err != nil {
			return err
		}
		people := []id.ID{p.Owner}
		for _, h := range heads {
			if !slices.Contains(people, h.Person) {
				people = append(people, h.Person)
			}
		}
		zh, en := webhook.Explain(p.Reason, 0)
		for _, who := range people {
			notify.Put(tx, notify.Message{Topic: "webhook.disabled", To: who, At: now,
				Params: map[string]string{"title": p.Description, "what.zh": zh, "what.en": en}})
		}
		return nil
	})
}
