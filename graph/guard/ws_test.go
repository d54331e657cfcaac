package guard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"kelian/graph/guard"
	"kelian/internal/fault"
	"kelian/internal/httpd"

	"github.com/coder/websocket"
)

// client is a WebSocket client. Waiting is always for a message or the end
// of the connection; deadline bounds a test that would hang.
type client struct {
	t    *testing.T
	ctx  context.Context
	conn *websocket.Conn
}

type frame struct {
	Type, ID string
	Payload  json.RawMessage
}

func (w *world) dial(t *testing.T, header http.Header) (*client, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	conn, res, err := websocket.Dial(ctx, w.URL+"/graphql", &websocket.DialOptions{
		HTTPHeader: header, Subprotocols: []string{"graphql-transport-ws"}, HTTPClient: w.Client()})
	if err != nil {
		return nil, res, err
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{t, ctx, conn}, res, nil
}

func (w *world) connect(t *testing.T) *client {
	t.Helper()
	c, _, err := w.dial(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// signedIn connects as an account.
func (w *world) signedIn(t *testing.T, name string) *client {
	t.Helper()
	c := w.connect(t)
	c.send(`{"type":"connection_init","payload":{"Authorization":"Bearer kel_%s"}}`, name)
	c.expect("connection_ack", "")
	return c
}

func (c *client) send(format string, args ...any) {
	c.t.Helper()
	if err := c.conn.Write(c.ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) subscribe(id, query string) {
	c.t.Helper()
	c.send(`{"type":"subscribe","id":%q,"payload":{"query":%s}}`, id, quoted(query))
}

func (c *client) read() frame {
	c.t.Helper()
	_, b, err := c.conn.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		c.t.Fatalf("%s: %v", b, err)
	}
	return f
}

func (c *client) expect(kind, payload string) frame {
	c.t.Helper()
	f := c.read()
	if f.Type != kind || !strings.Contains(string(f.Payload), payload) {
		c.t.Fatalf("got %s %s %s, want %s %s", f.Type, f.ID, f.Payload, kind, payload)
	}
	return f
}

// closed reads until the server closes and gives the code.
func (c *client) closed() websocket.StatusCode {
	for {
		if _, _, err := c.conn.Read(c.ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func TestSubscriptionsOverWebSocket(t *testing.T) {
	w := start(t, setup{})
	c := w.signedIn(t, "alice")
	c.subscribe("1", "subscription{ticks(n:2)}")
	if f := c.expect("next", `{"data":{"ticks":0}}`); f.ID != "1" {
		t.Error(f)
	}
	c.expect("next", `{"data":{"ticks":1}}`)
	if f := c.expect("complete", ""); f.ID != "1" {
		t.Error(f)
	}
	c.subscribe("1", `subscription{ticks(n:1,fail:"some.rule")}`) // an id that is free again
	c.expect("next", `{"ticks":0}`)
	if f := c.expect("error", `"FORBIDDEN"`); !strings.Contains(string(f.Payload), `"some.rule"`) || !strings.Contains(string(f.Payload), "requestId") {
		t.Errorf("%s", f.Payload)
	}
	for query, code := range map[string]string{
		"{version}":                                    "BAD_USER_INPUT",
		"mutation{touch}":                              "BAD_USER_INPUT",
		"subscription{nope}":                           "GRAPHQL_VALIDATION_FAILED",
		"subscription{":                                "GRAPHQL_VALIDATION_FAILED",
		`subscription{ticks(n:"hunter2")}`:             "BAD_USER_INPUT",
		"subscription{breaks}":                         "INTERNAL",
		strings.Repeat("#", 33<<10):                    "QUERY_TOO_LARGE",
		"{" + nest("a{", "b", "}", 20) + "}":           "GRAPHQL_VALIDATION_FAILED",
		"{me{" + nest("parent{", "id", "}", 12) + "}}": "DEPTH_LIMIT",
	} {
		before := w.resolver.Started.Load()
		c.subscribe("x", query)
		f := c.expect("error", quoted(code))
		if f.ID != "x" || strings.Contains(string(f.Payload), "hunter2") {
			t.Errorf("%.40s: %s %s", query, f.ID, f.Payload)
		}
		if w.resolver.Started.Load() != before {
			t.Errorf("%.40s was executed", query)
		}
	}
	c.send(`{"type":"subscribe","id":"y","payload":{"query":"subscription{ticks(n:1)}","batch":1}}`)
	c.expect("error", `"BAD_USER_INPUT"`)
	c.send(`{"type":"ping"}`)
	c.expect("pong", "")
}

func TestClientEndsASubscription(t *testing.T) {
	w := start(t, setup{})
	w.resolver.Ended = make(chan struct{}, 1)
	c := w.signedIn(t, "alice")
	c.subscribe("1", "subscription{manual}")
	w.resolver.Manual <- 7
	c.expect("next", `{"manual":7}`)
	c.send(`{"type":"complete","id":"1"}`)
	<-w.resolver.Ended
	c.subscribe("1", "subscription{ticks(n:1)}")
	c.expect("next", `{"ticks":0}`)
	c.expect("complete", "")
	c.subscribe("2", "subscription{manual}")
	w.resolver.Manual <- 8
	c.expect("next", `{"manual":8}`)
	_ = c.conn.CloseNow()
	<-w.resolver.Ended // the resolver's context ends with the connection
}

func TestEachEventIsPrepared(t *testing.T) {
	type key struct{}
	n := 0
	w := start(t, setup{tune: func(o *guard.Options) {
		o.Prepare = func(ctx context.Context) context.Context { n++; return context.WithValue(ctx, key{}, n) }
	}})
	w.resolver.Load = func(ctx context.Context) string { return fmt.Sprint(ctx.Value(key{}) != nil) }
	c := w.signedIn(t, "alice")
	c.subscribe("1", "subscription{loaded}")
	c.expect("next", `"true"`)
	c.expect("next", `"true"`)
	c.expect("complete", "")
	if n < 3 {
		t.Errorf("prepared %d times for a subscription with two events", n)
	}
}

func TestWebSocketProtocolFaults(t *testing.T) {
	w := start(t, setup{})
	for name, c := range map[string]struct {
		as   string
		send []string
		want websocket.StatusCode
	}{
		"subscribe before init":   {"", []string{`{"type":"subscribe","id":"1","payload":{"query":"subscription{manual}"}}`}, 4401},
		"bad JSON":                {"", []string{`{"type":`}, 4400},
		"bad JSON later":          {"alice", []string{`{"type":"ping"`}, 4400},
		"name twice":              {"alice", []string{`{"type":"ping","type":"pong"}`}, 4400},
		"array":                   {"alice", []string{`[]`}, 4400},
		"unknown type":            {"alice", []string{`{"type":"start"}`}, 4400},
		"no type":                 {"alice", []string{`{}`}, 4400},
		"payload is a text":       {"alice", []string{`{"type":"subscribe","id":"1","payload":"x"}`}, 4400},
		"no id":                   {"alice", []string{`{"type":"subscribe","payload":{"query":"subscription{manual}"}}`}, 4400},
		"long id":                 {"alice", []string{`{"type":"subscribe","id":"` + strings.Repeat("1", 129) + `","payload":{"query":"subscription{manual}"}}`}, 4400},
		"init twice":              {"alice", []string{`{"type":"connection_init"}`}, 4429},
		"duplicate id":            {"alice", []string{`{"type":"subscribe","id":"1","payload":{"query":"subscription{manual}"}}`, `{"type":"subscribe","id":"1","payload":{"query":"subscription{manual}"}}`}, 4409},
		"message over 64 kB":      {"alice", []string{`{"type":"ping","payload":{"a":"` + strings.Repeat("x", 64<<10) + `"}}`}, 1009},
		"init by nobody":          {"", []string{`{"type":"connection_init"}`}, 4401},
		"init with a bad token":   {"", []string{`{"type":"connection_init","payload":{"Authorization":"Bearer stolen"}}`}, 4401},
		"token in small letters":  {"", []string{`{"type":"connection_init","payload":{"authorization":"Bearer stolen"}}`}, 4401},
		"init of a blocked token": {"", []string{`{"type":"connection_init","payload":{"Authorization":"Bearer kel_blocked"}}`}, 4403},
		"init of a revoked token": {"", []string{`{"type":"connection_init","payload":{"Authorization":"Bearer kel_revoked"}}`}, 4401},
	} {
		w.revoke("blocked", fault.Deny("account.blocked", "", ""))
		w.revoke("revoked", fault.SignIn())
		t.Run(name, func(t *testing.T) {
			var k *client
			if c.as != "" {
				k = w.signedIn(t, c.as)
			} else {
				k = w.connect(t)
			}
			for _, m := range c.send {
				k.send("%s", m)
			}
			if got := k.closed(); got != c.want {
				t.Errorf("closed with %d, want %d", got, c.want)
			}
		})
	}
	t.Run("binary", func(t *testing.T) {
		k := w.signedIn(t, "alice")
		_ = k.conn.Write(k.ctx, websocket.MessageBinary, []byte(`{"type":"ping"}`))
		if got := k.closed(); got != 4400 {
			t.Error(got)
		}
	})
	t.Run("other subprotocol", func(t *testing.T) {
		conn, _, err := websocket.Dial(t.Context(), w.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-ws"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != 4406 {
			t.Error(err)
		}
	})
}

func TestTooMuchOverOneWebSocket(t *testing.T) {
	w := start(t, setup{})
	c := w.signedIn(t, "alice")
	for i := range 20 {
		c.subscribe(fmt.Sprint(i), "subscription{manual}")
	}
	w.resolver.Manual <- 1
	c.expect("next", `{"manual":1}`)
	c.subscribe("one more", "subscription{manual}")
	if got := c.closed(); got != 4429 {
		t.Errorf("21 subscriptions: %d", got)
	}
	flood := w.signedIn(t, "bob")
	for range 40 {
		// Writing may fail once the server has closed.
		_ = flood.conn.Write(flood.ctx, websocket.MessageText, []byte(`{"type":"ping"}`))
	}
	if got := flood.closed(); got != 4429 {
		t.Errorf("40 pings at once: %d", got)
	}
}

func TestConnectionInitMustComeInTime(t *testing.T) {
	w := start(t, setup{limits: guard.Limits{Init: 20 * time.Millisecond}})
	if got := w.connect(t).closed(); got != 4408 {
		t.Errorf("%d", got)
	}
	c := w.connect(t)
	c.send(`{"type":"ping"}`) // a sign of life is no init
	if got := c.closed(); got != 4408 {
		t.Errorf("%d", got)
	}
}

func TestOriginOfAWebSocket(t *testing.T) {
	w := start(t, setup{edge: httpd.Options{CORSOrigins: []string{"https://club.example.org"}, PublicURL: "https://kelian.example.edu.cn"}})
	for origin, ok := range map[string]bool{
		"": true, w.URL: true, "https://club.example.org": true, "https://kelian.example.edu.cn": true,
		"https://evil.example": false, "null": false, "http://127.0.0.1:1": false, "https://kelian.example.edu.cn.evil.example": false,
	} {
		h := http.Header{"Cookie": {"kelian=alice"}}
		if origin != "" {
			h.Set("Origin", origin)
		}
		c, res, err := w.dial(t, h)
		if ok != (err == nil) {
			t.Errorf("%q: %v", origin, err)
			continue
		}
		if !ok {
			if res.StatusCode != 403 {
				t.Errorf("%q: %d", origin, res.StatusCode)
			}
			continue
		}
		c.send(`{"type":"connection_init"}`)
		if origin == "https://club.example.org" {
			if got := c.closed(); got != 4401 {
				t.Errorf("a page elsewhere used the reader's cookie: %d", got)
			}
			continue
		}
		c.expect("connection_ack", "")
		_ = c.conn.CloseNow()
	}
}

func TestRevokedAccountsStreamsEnd(t *testing.T) {
	w := start(t, setup{limits: guard.Limits{Reauthorize: 5 * time.Millisecond}})
	for name, c := range map[string]struct {
		err  *fault.Error
		code websocket.StatusCode
	}{"gone": {fault.SignIn(), 4401}, "demoted": {fault.Deny("inbox.read", "", ""), 4403}} {
		k := w.signedIn(t, name)
		k.subscribe("1", "subscription{manual}")
		w.resolver.Manual <- 1
		k.expect("next", "")
		w.revoke(name, c.err)
		if got := k.closed(); got != c.code {
			t.Errorf("%s: %d", name, got)
		}
	}
	w.revoke("lucky", fault.Busy(nil)) // the database is away: nobody can say
	k := w.signedInWith(t, "lucky")
	k.send(`{"type":"ping"}`)
	k.expect("pong", "")
}

// signedInWith signs in by cookie, which the test's middleware does not look
// up.
func (w *world) signedInWith(t *testing.T, name string) *client {
	t.Helper()
	c, _, err := w.dial(t, http.Header{"Cookie": {"kelian=" + name}})
	if err != nil {
		t.Fatal(err)
	}
	c.send(`{"type":"connection_init"}`)
	c.expect("connection_ack", "")
	return c
}

func TestStreamsGrowOldAndDieWithTheServer(t *testing.T) {
	old := start(t, setup{limits: guard.Limits{Age: 20 * time.Millisecond}})
	if got := old.signedIn(t, "alice").closed(); got != websocket.StatusGoingAway {
		t.Errorf("old: %d", got)
	}
	w := start(t, setup{limits: guard.Limits{DrainJitter: time.Millisecond}})
	c := w.signedIn(t, "alice")
	c.subscribe("1", "subscription{manual}")
	w.resolver.Manual <- 1
	c.expect("next", "")
	done := make(chan error, 1)
	go func() { done <- w.httpd.Shutdown(context.Background()) }()
	if got := c.closed(); got != websocket.StatusGoingAway {
		t.Errorf("draining: %d", got)
	}
	if err := <-done; err != nil || w.guard.Streams() != 0 {
		t.Errorf("%v, %d streams", err, w.guard.Streams())
	}
}

func TestServerPings(t *testing.T) {
	w := start(t, setup{limits: guard.Limits{Ping: 5 * time.Millisecond, Write: 50 * time.Millisecond}})
	pinged := make(chan struct{}, 1)
	conn, _, err := websocket.Dial(t.Context(), w.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"},
		OnPingReceived: func(context.Context, []byte) bool {
			select {
			case pinged <- struct{}{}:
			default:
			}
			return false // and does not answer
		}})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = conn.Read(t.Context())
	<-pinged
	if err == nil || websocket.CloseStatus(err) != -1 {
		t.Errorf("one who does not answer pings stays: %v", err)
	}
}

func TestStreamsPerAddressAndAccount(t *testing.T) {
	w := start(t, setup{})
	var open []*client
	for range 5 {
		open = append(open, w.signedIn(t, "alice"))
	}
	sixth := w.connect(t)
	sixth.send(`{"type":"connection_init","payload":{"Authorization":"Bearer kel_alice"}}`)
	if got := sixth.closed(); got != 4429 {
		t.Errorf("the sixth of an account: %d", got)
	}
	if a := w.call(t, sseCall("alice", "subscription{manual}")); a.Status != 429 || a.code() != "RATE_LIMITED" {
		t.Errorf("event streams count too: %d %s", a.Status, a.Raw)
	}
	_ = w.signedIn(t, "bob").conn.CloseNow()
	// A place is free again once the server has seen the close.
	_ = open[0].conn.Close(websocket.StatusNormalClosure, "")
	again := w.connect(t)
	for {
		again.send(`{"type":"connection_init","payload":{"Authorization":"Bearer kel_alice"}}`)
		_, b, err := again.conn.Read(again.ctx)
		if err == nil && strings.Contains(string(b), "connection_ack") {
			break
		}
		if websocket.CloseStatus(err) != 4429 {
			t.Fatalf("%s %v", b, err)
		}
		again = w.connect(t)
	}
}

func TestAddressesOfTheCampusHaveRoom(t *testing.T) {
	for name, c := range map[string]struct {
		limits guard.Limits
		campus bool
		places int
		status int
	}{
		"outside":      {guard.Limits{}, false, 50, 429},
		"campus":       {guard.Limits{}, true, 200, 0},
		"in all":       {guard.Limits{Streams: 7}, true, 7, 503},
		"campus, full": {guard.Limits{StreamsPerCampus: 9}, true, 9, 429},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, setup{limits: c.limits, tune: func(o *guard.Options) {
				if !c.campus {
					o.CampusNets = httpd.DefaultCampusNets()[:1] // not loopback
				}
			}})
			for i := range c.places {
				if _, _, err := w.dial(t, nil); err != nil {
					t.Fatalf("the %dth: %v", i+1, err)
				}
			}
			_, res, err := w.dial(t, nil)
			if c.status == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || res.StatusCode != c.status {
				t.Fatalf("one too many: %v", err)
			}
			if b, _ := io.ReadAll(res.Body); !strings.Contains(string(b), "requestId") {
				t.Errorf("%s", b)
			}
		})
	}
}
