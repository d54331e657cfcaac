// Package guard stands between the network and the GraphQL resolvers: strict
// envelopes, limits that hold before anything is executed, one shape for every
// error, and the three transports (POST, server-sent events, WebSocket). It
// knows no type of the schema.
package guard

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"

	"kelian/graph/internal/bounded"
	"kelian/internal/fault"
	"kelian/internal/httpd"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Operation is what a Gate judges.
type Operation struct {
	Kind   ast.Operation // query, mutation, subscription
	Name   string        // as the client calls it; may be empty
	Fields []string      // root fields by their schema names, each once, __typename included
}

// Options of a Handler. Every function may be nil; the comment says what then.
type Options struct {
	Limits Limits
	Log    *slog.Logger
	// Lang is the language of error messages, "zh" or "en". nil: httpd.Lang.
	Lang func(context.Context) string
	// Account names the account behind the context, "" for nobody. Streams
	// are for accounts only and counted by it. nil: everybody is nobody.
	Account func(context.Context) string
	// Gate judges an operation before its input is looked at: fault.SignIn()
	// becomes 401. nil: everything passes.
	Gate func(context.Context, Operation) error
	// Introspection says who may ask for __schema and __type. nil: nobody.
	Introspection func(context.Context) error
	// Authenticate reads the Authorization value of a WebSocket's
	// connection_init ("Bearer …") and returns the context of its account, a
	// child of the one it is given.
	// It is not called when the client sends none. nil: such values are refused.
	Authenticate func(ctx context.Context, authorization string) (context.Context, error)
	// Reauthorize looks again, every Limits.Reauthorize, whether the stream's
	// account may still read. UNAUTHENTICATED and FORBIDDEN end the stream;
	// other errors mean that it could not be seen and are logged. nil: never.
	Reauthorize func(context.Context) error
	// Reading adds what a query that changes nothing, in a request of its own,
	// may keep for as long as it runs. nil: nothing.
	Reading func(context.Context) context.Context
	// Prepare adds what lives for one operation, or for one event of a
	// subscription: loaders. nil: nothing.
	Prepare func(context.Context) context.Context
	// Once are mutations that may stand in an operation at most once, so that
	// aliases cannot multiply guesses: signIn and its like.
	Once []string
	// Origins is the rule on web pages that may open streams. nil: own pages.
	Origins *httpd.Origins
	// CampusNets have Limits.StreamsPerCampus. nil: httpd.DefaultCampusNets.
	CampusNets []netip.Prefix
	// Extensions run after the guard's own.
	Extensions []graphql.HandlerExtension
}

func (o Options) defaults() Options {
	o.Limits = o.Limits.defaults()
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Lang == nil {
		o.Lang = httpd.Lang
	}
	if o.Account == nil {
		o.Account = func(context.Context) string { return "" }
	}
	if o.Gate == nil {
		o.Gate = func(context.Context, Operation) error { return nil }
	}
	if o.Introspection == nil {
		o.Introspection = func(context.Context) error {
			return fault.Deny("graphql.introspect", "请读 /graphql/schema.graphql", "read /graphql/schema.graphql")
		}
	}
	if o.Authenticate == nil {
		o.Authenticate = func(context.Context, string) (context.Context, error) { return nil, fault.SignIn() }
	}
	if o.Prepare == nil {
		o.Prepare = func(ctx context.Context) context.Context { return ctx }
	}
	if o.CampusNets == nil {
		o.CampusNets = httpd.DefaultCampusNets()
	}
	return o
}

// Handler serves GraphQL on one path.
type Handler struct {
	opt     Options
	es      graphql.ExecutableSchema
	exec    *executor.Executor
	queries queries
	streams *streams
}

// cachedQueries and cachedText bound the cache of parsed queries; a parsed
// query takes up to a hundred times its text.
const (
	cachedQueries = 1000
	cachedText    = 1 << 20
)

// protocol names the codes that refuse an operation before it runs; gqlgen
// asks for them to be known.
var _ = func() bool {
	for _, c := range []fault.Code{QueryTooLarge, DepthLimit, ComplexityLimit, fault.Unauthenticated, fault.Forbidden, fault.BadUserInput, fault.RateLimited, fault.Unavailable} {
		errcode.RegisterErrorType(string(c), errcode.KindProtocol)
	}
	return true
}()

// New assembles the handler.
func New(es graphql.ExecutableSchema, opt Options) *Handler {
	h := &Handler{opt: opt.defaults(), es: es, exec: executor.New(es)}
	h.streams = newStreams(&h.opt.Limits, h.opt.CampusNets)
	h.queries = queries{bounded.New[string, *ast.QueryDocument](cachedQueries, cachedText)}
	h.exec.SetQueryCache(h.queries)
	h.exec.SetParserTokenLimit(h.opt.Limits.Tokens)
	h.exec.SetDisableSuggestion(true)
	h.exec.SetDefaultRulesFn(validation)
	h.exec.SetErrorPresenter(h.present)
	h.exec.SetRecoverFunc(h.recovered)
	h.exec.Use(budget{h})
	for _, e := range h.opt.Extensions {
		h.exec.Use(e)
	}
	return h
}

