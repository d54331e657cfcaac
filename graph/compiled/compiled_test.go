package compiled_test

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/graph/compiled"
	"kelian/graph/internal/bounded"
	"kelian/graph/internal/testschema"
	"kelian/graph/internal/testschema/model"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

func ptr[T any](v T) *T { return &v }

func tickets() []model.Ticket {
	day := model.Day{Time: time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC)}
	return []model.Ticket{
		{ID: "rep_1", Title: "交换机 \"2\" 坏了\n\t\\ \x01<b> 😀 e\u0301 \u2028", Note: ptr(""), Count: math.MaxInt32, Big: 1.5e21, Open: true,
			Priority: "HIGH", Due: &day, Owner: &model.Person{Name: "周航", Phone: ptr("138")}, Author: &model.Person{Name: "何静"},
			Steps: []model.Step{{No: 1, Done: true, By: &model.Person{Name: "a"}}, {No: 2}}, Tags: []string{"a", ""}, Later: []model.Step{}},
		{ID: "rep_2", Title: "", Count: -1, Big: 0.00001, Priority: "LOW", Author: &model.Person{}},
		{ID: "rep_3", Title: "bad utf8 \xff end", Big: 100000, Priority: "LOW", Author: &model.Person{Name: "x"}, Tags: []string{}},
	}
}

var (
	person = compiled.For("Person", compiled.Fields[model.Person]{
		"name":  compiled.String(func(p *model.Person) string { return p.Name }),
		"phone": compiled.Maybe(compiled.AppendString, func(p *model.Person) *string { return p.Phone }),
	})
	step = compiled.For("Step", compiled.Fields[model.Step]{
		"no":   compiled.Int(func(s *model.Step) int { return s.No }),
		"done": compiled.Bool(func(s *model.Step) bool { return s.Done }),
		"by":   compiled.One(person, func(s *model.Step) *model.Person { return s.By }),
	})
)

func ticketFields() compiled.Fields[model.Ticket] {
	return compiled.Fields[model.Ticket]{
		"id":       compiled.String(func(t *model.Ticket) string { return t.ID }),
		"title":    compiled.String(func(t *model.Ticket) string { return t.Title }),
		"note":     compiled.Maybe(compiled.AppendString, func(t *model.Ticket) *string { return t.Note }),
		"count":    compiled.Int(func(t *model.Ticket) int { return t.Count }),
		"big":      compiled.Float(func(t *model.Ticket) float64 { return t.Big }),
		"open":     compiled.Bool(func(t *model.Ticket) bool { return t.Open }),
		"priority": compiled.String(func(t *model.Ticket) model.Priority { return t.Priority }),
		"due":      compiled.Maybe(compiled.Self[model.Day], func(t *model.Ticket) *model.Day { return t.Due }),
		"owner":    compiled.One(person, func(t *model.Ticket) *model.Person { return t.Owner }),
		"author":   compiled.One(person, func(t *model.Ticket) *model.Person { return t.Author }),
		"steps":    compiled.Many(step, func(t *model.Ticket) []model.Step { return t.Steps }),
		"tags":     compiled.List(compiled.AppendString, func(t *model.Ticket) []string { return t.Tags }),
		"later":    compiled.Many(step, func(t *model.Ticket) []model.Step { return t.Later }),
	}
}

type server struct {
	exec *executor.Executor
	used int // answers that were compiled
	mu   sync.Mutex
}

// docs keeps parsed queries, as the server does, so that plans are found again.
type docs struct {
	c *bounded.Cache[string, *ast.QueryDocument]
}

func (d docs) Get(_ context.Context, q string) (*ast.QueryDocument, bool) { return d.c.Get(q) }
func (d docs) Add(_ context.Context, q string, doc *ast.QueryDocument)    { d.c.Put(q, doc, 1) }

func newServer(c *compiled.Compiler, rows []model.Ticket) *server {
	s := &server{}
	s.exec = executor.New(testschema.NewExecutableSchema(testschema.Config{
		Resolvers: &testschema.Resolver{Tickets: rows},
		Directives: testschema.DirectiveRoot{Compiled: func(ctx context.Context, obj any, next graphql.Resolver) (any, error) {
			v, err := c.Directive(ctx, obj, next)
			if _, ok := v.(graphql.Marshaler); ok {
				s.mu.Lock()
				s.used++
				s.mu.Unlock()
			}
			return v, err
		}},
	}))
	s.exec.SetQueryCache(docs{bounded.New[string, *ast.QueryDocument](100, 100)})
	return s
}

