package notify_test

import (
	"context"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/notify"
	"kelian/org"
)

// at moves the clock to an hour of the day in Shanghai.
func (w *world) at(day, hour int) {
	local := time.Date(2026, 10, day, hour, 0, 0, 0, time.FixedZone("", 8*3600))
	w.clock.Advance(local.Sub(w.clock.Now()))
}

func TestQuietHours(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		p := mk.Officer(t, db, "周航")
		mk.Contact(t, db, p, "email", "zhou@example.edu.cn")
		for _, c := range []struct {
			day, hour int
			critical  bool
			sent      bool
		}{{14, 22, false, true}, {14, 23, false, false}, {15, 3, false, false}, {15, 3, true, true}, {15, 7, false, true}} {
			w.at(c.day, c.hour)
			ref, before := incident(), len(w.mails())
			m := opened(p, ref)
			m.Critical = c.critical
			w.put(m)
			w.drain()
			r := w.log(ref)[notify.Email]
			if now := len(w.mails()) - before; (now == 1) != c.sent && c.hour != 7 {
				t.Fatalf("at %d:00, critical %v: %d mails", c.hour, c.critical, now)
			}
			if c.sent != (r.State == notify.Sent) || !c.sent && (r.State != notify.Waiting || r.Reason != notify.QuietHours) {
				t.Fatalf("at %d:00, critical %v: %+v", c.hour, c.critical, r)
			}
			if in := w.log(ref)[notify.InApp]; in.State != notify.Sent {
				t.Fatalf("the inbox does not sleep: %+v", in)
			}
		}
		if n := len(w.mails()); n != 5 {
			t.Fatalf("%d mails in the morning, want all 5", n)
		}
	})
}

func TestPreferencesMuteAChannelButNotTheCritical(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		p := mk.Officer(t, db, "周航")
		me := org.Actor{Person: p, Lang: "zh"}
		mk.Contact(t, db, p, "email", "zhou@example.edu.cn")
		off := []notify.Preference{{Topic: "incident.opened", Channel: notify.Email}, {Topic: "incident.opened", Channel: notify.InApp}}
		if err := w.svc.SetPreferences(bg, me, notify.SetPreferencesInput{Preferences: off, IdempotencyKey: "a"}); err != nil {
			t.Fatal(err)
		}
		got, err := w.svc.Preferences(bg, me)
		if err != nil || len(got) != 2*len(notify.Topics()) {
			t.Fatal(len(got), err)
		}
		for _, g := range got {
			if g.Enabled == (g.Topic == "incident.opened") {
				t.Fatalf("%+v", g)
			}
		}
		ref := incident()
		w.put(opened(p, ref))
		w.drain()
		for c, r := range w.log(ref) {
			if r.State != notify.Skipped || r.Reason != notify.Muted {
				t.Fatalf("%s: %+v", c, r)
			}
		}
		if items, _, _ := w.svc.Inbox(bg, me, store.Page{First: 20}); len(items) != 0 || len(w.mails()) != 0 {
			t.Fatal("a muted message was shown")
		}
		ref = incident()
		m := opened(p, ref)
		m.Critical = true
		w.put(m)
		w.drain()
		for c, r := range w.log(ref) {
			if r.State != notify.Sent {
				t.Fatalf("critical, %s: %+v", c, r)
			}
		}
		bad := notify.SetPreferencesInput{Preferences: []notify.Preference{{Topic: "no.such", Channel: notify.Email}}, IdempotencyKey: "b"}
		if err := w.svc.SetPreferences(bg, me, bad); err == nil {
			t.Fatal("an unknown topic was accepted")
		}
	})
}

// Two seats of one person, two commands that say the same: one message. Other
// words about the same object are another message, also when it comes back to
// a state it was in.
func TestSameWordsGoOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w, ref := newWorld(t, db), incident()
		p := mk.Officer(t, db, "周航")
		mk.Contact(t, db, p, "email", "zhou@example.edu.cn")
		mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			m := opened(p, ref)
			m.At = w.clock.Now()
			notify.Put(tx, m)
			notify.Put(tx, m)
			m.Params = map[string]string{"number": "故障 2026-0003", "cause": "核心交换机", "hosts": "12"}
			notify.Put(tx, m)
			return nil
		})
		w.drain()
		if n := len(w.mails()); n != 2 {
			t.Fatalf("%d mails, want 2", n)
		}
		if n, _ := w.svc.Unread(bg, org.Actor{Person: p}); n != 2 {
			t.Fatalf("%d in the inbox, want 2", n)
		}
		w.clock.Advance(11 * time.Minute)
		w.put(opened(p, ref))
		w.drain()
		if n := len(w.mails()); n != 3 {
			t.Fatalf("%d mails: the same words were swallowed after the window", n)
		}
	})
}

