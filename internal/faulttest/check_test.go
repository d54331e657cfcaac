//go:build fault && linux

package faulttest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"kelian/internal/app"
	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/workflow"
)

// findings are what the database and the mailbox say against the promise.
type findings struct {
	w                    *world
	lost, doubled, wrong []string
}

// finish waits for the end of everything and compares what is there with what
// was acknowledged; without letters it does not wait for those that are to be
// sent again.
func (w *world) finish(letters bool) *findings {
	f := &findings{w: w}
	w.look()
	if err := w.drain(letters); err != nil {
		f.wrong = append(f.wrong, err.Error()+": "+w.left(nil))
	}
	w.pending.Wait()
	f.operations()
	f.effects()
	f.messages()
	f.queue()
	f.audit()
	f.requests()
	w.fig.lost, w.fig.doubled = len(f.lost), len(f.doubled)
	w.mu.Lock()
	f.wrong = append(f.wrong, w.errs...)
	w.fig.hits, w.fig.slow = w.hits, len(w.slow)
	w.mu.Unlock()
	return f
}

// judge fails the test for every finding and books the figures.
func (f *findings) judge(t *testing.T) {
	t.Helper()
	for what, list := range map[string][]string{"lost": f.lost, "doubled": f.doubled, "wrong": f.wrong} {
		for _, s := range list {
			t.Errorf("%s: %s", what, s)
		}
	}
	t.Log(f.w.fig)
	sum.add(f.w.fig)
}

// n counts by a statement.
func (f *findings) n(query string, args ...any) (n int) {
	if err := f.w.db.R.NewRaw(query, args...).Scan(context.Background(), &n); err != nil {
		f.wrong = append(f.wrong, fmt.Sprintf("%s: %v", query, err))
	}
	return n
}

// exactly compares a count with what was acknowledged.
func (f *findings) exactly(what string, want, got int) {
	for range want - got {
		f.lost = append(f.lost, fmt.Sprintf("%s: %d of %d", what, got, want))
	}
	for range got - want {
		f.doubled = append(f.doubled, fmt.Sprintf("%s: %d for %d", what, got, want))
	}
}

// each looks for every acknowledged object by its key.
func (f *findings) each(what, query string, prefix string, names []string) {
	for _, name := range names {
		var k any = name
		if prefix != "" {
			parsed, err := id.Parse(prefix, name)
			if err != nil {
				f.wrong = append(f.wrong, fmt.Sprintf("%s %q: %v", what, name, err))
				continue
			}
			k = parsed
		}
		f.exactly(what+" "+name, 1, f.n(query, k))
	}
}

// operations: what was acknowledged is there, and nothing beside it.
func (f *findings) operations() {
	e := &f.w.expect
	f.each("repair", `SELECT count(*) FROM ticket WHERE number = ?`, "", e.repairs)
	f.exactly("repairs", len(e.repairs), f.n(`SELECT count(*) FROM ticket WHERE source = 'REPORT'`))
	f.each("request", `SELECT count(*) FROM request WHERE id = ?`, "req", e.requests)
	f.each("part", `SELECT count(*) FROM request WHERE id = ? AND status = 'APPROVED'`, "req", e.parts)
	f.exactly("requests", len(e.requests)+len(e.parts), f.n(`SELECT count(*) FROM request`))
	f.each("decision", `SELECT count(*) FROM decision WHERE task_id = ?`, "tsk", e.decisions)
	f.exactly("decisions", len(e.decisions), f.n(`SELECT count(*) FROM decision WHERE door = 'console' AND carried_from IS NULL`))
	f.each("resubmission", `SELECT count(*) FROM revision WHERE request_id = ? AND rev = 2`, "req", e.resubmits)
	f.each("payment", `SELECT count(*) FROM ledger_entry WHERE kind = 'ALLOCATE' AND purchase = ?`, "pur", e.payments)
	f.exactly("payments", len(e.payments), f.n(`SELECT count(*) FROM ledger_entry WHERE kind = 'ALLOCATE'`))
	if n := f.n(`SELECT coalesce(sum(amount), 0) FROM ledger_leg`); n != 0 {
		f.wrong = append(f.wrong, fmt.Sprintf("the ledger's sum is %d", n))
	}
	f.exactly("incidents", e.outages, f.n(`SELECT count(*) FROM incident`))
	f.exactly("incidents that ended", e.outages, f.n(`SELECT count(*) FROM incident WHERE reason = 'RECOVERED'`))
}

