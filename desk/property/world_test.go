package property_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"kelian/desk/property"
	"kelian/desk/request"
	"kelian/desk/tell"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"

	"github.com/uptrace/bun"
)

// TestMain keeps random checks on two databases short; -rapid.checks asks for
// more.
func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "25")
	testkit.Main(m)
}

var (
	bg       = context.Background()
	shanghai = time.FixedZone("Asia/Shanghai", 8*3600)
)

// requests is workflow's side: forms and statuses by request.
type requests map[id.ID]*asked

type asked struct {
	form map[string]any
	meta request.Meta
}

func (r requests) Form(_ context.Context, _ bun.IDB, one id.ID) (map[string]any, request.Meta, error) {
	if q, ok := r[one]; ok {
		return q.form, q.meta, nil
	}
	return nil, request.Meta{}, fault.Missing()
}

type world struct {
	t        *testing.T
	db       *store.DB
	clock    *clock.Fake
	svc      *property.Service
	requests requests
	handlers mk.Handlers
	told     []tell.Message
	keeper   org.Actor
}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, clock: testkit.Clock(), requests: requests{}}
	w.svc = property.New(db, w.clock, org.NewTable(property.Rules()), property.Options{Location: shanghai, Requests: w.requests,
		Tell: func(_ *store.Tx, m tell.Message) { w.told = append(w.told, m) }})
	w.handlers = mk.Handlers{"workflow.changed": w.svc.OnRequestChanged, "workflow.rejected": w.svc.OnRejected,
		"workflow.approved reserve": w.svc.OnApprovedReserve, "workflow.approved purchase": w.svc.OnApprovedPurchase,
		"workflow.approved seal": w.svc.OnApprovedSeal}
	w.handlers.Route()
	mk.Federation(t, db)
	w.keeper = org.Actor{Person: mk.Officer(t, db, "宋岚", "office.keeper"), Lang: "zh"}
	return w
}

func (w *world) place(code string, kind property.PlaceKind) id.ID {
	w.t.Helper()
	one := id.New()
	mk.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO place (id, code, kind, name_zh, name_en, campus, seats, unit, created_at) VALUES (?, ?, ?, ?, ?, '', 60, 'office', ?)`,
			one, code, kind, code, code, testkit.Start)
		return nil
	})
	return one
}

func (w *world) item(code string, kind property.ItemKind, n int64) id.ID {
	w.t.Helper()
	one, err := w.svc.SaveItem(bg, w.keeper, property.ItemInput{Code: code, Kind: kind, NameZh: code, NameEn: code, Quantity: n, Unit: "office", IdempotencyKey: code})
	if err != nil {
		w.t.Fatal(err)
	}
	return one
}

// submit opens a request with the form and lets the desk see it.
func (w *world) submit(form map[string]any) id.ID {
	w.t.Helper()
	one := id.New()
	w.requests[one] = &asked{form, request.Meta{Number: "科联审〔2026〕第0001号", Title: "开放日", Requester: id.New(), Status: "OPEN"}}
	w.status(one, "OPEN")
	return one
}

// status sets the request's status and sends workflow's events about it.
func (w *world) status(one id.ID, status string, effects ...string) {
	w.t.Helper()
	w.requests[one].meta.Status = status
	w.event("workflow.changed", map[string]any{"request": one, "status": status})
	for _, effect := range effects {
		w.event("workflow.approved", map[string]any{"request": one, "definition": "x", "effect": effect})
	}
	w.handlers.Drain(w.t, w.db, w.clock)
}

func (w *world) event(topic string, payload any) {
	w.t.Helper()
	mk.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		outbox.Put(tx, outbox.Event{Topic: topic, Payload: payload})
		return nil
	})
}

// fact is what a definition learns of the form.
func (w *world) fact(name string, form map[string]any, request id.ID) (any, error) {
	r := store.NewReads(w.db.R)
	var own []id.ID
	if !request.IsZero() {
		own = append(own, request)
	}
	answer := w.svc.AskFact(r, name, form, own...)
	if err := r.Run(bg); err != nil {
		return nil, err
	}
	return answer()
}

func (w *world) busy(thing id.ID) []property.Reservation {
	w.t.Helper()
	rows, err := w.svc.Busy(bg, w.keeper, thing, testkit.Start.AddDate(-1, 0, 0), testkit.Start.AddDate(1, 0, 0))
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

func (w *world) toldAbout(topic string) (n int) {
	for _, m := range w.told {
		if m.Topic == topic {
			n++
		}
	}
	return n
}
