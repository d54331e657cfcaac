package workflow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// fed is the federation with a service and a clock; people are known by their
// names, which make their identifiers, so that a trace is the same every time.
type fed struct {
	t     testing.TB
	db    *store.DB
	clock *clock.Fake
	svc   *workflow.Service
	desk  *deskFacts
	keys  int
}

// deskFacts answers every fact the same way and counts the questions.
type deskFacts struct{ asked []string }

func (d *deskFacts) AskFact(_ *store.Reads, name string, form map[string]any, _ ...id.ID) func() (any, error) {
	d.asked = append(d.asked, name)
	return func() (any, error) { return map[string]any{"fact": name, "fields": len(form)}, nil }
}

// named is the identifier of somebody or something in the tests.
func named(name string) id.ID {
	out := id.ID{0x01, 0x9a, 0, 0, 0, 0, 0x70, 0, 0x80}
	sum := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		sum = (sum ^ uint64(c)) * 1099511628211
	}
	for i := range 7 {
		out[9+i] = byte(sum >> (8 * i))
	}
	return out
}

var cast = map[string][]string{
	"zhouhang": {"technical.information.member"}, "linxiaoman": {"technical.maintenance.member"},
	"songlan": {"office.keeper"}, "hejing": {"office.head"}, "odeputy": {"office.deputy"}, "guchen": {"fed.vice"}, "chair": {"fed.chair"},
	"luyuan": {"supervision.member"}, "suhead": {"supervision.head"}, "pan": {"publicity.head"}, "shenyue": {"liaison.head"}, "ling": {"liaison.member"},
	"techhead": {"technical.head"}, "liu": {"league.teacher"}, "ldeputy": {"league.deputy"},
	"ayinuer": {"society.robotics.chair"}, "han": {"society.robotics.advisor"}, "mech": {"college.mech.head"},
	"aichair": {"society.ai.chair"}, "cshead": {"college.cs.head"},
}

// effects are those that the definitions name and their own tests do not.
var effects = []string{"property.reserve", "training.schedule"}

func newFed(t testing.TB, db *store.DB) *fed {
	t.Helper()
	f := bareFed(t, db)
	if _, err := f.svc.EnsureBuiltin(context.Background()); err != nil {
		t.Fatal(err)
	}
	return f
}

