package repair_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"kelian/desk/dispatch"
	"kelian/desk/repair"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

// From the tour: decline, lapse, nobody left, the head, a takeover.
func TestOfferGoesFromHandToHand(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		ticket := d.submit(network(1, "东区 3 号楼")).Ticket
		if out := d.triage(ticket); out.State != repair.Assigned {
			t.Fatalf("triage left %s", out.State)
		}
		v := d.see(ticket)
		if v.WorkerName != "周航" || v.Why.En != "knows networks, free now, 1 of 3; 林小满 is next, equal in everything" {
			t.Fatalf("%s: %s", v.WorkerName, v.Why.En)
		}
		if !slices.Contains(d.toldOf(d.zhou), "repair.offered") {
			t.Error("the technician was not told of the offer")
		}

		if out := d.do(d.zhou, repair.ActDecline, ticket); out.State != repair.Assigned {
			t.Fatalf("a declined offer left %s", out.State)
		}
		v = d.see(ticket)
		if v.WorkerName != "林小满" || v.Why.Zh != "会网络，现在有空，手上第 1 件（最多 3 件）；周航已婉拒" {
			t.Fatalf("%s: %s", v.WorkerName, v.Why.Zh)
		}
		if _, err := d.svc.Do(bg, as(d.zhou), repair.ActAccept, repair.Input{Ticket: ticket}); !fault.IsRule(err, "OFFER_OVER") {
			t.Errorf("accepting what was declined: %v", err)
		}

		if topics := d.pass(14 * time.Minute); slices.Contains(topics, repair.TopicLapsed) {
			t.Fatal("the offer lapsed before its deadline")
		}
		d.pass(2 * time.Minute)
		v = d.state(ticket, repair.Triaged)
		if !v.Unassigned || !v.Worker.IsZero() {
			t.Fatalf("nobody is left, and the ticket says %+v", v)
		}
		if got := d.toldOf(d.head); !slices.Equal(got, []string{"repair.unassigned"}) {
			t.Fatalf("the head was told %v", got)
		}
		if d.load(d.zhou) != 0 || d.load(d.lin) != 0 {
			t.Error("a refused offer still counts")
		}

		// The dispatcher asks again by itself, without telling the head twice.
		d.pass(repair.DispatchWait)
		if got := d.toldOf(d.head); len(got) != 1 {
			t.Errorf("the head was told %v", got)
		}
		if _, err := d.svc.Assign(bg, as(d.head), repair.AssignInput{Ticket: ticket, Person: d.zhou}); err != nil {
			t.Fatal(err)
		}
		d.do(d.zhou, repair.ActAccept, ticket)
		d.pass(time.Hour)
		d.state(ticket, repair.InProgress)

		_, err := d.svc.Do(bg, as(d.lin), repair.ActTakeOver, repair.Input{Ticket: ticket})
		if !fault.IsRule(err, "LEASED") {
			t.Fatalf("a colleague took it at once: %v", err)
		}
		d.clock.Advance(repair.Lease)
		d.do(d.lin, repair.ActTakeOver, ticket)
		if d.load(d.zhou) != 0 || d.load(d.lin) != 1 {
			t.Error("the takeover did not move the load")
		}
		asked, err := d.svc.Assignments(bg, as(d.head), ticket)
		if err != nil {
			t.Fatal(err)
		}
		var states []dispatch.State
		for _, a := range asked {
			states = append(states, a.State)
		}
		want := []dispatch.State{dispatch.StateDeclined, dispatch.Lapsed, dispatch.StateTaken, dispatch.Accepted}
		if !slices.Equal(states, want) {
			t.Errorf("assignments %v, want %v", states, want)
		}
	})
}

func TestLateTimerChangesNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		ticket := d.submit(network(1, "东区 3 号楼")).Ticket
		d.triage(ticket)
		// The timer's row is taken by a worker that is slow; meanwhile the
		// technician accepts.
		d.drain()
		d.clock.Advance(16 * time.Minute)
		rows, err := outbox.Claim(bg, db, outbox.QueueDefault, d.clock.Now())
		if err != nil || len(rows) != 1 {
			t.Fatalf("%v %v", rows, err)
		}
		late, err := outbox.Load(bg, db, rows[0].ID, rows[0].Attempt)
		if err != nil || late.Topic != repair.TopicLapsed {
			t.Fatalf("%v %v", late.Topic, err)
		}
		d.do(d.zhou, repair.ActAccept, ticket)
		if err := d.svc.OnOfferLapsed(bg, late); err != nil && !errors.Is(err, store.ErrStale) {
			t.Fatal(err)
		}
		if v := d.state(ticket, repair.InProgress); v.Worker != d.zhou {
			t.Fatal("a late timer took the ticket away")
		}
		// Word of an older offer says nothing about the one that is open now.
		other := d.submit(network(2, "东区 3 号楼")).Ticket
		d.triage(other)
		first := d.see(other)
		d.do(first.Worker, repair.ActDecline, other)
		open := d.see(other)
		d.emit(repair.TopicLapsed, map[string]id.ID{"ticket": other, "offer": first.Assignment})
		if v := d.state(other, repair.Assigned); v.Assignment != open.Assignment {
			t.Fatal("an older offer's end ended the newer one")
		}
	})
}

