package graph_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/notify"
)

// told makes a notice about a request of zhouhang's, to be told by phone by the
// publicity department, and a mail to hejing that failed; it gives the request.
func (w *world) told() (request, delivery id.ID) {
	w.t.Helper()
	request = w.purchase("zhouhang", "光模块", 100)
	delivery = id.New()
	notice := id.New()
	factory.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		notify.Put(tx, notify.Message{Topic: "workflow.task", To: w.people["hejing"], Ref: outbox.Ref{Kind: "req", ID: request}, At: testkit.Start})
		tx.QueueSQL(`UPDATE notification SET id = ? WHERE ref_id = ?`, notice, request)
		for _, row := range []struct {
			id             id.ID
			channel, state string
		}{{delivery, "email", "failed"}, {id.New(), "phone", "waiting"}} {
			tx.Queue(w.db.Bun().NewInsert().Model(&notify.Delivery{ID: row.id, Event: notice, Channel: notify.Channel(row.channel), Recipient: w.people["hejing"],
				State: notify.State(row.state), CreatedAt: testkit.Start, RetryUntil: testkit.Start.Add(time.Hour)}))
			if row.channel == "phone" {
				tx.Queue(w.db.Bun().NewInsert().Model(&notify.ToTell{ID: id.New(), Notification: notice, Delivery: row.id, Recipient: w.people["hejing"], Unit: "publicity",
					Channel: notify.Phone, TextZh: "请看审批", TextEn: "see the request", State: notify.ToldOpen, CreatedAt: testkit.Start}))
			}
		}
		return nil
	})
	return request, delivery
}

func TestPeopleChooseWhatTheyHear(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	const q = `viewer{notificationPreferences{topic channel enabled}}`
	if a := w.good("pan", "{"+q+"}", nil); strings.Contains(a.Body, "false") || !strings.Contains(a.Body, "workflow.task") {
		t.Error(a.Body)
	}
	off := vars{"preferences": []vars{{"topic": "workflow.task", "channel": "EMAIL", "enabled": false}}, "idempotencyKey": w.key()}
	if a := w.did("pan", "setNotificationPreferences", q, off); !strings.Contains(a.Body, `{"topic":"workflow.task","channel":"EMAIL","enabled":false}`) ||
		strings.Count(a.Body, "false") != 1 {
		t.Error(a.Body)
	}
	if a := w.good("qin", "{"+q+"}", nil); strings.Contains(a.Body, "false") {
		t.Error("somebody else's choice changed: " + a.Body)
	}
	off["preferences"], off["idempotencyKey"] = []vars{{"topic": "no.such", "channel": "EMAIL", "enabled": false}}, w.key()
	if a := w.change("pan", "setNotificationPreferences", q, off); a.code() != "BAD_USER_INPUT" {
		t.Error(a.Body)
	}
}

func TestFailedMailIsSentAgain(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	request, delivery := w.told()
	q := `query($of:ID!){deliveries(of:$of){id state channel}}`
	again := vars{"delivery": delivery.TypeID("dlv"), "idempotencyKey": w.key()}
	if a := w.good("zhouhang", q, vars{"of": request.TypeID("req")}); !strings.Contains(a.Body, `{"id":"`+delivery.TypeID("dlv")+`","state":"FAILED","channel":"email"}`) {
		t.Fatal(a.Body)
	}
	if a := w.change("pan", "resendDelivery", "done", again); a.code() != "FORBIDDEN" {
		t.Error(a.Body)
	}
	w.did("hejing", "resendDelivery", "done", again)
	if a := w.good("zhouhang", q, vars{"of": request.TypeID("req")}); strings.Contains(a.Body, "FAILED") {
		t.Error(a.Body)
	}
	again["idempotencyKey"] = w.key()
	if a := w.change("hejing", "resendDelivery", "done", again); a.at("resendDelivery", "userErrors", 0, "code") != "NOT_FAILED" {
		t.Error(a.Body)
	}
}

func TestPeopleAreToldByHand(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.told()
		factory.Contact(t, db, w.people["hejing"], "phone", "13700137000")
		const q = `{toTell{edges{node{id channel text{zh} unit state}}}}`
		a := w.good("pan", q, nil)
		line := a.at("toTell", "edges", 0, "node", "id")
		if a.at("toTell", "edges", 0, "node", "text", "zh") != "请看审批" || strings.Contains(a.Body, "13700137000") {
			t.Fatal(a.Body)
		}
		if a := w.good("qin", q, nil); a.at("toTell", "edges", 0) != nil {
			t.Error("another unit's list: " + a.Body)
		}
		for mutation, in := range map[string]vars{"revealToTell": {}, "markTold": {"state": "TOLD", "idempotencyKey": w.key()}} {
			ask := func(line any) answer {
				in["line"] = line
				return w.change("qin", mutation, "__typename", in)
			}
			if a, absent := ask(line), ask(id.New().TypeID("ttl")); a.code() != "NOT_FOUND" || plain(a) != plain(absent) {
				t.Errorf("%s: another unit's line answers %s, none %s", mutation, a.Body, absent.Body)
			}
		}
		if a := w.did("pan", "revealToTell", "value", vars{"line": line}); a.at("revealToTell", "value") != "13700137000" {
			t.Error(a.Body)
		}
		w.did("pan", "markTold", "done", vars{"line": line, "state": "NO_ANSWER", "idempotencyKey": w.key()})
		if a := w.good("pan", q, nil); a.at("toTell", "edges", 0, "node", "state") != "NO_ANSWER" {
			t.Error(a.Body)
		}
		w.did("pan", "markTold", "done", vars{"line": line, "state": "TOLD", "idempotencyKey": w.key()})
		if a := w.good("pan", q, nil); a.at("toTell", "edges", 0) != nil {
			t.Error(a.Body)
		}
	})
}