// bareFed is the federation before its first start: nothing is published.
func bareFed(t testing.TB, db *store.DB) *fed {
	t.Helper()
	f := &fed{t: t, db: db, clock: testkit.Clock(), desk: &deskFacts{}}
	if _, err := org.Seed(context.Background(), db, f.clock, org.Template()); err != nil {
		t.Fatal(err)
	}
	for name, seats := range cast {
		f.person(name, seats...)
	}
	f.inTx(func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO portfolio (unit_id, seat_id, person_id, from_at) SELECT unit.id, seat.id, ?, ? FROM unit, seat WHERE unit.code IN ('fed', 'technical') AND seat.name = 'fed.vice'`,
			named("guchen"), testkit.Start.AddDate(0, -1, 0))
		return nil
	})
	var made atomic.Int64 // some tests submit side by side
	o := workflow.Options{Location: time.FixedZone("CST", 8*3600), Effects: append(slices.Clone(known.Effects), effects...), Facts: map[string]workflow.FactSource{},
		Signer: testSigner, NewID: func() id.ID { return named(fmt.Sprint("made ", made.Add(1))) }}
	for _, name := range known.Facts {
		o.Facts[name] = f.desk
	}
	outbox.Route(workflow.TopicDeadline, "workflow")
	outbox.Route(workflow.TopicAmended, "workflow")
	outbox.Route(workflow.TopicApproved, "test")
	f.svc = workflow.New(db, f.clock, org.NewTable(org.Rules(), workflow.Rules()), o)
	return f
}

func (f *fed) inTx(fn func(ctx context.Context, tx *store.Tx) error) {
	f.t.Helper()
	_, err := store.InTx(context.Background(), f.db, store.Internal("test"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		return struct{}{}, fn(ctx, tx)
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fed) person(name string, seats ...string) {
	f.t.Helper()
	f.inTx(func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO person (id, kind, lang, search, created_at) VALUES (?, 'OFFICER', 'zh', '', ?)`, named(name), testkit.Start)
		org.SetPersonal(tx, testkit.Key, named(name), testkit.Start, time.Time{}, map[string]string{org.FieldName: name})
		for _, s := range seats {
			tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) SELECT ?, id, ?, 'FULL', ? FROM seat WHERE name = ?`,
				id.New(), named(name), testkit.Start.AddDate(0, -1, 0), s)
		}
		return nil
	})
}

func by(name string) org.Actor { return org.Actor{Person: named(name), Lang: "zh"} }

// jsonForm reads a form as a door does.
func jsonForm(t testing.TB, src string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(src))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func (f *fed) key() string { f.keys++; return fmt.Sprint("key ", f.keys) }

func (f *fed) submit(who, definition, unit, form string) id.ID {
	f.t.Helper()
	out, err := f.svc.Submit(context.Background(), by(who), workflow.SubmitInput{Definition: definition, Unit: unit, Form: jsonForm(f.t, form), IdempotencyKey: f.key()})
	if err != nil {
		f.t.Fatalf("%s submits: %v", who, err)
	}
	return out.Request
}

// task is the person's open task in the request.
func (f *fed) task(who string, request id.ID) workflow.InboxItem {
	f.t.Helper()
	items, _, err := f.svc.Inbox(context.Background(), by(who), store.Page{First: 100})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, x := range items {
		if x.Request == request {
			return x
		}
	}
	f.t.Fatalf("nothing of the request waits for %s", who)
	return workflow.InboxItem{}
}

func (f *fed) idle(who string, request id.ID) {
	f.t.Helper()
	items, _, err := f.svc.Inbox(context.Background(), by(who), store.Page{First: 100})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, x := range items {
		if x.Request == request {
			f.t.Fatalf("the request waits for %s at %s", who, x.Step)
		}
	}
}

func (f *fed) decide(who string, request id.ID, v workflow.Verdict, comment string) workflow.Outcome {
	f.t.Helper()
	x := f.task(who, request)
	out, err := f.svc.Decide(context.Background(), by(who), workflow.DecideInput{Task: x.Task, Verdict: v, Comment: comment, FormRev: x.FormRev, IdempotencyKey: f.key()})
	if err != nil {
		f.t.Fatalf("%s decides: %v", who, err)
	}
	return out
}

func (f *fed) approve(request id.ID, people ...string) {
	f.t.Helper()
	for _, p := range people {
		f.decide(p, request, workflow.Approve, "")
		f.clock.Advance(time.Minute)
	}
}

func (f *fed) resubmit(who string, request id.ID, rev int, form string) {
	f.t.Helper()
	_, err := f.svc.Resubmit(context.Background(), by(who), workflow.ResubmitInput{Request: request, Form: jsonForm(f.t, form), FormRev: rev, IdempotencyKey: f.key()})
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fed) view(who string, request id.ID) workflow.View {
	f.t.Helper()
	v, err := f.svc.Request(context.Background(), by(who), request)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

func (f *fed) status(request id.ID, want flow.Status) {
	f.t.Helper()
	var got flow.Status
	if err := f.db.R.NewRaw(`SELECT status FROM request WHERE id = ?`, request).Scan(context.Background(), &got); err != nil || got != want {
		f.t.Fatalf("the request is %s, want %s (%v)", got, want, err)
	}
}

// sound demands that the request is what its events say.
func (f *fed) sound(request id.ID) workflow.Report {
	f.t.Helper()
	rep, err := f.svc.Check(context.Background(), request)
	if err != nil || !rep.OK() {
		f.t.Fatalf("%+v %v", rep, err)
	}
	return rep
}

// events counts the outbox rows of a topic about the request.
func (f *fed) events(topic string, request id.ID) (payloads []string) {
	f.t.Helper()
	if err := f.db.R.NewRaw(`SELECT payload FROM outbox WHERE topic = ? AND aggregate = ? ORDER BY seq`, topic, request).Scan(context.Background(), &payloads); err != nil && !store.NoRows(err) {
		f.t.Fatal(err)
	}
	return payloads
}

// refused demands a rule's refusal and gives its detail.
func refused[T any](t *testing.T, err error, reason string) T {
	t.Helper()
	e, ok := fault.As(err)
	if !ok || e.Code != fault.Rule || e.Reason != reason || e.Zh == "" || e.En == "" {
		t.Fatalf("got %v, want the refusal %s", err, reason)
	}
	d, ok := e.Detail.(T)
	if !ok {
		t.Fatalf("%s comes with %T", reason, e.Detail)
	}
	return d
}

const (
	at680  = `{"action":"buy","items":[{"name":"光模块","qty":1}],"prices":[68000],"total":68000,"quote":"甲公司 10月1日"}`
	at860  = `{"action":"buy","items":[{"name":"光模块","qty":1}],"prices":[86000],"total":86000,"quote":"乙公司 10月14日"}`
	open15 = `{"host":"society.robotics","title":"机器人开放日","kind":"open_day","start":"2026-11-15T09:00:00+08:00","end":"2026-11-15T17:00:00+08:00",
		"place":"体育馆","people":40,"external":false,"budget":50000}`
)
