package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"kelian/internal/app"
	"kelian/internal/id"
	"kelian/org"
)

type purchase struct {
	ID, Number, State, Request string
	Total, Funded              int64
	Ticket                     *string
}

func (c client) purchases() []purchase {
	c.t.Helper()
	var got struct {
		Purchases struct{ Edges []struct{ Node purchase } }
	}
	c.ask(&got, `{ purchases(first: 100) { edges { node { id number state request total funded ticket } } } }`, nil)
	var out []purchase
	for _, e := range got.Purchases.Edges {
		out = append(out, e.Node)
	}
	return out
}

type pledge struct {
	ID, State                      string
	Received, Allocated, Available int64
	ThanksOwed                     int
	Sponsor                        struct{ Name string }
}

const pledgeFields = `id state received allocated available thanksOwed sponsor { name }`

func (c client) pledges() []pledge {
	c.t.Helper()
	var got struct {
		Pledges struct{ Edges []struct{ Node pledge } }
	}
	c.ask(&got, `{ pledges(first: 100) { edges { node { `+pledgeFields+` } } } }`, nil)
	var out []pledge
	for _, e := range got.Pledges.Edges {
		out = append(out, e.Node)
	}
	return out
}

func (th *thread) funded(t *testing.T) {
	shen := th.signIn("shenyue")
	var bought purchase
	eventually(t, "the approval becomes a purchase", func() bool {
		for _, p := range shen.purchases() {
			if p.Request == th.request {
				bought = p
			}
		}
		return bought.ID != ""
	})
	th.purchase = bought.ID
	if bought.State != "APPROVED" || bought.Total != 86000 || bought.Ticket == nil || *bought.Ticket != th.ticket {
		t.Fatalf("the purchase is %+v", bought)
	}
	received := slices.IndexFunc(shen.pledges(), func(p pledge) bool { return p.State == "RECEIVED" && p.Available == 200000 })
	if received < 0 {
		t.Fatalf("no received pledge of 2000 yuan: %+v", shen.pledges())
	}
	th.pledge = shen.pledges()[received].ID
	allocate := func(amount int64) input { return input{"pledge": th.pledge, "purchase": th.purchase, "amount": amount} }
	// An API token never spends, nor does anybody but liaison.head.
	th.as("shenyue").denied("allocatePledge", "pledge { id }", "FORBIDDEN", allocate(86000))
	th.signIn("hejing").denied("allocatePledge", "pledge { id }", "FORBIDDEN", allocate(86000))
	var got struct{ Pledge pledge }
	in := allocate(86000)
	in["idempotencyKey"] = id.Secret(16)
	for range 2 { // a second press of the same button changes nothing
		shen.do(&got, "allocatePledge", "pledge { "+pledgeFields+" }", maps.Clone(in))
	}
	if p := got.Pledge; p.Available != 114000 || p.Allocated != 86000 || p.ThanksOwed != 1 {
		t.Errorf("after allocating: %+v", p)
	}
	if p := th.bought(); p.State != "FUNDED" || p.Funded != 86000 {
		t.Errorf("the purchase is %+v", p)
	}
	var l struct {
		Ledger struct {
			Sum      int64
			Accounts []struct {
				Name    string
				Balance int64
			}
		}
	}
	shen.ask(&l, `{ ledger { sum accounts { name balance } } }`, nil)
	sum, left := int64(0), false
	for _, a := range l.Ledger.Accounts {
		sum += a.Balance
		left = left || strings.HasPrefix(a.Name, "pledge:") && (a.Balance == 114000 || a.Balance == -114000)
	}
	if l.Ledger.Sum != 0 || sum != 0 || !left {
		t.Errorf("the ledger: %+v", l.Ledger)
	}
}

func (th *thread) bought() purchase {
	th.t.Helper()
	for _, p := range th.as("hejing").purchases() {
		if p.ID == th.purchase {
			return p
		}
	}
	th.t.Fatal("the purchase is gone")
	return purchase{}
}

// leaver is the officer who is erased after having voted.
const leaver = "songlan"

