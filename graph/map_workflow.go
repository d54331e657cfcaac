package graph

import (
	"context"
	"strings"

	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// request makes a request of what lists tell; the rest is read when asked for.
func (r *Resolver) request(ctx context.Context, s workflow.Summary, requester string) model.Request {
	r.load(ctx).views.Want(s.ID)
	r.load(ctx).files.Want(s.ID)
	return model.Request{ID: s.ID.TypeID("req"), Number: s.Number, Workflow: s.Definition, Title: requestTitle(s), Status: model.RequestStatus(s.Status),
		Unit: s.Unit, Requester: r.personOrNil(ctx, s.Requester, requester), FormRev: s.FormRev, CreatedAt: s.OpenedAt, ClosedAt: when(s.ClosedAt), Key: s.ID,
		Amends: ref("req", s.Amends), CloseOutDueAt: when(s.CloseOutDue), ClosedOutAt: when(s.ClosedOutAt)}
}

// requestTitle is the requester's own title where there is one.
func requestTitle(s workflow.Summary) model.Text {
	if s.Title == s.Kind.Zh {
		return text(s.Kind.Zh, s.Kind.En)
	}
	return text(s.Title, s.Title)
}

// view is the whole request, read together with the others of this answer.
func (r *Resolver) view(ctx context.Context, request id.ID) (workflow.View, error) {
	v, ok, err := r.load(ctx).views.Get(ctx, request)
	if err == nil && !ok {
		err = fault.Missing()
	}
	return v, err
}

// requestByID is the answer of a mutation; null when the caller may not see it.
func (r *Resolver) requestByID(ctx context.Context, request id.ID) (*model.Request, error) {
	s, ok, err := r.load(ctx).summaries.Get(ctx, request)
	if err != nil || !ok {
		return nil, gone(err)
	}
	out := r.request(ctx, s, "")
	return &out, nil
}

func (r *Resolver) requestPayload(ctx context.Context, out workflow.Outcome, err error, names ...string) (model.RequestPayload, error) {
	refused, err := r.refusals(ctx, err, names...)
	if err != nil || refused != nil {
		return model.RequestPayload{UserErrors: refused}, err
	}
	q, err := r.requestByID(ctx, out.Request)
	return model.RequestPayload{Request: q}, err
}

func (r *Resolver) inboxTask(ctx context.Context, x workflow.InboxItem) model.Task {
	r.load(ctx).summaries.Want(x.Request)
	r.load(ctx).views.Want(x.Request)
	return model.Task{ID: x.Task.TypeID("tsk"), Step: x.Step, Title: text(x.StepTitle.Zh, x.StepTitle.En), State: model.TaskStateOpen, Seat: x.Seat,
		Person: r.person(ctx, actorOf(ctx).Person, ""), OpenedAt: x.OpenedAt, DueAt: when(x.DueAt), MaxScore: positive(x.Points), RequestKey: x.Request}
}

func (r *Resolver) task(ctx context.Context, request id.ID, s workflow.StepView, t workflow.TaskView) model.Task {
	r.load(ctx).summaries.Want(request)
	return model.Task{ID: t.ID.TypeID("tsk"), Step: t.Step, Title: text(s.Title.Zh, s.Title.En), State: model.TaskState(strings.ToUpper(string(t.State))),
		Seat: t.Who.Seat, Person: r.person(ctx, t.Who.Person, t.Who.Name), OpenedAt: t.OpenedAt, DueAt: when(t.DueAt), MaxScore: positive(t.Points), RequestKey: request}
}

// positive is nil for 0.
func positive(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

func stepOf(s workflow.StepView) model.Step {
	return model.Step{Name: s.Name, Title: text(s.Title.Zh, s.Title.En), State: model.StepState(strings.ToUpper(string(s.Status))), Round: s.Round,
		OpenedAt: s.OpenedAt, SettledAt: when(s.SettledAt), DueAt: when(s.DueAt), DueRule: ruleOrNil(s.DueRule), Overdue: s.Overdue}
}

func (r *Resolver) decision(ctx context.Context, step string, d *workflow.DecisionView) model.Decision {
	out := model.Decision{ID: d.ID.TypeID("dec"), Step: step, By: r.personOrNil(ctx, d.By.Person, d.By.Name), Seat: d.By.Seat,
		Verdict: model.Verdict(strings.ToUpper(string(d.Verdict))), Comment: d.Comment, At: d.At, FormRev: d.CastRev, Score: d.Score,
		Lapsed: !d.Live && d.Verdict != flow.Return}
	if d.Carried {
		out.CarriedFrom = &d.CastRev
	}
	return out
}

// waiting says in words why a request waits, and on whom.
func waiting(v workflow.View) *model.Text {
	switch v.Status {
	case flow.Open:
	case flow.Returned:
		t := text("等待 "+v.Requester.Name+" 修改后重新提交", "waits for "+v.Requester.Name+" to change and resubmit it")
		return &t
	default:
		return nil
	}
	var zh, en []string
	for _, s := range v.OpenSteps() {
		var people []string
		for _, t := range s.Tasks {
			if t.State == flow.TaskOpen {
				people = append(people, t.Who.Name)
			}
		}
		zh = append(zh, "“"+s.Title.Zh+"”："+strings.Join(people, "、"))
		en = append(en, s.Title.En+": "+strings.Join(people, ", "))
	}
	t := text("等待"+strings.Join(zh, "；"), "waits for "+strings.Join(en, "; "))
	return &t
}

func workflowOf(l workflow.Listed) model.Workflow {
	return model.Workflow{ID: l.Version.TypeID("wfv"), Key: l.Key, Version: l.N, Title: text(l.Title.Zh, l.Title.En), Form: raw(l.Schema),
		Sha256: l.Hash, PublishedAt: l.PublishedAt, About: text(l.About.Zh, l.About.En), Source: string(l.Definition.Source), CloseOutForm: closeOutForm(l.Definition)}
}

func closeOutForm(d *workflow.Definition) any {
	if d.CloseOut == nil {
		return nil
	}
	return raw(d.CloseOut.Schema)
}

func (r *Resolver) forecast(ctx context.Context, definition, unit string, form map[string]any) (model.Forecast, error) {
	v, err := r.Workflow.Forecast(ctx, actorOf(ctx), definition, unit, form)
	if err != nil {
		return model.Forecast{}, err
	}
	return r.forecastOf(ctx, v), nil
}

func (r *Resolver) forecastOf(ctx context.Context, v workflow.ForecastView) model.Forecast {
	out := model.Forecast{TypicalHours: v.Typical.Hours(), Problems: fieldErrors(langOf(ctx), []string{"form"}, v.Problems), Changes: changes(v.Changes)}
	for _, s := range v.Steps {
		x := model.ForecastStep{Step: s.Step, Title: text(s.Title.Zh, s.Title.En), Stage: s.Stage, Seats: s.Ask, DueAt: when(s.DueAt), DueRule: ruleOrNil(s.DueRule), Short: s.Short,
			Carried:   s.Carried,
			People:    each(s.People, func(w workflow.Who) model.Person { return r.person(ctx, w.Person, w.Name) }),
			Otherwise: each(s.Otherwise, func(w workflow.Who) model.Person { return r.person(ctx, w.Person, w.Name) })}
		if s.Typical.Took > 0 {
			h := s.Typical.Took.Hours()
			x.TypicalHours = &h
		}
		out.Steps = append(out.Steps, x)
	}
	return out
}

func (r *Resolver) reportOnRequest(ctx context.Context, v workflow.View) *model.CloseOutReport {
	if v.Report == nil {
		return nil
	}
	return &model.CloseOutReport{By: r.personOrNil(ctx, v.Report.By.Person, v.Report.By.Name), At: v.Report.At, Form: raw(v.Report.Form), Comment: v.Report.Comment,
		Fields: each(v.Report.Fields, func(f workflow.PrintField) model.ReportField {
			return model.ReportField{Pointer: f.Pointer, Title: text(f.Title.Zh, f.Title.En), Value: raw(f.Value)}
		})}
}

// under is the caller acting under the named seat.
func under(ctx context.Context, seat *string) org.Actor {
	a := actorOf(ctx)
	a.Acting = or(seat)
	return a
}

var sendBackModes = map[model.SendBackMode]flow.Mode{model.SendBackModeRedo: flow.Redo, model.SendBackModeReturnToMe: flow.ReturnToMe}
