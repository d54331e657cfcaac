package graph_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/auth"
	"kelian/desk/dispatch"
	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/desk/request"
	"kelian/desk/sponsor"
	"kelian/desk/tell"
	"kelian/desk/training"
	"kelian/file"
	"kelian/graph"
	"kelian/graph/guard"
	"kelian/internal/clock"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/internal/trace"
	"kelian/netmon"
	"kelian/netmon/probe"
	"kelian/notify"
	"kelian/org"
	"kelian/webhook"
	"kelian/workflow"

	"github.com/uptrace/bun"
)

func TestMain(m *testing.M) {
	factory.Handlers{workflow.TopicDeadline: nil, workflow.TopicApproved: nil, repair.TopicOpened: nil, "sponsor.overdue": nil, "sponsor.thanks": nil,
		repair.TopicLapsed: nil, repair.TopicDispatch: nil, repair.TopicAutoClose: nil, repair.TopicPickup: nil}.Route()
	testkit.Main(m)
}

var bg = context.Background()

// password opens every account of these tests.
const password = "correct-plum-lantern"

// cast are the people with accounts, by their sign-in names.
var cast = map[string]struct {
	name  string
	seats []string
}{
	"zhouhang": {"周航", []string{"technical.information.member"}}, "linxiaoman": {"林小满", []string{"technical.maintenance.member"}},
	"qin": {"秦部长", []string{"technical.head"}}, "songlan": {"宋岚", []string{"office.keeper"}}, "hejing": {"何静", []string{"office.head"}},
	"guchen": {"顾晨", []string{"fed.vice"}}, "shenyue": {"沈悦", []string{"liaison.head"}}, "finance": {"钱会计", []string{"league.finance"}},
	"ayinuer": {"阿依努尔", []string{"society.robotics.chair"}}, "pan": {"潘编辑", []string{"publicity.member"}},
}

