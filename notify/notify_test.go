package notify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/notify"
	smtp "kelian/notify/mail"
	"kelian/notify/mailsink"
	"kelian/org"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var bg = context.Background()

// world is a service with a real mail server behind it.
type world struct {
	t        *testing.T
	db       *store.DB
	clock    *clock.Fake
	svc      *notify.Service
	sink     *mailsink.Sink
	dir      string
	handlers mk.Handlers
	die      atomic.Bool                                 // the process ends between send and record
	answer   atomic.Pointer[func(int) (string, bool)]    // of the mail server, by copy
	rcpt     atomic.Pointer[func(address string) string] // of the mail server
}

// Send goes to the sink; when die is set the goroutine ends right after, as a
// process does that is killed there.
func (w *world) Send(ctx context.Context, l notify.Letter) error {
	s, err := smtp.New(smtp.Config{Host: w.sink.Host(), Port: w.sink.Port(), TLS: smtp.Plain, From: "科联 <kelian@example.edu.cn>"})
	if err != nil {
		w.t.Error(err)
	}
	err = s.Send(ctx, l)
	if w.die.Load() {
		runtime.Goexit()
	}
	return err
}

func newWorld(t *testing.T, db *store.DB, change ...func(*notify.Options)) *world {
	t.Helper()
	w := &world{t: t, db: db, clock: testkit.Clock(), dir: t.TempDir()}
	var err error
	w.sink, err = mailsink.Start(mailsink.Options{Dir: w.dir,
		Rcpt: func(a string) string {
			if f := w.rcpt.Load(); f != nil {
				return (*f)(a)
			}
			return ""
		},
		Data: func(_ string, copies int) (string, bool) {
			if f := w.answer.Load(); f != nil {
				return (*f)(copies)
			}
			return "", false
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.sink.Close() })
	o := notify.Options{PublicURL: "https://kelian.example.edu.cn/", Mail: w}
	for _, f := range change {
		f(&o)
	}
	w.svc = notify.New(db, w.clock, org.NewTable(notify.Rules()), o)
	w.handlers = mk.Handlers{"notify.requested": w.svc.OnRequested, "notify.send": w.svc.OnSend, "notify.retry": w.svc.OnRetry, "notify.untold": w.svc.OnUntold}
	w.handlers.Route()
	mk.Federation(t, db)
	return w
}

func (w *world) put(m notify.Message) {
	w.t.Helper()
	m.At = w.clock.Now()
	mk.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		notify.Put(tx, m)
		return nil
	})
}

func (w *world) drain() { w.t.Helper(); w.handlers.Drain(w.t, w.db, w.clock) }

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