func TestParallelTriageNeverExceedsTheCapacity(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		var tickets []id.ID
		for i := range 32 {
			tickets = append(tickets, d.submit(network(i, "东区 3 号楼")).Ticket)
		}
		var wg sync.WaitGroup
		for _, ticket := range tickets {
			wg.Go(func() {
				if _, err := d.svc.Triage(bg, as(d.head), repair.TriageInput{Ticket: ticket}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if d.load(d.zhou) != 3 || d.load(d.lin) != 3 {
			t.Fatalf("loads %d and %d", d.load(d.zhou), d.load(d.lin))
		}
		n, err := d.svc.Count(bg, as(d.head), repair.Filter{States: []repair.State{repair.Assigned}})
		if err != nil || n != 6 {
			t.Fatalf("%d tickets were given out, %v", n, err)
		}
		// One that is finished makes room for one that waits.
		rows, _, err := d.svc.Tickets(bg, as(d.zhou), repair.Filter{Mine: true}, store.Page{First: 10})
		if err != nil || len(rows) != 3 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		for _, r := range rows {
			d.do(d.zhou, repair.ActAccept, r.ID)
			d.do(d.zhou, repair.ActFix, r.ID)
		}
		for _, r := range d.mine(d.lin) {
			d.do(d.lin, repair.ActAccept, r.ID)
		}
		d.pass(repair.DispatchWait)
		if d.load(d.zhou) != 3 {
			t.Errorf("with three tickets done the technician has %d", d.load(d.zhou))
		}
	})
}

func (d *desk) mine(p id.ID) []repair.View {
	d.t.Helper()
	rows, _, err := d.svc.Tickets(bg, as(p), repair.Filter{Mine: true, Open: true}, store.Page{First: 100})
	if err != nil {
		d.t.Fatal(err)
	}
	return rows
}

// One ticket, many hands: exactly one claim goes through.
func TestOnlyOneClaims(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		ticket := d.submit(report(1)).Ticket
		var mu sync.Mutex
		var won []id.ID
		var wg sync.WaitGroup
		for _, p := range []id.ID{d.zhou, d.lin, d.head} {
			wg.Go(func() {
				_, err := d.svc.Do(bg, as(p), repair.ActClaim, repair.Input{Ticket: ticket})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won = append(won, p)
				} else if !fault.IsRule(err, "WRONG_STATE") {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 || d.see(ticket).Worker != won[0] {
			t.Fatalf("%d claims went through", len(won))
		}
	})
}

func TestAbsentAndUnskilledAreNotAsked(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		if _, err := db.Bun().NewRaw(`INSERT INTO absence (id, person_id, from_at, until_at) VALUES (?, ?, ?, ?)`, id.New(), d.zhou, testkit.Start.Add(-time.Hour), testkit.Start.Add(time.Hour)).Exec(bg); err != nil {
			t.Fatal(err)
		}
		ticket := d.submit(network(1, "东区 3 号楼")).Ticket
		d.triage(ticket)
		if v := d.see(ticket); v.Worker != d.lin || v.Why.En != "knows networks, free now, 1 of 3; 周航 is on leave" {
			t.Fatalf("%s: %s", v.WorkerName, v.Why.En)
		}
		other := d.submit(report(2)).Ticket
		if out := d.triage(other); out.State != repair.Triaged {
			t.Fatal("somebody who knows no computers was asked about one")
		}
		if _, err := d.svc.Assign(bg, as(d.head), repair.AssignInput{Ticket: other, Person: d.he}); !fault.IsRule(err, "NOT_A_TECHNICIAN") {
			t.Fatalf("the head of the office was assigned a computer: %v", err)
		}
		if _, err := d.svc.Assign(bg, as(d.zhou), repair.AssignInput{Ticket: other, Person: d.lin}); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("a member assigned a ticket: %v", err)
		}
	})
}
