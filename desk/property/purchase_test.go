package property_test

import (
	"context"
	"testing"
	"time"

	"kelian/desk/property"
	"kelian/desk/request"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"
)

func part(ticket id.ID) map[string]any {
	return map[string]any{"action": "buy", "ticket": ticket.TypeID("tkt"),
		"items": []any{map[string]any{"name": "光模块", "item": "sfp", "qty": float64(2)}}, "prices": []any{float64(86000)}, "total": float64(86000)}
}

func (w *world) fund(p id.ID, amount int64) (done bool, err error) {
	_, err = store.InTx(bg, w.db, store.Internal("fund"), func(ctx context.Context, tx *store.Tx) (int, error) {
		done, err = w.svc.Fund(ctx, tx, p, amount, w.clock.Now())
		return 0, err
	})
	return done, err
}

func (w *world) purchases() []property.Purchase {
	w.t.Helper()
	rows, _, err := w.svc.Purchases(bg, w.keeper, property.PurchaseFilter{}, store.Page{First: 50})
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

func TestAPurchaseFromApprovalToArrival(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		head := mk.Officer(t, db, "沈悦", "liaison.head")
		sfp := w.item("sfp", property.Stock, 0)
		ticket := id.New()
		if n, err := w.fact(property.FactStock, part(ticket), id.Nil); err != nil || n != int64(0) {
			t.Fatalf("stock %v %v", n, err)
		}
		req := w.submit(part(ticket))
		w.status(req, "APPROVED", property.EffectPurchase)
		// The effect a second time makes no second purchase.
		w.status(req, "APPROVED", property.EffectPurchase)
		all := w.purchases()
		if len(all) != 1 {
			t.Fatalf("%+v", all)
		}
		p := all[0]
		if p.Number != "采购 2026-0001" || p.State != property.Approved || p.Total != 86000 || p.Ticket != ticket || p.Request != req {
			t.Fatalf("%+v", p)
		}
		if w.toldAbout("purchase.approved") != 3 || w.told[len(w.told)-1].Params["total"] != "860" {
			t.Fatalf("%+v", w.told)
		}
		nodes, _, _, err := outbox.Trace(bg, db, p.Ref())
		if err != nil || len(nodes) != 2 || nodes[1] != (outbox.Ref{Kind: "req", ID: req}) {
			t.Fatal(nodes, err)
		}

		in := property.PurchaseActInput{Purchase: p.ID, IdempotencyKey: "o"}
		if _, err := w.svc.Order(bg, w.keeper, in); !fault.IsRule(err, "WRONG_STATE") {
			t.Fatalf("ordered without money: %v", err)
		}
		if done, err := w.fund(p.ID, 60000); err != nil || done {
			t.Fatal(done, err)
		}
		if _, err := w.fund(p.ID, 26001); !fault.IsRule(err, "TOO_MUCH") {
			t.Fatal(err)
		}
		if done, err := w.fund(p.ID, 26000); err != nil || !done {
			t.Fatal(done, err)
		}
		if _, err := w.fund(p.ID, 1); !fault.IsRule(err, "WRONG_STATE") {
			t.Fatal(err)
		}
		if _, err := w.svc.Order(bg, org.Actor{Person: head}, in); !fault.Is(err, fault.Forbidden) {
			t.Fatal(err)
		}
		if out, err := w.svc.Order(bg, w.keeper, in); err != nil || out.State != property.Ordered {
			t.Fatal(out, err)
		}
		in.IdempotencyKey = "a"
		out, err := w.svc.Arrive(bg, w.keeper, in)
		if err != nil || out.State != property.Arrived {
			t.Fatal(out, err)
		}
		if again, err := w.svc.Arrive(bg, w.keeper, in); err != nil || again != out {
			t.Fatal(again, err)
		}
		items, err := w.svc.Items(bg, w.keeper)
		if err != nil || len(items) != 1 || items[0].ID != sfp || items[0].Quantity != 2 {
			t.Fatalf("%+v %v", items, err)
		}
		if n, err := w.fact(property.FactStock, part(ticket), id.Nil); err != nil || n != int64(1) {
			t.Fatalf("stock %v %v", n, err)
		}
		var states []string
		if err := db.R.NewRaw(`SELECT payload FROM outbox WHERE topic = 'property.purchase.changed' ORDER BY version`).Scan(bg, &states); err != nil || len(states) != 4 {
			t.Fatal(states, err)
		}
	})
}

