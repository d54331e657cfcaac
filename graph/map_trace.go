package graph

import (
	"strings"

	"kelian/graph/model"
	"kelian/internal/trace"
	"kelian/notify"
	"kelian/org"
)

func traceOf(t trace.Result) model.Trace {
	out := model.Trace{Truncated: t.Truncated}
	for _, n := range t.Nodes {
		x := model.TraceNode{Kind: n.Ref.Kind, At: when(n.At), Hidden: n.Hidden}
		if !n.Hidden {
			title := text(n.Zh, n.En)
			x.ID, x.Title, x.State = ref(n.Ref.Kind, n.Ref.ID), &title, some(n.State)
		}
		out.Nodes = append(out.Nodes, x)
	}
	for _, e := range t.Edges {
		out.Edges = append(out.Edges, model.TraceEdge{From: e.From, To: e.To, Kind: e.Kind, At: e.At})
	}
	return out
}

func notificationOf(x notify.Item) model.Notification {
	return model.Notification{ID: x.ID.TypeID("ntf"), Topic: x.Topic, Text: x.Text, About: ref(x.Ref.Kind, x.Ref.ID), Critical: x.Critical, At: x.At, ReadAt: when(x.ReadAt)}
}

func deliveryOf(d notify.DeliveryView) model.Delivery {
	out := model.Delivery{Channel: string(d.Channel), Recipient: d.Name, Topic: d.Topic, State: model.DeliveryState(strings.ToUpper(string(d.State))),
		PossibleDuplicates: d.PossibleDuplicate, At: d.CreatedAt}
	if out.Recipient == "" {
		out.Recipient = org.Mask("")
	}
	if d.ReasonZh != "" {
		reason := text(d.ReasonZh, d.ReasonEn)
		out.Reason = &reason
	}
	return out
}