func TestWhyNobodyWasReached(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		silent := mk.Officer(t, db, "没留邮箱")
		ref := incident()
		w.put(opened(silent, ref))
		unknown := outbox.Ref{Kind: "tkt", ID: id.New()}
		w.put(notify.Message{Topic: "repair.received", Subject: unknown.ID, Ref: unknown, Params: map[string]string{"what": "风扇"}})
		gone := mk.Officer(t, db, "已注销")
		goneRef := incident()
		mk.Contact(t, db, gone, "email", "gone@example.edu.cn")
		mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`UPDATE person SET erased_at = ? WHERE id = ?`, testkit.Start, gone)
			return nil
		})
		w.put(opened(gone, goneRef))
		w.drain()
		if r := w.log(ref)[notify.Email]; r.State != notify.Skipped || r.Reason != notify.NoMailbox || r.ReasonEn == "" {
			t.Fatalf("%+v", r)
		}
		if r := w.log(unknown)[notify.Email]; r.State != notify.Skipped || r.Reason != notify.NoContact {
			t.Fatalf("%+v", r)
		}
		if r := w.log(goneRef)[notify.Email]; r.State != notify.Skipped || r.Reason != notify.Erased {
			t.Fatalf("%+v", r)
		}
		if len(w.mails()) != 0 {
			t.Fatal("somebody was written to")
		}
	})
}

// Erased between the decision and the send: nothing goes out.
func TestErasedBeforeSendingIsNotWrittenTo(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w, ref := newWorld(t, db), incident()
		p := mk.Officer(t, db, "周航")
		mk.Contact(t, db, p, "email", "zhou@example.edu.cn")
		w.at(14, 23)
		w.put(opened(p, ref))
		w.drain()
		mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`UPDATE person SET erased_at = ? WHERE id = ?`, testkit.Start, p)
			return nil
		})
		w.at(15, 8)
		w.drain()
		if r := w.log(ref)[notify.Email]; r.State != notify.Skipped || r.Reason != notify.Erased || len(w.mails()) != 0 {
			t.Fatalf("%+v", r)
		}
	})
}

func TestWithoutMailTheListCarriesIt(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db, func(o *notify.Options) { o.Mail = nil })
		ticket := outbox.Ref{Kind: "tkt", ID: id.New()}
		stranger(t, db, ticket.ID, map[string]string{"contact.qq": "1234567", "contact.wechat": "wx"})
		w.put(notify.Message{Topic: "repair.received", Subject: ticket.ID, Ref: ticket, Params: map[string]string{"what": "风扇"}})
		w.drain()
		log := w.log(ticket)
		if log[notify.Email].Reason != notify.ChannelOff || log[notify.WeChat].State != notify.Waiting {
			t.Fatalf("%+v", log)
		}
	})
}

func TestDeliveriesAreForTheObjectsReaders(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		reader := mk.Officer(t, db, "读者")
		w := newWorld(t, db, func(o *notify.Options) { o.Readers = only(reader) })
		ref := incident()
		w.put(opened(reader, ref))
		w.drain()
		if rows, err := w.svc.Deliveries(bg, org.Actor{Person: reader}, ref); err != nil || len(rows) != 2 {
			t.Fatal(rows, err)
		}
		for _, a := range []org.Actor{{Person: id.New()}, org.Stranger("zh", "")} {
			if rows, err := w.svc.Deliveries(bg, a, ref); err == nil {
				t.Fatalf("%+v sees %+v", a, rows)
			}
		}
	})
}

type only id.ID

func (o only) MayRead(_ context.Context, a org.Actor, _ outbox.Ref) (bool, error) {
	return a.Person == id.ID(o), nil
}

func TestInboxPagesHoldEverythingOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		p := mk.Officer(t, db, "周航")
		for range 7 {
			w.put(opened(p, incident()))
		}
		w.drain()
		seen, page := map[id.ID]bool{}, store.Page{First: 3}
		for range 3 {
			items, next, err := w.svc.Inbox(bg, org.Actor{Person: p}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range items {
				seen[i.ID] = true
			}
			page.After = next
		}
		if len(seen) != 7 || page.After != "" {
			t.Fatalf("%d items, then %q", len(seen), page.After)
		}
	})
}

func TestErasingAPersonForgetsTheirWishes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		me := org.Actor{Person: mk.Officer(t, db, "周航"), Lang: "zh"}
		other := org.Actor{Person: mk.Officer(t, db, "林小满"), Lang: "zh"}
		for _, who := range []org.Actor{me, other} {
			off := []notify.Preference{{Topic: "incident.opened", Channel: notify.Email}}
			if err := w.svc.SetPreferences(bg, who, notify.SetPreferencesInput{Preferences: off, IdempotencyKey: "a"}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := store.InTx(bg, db, store.Internal("erase"), func(ctx context.Context, tx *store.Tx) (int, error) {
			return 0, w.svc.EraseFor(ctx, tx, me.Person, w.clock.Now())
		})
		if err != nil {
			t.Fatal(err)
		}
		for who, want := range map[id.ID]int{me.Person: 0, other.Person: 1} {
			got, err := w.svc.Preferences(bg, org.Actor{Person: who})
			off := 0
			for _, p := range got {
				if !p.Enabled {
					off++
				}
			}
			if err != nil || off != want {
				t.Errorf("%d topics are off, want %d: %v", off, want, err)
			}
		}
	})
}
