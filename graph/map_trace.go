package graph

import (
	"kelian/graph/model"
	"kelian/internal/trace"
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
