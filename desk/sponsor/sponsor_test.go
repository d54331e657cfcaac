package sponsor_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/desk/property"
	"kelian/desk/sponsor"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"

	"pgregory.net/rapid"
)

func TestAPledgePaysForAPurchase(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		plg, pur := w.received(200000), w.purchase(86000)
		in := sponsor.AllocateInput{Pledge: plg, Purchase: pur, Amount: 86000, IdempotencyKey: "k"}
		if _, err := w.svc.Allocate(bg, w.member, in); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("a member spent money: %v", err)
		}
		got, err := w.svc.Allocate(bg, w.head, in)
		if err != nil || got.Left != 114000 || !got.Funded {
			t.Fatal(got, err)
		}
		if again, err := w.svc.Allocate(bg, w.head, in); err != nil || again != got {
			t.Fatalf("the press twice: %+v %v", again, err)
		}
		p, _, err := w.property.PurchaseByID(bg, w.keeper, pur)
		if err != nil || p.State != property.Funded {
			t.Fatal(p, err)
		}
		books := w.books()
		if books["pledge:"+plg.String()] != 114000 || books["purchase:"+pur.String()] != 86000 || books["sponsor:"+w.company.String()] != -200000 {
			t.Fatalf("%v", books)
		}
		owed, err := w.svc.ThanksOf(bg, w.member)
		if err != nil || len(owed) != 1 || owed[0].Purchase != pur || w.toldAbout("pledge.thanks") != 2 {
			t.Fatal(owed, w.told, err)
		}
		nodes, _, _, err := outbox.Trace(bg, db, owed[0].Ref())
		want := map[outbox.Ref]bool{{Kind: "plg", ID: plg}: true, {Kind: "led", ID: got.Entry}: true, {Kind: "pur", ID: pur}: true}
		for _, n := range nodes {
			delete(want, n)
		}
		if err != nil || len(want) != 0 {
			t.Fatalf("the trace lacks %v, %v", want, err)
		}
		if _, err := w.svc.Allocate(bg, w.head, sponsor.AllocateInput{Pledge: plg, Purchase: pur, Amount: 1}); !fault.IsRule(err, "WRONG_STATE") {
			t.Fatalf("a purchase that has all it needs: %v", err)
		}
		// The goods come: the money is spent, the thanks stay owed until said.
		if _, err := w.property.Arrive(bg, w.keeper, property.PurchaseActInput{Purchase: pur}); err != nil {
			t.Fatal(err)
		}
		w.drain()
		if b := w.books(); b["spent"] != 86000 || b["purchase:"+pur.String()] != 0 {
			t.Fatalf("%v", b)
		}
		for _, a := range []sponsor.Action{sponsor.ActDeliver, sponsor.ActThank} {
			if err := w.act(w.member, sponsor.ActInput{Pledge: plg, Action: a}); err != nil {
				t.Fatal(err)
			}
		}
		if owed, _ := w.svc.ThanksOf(bg, w.member); len(owed) != 0 {
			t.Fatalf("still owed: %+v", owed)
		}
	})
}

