package repair_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"kelian/desk/repair"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/internal/testkit/make"
	"kelian/org"

	"github.com/uptrace/bun"
)

func TestMain(m *testing.M) {
	(&desk{svc: repair.New(nil, nil, nil, repair.Options{})}).handlers().Route()
	testkit.Main(m)
}

var bg = context.Background()

// desk is a repair desk with people, whom it tells what, and incidents that a
// test opens and closes.
type desk struct {
	t     *testing.T
	db    *store.DB
	clock *clock.Fake
	svc   *repair.Service

	mu        sync.Mutex
	told      []repair.Message
	incidents map[id.ID]repair.IncidentInfo
	requests  []repair.Part

	head, zhou, lin, he id.ID // the head, two technicians who know networks, the head of the office
}

func newDesk(t *testing.T, db *store.DB) *desk {
	t.Helper()
	make.Federation(t, db)
	d := &desk{t: t, db: db, clock: testkit.Clock(), incidents: map[id.ID]repair.IncidentInfo{}}
	d.svc = repair.New(db, d.clock, org.NewTable(repair.Rules()), repair.Options{
		Location: time.FixedZone("CST", 8*3600), Teller: d, Outages: d, Incidents: d, Purchases: d})
	d.head = make.Officer(t, db, "秦部长", "technical.head")
	d.zhou = d.technician("周航", "technical.information.member")
	d.lin = d.technician("林小满", "technical.maintenance.member")
	d.he = make.Officer(t, db, "何静", "office.head")
	return d
}

