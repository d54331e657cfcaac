package graph

import (
	"strings"

	"kelian/graph/model"
	"kelian/internal/id"
	"kelian/netmon"
	"kelian/workflow"
	"kelian/workflow/flow"
)

func named(w workflow.Who) model.Named {
	return model.Named{ID: w.Person.TypeID("per"), Name: w.Name}
}

func requestSheet(v workflow.Sheet) model.RequestSheet {
	return model.RequestSheet{ID: v.ID.TypeID("req"), Number: v.Number, Workflow: v.Definition, Title: requestTitle(v.Summary),
		Status: model.RequestStatus(v.Status), Unit: v.Unit, Requester: named(v.Requester), Urgent: v.Urgent, FormRev: v.FormRev,
		CreatedAt: v.OpenedAt, ClosedAt: when(v.ClosedAt), Steps: each(v.Steps, stepSheet)}
}

func stepSheet(s workflow.StepView) model.StepSheet {
	return model.StepSheet{Name: s.Name, Title: text(s.Title.Zh, s.Title.En), State: model.StepState(strings.ToUpper(string(s.Status))),
		Round: s.Round, OpenedAt: s.OpenedAt, SettledAt: when(s.SettledAt), DueAt: when(s.DueAt), Overdue: s.Overdue, Assignees: each(s.Tasks, assignee)}
}

func assignee(t workflow.TaskView) model.Assignee {
	out := model.Assignee{ID: t.ID.TypeID("tsk"), State: model.TaskState(strings.ToUpper(string(t.State))), Seat: t.Who.Seat, Person: named(t.Who),
		OpenedAt: t.OpenedAt, DueAt: when(t.DueAt)}
	if d := t.Decision; d != nil {
		out.Decision = &model.DecisionSheet{ID: d.ID.TypeID("dec"), Verdict: model.Verdict(strings.ToUpper(string(d.Verdict))), By: named(d.By),
			Comment: d.Comment, At: d.At, FormRev: d.CastRev, Lapsed: !d.Live && d.Verdict != flow.Return}
	}
	return out
}

func inboxRow(cursor string, x workflow.InboxItem) model.InboxRow {
	title := requestTitle(workflow.Summary{Kind: x.Kind, Title: x.Title})
	return model.InboxRow{ID: x.Task.TypeID("tsk"), Cursor: cursor, Step: x.Step, Title: text(x.StepTitle.Zh, x.StepTitle.En), Seat: x.Seat,
		OpenedAt: x.OpenedAt, DueAt: when(x.DueAt), Request: model.InboxRequest{ID: x.Request.TypeID("req"), Number: x.Number, Workflow: x.Definition,
			Title: title, Unit: x.Unit, Requester: model.Named{ID: x.Requester.TypeID("per"), Name: x.Name}, Urgent: x.Urgent, FormRev: x.FormRev}}
}

func incidentRow(cursor string, v netmon.IncidentView, hosts map[id.ID]netmon.HostView) model.IncidentRow {
	nodes := func(list []netmon.NodeView) []model.IncidentHost {
		return each(list, func(n netmon.NodeView) model.IncidentHost {
			out := model.IncidentHost{Name: text(n.Name.Zh, n.Name.En)}
			if h, ok := hosts[n.Host]; ok {
				out.Host = hostLine(h)
			}
			return out
		})
	}
	return model.IncidentRow{ID: v.ID.TypeID("inc"), Cursor: cursor, Number: v.Number, Title: text(v.Title.Zh, v.Title.En), Open: v.Open,
		OpenedAt: v.OpenedAt, ClosedAt: when(v.ClosedAt), Roots: nodes(v.Roots), Suppressed: nodes(v.Suppressed), Buildings: v.Buildings,
		Reason: text(v.Why.Zh, v.Why.En)}
}

func hostLine(h netmon.HostView) *model.HostLine {
	return &model.HostLine{ID: h.ID.TypeID("hst"), Name: text(h.Name.Zh, h.Name.En), Address: some(h.Address), Buildings: h.Buildings,
		State: model.HostState(h.State), Overlays: each(h.Overlays, func(o string) model.HostOverlay { return model.HostOverlay(o) }), StateSince: h.Since}
}
