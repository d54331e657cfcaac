package repair_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"kelian/desk/repair"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/internal/testkit/make"
	"kelian/org"
)

const east = "东区 3 号楼"

func TestIncidentOpensOneTicketAndAnswersReports(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		early := d.submit(network(1, "东区3号楼")) // before anybody knew, and spelled otherwise
		elsewhere := d.submit(network(2, "西区 1 号楼"))
		incident := d.outage(east)
		d.emit("netmon.incident.opened", map[string]id.ID{"incident": incident}) // told twice
		own := d.incidentTicket(incident)
		if own.State != repair.Assigned || own.WorkerName != "周航" || own.Title.Zh != "接入交换机 2 断开" {
			t.Fatalf("%+v", own)
		}
		late := d.submit(network(3, east))
		if late.Outage == nil || late.Outage.Worker != "周*" || late.Outage.Title.En != "access switch 2 is down" || late.Outage.Ticket != own.Number {
			t.Fatalf("the answer to the report: %+v", late.Outage)
		}
		for _, r := range []repair.Receipt{early, late} {
			v, err := d.svc.ByLink(bg, r.Token)
			if err != nil || v.Outage == nil || v.Outage.Worker != "周*" || v.State != repair.Submitted {
				t.Errorf("the ticket's page: %+v, %v", v.Outage, err)
			}
		}
		if v, err := d.svc.ByLink(bg, elsewhere.Token); err != nil || v.Outage != nil {
			t.Errorf("another building follows the incident too: %+v, %v", v.Outage, err)
		}
		if in := report(4); d.submit(in).Outage != nil {
			t.Error("a broken computer follows the incident")
		}
		// Who works on the incident is enough; nobody is sent for the report.
		if _, err := d.svc.Triage(bg, as(d.head), repair.TriageInput{Ticket: late.Ticket}); !fault.IsRule(err, "ATTACHED") {
			t.Errorf("triage of a report that follows: %v", err)
		}
		_, edges, _, err := outbox.Trace(bg, db, outbox.Ref{Kind: "inc", ID: incident})
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]int{}
		for _, e := range edges {
			kinds[e.Kind]++
		}
		if kinds["repair"] != 1 || kinds["reported"] != 2 || kinds["assigned"] != 1 {
			t.Errorf("links from the incident: %v", kinds)
		}
	})
}

func TestRecoveryCancelsWhatNobodyBegan(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		incident := d.outage(east)
		r := d.submit(network(1, east))
		own := d.incidentTicket(incident)
		d.recovered(incident)
		if v := d.state(own.ID, repair.Cancelled); v.Reason != repair.ReasonRecovered {
			t.Errorf("reason %q", v.Reason)
		}
		if v := d.state(r.Ticket, repair.Cancelled); v.Reason != repair.ReasonRecovered {
			t.Errorf("reason %q", v.Reason)
		}
		if got := d.toldOf(r.Ticket); !slices.Equal(got, []string{"repair.received", "repair.recovered"}) {
			t.Errorf("the reporter was told %v", got)
		}
		if d.load(d.zhou) != 0 {
			t.Error("the technician still has the offer")
		}
		d.pass(time.Hour)
		d.state(own.ID, repair.Cancelled)
		// Somebody whose network is not back says so, and is on their own then.
		if _, err := d.svc.DoByLink(bg, student, repair.ActReopen, repair.LinkInput{Token: r.Token}); err != nil {
			t.Fatal(err)
		}
		if v := d.state(r.Ticket, repair.Assigned); !v.Incident.IsZero() {
			t.Error("the reopened report still follows the incident")
		}
	})
}

func TestStartedWorkOutlivesTheRecovery(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		incident := d.outage(east)
		own := d.incidentTicket(incident)
		d.do(d.zhou, repair.ActAccept, own.ID)
		d.recovered(incident)
		d.state(own.ID, repair.InProgress)
		lines, err := d.svc.Timeline(bg, as(d.zhou), own.ID)
		if err != nil || lines[len(lines)-1].Reason != repair.ReasonRecovered {
			t.Errorf("no note of the recovery: %+v, %v", lines, err)
		}
		if d.load(d.zhou) != 1 {
			t.Error("the technician lost the ticket")
		}
	})
}

