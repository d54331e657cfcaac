package graph

import (
	"context"

	"kelian/graph/model"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/workflow"
)

// nodes reads objects of any kind, each kind with one read, in the order asked;
// nil for what is absent, foreign, or of a kind that is none. An access token
// sees only the kinds of its scopes.
func (r *Resolver) objects(ctx context.Context, refs []outbox.Ref) ([]model.Node, error) {
	byKind := map[string][]id.ID{}
	for _, ref := range refs {
		byKind[ref.Kind] = append(byKind[ref.Kind], ref.ID)
	}
	found := map[outbox.Ref]model.Node{}
	for kind, ids := range byKind {
		read := r.readers()[kind]
		if read == nil || needScope(ctx, kinds[kind]) != nil {
			continue
		}
		got, err := read(ctx, ids)
		if err != nil {
			return nil, err
		}
		for k, n := range got {
			found[outbox.Ref{Kind: kind, ID: k}] = n
		}
	}
	out := make([]model.Node, len(refs))
	for i, ref := range refs {
		if n, ok := found[ref]; ok {
			out[i] = n
		}
	}
	return out, nil
}

type reader func(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error)

// readers are the kinds of objects, by the prefix of their identifiers. Each
// asks the service that owns the object, which leaves out what the caller may
// not see.
func (r *Resolver) readers() map[string]reader {
	return map[string]reader{
		"unt": r.unitNodes, "per": r.personNodes, "req": r.requestNodes, "tsk": r.taskNodes, "dec": r.taskNodes, "wfv": r.workflowNodes,
		"inc": r.incidentNodes, "hst": r.hostNodes, "chk": r.checkNodes, "tkt": r.ticketNodes, "asg": r.assignmentNodes,
		"pur": r.purchaseNodes, "plg": r.pledgeNodes, "out": r.organisationNodes, "trt": r.trainingNodes, "ntf": r.notificationNodes,
	}
}

// collect makes nodes of a list.
func collect[V any](list []V, err error, key func(V) id.ID, node func(V) model.Node) (map[id.ID]model.Node, error) {
	out := map[id.ID]model.Node{}
	for _, v := range list {
		out[key(v)] = node(v)
	}
	return out, err
}

func (r *Resolver) unitNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	f, err := r.fed(ctx)
	out := map[id.ID]model.Node{}
	for _, k := range ids {
		if err == nil && !f.byID[k].ID.IsZero() {
			out[k] = unitOf(f.byID[k])
		}
	}
	return out, err
}

func (r *Resolver) personNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	people, err := r.Org.People(ctx, actorOf(ctx), ids...)
	out := map[id.ID]model.Node{}
	for _, p := range people {
		out[p.ID] = r.profile(ctx, p)
	}
	return out, err
}

func (r *Resolver) requestNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	found, err := r.Workflow.Summaries(ctx, actorOf(ctx), ids...)
	out := map[id.ID]model.Node{}
	for k, s := range found {
		out[k] = r.request(ctx, s, "")
	}
	return out, err
}

// taskNodes reads tasks and decisions out of their requests, as the reader of
// the request sees them.
func (r *Resolver) taskNodes(ctx context.Context, ids []id.ID) (map[id.ID]model.Node, error) {
	at, err := r.Workflow.RequestsOf(ctx, actorOf(ctx), ids...)
	if err != nil {
		return nil, err
	}
	wanted := map[id.ID]bool{}
	var requests []id.ID
	for k, q := range at {
		wanted[k] = true
		requests = append(requests, q)
	}
	r.load(ctx).views.Want(requests...)
	out := map[id.ID]model.Node{}
	for _, q := range requests {
		v, err := r.view(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, s := range v.Steps {
			r.taskNodesOf(ctx, v, s, wanted, out)
		}
	}
	return out, nil
}

func (r *Resolver) taskNodesOf(ctx context.Context, v workflow.View, s workflow.StepView, wanted map[id.ID]bool, out map[id.ID]model.Node) {
	for _, t := range s.Tasks {
		if wanted[t.ID] {
			out[t.ID] = r.task(ctx, v.ID, s, t)
		}
		if t.Decision != nil && wanted[t.Decision.ID] {
			out[t.Decision.ID] = r.decision(ctx, t.Step, t.Decision)
		}
	}
}

func (r *Resolver) workflowNodes(ctx context.Context, _ []id.ID) (map[id.ID]model.Node, error) {
	list, err := r.Workflow.Definitions(ctx, actorOf(ctx))
	return collect(list, err, func(l workflow.Listed) id.ID { return l.Version }, func(l workflow.Listed) model.Node { return workflowOf(l) })
}
