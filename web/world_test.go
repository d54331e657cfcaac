package web_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"kelian/auth"
	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/desk/request"
	"kelian/desk/sponsor"
	"kelian/desk/tell"
	"kelian/file"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/httpd"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/internal/trace"
	"kelian/netmon"
	"kelian/notify"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/web"
	"kelian/workflow"

	"github.com/uptrace/bun"
)

func TestMain(m *testing.M) {
	newWorld(nil, nil).handlers().Route()
	testkit.Main(m)
}

var (
	bg       = context.Background()
	shanghai = time.FixedZone("Asia/Shanghai", 8*3600)
)

const (
	public   = "https://kelian.example.edu.cn"
	password = "correct-plum-lantern"
)

// world is the federation with people, every service, and the pages behind the
// server's own middleware.
type world struct {
	t        *testing.T
	db       *store.DB
	clock    *clock.Fake
	deps     web.Deps
	server   http.Handler
	people   map[string]id.ID
	incident id.ID
}

var cast = map[string][]string{
	"zhouhang": {"technical.information.member"}, "linxiaoman": {"technical.maintenance.member"}, "hejing": {"office.head"}, "songlan": {"office.keeper"},
	"guchen": {"fed.vice"}, "shenyue": {"liaison.head"}, "luyuan": {"supervision.member"}, "ayinuer": {"society.robotics.chair"}, "han": {"society.robotics.advisor"},
	"liu": {"league.teacher"}, "caiwu": {"league.finance"}, "techhead": {"technical.head"},
}

var named = map[string]string{"zhouhang": "周航", "linxiaoman": "林小满", "hejing": "何静", "songlan": "宋岚", "guchen": "顾晨", "shenyue": "沈悦", "luyuan": "陆远",
	"ayinuer": "阿依努尔·买买提", "han": "韩老师", "liu": "刘老师", "caiwu": "财务老师", "techhead": "秦部长"}

