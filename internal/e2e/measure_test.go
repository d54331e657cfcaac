package e2e_test

import (
	"context"
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

// TestRoundTripsOfTheThread counts the messages to PostgreSQL that each command
// of the first thread takes, with nothing else running. A decision takes at most
// four; the others are printed.
func TestRoundTripsOfTheThread(t *testing.T) {
	scaled(t, func(t *testing.T, s shape) {
		s.roles = []string{}
		w := open(t, s)
		a, ctx := w.app, t.Context()
		var table strings.Builder
		count := func(name string, do func() error) {
			t.Helper()
			before := a.DB.Trips()
			if err := do(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			n := a.DB.Trips() - before
			fmt.Fprintf(&table, "%-28s %d\n", name, n)
			if strings.Contains(name, " by ") && n > 4 {
				t.Errorf("a decision, %s, takes %d round trips", name, n)
			}
			w.drain(t)
		}
		zhou := w.actor("zhouhang")
		var ticket id.ID
		count("submitRepair", func() error {
			got, err := a.Repair.Submit(ctx, org.Stranger("zh", "10.1.1.1"), repair.SubmitInput{Kind: repair.Network, Building: "7号楼", Text: "没有网络", Name: "钱多多",
				Contact: repair.Contact{Kind: "phone", Value: "13900001111"}, Consent: repair.ConsentVersion, IdempotencyKey: id.Secret(22)})
			ticket = got.Ticket
			return err
		})
		act := func(action repair.Action) func() error {
			return func() error {
				_, err := a.Repair.Do(ctx, zhou, action, repair.Input{Ticket: ticket, IdempotencyKey: id.Secret(16)})
				return err
			}
		}
		first := repair.ActClaim
		if v, err := a.Repair.Ticket(ctx, zhou, ticket); err != nil {
			t.Fatal(err)
		} else if v.State == repair.Assigned {
			first = repair.ActAccept
		}
		count(string(first), act(first))
		count("needPart", func() error {
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
			count(strings.ToLower(string(verdict))+" by "+login, func() error { _, err := a.Workflow.Decide(ctx, who, in); return err })
		}
		decide("songlan", workflow.Approve)
		decide("hejing", workflow.Approve)
		decide("guchen", workflow.SendBack)
		count("resubmitRequest", func() error {
			_, err := a.Workflow.Resubmit(ctx, zhou, workflow.ResubmitInput{Request: v.Request, Form: app.PartForm("光模块", 86000, v.Number), FormRev: 1, IdempotencyKey: id.Secret(16)})
			return err
		})
		decide("hejing", workflow.Approve)
		decide("guchen", workflow.Approve)
		var purchase, pledge id.ID
		for _, r := range w.rows(`SELECT id FROM purchase WHERE request = ?`, v.Request) {
			purchase = raw(t, r[0])
		}
		for _, r := range w.rows(`SELECT id FROM pledge WHERE state = 'RECEIVED'`) {
			pledge = raw(t, r[0])
		}
		count("allocatePledge", func() error {
			_, err := a.Sponsor.Allocate(ctx, w.actor("shenyue"), sponsor.AllocateInput{Pledge: pledge, Purchase: purchase, Amount: 86000, IdempotencyKey: id.Secret(16)})
			return err
		})
		count("arrivePurchase", func() error {
			_, err := a.Property.Arrive(ctx, w.actor("hejing"), property.PurchaseActInput{Purchase: purchase, IdempotencyKey: id.Secret(16)})
			return err
		})
		count("fix", act(repair.ActFix))
		count("close", act(repair.ActClose))
		t.Logf("round trips by command:\n%s", table.String())
	})
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
