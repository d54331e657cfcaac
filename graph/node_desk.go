package graph

import (
	"context"

	"kelian/desk/training"
	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/netmon"
	"kelian/notify"
)

func (r *Resolver) incidentNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	list, err := r.Netmon.IncidentsByID(ctx, actorOf(ctx), ids...)
	return collect(list, err, func(v netmon.IncidentView) id.ID { return v.ID }, func(v netmon.IncidentView) model.Node { return r.incident(ctx, v) })
}

func (r *Resolver) hostNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	list, err := r.Netmon.HostsByID(ctx, actorOf(ctx), ids...)
	return collect(list, err, func(h netmon.HostView) id.ID { return h.ID }, func(h netmon.HostView) model.Node { return hostOf(h) })
}

func (r *Resolver) checkNodes(ctx context.Context, _ []id.ID) (map[id.ID]model.Node, error) {
	list, err := r.Netmon.Checks(ctx, actorOf(ctx))
	return collect(list, err, func(c netmon.CheckView) id.ID { return c.ID }, func(c netmon.CheckView) model.Node { return checkOf(c) })
}

func (r *Resolver) ticketNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	found, err := r.Repair.Many(ctx, actorOf(ctx), ids...)
	out := map[id.ID]model.Node{}
	for k, v := range found {
		out[k] = r.ticket(ctx, v)
	}
	return out, err
}

func (r *Resolver) assignmentNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	found, err := r.Repair.AssignmentsByID(ctx, actorOf(ctx), ids...)
	out := map[id.ID]model.Node{}
	for k, a := range found {
		out[k] = r.assignment(ctx, a)
	}
	return out, err
}

func (r *Resolver) purchaseNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	found, err := r.Property.PurchasesByID(ctx, actorOf(ctx), ids...)
	out := map[id.ID]model.Node{}
	for k, p := range found {
		out[k] = r.purchase(ctx, p)
	}
	return out, err
}

func (r *Resolver) pledgeNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	out := map[id.ID]model.Node{}
	found, err := r.Sponsor.PledgesByID(ctx, actorOf(ctx), ids...)
	for k, p := range found {
		out[k] = r.pledge(ctx, p)
	}
	return out, unseen(err)
}

func (r *Resolver) organisationNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	out := map[id.ID]model.Node{}
	found, err := r.Sponsor.OrganisationsByID(ctx, actorOf(ctx), ids...)
	for k, o := range found {
		out[k] = organisationOf(*o)
	}
	return out, unseen(err)
}

func (r *Resolver) trainingNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	list, err := r.Training.TasksByID(ctx, actorOf(ctx), ids...)
	return collect(list, err, func(v training.TaskView) id.ID { return v.ID }, func(v training.TaskView) model.Node { return r.trainingTask(ctx, v) })
}

func (r *Resolver) notificationNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	list, err := r.Notify.ItemsByID(ctx, actorOf(ctx), ids...)
	return collect(list, err, func(x notify.Item) id.ID { return x.ID }, func(x notify.Item) model.Node { return notificationOf(x) })
}

// unseen makes a whole desk that is not the caller's to see as good as absent.
func unseen(err error) error {
	if fault.Is(err, fault.Forbidden) || fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
