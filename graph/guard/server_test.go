package guard_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"kelian/graph/guard"
	"kelian/graph/internal/testschema"
	"kelian/internal/fault"
	"kelian/internal/httpd"

	"github.com/99designs/gqlgen/graphql"
)

type accountKey struct{}

func account(ctx context.Context) string {
	a, _ := ctx.Value(accountKey{}).(string)
	return a
}

// public is what the test schema shows to everybody.
var public = map[string]bool{"version": true, "echo": true, "signIn": true, "__typename": true}

// world is a server as it will be assembled: the chain of httpd, an
// authenticating middleware, the guard, the schema.
type world struct {
	*httptest.Server
	guard    *guard.Handler
	httpd    *httpd.Server
	resolver *testschema.Resolver
	log      *logBuffer
	mu       sync.Mutex
	revoked  map[string]*fault.Error
}

// logBuffer is what the server has logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (w *world) revoke(name string, e *fault.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revoked[name] = e
}

func (w *world) check(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.revoked[account(ctx)]; e != nil {
		return e
	}
	return nil
}

// authenticate knows kel_<name>, unless the name is revoked.
func (w *world) authenticate(ctx context.Context, auth string) (context.Context, error) {
	name, ok := strings.CutPrefix(auth, "Bearer kel_")
	if !ok {
		return nil, fault.SignIn()
	}
	ctx = context.WithValue(ctx, accountKey{}, name)
	return ctx, w.check(ctx)
}

func (w *world) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if auth := r.Header.Get("Authorization"); auth != "" {
			known, err := w.authenticate(ctx, auth)
			if err != nil {
				e, _ := fault.As(err)
				httpd.Refuse(rw, r, httpd.Status(e), e, nil)
				return
			}
			ctx = known
		} else if c, err := r.Cookie("kelian"); err == nil {
			ctx = context.WithValue(ctx, accountKey{}, c.Value)
		}
		next.ServeHTTP(rw, r.WithContext(ctx))
	})
}

type setup struct {
	limits guard.Limits
	edge   httpd.Options
	tune   func(*guard.Options)
}

func start(t *testing.T, in setup) *world {
	t.Helper()
	w := &world{resolver: &testschema.Resolver{Manual: make(chan int), EndWith: guard.EndStream}, log: &logBuffer{}, revoked: map[string]*fault.Error{}}
	log := slog.New(slog.NewJSONHandler(w.log, nil))
	opt := guard.Options{
		Limits:  in.limits,
		Log:     log,
		Account: account,
		Gate: func(ctx context.Context, op guard.Operation) error {
			for _, f := range op.Fields {
				if !public[f] && account(ctx) == "" {
					return fault.SignIn()
				}
			}
			return nil
		},
		Introspection: func(ctx context.Context) error {
			if account(ctx) == "developer" {
				return nil
			}
			return fault.Deny("graphql.introspect", "开发者", "developers")
		},
		Authenticate: w.authenticate,
		Reauthorize:  w.check,
		Once:         []string{"signIn"},
	}
	in.edge.Log = log
	edge, err := httpd.New(in.edge, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.middleware(w.guard).ServeHTTP(rw, r)
	}))
	if err != nil {
		t.Fatal(err)
	}
	w.httpd, opt.Origins = edge, edge.Origins()
	if in.tune != nil {
		in.tune(&opt)
	}
	w.guard = guard.New(testschema.NewExecutableSchema(testschema.Config{
		Resolvers: w.resolver,
		Directives: testschema.DirectiveRoot{Compiled: func(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
			return next(ctx)
		}},
	}), opt)
	w.Server = httptest.NewServer(edge.Handler())
	t.Cleanup(w.Close)
	return w
}

// answer is what a client sees.
type answer struct {
	Status int
	Header http.Header
	Raw    string
	Data   map[string]any
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct {
			Code, RequestId, Reason string
			Path                    []string
		}
	}
	Extensions struct {
		Cost *guard.Cost
	}
}

func (a answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	return a.Errors[0].Extensions.Code
}

type call struct {
	method, body string
	header       map[string]string
	as           string // account, by bearer token
	chunked      bool
}

func (w *world) call(t *testing.T, c call) answer {
	t.Helper()
	if c.method == "" {
		c.method = http.MethodPost
	}
	var body io.Reader = strings.NewReader(c.body)
	if c.chunked {
		body = io.MultiReader(body) // hides the length
	}
	r, err := http.NewRequest(c.method, w.URL+"/graphql", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if c.as != "" {
		r.Header.Set("Authorization", "Bearer kel_"+c.as)
	}
	for k, v := range c.header {
		r.Header.Set(k, v)
	}
	res, err := w.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{Status: res.StatusCode, Header: res.Header, Raw: string(raw)}
	if c.method != http.MethodHead && !strings.HasPrefix(res.Header.Get("Content-Type"), "text/") {
		if err := json.Unmarshal(raw, &a); err != nil {
			t.Fatalf("%d %s: %v", res.StatusCode, raw, err)
		}
	}
	a.Status = res.StatusCode
	a.check(t)
	return a
}

// check holds for every answer whatever it says.
func (a answer) check(t *testing.T) {
	t.Helper()
	if len(a.Errors) > 5 {
		t.Errorf("%d errors", len(a.Errors))
	}
	for _, e := range a.Errors {
		if e.Message == "" || e.Extensions.Code == "" || e.Extensions.RequestId == "" || e.Extensions.RequestId != a.Header.Get("X-Request-Id") {
			t.Errorf("incomplete error: %s", a.Raw)
		}
	}
	for _, leak := range []string{"pq:", "secret_table", "10.9.8.7", "goroutine", "runtime error", "json.", "map[", "interface {}", "hunter2", "Did you mean"} {
		if strings.Contains(a.Raw, leak) {
			t.Errorf("the answer holds %q: %.300s", leak, a.Raw)
		}
	}
}

// ask runs a query as an account.
func (w *world) ask(t *testing.T, as, query string, vars any) answer {
	t.Helper()
	m := map[string]any{"query": query}
	if vars != nil {
		m["variables"] = vars
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return w.call(t, call{body: string(b), as: as, header: map[string]string{"Accept-Language": "en"}})
}

func (a answer) want(t *testing.T, what string, status int, code string) {
	t.Helper()
	if a.Status != status || a.code() != code {
		t.Errorf("%s: %d %s, want %d %s: %.300s", what, a.Status, a.code(), status, code, a.Raw)
	}
}
