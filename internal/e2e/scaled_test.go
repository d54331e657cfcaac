package e2e_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kelian/internal/app"

	"github.com/coder/websocket"
)

// second starts another process on the database and the queue of the world.
func (w *world) second(t *testing.T, s shape) client {
	t.Helper()
	c := w.settings(t)
	c.DatabaseURL, c.RedisURL = w.config.DatabaseURL, w.config.RedisURL
	w.serve(t, c, s)
	return client{t: t, url: c.PublicURL}
}

// TestOneIncidentAcrossShards has every device in a shard of its own, two
// processes that sweep, and one outage.
func TestOneIncidentAcrossShards(t *testing.T) {
	scaled(t, func(t *testing.T, s shape) {
		s.shard, s.roles = 1, everything
		w := open(t, s)
		w.second(t, s)
		if shards := w.rows(`SELECT count(DISTINCT shard) FROM host`); shards[0][0] != "17" {
			t.Fatalf("17 devices are in %s shards", shards[0][0])
		}
		zhou := w.as("zhouhang")
		eventually(t, "both processes sweep", func() bool { return w.rows(`SELECT count(DISTINCT owner) FROM round`)[0][0] == "2" })
		eventually(t, "all devices are up", func() bool { return w.allUp(zhou) })
		w.network.Cut(app.DemoSwitch2()...)
		eventually(t, "an incident opens", func() bool { return len(zhou.incidents()) > 0 })
		// The parent's and the children's rounds of this outage came from both.
		down := `SELECT count(DISTINCT r.owner) FROM round AS r JOIN host AS h ON h.shard = r.shard WHERE r.lost > 0 AND h.address LIKE '127.77.2.%'`
		eventually(t, "both processes saw it", func() bool { return w.rows(down)[0][0] == "2" })
		eventually(t, "its ticket is offered", func() bool { return len(zhou.tickets(input{"mine": true})) > 0 })
		w.network.Restore(app.DemoSwitch2()...)
		eventually(t, "it is over", func() bool { return w.allUp(zhou) && !zhou.incidents()[0].Open })
		list := zhou.incidents()
		if len(list) != 1 || len(list[0].Roots) != 1 || list[0].Roots[0].Name.Zh != "接入交换机2" || len(list[0].Suppressed) != 6 {
			t.Errorf("one outage made %+v", list)
		}
		if n := w.rows(`SELECT count(*) FROM ticket WHERE source = 'INCIDENT'`)[0][0]; n != "1" {
			t.Errorf("%s tickets for one incident", n)
		}
	})
}

// socket subscribes as the client over a WebSocket and gives what comes.
func (c client) socket(ctx context.Context, t *testing.T, query string) <-chan json.RawMessage {
	t.Helper()
	ws, _, err := websocket.Dial(ctx, strings.Replace(c.url, "http", "ws", 1)+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	send := func(m any) {
		raw, _ := json.Marshal(m)
		if err := ws.Write(ctx, websocket.MessageText, raw); err != nil {
			t.Fatal(err)
		}
	}
	type message struct {
		Type    string
		Payload json.RawMessage
	}
	read := func() (m message, err error) {
		_, raw, err := ws.Read(ctx)
		if err == nil {
			err = json.Unmarshal(raw, &m)
		}
		return m, err
	}
	send(map[string]any{"type": "connection_init", "payload": map[string]any{"Authorization": "Bearer " + c.token}})
	if m, err := read(); err != nil || m.Type != "connection_ack" {
		t.Fatalf("%s is not let in: %+v, %v", c.name, m, err)
	}
	send(map[string]any{"type": "subscribe", "id": "1", "payload": map[string]any{"query": query}})
	out := make(chan json.RawMessage, 100)
	go func() {
		defer close(out)
		for {
			m, err := read()
			switch {
			case err != nil:
				return
			case m.Type == "ping":
				_ = ws.Write(ctx, websocket.MessageText, []byte(`{"type":"pong"}`))
			case m.Type == "next":
				out <- m.Payload
			}
		}
	}()
	return out
}

// TestSubscribersOfAnotherProcess decides through one process and listens at
// the other.
func TestSubscribersOfAnotherProcess(t *testing.T) {
	scaled(t, func(t *testing.T, s shape) {
		s.roles = []string{app.RoleAPI, app.RoleWorker}
		w := open(t, s)
		other := w.second(t, shape{postgres: true, roles: []string{app.RoleAPI}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		songlan, hejing, luyuan := w.as("songlan"), w.as("hejing"), w.as("luyuan")
		for _, c := range []*client{&hejing, &luyuan} {
			c.url = other.url // they listen at the second process
		}
		const inbox = `subscription { inboxChanged { resync request } }`
		asked, stranger := hejing.socket(ctx, t, inbox), luyuan.socket(ctx, t, inbox)

		zhou := w.as("zhouhang")
		req := zhou.submit("office.property", "technical", map[string]any{"action": "buy", "items": []any{map[string]any{"name": "网线钳", "qty": 1}},
			"prices": []any{12000}, "total": 12000, "quote": "五金店，120 元"})
		songlan.decide(req, "APPROVE", "没有库存")
		heard := func(events <-chan json.RawMessage) bool {
			for {
				select {
				case <-ctx.Done():
					t.Fatal("nothing was heard of it within a minute")
				case raw, ok := <-events:
					if !ok {
						t.Fatal("the stream ended")
					}
					var e struct {
						Data struct{ InboxChanged struct{ Request *string } }
					}
					if err := json.Unmarshal(raw, &e); err != nil {
						t.Fatal(err)
					}
					if r := e.Data.InboxChanged.Request; r != nil && *r == req {
						return true
					}
				}
			}
		}
		if !heard(asked) {
			t.Error("何静, who is asked now, hears nothing of it at the other process")
		}
		if _, ok := hejing.waits(req); !ok {
			t.Error("何静 is told and finds nothing")
		}
		for {
			select {
			case raw := <-stranger:
				if strings.Contains(string(raw), req) {
					t.Errorf("陆远 hears of a request that is not his to decide: %s", raw)
				}
				continue
			default:
			}
			break
		}
	})
}