func TestWhatCannotBeSpent(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		pur := w.purchase(86000)
		agreed := w.pledge(sponsor.Cash, 200000)
		goods := w.pledge(sponsor.Goods, 200000)
		if err := w.act(w.finance, sponsor.ActInput{Pledge: goods, Action: sponsor.ActReceive, Amount: 200000, Voucher: "G-1"}); err != nil {
			t.Fatal(err)
		}
		small := w.received(50000)
		for _, c := range []struct {
			pledge id.ID
			reason string
		}{{agreed, "NOT_RECEIVED"}, {goods, "NOT_CASH"}, {small, "NOT_ENOUGH"}} {
			if _, err := w.svc.Allocate(bg, w.head, sponsor.AllocateInput{Pledge: c.pledge, Purchase: pur, Amount: 86000}); !fault.IsRule(err, c.reason) {
				t.Errorf("want %s: %v", c.reason, err)
			}
		}
		if _, err := w.svc.Allocate(bg, w.head, sponsor.AllocateInput{Pledge: small, Purchase: id.New(), Amount: 1}); !fault.Is(err, fault.NotFound) {
			t.Error(err)
		}
		if p, err := w.svc.PledgeByID(bg, w.head, small); err != nil || p.Allocated != 0 {
			t.Fatalf("a refused allocation left %+v %v", p, err)
		}
		// Two pledges together pay for it.
		if got, err := w.svc.Allocate(bg, w.head, sponsor.AllocateInput{Pledge: small, Purchase: pur, Amount: 50000}); err != nil || got.Funded {
			t.Fatal(got, err)
		}
		other := w.received(100000)
		if _, err := w.svc.Allocate(bg, w.head, sponsor.AllocateInput{Pledge: other, Purchase: pur, Amount: 50000}); !fault.IsRule(err, "TOO_MUCH") {
			t.Fatal(err)
		}
		if got, err := w.svc.Allocate(bg, w.head, sponsor.AllocateInput{Pledge: other, Purchase: pur, Amount: 36000}); err != nil || !got.Funded || got.Left != 64000 {
			t.Fatal(got, err)
		}
		w.books()
		// Cancelled, each pledge has its own again, once.
		if _, err := w.property.Cancel(bg, w.keeper, property.PurchaseActInput{Purchase: pur, Reason: "不要了"}); err != nil {
			t.Fatal(err)
		}
		w.drain()
		mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			outbox.Put(tx, outbox.Event{Topic: "property.purchase.changed", Payload: property.Changed{Purchase: pur, State: property.Cancelled}})
			return nil
		})
		w.drain()
		if b := w.books(); b["pledge:"+small.String()] != 50000 || b["pledge:"+other.String()] != 100000 {
			t.Fatalf("%v", b)
		}
		if owed, _ := w.svc.ThanksOf(bg, w.head); len(owed) != 0 {
			t.Fatalf("thanks owed for nothing: %+v", owed)
		}
	})
}

func TestThirtyTwoAllocatorsNeverOverspend(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		plg := w.received(100000)
		purchases := make([]id.ID, 32)
		for i := range purchases {
			purchases[i] = w.purchase(int64(9000 + i%3*1000))
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var spent int64
		refused := 0
		for i, pur := range purchases {
			wg.Go(func() {
				amount := int64(9000 + i%3*1000)
				_, err := w.svc.Allocate(bg, w.head, sponsor.AllocateInput{Pledge: plg, Purchase: pur, Amount: amount, IdempotencyKey: pur.String()})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					spent += amount
				case fault.IsRule(err, "NOT_ENOUGH"):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		p, err := w.svc.PledgeByID(bg, w.head, plg)
		if err != nil || p.Allocated != spent || spent > 100000 || spent <= 100000-11000 || refused == 0 {
			t.Fatalf("allocated %+v, spent %d, %d refused, %v", p, spent, refused, err)
		}
		w.books()
	})
}

// Whatever is received, allocated, cancelled and bought in whatever order, the
// books balance and say what a plain model says.
func TestTheLedgerAgainstAPlainModel(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		rapid.Check(t, func(rt *rapid.T) {
			left := map[id.ID]int64{}
			var pledges, purchases []id.ID
			for range rapid.IntRange(1, 2).Draw(rt, "pledges") {
				n := rapid.Int64Range(1, 500).Draw(rt, "received")
				p := w.received(n)
				pledges, left[p] = append(pledges, p), n
			}
			total, funded, from := map[id.ID]int64{}, map[id.ID]int64{}, map[id.ID]map[id.ID]int64{}
			for range rapid.IntRange(1, 2).Draw(rt, "purchases") {
				n := rapid.Int64Range(1, 300).Draw(rt, "total")
				p := w.purchase(n)
				purchases, total[p], from[p] = append(purchases, p), n, map[id.ID]int64{}
			}
			over := map[id.ID]bool{}
			for range rapid.IntRange(1, 6).Draw(rt, "steps") {
				plg, pur := rapid.SampledFrom(pledges).Draw(rt, "pledge"), rapid.SampledFrom(purchases).Draw(rt, "purchase")
				if rapid.IntRange(0, 4).Draw(rt, "end") == 0 {
					_, err := w.property.Cancel(bg, w.keeper, property.PurchaseActInput{Purchase: pur, Reason: "x"})
					if (err == nil) == over[pur] {
						rt.Fatalf("cancel: %v, over %v", err, over[pur])
					}
					w.drain()
					for p, n := range from[pur] {
						left[p] += n
					}
					over[pur], from[pur] = true, nil
					continue
				}
				n := rapid.Int64Range(1, 300).Draw(rt, "amount")
				fits := n <= left[plg] && funded[pur]+n <= total[pur] && !over[pur]
				_, err := w.svc.Allocate(bg, w.head, sponsor.AllocateInput{Pledge: plg, Purchase: pur, Amount: n})
				if (err == nil) != fits {
					rt.Fatalf("%d of %d left, %d of %d funded, over %v: %v", n, left[plg], funded[pur], total[pur], over[pur], err)
				}
				if fits {
					left[plg] -= n
					funded[pur] += n
					from[pur][plg] += n
				}
			}
			for p, n := range left {
				got, err := w.svc.PledgeByID(bg, w.head, p)
				if err != nil || got.Left() != n {
					rt.Fatalf("%+v %v, the model has %d", got, err, n)
				}
			}
		})
		w.books()
	})
}