func (s *server) ask(t *testing.T, query, op string, vars map[string]any) string {
	t.Helper()
	ctx := graphql.StartOperationTrace(context.Background())
	rc, errs := s.exec.CreateOperationContext(ctx, &graphql.RawParams{Query: query, OperationName: op, Variables: vars})
	if errs != nil {
		t.Fatalf("%s: %v", query, errs)
	}
	next, ctx := s.exec.DispatchOperation(ctx, rc)
	resp := next(ctx)
	out := string(resp.Data)
	for _, e := range resp.Errors {
		out += fmt.Sprintf(" error at %s", e.Path)
	}
	return out
}

func schema() *ast.Schema {
	return testschema.NewExecutableSchema(testschema.Config{}).Schema()
}

const all = `id title note count big open priority due owner{name phone} author{name} steps{no done by{name}} tags later{no}`

func TestCompiledAnswersAreByteForByteThoseOfGqlgen(t *testing.T) {
	c := compiled.New(schema(), compiled.For("Ticket", ticketFields()))
	fast, plain := newServer(c, tickets()), newServer(c.Plain(), tickets())
	for _, q := range []struct {
		text, op string
		vars     map[string]any
		compiled bool
	}{
		{text: `{tickets{` + all + `}}`, compiled: true},
		{text: `{ticket(no:0){` + all + `}}`, compiled: true},
		{text: `{ticket(no:99){id}}`},
		{text: `{tickets(first:0){id}}`, compiled: true},
		{text: `{tickets{__typename a:id b:id title owner{__typename n:name}}}`, compiled: true},
		{text: `{x:tickets{id} y:tickets(first:1){...F} version} fragment F on Ticket{title ...G ...G} fragment G on Ticket{steps{no} owner{...P}} fragment P on Person{phone}`, compiled: true},
		{text: `{tickets{... on Ticket{id} ...{title}}}`, compiled: true},
		{text: `{tickets{owner{name} owner{phone} id id}}`, compiled: true},
		{text: `{tickets{id} tickets{title owner{name}} tickets{owner{phone}}}`, compiled: true},
		{text: `query($s:Boolean!){tickets{id @skip(if:$s) title owner{name @include(if:$s)}}}`, vars: map[string]any{"s": true}},
		{text: `query($s:Boolean!){tickets{id @skip(if:$s) title owner{name @include(if:$s)}}}`, vars: map[string]any{"s": false}},
		{text: `query($s:Boolean!){tickets{...F @skip(if:$s) id}} fragment F on Ticket{title}`, vars: map[string]any{"s": true}},
		{text: `query($s:Boolean!){tickets @skip(if:$s){id}}`, vars: map[string]any{"s": false}, compiled: true},
		{text: `query($s:Boolean!){tickets @skip(if:$s){id}}`, vars: map[string]any{"s": true}},
		// One fragment's field, alone in A and merged in B: its plan must
		// not be taken from the other operation.
		{text: `query A{...H} query B{...H tickets{title}} fragment H on Query{tickets{id}}`, op: "A", compiled: true},
		{text: `query A{...H} query B{...H tickets{title}} fragment H on Query{tickets{id}}`, op: "B", compiled: true},
		{text: `query A{...H} query B{...H tickets{title}} fragment H on Query{tickets{id}}`, op: "A", compiled: true},
	} {
		for range 2 { // the second answer comes from the cached plan
			before := fast.used
			got, want := fast.ask(t, q.text, q.op, q.vars), plain.ask(t, q.text, q.op, q.vars)
			if got != want {
				t.Errorf("%s %s\n got %s\nwant %s", q.text, q.op, got, want)
			}
			if (fast.used > before) != q.compiled {
				t.Errorf("%s: compiled %v", q.text, fast.used > before)
			}
		}
	}
	if plain.used != 0 {
		t.Error("the reference was compiled too")
	}
}

func TestNullWhereTheSchemaForbidsIt(t *testing.T) {
	rows := tickets()
	rows[1].Author = nil
	c := compiled.New(schema(), compiled.For("Ticket", ticketFields()))
	if got := newServer(c, rows).ask(t, `{version ticket(no:1){id author{name}}}`, "", nil); got != `{"version":"1","ticket":null} error at ticket` {
		t.Error(got)
	}
}

