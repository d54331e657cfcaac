package workflow_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// replayed is a trace on a database.
type replayed struct {
	*fed
	requests []id.ID
}

func replay(t *testing.T, db *store.DB, c *core) *replayed {
	outbox.Route(workflow.TopicRefresh, "workflow")
	r := &replayed{fed: newFed(t, db)}
	r.svc.Files = anyFile{}
	r.publish(tracedYAML)
	r.publish(lotYAML)
	made := 0
	r.svc.NewID = func() id.ID { made++; return named(fmt.Sprint("traced ", made)) }
	for i, e := range c.trace {
		r.clock.Advance(e.wait)
		switch {
		case e.refresh:
			r.hold(e)
		case e.ring:
			r.rings()
		default:
			out, err := r.send(c, e)
			if got, ok := fault.As(err); err != nil && (!ok || got.Reason != string(e.code)) || err == nil && e.code != "" {
				t.Fatalf("line %d, %T on request %d: got %v, want %q", i, e.cmd, e.n, err, e.code)
			}
			if e.n == len(r.requests) {
				r.requests = append(r.requests, out.Request)
			}
		}
	}
	return r
}

// hold changes who holds a seat and lets the open requests follow.
func (r *replayed) hold(e entry) {
	r.t.Helper()
	now := r.clock.Now()
	r.inTx(func(ctx context.Context, tx *store.Tx) error {
		if e.standIn != "" {
			tx.QueueSQL(`INSERT INTO delegation (id, seat_id, from_person, to_person, from_at, until_at) SELECT ?, seat_id, person_id, ?, ?, ? FROM tenure
				WHERE seat_id = (SELECT id FROM seat WHERE name = ?)`, id.New(), named(e.standIn), now, now.AddDate(0, 1, 0), e.seat)
		} else {
			tx.QueueSQL(`UPDATE tenure SET until_at = ? WHERE seat_id = (SELECT id FROM seat WHERE name = ?)`, now, e.seat)
		}
		for _, name := range e.holders {
			tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) SELECT ?, id, ?, 'FULL', ? FROM seat WHERE name = ?`, id.New(), named(name), now, e.seat)
		}
		return nil
	})
	r.inTx(func(ctx context.Context, tx *store.Tx) error { _, err := r.svc.RefreshOpen(ctx, tx); return err })
	r.carry(map[string]func(context.Context, outbox.Delivery) error{workflow.TopicRefresh: r.svc.OnRefresh, workflow.TopicDeadline: r.svc.OnDeadline})
}

func actor(person string) org.Actor {
	var p id.ID
	_ = p.UnmarshalText([]byte(person))
	return org.Actor{Person: p, Lang: "zh"}
}

// named is a task by its name in the core.
func (r *replayed) named(request id.ID, task string) id.ID {
	var out id.ID
	if err := r.db.R.NewRaw(`SELECT id FROM task WHERE request_id = ? AND name = ?`, request, task).Scan(bg, &out); err != nil {
		r.t.Fatalf("the task %s: %v", task, err)
	}
	return out
}

func text(n *flow.Note) string {
	if n == nil {
		return ""
	}
	return n.MAC // see core.note
}

var said = map[flow.Verdict]workflow.Verdict{flow.Approve: workflow.Approve, flow.Reject: workflow.Reject, flow.Abstain: workflow.Abstain}

// send gives a command of the core to the service.
func (r *replayed) send(c *core, e entry) (workflow.Outcome, error) {
	var req id.ID
	if e.n < len(r.requests) {
		req = r.requests[e.n]
	}
	form := func() map[string]any { return jsonForm(r.t, e.form) }
	switch m := e.cmd.(type) {
	case flow.Submit:
		if m.Base != nil {
			return r.svc.Amend(bg, actor(m.By.Person), workflow.AmendInput{Request: r.requests[e.base], Form: form(), IdempotencyKey: r.key()})
		}
		return r.svc.Submit(bg, actor(m.By.Person), workflow.SubmitInput{Definition: c.threads[e.n].def.Flow.Key, Unit: "liaison", Form: form(), IdempotencyKey: r.key()})
	case flow.Resubmit:
		return r.svc.Resubmit(bg, actor(m.By.Person), workflow.ResubmitInput{Request: req, Form: form(), FormRev: m.Form.Rev - 1, IdempotencyKey: r.key()})
	case flow.Withdraw:
		return r.svc.Withdraw(bg, actor(m.By.Person), workflow.WithdrawInput{Request: req, IdempotencyKey: r.key()})
	case flow.Cast:
		if m.By.Door == flow.Paper {
			return r.svc.RecordPaper(bg, actor(m.By.Recorder), workflow.PaperInput{Task: r.named(req, m.Task), Verdict: said[m.Verdict], FormRev: m.FormRev,
				Scan: named("scan"), ScanSHA256: m.By.Scan, IdempotencyKey: r.key()})
		}
		return r.svc.Decide(bg, actor(m.By.Person), workflow.DecideInput{Task: r.named(req, m.Task), Verdict: said[m.Verdict], FormRev: m.FormRev, Comment: text(m.Note),
			Fields: e.fields, IdempotencyKey: r.key()})
	case flow.SendBack:
		return r.svc.Decide(bg, actor(m.By.Person), workflow.DecideInput{Task: r.named(req, m.Task), Verdict: workflow.SendBack, To: m.To, Mode: m.Mode, FormRev: m.FormRev,
			Comment: text(m.Note), IdempotencyKey: r.key()})
	case flow.Transfer:
		return r.svc.Transfer(bg, actor(m.By.Person), workflow.TransferInput{Task: r.named(req, m.Task), To: actor(m.To.Person).Person, IdempotencyKey: r.key()})
	case flow.AddSigners:
		return r.svc.AddSigners(bg, actor(m.By.Person), workflow.AddSignersInput{Task: r.named(req, m.Task), Place: m.Place, People: []id.ID{actor(m.Who[0].Person).Person}, IdempotencyKey: r.key()})
	case flow.Undo:
		return r.svc.Undo(bg, actor(m.By.Person), workflow.UndoInput{Task: r.named(req, m.Task), IdempotencyKey: r.key()})
	case flow.Disown:
		return r.svc.Disown(bg, actor(m.By.Person), workflow.UndoInput{Task: r.named(req, m.Task), Comment: text(m.Note), IdempotencyKey: r.key()})
	}
	return r.sendMore(e, req)
}

func (r *replayed) sendMore(e entry, req id.ID) (workflow.Outcome, error) {
	switch m := e.cmd.(type) {
	case flow.Comment:
		return r.svc.Comment(bg, actor(m.By.Person), workflow.CommentInput{Request: req, Blocking: m.Blocking, Text: text(&m.Note), IdempotencyKey: r.key()})
	case flow.Resolve:
		return r.svc.Resolve(bg, actor(m.By.Person), workflow.ResolveInput{Request: req, N: m.N, IdempotencyKey: r.key()})
	case flow.Nudge:
		return r.svc.Nudge(bg, actor(m.By.Person), workflow.NudgeInput{Request: req, IdempotencyKey: r.key()})
	case flow.Copy:
		return r.svc.Copy(bg, actor(m.By.Person), workflow.CopyInput{Request: req, People: []id.ID{actor(m.People[0]).Person}, IdempotencyKey: r.key()})
	case flow.Stop:
		return r.svc.Stop(bg, actor(m.By.Person), workflow.StopInput{Request: req, Comment: text(m.Note), IdempotencyKey: r.key()})
	case flow.CloseOut:
		return r.svc.CloseOut(bg, actor(m.By.Person), workflow.CloseOutInput{Request: req, Form: jsonForm(r.t, e.form), IdempotencyKey: r.key()})
	}
	r.t.Fatalf("the trace has a %T", e.cmd)
	return workflow.Outcome{}, nil
}

// stored reads a request's events and hashes. The keyed digest of a text, which
// has a salt, is replaced by the text, and so is the head that an amendment
// names, which covers such digests; alike says that nothing was replaced.
func (r *replayed) stored(request id.ID) (events []flow.Event, hashes []string, alike bool) {
	r.t.Helper()
	var rows []struct{ Body, Hash string }
	if err := r.db.R.NewRaw(`SELECT body, hash FROM event WHERE request_id = ? ORDER BY seq`, request).Scan(bg, &rows); err != nil {
		r.t.Fatal(err)
	}
	var notes []struct{ Value, Hash string }
	if err := r.db.R.NewRaw(`SELECT value, hash FROM personal WHERE subject = ? AND field LIKE 'request.note.%'`, request).Scan(bg, &notes); err != nil && !store.NoRows(err) {
		r.t.Fatal(err)
	}
	alike = len(notes) == 0
	for _, row := range rows {
		for _, n := range notes {
			row.Body = strings.ReplaceAll(row.Body, n.Hash, n.Value)
		}
		var ev flow.Event
		if err := json.Unmarshal([]byte(row.Body), &ev); err != nil {
			r.t.Fatal(err)
		}
		if b, ok := ev.Body.(flow.Submitted); ok && b.Amends != nil {
			b.Amends.Head, alike = "head", false
		}
		events, hashes = append(events, ev), append(hashes, row.Hash)
	}
	return events, hashes, alike
}

// The same commands on SQLite, on PostgreSQL and given to the pure core alone
// make the same events with the same hashes, every move among them, and are
// refused for the same reasons.
func TestSameTraceSameHashes(t *testing.T) {
	c := newCore(t)
	c.play()
	seen := map[string]bool{}
	for _, x := range c.threads {
		for _, ev := range x.events {
			seen[ev.Body.Type()] = true
		}
	}
	// What the trace leaves out has more than the core in it: another version, a
	// calendar, a directory of judges.
	elsewhere := []string{"migrated", "rescheduled", "replaced"}
	for _, typ := range flow.EventTypes() {
		if slices.Contains(elsewhere, typ) {
			continue
		}
		if !seen[typ] {
			t.Errorf("the trace has no %s", typ)
		}
	}
	refused := map[flow.Code]bool{}
	for _, e := range c.trace {
		refused[e.code] = true
	}
	for _, code := range []flow.Code{flow.StaleForm, flow.Unresolved, flow.TooSoon, flow.NotRequester} {
		if !refused[code] {
			t.Errorf("the trace has no %s", code)
		}
	}
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		r, same := replay(t, db, c), 0
		for n, x := range c.threads {
			r.sound(r.requests[n])
			events, hashes, alike := r.stored(r.requests[n])
			want := chain(t, x.events)
			for i, sum := range chain(t, events) {
				if i >= len(want) || sum != want[i] {
					t.Fatalf("request %d, event %d: stored %+v\nin memory %+v", n, i+1, events[i], x.events[min(i, len(x.events)-1)])
				}
				if alike && hashes[i] != hex.EncodeToString(want[i][:]) {
					t.Fatalf("request %d: the stored hash of event %d is another", n, i+1)
				}
			}
			if len(events) != len(want) {
				t.Fatalf("request %d has %d events, in memory %d", n, len(events), len(want))
			}
			if alike {
				same++
			}
		}
		if same < 4 {
			t.Errorf("the stored hashes of %d requests were compared as they are", same)
		}
	})
}
