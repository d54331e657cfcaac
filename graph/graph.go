// Package graph is the GraphQL door: it finds out who calls, lets through what
// the caller may ask for at all, hands the operation to the services and puts
// their answers and refusals into the shape of the schema. What somebody may do
// or see is the services' to judge.
package graph

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"kelian/auth"
	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/desk/sponsor"
	"kelian/desk/training"
	"kelian/file"
	"kelian/graph/generated"
	"kelian/graph/guard"
	"kelian/internal/clock"
	"kelian/internal/httpd"
	"kelian/internal/outbox"
	"kelian/internal/trace"
	"kelian/netmon"
	"kelian/notify"
	"kelian/org"
	"kelian/webhook"
	"kelian/workflow"

	"github.com/vektah/gqlparser/v2/formatter"
)

// Deps is what the door is made of; every service is needed.
type Deps struct {
	Org      *org.Service
	Auth     *auth.Service
	Workflow *workflow.Service
	Netmon   *netmon.Service
	Repair   *repair.Service
	Property *property.Service
	Sponsor  *sponsor.Service
	Training *training.Service
	Notify   *notify.Service
	File     *file.Service
	Webhook  *webhook.Service
	Tracer   *trace.Tracer
	Feed     *outbox.Feed // whoever makes it runs it
	Clock    clock.Clock

	// PartForm is the purchase form for one part of a repair, as it will be
	// sent: text, fen, the ticket's number.
	PartForm func(text string, amount int64, ticket string) map[string]any

	Log           *slog.Logger   // nil = slog.Default
	Cookie        httpd.Cookie   // the session of browsers
	Origins       *httpd.Origins // pages that may open streams; nil = own pages
	CampusNets    []netip.Prefix // nil = httpd.DefaultCampusNets
	Introspection bool           // strangers may ask for the schema; accounts always may
	Limits        guard.Limits   // zero fields = the shipped ones
}

// once are the mutations whose aliases would multiply guesses or hashes.
var once = []string{"signIn", "confirmPassword", "changePassword", "requestReset", "resetPassword", "claimAccount", "importRoster", "workflowReplay"}

// New makes the handler of /graphql.
func New(d Deps) (http.Handler, error) { return newHandler(d, false) }

// newHandler makes it; plain leaves the compiled fields to gqlgen, for a test
// that compares the two.
func newHandler(d Deps, plain bool) (http.Handler, error) {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	c, err := compiler(generated.NewExecutableSchema(config(nil)).Schema())
	if err != nil {
		return nil, err
	}
	if plain {
		c = c.Plain()
	}
	conf := config(&Resolver{Deps: d, log: d.Log})
	conf.Directives.Compiled = c.Directive
	es := generated.NewExecutableSchema(conf)
	if err := checkAccess(es.Schema()); err != nil {
		return nil, err
	}
	door := &door{d}
	h := guard.New(es, guard.Options{
		Reading: func(ctx context.Context) context.Context { return org.WithSeats(ctx, whoOf(ctx).Actor) },
		Limits:  d.Limits, Log: d.Log, Lang: langOf, Account: accountOf, Gate: gate, Introspection: door.introspection,
		Authenticate: door.bearer, Reauthorize: door.recheck, Prepare: door.prepare, Once: once,
		Origins: d.Origins, CampusNets: d.CampusNets,
	})
	return door.handler(h), nil
}

func config(r *Resolver) generated.Config {
	return generated.Config{Resolvers: r}
}

// SDL is the schema as text.
func SDL() string {
	var b strings.Builder
	es := generated.NewExecutableSchema(config(nil))
	formatter.NewFormatter(&b, formatter.WithIndent("  ")).FormatSchema(es.Schema())
	return b.String()
}
