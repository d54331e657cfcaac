package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/desk/property"
	"kelian/desk/repair"
	"kelian/desk/sponsor"
	"kelian/desk/training"
	"kelian/internal/app"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow"
)

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLatencyFromCommitToHandled puts single events and prints how long each
// takes from its commit until its handler has committed. It asserts only that
// each is handled once: what is fast enough depends on the machine.
func TestLatencyFromCommitToHandled(t *testing.T) {
	each(t, func(t *testing.T, s shape) {
		const events = 500
		var mu sync.Mutex
		handled, times := map[id.ID]time.Time{}, map[id.ID]int{}
		s.roles = []string{app.RoleWorker}
		s.options = func(o *app.Options) {
			o.Handled = func(topic string, d outbox.Delivery) {
				if topic != "e2e.ping" {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				handled[d.Aggregate] = time.Now()
				times[d.Aggregate]++
			}
		}
		s.bind = func(a *app.App) {
			a.Registry.Handle("e2e.ping", "e2e", func(ctx context.Context, d outbox.Delivery) error {
				_, err := store.InTx(ctx, a.DB, d.Command(), func(context.Context, *store.Tx) (struct{}, error) { return struct{}{}, nil })
				return err
			})
		}
		w := open(t, s)
		took := make([]time.Duration, 0, events)
		for range events {
			about := id.New()
			_, err := store.InTx(t.Context(), w.app.DB, store.Internal("e2e.ping"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
				outbox.Put(tx, outbox.Event{Topic: "e2e.ping", Aggregate: about, Payload: struct{}{}})
				return struct{}{}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			committed := time.Now()
			eventually(t, "the event is handled", func() bool {
				mu.Lock()
				defer mu.Unlock()
				at, ok := handled[about]
				if ok {
					took = append(took, max(0, at.Sub(committed)))
				}
				return ok
			})
		}
		slices.Sort(took)
		t.Logf("from commit to handled, %d single events: p50 %v, p99 %v, longest %v", events, took[events/2], took[events*99/100], took[events-1])
		for about, n := range times {
			if n != 1 {
				t.Errorf("%s was handled %d times", about, n)
			}
		}
	})
}

// maxTrips is how many round trips a command takes at most: begin with its
// guard, two for what it reads, and its writes with the commit.
const maxTrips = 4

// trips counts the messages to PostgreSQL of one command after another, with
// nothing else running.
type trips struct {
	*world
	t     *testing.T
	table strings.Builder
}

// counted begins to count, and prints the table at the end. What a process
// reads once, a definition, or once a minute, the calendar, is read before.
func counted(t *testing.T, w *world) *trips {
	t.Helper()
	c := &trips{world: w, t: t}
	t.Cleanup(func() { t.Logf("round trips by command:\n%s", c.table.String()) })
	if _, err := w.app.Workflow.Forecast(t.Context(), w.actor("zhouhang"), "office.property", "technical", nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// count runs the command, judges what it took and does what it left to do.
func (c *trips) count(name string, command func() error) {
	c.t.Helper()
	before := c.app.DB.Trips()
	if err := command(); err != nil {
		c.t.Fatalf("%s: %v", name, err)
	}
	n := c.app.DB.Trips() - before
	fmt.Fprintf(&c.table, "%-28s %d\n", name, n)
	if n > maxTrips {
		c.t.Errorf("%s takes %d round trips, and %d are allowed", name, n, maxTrips)
	}
	c.drain(c.t)
}

// act counts an action on a ticket.
func (c *trips) act(who org.Actor, action repair.Action, ticket id.ID) {
	c.t.Helper()
	c.count(string(action), func() error {
		_, err := c.app.Repair.Do(c.t.Context(), who, action, repair.Input{Ticket: ticket, IdempotencyKey: id.Secret(16)})
		return err
	})
}

// report counts a student's report.
func (c *trips) report(who org.Actor, phone string) (ticket id.ID, link string) {
	c.t.Helper()
	c.count("submitRepair", func() error {
		got, err := c.app.Repair.Submit(c.t.Context(), who, repair.SubmitInput{Kind: repair.Network, Building: "7号楼", Text: "没有网络", Name: "钱多多",
			Contact: repair.Contact{Kind: "phone", Value: phone}, Consent: repair.ConsentVersion, IdempotencyKey: id.Secret(22)})
		ticket, link = got.Ticket, got.Token
		return err
	})
	return ticket, link
}

// TestRoundTripsOfTheThread counts the commands of the first thread.
func TestRoundTripsOfTheThread(t *testing.T) {
	scaled(t, func(t *testing.T, s shape) {
		s.roles = []string{}
		w := open(t, s)
		c := counted(t, w)
		a, ctx := w.app, t.Context()
		zhou, shenyue, hejing := w.actor("zhouhang"), w.actor("shenyue"), w.actor("hejing")
		ticket, _ := c.report(org.Stranger("zh", "10.1.1.1"), "13900001111")
		first := repair.ActClaim
		if v, err := a.Repair.Ticket(ctx, zhou, ticket); err != nil {
			t.Fatal(err)
		} else if v.State == repair.Assigned {
			first = repair.ActAccept
		}
		c.act(zhou, first, ticket)
		c.count("needPart", func() error {
			_, err := a.Repair.NeedPart(ctx, zhou, repair.NeedPartInput{Ticket: ticket, Text: "光模块", Amount: 68000, IdempotencyKey: id.Secret(16)})
			return err
		})
		v, err := a.Repair.Ticket(ctx, zhou, ticket)
		if err != nil {
			t.Fatal(err)
		}
		decide := func(login string, verdict workflow.Verdict) {
			t.Helper()
			who := w.actor(login)
			r, err := a.Workflow.Request(ctx, who, v.Request)
			if err != nil || r.Mine == nil {
				t.Fatalf("%s is not asked: %v", login, err)
			}
			in := workflow.DecideInput{Task: r.Mine.ID, Verdict: verdict, FormRev: r.FormRev, Comment: "意见", IdempotencyKey: id.Secret(16)}
			c.count(strings.ToLower(string(verdict))+" by "+login, func() error { _, err := a.Workflow.Decide(ctx, who, in); return err })
		}
		decide("songlan", workflow.Approve)
		decide("hejing", workflow.Approve)
		decide("guchen", workflow.SendBack)
		c.count("resubmitRequest", func() error {
			_, err := a.Workflow.Resubmit(ctx, zhou, workflow.ResubmitInput{Request: v.Request, Form: app.PartForm("光模块", 86000, v.Number), FormRev: 1, IdempotencyKey: id.Secret(16)})
			return err
		})
		decide("hejing", workflow.Approve)
		decide("guchen", workflow.Approve)
		purchase, pledge := w.one(`SELECT id FROM purchase WHERE request = ?`, v.Request), w.one(`SELECT id FROM pledge WHERE state = 'RECEIVED'`)
		c.count("allocatePledge", func() error {
			_, err := a.Sponsor.Allocate(ctx, shenyue, sponsor.AllocateInput{Pledge: pledge, Purchase: purchase, Amount: 86000, IdempotencyKey: id.Secret(16)})
			return err
		})
		c.count("orderPurchase", func() error {
			_, err := a.Property.Order(ctx, hejing, property.PurchaseActInput{Purchase: purchase, IdempotencyKey: id.Secret(16)})
			return err
		})
		c.count("arrivePurchase", func() error {
			_, err := a.Property.Arrive(ctx, hejing, property.PurchaseActInput{Purchase: purchase, IdempotencyKey: id.Secret(16)})
			return err
		})
		c.act(zhou, repair.ActFix, ticket)
		c.act(zhou, repair.ActClose, ticket)
	})
}

// one is the one identifier that the query gives.
func (w *world) one(query string, args ...any) id.ID {
	w.t.Helper()
	rows := w.rows(query, args...)
	if len(rows) == 0 {
		w.t.Fatalf("no rows: %s %v", query, args)
	}
	return raw(w.t, rows[0][0])
}

// onSeat is somebody who holds the seat.
func (w *world) onSeat(seat string) org.Actor {
	w.t.Helper()
	return org.Actor{Lang: "zh", Person: w.one(`SELECT t.person_id FROM tenure AS t JOIN seat ON seat.id = t.seat_id
		WHERE seat.name = ? AND (t.until_at IS NULL OR t.until_at > ?)`, seat, w.app.Clock.Now())}
}

// TestRoundTripsOfTheDesks counts the desks' other commands and those of a
// request.
func TestRoundTripsOfTheDesks(t *testing.T) {
	scaled(t, func(t *testing.T, s shape) {
		s.roles = []string{}
		c := counted(t, open(t, s))
		c.tickets()
		c.request()
		c.register()
		c.pledge()
		c.training()
	})
}

func (c *trips) tickets() {
	a, ctx := c.app, c.t.Context()
	head, zhou := c.onSeat("technical.head"), c.actor("zhouhang")
	holder := func(ticket id.ID) org.Actor {
		return org.Actor{Lang: "zh", Person: c.one(`SELECT worker FROM ticket WHERE id = ? AND worker IS NOT NULL`, ticket)}
	}
	ticket, _ := c.report(zhou, "13900002222")
	c.count("triage", func() error {
		_, err := a.Repair.Triage(ctx, head, repair.TriageInput{Ticket: ticket, IdempotencyKey: id.Secret(16)})
		return err
	})
	c.act(holder(ticket), repair.ActDecline, ticket)
	c.count("assign", func() error {
		_, err := a.Repair.Assign(ctx, head, repair.AssignInput{Ticket: ticket, Person: zhou.Person, IdempotencyKey: id.Secret(16)})
		return err
	})
	c.act(zhou, repair.ActAccept, ticket)
	c.act(head, repair.ActTakeOver, ticket)
	c.act(head, repair.ActWaitOwner, ticket)
	c.act(head, repair.ActResume, ticket)
	c.act(head, repair.ActUnfixable, ticket)
	c.act(head, repair.ActReopen, ticket)
	c.act(head, repair.ActCancel, ticket)
	c.count("note", func() error {
		_, err := a.Repair.Note(ctx, head, repair.NoteInput{Ticket: ticket, Text: "已联系", IdempotencyKey: id.Secret(16)})
		return err
	})
	ticket, link := c.report(org.Stranger("zh", "10.1.1.2"), "13900003333")
	c.act(zhou, repair.ActClaim, ticket)
	c.act(zhou, repair.ActRelease, ticket)
	for _, action := range []repair.Action{repair.ActNote, repair.ActCancel} {
		c.count(string(action)+" by link", func() error {
			_, err := a.Repair.DoByLink(ctx, org.Stranger("zh", "10.1.1.2"), action, repair.LinkInput{Token: link, Note: "好了", IdempotencyKey: id.Secret(22)})
			return err
		})
	}
	c.count("setRepairCapacity", func() error { return a.Repair.SetCapacity(ctx, head, zhou.Person, 5, id.Secret(16)) })
}

func (c *trips) request() {
	a, ctx, zhou := c.app, c.t.Context(), c.actor("zhouhang")
	var request id.ID
	for _, unit := range []string{"technical.information", ""} {
		c.count("submitRequest "+unit, func() error {
			got, err := a.Workflow.Submit(ctx, zhou, workflow.SubmitInput{Definition: "office.property", Unit: unit, Form: app.PartForm("网线钳", 6800, ""), IdempotencyKey: id.Secret(16)})
			request = got.Request
			return err
		})
	}
	c.count("commentRequest", func() error {
		_, err := a.Workflow.Comment(ctx, zhou, workflow.CommentInput{Request: request, Text: "急用", IdempotencyKey: id.Secret(16)})
		return err
	})
	c.count("withdrawRequest", func() error {
		_, err := a.Workflow.Withdraw(ctx, zhou, workflow.WithdrawInput{Request: request, IdempotencyKey: id.Secret(16)})
		return err
	})
	c.byLink()
}

// byLink counts an advisor's decision by link, about last year's activity held
// again.
func (c *trips) byLink() {
	a, ctx := c.app, c.t.Context()
	last := c.one(`SELECT id FROM request WHERE definition = ? AND unit = 'society.robotics' AND status = 'APPROVED' ORDER BY id DESC LIMIT 1`, activity)
	leader := org.Actor{Lang: "zh", Person: c.one(`SELECT requester FROM request WHERE id = ?`, last)}
	draft, err := a.Workflow.Clone(ctx, leader, last)
	if err != nil {
		c.t.Fatal(err)
	}
	var form map[string]any
	if err := json.Unmarshal([]byte(draft.Form), &form); err != nil {
		c.t.Fatal(err)
	}
	day := a.Clock.Now().AddDate(0, 0, 45).Truncate(24 * time.Hour)
	form["start"], form["end"] = day.Add(6*time.Hour).Format(time.RFC3339), day.Add(9*time.Hour).Format(time.RFC3339)
	var request id.ID
	c.count("submitRequest activity", func() error {
		got, err := a.Workflow.Submit(ctx, leader, workflow.SubmitInput{Definition: activity, Unit: "society.robotics", Form: form, IdempotencyKey: id.Secret(16)})
		request = got.Request
		return err
	})
	task := c.one(`SELECT id FROM task WHERE request_id = ? AND state = 'open'`, request)
	link, err := store.InTx(ctx, a.DB, store.Internal("e2e.link"), func(ctx context.Context, tx *store.Tx) (workflow.IssuedLink, error) {
		link, ok, err := a.Workflow.IssueLink(ctx, tx, task)
		if err == nil && !ok {
			err = errors.New("the first step is not decided by link")
		}
		return link, err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.count("decideByLink", func() error {
		_, err := a.Workflow.DecideByLink(ctx, org.Stranger("zh", "10.1.1.3"), workflow.LinkDecision{Token: link.Token, Verdict: workflow.Approve, IdempotencyKey: id.Secret(16)})
		return err
	})
}

// register counts what keeps the register of things, and a reservation.
func (c *trips) register() {
	a, ctx, head := c.app, c.t.Context(), c.onSeat("office.head")
	var item, reserved id.ID
	var err error
	for range 2 { // a new one, and the same again
		c.count("saveItem", func() error {
			item, err = a.Property.SaveItem(ctx, head, property.ItemInput{Code: "TRIP", Kind: property.Equipment, NameZh: "话筒", Quantity: 4, Unit: "office", IdempotencyKey: id.Secret(16)})
			return err
		})
	}
	c.count("savePlace", func() error {
		_, err := a.Property.SavePlace(ctx, head, property.PlaceInput{Code: "TRIP", Kind: property.Room, NameZh: "会议室", Unit: "office", IdempotencyKey: id.Secret(16)})
		return err
	})
	from := a.Clock.Now().AddDate(0, 1, 0)
	c.count("reserve", func() error {
		reserved, err = a.Property.Reserve(ctx, head, property.ReserveInput{Item: item, Quantity: 2, From: from, Until: from.Add(time.Hour), IdempotencyKey: id.Secret(16)})
		return err
	})
	c.count("giveBack", func() error {
		return a.Property.GiveBack(ctx, head, property.GiveBackInput{Reservation: reserved, IdempotencyKey: id.Secret(16)})
	})
}

func (c *trips) pledge() {
	a, ctx, head, finance := c.app, c.t.Context(), c.onSeat("liaison.head"), c.onSeat("league.finance")
	var organisation id.ID
	var pledge sponsor.Outcome
	var err error
	c.count("createOrganisation", func() error {
		organisation, err = a.Sponsor.CreateOrganisation(ctx, head, sponsor.OrganisationInput{Kind: sponsor.Company, Name: "远路科技", IdempotencyKey: id.Secret(16)})
		return err
	})
	c.count("addContact", func() error {
		_, err := a.Sponsor.AddContact(ctx, head, sponsor.ContactInput{Organisation: organisation, Name: "孙经理", IdempotencyKey: id.Secret(16)})
		return err
	})
	c.count("createPledge", func() error {
		pledge, err = a.Sponsor.CreatePledge(ctx, head, sponsor.PledgeInput{Organisation: organisation, Kind: sponsor.Cash, IdempotencyKey: id.Secret(16)})
		return err
	})
	for _, action := range []sponsor.Action{sponsor.ActContact, sponsor.ActNegotiate, sponsor.ActAgree, sponsor.ActReceive, sponsor.ActDeliver, sponsor.ActThank} {
		who := head
		if action == sponsor.ActReceive {
			who = finance
		}
		c.count("pledge "+string(action), func() error {
			_, err := a.Sponsor.Act(ctx, who, sponsor.ActInput{Pledge: pledge.Pledge, Action: action, Amount: 100000, Due: a.Clock.Now().AddDate(0, 1, 0),
				Voucher: "2026-0999", IdempotencyKey: id.Secret(16)})
			return err
		})
	}
}

// training counts the actions on the tasks of a session a month ahead.
func (c *trips) training() {
	a, ctx, head := c.app, c.t.Context(), c.onSeat("technical.head")
	c.count("saveCourse", func() error {
		_, err := a.Training.SaveCourse(ctx, head, training.CourseInput{Code: "TRIP", TitleZh: "布线", IdempotencyKey: id.Secret(16)})
		return err
	})
	start := a.Clock.Now().AddDate(0, 1, 0)
	sessions, err := store.InTx(ctx, a.DB, store.Internal("schedule"), func(ctx context.Context, tx *store.Tx) ([]training.Session, error) {
		return a.Training.Schedule(ctx, tx, training.ScheduleInput{Request: id.New(), Owner: head.Person,
			Sessions: []training.SessionInput{{Course: "TRIP", StartsAt: start, EndsAt: start.Add(time.Hour)}}}, a.Clock.Now())
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.drain(c.t)
	task := c.one(`SELECT id FROM training_task WHERE session = ? AND kind = 'PREPARE' AND state = 'OFFERED'`, sessions[0].ID)
	person := func() org.Actor {
		return org.Actor{Lang: "zh", Person: c.one(`SELECT person FROM training_task WHERE id = ?`, task)}
	}
	act := func(who org.Actor, in training.ActInput) {
		in.Task, in.IdempotencyKey = task, id.Secret(16)
		c.count("training "+string(in.Action), func() error { _, err := a.Training.Act(ctx, who, in); return err })
	}
	first := person()
	act(first, training.ActInput{Action: training.ActDecline})
	next := c.onSeat("technical.deputy")
	act(head, training.ActInput{Action: training.ActAssign, Person: first.Person})
	act(first, training.ActInput{Action: training.ActAccept})
	act(first, training.ActInput{Action: training.ActSwap, Person: next.Person})
	act(next, training.ActInput{Action: training.ActAnswer, Yes: true})
	act(next, training.ActInput{Action: training.ActDone})
}

// drain does the background work that is due, in this goroutine.
func (w *world) drain(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for done := true; done; {
		done = false
		for _, queue := range outbox.Queues {
			rows, err := outbox.Claim(ctx, w.app.DB, queue, w.app.Clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				done = true
				d, err := outbox.Load(ctx, w.app.DB, r.ID, r.Attempt)
				if err == nil {
					err = w.app.Registry.Run(ctx, d)
				}
				if err != nil && !errors.Is(err, store.ErrStale) {
					t.Fatalf("%s: %v", d.Topic, err)
				}
			}
		}
	}
}