// world is the federation behind one or more servers.
type world struct {
	t      testing.TB
	db     *store.DB
	clock  *clock.Fake
	people map[string]id.ID
	tokens map[string]string
	keys   int

	auth     *auth.Service
	workflow *workflow.Service
	netmon   *netmon.Service
	repair   *repair.Service
	property *property.Service
	sponsor  *sponsor.Service
	files    *file.Service
	deps     graph.Deps
	*httptest.Server
}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	factory.Federation(t, db)
	w := &world{t: t, db: db, clock: testkit.Clock(), people: map[string]id.ID{}, tokens: map[string]string{}}
	w.bind()
	if _, err := w.workflow.EnsureBuiltin(bg); err != nil {
		t.Fatal(err)
	}
	for login, p := range cast {
		who, err := w.auth.AddUser(bg, auth.NewUser{Login: login, Password: password, Person: org.NewPerson{Kind: org.Officer, Name: p.name}, Seats: p.seats})
		if err != nil {
			t.Fatal(login, err)
		}
		w.people[login] = who
	}
	factory.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO portfolio (unit_id, seat_id, person_id, from_at) SELECT unit.id, seat.id, ?, ? FROM unit, seat WHERE unit.code = 'technical' AND seat.name = 'fed.vice'`,
			w.people["guchen"], testkit.Start.AddDate(0, -1, 0))
		return nil
	})
	w.Server = w.still(nil)
	return w
}

// live serves with a feed.
func (w *world) live() *world {
	w.t.Helper()
	w.Server = w.serve()
	return w
}

// bind makes the services as the composition root does.
func (w *world) bind() {
	loc := time.FixedZone("CST", 8*3600)
	rules := org.NewTable(org.Rules(), auth.Rules(), workflow.Rules(), netmon.Rules(), repair.Rules(), property.Rules(), sponsor.Rules(), training.Rules(), notify.Rules(), file.Rules(), webhook.Rules())
	w.auth = auth.New(w.db, w.clock, rules, auth.Options{Params: auth.Params{Memory: 64, Time: 1, Threads: 1}, Campus: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	w.property = property.New(w.db, w.clock, rules, property.Options{Location: loc, Requests: w, Tell: put})
	w.sponsor = sponsor.New(w.db, w.clock, rules, sponsor.Options{Location: loc, Purchases: w.property, Tell: put})
	facts := map[string]workflow.FactSource{}
	for _, f := range property.Facts() {
		facts[f] = w.property
	}
	effects := append(append(property.Effects(), sponsor.Effects()...), training.Effects()...)
	w.workflow = workflow.New(w.db, w.clock, rules, workflow.Options{Location: loc, Facts: facts, Effects: effects, Files: filer{w}})
	w.files = file.New(w.db, w.clock, rules, file.Options{Dir: w.t.TempDir(), Parents: map[string]file.Parent{"req": filer{w}}})
	w.netmon = netmon.New(w.db, w.clock, rules, netmon.Options{Policy: probe.NewPolicy(probe.PolicyOptions{AllowLoopback: true})})
	w.repair = repair.New(w.db, w.clock, rules, repair.Options{Location: loc, Dispatcher: dispatch.New(loc, 0, nil), Teller: w, Outages: w.netmon, Purchases: w})
	w.deps = graph.Deps{Org: org.New(w.db, w.clock, rules, loc), Auth: w.auth, Workflow: w.workflow, Netmon: w.netmon, Repair: w.repair, Property: w.property,
		Sponsor: w.sponsor, Training: training.New(w.db, w.clock, rules, training.Options{Location: loc, Requests: w, Tell: put}),
		File: w.files, Notify: notify.New(w.db, w.clock, rules, notify.Options{Zone: loc, Readers: w}), Tracer: trace.New(w.db, map[string]trace.Cards{"req": w.cards}),
		Webhook: webhook.New(w.db, w.clock, rules, webhook.Options{PublicURL: "https://kelian.example"}),
		Clock:   w.clock, PartForm: partForm, Log: testkit.Quiet(), Cookie: httpd.Cookie{AllowHTTP: true}, Limits: guard.Limits{Reauthorize: 20 * time.Millisecond}}
}

// serve starts a server of its own, with a feed of its own, on the database.
func (w *world) serve() *httptest.Server {
	w.t.Helper()
	feed, err := outbox.NewFeed(bg, w.db, testkit.Quiet())
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bg)
	var running sync.WaitGroup
	running.Go(func() { feed.Run(ctx) })
	ts := w.still(feed)
	w.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return ts
}

// still is a server whose feed nobody runs, so that nothing but the requests
// reads the database.
func (w *world) still(feed *outbox.Feed) *httptest.Server {
	w.t.Helper()
	d := w.deps
	d.Feed = feed
	h, err := graph.New(d)
	if err != nil {
		w.t.Fatal(err)
	}
	srv, err := httpd.New(httpd.Options{Log: testkit.Quiet()}, h)
	if err != nil {
		w.t.Fatal(err)
	}
	ts := httptest.NewServer(srv.Handler())
	w.t.Cleanup(func() {
		ts.CloseClientConnections()
		ts.Close()
	})
	return ts
}

// The bridges between the domains, as thin as the composition root's.

func (w *world) Form(ctx context.Context, q bun.IDB, r id.ID) (map[string]any, request.Meta, error) {
	form, m, err := w.workflow.FormOf(ctx, q, r)
	return form, request.Meta{Number: m.Number, Title: m.Title, Requester: m.Requester, Unit: m.Unit, Definition: m.Definition, Status: string(m.Status), Amends: m.Amends}, err
}

func put(tx *store.Tx, m tell.Message) { notify.Put(tx, notify.Message(m)) }

func (w *world) Tell(*store.Tx, repair.Message) {}

func (w *world) AskRequest(ctx context.Context, r *store.Reads, actor org.Actor) (func(context.Context, *store.Tx, repair.Part) (outbox.Ref, error), error) {
	submit, err := w.workflow.AskSubmit(ctx, r, actor, "office.property")
	return func(ctx context.Context, tx *store.Tx, part repair.Part) (outbox.Ref, error) {
		out, err := submit(ctx, tx, workflow.SubmitInput{Definition: "office.property", Unit: "technical", Form: partForm(part.Text, part.Amount, part.Number)})
		return outbox.Ref{Kind: "req", ID: out.Request}, err
	}, err
}

func (w *world) MayRead(ctx context.Context, actor org.Actor, ref outbox.Ref) (bool, error) {
	return w.workflow.MayRead(ctx, actor, ref.ID)
}

func (w *world) cards(ctx context.Context, actor org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
	found, err := w.workflow.Summaries(ctx, actor, ids...)
	out := map[id.ID]trace.Card{}
	for k, s := range found {
		out[k] = trace.Card{Zh: s.Title, En: s.Title, State: string(s.Status), At: s.OpenedAt}
	}
	return out, err
}

func partForm(text string, amount int64, ticket string) map[string]any {
	return map[string]any{"action": "buy", "items": []any{map[string]any{"name": text, "qty": 1}}, "prices": []any{amount}, "total": amount, "quote": text, "ticket": ticket}
}

// answer is what the server said.
type answer struct {
	Status int
	Header http.Header
	Body   string
	Data   map[string]any
	Errors []struct {
		Message    string
		Path       []any
		Extensions map[string]any
	}
}

// code is the code of the first error, "" = none.
func (a answer) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	s, _ := a.Errors[0].Extensions["code"].(string)
	return s
}

// at walks into the data; numbers are places in lists.
func (a answer) at(path ...any) any {
	var v any = a.Data
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

type vars map[string]any

// post sends a query with headers.
func (w *world) post(url string, header http.Header, query string, v vars) answer {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": v})
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{Status: res.StatusCode, Header: res.Header, Body: string(raw)}
	if err := json.Unmarshal(raw, &a); err != nil {
		w.t.Fatalf("%s: %v", raw, err)
	}
	return a
}

// as sends a query as somebody; "" is a stranger.
func (w *world) as(login, query string, v vars) answer {
	w.t.Helper()
	h := http.Header{}
	if login != "" {
		h.Set("Authorization", "Bearer "+w.token(login))
	}
	return w.post(w.URL, h, query, v)
}

// good is as for what must not fail.
func (w *world) good(login, query string, v vars) answer {
	w.t.Helper()
	a := w.as(login, query, v)
	if a.Status != http.StatusOK || len(a.Errors) > 0 {
		w.t.Fatalf("%s asks %s: %d %s", login, query, a.Status, a.Body)
	}
	return a
}

// token is a session of the account.
func (w *world) token(login string) string {
	w.t.Helper()
	if w.tokens[login] == "" {
		token, _, err := w.auth.SignIn(bg, login, password, auth.Device{}, netip.MustParseAddr("127.0.0.1"), "zh")
		if err != nil {
			w.t.Fatal(login, err)
		}
		w.tokens[login] = token
	}
	return w.tokens[login]
}

func (w *world) key() string { w.keys++; return fmt.Sprintf("key-%020d", w.keys) }

func (w *world) actor(login string) org.Actor { return org.Actor{Person: w.people[login], Lang: "zh"} }

// form reads a form as a client writes it.
func form(t testing.TB, src string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(src))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// purchase asks for a purchase by the service.
func (w *world) purchase(login, what string, fen int64) id.ID {
	w.t.Helper()
	out, err := w.workflow.Submit(bg, w.actor(login), workflow.SubmitInput{Definition: "office.property", Form: partForm(what, fen, ""), IdempotencyKey: w.key()})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Request
}

// decide answers the person's open task of the request by the service.
func (w *world) decide(login string, req id.ID, v workflow.Verdict, comment string) {
	w.t.Helper()
	items, _, err := w.workflow.Inbox(bg, w.actor(login), store.Page{First: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range items {
		if x.Request == req {
			_, err := w.workflow.Decide(bg, w.actor(login), workflow.DecideInput{Task: x.Task, Verdict: v, Comment: comment, FormRev: x.FormRev, IdempotencyKey: w.key()})
			if err != nil {
				w.t.Fatal(err)
			}
			w.clock.Advance(time.Minute)
			return
		}
	}
	w.t.Fatalf("nothing of the request waits for %s", login)
}