// effects: what background work made of it is there once.
func (f *findings) effects() {
	e := &f.w.expect
	f.exactly("tickets of incidents", e.outages, f.n(`SELECT count(*) FROM ticket WHERE source = 'INCIDENT'`))
	f.exactly("reports that ended with their incident", e.outages, f.n(`SELECT count(*) FROM ticket WHERE source = 'REPORT' AND incident IS NOT NULL AND state IN ('CANCELLED', 'CLOSED')`))
	f.each("activity", `SELECT count(*) FROM request WHERE id = ? AND status = 'APPROVED'`, "req", e.approved)
	f.each("reservation", `SELECT count(*) FROM reservation WHERE request = ? AND state = 'RESERVED'`, "req", e.approved)
	f.each("purchase", `SELECT count(*) FROM purchase WHERE request = ?`, "req", e.parts)
	f.exactly("funded purchases", len(e.payments), f.n(`SELECT count(*) FROM purchase WHERE state = 'FUNDED'`))
	f.exactly("thanks owed", len(e.payments), f.n(`SELECT count(*) FROM thanks`))
	told := func(topic string, want int) {
		f.exactly("messages "+topic, want, f.n(`SELECT count(*) FROM notification WHERE topic = ? AND at > ?`, topic, f.w.began))
	}
	told("incident.opened", 2*e.outages) // the head and the technician
	told("incident.closed", 2*e.outages)
	told("repair.received", len(e.repairs))
	told("repair.recovered", e.outages)
	told("repair.offered", e.outages)
	told("workflow.approved", len(e.approved)+len(e.parts))
}

// messages: everybody is told once; a letter comes twice only where a fault
// hit between send and record.
func (f *findings) messages() {
	var twice []struct {
		Topic string
		N     int
	}
	if err := ignoreNone(f.w.db.R.NewRaw(`SELECT topic, count(*) AS n FROM notification GROUP BY dedupe, topic HAVING count(*) > 1`).Scan(context.Background(), &twice)); err != nil {
		f.wrong = append(f.wrong, err.Error())
	}
	for _, d := range twice {
		f.doubled = append(f.doubled, fmt.Sprintf("the message %s was put %d times", d.Topic, d.N))
	}
	for range f.n(`SELECT count(*) FROM notification AS n WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.event = n.id)`) {
		f.lost = append(f.lost, "a message has no delivery")
	}
	var rows []struct {
		ID    id.ID
		State string
	}
	if err := ignoreNone(f.w.db.R.NewRaw(`SELECT id, state FROM delivery WHERE channel = 'email' AND created_at > ?`, f.w.began).Scan(context.Background(), &rows)); err != nil {
		f.wrong = append(f.wrong, err.Error())
	}
	f.w.fig.letters = len(rows)
	for _, r := range rows {
		n := f.w.copies(r.ID)
		f.w.fig.twice += max(0, n-1)
		switch {
		case r.State == "sent" && n == 0:
			f.lost = append(f.lost, "a letter is booked as sent and was not received")
		case r.State != "sent" && n > 0:
			f.wrong = append(f.wrong, "a letter was received and is "+r.State)
		case r.State != "sent":
			f.wrong = append(f.wrong, "a letter is "+r.State)
		}
	}
	f.w.mu.Lock()
	hits := f.w.hits + len(f.w.slow)
	f.w.mu.Unlock()
	if f.w.fig.twice > hits {
		f.doubled = append(f.doubled, fmt.Sprintf("%d letters were received twice, %d faults hit between send and record", f.w.fig.twice, hits))
	}
}

// queue: nothing is left and nothing has died.
func (f *findings) queue() {
	if n := f.n(`SELECT count(*) FROM outbox WHERE state = 'dead'`); n > 0 {
		f.lost = append(f.lost, fmt.Sprintf("%d rows of the outbox are dead", n))
	}
}

// audit: the audit log verifies, also by the command.
func (f *findings) audit() {
	ctx := context.Background()
	var rep audit.Report
	err := poll("the audit log is sealed", under.wait, func() bool {
		var err error
		rep, err = audit.Verify(ctx, f.w.db)
		return err == nil && rep.UnsealedTail == 0
	})
	if err != nil || len(rep.Faults) > 0 {
		f.wrong = append(f.wrong, fmt.Sprintf("audit: %v %v", rep, err))
	}
	if out, err := command(map[string]string{"KELIAN_DATABASE_URL": f.w.env["KELIAN_DATABASE_URL"]}, "audit", "verify"); err != nil || !strings.Contains(out, "OK") {
		f.wrong = append(f.wrong, fmt.Sprintf("kelian audit verify: %s %v", out, err))
	}
}

// requests: every request is the fold of its events, and their chain verifies.
func (f *findings) requests() {
	ctx := context.Background()
	flows := workflow.New(f.w.db, clock.System{}, app.Rules(), workflow.Options{Location: zone()})
	var requests []id.ID
	if err := ignoreNone(f.w.db.R.NewRaw(`SELECT id FROM request`).Scan(ctx, &requests)); err != nil {
		f.wrong = append(f.wrong, err.Error())
	}
	for _, r := range requests {
		if rep, err := flows.Check(ctx, r); err != nil || !rep.OK() {
			f.wrong = append(f.wrong, fmt.Sprintf("the events of %s: %v %v", r.TypeID("req"), rep.Problems, err))
		}
	}
}
