package graph

import (
	"errors"
	"reflect"
	"time"

	"kelian/graph/compiled"
	"kelian/graph/generated"
	"kelian/graph/model"
	"kelian/graph/scalar"

	"github.com/vektah/gqlparser/v2/ast"
)

// The types below the fields that are @compiled, see schema/sheet.graphqls.
var (
	textTable = compiled.For("Text", compiled.Fields[model.Text]{
		"zh": compiled.String(func(x *model.Text) string { return x.Zh }),
		"en": compiled.String(func(x *model.Text) string { return x.En }),
	})
	pageInfoTable = compiled.For("PageInfo", compiled.Fields[model.PageInfo]{
		"hasNextPage": compiled.Bool(func(x *model.PageInfo) bool { return x.HasNextPage }),
		"endCursor":   compiled.Maybe(compiled.AppendString, func(x *model.PageInfo) *string { return x.EndCursor }),
	})
	namedTable = compiled.For("Named", compiled.Fields[model.Named]{
		"id":   compiled.String(func(x *model.Named) string { return x.ID }),
		"name": compiled.String(func(x *model.Named) string { return x.Name }),
	})
	decisionSheetTable = compiled.For("DecisionSheet", compiled.Fields[model.DecisionSheet]{
		"id":      compiled.String(func(x *model.DecisionSheet) string { return x.ID }),
		"verdict": compiled.String(func(x *model.DecisionSheet) model.Verdict { return x.Verdict }),
		"by":      compiled.One(namedTable, func(x *model.DecisionSheet) *model.Named { return &x.By }),
		"comment": compiled.String(func(x *model.DecisionSheet) string { return x.Comment }),
		"at":      compiled.Value(scalar.AppendTime, func(x *model.DecisionSheet) time.Time { return x.At }),
		"formRev": compiled.Int(func(x *model.DecisionSheet) int { return x.FormRev }),
		"lapsed":  compiled.Bool(func(x *model.DecisionSheet) bool { return x.Lapsed }),
	})
	assigneeTable = compiled.For("Assignee", compiled.Fields[model.Assignee]{
		"id":       compiled.String(func(x *model.Assignee) string { return x.ID }),
		"state":    compiled.String(func(x *model.Assignee) model.TaskState { return x.State }),
		"seat":     compiled.String(func(x *model.Assignee) string { return x.Seat }),
		"person":   compiled.One(namedTable, func(x *model.Assignee) *model.Named { return &x.Person }),
		"openedAt": compiled.Value(scalar.AppendTime, func(x *model.Assignee) time.Time { return x.OpenedAt }),
		"dueAt":    compiled.Maybe(scalar.AppendTime, func(x *model.Assignee) *time.Time { return x.DueAt }),
		"decision": compiled.One(decisionSheetTable, func(x *model.Assignee) *model.DecisionSheet { return x.Decision }),
	})
	stepSheetTable = compiled.For("StepSheet", compiled.Fields[model.StepSheet]{
		"name":      compiled.String(func(x *model.StepSheet) string { return x.Name }),
		"title":     compiled.One(textTable, func(x *model.StepSheet) *model.Text { return &x.Title }),
		"state":     compiled.String(func(x *model.StepSheet) model.StepState { return x.State }),
		"round":     compiled.Int(func(x *model.StepSheet) int { return x.Round }),
		"openedAt":  compiled.Value(scalar.AppendTime, func(x *model.StepSheet) time.Time { return x.OpenedAt }),
		"settledAt": compiled.Maybe(scalar.AppendTime, func(x *model.StepSheet) *time.Time { return x.SettledAt }),
		"dueAt":     compiled.Maybe(scalar.AppendTime, func(x *model.StepSheet) *time.Time { return x.DueAt }),
		"overdue":   compiled.Bool(func(x *model.StepSheet) bool { return x.Overdue }),
		"assignees": compiled.Many(assigneeTable, func(x *model.StepSheet) []model.Assignee { return x.Assignees }),
	})
	requestSheetTable = compiled.For("RequestSheet", compiled.Fields[model.RequestSheet]{
		"id":        compiled.String(func(x *model.RequestSheet) string { return x.ID }),
		"number":    compiled.String(func(x *model.RequestSheet) string { return x.Number }),
		"workflow":  compiled.String(func(x *model.RequestSheet) string { return x.Workflow }),
		"title":     compiled.One(textTable, func(x *model.RequestSheet) *model.Text { return &x.Title }),
		"status":    compiled.String(func(x *model.RequestSheet) model.RequestStatus { return x.Status }),
		"unit":      compiled.String(func(x *model.RequestSheet) string { return x.Unit }),
		"requester": compiled.One(namedTable, func(x *model.RequestSheet) *model.Named { return &x.Requester }),
		"urgent":    compiled.Bool(func(x *model.RequestSheet) bool { return x.Urgent }),
		"formRev":   compiled.Int(func(x *model.RequestSheet) int { return x.FormRev }),
		"createdAt": compiled.Value(scalar.AppendTime, func(x *model.RequestSheet) time.Time { return x.CreatedAt }),
		"closedAt":  compiled.Maybe(scalar.AppendTime, func(x *model.RequestSheet) *time.Time { return x.ClosedAt }),
		"steps":     compiled.Many(stepSheetTable, func(x *model.RequestSheet) []model.StepSheet { return x.Steps }),
	})
	inboxRequestTable = compiled.For("InboxRequest", compiled.Fields[model.InboxRequest]{
		"id":        compiled.String(func(x *model.InboxRequest) string { return x.ID }),
		"number":    compiled.String(func(x *model.InboxRequest) string { return x.Number }),
		"workflow":  compiled.String(func(x *model.InboxRequest) string { return x.Workflow }),
		"title":     compiled.One(textTable, func(x *model.InboxRequest) *model.Text { return &x.Title }),
		"unit":      compiled.String(func(x *model.InboxRequest) string { return x.Unit }),
		"requester": compiled.One(namedTable, func(x *model.InboxRequest) *model.Named { return &x.Requester }),
		"urgent":    compiled.Bool(func(x *model.InboxRequest) bool { return x.Urgent }),
		"formRev":   compiled.Int(func(x *model.InboxRequest) int { return x.FormRev }),
	})
	inboxRowTable = compiled.For("InboxRow", compiled.Fields[model.InboxRow]{
		"id":       compiled.String(func(x *model.InboxRow) string { return x.ID }),
		"cursor":   compiled.String(func(x *model.InboxRow) string { return x.Cursor }),
		"step":     compiled.String(func(x *model.InboxRow) string { return x.Step }),
		"title":    compiled.One(textTable, func(x *model.InboxRow) *model.Text { return &x.Title }),
		"seat":     compiled.String(func(x *model.InboxRow) string { return x.Seat }),
		"openedAt": compiled.Value(scalar.AppendTime, func(x *model.InboxRow) time.Time { return x.OpenedAt }),
		"dueAt":    compiled.Maybe(scalar.AppendTime, func(x *model.InboxRow) *time.Time { return x.DueAt }),
		"request":  compiled.One(inboxRequestTable, func(x *model.InboxRow) *model.InboxRequest { return &x.Request }),
	})
	inboxSheetTable = compiled.For("InboxSheet", compiled.Fields[model.InboxSheet]{
		"rows":     compiled.Many(inboxRowTable, func(x *model.InboxSheet) []model.InboxRow { return x.Rows }),
		"pageInfo": compiled.One(pageInfoTable, func(x *model.InboxSheet) *model.PageInfo { return &x.PageInfo }),
	})
	hostLineTable = compiled.For("HostLine", compiled.Fields[model.HostLine]{
		"id":         compiled.String(func(x *model.HostLine) string { return x.ID }),
		"name":       compiled.One(textTable, func(x *model.HostLine) *model.Text { return &x.Name }),
		"address":    compiled.Maybe(compiled.AppendString, func(x *model.HostLine) *string { return x.Address }),
		"buildings":  compiled.List(compiled.AppendString, func(x *model.HostLine) []string { return x.Buildings }),
		"state":      compiled.String(func(x *model.HostLine) model.HostState { return x.State }),
		"overlays":   compiled.List(compiled.AppendString, func(x *model.HostLine) []model.HostOverlay { return x.Overlays }),
		"stateSince": compiled.Value(scalar.AppendTime, func(x *model.HostLine) time.Time { return x.StateSince }),
	})
	incidentHostTable = compiled.For("IncidentHost", compiled.Fields[model.IncidentHost]{
		"name": compiled.One(textTable, func(x *model.IncidentHost) *model.Text { return &x.Name }),
		"host": compiled.One(hostLineTable, func(x *model.IncidentHost) *model.HostLine { return x.Host }),
	})
	incidentRowTable = compiled.For("IncidentRow", compiled.Fields[model.IncidentRow]{
		"id":         compiled.String(func(x *model.IncidentRow) string { return x.ID }),
		"cursor":     compiled.String(func(x *model.IncidentRow) string { return x.Cursor }),
		"number":     compiled.String(func(x *model.IncidentRow) string { return x.Number }),
		"title":      compiled.One(textTable, func(x *model.IncidentRow) *model.Text { return &x.Title }),
		"open":       compiled.Bool(func(x *model.IncidentRow) bool { return x.Open }),
		"openedAt":   compiled.Value(scalar.AppendTime, func(x *model.IncidentRow) time.Time { return x.OpenedAt }),
		"closedAt":   compiled.Maybe(scalar.AppendTime, func(x *model.IncidentRow) *time.Time { return x.ClosedAt }),
		"roots":      compiled.Many(incidentHostTable, func(x *model.IncidentRow) []model.IncidentHost { return x.Roots }),
		"suppressed": compiled.Many(incidentHostTable, func(x *model.IncidentRow) []model.IncidentHost { return x.Suppressed }),
		"buildings":  compiled.List(compiled.AppendString, func(x *model.IncidentRow) []string { return x.Buildings }),
		"reason":     compiled.One(textTable, func(x *model.IncidentRow) *model.Text { return &x.Reason }),
	})
	incidentSheetTable = compiled.For("IncidentSheet", compiled.Fields[model.IncidentSheet]{
		"rows":     compiled.Many(incidentRowTable, func(x *model.IncidentSheet) []model.IncidentRow { return x.Rows }),
		"pageInfo": compiled.One(pageInfoTable, func(x *model.IncidentSheet) *model.PageInfo { return &x.PageInfo }),
	})
)

// compiler writes the answers of the fields that are @compiled. It refuses a
// schema in which something below such a field would have to be resolved.
func compiler(s *ast.Schema) (*compiled.Compiler, error) {
	c := compiled.New(s, requestSheetTable, inboxSheetTable, incidentSheetTable)
	if err := c.Check(reflect.TypeFor[generated.ResolverRoot]()); err != nil {
		return nil, errors.Join(errors.New("graph: the schema asks for more than compiled answers can give"), err)
	}
	return c, nil
}
