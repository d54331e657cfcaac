package webhook_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"
	"kelian/webhook"
)

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