// log gives channel → state and reason for the object, as the technical head
// sees it.
func (w *world) log(ref outbox.Ref) map[notify.Channel]notify.DeliveryView {
	w.t.Helper()
	rows, err := w.svc.Deliveries(bg, w.boss(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[notify.Channel]notify.DeliveryView{}
	for _, r := range rows {
		out[r.Channel] = r
	}
	return out
}

func (w *world) boss() org.Actor {
	w.t.Helper()
	var people []id.ID
	if err := w.db.R.NewRaw(`SELECT tenure.person_id FROM tenure JOIN seat ON seat.id = tenure.seat_id WHERE seat.name = 'fed.chair'`).Scan(bg, &people); err != nil && !store.NoRows(err) {
		w.t.Fatal(err)
	}
	if len(people) == 0 {
		people = []id.ID{mk.Officer(w.t, w.db, "主席", "fed.chair")}
	}
	return org.Actor{Person: people[0], Lang: "zh"}
}

func (w *world) mails() []mailsink.Mail {
	w.t.Helper()
	m, err := w.sink.Mails()
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func incident() outbox.Ref { return outbox.Ref{Kind: "inc", ID: id.New()} }

func opened(to id.ID, ref outbox.Ref) notify.Message {
	return notify.Message{Topic: "incident.opened", To: to, Ref: ref, Params: map[string]string{"number": "故障 2026-0003", "cause": "接入交换机 2", "hosts": "6"}}
}

func TestMailAndInboxCarryTheSameWords(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w, ref := newWorld(t, db), incident()
		zhou := mk.Officer(t, db, "周航", "technical.head")
		mk.Contact(t, db, zhou, "qq", "1234567")
		w.put(opened(zhou, ref))
		w.drain()

		mails := w.mails()
		if len(mails) != 1 || mails[0].To != "<1234567@qq.com>" || mails[0].Subject != "【科联】故障 2026-0003 故障：接入交换机 2" {
			t.Fatalf("%+v", mails)
		}
		text, html := parts(t, mails[0].Text)
		if !strings.HasPrefix(text, "【科联】故障 2026-0003 接入交换机 2 出现故障，受牵连 6 台") ||
			!strings.HasSuffix(strings.TrimSpace(text), "https://kelian.example.edu.cn/trace/"+ref.String()) {
			t.Fatalf("text: %q", text)
		}
		if !strings.Contains(html, `<a href="https://kelian.example.edu.cn/trace/`+ref.String()) {
			t.Fatalf("html: %q", html)
		}
		row := w.log(ref)[notify.Email]
		if row.State != notify.Sent || row.Name != "周*" || !row.SentAt.Equal(w.clock.Now()) || row.Attempt != 1 {
			t.Fatalf("%+v", row)
		}
		if want := w.svc.MessageID(row.Delivery); mails[0].MessageID != want || !strings.HasSuffix(want, "@kelian.example.edu.cn") {
			t.Fatalf("Message-ID %q, want %q", mails[0].MessageID, want)
		}

		items, next, err := w.svc.Inbox(bg, org.Actor{Person: zhou, Lang: "en"}, store.Page{First: 20})
		if err != nil || len(items) != 1 || next != "" || items[0].Ref != ref || !strings.HasPrefix(items[0].Subject, "[Kelian] 故障 2026-0003 Incident") {
			t.Fatalf("%+v %v", items, err)
		}
		if n, _ := w.svc.Unread(bg, org.Actor{Person: zhou}); n != 1 {
			t.Fatalf("%d unread", n)
		}
		// Somebody else's lines are not his to read or to mark.
		if n, err := w.svc.MarkRead(bg, w.boss(), notify.MarkReadInput{IDs: []id.ID{items[0].ID}}); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		if n, err := w.svc.MarkRead(bg, org.Actor{Person: zhou}, notify.MarkReadInput{All: true}); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		if n, _ := w.svc.Unread(bg, org.Actor{Person: zhou}); n != 0 {
			t.Fatalf("%d unread after reading", n)
		}
		w.idle()
	})
}

func parts(t *testing.T, raw []byte) (text, html string) {
	t.Helper()
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return text, html
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
			html = string(body)
		} else {
			text = string(body)
		}
	}
}

// A process killed between sending and recording leaves the row in state
// sending; the timer brings it back, the letter goes out under the same
// Message-ID, and that it may have come twice is told.
func TestKilledBetweenSendAndRecord(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w, ref := newWorld(t, db), incident()
		p := mk.Officer(t, db, "周航")
		mk.Contact(t, db, p, "email", "zhou@example.edu.cn")
		w.put(opened(p, ref))

		w.die.Store(true)
		done := make(chan struct{})
		go func() { defer close(done); w.handlers.Drain(t, db, w.clock) }()
		<-done
		w.die.Store(false)
		if r := w.log(ref)[notify.Email]; r.State != notify.Sending || len(w.mails()) != 1 {
			t.Fatalf("after the kill: %+v, %d mails", r, len(w.mails()))
		}
		// While the lease holds nobody else sends, whatever the timer says.
		w.clock.Advance(31 * time.Second)
		w.drain()
		if n := w.sink.Copies(w.mails()[0].MessageID); n != 1 {
			t.Fatalf("%d copies while the lease holds", n)
		}
		expire(t, db)
		w.clock.Advance(31 * time.Second)
		w.drain()
		r := w.log(ref)[notify.Email]
		if r.State != notify.Sent || r.PossibleDuplicate != 1 || r.Attempt != 2 {
			t.Fatalf("%+v", r)
		}
		if m := w.mails(); len(m) != 1 || m[0].Copies != 2 {
			t.Fatalf("%d files, %d copies", len(m), m[0].Copies)
		}
		w.clock.Advance(48 * time.Hour)
		w.drain()
		if n := w.sink.Copies(w.mails()[0].MessageID); n != 2 {
			t.Fatalf("sent again after it was recorded: %d copies", n)
		}
	})
}

func expire(t *testing.T, db *store.DB) {
	t.Helper()
	mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`UPDATE delivery SET lease_until = ? WHERE state = 'sending'`, db.Ago(time.Second))
		return nil
	})
}

func answer(f func(copies int) (string, bool)) *func(int) (string, bool) { return &f }