// key reads an identifier as the services take it.
func key(t testing.TB, kind, typeID string) id.ID {
	t.Helper()
	v, err := id.Parse(kind, typeID)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// raw reads an identifier as the tables spell it.
func raw(t testing.TB, s string) id.ID {
	t.Helper()
	var v id.ID
	if err := v.Scan(s); err != nil {
		t.Fatal(err)
	}
	return v
}

// actor is a person of the demo, for the few things that only the console and
// pages do.
func (w *world) actor(login string) org.Actor {
	w.t.Helper()
	person, err := w.app.Auth.PersonOf(w.t.Context(), login)
	if err != nil {
		w.t.Fatal(err)
	}
	return org.Actor{Person: person, Lang: "zh"}
}

// erased has the student leave by the link and the keeper by the office, after
// both have left their marks in the thread.
func (th *thread) erased(t *testing.T) {
	for _, canary := range []string{student.name, student.phone, th.people[leaver].Name} {
		if len(th.find(t, canary)) == 0 {
			t.Fatalf("%q stands nowhere before it is erased: the search finds nothing at all", canary)
		}
	}
	rep, err := th.app.Workflow.Check(t.Context(), key(t, "req", th.request))
	if err != nil || !rep.OK() {
		t.Fatalf("the request does not verify: %+v, %v", rep, err)
	}
	th.chain = rep.Head
	form := url.Values{"act": {"erase"}, "sure": {"yes"}, "key": {id.Secret(22)}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, th.config.PublicURL+th.link, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", th.config.PublicURL)
	if status, body := th.as("").browse(req); status != http.StatusOK {
		t.Fatalf("erasing by the link answers %d: %s", status, body)
	}
	var seen struct{ RepairTicketByLink *reporterTicket }
	th.as("").ask(&seen, `query($t: String!) { repairTicketByLink(token: $t) { number } }`, map[string]any{"t": strings.TrimPrefix(th.link, "/t/")})
	if seen.RepairTicketByLink != nil {
		t.Error("the link of the erased student still leads to the ticket")
	}
	ctx, office, gone := t.Context(), th.actor("hejing"), th.actor(leaver)
	tenures, err := th.app.Org.Tenures(ctx, office, "office")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range tenures["office"] {
		if x.Person == gone.Person {
			if _, err := th.app.Org.EndTenure(ctx, office, org.EndTenure{Tenure: x.ID, IdempotencyKey: id.Secret(16)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := th.app.Org.ErasePerson(ctx, office, id.Secret(16), gone.Person); err != nil {
		t.Fatal(err)
	}
	if a := th.as(leaver).send(`{ viewer { language } }`, nil); a.code() != "UNAUTHENTICATED" {
		t.Errorf("the token of an erased person answers %s", a.raw)
	}
}

func (th *thread) mended(t *testing.T) {
	he, zhou := th.as("hejing"), th.as("zhouhang")
	he.do(nil, "orderPurchase", "purchase { state }", input{"purchase": th.purchase})
	he.do(nil, "arrivePurchase", "purchase { state }", input{"purchase": th.purchase})
	eventually(t, "the ticket's clock runs again", func() bool { return zhou.ticket(th.ticket).State == "IN_PROGRESS" })
	zhou.do(nil, "actOnRepair", "ticket { state }", input{"ticket": th.ticket, "action": "FIX", "note": "换上新的光模块"})
	zhou.do(nil, "actOnRepair", "ticket { state }", input{"ticket": th.ticket, "action": "CLOSE"})
	if s := zhou.ticket(th.ticket).State; s != "CLOSED" {
		t.Errorf("a repaired ticket without a device is %s", s)
	}
	if a := zhou.ticket(th.ticket).Assignment; a == nil || a.State != "DONE" {
		t.Errorf("the assignment is %+v", a)
	}
}

func (th *thread) recovered(t *testing.T) {
	zhou := th.as("zhouhang")
	if list := zhou.incidents(); len(list) != 1 || !list[0].Open {
		t.Fatalf("before the recovery: %+v", list)
	}
	th.network.Restore(app.DemoSwitch2()...)
	eventually(t, "the incident closes", func() bool { return !zhou.incidents()[0].Open })
	eventually(t, "all devices are up again", func() bool { return th.allUp(zhou) })
	list := zhou.incidents()
	if len(list) != 1 || list[0].End == nil {
		t.Errorf("after the recovery: %+v", list)
	}
	for topic, want := range map[string]int{"netmon.incident.opened": 1, "netmon.incident.closed": 1} {
		// One row for each who handles it.
		for _, r := range th.rows(`SELECT consumer, count(*) FROM outbox WHERE topic = ? GROUP BY consumer`, topic) {
			if r[1] != fmt.Sprint(want) {
				t.Errorf("%s was told %s times to %s", topic, r[1], r[0])
			}
		}
	}
}
