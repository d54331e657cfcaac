package workflow

import (
	"slices"
	"strings"

	"kelian/internal/id"
	"kelian/org"
	"kelian/workflow/flow"
)

// Rules are this package's rows of the table of rules. Who may decide a task is
// the definition's to say; the row asks only that the task is one's own.
func Rules() []org.Rule {
	rules := []org.Rule{
		{Action: "workflow.definitions", Who: org.Somebody},
		{Action: "workflow.submit", Who: org.Somebody, Guard: func(a org.Actor, _ org.Object) bool { return len(a.Seats) > 0 },
			Zh: "为自己任职的单位", En: "for a unit in which one holds a seat"},
		{Action: "workflow.forecast", Who: org.Somebody},
		{Action: "workflow.decide", Who: org.Assignee},
		{Action: "workflow.resubmit", Who: org.Owner},
		{Action: "workflow.withdraw", Who: org.Owner},
		{Action: "workflow.comment", Who: org.Somebody, Zh: "能看到该申请的人", En: "whoever may read the request"},
		{Action: "workflow.transfer", Who: org.Assignee},
		{Action: "workflow.add_signers", Who: org.Assignee},
		{Action: "workflow.undo", Who: org.Assignee},
		{Action: "workflow.disown", Who: org.Assignee},
		{Action: "workflow.nudge", Who: org.Owner},
		{Action: "workflow.copy", Who: org.Somebody, Zh: "能看到该申请的人", En: "whoever may read the request"},
		{Action: "workflow.resolve", Who: org.Somebody, Zh: "提出意见的人和正在审批的人", En: "whoever made the remark, and those who are asked now"},
		{Action: "workflow.stop", Who: org.Somebody, Zh: "审批过的岗位和流程写明的上级", En: "those who decided, and those above them whom the workflow names"},
		{Action: "workflow.amend", Who: org.Owner},
		{Action: "workflow.close_out", Who: org.Owner},
		{Action: "workflow.recur", Who: org.Somebody, Guard: ordering, Zh: "任这个岗位的人及其单位负责人", En: "whoever holds the seat, and those who lead its unit"},
		{Action: "workflow.paper", Who: "office.*"},
		{Action: "workflow.personal", Who: org.Owner},
		{Action: "workflow.personal", Who: org.Assignee, Guard: func(_ org.Actor, o org.Object) bool { return o.State == string(flow.Open) },
			Zh: "有待办的审批人，每次查看留痕", En: "while a task of one's own is open, each look is recorded"},
		{Action: "workflow.verify", Who: "supervision.*"},
		{Action: "workflow.verify", Who: "league.*"},
		{Action: "workflow.verify", Who: "office.head"},
		{Action: "workflow.publish", Who: "office.head"},
		{Action: "workflow.publish", Who: "league.secretary"},
		{Action: "workflow.publish", Who: "league.teacher"},
		{Action: "workflow.insight.read", Who: "office.*"},
		{Action: "workflow.insight.read", Who: "*.head", Guard: over, Zh: "本单位维护的流程；其他流程只计本单位及下属单位的申请", En: "of a workflow that the own unit keeps; of others the requests of the own unit and its parts"},
		{Action: "workflow.insight.read", Who: "*.chair", Guard: over, Zh: "本单位及下属单位的申请", En: "requests of the own unit and its parts"},
		{Action: "workflow.read", Who: org.Owner},
		{Action: "workflow.read", Who: org.Assignee, Zh: "被问到的人", En: "whoever is or was asked"},
		{Action: "workflow.read", Who: "*.head", Guard: over, Zh: "本单位及下属单位的申请", En: "requests of the own unit and its parts"},
		{Action: "workflow.read", Who: "*.chair", Guard: over, Zh: "本单位及下属单位的申请", En: "requests of the own unit and its parts"},
	}
	for _, who := range everywhere {
		rules = append(rules, org.Rule{Action: "workflow.read", Who: who}, org.Rule{Action: "workflow.insight.read", Who: who})
	}
	return rules
}

// everywhere are those who follow every request: supervision, the federation's
// leaders and the League Committee.
var everywhere = []string{"supervision.*", "fed.chair", "fed.vice", "league.*"}

// leads says that the seat leads its unit.
func leads(h org.HeldSeat) bool { return h.Role == org.Head || h.Role == org.Chair }

func over(a org.Actor, o org.Object) bool {
	for _, h := range a.Seats {
		if leads(h) && (h.Unit == o.Unit || strings.HasPrefix(o.Unit, h.Unit+".")) {
			return true
		}
	}
	return false
}

// ordering says that a standing order of the seat in State is the actor's.
func ordering(a org.Actor, o org.Object) bool {
	return over(a, o) || slices.ContainsFunc(a.Seats, func(h org.HeldSeat) bool { return h.Seat == o.State })
}

// readable is what the rules need to know of a request.
func readable(r *row, st flow.State) org.Object {
	o := org.Object{Unit: r.Unit, Owner: r.Requester, State: string(r.Status)}
	for _, t := range st.Tasks {
		o.Assignee = append(o.Assignee, personID(t.Elector.Person))
		if t.Elector.For != "" {
			o.Assignee = append(o.Assignee, personID(t.Elector.For))
		}
	}
	return o
}

// canRead judges an actor whose seats are fresh. Who was copied reads like
// those who were asked.
func (s *Service) canRead(a org.Actor, r *row, st flow.State) bool {
	o := readable(r, st)
	for _, p := range st.Copied {
		o.Assignee = append(o.Assignee, personID(p))
	}
	return s.rules.Can(a, "workflow.read", o)
}

// hiddenTo lists the fields that the reader must not see: those hidden from
// the steps at which the reader was asked, unless a seat lets the reader see
// every request anyway.
func (s *Service) hiddenTo(a org.Actor, d *Definition, r *row, st flow.State) []string {
	if s.rules.Can(a, "workflow.read", org.Object{Unit: r.Unit}) {
		return nil
	}
	return hiddenFrom(d, st, r.Requester, a.Person)
}

// openTasks says who has an open task.
func openTasks(st flow.State) []id.ID {
	var out []id.ID
	for _, t := range st.OpenTasks() {
		out = append(out, personID(t.Elector.Person))
	}
	return out
}