func (d *desk) technician(name, seat string) id.ID {
	p := make.Officer(d.t, d.db, name, seat)
	make.InTx(d.t, d.db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO skill (person_id, name, certificate, from_at) VALUES (?, 'network', FALSE, ?)`, p, testkit.Start.AddDate(0, -1, 0))
		return nil
	})
	return p
}

func (d *desk) handlers() make.Handlers { return d.svc.Handlers() }

// drain runs what is due now, and what comes of it.
func (d *desk) drain() []string {
	d.t.Helper()
	return d.handlers().Drain(d.t, d.db, d.clock)
}

// pass moves the clock and runs what became due.
func (d *desk) pass(dur time.Duration) []string {
	d.t.Helper()
	d.clock.Advance(dur)
	return d.drain()
}

// emit puts an event of another domain and runs it.
func (d *desk) emit(topic string, payload any) []string {
	d.t.Helper()
	make.InTx(d.t, d.db, func(_ context.Context, tx *store.Tx) error {
		outbox.Put(tx, outbox.Event{Topic: topic, Payload: payload})
		return nil
	})
	return d.drain()
}

// Tell implements repair.Teller: a message counts when its transaction does.
func (d *desk) Tell(tx *store.Tx, m repair.Message) {
	tx.OnCommit(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.told = append(d.told, m)
	})
}

// toldOf lists the topics that somebody was told: a person or a ticket.
func (d *desk) toldOf(who id.ID) (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.told {
		if m.Person == who || m.Ticket == who {
			out = append(out, m.Topic)
		}
	}
	return out
}

func (d *desk) OpenForBuilding(_ context.Context, _ bun.IDB, building string) (id.ID, struct{ Zh, En string }, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, info := range d.incidents {
		if !info.Closed && slices.Contains(info.Buildings, building) {
			return i, info.Title, true, nil
		}
	}
	return id.Nil, struct{ Zh, En string }{}, false, nil
}

func (d *desk) Incident(_ context.Context, _ bun.IDB, incident id.ID) (repair.IncidentInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, ok := d.incidents[incident]
	if !ok {
		return info, fault.Missing()
	}
	return info, nil
}

func (d *desk) AskRequest(context.Context, *store.Reads, org.Actor) (func(context.Context, *store.Tx, repair.Part) (outbox.Ref, error), error) {
	return func(_ context.Context, tx *store.Tx, p repair.Part) (outbox.Ref, error) {
		tx.OnCommit(func() { d.requests = append(d.requests, p) })
		return outbox.Ref{Kind: "req", ID: id.New()}, nil
	}, nil
}

// outage opens an incident that the given buildings suffer from.
func (d *desk) outage(buildings ...string) id.ID {
	d.t.Helper()
	incident := id.New()
	d.set(incident, repair.IncidentInfo{Title: repair.Words{Zh: "接入交换机 2 断开", En: "access switch 2 is down"}, Buildings: buildings, Skills: []string{"network"}})
	d.emit("netmon.incident.opened", map[string]id.ID{"incident": incident})
	return incident
}

func (d *desk) set(incident id.ID, info repair.IncidentInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.incidents[incident] = info
}

func (d *desk) recovered(incident id.ID) {
	d.t.Helper()
	d.mu.Lock()
	info := d.incidents[incident]
	info.Closed = true
	d.incidents[incident] = info
	d.mu.Unlock()
	d.emit("netmon.incident.closed", map[string]id.ID{"incident": incident})
}

func as(p id.ID) org.Actor { return org.Actor{Person: p, Lang: "zh"} }

var student = org.Stranger("zh", "10.20.30.40")

// report is a student's form; n makes the contact one of its own.
func report(n int) repair.SubmitInput {
	return repair.SubmitInput{Kind: repair.Computer, Building: "东区 3 号楼", Room: "417", Text: "开机蓝屏", Name: "张同学", Number: "2023010115", College: "计算机学院",
		Contact: repair.Contact{Kind: "qq", Value: fmt.Sprint(100000 + n)}, Consent: repair.ConsentVersion, IdempotencyKey: id.Secret(20)}
}

func network(n int, building string) repair.SubmitInput {
	in := report(n)
	in.Kind, in.Building, in.Text = repair.Network, building, "上不了网"
	return in
}

func (d *desk) submit(in repair.SubmitInput) repair.Receipt {
	d.t.Helper()
	r, err := d.svc.Submit(bg, student, in)
	if err != nil {
		d.t.Fatal(err)
	}
	return r
}

// do runs an action that must succeed.
func (d *desk) do(p id.ID, action repair.Action, ticket id.ID) repair.Outcome {
	d.t.Helper()
	out, err := d.svc.Do(bg, as(p), action, repair.Input{Ticket: ticket})
	if err != nil {
		d.t.Fatalf("%s: %v", action, err)
	}
	return out
}

func (d *desk) triage(ticket id.ID) repair.Outcome {
	d.t.Helper()
	out, err := d.svc.Triage(bg, as(d.head), repair.TriageInput{Ticket: ticket})
	if err != nil {
		d.t.Fatal(err)
	}
	return out
}

// see reads the ticket as the head.
func (d *desk) see(ticket id.ID) repair.View {
	d.t.Helper()
	v, err := d.svc.Ticket(bg, as(d.head), ticket)
	if err != nil {
		d.t.Fatal(err)
	}
	return v
}

func (d *desk) state(ticket id.ID, want repair.State) repair.View {
	d.t.Helper()
	v := d.see(ticket)
	if v.State != want {
		d.t.Fatalf("the ticket is %s, want %s", v.State, want)
	}
	return v
}

// incidentTicket finds the ticket that the incident opened.
func (d *desk) incidentTicket(incident id.ID) repair.View {
	d.t.Helper()
	rows, _, err := d.svc.Tickets(bg, as(d.head), repair.Filter{Incident: incident, Source: repair.FromIncident}, store.Page{First: 100})
	if err != nil {
		d.t.Fatal(err)
	}
	if len(rows) != 1 {
		d.t.Fatalf("the incident has %d tickets of its own", len(rows))
	}
	return rows[0]
}

// load of a person: the counter must agree with the rows that it counts.
func (d *desk) load(p id.ID) (n int) {
	d.t.Helper()
	var live int
	if err := d.db.R.NewRaw(`SELECT COALESCE((SELECT load FROM workload WHERE person = ?), 0) AS n,
		(SELECT count(*) FROM assignment WHERE person = ? AND state IN ('OFFERED', 'ACCEPTED')) AS live`, p, p).Scan(bg, &n, &live); err != nil {
		d.t.Fatal(err)
	}
	if n != live {
		d.t.Fatalf("the counter says %d, the rows %d", n, live)
	}
	return n
}
