package graph_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"kelian/desk/repair"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/netmon"
	"kelian/org"
	"kelian/workflow"
)

// incidents makes n incidents with two hosts each.
func (w *world) incidents(n int) {
	w.t.Helper()
	var hosts []id.ID
	for i := range 2 * n {
		out, err := w.netmon.CreateHost(bg, org.System(), netmon.HostInput{NameZh: fmt.Sprintf("主机 %d", i), NameEn: fmt.Sprintf("Host %d", i),
			Address: fmt.Sprintf("127.1.0.%d", i+1), Buildings: []string{fmt.Sprintf("T%d", i)}, Checks: []netmon.CheckInput{{Kind: netmon.ICMP}}})
		if err != nil {
			w.t.Fatal(err)
		}
		hosts = append(hosts, out.Host)
	}
	factory.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		for i := range n {
			inc := id.New()
			tx.QueueSQL(`INSERT INTO incident (id, number, key, outage, flat, certified, flapping, opened_epoch, opened_at, title_zh, title_en, why_zh, why_en, evidence, certificate, acknowledged_by, acknowledged_at)
				VALUES (?, ?, ?, ?, FALSE, TRUE, FALSE, 1, ?, '交换机无响应', 'A switch', '理由', 'why', '[{"Host":"x","Epoch":7,"Outcome":"LOST"}]', '{}', ?, ?)`,
				inc, fmt.Sprintf("2026-%04d", i+1), inc.String(), inc.String(), testkit.Start.Add(time.Duration(i)*time.Minute), w.people["qin"], testkit.Start)
			for k, role := range []string{"ROOT", "SUPPRESSED"} {
				tx.QueueSQL(`INSERT INTO incident_node (incident, node, host, role, joined_epoch) VALUES (?, ?, ?, ?, 1)`, inc, hosts[2*i+k], hosts[2*i+k], role)
			}
		}
		return nil
	})
}

// tickets makes n tickets that somebody was asked for.
func (w *world) tickets(n int) (made []id.ID) {
	w.t.Helper()
	for i := range n {
		r, err := w.repair.Submit(bg, org.Stranger("zh", ""), repair.SubmitInput{Kind: repair.Network, Building: "东区 3 号楼", Text: "上不了网 CANARY", Name: "张三丰",
			Contact: repair.Contact{Kind: "phone", Value: fmt.Sprintf("138001380%02d", i)}, Consent: repair.ConsentVersion, IdempotencyKey: w.key() + "xxxxxxxxxx"})
		if err != nil {
			w.t.Fatal(err)
		}
		made = append(made, r.Ticket)
		person := "zhouhang"
		if i%2 == 0 {
			person = "linxiaoman"
		}
		if err := w.repair.SetCapacity(bg, w.actor("qin"), w.people[person], 20, w.key()); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.repair.Assign(bg, w.actor("qin"), repair.AssignInput{Ticket: r.Ticket, Person: w.people[person], IdempotencyKey: w.key()}); err != nil {
			w.t.Fatal(err)
		}
		w.clock.Advance(time.Second)
	}
	return made
}

// Whatever is asked of 20 objects takes the round trips that 2 objects take.
func TestMoreObjectsTakeNoMoreRoundTrips(t *testing.T) {
	const request = `id number title{zh} unit requester{name} form waiting{zh} requirements{number title{zh} rule{zh} open{waiting{task person{name}} fastest} excluded{person{name}}} verifyCode steps{name state title{zh}}
		tasks{id state person{name}} decisions{verdict by{name} comment} revisions{formRev changes{pointer}}`
	for _, c := range []struct {
		name, who, query string
		least            int // objects that have to be in the answer
		bound            int64
		list             string
	}{
		{"inbox", "hejing", `query($n:Int){list:inbox(first:$n){edges{node{id step person{name} request{number title{zh}}}}}}`, 20, 5, "edges"},
		{"inbox, whole requests", "hejing", `query($n:Int){list:inbox(first:$n){edges{node{id step person{name} request{` + request + `}}}}}`, 20, 12, "edges"},
		{"requests", "zhouhang", `query($n:Int){list:requests(first:$n){edges{node{` + request + `}}}}`, 20, 10, "edges"},
		{"incidents", "qin", `query($n:Int){list:incidents(first:$n){edges{node{number title{zh} roots{name{zh} host{address state checks{target}}} suppressed{host{name{zh} buildings}}
			evidence{epoch outcome} acknowledgedBy{name}}}}}`, 20, 14, "edges"},
		{"tickets", "qin", `query($n:Int){list:repairTickets(first:$n){edges{node{number state text assignment{person{name} explanation{zh}} assignments{state person{name}} actions}}}}`, 20, 10, "edges"},
		{"units", "zhouhang", `query{list:units{code parent{name{zh}} college{code} seats{name holders{name}}}}`, 20, 5, ""},
		{"units, whole", "zhouhang", `query{list:units{code seats{name holders{name number tenures{seat} skills{name}}} tenures{seat person{name number skills{name}}}
			portfolios{person{name}} liaisons{person{name}}}}`, 20, 16, ""},
		{"people", "pan", `query($n:Int){list:people(text:"新生",first:$n){name number tenures{seat person{name}} skills{name}}}`, 20, 14, ""},
		{"to tell", "pan", `query($n:Int){list:toTell(first:$n){edges{node{id channel text{zh} state}}}}`, 20, 5, "edges"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, db *store.DB) {
				w := newWorld(t, db)
				switch c.name {
				case "incidents":
					w.incidents(20)
				case "tickets":
					w.tickets(20)
				case "units", "units, whole":
				case "people":
					for i := range 20 {
						w.user(fmt.Sprint("new", i), fmt.Sprint("新生", i), fmt.Sprint(2026100200+i), "publicity.member")
					}
				case "to tell":
					for range 20 {
						w.told()
					}
				default:
					for i := range 20 {
						w.decide("songlan", w.purchase("zhouhang", fmt.Sprint("第", i, "件"), 100), workflow.Approve, "好")
						w.clock.Advance(time.Second)
					}
				}
				count := func(n int) (int64, int) {
					w.good(c.who, c.query, vars{"n": n}) // definitions and topology are kept from here on
					before := db.Trips()
					a := w.good(c.who, c.query, vars{"n": n})
					trips := db.Trips() - before
					list, _ := a.at("list").([]any)
					if c.list != "" {
						list = a.at("list", c.list).([]any)
					}
					return trips, len(list)
				}
				few, _ := count(2)
				many, got := count(20)
				t.Logf("%s: %d round trips for 2, %d for %d", c.name, few, many, got)
				if got < c.least {
					t.Errorf("only %d objects", got)
				}
				// Lists that are read side by side may have their people's names read
				// together or apart; where nothing grows, the bound alone is asked.
				grows := strings.Contains(c.query, "$n")
				if grows && many != few || many > c.bound {
					t.Errorf("%d round trips for 2 objects, %d for %d; at most %d are allowed", few, many, got, c.bound)
				}
			})
		})
	}
}
