package graph

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"kelian/auth"
	"kelian/desk/repair"
	"kelian/desk/training"
	"kelian/graph/model"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/workflow"
)

// signIn makes a session. A page of this server gets it as a cookie that no
// script can read, any other client as a token.
func (r *Resolver) signIn(ctx context.Context, in model.SignInInput) (model.SignInPayload, error) {
	c := callOf(ctx)
	if c == nil || c.w == nil {
		return model.SignInPayload{}, fault.Input("", "登录请用 POST", "sign in by POST").At()
	}
	if c.page && !r.Cookie.Usable() {
		return model.SignInPayload{}, fault.Deny("auth.http", "通过 https 打开的页面", "pages that are opened by https")
	}
	device := auth.Device{Own: or(in.OwnDevice), Label: c.r.UserAgent()}
	if c.cookie {
		device.Previous = c.who.Load().token
	}
	token, actor, err := r.Auth.SignIn(ctx, in.Login, in.Password, device, httpd.ClientIP(ctx), langOf(ctx))
	retryAfter(c.w, err)
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.SignInPayload{UserErrors: refused}, err
	}
	_, info, err := r.Auth.Resolve(ctx, token)
	if err != nil {
		return model.SignInPayload{}, err
	}
	actor.Lang, actor.Address = langOf(ctx), addressOf(ctx)
	c.who.Store(&identity{Actor: actor, info: info, token: token})
	r.renew(ctx)
	out := model.SignInPayload{Viewer: r.viewer(ctx)}
	if !c.page {
		out.Token = &token
		return out, nil
	}
	r.setCookie(c.w, token, device.Own)
	return out, nil
}

// setCookie gives a browser its session; on a device that is not one's own it
// ends with the browser.
func (r *Resolver) setCookie(w http.ResponseWriter, token string, own bool) {
	age := auth.OwnSession
	if !own {
		age = 0
	}
	r.Cookie.Set(w, token, age)
}

// retryAfter tells a program when to try again.
func retryAfter(w http.ResponseWriter, err error) {
	var e *fault.Error
	if errors.As(err, &e) && e.Code == fault.RateLimited {
		if d, ok := e.Detail.(auth.Retry); ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(d.After.Seconds())+1))
		}
	}
}

// signOut ends the session in use; an API token is no session and stays.
func (r *Resolver) signOut(ctx context.Context, everywhere bool) (bool, error) {
	who, c := whoOf(ctx), callOf(ctx)
	switch {
	case everywhere:
		if _, err := r.Auth.SignOutEverywhere(ctx, who.Actor); err != nil {
			return false, err
		}
	case who.token == "":
		return false, nil
	default:
		if err := r.Auth.SignOut(ctx, who.token); err != nil {
			return false, err
		}
	}
	if c.cookie && c.w != nil {
		r.Cookie.Drop(c.w)
	}
	return true, nil
}

// submitRepair takes a report from anybody.
func (r *Resolver) submitRepair(ctx context.Context, in model.SubmitRepairInput) (model.SubmitRepairPayload, error) {
	who := actorOf(ctx)
	if l := or(in.Language); l == "zh" || l == "en" {
		who.Lang = l
	} else if l != "" {
		_, err := r.refusals(ctx, fault.Input("language", "语言是 zh 或 en", "the language is zh or en"))
		return model.SubmitRepairPayload{}, err
	}
	receipt, err := r.Repair.Submit(ctx, who, repair.SubmitInput{Kind: repair.Kind(in.Kind), Building: in.Building, Room: or(in.Room), Text: in.Text,
		Name: in.Name, Number: or(in.Number), College: or(in.College), Contact: repair.Contact{Kind: contactKinds[in.Contact.Kind], Value: in.Contact.Value},
		Device: or(in.Device), Consent: in.Consent, Door: "graphql", IdempotencyKey: in.IdempotencyKey})
	refused, err := r.refusals(ctx, err)
	if err != nil || refused != nil {
		return model.SubmitRepairPayload{UserErrors: refused}, err
	}
	ticket, err := r.byLink(ctx, receipt.Token)
	return model.SubmitRepairPayload{Link: some("/t/" + receipt.Token), Ticket: ticket}, err
}

// publish makes a definition the one that new requests are pinned to.
func (r *Resolver) publish(ctx context.Context, in model.PublishWorkflowInput) (model.PublishWorkflowPayload, error) {
	out, err := r.Workflow.Publish(ctx, actorOf(ctx), workflow.PublishInput{Source: in.Yaml, Understaffed: or(in.Understaffed), IdempotencyKey: in.IdempotencyKey})
	refused, err := r.refusals(ctx, err, "source", "yaml")
	if err != nil || refused != nil {
		return model.PublishWorkflowPayload{UserErrors: refused}, err
	}
	list, err := r.Workflow.Definitions(ctx, actorOf(ctx))
	for _, l := range list {
		if l.Version == out.Version {
			w := workflowOf(l)
			return model.PublishWorkflowPayload{Workflow: &w}, err
		}
	}
	return model.PublishWorkflowPayload{}, err
}

func (r *Resolver) actOnTraining(ctx context.Context, in model.ActOnTrainingTaskInput) (id.ID, error) {
	task, err := parse("trt", in.Task, "task")
	if err != nil {
		return task, err
	}
	act := training.ActInput{Task: task, Action: trainingActions[in.Action], Yes: or(in.Yes), IdempotencyKey: in.IdempotencyKey}
	if in.Person != nil {
		if act.Person, err = parse("per", *in.Person, "person"); err != nil {
			return task, err
		}
	}
	_, err = r.Training.Act(ctx, actorOf(ctx), act)
	return task, err
}

// tasks lists a request's tasks in the order in which they were opened.
func (r *Resolver) tasks(ctx context.Context, v workflow.View) []model.Task {
	var out []model.Task
	for _, s := range v.Steps {
		for _, t := range s.Tasks {
			out = append(out, r.task(ctx, v.ID, s, t))
		}
	}
	slices.SortStableFunc(out, func(a, b model.Task) int { return a.OpenedAt.Compare(b.OpenedAt) })
	return out
}

func (r *Resolver) decisions(ctx context.Context, v workflow.View) []model.Decision {
	var out []model.Decision
	for _, s := range v.Steps {
		for _, t := range s.Tasks {
			if t.Decision != nil {
				out = append(out, r.decision(ctx, t.Step, t.Decision))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b model.Decision) int { return a.At.Compare(b.At) })
	return out
}

// orMissing is the error of a field whose object cannot be seen.
func orMissing(err error) error {
	if err == nil {
		return fault.Missing()
	}
	return err
}
