package e2e_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// receiver is somebody's server.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	posts []http.Header
	texts []string
}

func receive(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		raw, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.posts, r.texts = append(r.posts, req.Header), append(r.texts, string(raw))
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(r.Close)
	return r
}

type post struct {
	Type string
	Data struct{ ID, Number, Kind, Status, URL string }
}

// about lists the posts about an object that carry a good signature.
func (r *receiver) about(t *testing.T, secret, object string) (out []post) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, text := range r.texts {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(r.posts[i].Get("webhook-id") + "." + r.posts[i].Get("webhook-timestamp") + "." + text))
		if r.posts[i].Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			t.Fatalf("not signed: %v %s", r.posts[i], text)
		}
		var p post
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		if p.Data.ID == object {
			out = append(out, p)
		}
	}
	return out
}

// A request is submitted and refused, and somebody's server hears of both in
// order, without a word of what people wrote; an ordinary member cannot listen.
func TestAWebhookHearsOfARequest(t *testing.T) {
	each(t, func(t *testing.T, s shape) {
		w := open(t, s)
		server := receive(t)
		in := func() input {
			return input{"url": server.URL, "description": "对接", "events": []string{"request.opened", "request.closed"}}
		}
		const fields = "secret webhook { id enabled }"
		w.signIn("zhouhang").denied("createWebhook", fields, "FORBIDDEN", in())
		w.on("technical.head").denied("createWebhook", fields, "FORBIDDEN", in()) // by token, without a password
		head := w.signIn(w.seats["technical.head"])
		wrong := in()
		wrong["url"] = "http://" + w.config.Listen + "/graphql" // our own door
		head.denied("createWebhook", fields, "BAD_USER_INPUT", wrong)
		var made struct {
			Secret  string
			Webhook struct{ ID string }
		}
		head.do(&made, "createWebhook", fields, in())

		zhou := w.as("zhouhang")
		req := zhou.submit("office.property", "technical", map[string]any{"action": "buy", "items": []any{map[string]any{"name": "网线钳", "qty": 1}},
			"prices": []any{12000}, "total": 12000, "quote": "五金店，找周航 13800008888"})
		w.as("songlan").decide(req, "APPROVE", "没有库存")
		w.as("hejing").decide(req, "REJECT", "先用旧的，有事打 13800008888")
		var got []post
		eventually(t, "two posts about the request arrive", func() bool {
			got = server.about(t, made.Secret, req)
			return len(got) >= 2
		})
		if len(got) != 2 || got[0].Type != "request.opened" || got[0].Data.Status != "OPEN" || got[1].Type != "request.closed" || got[1].Data.Status != "REJECTED" ||
			got[1].Data.Kind != "office.property" || got[1].Data.URL != w.config.PublicURL+"/requests/"+req {
			t.Errorf("the server heard %+v", got)
		}
		server.mu.Lock()
		texts := slices.Clone(server.texts)
		server.mu.Unlock()
		for _, text := range texts {
			for _, canary := range []string{"周航", "13800008888", "网线钳", "zhouhang"} {
				if strings.Contains(text, canary) {
					t.Errorf("a post shows %s: %s", canary, text)
				}
			}
		}
		var log struct {
			WebhookDeliveries struct {
				Edges []struct {
					Node struct {
						State, Event, About string
						Attempts, Code      int
					}
				}
			}
		}
		eventually(t, "the log has both as sent", func() bool {
			head.ask(&log, `query($h: ID!) { webhookDeliveries(webhook: $h, state: SENT) { edges { node { state event about attempts code } } } }`, map[string]any{"h": made.Webhook.ID})
			return len(log.WebhookDeliveries.Edges) == 2
		})
		if d := log.WebhookDeliveries.Edges[0].Node; d.Event != "request.closed" || d.About != req || d.Attempts != 1 || d.Code != 204 {
			t.Errorf("the log has %+v", d)
		}
	})
}