func TestTheSchemaKeepsTheBooks(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		plg, pur := w.received(1000), w.purchase(600)
		got, err := w.svc.Allocate(bg, w.head, sponsor.AllocateInput{Pledge: plg, Purchase: pur, Amount: 600})
		if err != nil {
			t.Fatal(err)
		}
		insert := `INSERT INTO ledger_entry (id, kind, from_account, to_account, amount, pledge, purchase, reverses, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`
		row := func(kind, from, to string, n int64, reverses any) []any {
			return []any{id.New(), kind, from, to, n, plg, pur, reverses, testkit.Start}
		}
		for name, c := range map[string]struct {
			sql  string
			args []any
		}{
			"overspent":              {`UPDATE pledge SET allocated = 1001 WHERE id = ?`, []any{plg}},
			"below zero":             {`UPDATE pledge SET allocated = -1 WHERE id = ?`, []any{plg}},
			"a changed entry":        {`UPDATE ledger_entry SET amount = 1 WHERE id = ?`, []any{got.Entry}},
			"a deleted entry":        {`DELETE FROM ledger_entry WHERE id = ?`, []any{got.Entry}},
			"nothing moved":          {insert, row("ALLOCATE", "a", "b", 0, nil)},
			"moved to itself":        {insert, row("ALLOCATE", "a", "a", 5, nil)},
			"a return of nothing":    {insert, row("RETURN", "a", "b", 5, nil)},
			"confirmed by its owner": {`UPDATE pledge SET received_by = owner WHERE id = ?`, []any{plg}},
			"without a voucher":      {`UPDATE pledge SET voucher = NULL WHERE id = ?`, []any{plg}},
			"funded too little":      {`UPDATE purchase SET funded = 599 WHERE id = ?`, []any{pur}},
		} {
			_, err := store.InTx(bg, db, store.Internal("raw"), func(ctx context.Context, tx *store.Tx) (int, error) {
				_, err := tx.NewRaw(c.sql, c.args...).Exec(ctx)
				return 0, err
			})
			if !store.IsConstraint(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for i, want := range []bool{true, false} {
			_, err := store.InTx(bg, db, store.Internal("raw"), func(ctx context.Context, tx *store.Tx) (int, error) {
				_, err := tx.NewRaw(insert, row("SPEND", "a", "b", 600, got.Entry)...).Exec(ctx)
				return 0, err
			})
			if (err == nil) != want {
				t.Errorf("taking an entry back, time %d: %v", i+1, err)
			}
		}
	})
}