// validation is the full rule set without suggestions.
func validation() *rules.Rules {
	r := rules.NewDefaultRules()
	r.ReplaceRule(rules.ValuesOfCorrectTypeRule.Name, rules.ValuesOfCorrectTypeRuleWithoutSuggestions.RuleFunc)
	r.ReplaceRule(rules.KnownArgumentNamesRule.Name, rules.KnownArgumentNamesRuleWithoutSuggestions.RuleFunc)
	r.ReplaceRule(rules.KnownTypeNamesRule.Name, rules.KnownTypeNamesRuleWithoutSuggestions.RuleFunc)
	return r
}

type queries struct {
	c *bounded.Cache[string, *ast.QueryDocument]
}

func (q queries) Get(_ context.Context, text string) (*ast.QueryDocument, bool) { return q.c.Get(text) }
func (q queries) Add(_ context.Context, text string, doc *ast.QueryDocument) {
	q.c.Put(text, doc, len(text))
}

// ServeHTTP picks the transport. GET executes nothing: it opens a WebSocket
// or is refused.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = r.WithContext(graphql.StartOperationTrace(r.Context()))
	switch {
	case r.Method == http.MethodGet && r.Header.Get("Upgrade") != "":
		h.webSocket(w, r)
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		h.refuse(w, r, &refusal{http.StatusMethodNotAllowed, fault.Input("", "请用 POST", "use POST").At()})
	case accepts(r, "text/event-stream"):
		h.events(w, r)
	default:
		h.post(w, r)
	}
}

// budget is the guard's gqlgen extension.
type budget struct{ h *Handler }

// Cost stands in extensions.cost of answers.
type Cost struct {
	Requested int `json:"requested"`
	Limit     int `json:"limit"`
}

const costKey = "kelian.cost"

// ExtensionName implements graphql.HandlerExtension.
func (budget) ExtensionName() string { return "Budget" }

// Validate implements graphql.HandlerExtension.
func (budget) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationContext refuses an operation before it runs: the gate first,
// so that a stranger learns nothing about the input of what he may not do,
// then introspection, then the limits.
func (b budget) MutateOperationContext(ctx context.Context, op *graphql.OperationContext) *gqlerror.Error {
	h := b.h
	if err := h.gate(ctx, op); err != nil {
		return wrap(err)
	}
	w := walk{ctx: ctx, l: &h.opt.Limits, es: h.es, schema: h.es.Schema(), op: op, once: h.opt.Once, seen: map[string]int{}}
	cost, err := w.operation()
	if err != nil {
		return wrap(err)
	}
	op.Stats.SetExtension(costKey, Cost{cost, h.opt.Limits.Cost})
	if cost > h.opt.Limits.Cost {
		return wrap(&fault.Error{Code: ComplexityLimit, Zh: "查询太大，请少取一些字段或把页缩小", En: "the query costs too much; ask for fewer fields or smaller pages"})
	}
	return nil
}

// gate asks the gate and, where the operation asks about the schema, whether
// it may.
func (h *Handler) gate(ctx context.Context, op *graphql.OperationContext) error {
	o := Operation{Kind: op.Operation.Operation, Name: op.Operation.Name, Fields: rootFields(op.Operation.SelectionSet)}
	if err := h.opt.Gate(ctx, o); err != nil {
		return err
	}
	for _, f := range o.Fields {
		if f == "__schema" || f == "__type" {
			if err := h.opt.Introspection(ctx); err != nil {
				return err
			}
			op.DisableIntrospection = false
		}
	}
	return nil
}

// rootFields visits each fragment once.
func rootFields(sel ast.SelectionSet) []string {
	var out []string
	seen := map[any]bool{}
	var visit func(ast.SelectionSet)
	visit = func(sel ast.SelectionSet) {
		for _, s := range sel {
			switch s := s.(type) {
			case *ast.Field:
				if !seen[s.Name] {
					seen[s.Name] = true
					out = append(out, s.Name)
				}
			case *ast.InlineFragment:
				visit(s.SelectionSet)
			case *ast.FragmentSpread:
				if s.Definition != nil && !seen[s.Definition] {
					seen[s.Definition] = true
					visit(s.Definition.SelectionSet)
				}
			}
		}
	}
	visit(sel)
	return out
}

// wrap carries a refusal through gqlgen; present finds it again.
func wrap(err error) *gqlerror.Error {
	code := fault.Internal
	if e, ok := fault.As(err); ok {
		code = e.Code
	}
	return &gqlerror.Error{Err: err, Message: "refused", Extensions: map[string]any{"code": string(code)}}
}

// InterceptResponse reports the cost and bounds the errors.
func (b budget) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	op := graphql.GetOperationContext(ctx)
	if op.Operation != nil && op.Operation.Operation != ast.Subscription {
		if cost, ok := op.Stats.GetExtension(costKey).(Cost); ok {
			graphql.RegisterExtension(ctx, "cost", cost)
		}
	}
	resp := next(ctx)
	if resp != nil {
		resp.Errors = b.h.trim(resp.Errors)
	}
	return resp
}