func TestManyReadersShareThePlans(t *testing.T) {
	c := compiled.New(schema(), compiled.For("Ticket", ticketFields()))
	fast, plain := newServer(c, tickets()), newServer(c.Plain(), tickets())
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := range 50 {
				q := fmt.Sprintf(`{a%d:tickets{id title steps{no}} ticket(no:%d){%s}}`, i%7, n%3, all)
				if got, want := fast.ask(t, q, "", nil), plain.ask(t, q, "", nil); got != want {
					t.Errorf("got %s want %s", got, want)
				}
			}
		})
	}
	wg.Wait()
}

func TestCheckAcceptsTheSchemaItIsFor(t *testing.T) {
	c := compiled.New(schema(), compiled.For("Ticket", ticketFields()))
	if err := c.Check(reflect.TypeFor[testschema.ResolverRoot]()); err != nil {
		t.Error(err)
	}
}

type ticketResolvers interface {
	Title(context.Context, *model.Ticket) (string, error)
}
type rootWithResolver interface{ Ticket() ticketResolvers }

func TestCheckRefuses(t *testing.T) {
	const base = `directive @compiled on FIELD_DEFINITION directive @auth on FIELD_DEFINITION
	type Person { name: String! phone: String }
	interface I { id: ID! } type A implements I { id: ID! } union U = A | Person
	`
	simple := func() compiled.Fields[model.Ticket] {
		return compiled.Fields[model.Ticket]{"id": ticketFields()["id"], "owner": ticketFields()["owner"]}
	}
	for _, c := range []struct {
		sdl   string
		table func(compiled.Fields[model.Ticket])
		root  reflect.Type
		want  string
	}{
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:Person}`},
		{sdl: `type Query{t:[Ticket!]! @compiled} type Ticket{id:ID! owner:Person @deprecated}`},
		{sdl: `type Query{t:Person @compiled} type Ticket{id:ID! owner:Person}`, want: "no table for Person"},
		{sdl: `type Query{t:I @compiled} type Ticket{id:ID! owner:Person}`, want: "no table for I"},
		{sdl: `type Query{t:[[Ticket]] @compiled} type Ticket{id:ID! owner:Person}`, want: "list of lists"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:Person title:String!}`, want: "Ticket.title has no row"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID!}`, want: "Ticket has no field owner"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:Person @auth}`, want: "carries @auth"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner(x:Int):Person}`, want: "takes arguments"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:U}`, want: "abstract type U"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:I}`, want: "abstract type I"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:A}`, want: "is a A, its table one of Person"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:String}`, want: "mixed up"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:[Person!]}`, want: "another list depth"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:[ID!]! owner:Person}`, want: "another list depth"},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:Person note:String!}`, want: "never null in the schema",
			table: func(f compiled.Fields[model.Ticket]) { f["note"] = ticketFields()["note"] }},
		{sdl: `type Query{t:Ticket @compiled} type Ticket{id:ID! owner:Person title:String!}`, want: "Ticket.title has a resolver", root: reflect.TypeFor[rootWithResolver](),
			table: func(f compiled.Fields[model.Ticket]) { f["title"] = ticketFields()["title"] }},
		{sdl: `type Query{a:Int} type Subscription{t:Ticket @compiled} type Ticket{id:ID! owner:Person}`, want: "subscription"},
	} {
		s, err := gqlparser.LoadSchema(&ast.Source{Input: base + c.sdl})
		if err != nil {
			t.Fatal(c.sdl, err)
		}
		f := simple()
		if c.table != nil {
			c.table(f)
		}
		err = compiled.New(s, compiled.For("Ticket", f)).Check(c.root)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.sdl, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.sdl, err, c.want)
		}
	}
}

func BenchmarkTickets(b *testing.B) {
	rows := make([]model.Ticket, 0, 20)
	for range 20 {
		rows = append(rows, tickets()[0])
	}
	c := compiled.New(schema(), compiled.For("Ticket", ticketFields()))
	for name, s := range map[string]*server{"compiled": newServer(c, rows), "gqlgen": newServer(c.Plain(), rows)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ctx := graphql.StartOperationTrace(context.Background())
				rc, _ := s.exec.CreateOperationContext(ctx, &graphql.RawParams{Query: `{tickets{` + all + `}}`})
				next, ctx := s.exec.DispatchOperation(ctx, rc)
				next(ctx)
			}
		})
	}
}