func TestCancelledPurchasesAndWhoSeesThem(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		req := w.submit(map[string]any{"amount": float64(5000)})
		owner := mk.Officer(t, db, "阿依努尔·买买提", "society.robotics.chair")
		w.requests[req].meta.Requester = owner
		w.status(req, "APPROVED", property.EffectPurchase)
		p := w.purchases()[0]
		stranger := org.Actor{Person: mk.Officer(t, db, "别的会长", "society.astronomy.chair")}
		if _, _, err := w.svc.PurchaseByID(bg, stranger, p.ID); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		if rows, _, err := w.svc.Purchases(bg, stranger, property.PurchaseFilter{Owner: owner}, store.Page{First: 20}); err != nil || len(rows) != 0 {
			t.Fatal(rows, err)
		}
		in := property.PurchaseActInput{Purchase: p.ID, Reason: "不需要了", IdempotencyKey: "c"}
		if _, err := w.svc.Cancel(bg, stranger, in); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		got, lines, err := w.svc.PurchaseByID(bg, org.Actor{Person: owner}, p.ID)
		if err != nil || got.Total != 5000 || len(lines) != 1 || lines[0].Name != "开放日" {
			t.Fatal(got, lines, err)
		}
		if _, err := w.fund(p.ID, 5000); err != nil {
			t.Fatal(err)
		}
		if _, err := w.svc.Cancel(bg, org.Actor{Person: owner}, property.PurchaseActInput{Purchase: p.ID}); !fault.Is(err, fault.BadUserInput) {
			t.Fatalf("without a reason: %v", err)
		}
		if out, err := w.svc.Cancel(bg, org.Actor{Person: owner}, in); err != nil || out.State != property.Cancelled {
			t.Fatal(out, err)
		}
		if _, err := w.fund(p.ID, 1); !fault.IsRule(err, "WRONG_STATE") {
			t.Fatalf("money for a cancelled purchase: %v", err)
		}
		if got, _, _ := w.svc.PurchaseByID(bg, w.keeper, p.ID); got.Funded != 0 || got.Reason != "不需要了" {
			t.Fatalf("%+v", got)
		}
	})
}

// A definition that lets a form without an amount through buys nothing, and the
// row is dead at once instead of being tried for a day.
func TestAFormThatBuysNothingIsAPermanentFault(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		req := id.New()
		w.requests[req] = &asked{map[string]any{}, request.Meta{Requester: id.New(), Status: "APPROVED"}}
		w.event("workflow.approved", map[string]any{"request": req, "effect": property.EffectPurchase})
		rows, err := outbox.Claim(bg, db, outbox.QueueDefault, w.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			d, err := outbox.Load(bg, db, r.ID, r.Attempt)
			if err != nil {
				t.Fatal(err)
			}
			if d.Consumer != "purchase" {
				continue
			}
			if err := outbox.Fail(bg, db, d, w.clock.Now(), w.svc.OnApprovedPurchase(bg, d)); err != nil {
				t.Fatal(err)
			}
		}
		w.clock.Advance(time.Minute)
		if s, err := outbox.Measure(bg, db, w.clock.Now()); err != nil || s.Dead != 1 {
			t.Fatalf("%+v %v", s, err)
		}
	})
}

// One definition asks for loans, purchases and write-offs with both effects.
func TestALoanIsReservedAndBuysNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		projector := w.item("projector", property.Equipment, 1)
		day := func(n int) string { return testkit.Start.AddDate(0, 0, n).In(shanghai).Format(time.DateOnly) }
		req := w.submit(map[string]any{"action": "loan", "from": day(2), "to": day(3),
			"items": []any{map[string]any{"name": "投影仪", "item": "projector", "qty": float64(1)}}})
		w.status(req, "APPROVED", property.EffectPurchase, property.EffectReserve)
		if got := w.busy(projector); len(got) != 1 || got[0].State != property.Reserved {
			t.Fatalf("%+v", got)
		}
		scrap := w.submit(map[string]any{"action": "scrap", "items": []any{map[string]any{"name": "旧投影仪", "qty": float64(1)}}, "prices": []any{float64(90000)}, "total": float64(90000)})
		w.status(scrap, "APPROVED", property.EffectPurchase, property.EffectReserve)
		if got := w.purchases(); len(got) != 0 {
			t.Fatalf("%+v", got)
		}
	})
}

func TestItemsBelongToTheirUnit(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.item("mike", property.Equipment, 5)
		other := org.Actor{Person: mk.Officer(t, db, "宣传部长", "publicity.head")}
		in := property.ItemInput{Code: "mike", Kind: property.Equipment, NameZh: "话筒", Quantity: 9, Unit: "publicity", IdempotencyKey: "x"}
		if _, err := w.svc.SaveItem(bg, other, in); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("took over the office's things: %v", err)
		}
		in.Code = "camera"
		if _, err := w.svc.SaveItem(bg, other, in); err != nil {
			t.Fatal(err)
		}
		in.Code, in.Unit = "pen", "office"
		if _, err := w.svc.SaveItem(bg, other, in); err == nil {
			t.Fatal("put things into another unit's custody")
		}
		place := property.PlaceInput{Code: "A1", Kind: property.Room, NameZh: "教室", Unit: "office", IdempotencyKey: "p"}
		if _, err := w.svc.SavePlace(bg, other, place); err != nil {
			t.Fatal(err)
		}
		place.IdempotencyKey, place.NameZh = "p2", "报告厅"
		if _, err := w.svc.SavePlace(bg, other, place); err != nil {
			t.Fatal(err)
		}
		if rows, err := w.svc.Places(bg, other); err != nil || len(rows) != 1 || rows[0].NameZh != "报告厅" {
			t.Fatal(rows, err)
		}
	})
}
