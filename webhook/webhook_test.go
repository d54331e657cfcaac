package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/netmon/probe"
	"kelian/org"
	"kelian/webhook"

	"github.com/uptrace/bun"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var bg = context.Background()

// topic stands for the events of the domains.
const topic = "test.request"

// got is a post as it arrived.
type got struct {
	id, stamp, signature, body string
	header                     http.Header
}

// world is the service with a real server at the other end.
type world struct {
	t        *testing.T
	db       *store.DB
	clock    *clock.Fake
	svc      *webhook.Service
	handlers mk.Handlers
	boss     org.Actor
	disabled []webhook.DisabledPayload

	*httptest.Server
	mu     sync.Mutex
	posts  []got
	answer func(w http.ResponseWriter, n int) // n counts from 1; nil = 204
}

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, clock: testkit.Clock()}
	w.Server = httptest.NewServer(http.HandlerFunc(w.receive))
	t.Cleanup(w.Server.Close)
	mk.Federation(t, db)
	w.boss = org.Actor{Person: mk.Officer(t, db, "秦部长", "technical.head")}
	w.svc = w.service(loopback, nil)
	outbox.RouteWhile(topic, webhook.Consumer, webhook.Wanted)
	outbox.Route(webhook.TopicSend, webhook.Consumer)
	outbox.Route(webhook.TopicDisabled, "notify")
	w.handlers = mk.Handlers{topic: w.svc.OnEvent(describe), webhook.TopicSend: w.svc.OnSend, webhook.TopicDisabled: w.onDisabled}
	return w
}

// service is one that may post to the networks, and resolves names as told.
func (w *world) service(nets []netip.Prefix, names probe.Resolver) *webhook.Service {
	policy := probe.NewPolicy(probe.PolicyOptions{Allow: nets, Public: true, AllowLoopback: len(nets) > 0})
	dial := probe.NewChecker(probe.CheckerOptions{Policy: policy, Resolver: names}).DialContext
	return webhook.New(w.db, w.clock, org.NewTable(webhook.Rules()), webhook.Options{PublicURL: "https://kelian.example.edu.cn/",
		Dial: map[string]webhook.Dial{"https": dial, "http": dial}, Vet: func(_ string, to netip.AddrPort) error { return policy.Check(to) }})
}

func (w *world) receive(rw http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.posts = append(w.posts, got{r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), string(raw), r.Header})
	n, answer := len(w.posts), w.answer
	w.mu.Unlock()
	if answer == nil {
		rw.WriteHeader(http.StatusNoContent)
		return
	}
	answer(rw, n)
}

func (w *world) onDisabled(ctx context.Context, d outbox.Delivery) error {
	var p webhook.DisabledPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	_, err := store.InTx(ctx, w.db, d.Command(), func(context.Context, *store.Tx) (int, error) {
		w.disabled = append(w.disabled, p)
		return 0, nil
	})
	return err
}

func describe(_ context.Context, _ bun.IDB, d outbox.Delivery) ([]webhook.Fact, error) {
	var p struct{ Type, Status string }
	err := d.Decode(&p)
	ref := outbox.Ref{Kind: "req", ID: d.Aggregate}
	return []webhook.Fact{{Type: p.Type, Ref: ref, Version: d.Version, Number: "科联审〔2026〕第0123号", Kind: "office.property", Status: p.Status, Path: "/requests/" + ref.String()}}, err
}

// happens puts an event about the object.
func (w *world) happens(object id.ID, version int64, kind, status string) {
	w.t.Helper()
	mk.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		outbox.Put(tx, outbox.Event{Topic: topic, Aggregate: object, Version: version, Payload: map[string]string{"type": kind, "status": status}})
		return nil
	})
}

func (w *world) drain() { w.t.Helper(); w.handlers.Drain(w.t, w.db, w.clock) }

// hook makes an endpoint at the server.
func (w *world) hook(events ...string) (webhook.Hook, string) {
	w.t.Helper()
	secret, h, err := w.svc.Create(bg, w.boss, webhook.NewHook{URL: w.Server.URL + "/in?key=canary-url", Description: "校网对接", Events: events})
	if err != nil {
		w.t.Fatal(err)
	}
	return h, secret
}

