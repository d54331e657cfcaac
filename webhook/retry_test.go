package webhook_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"
	"kelian/webhook"
)

func TestAFailedPostIsRepeatedUnderTheSameID(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.answer = func(rw http.ResponseWriter, n int) {
			switch n {
			case 1:
				rw.WriteHeader(http.StatusInternalServerError)
				_, _ = io.WriteString(rw, "tem\x00porary\n trouble "+strings.Repeat("长", 5000))
			case 2:
				rw.Header().Set("Location", "/elsewhere")
				rw.WriteHeader(http.StatusFound)
			case 3:
				c, _, _ := http.NewResponseController(rw).Hijack()
				_ = c.Close() // posted, and no answer
			default:
				rw.WriteHeader(http.StatusOK)
			}
		}
		h, secret := w.hook("request.opened")
		w.happens(id.New(), 1, "request.opened", "OPEN")
		w.drain()
		d := w.only(h)
		if d.State != webhook.Waiting || d.Code != 500 || d.Reason != "STATUS" || !strings.HasPrefix(d.Answer, "temporary trouble 长") || len([]rune(d.Answer)) > 200 {
			t.Errorf("after a 500 the log has %+v", d)
		}
		if wait := d.NextAt.Sub(w.clock.Now()); wait < time.Second || wait > 31*time.Second {
			t.Errorf("the next attempt is in %v", wait)
		}
		w.pass(10*time.Minute, 30*time.Second)
		if len(w.posts) != 4 {
			t.Fatalf("%d posts, want 4 (a redirect is not followed)", len(w.posts))
		}
		for _, p := range w.posts {
			if p.id != w.posts[0].id || p.body != w.posts[0].body || !signed(t, p, secret) {
				t.Errorf("a repetition differs: %+v", p)
			}
		}
		if d := w.only(h); d.State != webhook.Sent || d.Attempt != 4 || d.PossibleDuplicate != 1 {
			t.Errorf("in the end the log has %+v", d)
		}
		if hooks, err := w.svc.List(bg, w.boss); err != nil || !hooks[0].FailingSince.IsZero() {
			t.Errorf("it is said to fail still: %+v %v", hooks, err)
		}
		w.idle()
	})
}

func TestADeliveryIsDeadAfterADayAndReplayedUnderItsID(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.answer = func(rw http.ResponseWriter, _ int) { rw.WriteHeader(http.StatusBadGateway) }
		h, _ := w.hook("request.opened")
		began := w.clock.Now()
		w.happens(id.New(), 1, "request.opened", "OPEN")
		w.drain()
		w.pass(25*time.Hour, 30*time.Minute)
		d := w.only(h)
		if d.State != webhook.Failed || d.Reason != "STATUS" || d.Attempt < 5 || d.TriedAt.Sub(began) > 24*time.Hour {
			t.Fatalf("after a day the log has %+v", d)
		}
		w.idle()
		w.answer = nil
		before := len(w.posts)
		n, err := w.svc.ReplaySince(bg, w.boss, webhook.ReplaySinceInput{Webhook: h.ID, Since: began.Add(-time.Minute), Until: w.clock.Now(), IdempotencyKey: "replay-since-1"})
		if err != nil || n != 1 {
			t.Fatalf("%d replayed: %v", n, err)
		}
		w.drain()
		if err := w.svc.Replay(bg, w.boss, webhook.ReplayInput{Delivery: d.ID, IdempotencyKey: "replay-1-again"}); err != nil {
			t.Fatal(err)
		}
		w.drain()
		if len(w.posts) != before+2 || w.posts[before].id != d.ID.TypeID("whd") || w.posts[before+1].id != w.posts[before].id || w.posts[before+1].body != d.Body {
			t.Fatalf("the replays were %+v", w.posts[before:])
		}
		if d := w.only(h); d.State != webhook.Sent {
			t.Errorf("after the replay the log has %+v", d)
		}
		_, err = w.svc.ReplaySince(bg, w.boss, webhook.ReplaySinceInput{Webhook: h.ID, Since: began.AddDate(0, 0, -8)})
		if e, ok := fault.As(err); !ok || e.Code != fault.BadUserInput || e.Path[0] != "since" {
			t.Errorf("eight days were not refused: %v", err)
		}
	})
}

func TestAnEndpointThatIsGoneOrFailsForDaysIsSwitchedOff(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		status := http.StatusGone
		w.answer = func(rw http.ResponseWriter, _ int) { rw.WriteHeader(status) }
		h, _ := w.hook("request.opened")
		w.happens(id.New(), 1, "request.opened", "OPEN")
		w.happens(id.New(), 1, "request.opened", "OPEN")
		w.drain()
		w.off(h, webhook.Gone)
		for _, d := range w.log(h) {
			if d.State != webhook.Failed || d.Reason != "GONE" && d.Reason != "DISABLED" {
				t.Errorf("of an endpoint that is gone the log has %+v", d)
			}
		}
		_, err := w.svc.Test(bg, w.boss, webhook.HookInput{Webhook: h.ID})
		if !fault.IsRule(err, "WEBHOOK_DISABLED") {
			t.Errorf("a test of it: %v", err)
		}

		on := true
		if err := w.svc.Update(bg, w.boss, webhook.UpdateInput{Webhook: h.ID, Enabled: &on}); err != nil {
			t.Fatal(err)
		}
		status, w.disabled = http.StatusInternalServerError, nil
		for day := range 6 {
			w.happens(id.New(), int64(day), "request.opened", "OPEN")
			w.pass(24*time.Hour, 2*time.Hour)
		}
		w.off(h, webhook.Failing)
		posts := len(w.posts)
		w.happens(id.New(), 1, "request.opened", "OPEN")
		w.pass(24*time.Hour, 6*time.Hour)
		if len(w.posts) != posts {
			t.Error("it is posted to all the same")
		}
		w.idle()
	})
}