func TestAPledgesWayAndWhoMayWalkIt(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		p, err := w.svc.CreatePledge(bg, w.member, sponsor.PledgeInput{Organisation: w.company, Kind: sponsor.Cash, IdempotencyKey: "p"})
		if err != nil || p.State != sponsor.Lead {
			t.Fatal(p, err)
		}
		due := w.clock.Now().AddDate(0, 0, 10)
		agree := sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActAgree, Amount: 200000, Due: due, Returns: "海报署名"}
		receive := sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActReceive, Amount: 150000, Voucher: "2026-记-118"}
		for _, c := range []struct {
			who  org.Actor
			in   sponsor.ActInput
			want fault.Code
		}{
			{w.finance, receive, fault.Rule},
			{w.member, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActContact}, ""},
			{w.member, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActNegotiate}, ""},
			{w.member, agree, fault.Forbidden},
			{w.head, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActAgree, Amount: 200000, Due: w.clock.Now()}, fault.BadUserInput},
			{w.head, agree, ""},
			{w.head, receive, fault.Forbidden},
			{w.finance, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActReceive, Amount: 150000}, fault.BadUserInput},
			{w.finance, receive, ""},
			{w.finance, receive, fault.Rule},
			{w.head, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActLose, Reason: "x"}, fault.Rule},
			{w.member, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActThank}, fault.Rule},
			{w.member, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActDeliver}, ""},
			{org.Actor{Person: mk.Officer(t, db, "会长", "society.robotics.chair")}, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActThank}, fault.NotFound},
			{w.member, sponsor.ActInput{Pledge: p.Pledge, Action: sponsor.ActThank}, ""},
		} {
			if err := w.act(c.who, c.in); (err == nil) != (c.want == "") || err != nil && !fault.Is(err, c.want) {
				t.Fatalf("%s: %v, want %q", c.in.Action, err, c.want)
			}
		}
		got, err := w.svc.PledgeByID(bg, w.head, p.Pledge)
		if err != nil || got.Number != "赞助 2026-0001" || got.Received != 150000 || got.State != sponsor.Thanked || got.Returns != "海报署名" {
			t.Fatalf("%+v %v", got, err)
		}
		// A voucher pays once.
		receive.Pledge = w.pledge(sponsor.Cash, 1000)
		if err := w.act(w.finance, receive); !fault.IsRule(err, "VOUCHER_USED") {
			t.Fatal(err)
		}
		// Who looks after a pledge does not confirm its money, whatever seat he holds.
		both := org.Actor{Person: mk.Officer(t, db, "两职", "league.finance")}
		mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`UPDATE pledge SET owner = ? WHERE id = ?`, both.Person, receive.Pledge)
			return nil
		})
		receive.Voucher = "other"
		if err := w.act(both, receive); !fault.Is(err, fault.Forbidden) {
			t.Fatal(err)
		}
	})
}

func TestAnApprovedAgreement(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		approve := func(form map[string]any) id.ID {
			req := id.New()
			w.form, w.requester = form, w.member.Person
			for range 2 { // the effect twice is one agreement
				mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
					outbox.Put(tx, outbox.Event{Topic: "workflow.approved", Payload: map[string]any{"request": req, "effect": sponsor.EffectAgree}})
					return nil
				})
				w.drain()
			}
			return req
		}
		lead, err := w.svc.CreatePledge(bg, w.member, sponsor.PledgeInput{Organisation: w.company, Kind: sponsor.Cash})
		if err != nil {
			t.Fatal(err)
		}
		form := map[string]any{"lead": lead.Pledge.TypeID("plg"), "company": "星河科技", "kind": "cash", "amount": float64(200000),
			"returns": []any{map[string]any{"what": "海报署名", "by": "2026-11-01"}, map[string]any{"what": "开幕致谢"}}}
		req := approve(form)
		p, err := w.svc.PledgeByID(bg, w.head, lead.Pledge)
		if err != nil || p.State != sponsor.Agreed || p.Amount != 200000 || !strings.HasPrefix(p.Returns, "海报署名") || !p.DueAt.After(w.clock.Now()) {
			t.Fatalf("%+v %v", p, err)
		}
		if nodes, _, _, err := outbox.Trace(bg, db, p.Ref()); err != nil || len(nodes) != 2 || nodes[1].ID != req {
			t.Fatal(nodes, err)
		}
		// A form without a record opens one, for a company known or not.
		delete(form, "lead")
		for _, c := range []string{"新来的商家", "星河科技"} {
			form["company"] = c
			approve(form)
		}
		all, _, err := w.svc.Pledges(bg, w.head, sponsor.PledgeFilter{State: sponsor.Agreed}, store.Page{First: 10})
		if err != nil || len(all) != 3 {
			t.Fatal(all, err)
		}
		for _, p := range all {
			if p.Owner != w.member.Person || p.Number == "" {
				t.Fatalf("%+v", p)
			}
		}
		if found, err := w.svc.Organisations(bg, w.head, ""); err != nil || len(found) != 2 {
			t.Fatal(found, err)
		}
		// An agreement that does not come is brought to mind.
		w.clock.Advance(31 * 24 * time.Hour)
		w.drain()
		if n := w.toldAbout("pledge.overdue"); n != 2*3 {
			t.Fatalf("%d told of three overdue pledges", n)
		}
	})
}

