package app

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"

	"kelian/desk/repair"
	"kelian/file"
	"kelian/internal/config"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/web"
	"kelian/workflow"
)

// blobDir is where the bytes of files stand.
func blobDir(c config.Config) string { return filepath.Join(c.DataDir, "files") }

func (a *App) bindFiles() {
	a.File = file.New(a.DB, a.Clock, a.Rules, file.Options{Dir: blobDir(a.Config), Link: a.ticketOf,
		Parents: map[string]file.Parent{workflow.RefRequest: requestFiles{a}, "tkt": ticketFiles{a}}})
}

// requestFiles are those that the form of a request names.
type requestFiles struct{ a *App }

func (r requestFiles) MayRead(ctx context.Context, actor org.Actor, requests []id.ID) (func(request, f id.ID) file.Access, error) {
	attached, err := r.a.Workflow.Attached(ctx, actor, requests...)
	return func(request, f id.ID) file.Access {
		personal, ok := attached[request][f]
		switch {
		case !ok:
			return file.Hidden
		case personal:
			return file.Recorded
		}
		return file.Readable
	}, err
}

// ticketFiles are the photos that reporters sent.
type ticketFiles struct{ a *App }

func (t ticketFiles) MayRead(ctx context.Context, actor org.Actor, tickets []id.ID) (func(ticket, f id.ID) file.Access, error) {
	list, err := t.a.Repair.Many(ctx, actor, tickets...)
	return func(ticket, _ id.ID) file.Access {
		if v, ok := list[ticket]; ok && !v.Erased {
			return file.Readable
		}
		return file.Hidden
	}, err
}

// ticketOf is the ticket that a reporter's link opens; its photos go with what
// the reporter wrote.
func (a *App) ticketOf(ctx context.Context, token string) (file.Link, error) {
	v, err := a.Repair.ByLink(ctx, token)
	return file.Link{Object: outbox.Ref{Kind: "tkt", ID: v.ID}, PersonalField: repair.FieldText,
		Closed: v.State == repair.Closed || v.State == repair.Cancelled}, err
}

// attachments lets a request take the files that its form names.
type attachments struct{ a *App }

func (x attachments) AskAttach(r *store.Reads, owner, request id.ID, list []workflow.Attachment) func(*store.Tx) []id.ID {
	files := make([]file.Attachment, len(list))
	for i, l := range list {
		files[i] = file.Attachment(l)
	}
	return x.a.File.AskBind(r, owner, outbox.Ref{Kind: workflow.RefRequest, ID: request}, files)
}

// fileDoor is /files and the photos below a reporter's link.
func (a *App) fileDoor(pages *web.Site) *file.Door {
	return &file.Door{Files: a.File, Identify: a.identify, Decider: a.decider, Log: a.Log,
		Refuse: func(w http.ResponseWriter, r *http.Request, status int, e *fault.Error) {
			if status == 0 {
				status = httpd.Status(e)
			}
			httpd.Refuse(w, r, status, e, pages.ErrorPage)
		},
		Stream: func(w http.ResponseWriter, r *http.Request) func() { return httpd.NewStream(w, r).Done },
	}
}

// decider is the person to whom a decision's link was sent, while it shows the
// request.
func (a *App) decider(ctx context.Context, token string) (org.Actor, error) {
	l, err := a.Workflow.Link(ctx, token)
	if err == nil && l.View == nil {
		err = fault.Missing()
	}
	return org.Actor{Person: l.Person, Lang: httpd.Lang(ctx)}, err
}

// identify finds out who sends a request: by an API token, a session as a
// bearer, or the session's cookie. A browser whose session has ended is a
// stranger.
func (a *App) identify(_ http.ResponseWriter, r *http.Request) (org.Actor, error) {
	ctx := r.Context()
	address := ""
	if ip := httpd.ClientIP(ctx); ip.IsValid() {
		address = ip.String()
	}
	actor, err := a.byCredential(r)
	if err != nil {
		return org.Actor{}, err
	}
	if actor.Anonymous() {
		return org.Stranger(httpd.Lang(ctx), address), nil
	}
	httpd.Vouch(ctx)
	actor.Lang, actor.Address = httpd.Lang(ctx), address
	return actor, nil
}

func (a *App) byCredential(r *http.Request) (org.Actor, error) {
	if v := r.Header.Get("Authorization"); v != "" {
		token, ok := strings.CutPrefix(v, "Bearer ")
		if !ok {
			return org.Actor{}, fault.SignIn()
		}
		resolve := a.Auth.Resolve
		if strings.HasPrefix(token, "kel_") {
			resolve = a.Auth.ResolveBearer
		}
		actor, _, err := resolve(r.Context(), token)
		return actor, err
	}
	token := httpd.Cookie{Secure: a.Config.Secure(), AllowHTTP: a.Config.AllowHTTP}.Token(r)
	if token == "" {
		return org.Actor{}, nil
	}
	actor, _, err := a.Auth.Resolve(r.Context(), token)
	if fault.Is(err, fault.Unauthenticated) {
		return org.Actor{}, nil
	}
	return actor, err
}
