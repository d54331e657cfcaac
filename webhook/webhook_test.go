package webhook_test

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/webhook"
)

// The vector of the Standard Webhooks specification's libraries.
func TestSignIsThatOfTheSpecification(t *testing.T) {
	sum, err := webhook.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), `{"test": 2432232314}`, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; sum != want || err != nil {
		t.Fatalf("%s, want %s: %v", sum, want, err)
	}
}

func TestAnEventArrivesSignedAndOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		object := id.New()
		w.happens(object, 1, "request.opened", "OPEN") // nobody listens yet
		h, secret := w.hook("request.closed", "request.opened", "request.opened")
		w.happens(object, 2, "request.changed", "OPEN") // not subscribed to
		w.happens(object, 3, "request.closed", "APPROVED")
		w.drain()
		if len(w.posts) != 1 {
			t.Fatalf("%d posts, want 1: %+v", len(w.posts), w.posts)
		}
		p := w.posts[0]
		if !signed(t, p, secret) || p.stamp != strconv.FormatInt(w.clock.Now().Unix(), 10) || p.header.Get("Content-Type") != "application/json" {
			t.Errorf("the post is not as the specification wants it: %+v", p)
		}
		var body map[string]any
		if err := json.Unmarshal([]byte(p.body), &body); err != nil {
			t.Fatal(err)
		}
		data, _ := body["data"].(map[string]any)
		ref := object.TypeID("req")
		want := map[string]any{"id": ref, "number": "科联审〔2026〕第0123号", "kind": "office.property", "status": "APPROVED", "url": "https://kelian.example.edu.cn/requests/" + ref, "version": 3.0}
		if body["type"] != "request.closed" || body["timestamp"] != "2026-10-14T02:00:00Z" || len(data) != len(want) {
			t.Errorf("the body is %s", p.body)
		}
		for k, v := range want {
			if data[k] != v {
				t.Errorf("data.%s is %v, want %v", k, data[k], v)
			}
		}
		d := w.only(h)
		if d.State != webhook.Sent || d.Code != 204 || d.Attempt != 1 || d.ID.TypeID("whd") != p.id || d.Body != p.body {
			t.Errorf("the log has %+v", d)
		}
		w.idle()
	})
}

// An event whose row is carried late, and two that come the wrong way round,
// are posted in the order of the object's versions.
func TestEventsAboutOneObjectGoInOrder(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.hook("request.opened", "request.changed", "request.closed")
		object := id.New()
		w.happens(object, 1, "request.opened", "OPEN")
		var late []id.ID
		if err := db.R.NewRaw(`SELECT id FROM outbox WHERE consumer = 'webhook'`).Scan(bg, &late); err != nil || len(late) != 1 {
			t.Fatal(late, err)
		}
		due := func(at time.Time) {
			mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
				tx.QueueSQL(`UPDATE outbox SET due_at = ? WHERE id = ?`, at, late[0])
				return nil
			})
		}
		due(w.clock.Now().Add(10 * time.Second))
		w.happens(object, 3, "request.closed", "APPROVED")
		w.happens(object, 2, "request.changed", "OPEN")
		other := id.New()
		w.happens(other, 3, "request.closed", "APPROVED")
		w.drain()
		if len(w.posts) != 1 || !strings.Contains(w.posts[0].body, other.TypeID("req")) {
			t.Fatalf("before the first event was there: %+v", w.posts)
		}
		w.pass(15*time.Second, time.Second)
		var seen []string
		for _, p := range w.posts[1:] {
			var b struct{ Type string }
			_ = json.Unmarshal([]byte(p.body), &b)
			seen = append(seen, b.Type)
		}
		if strings.Join(seen, " ") != "request.opened request.changed request.closed" {
			t.Fatalf("they went as %v", seen)
		}
	})
}