// off says that the endpoint was switched off and its owner is told once.
func (w *world) off(h webhook.Hook, why string) {
	w.t.Helper()
	hooks, err := w.svc.List(bg, w.boss)
	if err != nil || len(hooks) != 1 || hooks[0].Disabled != why {
		w.t.Fatalf("the endpoint is %+v: %v", hooks, err)
	}
	want := webhook.DisabledPayload{Webhook: h.ID, Owner: w.boss.Person, Description: h.Description, Reason: why}
	if len(w.disabled) != 1 || w.disabled[0] != want {
		w.t.Fatalf("told were %+v", w.disabled)
	}
}

func TestRetryAfterIsHonouredForTheWholeEndpoint(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.answer = func(rw http.ResponseWriter, n int) {
			if n == 1 {
				rw.Header().Set("Retry-After", "1800")
				rw.WriteHeader(http.StatusTooManyRequests)
			}
		}
		h, _ := w.hook("request.opened")
		w.happens(id.New(), 1, "request.opened", "OPEN")
		w.happens(id.New(), 1, "request.opened", "OPEN")
		w.drain()
		w.pass(29*time.Minute, time.Minute)
		if len(w.posts) != 1 {
			t.Fatalf("%d posts within the half hour that it asked for", len(w.posts))
		}
		w.pass(2*time.Minute, time.Minute)
		if len(w.posts) != 3 {
			t.Fatalf("%d posts after it, want 3", len(w.posts))
		}
		for _, d := range w.log(h) {
			if d.State != webhook.Sent {
				t.Errorf("the log has %+v", d)
			}
		}
	})
}

// A process that ends between posting and recording loses nothing: the lease
// ends, and the same message goes again.
func TestAPostThatWasNotRecordedGoesAgainUnderTheSameID(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		h, _ := w.hook("request.opened")
		w.abandoned()
		w.happens(id.New(), 1, "request.opened", "OPEN") // it wakes the lane
		w.pass(20*time.Second, 10*time.Second)
		if len(w.posts) != 0 {
			t.Fatal("the lane was not held")
		}
		// The process that held it is gone and its lease is over.
		w.expire()
		w.pass(time.Minute, 10*time.Second)
		log := w.log(h)
		if len(w.posts) != 2 || len(log) != 2 {
			t.Fatalf("%d posts of %d deliveries", len(w.posts), len(log))
		}
		if dl := log[1]; dl.State != webhook.Sent || dl.Attempt != 2 || dl.PossibleDuplicate != 1 || w.posts[0].id != dl.ID.TypeID("whd") {
			t.Fatalf("the log has %+v", dl)
		}
		w.idle()
	})
}

// take runs the first step of sending in a process that dies before the second.
func (w *world) take() {
	w.t.Helper()
	rows, err := outbox.Claim(bg, w.db, outbox.QueueHook, w.clock.Now())
	if err != nil || len(rows) != 1 {
		w.t.Fatal(rows, err)
	}
	d, err := outbox.Load(bg, w.db, rows[0].ID, rows[0].Attempt)
	if err != nil {
		w.t.Fatal(err)
	}
	dying := webhook.New(w.db, &lastMoment{Clock: w.clock}, org.NewTable(webhook.Rules()), webhook.Options{Dial: map[string]webhook.Dial{"http": nil}})
	done := make(chan bool)
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		_ = dying.OnSend(bg, d)
	}()
	<-done
}

// lastMoment is the clock of a process that dies when it looks a second time,
// which is when it is about to post.
type lastMoment struct {
	clock.Clock
	looks int
}

func (c *lastMoment) Now() time.Time {
	if c.looks++; c.looks > 1 {
		panic("killed")
	}
	return c.Clock.Now()
}

// abandoned is an event whose post a process began and did not live to record.
func (w *world) abandoned() {
	w.t.Helper()
	w.happens(id.New(), 1, "request.opened", "OPEN")
	rows, err := outbox.Claim(bg, w.db, outbox.QueueDefault, w.clock.Now())
	if err != nil || len(rows) != 1 {
		w.t.Fatal(rows, err)
	}
	d, err := outbox.Load(bg, w.db, rows[0].ID, rows[0].Attempt)
	if err == nil {
		err = w.handlers[topic](bg, d)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.take()
}

// expire ends the lease of the process that is gone.
func (w *world) expire() {
	w.t.Helper()
	mk.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`UPDATE webhook SET lease_until = ?`, w.db.Ago(time.Second))
		return nil
	})
}

// A post that kills whoever makes it is not tried for ever, and does not hold
// up those behind it.
func TestAPostThatIsNeverRecordedIsDeadAfterADay(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		h, _ := w.hook("request.opened")
		w.abandoned()
		w.expire()
		w.clock.Advance(webhook.RetryFor + time.Minute)
		w.happens(id.New(), 1, "request.opened", "OPEN")
		w.pass(time.Minute, 10*time.Second)
		log := w.log(h)
		if len(w.posts) != 1 || len(log) != 2 || log[0].State != webhook.Sent || w.posts[0].id != log[0].ID.TypeID("whd") {
			t.Fatalf("%d posts; the log has %+v", len(w.posts), log)
		}
		if d := log[1]; d.State != webhook.Failed || d.Attempt != 1 || d.PossibleDuplicate != 1 || d.Reason != "UNKNOWN" {
			t.Fatalf("the log has %+v", d)
		}
		w.idle()
	})
}