// A server that takes the letter and never says so leaves the outcome unknown:
// the letter goes again under the same id.
func TestUnansweredLetterGoesAgainUnderTheSameID(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w, ref := newWorld(t, db), incident()
		p := mk.Officer(t, db, "周航")
		mk.Contact(t, db, p, "email", "zhou@example.edu.cn")
		w.answer.Store(answer(func(copies int) (string, bool) { return "", copies == 1 }))
		w.put(opened(p, ref))
		w.drain()
		if r := w.log(ref)[notify.Email]; r.State != notify.Waiting || r.Reason != notify.Uncertain || r.PossibleDuplicate != 1 {
			t.Fatalf("%+v", r)
		}
		w.clock.Advance(2 * time.Minute)
		w.drain()
		if r := w.log(ref)[notify.Email]; r.State != notify.Sent || r.PossibleDuplicate != 1 {
			t.Fatalf("%+v", r)
		}
		if m := w.mails(); len(m) != 1 || m[0].Copies != 2 {
			t.Fatalf("%+v", m)
		}
	})
}

func TestRefusalsRetryForADayAndThenWaitForAHand(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w, ref := newWorld(t, db), incident()
		p := mk.Officer(t, db, "周航")
		mk.Contact(t, db, p, "email", "zhou@example.edu.cn")
		w.answer.Store(answer(func(int) (string, bool) { return "451 try later", false }))
		w.put(opened(p, ref))
		w.drain()
		if r := w.log(ref)[notify.Email]; r.State != notify.Waiting || r.Reason != "SMTP_451" || r.PossibleDuplicate != 0 || r.ReasonZh == "" {
			t.Fatalf("%+v", r)
		}
		for range 60 {
			w.clock.Advance(30 * time.Minute)
			w.drain()
		}
		dead := w.log(ref)[notify.Email]
		if dead.State != notify.Failed || dead.Reason != notify.GaveUp || dead.Attempt < 6 || dead.Attempt > 20 {
			t.Fatalf("after 30 h: %+v", dead)
		}
		w.answer.Store(nil)
		w.clock.Advance(48 * time.Hour)
		w.drain()
		if len(w.mails()) != 0 {
			t.Fatal("a dead letter went out by itself")
		}

		in := notify.ResendInput{Delivery: dead.ID, IdempotencyKey: "k"}
		if err := w.svc.Resend(bg, org.Actor{Person: p}, in); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("somebody without the seat: %v", err)
		}
		office := org.Actor{Person: mk.Officer(t, db, "何静", "office.head")}
		if err := w.svc.Resend(bg, office, in); err != nil {
			t.Fatal(err)
		}
		w.drain()
		if r := w.log(ref)[notify.Email]; r.State != notify.Sent || len(w.mails()) != 1 {
			t.Fatalf("%+v", r)
		}
		if err := w.svc.Resend(bg, office, notify.ResendInput{Delivery: dead.ID, IdempotencyKey: "k2"}); !fault.IsRule(err, "NOT_FAILED") {
			t.Fatalf("a sent one: %v", err)
		}
	})
}

func TestPermanentRefusalIsDeadAtOnceAndAStrangerIsCalledInstead(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		ticket := outbox.Ref{Kind: "tkt", ID: id.New()}
		stranger(t, db, ticket.ID, map[string]string{"contact.email": "gone@example.com", "contact.phone": "13800001111"})
		refuse := func(string) string { return "550 no such user" }
		w.rcpt.Store(&refuse)
		w.put(notify.Message{Topic: "repair.received", Subject: ticket.ID, Ref: ticket, Path: "/t/secret", Unit: "technical", Params: map[string]string{"number": "报修 2026-0417", "what": "风扇"}})
		w.drain()
		log := w.log(ticket)
		if r := log[notify.Email]; r.State != notify.Failed || r.Reason != "SMTP_550" || r.Attempt != 1 {
			t.Fatalf("%+v", r)
		}
		if r := log[notify.Phone]; r.State != notify.Waiting || r.Reason != notify.ByHand {
			t.Fatalf("%+v", r)
		}
	})
}

// stranger gives an object the contact of somebody without an account.
func stranger(t *testing.T, db *store.DB, subject id.ID, values map[string]string) {
	t.Helper()
	mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
		org.SetPersonal(tx, testkit.Key, subject, testkit.Start, time.Time{}, values)
		return nil
	})
}