func (w *world) log(h webhook.Hook) []webhook.Delivery {
	w.t.Helper()
	rows, _, err := w.svc.Deliveries(bg, w.boss, h.ID, "", store.Page{First: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

func (w *world) only(h webhook.Hook) webhook.Delivery {
	w.t.Helper()
	rows := w.log(h)
	if len(rows) != 1 {
		w.t.Fatalf("%d deliveries, want 1", len(rows))
	}
	return rows[0]
}

// signed is the specification's check, written anew: the key is what follows
// whsec_ in base64, the text is id.timestamp.body.
func signed(t *testing.T, p got, secret string) bool {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 || len(key) > 64 {
		t.Fatalf("the secret has %d bytes: %v", len(key), err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(p.id + "." + p.stamp + "." + p.body))
	return slices.Contains(strings.Fields(p.signature), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

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

// idle fails the test if a row or timer of the outbox still waits.
func (w *world) idle() {
	w.t.Helper()
	var left []string
	if err := w.db.R.NewRaw(`SELECT topic FROM outbox WHERE state IN ('pending', 'sent')`).Scan(bg, &left); err != nil && !store.NoRows(err) {
		w.t.Fatal(err)
	}
	if len(left) > 0 {
		w.t.Fatalf("still waiting in the outbox: %v", left)
	}
}

// pass lets time pass in steps, each long enough for what is due then.
func (w *world) pass(d, step time.Duration) {
	w.t.Helper()
	for ; d > 0; d -= step {
		w.clock.Advance(step)
		w.drain()
	}
}

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
		w.happens(id.New(), 1, "request.opened", "OPEN")
		rows, err := outbox.Claim(bg, db, outbox.QueueDefault, w.clock.Now())
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		d, err := outbox.Load(bg, db, rows[0].ID, rows[0].Attempt)
		if err == nil {
			err = w.handlers[topic](bg, d)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.take()
		w.happens(id.New(), 1, "request.opened", "OPEN") // it wakes the lane
		w.pass(20*time.Second, 10*time.Second)
		if len(w.posts) != 0 {
			t.Fatal("the lane was not held")
		}
		// The process that held it is gone and its lease is over.
		mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`UPDATE webhook SET lease_until = ?`, db.Ago(time.Second))
			return nil
		})
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

// names resolves as told.
type names map[string]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr(n[host])}, nil
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	db := testkit.SQLite(t)
	w := newWorld(t, db)
	w.svc = w.service(nil, names{"intranet.example": "10.0.0.7", "here.example": "127.0.0.1", "meta.example": "169.254.169.254", "cgnat.example": "100.64.1.1"})
	w.handlers[webhook.TopicSend] = w.svc.OnSend
	for _, address := range []string{"https://10.0.0.7/x", "https://127.0.0.1:8443", "https://[::1]/", "https://169.254.169.254/latest", "https://[::ffff:10.0.0.7]/", "https://[fd00::1]/", "https://192.168.1.1",
		"ftp://example.edu", "https://u:p@example.edu/", "example.edu", "https://example.edu:0/", "https://example.edu/#x"} {
		_, _, err := w.svc.Create(bg, w.boss, webhook.NewHook{URL: address, Events: []string{"request.opened"}})
		if e, ok := fault.As(err); !ok || e.Code != fault.BadUserInput || e.Path[0] != "url" {
			t.Errorf("%s: %v", address, err)
		}
	}
	// A name is judged by the address that it leads to when the post goes out.
	_, port, _ := strings.Cut(strings.TrimPrefix(w.Server.URL, "http://"), ":")
	for _, host := range []string{"intranet.example", "here.example:" + port, "meta.example", "cgnat.example"} {
		_, h, err := w.svc.Create(bg, w.boss, webhook.NewHook{URL: "http://" + host + "/x", Events: []string{"request.opened"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.svc.Test(bg, w.boss, webhook.HookInput{Webhook: h.ID}); err != nil {
			t.Fatal(err)
		}
		w.drain()
		if d := w.only(h); d.State != webhook.Waiting || d.Reason != "BLOCKED" || d.Code != 0 {
			t.Errorf("%s: %+v", host, d)
		}
	}
	if len(w.posts) != 0 {
		t.Fatalf("something was reached: %+v", w.posts)
	}
}

func TestBothSecretsSignUntilTheOverlapEnds(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		h, old := w.hook("request.opened")
		next, _, err := w.svc.Rotate(bg, w.boss, h.ID, time.Hour)
		if err != nil || next == old {
			t.Fatal("not rotated", err)
		}
		ping := func() got {
			t.Helper()
			if _, err := w.svc.Test(bg, w.boss, webhook.HookInput{Webhook: h.ID}); err != nil {
				t.Fatal(err)
			}
			w.drain()
			return w.posts[len(w.posts)-1]
		}
		if p := ping(); !signed(t, p, old) || !signed(t, p, next) || !strings.Contains(p.body, `"type":"ping"`) {
			t.Errorf("within the overlap: %+v", p)
		}
		w.clock.Advance(time.Hour)
		if p := ping(); signed(t, p, old) || !signed(t, p, next) {
			t.Errorf("after it: %+v", p)
		}
		leaked := next
		if next, _, err = w.svc.Rotate(bg, w.boss, h.ID, 0); err != nil {
			t.Fatal(err)
		}
		if p := ping(); signed(t, p, leaked) || !signed(t, p, next) {
			t.Errorf("after a leak: %+v", p)
		}
		// Neither the audit log nor the tables hold a secret, nor the log the address.
		for _, q := range []string{`SELECT data FROM audit`, `SELECT body FROM webhook_delivery`, `SELECT payload FROM outbox`} {
			var texts []string
			if err := db.R.NewRaw(q).Scan(bg, &texts); err != nil {
				t.Fatal(err)
			}
			all := strings.Join(texts, "\n")
			for _, s := range []string{old, leaked, next, strings.TrimPrefix(next, "whsec_"), "canary-url"} {
				if strings.Contains(all, s) {
					t.Errorf("%s shows %q", q, s)
				}
			}
		}
		var acts []string
		if err := db.R.NewRaw(`SELECT action FROM audit WHERE action LIKE 'webhook.%' ORDER BY seq`).Scan(bg, &acts); err != nil {
			t.Fatal(err)
		}
		if want := "webhook.create webhook.rotate webhook.test webhook.test webhook.rotate webhook.test"; strings.Join(acts, " ") != want {
			t.Errorf("recorded: %v", acts)
		}
	})
}

func TestOnlyAdministratorsManageAndUnknownEventsAreNamed(t *testing.T) {
	db := testkit.SQLite(t)
	w := newWorld(t, db)
	h, _ := w.hook("request.opened")
	student := org.Actor{Person: mk.Officer(t, db, "学生", "society.robotics.member")}
	chair := org.Actor{Person: mk.Officer(t, db, "主席", "fed.chair")}
	for _, who := range []org.Actor{student, chair} {
		_, _, create := w.svc.Create(bg, who, webhook.NewHook{URL: w.Server.URL, Events: []string{"request.opened"}})
		_, _, rotate := w.svc.Rotate(bg, who, h.ID, 0)
		_, test := w.svc.Test(bg, who, webhook.HookInput{Webhook: h.ID})
		_, since := w.svc.ReplaySince(bg, who, webhook.ReplaySinceInput{Webhook: h.ID, Since: w.clock.Now().Add(-time.Hour)})
		for name, err := range map[string]error{"create": create, "rotate": rotate, "test": test, "since": since, "update": w.svc.Update(bg, who, webhook.UpdateInput{Webhook: h.ID}),
			"delete": w.svc.Delete(bg, who, webhook.HookInput{Webhook: h.ID}), "replay": w.svc.Replay(bg, who, webhook.ReplayInput{Delivery: id.New()})} {
			if !fault.Is(err, fault.Forbidden) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := w.svc.List(bg, student); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a student reads them: %v", err)
	}
	if list, err := w.svc.List(bg, chair); err != nil || len(list) != 1 {
		t.Errorf("the chair does not: %v", err)
	}
	_, _, err := w.svc.Create(bg, w.boss, webhook.NewHook{URL: w.Server.URL, Events: []string{"request.opened", "request.lost"}})
	if e, ok := fault.As(err); !ok || e.Path[0] != "events" || !strings.Contains(e.En, `"request.lost"`) || !strings.Contains(e.Zh, "incident.closed") {
		t.Errorf("an unknown event: %v", err)
	}
	if err := w.svc.Delete(bg, w.boss, webhook.HookInput{Webhook: h.ID}); err != nil {
		t.Fatal(err)
	}
	w.drain()
	w.idle()
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
