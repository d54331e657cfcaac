package app

import (
	"context"
	"strconv"
	"strings"

	"kelian/auth"
	"kelian/desk/repair"
	"kelian/desk/request"
	"kelian/desk/tell"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/notify"
	"kelian/org"
	"kelian/workflow"

	"github.com/uptrace/bun"
)

// The bridges bind what one domain asks to another that has it. None of them
// holds a rule.

// put lets a desk tell people.
func put(tx *store.Tx, m tell.Message) { notify.Put(tx, notify.Message(m)) }

// teller lets the repair desk tell people and reporters.
type teller struct{}

func (teller) Tell(tx *store.Tx, m repair.Message) {
	n := notify.Message{Topic: m.Topic, To: m.Person, Subject: m.Ticket, Ref: m.Ref, Params: m.Params, Lang: m.Lang, At: m.At, Unit: "technical"}
	if !m.Ticket.IsZero() {
		n.Path = ticketLink(m.Ticket)
	}
	notify.Put(tx, n)
}

// Links of strangers are stored as what they are made of and become links when
// a message is rendered (resolve): no secret stands in the database.
const unresolved = "/link/"

func ticketLink(ticket id.ID) string { return unresolved + ticket.TypeID("tkt") }

func taskLink(task id.ID, rev int) string {
	return unresolved + task.TypeID("tsk") + "/" + strconv.Itoa(rev)
}

func accountLink(link id.ID) string { return unresolved + link.TypeID("lnk") }

// secret is the code of a decision by link, made anew from the server's key.
func (a *App) secret(n *notify.Notification) string {
	if n.Topic != "workflow.code" {
		return ""
	}
	_, code, _, err := a.Workflow.CodeFor(context.Background(), a.DB.R, n.RefID)
	if err != nil {
		a.Log.Warn("a code could not be made", "error", err)
	}
	return code
}

func (a *App) resolve(path string) string {
	name, ok := strings.CutPrefix(path, unresolved)
	if !ok {
		return path
	}
	name, rev, _ := strings.Cut(name, "/")
	kind, key, err := id.Split(name)
	n, _ := strconv.Atoi(rev)
	switch {
	case err != nil:
		return path
	case kind == "tkt":
		return "/t/" + a.Repair.LinkToken(key)
	case kind == "lnk":
		return "/setup/" + auth.LinkToken(a.DB.Key(), key)
	}
	return "/d/" + a.Workflow.LinkToken(key, n)
}

// incidents answers the repair desk from netmon.
type incidents struct{ a *App }

func (i incidents) Incident(ctx context.Context, q bun.IDB, incident id.ID) (repair.IncidentInfo, error) {
	info, err := i.a.Netmon.IncidentInfo(ctx, q, incident)
	return repair.IncidentInfo(info), err
}

// purchases lets the repair desk ask for a part, in the ticket's transaction.
type purchases struct{ a *App }

func (p purchases) AskRequest(ctx context.Context, r *store.Reads, actor org.Actor) (func(context.Context, *store.Tx, repair.Part) (outbox.Ref, error), error) {
	submit, err := p.a.Workflow.AskSubmit(ctx, r, actor, partDefinition)
	return func(ctx context.Context, tx *store.Tx, part repair.Part) (outbox.Ref, error) {
		out, err := submit(ctx, tx, workflow.SubmitInput{Definition: partDefinition, Unit: partUnit, Form: PartForm(part.Text, part.Amount, part.Number)})
		return outbox.Ref{Kind: "req", ID: out.Request}, err
	}, err
}

// A part for a repair is asked for under this definition, for this unit.
const (
	partDefinition = "office.property"
	partUnit       = "technical"
)

// PartForm is the purchase form for one part, for a repair and for the preview
// of whom it will ask. amount is in fen.
func PartForm(text string, amount int64, ticket string) map[string]any {
	name := text
	if r := []rune(name); len(r) > 80 {
		name = string(r[:80])
	}
	return map[string]any{"action": "buy", "items": []any{map[string]any{"name": strings.TrimSpace(name), "qty": 1}},
		"prices": []any{amount}, "total": amount, "quote": text, "ticket": ticket}
}

// requests lets the desks read what was approved.
type requests struct{ a *App }

func (r requests) Form(ctx context.Context, q bun.IDB, of id.ID) (map[string]any, request.Meta, error) {
	form, m, err := r.a.Workflow.FormOf(ctx, q, of)
	return form, request.Meta{Number: m.Number, Title: m.Title, Requester: m.Requester, Unit: m.Unit, Definition: m.Definition, Status: string(m.Status), ClosedAt: m.ClosedAt, Amends: m.Amends}, err
}