func TestToTellListUntilTold(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		head := mk.Officer(t, db, "部长", "technical.head")
		member := org.Actor{Person: mk.Officer(t, db, "林小满", "technical.member")}
		other := org.Actor{Person: mk.Officer(t, db, "陆远", "supervision.member")}
		ticket := outbox.Ref{Kind: "tkt", ID: id.New()}
		stranger(t, db, ticket.ID, map[string]string{"contact.phone": "13800001111"})
		w.put(notify.Message{Topic: "repair.fixed", Subject: ticket.ID, Ref: ticket, Path: "/t/secret", Unit: "technical", Params: map[string]string{"number": "报修 2026-0417", "what": "风扇"}})
		w.drain()

		rows, _, err := w.svc.ToTell(bg, member, store.Page{First: 20})
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		line := rows[0]
		if !strings.HasPrefix(line.TextZh, "【科联】报修 2026-0417 你的报修（风扇）已修好") || !strings.HasSuffix(line.TextZh, "https://kelian.example.edu.cn/t/secret") ||
			!strings.HasPrefix(line.TextEn, "[Kelian] 报修 2026-0417 Your repair") {
			t.Fatalf("%+v", line)
		}
		// Those of other units do not see the list, nor learn that a line exists.
		if _, _, err := w.svc.ToTell(bg, org.Actor{Person: mk.Officer(t, db, "无席位")}, store.Page{First: 20}); !fault.Is(err, fault.Forbidden) {
			t.Fatal(err)
		}
		if got, _, err := w.svc.ToTell(bg, other, store.Page{First: 20}); err != nil || len(got) != 0 {
			t.Fatal(got, err)
		}
		if _, err := w.svc.Reveal(bg, other, line.ID); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		number, err := w.svc.Reveal(bg, member, line.ID)
		if err != nil || number != "13800001111" {
			t.Fatal(number, err)
		}
		var looks int
		if err := db.R.NewRaw(`SELECT count(*) FROM audit WHERE action = 'notify.look' AND actor = ?`, member.Person).Scan(bg, &looks); err != nil || looks != 1 {
			t.Fatalf("%d looks in the audit, %v", looks, err)
		}

		// The head hears of open lines each morning at nine, once for all of them.
		morning := func() int {
			w.clock.Advance(24 * time.Hour)
			w.drain()
			items, _, err := w.svc.Inbox(bg, org.Actor{Person: head, Lang: "zh"}, store.Page{First: 20})
			if err != nil {
				t.Fatal(err)
			}
			return len(items)
		}
		second := outbox.Ref{Kind: "tkt", ID: id.New()}
		stranger(t, db, second.ID, map[string]string{"contact.wechat": "wx_1"})
		w.put(notify.Message{Topic: "repair.received", Subject: second.ID, Ref: second, Unit: "technical", Params: map[string]string{"what": "灯"}})
		w.drain()
		if n := morning(); n != 1 {
			t.Fatalf("%d reminders after one morning with two open lines", n)
		}
		if err := w.svc.Tell(bg, member, notify.ToldInput{Line: line.ID, State: notify.NoAnswer, IdempotencyKey: "a"}); err != nil {
			t.Fatal(err)
		}
		if n := morning(); n != 2 {
			t.Fatalf("%d reminders after two mornings", n)
		}
		if err := w.svc.Tell(bg, member, notify.ToldInput{Line: line.ID, State: notify.Told, IdempotencyKey: "b"}); err != nil {
			t.Fatal(err)
		}
		rows, _, _ = w.svc.ToTell(bg, member, store.Page{First: 20})
		if len(rows) != 1 || rows[0].Channel != notify.WeChat {
			t.Fatalf("%+v", rows)
		}
		if err := w.svc.Tell(bg, member, notify.ToldInput{Line: rows[0].ID, State: notify.WrongNumber, IdempotencyKey: "c"}); err != nil {
			t.Fatal(err)
		}
		w.idle()
		if n := morning(); n != 2 {
			t.Fatalf("%d reminders: the settled list still reminds", n)
		}
		if r := w.log(ticket)[notify.Phone]; r.State != notify.Sent || r.SentAt.IsZero() || r.Attempt != 2 {
			t.Fatalf("%+v", r)
		}
		if r := w.log(second)[notify.WeChat]; r.State != notify.Failed || r.Reason != notify.BadNumber {
			t.Fatalf("%+v", r)
		}
		if err := w.svc.Tell(bg, member, notify.ToldInput{Line: line.ID, State: notify.Told, IdempotencyKey: "d"}); !fault.IsRule(err, "ALREADY_TOLD") {
			t.Fatal(err)
		}
	})
}
