package graph

import (
	"context"

	"kelian/graph/model"
	"kelian/internal/id"
	"kelian/netmon"
)

func hostOf(h netmon.HostView) model.Host {
	return model.Host{ID: h.ID.TypeID("hst"), Name: text(h.Name.Zh, h.Name.En), Address: some(h.Address), Key: some(h.Key), Labels: h.Labels, Buildings: h.Buildings,
		State: model.HostState(h.State), Overlays: each(h.Overlays, func(o string) model.HostOverlay { return model.HostOverlay(o) }),
		StateSince: h.Since, RttMicros: micros(h.RTT), Checks: each(h.Checks, checkOf), MaintenanceUntil: when(h.Maintenance),
		Needs: each(h.Needs, func(group []id.ID) []string { return each(group, func(x id.ID) string { return x.TypeID("hst") }) })}
}

func checkOf(c netmon.CheckView) model.Check {
	out := model.Check{ID: c.ID.TypeID("chk"), Kind: model.CheckKind(c.Kind), Name: text(c.Name.Zh, c.Name.En), Target: some(c.Target),
		IntervalSeconds: c.Seconds, State: model.HostState(c.State), RttMicros: micros(c.RTT), ExpiresAt: when(c.Expires), Warning: said(c.Warning), Remark: said(c.Why)}
	if c.Target != "" || c.Expect.Every > 0 {
		e := expectOf(c.Expect)
		out.Expect = &e
	}
	if c.LastEpoch > 0 {
		n := int(c.LastEpoch)
		out.LastEpoch = &n
	}
	return out
}

func (r *Resolver) incident(ctx context.Context, v netmon.IncidentView) model.Incident {
	r.load(ctx).proven.Want(v.ID)
	out := model.Incident{ID: v.ID.TypeID("inc"), Number: v.Number, Title: text(v.Title.Zh, v.Title.En), Open: v.Open, OpenedAt: v.OpenedAt,
		ClosedAt: when(v.ClosedAt), Roots: r.nodes(ctx, v.Roots), Suppressed: r.nodes(ctx, v.Suppressed), Buildings: v.Buildings,
		Reason: text(v.Why.Zh, v.Why.En), AcknowledgedBy: r.personOrNil(ctx, v.AcknowledgedBy, ""), AcknowledgedAt: when(v.AcknowledgedAt), Key: v.ID}
	if !v.Open {
		end := text(v.End.Zh, v.End.En)
		out.End = &end
	}
	return out
}

func (r *Resolver) nodes(ctx context.Context, list []netmon.NodeView) []model.IncidentNode {
	return each(list, func(n netmon.NodeView) model.IncidentNode {
		r.load(ctx).hosts.Want(n.Host)
		return model.IncidentNode{Name: text(n.Name.Zh, n.Name.En), HostKey: n.Host}
	})
}

func evidenceOf(e netmon.Evidence) model.Evidence {
	out := model.Evidence{Host: text(e.HostName.Zh, e.HostName.En), Vantage: e.Vantage, Epoch: int(e.Epoch), Outcome: string(e.Outcome), RttMicros: micros(e.RTT)}
	if e.Router.En != "" {
		router := text(e.Router.Zh, e.Router.En)
		out.Router = &router
	}
	return out
}

func statusOf(s netmon.Status) model.Status {
	out := model.Status{Hosts: s.Hosts, Up: s.Up, Down: s.Down, Suppressed: s.Suppressed, Unsure: s.Unsure, Round: int(s.Round),
		Incidents: each(s.Incidents, func(w netmon.Words) model.Text { return text(w.Zh, w.En) }), Mode: text(s.Mode+" "+s.ModeWhy.Zh, s.Mode+" "+s.ModeWhy.En)}
	if s.Mode == "" {
		out.Mode = text("none "+s.ModeWhy.Zh, "none "+s.ModeWhy.En)
	}
	if s.Round > 0 {
		age := s.Age.Seconds()
		out.AgeSeconds = &age
	}
	return out
}

// hostByID is the answer of a mutation.
func (r *Resolver) hostPayload(ctx context.Context, out netmon.HostOutcome, err error) (model.HostPayload, error) {
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.HostPayload{UserErrors: refused}, err
	}
	h, ok, err := r.load(ctx).hosts.Get(ctx, out.Host)
	if err != nil || !ok {
		return model.HostPayload{}, err
	}
	host := hostOf(h)
	return model.HostPayload{Host: &host}, nil
}

// incidentByID reads one incident; nil when there is none.
func (r *Resolver) incidentByID(ctx context.Context, incident id.ID) (*model.Incident, error) {
	list, err := r.Netmon.IncidentsByID(ctx, actorOf(ctx), incident)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	out := r.incident(ctx, list[0])
	return &out, nil
}