// newWorld binds the services as the program does. Without a database it only
// knows the handlers.
func newWorld(t *testing.T, db *store.DB) *world {
	w := &world{t: t, db: db, clock: testkit.Clock(), people: map[string]id.ID{}}
	rules := org.NewTable(org.Rules(), auth.Rules(), workflow.Rules(), netmon.Rules(), repair.Rules(), property.Rules(), sponsor.Rules(), notify.Rules(), file.Rules())
	put := func(tx *store.Tx, m tell.Message) { notify.Put(tx, notify.Message(m)) }
	d := &w.deps
	*d = web.Deps{PublicURL: public, Federation: "示范大学科技联合会", Location: shanghai, Secure: true, Clock: w.clock, Rules: rules, Log: testkit.Quiet()}
	d.Org = org.New(db, w.clock, rules, shanghai)
	d.Auth = auth.New(db, w.clock, rules, auth.Options{Params: auth.Params{Memory: 64, Time: 1, Threads: 1}, Campus: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	d.Notify = notify.New(db, w.clock, rules, notify.Options{PublicURL: public, Zone: shanghai})
	d.Property = property.New(db, w.clock, rules, property.Options{Location: shanghai, Requests: w, Tell: put})
	d.Sponsor = sponsor.New(db, w.clock, rules, sponsor.Options{Location: shanghai, Purchases: d.Property, Tell: put})
	facts := map[string]workflow.FactSource{}
	for _, f := range property.Facts() {
		facts[f] = d.Property
	}
	effects := append(append([]string{"training.schedule"}, property.Effects()...), sponsor.Effects()...)
	d.Workflow = workflow.New(db, w.clock, rules, workflow.Options{Location: shanghai, Facts: facts, Effects: effects, Files: w})
	if t != nil {
		d.File = file.New(db, w.clock, rules, file.Options{Dir: t.TempDir(), Parents: map[string]file.Parent{"req": w, "tkt": ticketFiles{w}}, Link: w.ticketOf})
	}
	d.Netmon = netmon.New(db, w.clock, rules, netmon.Options{Location: shanghai})
	d.Repair = repair.New(db, w.clock, rules, repair.Options{Location: shanghai, Teller: w, Outages: d.Netmon, Incidents: w, Purchases: w})
	d.PartForm = func(text string, amount int64, ticket string) (string, string, map[string]any) {
		return "office.property", "technical", partForm(text, amount, ticket)
	}
	d.Trace = trace.New(db, w.cards())
	return w
}

func partForm(text string, amount int64, ticket string) map[string]any {
	return map[string]any{"action": "buy", "items": []any{map[string]any{"name": text, "qty": 1}}, "prices": []any{amount}, "total": amount, "quote": text, "ticket": ticket}
}

// open makes a world with the federation, its people and its pages.
func open(t *testing.T, change ...func(*web.Deps)) *world {
	t.Helper()
	w := newWorld(t, testkit.SQLite(t))
	mk.Federation(t, w.db)
	for login, seats := range cast {
		p, err := w.deps.Auth.AddUser(bg, auth.NewUser{Login: login, Password: password, Person: org.NewPerson{Name: named[login], Number: "20230" + login}, Seats: seats})
		if err != nil {
			t.Fatal(login, err)
		}
		w.people[login] = p
	}
	for _, name := range []string{"zhouhang", "linxiaoman"} {
		mk.InTx(t, w.db, func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`INSERT INTO skill (person_id, name, certificate, from_at) VALUES (?, 'network', FALSE, ?)`, w.people[name], testkit.Start.AddDate(0, -1, 0))
			return nil
		})
	}
	mk.InTx(t, w.db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO portfolio (unit_id, seat_id, person_id, from_at) SELECT unit.id, seat.id, ?, ? FROM unit, seat WHERE unit.code = 'technical' AND seat.name = 'fed.vice'`,
			w.people["guchen"], testkit.Start.AddDate(0, -1, 0))
		return nil
	})
	if _, err := w.deps.Org.SetCalendar(bg, w.actor("hejing"), "", calendar.Settings{Terms: []calendar.Term{{Name: "2026 秋", First: "2026-09-07", Weeks: 18}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.deps.Workflow.EnsureBuiltin(bg); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&w.deps)
	}
	w.serve()
	return w
}

// serve puts the pages behind the server's middleware.
func (w *world) serve() {
	site := web.New(w.deps)
	srv, err := httpd.New(httpd.Options{PublicURL: w.deps.PublicURL, Log: testkit.Quiet(), ErrorPage: site.ErrorPage, Lang: web.Lang, Health: httpd.NewHealth(testkit.Quiet())}, site)
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = srv.Handler()
}

func (w *world) actor(login string) org.Actor { return org.Actor{Person: w.people[login], Lang: "zh"} }

// The world is what the desks are bound to.

func (w *world) Form(ctx context.Context, q bun.IDB, r id.ID) (map[string]any, request.Meta, error) {
	form, m, err := w.deps.Workflow.FormOf(ctx, q, r)
	return form, request.Meta{Number: m.Number, Title: m.Title, Requester: m.Requester, Unit: m.Unit, Definition: m.Definition, Status: string(m.Status), Amends: m.Amends}, err
}

func (w *world) Tell(tx *store.Tx, m repair.Message) {
	n := notify.Message{Topic: m.Topic, To: m.Person, Subject: m.Ticket, Ref: m.Ref, Params: m.Params, Lang: m.Lang, At: m.At, Unit: "technical"}
	if !m.Ticket.IsZero() {
		n.Path = "/t/" + w.deps.Repair.LinkToken(m.Ticket)
	}
	notify.Put(tx, n)
}

func (w *world) Incident(ctx context.Context, q bun.IDB, incident id.ID) (repair.IncidentInfo, error) {
	info, err := w.deps.Netmon.IncidentInfo(ctx, q, incident)
	return repair.IncidentInfo(info), err
}

func (w *world) AskRequest(ctx context.Context, r *store.Reads, actor org.Actor) (func(context.Context, *store.Tx, repair.Part) (outbox.Ref, error), error) {
	submit, err := w.deps.Workflow.AskSubmit(ctx, r, actor, "office.property")
	return func(ctx context.Context, tx *store.Tx, part repair.Part) (outbox.Ref, error) {
		out, err := submit(ctx, tx, workflow.SubmitInput{Definition: "office.property", Unit: "technical", Form: partForm(part.Text, part.Amount, part.Number)})
		return outbox.Ref{Kind: "req", ID: out.Request}, err
	}, err
}

func (w *world) cards() map[string]trace.Cards {
	return map[string]trace.Cards{
		"inc": func(ctx context.Context, a org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
			out := map[id.ID]trace.Card{}
			list, err := w.deps.Netmon.IncidentsByID(ctx, a, ids...)
			for _, v := range list {
				out[v.ID] = trace.Card{Zh: "故障 " + v.Number, En: "Incident " + v.Number, State: "OPEN", At: v.OpenedAt, Path: "/incidents/" + v.ID.TypeID("inc")}
			}
			return out, err
		},
		"tkt": func(ctx context.Context, a org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
			out := map[id.ID]trace.Card{}
			list, err := w.deps.Repair.Many(ctx, a, ids...)
			for k, v := range list {
				out[k] = trace.Card{Zh: "报修 " + v.Number, En: "Repair " + v.Number, State: string(v.State), At: v.CreatedAt, Path: "/tickets/" + k.TypeID("tkt")}
			}
			return out, err
		},
		"req": func(ctx context.Context, a org.Actor, ids []id.ID) (map[id.ID]trace.Card, error) {
			out := map[id.ID]trace.Card{}
			list, err := w.deps.Workflow.Summaries(ctx, a, ids...)
			for k, v := range list {
				out[k] = trace.Card{Zh: v.Number, En: v.Number, State: string(v.Status), At: v.OpenedAt, Path: "/requests/" + k.TypeID("req")}
			}
			return out, err
		},
	}
}

// handlers are those of the background work that the pages lead to.
func (w *world) handlers() mk.Handlers {
	h := mk.Handlers{}
	for topic, f := range w.deps.Repair.Handlers() {
		h[topic+" repair"] = f
	}
	h["notify.requested notify"] = w.deps.Notify.OnRequested
	h["notify.send notify"] = w.deps.Notify.OnSend
	h["notify.untold notify"] = w.deps.Notify.OnUntold
	h["workflow.amended workflow"] = func(ctx context.Context, d outbox.Delivery) error { return w.deps.Workflow.OnAmended(ctx, d) }
	h["workflow.approved property"] = func(ctx context.Context, d outbox.Delivery) error { return w.deps.Property.OnApprovedPurchase(ctx, d) }
	return h
}

func (w *world) drain() {
	w.t.Helper()
	w.handlers().Drain(w.t, w.db, w.clock)
}

// outage writes an incident of access switch 2, as the judge leaves it, and
// lets the desk hear of it.
func (w *world) outage() {
	w.t.Helper()
	host, far := id.New(), id.New()
	w.incident = id.New()
	mk.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		for i, h := range []id.ID{host, far} {
			tx.QueueSQL(`INSERT INTO host (id, name_zh, name_en, address, shard, created_at) VALUES (?, ?, ?, ?, 0, ?)`, h,
				[]string{"接入交换机 2", "七舍网关"}[i], []string{"access switch 2", "dorm 7 gateway"}[i], []string{"10.0.0.2", "10.0.0.9"}[i], testkit.Start)
			tx.QueueSQL(`INSERT INTO host_building (host, building, key) VALUES (?, '7舍', '7舍')`, h)
		}
		tx.QueueSQL(`INSERT INTO incident (id, number, key, outage, flat, certified, flapping, opened_epoch, opened_at, title_zh, title_en, why_zh, why_en, evidence, certificate)
			VALUES (?, '2026-0001', 'k', 'k', FALSE, TRUE, FALSE, ?, ?, '接入交换机 2无响应，1 台设备受牵连', 'access switch 2 does not answer, 1 device affected', '它的上级都正常，它连续三次没有回应', 'everything above it answers and it was lost three times', ?, ?)`,
			w.incident, testkit.Start.Unix(), testkit.Start,
			`[{"Host":"`+host.String()+`","Check":"`+host.String()+`","Vantage":"main","Epoch":1791943200,"Outcome":"LOST","After":0,"RTT":0}]`,
			`{"Roots":["`+host.String()+`"],"Suppressed":{"`+far.String()+`":{"Through":[["`+host.String()+`"]],"Roots":["`+host.String()+`"]}}}`)
		tx.QueueSQL(`INSERT INTO incident_node (incident, node, host, role, joined_epoch) VALUES (?, ?, ?, 'ROOT', 1)`, w.incident, host, host)
		tx.QueueSQL(`INSERT INTO incident_node (incident, node, host, role, joined_epoch) VALUES (?, ?, ?, 'SUPPRESSED', 1)`, w.incident, far, far)
		outbox.Put(tx, outbox.Event{Topic: netmon.TopicOpened, Aggregate: w.incident, Payload: map[string]any{"incident": w.incident}})
		return nil
	})
	w.drain()
}

// browser is somebody's browser.
type browser struct {
	w       *world
	lang    string
	cookies map[string]string
	code    int
	header  http.Header
	body    string
	at      string
}

func (w *world) browser(lang string) *browser {
	return &browser{w: w, lang: lang, cookies: map[string]string{}}
}

// in is a browser in which somebody is signed in.
func (w *world) in(login, lang string) *browser {
	w.t.Helper()
	b := w.browser(lang)
	b.post("/sign-in", "login", login, "password", password)
	if b.code != http.StatusSeeOther {
		w.t.Fatalf("%s cannot sign in: %d %s", login, b.code, b.text())
	}
	return b
}

func (b *browser) do(r *http.Request) *browser {
	r.Host = strings.TrimPrefix(strings.TrimPrefix(b.w.deps.PublicURL, "https://"), "http://")
	r.Header.Set("Accept-Language", b.lang)
	r.Header.Set("Accept", "text/html")
	for k, v := range b.cookies {
		r.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	rec := httptest.NewRecorder()
	b.w.server.ServeHTTP(rec, r)
	res := rec.Result()
	body, _ := io.ReadAll(res.Body)
	b.code, b.header, b.body, b.at = res.StatusCode, res.Header, string(body), r.URL.RequestURI()
	for _, c := range res.Cookies() {
		b.cookies[c.Name] = c.Value
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return b
}

func (b *browser) get(path string) *browser {
	return b.do(httptest.NewRequest(http.MethodGet, path, nil))
}

// post sends a form with a fresh key, as the pages do.
func (b *browser) post(path string, pairs ...string) *browser {
	v := url.Values{"key": {id.Secret(16)}}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return b.postForm(path, v)
}

func (b *browser) postForm(path string, v url.Values) *browser {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(v.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", b.w.deps.PublicURL)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

// follow goes where the answer leads.
func (b *browser) follow() *browser {
	b.w.t.Helper()
	to := b.header.Get("Location")
	if b.code != http.StatusSeeOther || !strings.HasPrefix(to, "/") {
		b.w.t.Fatalf("%s: %d to %q: %s", b.at, b.code, to, b.text())
	}
	return b.get(to)
}

// want demands a status and texts that the reader sees.
func (b *browser) want(code int, texts ...string) *browser {
	b.w.t.Helper()
	if b.code != code {
		b.w.t.Fatalf("%s: %d, want %d: %s", b.at, b.code, code, b.text())
	}
	seen := b.text()
	for _, x := range texts {
		if !strings.Contains(seen, x) {
			b.w.t.Fatalf("%s does not show %q: %s", b.at, x, seen)
		}
	}
	return b
}

// keeps demands that the form still holds what was entered.
func (b *browser) keeps(values ...string) *browser {
	b.w.t.Helper()
	for _, x := range values {
		if !strings.Contains(b.body, `value="`+x+`"`) {
			b.w.t.Fatalf("%s lost %q", b.at, x)
		}
	}
	return b
}

// lacks demands that the page does not hold the texts, in its source either.
func (b *browser) lacks(texts ...string) *browser {
	b.w.t.Helper()
	for _, x := range texts {
		if strings.Contains(b.body, x) {
			b.w.t.Fatalf("%s holds %q", b.at, x)
		}
	}
	return b
}

var (
	tags   = regexp.MustCompile(`(?s)<head>.*?</head>|<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
)

// text is what stands on the page, without its markup.
func (b *browser) text() string {
	plain := tags.ReplaceAllString(b.body, " ")
	for _, x := range [][2]string{{"&#34;", `"`}, {"&#39;", "'"}, {"&lt;", "<"}, {"&gt;", ">"}, {"&#43;", "+"}, {"&amp;", "&"}} {
		plain = strings.ReplaceAll(plain, x[0], x[1])
	}
	return strings.TrimSpace(spaces.ReplaceAllString(plain, " "))
}

// hidden is the value of a hidden field.
func (b *browser) hidden(name string) string {
	m := regexp.MustCompile(`type="hidden" name="` + name + `" value="([^"]*)"`).FindStringSubmatch(b.body)
	if m == nil {
		b.w.t.Fatalf("%s has no hidden field %s", b.at, name)
	}
	return m[1]
}

// link is the first address on the page that matches.
func (b *browser) link(pattern string) string {
	b.w.t.Helper()
	m := regexp.MustCompile(`href="(` + pattern + `)"`).FindStringSubmatch(b.body)
	if m == nil {
		b.w.t.Fatalf("%s has no link %s: %s", b.at, pattern, b.text())
	}
	return m[1]
}

// installer keeps what the set-up sends.
type installer struct{ saved web.Install }

func (i *installer) Present(context.Context) (web.Install, error) {
	return web.Install{Federation: "科技联合会", PublicURL: public, Timezone: "Asia/Shanghai"}, nil
}

func (i *installer) Save(_ context.Context, in web.Install) error {
	if u, err := url.Parse(in.PublicURL); err != nil || u.Host == "" {
		return fault.Input("public-url", "网址不对", "this is no address")
	}
	i.saved = in
	return nil
}

// openEmpty is an installation without anybody.
func openEmpty(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, testkit.SQLite(t))
	mk.Federation(t, w.db)
	w.deps.Installer = &installer{}
	w.serve()
	return w
}

func organisation(name string) sponsor.OrganisationInput {
	return sponsor.OrganisationInput{Kind: sponsor.Company, Name: name}
}

// agreed is a pledge of 2,000 yuan that has not come yet.
func (w *world) agreed(company id.ID) string {
	w.t.Helper()
	out, err := w.deps.Sponsor.CreatePledge(bg, w.actor("shenyue"), sponsor.PledgeInput{Organisation: company, Kind: sponsor.Cash, Amount: 200000})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.deps.Sponsor.Act(bg, w.actor("shenyue"), sponsor.ActInput{Pledge: out.Pledge, Action: sponsor.ActAgree, Amount: 200000, Due: testkit.Start.AddDate(0, 0, 7), Returns: "海报署名"}); err != nil {
		w.t.Fatal(err)
	}
	return out.Pledge.TypeID("plg")
}

// parse reads the object that an address ends with.
func parse(t *testing.T, kind, address string) id.ID {
	t.Helper()
	out, err := id.Parse(kind, address[strings.LastIndexByte(address, '/')+1:])
	if err != nil {
		t.Fatal(err)
	}
	return out
}