func TestFixTellsEverybodyWhoFollows(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		incident := d.outage(east)
		var receipts []repair.Receipt
		for i := range 130 { // more than one batch
			receipts = append(receipts, d.submit(network(i, east)))
		}
		own := d.incidentTicket(incident)
		d.do(d.zhou, repair.ActAccept, own.ID)
		d.do(d.zhou, repair.ActFix, own.ID)
		d.drain()
		for _, r := range receipts {
			if got := d.toldOf(r.Ticket); !slices.Equal(got, []string{"repair.received", "repair.fixed"}) {
				t.Fatalf("a reporter was told %v", got)
			}
		}
		n, err := d.svc.Count(bg, as(d.head), repair.Filter{Incident: incident, States: []repair.State{repair.Closed}})
		if err != nil || n != 130 {
			t.Errorf("%d reports are closed, %v", n, err)
		}
		// The incident's end tells nobody a second time.
		d.recovered(incident)
		if got := d.toldOf(receipts[0].Ticket); len(got) != 2 {
			t.Errorf("told again: %v", got)
		}
	})
}

// A report that comes in while its incident is being closed does not wait for
// ever.
func TestReportThatMissedTheEnd(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		incident := d.outage(east)
		r := d.submit(network(1, east))
		info, _ := d.Incident(bg, db.R, incident)
		info.Closed = true
		d.set(incident, info) // its event went by before the report was there
		d.pass(repair.DispatchWait)
		d.state(r.Ticket, repair.Cancelled)
		if got := d.toldOf(r.Ticket); got[len(got)-1] != "repair.recovered" {
			t.Errorf("told %v", got)
		}
	})
}

func TestPartStopsTheClockUntilItArrives(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		own := d.incidentTicket(d.outage(east))
		d.do(d.zhou, repair.ActAccept, own.ID)
		if _, err := d.svc.NeedPart(bg, as(d.zhou), repair.NeedPartInput{Ticket: own.ID, Text: "光模块", Amount: 68000}); err != nil {
			t.Fatal(err)
		}
		v := d.state(own.ID, repair.WaitingParts)
		if !v.Paused || v.Request.IsZero() || len(d.requests) != 1 || d.requests[0].Amount != 68000 || d.requests[0].Number != own.Number {
			t.Fatalf("%+v %+v", v, d.requests)
		}
		purchase := outbox.Ref{Kind: "pur", ID: id.New()}
		make.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			outbox.Link(tx, outbox.Ref{Kind: "req", ID: v.Request}, purchase, "approved", d.clock.Now())
			return nil
		})
		d.emit("property.purchase.changed", map[string]any{"purchase": purchase.ID, "state": "ORDERED"})
		d.state(own.ID, repair.WaitingParts)
		d.clock.Advance(10 * 24 * time.Hour)
		d.emit("property.purchase.changed", map[string]any{"purchase": purchase.ID, "state": "ARRIVED"})
		v = d.state(own.ID, repair.InProgress)
		if v.Paused || v.PausedFor != 10*24*time.Hour || v.Late {
			t.Errorf("%+v", v)
		}
		nodes, _, _, err := outbox.Trace(bg, db, purchase)
		if err != nil || !slices.ContainsFunc(nodes, func(r outbox.Ref) bool { return r.Kind == "inc" }) || !slices.ContainsFunc(nodes, func(r outbox.Ref) bool { return r.ID == own.ID }) {
			t.Errorf("the purchase does not lead back to the incident: %v, %v", nodes, err)
		}
	})
}

func TestRefusedPurchaseGivesTheTicketBack(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		own := d.incidentTicket(d.outage(east))
		d.do(d.zhou, repair.ActAccept, own.ID)
		request := outbox.Ref{Kind: "req", ID: id.New()}
		wait := func(actor org.Actor) error {
			_, err := store.InTx(bg, db, store.Internal("other"), func(ctx context.Context, tx *store.Tx) (int, error) {
				return 0, d.svc.WaitForParts(ctx, tx, actor, own.ID, request)
			})
			return err
		}
		if err := wait(as(d.lin)); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("a colleague's request stops the clock: %v", err)
		}
		if err := wait(as(d.zhou)); err != nil {
			t.Fatal(err)
		}
		if v := d.state(own.ID, repair.WaitingParts); v.Request != request.ID {
			t.Fatalf("%+v", v)
		}
		d.emit("workflow.rejected", map[string]id.ID{"request": request.ID})
		d.state(own.ID, repair.InProgress)
		lines, err := d.svc.Timeline(bg, as(d.zhou), own.ID)
		if err != nil || lines[len(lines)-1].Reason != "PURCHASE_REJECTED" {
			t.Errorf("%+v %v", lines, err)
		}
	})
}
