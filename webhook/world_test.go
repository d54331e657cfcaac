package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/internal/clock"
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