func TestAnOverduePledgeIsBroughtToMindUntilItComes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		p := w.pledge(sponsor.Cash, 200000)
		after := func(d time.Duration) int {
			w.clock.Advance(d)
			w.drain()
			return w.toldAbout("pledge.overdue") / 2 // its owner and the head
		}
		day := 24 * time.Hour
		if n := after(9 * day); n != 0 {
			t.Fatalf("%d before the date", n)
		}
		if n := after(day); n != 1 || w.told[len(w.told)-1].Params["date"] != "2026-10-24" || w.told[len(w.told)-1].Params["organisation"] != "星河科技" {
			t.Fatalf("%d on the date: %+v", n, w.told)
		}
		if rows, err := w.svc.Overdue(bg, w.head, w.clock.Now()); err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		if n := after(7 * day); n != 2 {
			t.Fatalf("%d after a week", n)
		}
		if err := w.act(w.finance, sponsor.ActInput{Pledge: p, Action: sponsor.ActReceive, Amount: 200000, Voucher: "v"}); err != nil {
			t.Fatal(err)
		}
		var timers int
		if err := db.R.NewRaw(`SELECT count(*) FROM outbox WHERE owner = ? AND state = 'pending'`, p).Scan(bg, &timers); err != nil || timers != 0 {
			t.Fatalf("%d timers of a pledge that came, %v", timers, err)
		}
		if n := after(30 * day); n != 2 {
			t.Fatalf("%d after it came", n)
		}
	})
}

func TestContactsAreForTheDeskAndEachLookIsRecorded(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		in := sponsor.ContactInput{Organisation: w.company, Name: "王经理", Phone: "13900002222", IdempotencyKey: "c"}
		c := must(t)(w.svc.AddContact(bg, w.member, in))
		for _, who := range []org.Actor{w.finance, w.keeper} {
			if _, err := w.svc.Contacts(bg, who, w.company); !fault.Is(err, fault.Forbidden) {
				t.Fatal(err)
			}
		}
		got, err := w.svc.Contacts(bg, w.head, w.company)
		if err != nil || len(got) != 1 || got[0].Name != "王经理" || got[0].Phone != "13900002222" {
			t.Fatal(got, err)
		}
		var audits []string
		if err := db.R.NewRaw(`SELECT data FROM audit ORDER BY seq`).Scan(bg, &audits); err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(audits, " "); strings.Contains(all, "王经理") || strings.Contains(all, in.Phone) || !strings.Contains(all, "sponsor.name") {
			t.Fatalf("the audit: %s", all)
		}
		var looks int
		if err := db.R.NewRaw(`SELECT count(*) FROM audit WHERE action = 'sponsor.look' AND actor = ?`, w.head.Person).Scan(bg, &looks); err != nil || looks != 1 {
			t.Fatal(looks, err)
		}
		// The end of keeping moves with every touch.
		w.clock.Advance(90 * 24 * time.Hour)
		w.pledge(sponsor.Cash, 1000)
		var until time.Time
		if err := db.R.NewRaw(`SELECT until FROM personal WHERE subject = ? AND field = 'sponsor.phone'`, c).Scan(bg, &until); err != nil || !until.Equal(w.clock.Now().AddDate(0, 24, 0)) {
			t.Fatal(until, err)
		}
		mk.InTx(t, db, func(ctx context.Context, tx *store.Tx) error { return org.Erase(ctx, tx, c, w.clock.Now()) })
		if got, err := w.svc.Contacts(bg, w.head, w.company); err != nil || got[0].Name != org.Erased || got[0].Phone != "" {
			t.Fatal(got, err)
		}
		if _, err := w.svc.CreateOrganisation(bg, w.head, sponsor.OrganisationInput{Kind: sponsor.Company, Name: "星河科技", IdempotencyKey: "o2"}); !fault.IsRule(err, "EXISTS") {
			t.Fatal(err)
		}
		if found, err := w.svc.Organisations(bg, w.head, "xhkj"); err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
	})
}
