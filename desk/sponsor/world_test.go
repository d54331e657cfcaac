package sponsor_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"kelian/desk/property"
	"kelian/desk/request"
	"kelian/desk/sponsor"
	"kelian/desk/tell"
	"kelian/internal/clock"
	"kelian/internal/id"
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

// world is the sponsors' desk beside the real property desk.
type world struct {
	t                             *testing.T
	db                            *store.DB
	clock                         *clock.Fake
	svc                           *sponsor.Service
	property                      *property.Service
	handlers                      mk.Handlers
	told                          []tell.Message
	head, member, finance, keeper org.Actor
	company                       id.ID
	form                          map[string]any
	requester                     id.ID
}

// Form is workflow's side: every request is approved with the world's form.
func (w *world) Form(context.Context, bun.IDB, id.ID) (map[string]any, request.Meta, error) {
	return w.form, request.Meta{Requester: w.requester, Status: "APPROVED"}, nil
}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, clock: testkit.Clock()}
	rules := org.NewTable(sponsor.Rules(), property.Rules())
	teller := func(_ *store.Tx, m tell.Message) { w.told = append(w.told, m) }
	w.property = property.New(db, w.clock, rules, property.Options{Location: shanghai})
	w.svc = sponsor.New(db, w.clock, rules, sponsor.Options{Location: shanghai, Purchases: w.property, Requests: w, Tell: teller})
	w.handlers = mk.Handlers{"sponsor.overdue": w.svc.OnOverdue, "workflow.approved": w.svc.OnApprovedAgree, "property.purchase.changed": w.svc.OnPurchaseChanged}
	w.handlers.Route()
	mk.Federation(t, db)
	w.head = org.Actor{Person: mk.Officer(t, db, "沈悦", "liaison.head"), Lang: "zh"}
	w.member = org.Actor{Person: mk.Officer(t, db, "外联干事", "liaison.member"), Lang: "zh"}
	w.finance = org.Actor{Person: mk.Officer(t, db, "财务老师", "league.finance"), Lang: "zh"}
	w.keeper = org.Actor{Person: mk.Officer(t, db, "何静", "office.head"), Lang: "zh"}
	w.company = must(t)(w.svc.CreateOrganisation(bg, w.head, sponsor.OrganisationInput{Kind: sponsor.Company, Name: "星河科技", IdempotencyKey: "o"}))
	return w
}

func must(t *testing.T) func(id.ID, error) id.ID {
	return func(one id.ID, err error) id.ID {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return one
	}
}

func (w *world) act(a org.Actor, in sponsor.ActInput) error {
	_, err := w.svc.Act(bg, a, in)
	return err
}

// pledge opens a pledge of the kind by the member and brings it to AGREED.
func (w *world) pledge(kind sponsor.Kind, amount int64) id.ID {
	w.t.Helper()
	p, err := w.svc.CreatePledge(bg, w.member, sponsor.PledgeInput{Organisation: w.company, Kind: kind, Amount: amount})
	if err == nil {
		err = w.act(w.head, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActAgree, Amount: amount, Due: w.clock.Now().AddDate(0, 0, 10)})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return p.Pledge
}

// received brings a pledge to RECEIVED.
func (w *world) received(amount int64) id.ID {
	w.t.Helper()
	p := w.pledge(sponsor.Cash, amount)
	if err := w.act(w.finance, sponsor.ActInput{Pledge: p, Action: sponsor.ActReceive, Amount: amount, Voucher: "V-" + p.String()}); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) purchase(total int64) id.ID {
	w.t.Helper()
	p, err := store.InTx(bg, w.db, store.Internal("purchase"), func(ctx context.Context, tx *store.Tx) (*property.Purchase, error) {
		return w.property.CreatePurchase(ctx, tx, property.PurchaseInput{Request: id.New(), Total: total, Owner: id.New()}, w.clock.Now())
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p.ID
}

func (w *world) drain() { w.t.Helper(); w.handlers.Drain(w.t, w.db, w.clock) }

// books checks what must hold whatever happened: the ledger sums to zero, no
// pledge spent more than it got, and each pledge's account is what is left.
func (w *world) books() map[string]int64 {
	w.t.Helper()
	sum, err := w.svc.LedgerSum(bg, w.head)
	if err != nil || sum != 0 {
		w.t.Fatalf("the ledger sums to %d, %v", sum, err)
	}
	rows, err := w.svc.Balances(bg, w.head)
	if err != nil {
		w.t.Fatal(err)
	}
	out, total := map[string]int64{}, int64(0)
	for _, b := range rows {
		out[b.Account] = b.Amount
		total += b.Amount
	}
	if total != 0 {
		w.t.Fatalf("the balances sum to %d: %v", total, rows)
	}
	pledges, _, err := w.svc.Pledges(bg, w.head, sponsor.PledgeFilter{}, store.Page{First: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range pledges {
		if got := out["pledge:"+p.ID.String()]; got != p.Received-p.Allocated || got < 0 {
			w.t.Fatalf("pledge %s: the account has %d, the pledge %d − %d", p.Number, got, p.Received, p.Allocated)
		}
	}
	return out
}

func (w *world) toldAbout(topic string) (n int) {
	for _, m := range w.told {
		if m.Topic == topic {
			n++
		}
	}
	return n
}
