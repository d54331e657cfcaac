package graph_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"kelian/desk/repair"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/workflow"

	"github.com/coder/websocket"
)

// stream is a WebSocket on which somebody subscribed. Waiting is for a message
// or the end; the deadline bounds a test that would hang.
type stream struct {
	t    testing.TB
	ctx  context.Context
	conn *websocket.Conn
}

// subscribe connects somebody to the server at the address.
func (w *world) subscribe(url, login, query string) *stream {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	w.t.Cleanup(cancel)
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.CloseNow() })
	s := &stream{w.t, ctx, conn}
	s.send(map[string]any{"type": "connection_init", "payload": map[string]any{"Authorization": "Bearer " + w.token(login)}})
	if m := s.read(); m["type"] != "connection_ack" {
		w.t.Fatal(m)
	}
	s.send(map[string]any{"type": "subscribe", "id": "1", "payload": map[string]any{"query": query}})
	return s
}

func (s *stream) send(v any) {
	s.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.conn.Write(s.ctx, websocket.MessageText, b); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stream) read() (m map[string]any) {
	s.t.Helper()
	_, b, err := s.conn.Read(s.ctx)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// next is the data of the next event.
func (s *stream) next() string {
	s.t.Helper()
	m := s.read()
	if m["type"] != "next" {
		s.t.Fatalf("%v", m)
	}
	b, _ := json.Marshal(m["payload"].(map[string]any)["data"])
	return string(b)
}

// A subscription is live once an event that was made after it arrives; until
// then the test makes events for the probe.
func (w *world) untilLive(s *stream, poke func()) {
	w.t.Helper()
	first := make(chan string, 1)
	go func() {
		if _, b, err := s.conn.Read(s.ctx); err == nil {
			first <- string(b)
		}
		close(first)
	}()
	var got string
	testkit.Eventually(w.t, "the subscription is live", func() bool {
		poke()
		select {
		case got = <-first:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	if !strings.Contains(got, `"next"`) {
		w.t.Fatal(got)
	}
}

const inboxChanged = `subscription{inboxChanged{resync request}}`

func TestAnInboxIsToldOfItsChanges(t *testing.T) {
	if testkit.PostgresURL() == "" {
		feedOn(t, newWorld(t, testkit.SQLite(t)).live(), nil)
		return
	}
	t.Run("sqlite", func(t *testing.T) { feedOn(t, newWorld(t, testkit.SQLite(t)).live(), nil) })
	t.Run("another process on the same PostgreSQL", func(t *testing.T) {
		address := testkit.FreshPostgres(t)
		here := newWorld(t, testkit.Open(t, address)).live()
		there := &world{t: t, db: testkit.Open(t, address), clock: here.clock, people: here.people, tokens: here.tokens, keys: 1000}
		there.bind()
		there.Server = there.serve()
		feedOn(t, here, there)
	})
}

// feedOn has the head of the office listen here to what is decided there.
func feedOn(t *testing.T, here, there *world) {
	t.Helper()
	if there == nil {
		there = here
	}
	warm := there.purchase("zhouhang", "网线", 100)
	there.decide("songlan", warm, workflow.Approve, "")
	req := there.purchase("zhouhang", "光模块", 100)

	office := here.subscribe(here.URL, "hejing", inboxChanged)
	here.untilLive(office, func() {
		if _, err := there.workflow.Comment(bg, there.actor("zhouhang"), workflow.CommentInput{Request: warm, Text: "急", IdempotencyKey: there.key()}); err != nil {
			t.Fatal(err)
		}
	})
	// The keeper's decision asks the head of the office; it is made by the API
	// of the other process.
	there.good("songlan", decide, vars{"task": there.task("songlan"), "verdict": "APPROVE", "rev": 1, "key": there.key()})
	want := fmt.Sprintf(`{"inboxChanged":{"request":%q,"resync":false}}`, req.TypeID("req"))
	for got := office.next(); got != want; got = office.next() {
		if !strings.Contains(got, warm.TypeID("req")) {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func TestNobodyIsToldOfWhatIsNotTheirs(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t)).live()
	secret := w.purchase("zhouhang", "光模块", 100)
	own, err := w.workflow.Submit(bg, w.actor("ayinuer"), workflow.SubmitInput{Definition: "office.property", Unit: "society.robotics", Form: partForm("电池", 100, ""), IdempotencyKey: w.key()})
	if err != nil {
		t.Fatal(err)
	}
	w.decide("songlan", own.Request, workflow.Approve, "")
	office := w.subscribe(w.URL, "hejing", inboxChanged)
	w.untilLive(office, func() {
		for _, c := range []workflow.CommentInput{{Request: secret}, {Request: own.Request}} {
			c.Text, c.IdempotencyKey = "急", w.key()
			who := "zhouhang"
			if c.Request == own.Request {
				who = "ayinuer"
			}
			if _, err := w.workflow.Comment(bg, w.actor(who), c); err != nil {
				t.Fatal(err)
			}
		}
	})
	w.decide("songlan", secret, workflow.Reject, "不用买")
	later := w.purchase("zhouhang", "路由器", 100) // told after whatever was told of the secret one
	w.decide("songlan", later, workflow.Approve, "")
	for got := ""; !strings.Contains(got, later.TypeID("req")); got = office.next() {
		if strings.Contains(got, secret.TypeID("req")) {
			t.Fatal("the head of the office was told of a request that never reached him: " + got)
		}
	}
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t)).live()
	s := w.subscribe(w.URL, "pan", `subscription{hostStateChanged{resync host{name{zh}}}}`)
	w.good("pan", `mutation{signOut{done}}`, nil)
	for {
		if _, _, err := s.conn.Read(s.ctx); err != nil {
			if websocket.CloseStatus(err) != 4401 {
				t.Error(err)
			}
			return
		}
	}
}

// A stream sees what its reader may see now, not what he could when it began.
func TestAStreamSeesWithItsReadersPresentSeats(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t)).live()
	w.user("xin", "新同学", "0026100123", "technical.maintenance.member")
	factory.InTx(t, w.db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) SELECT ?, id, ?, 'FULL', ? FROM seat WHERE name = 'technical.deputy'`,
			id.New(), w.people["hejing"], testkit.Start.AddDate(0, -1, 0))
		return nil
	})
	ticket := w.tickets(2)[1]
	if _, err := w.repair.Assign(bg, w.actor("qin"), repair.AssignInput{Ticket: ticket, Person: w.people["xin"], IdempotencyKey: w.key()}); err != nil {
		t.Fatal(err)
	}
	s := w.subscribe(w.URL, "hejing", `subscription{repairTicketChanged{resync ticket{assignment{person{number}}}}}`)
	poke := func() {
		if _, err := w.repair.Note(bg, w.actor("qin"), repair.NoteInput{Ticket: ticket, Text: "记一笔", IdempotencyKey: w.key()}); err != nil {
			t.Fatal(err)
		}
	}
	w.untilLive(s, poke)
	poke()
	if got := s.next(); !strings.Contains(got, "0026100123") {
		t.Fatal("the head of the office sees no number: " + got)
	}
	w.clock.Advance(time.Second)
	factory.InTx(t, w.db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`UPDATE tenure SET until_at = ? WHERE person_id = ? AND seat_id = (SELECT id FROM seat WHERE name = 'office.head')`, w.clock.Now(), w.people["hejing"])
		return nil
	})
	testkit.Eventually(t, "the number is masked", func() bool {
		poke()
		return strings.Contains(s.next(), "0026****23")
	})
}
