package graph

import (
	"context"
	"encoding/json"

	"kelian/desk/repair"
	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/netmon"
	"kelian/workflow"
)

// about is what the payloads of the feed's topics name.
type about struct {
	Request  id.ID `json:"request"`
	Incident id.ID `json:"incident"`
	Host     id.ID `json:"host"`
	Ticket   id.ID `json:"ticket"`
}

// follow gives a subscriber the events of the topics that concern the reader.
// judge reads the object as the reader may see it now and says ok for what the
// reader is to be told; resync stands for events that were missed. The channel
// ends with the reader, or when nothing can be judged any more: the reader comes
// back and reads everything anew.
func follow[E any](ctx context.Context, r *Resolver, resync E, judge func(ctx context.Context, a about) (event E, ok bool, err error), topics ...string) <-chan E {
	sub, cancel := r.Feed.Subscribe(topics...)
	ctx = context.WithValue(ctx, scopeKey{}, nil) // what was read for one event is old at the next
	out := make(chan E)
	go func() {
		defer close(out)
		defer cancel()
		for {
			var c outbox.Change
			select {
			case <-ctx.Done():
				return
			case c = <-sub.C:
			}
			event, ok, err := resync, true, error(nil)
			if !c.Resync {
				var a about
				if err = json.Unmarshal([]byte(c.Payload), &a); err == nil {
					event, ok, err = judge(ctx, a)
				}
			}
			switch {
			case fault.Is(err, fault.Forbidden), fault.Is(err, fault.NotFound):
				continue // not the reader's to see
			case err != nil && ctx.Err() == nil:
				// It could not be seen whether this event is the reader's.
				r.log.WarnContext(ctx, "graphql: subscription", "topic", c.Topic, "error", err)
				event, ok = resync, true
			}
			if !ok {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case out <- event:
			}
		}
	}()
	return out
}

func (r *Resolver) inboxChanges(ctx context.Context) <-chan model.InboxChange {
	return follow(ctx, r, model.InboxChange{Resync: true}, func(ctx context.Context, a about) (e model.InboxChange, ok bool, err error) {
		ok, err = r.Workflow.Asked(ctx, actorOf(ctx), a.Request)
		return model.InboxChange{Request: ref("req", a.Request)}, ok, err
	}, workflow.TopicChanged)
}

func (r *Resolver) incidentChanges(ctx context.Context) <-chan model.IncidentChange {
	return follow(ctx, r, model.IncidentChange{Resync: true}, func(ctx context.Context, a about) (e model.IncidentChange, ok bool, err error) {
		e.Incident, err = r.incidentByID(ctx, a.Incident)
		return e, e.Incident != nil, err
	}, netmon.TopicOpened, netmon.TopicChanged, netmon.TopicClosed)
}

func (r *Resolver) hostChanges(ctx context.Context) <-chan model.HostStateChange {
	return follow(ctx, r, model.HostStateChange{Resync: true}, func(ctx context.Context, a about) (e model.HostStateChange, ok bool, err error) {
		list, err := r.Netmon.HostsByID(ctx, actorOf(ctx), a.Host)
		if err != nil || len(list) == 0 {
			return e, false, err
		}
		h := hostOf(list[0])
		return model.HostStateChange{Host: &h}, true, nil
	}, netmon.TopicHost)
}

func (r *Resolver) ticketChanges(ctx context.Context) <-chan model.RepairTicketChange {
	return follow(ctx, r, model.RepairTicketChange{Resync: true}, func(ctx context.Context, a about) (e model.RepairTicketChange, ok bool, err error) {
		e.Ticket, err = r.ticketByID(ctx, a.Ticket)
		return e, e.Ticket != nil, err
	}, repair.TopicOpened, repair.TopicChanged)
}
