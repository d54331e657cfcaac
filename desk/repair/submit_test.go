package repair_test

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kelian/desk/repair"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

func TestReportByAStranger(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		in := report(1)
		r := d.submit(in)
		if r.Number != "2026-0001" || len(r.Token) != 32 {
			t.Fatalf("number %s, token of %d characters", r.Number, len(r.Token))
		}
		again, err := d.svc.Submit(bg, student, in)
		if err != nil || again != r {
			t.Fatalf("sent again: %+v, %v; the first %+v", again, err, r)
		}
		v, err := d.svc.ByLink(bg, r.Token)
		if err != nil {
			t.Fatal(err)
		}
		if v.Reporter != "张同学" || v.ReporterNumber != in.Number || v.Room != in.Room || v.Contact != in.Contact || v.Text != in.Text || v.State != repair.Submitted {
			t.Errorf("the link shows %+v", v)
		}
		if len(v.PickupCode) != 6 || len(v.Consents) != 1 || v.Consents[0].Version != repair.ConsentVersion {
			t.Errorf("code %q, consents %+v", v.PickupCode, v.Consents)
		}
		if got := d.toldOf(r.Ticket); !slices.Equal(got, []string{"repair.received"}) {
			t.Errorf("the reporter was told %v", got)
		}
		if _, err := d.svc.ByLink(bg, r.Token[:31]+"0"); !fault.Is(err, fault.NotFound) {
			t.Errorf("a wrong link: %v", err)
		}
		// The token is a secret that no table holds.
		if where := find(dump(t, db), r.Token); where != "" {
			t.Errorf("the token stands in %s", where)
		}
		// Those who work on it see the case and not the person.
		w := d.see(r.Ticket)
		if w.Reporter != "张*" || w.ReporterNumber != "2023****15" || w.College != "" || w.Text != in.Text || w.Building != in.Building {
			t.Errorf("the head sees %+v", w)
		}
	})
}

func TestWhatAReportNeeds(t *testing.T) {
	d := newDesk(t, testkit.SQLite(t))
	for _, c := range []struct {
		field  string
		change func(*repair.SubmitInput)
	}{
		{"kind", func(in *repair.SubmitInput) { in.Kind = "CAR" }},
		{"building", func(in *repair.SubmitInput) { in.Building = " " }},
		{"building", func(in *repair.SubmitInput) { in.Building = strings.Repeat("楼", 61) }},
		{"room", func(in *repair.SubmitInput) { in.Room = strings.Repeat("4", 31) }},
		{"text", func(in *repair.SubmitInput) { in.Text = "" }},
		{"text", func(in *repair.SubmitInput) { in.Text = strings.Repeat("坏", 2001) }},
		{"text", func(in *repair.SubmitInput) { in.Text = "坏了\x00" }},
		{"text", func(in *repair.SubmitInput) { in.Text = "我的身份证 11010519491231002X 请登记" }},
		{"name", func(in *repair.SubmitInput) { in.Name = "" }},
		{"name", func(in *repair.SubmitInput) { in.Name = strings.Repeat("张", 51) }},
		{"contact", func(in *repair.SubmitInput) { in.Contact.Value = "abc" }},
		{"contact", func(in *repair.SubmitInput) { in.Contact.Kind = "fax" }},
		{"consent", func(in *repair.SubmitInput) { in.Consent = "" }},
		{"consent", func(in *repair.SubmitInput) { in.Consent = "2019-01" }},
		{"idempotencyKey", func(in *repair.SubmitInput) { in.IdempotencyKey = "1" }},
	} {
		in := report(1)
		c.change(&in)
		_, err := d.svc.Submit(bg, student, in)
		if e, ok := fault.As(err); !ok || e.Code != fault.BadUserInput || len(e.Path) != 1 || e.Path[0] != c.field || e.Zh == "" || e.En == "" {
			t.Errorf("%s: %v", c.field, err)
		}
	}
	limit := report(1)
	limit.Building, limit.Room, limit.Text, limit.Name = strings.Repeat("楼", 60), strings.Repeat("4", 30), strings.Repeat("坏", 2000), strings.Repeat("买", 25)+"·"+strings.Repeat("提", 24)
	if _, err := d.svc.Submit(bg, student, limit); err != nil {
		t.Errorf("at the edge: %v", err)
	}
}

func TestForbiddenAppliancesAreRefusedKindly(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		in := report(1)
		in.Kind, in.Text = repair.Appliance, "我的电饭锅不通电了"
		_, err := d.svc.Submit(bg, student, in)
		if e, ok := fault.As(err); !ok || e.Reason != "FORBIDDEN_APPLIANCE" || !strings.Contains(e.Zh, "抱歉") || !strings.Contains(e.En, "rice cooker") {
			t.Fatalf("%v", err)
		}
		for _, table := range []string{"ticket", "personal WHERE field LIKE 'repair.%'", "repair_contact"} {
			var n int
			if err := db.R.NewRaw("SELECT count(*) FROM "+table).Scan(bg, &n); err != nil || n != 0 {
				t.Errorf("%s holds %d rows of a refused report, %v", table, n, err)
			}
		}
		in.Text = "台灯不亮了"
		if _, err := d.svc.Submit(bg, student, in); err != nil {
			t.Errorf("a desk lamp: %v", err)
		}
		in = network(2, "东区 3 号楼")
		in.Text = "插上电饭锅以后断网了"
		if _, err := d.svc.Submit(bg, student, in); err != nil {
			t.Errorf("a network report that mentions one: %v", err)
		}
	})
}

// A campus is one address: everybody on it gets through, one contact does not.
func TestFiveHundredFromOneAddress(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		var got, refused atomic.Int64
		numbers := sync.Map{}
		var wg sync.WaitGroup
		send := func(in repair.SubmitInput) {
			r, err := d.svc.Submit(bg, student, in)
			switch {
			case err == nil:
				got.Add(1)
				if _, twice := numbers.LoadOrStore(r.Number, true); twice {
					t.Errorf("the number %s twice", r.Number)
				}
			case fault.IsRule(err, "TOO_MANY_OPEN") || fault.IsRule(err, "TOO_MANY_TODAY"):
				refused.Add(1)
			default:
				t.Error(err)
			}
		}
		next := make(chan int)
		for range 16 {
			wg.Go(func() {
				for i := range next {
					in := report(i)
					if i < 0 {
						in.Contact.Value = "99999"
					}
					send(in)
				}
			})
		}
		for i := range 500 {
			next <- i
			if i%25 == 0 {
				next <- -1 // one of them does not stop: 20 reports of one contact
			}
		}
		close(next)
		wg.Wait()
		if got.Load() != 503 || refused.Load() != 17 {
			t.Fatalf("%d got through, %d were refused", got.Load(), refused.Load())
		}
	})
}

func TestLimitsOfOneContact(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		// However the number is written it is the same one.
		spell := []string{"13800138000", "138 0013 8000", "+86 138-0013-8000", "8613800138000", "138-00138000"}
		n := 0
		send := func() (repair.Receipt, error) {
			in := report(1)
			in.Contact = repair.Contact{Kind: "phone", Value: spell[n%len(spell)]}
			n++
			return d.svc.Submit(bg, student, in)
		}
		var last repair.Receipt
		for range 3 {
			r, err := send()
			if err != nil {
				t.Fatal(err)
			}
			last = r
		}
		if _, err := send(); !fault.IsRule(err, "TOO_MANY_OPEN") {
			t.Fatalf("the fourth open ticket: %v", err)
		}
		for range 2 {
			if _, err := d.svc.DoByLink(bg, student, repair.ActCancel, repair.LinkInput{Token: last.Token}); err != nil {
				t.Fatal(err)
			}
			r, err := send()
			if err != nil {
				t.Fatal(err)
			}
			last = r
		}
		if _, err := d.svc.DoByLink(bg, student, repair.ActCancel, repair.LinkInput{Token: last.Token}); err != nil {
			t.Fatal(err)
		}
		if _, err := send(); !fault.IsRule(err, "TOO_MANY_TODAY") {
			t.Fatalf("the sixth of the day: %v", err)
		}
		// It is 10:00 in Shanghai; the day ends at local midnight.
		d.clock.Advance(13*time.Hour + 59*time.Minute)
		if _, err := send(); !fault.IsRule(err, "TOO_MANY_TODAY") {
			t.Fatalf("at 23:59: %v", err)
		}
		d.clock.Advance(time.Minute)
		if _, err := send(); err != nil {
			t.Fatalf("the next day: %v", err)
		}
	})
}

func TestLinkIsSentAgainToTheSameContact(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		in := report(1)
		r := d.submit(in)
		for _, c := range []struct {
			number  string
			contact repair.Contact
			told    int
		}{{r.Number, repair.Contact{Kind: "qq", Value: "777777"}, 1}, {"2026-9999", in.Contact, 1}, {r.Number, in.Contact, 2}} {
			if err := d.svc.SendLink(bg, student, c.number, c.contact); err != nil {
				t.Fatal(err)
			}
			if got := len(d.toldOf(r.Ticket)); got != c.told {
				t.Errorf("%v: told %d times, want %d", c, got, c.told)
			}
		}
	})
}

func TestDeviceIsReturnedBeforeTheTicketIsClosed(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		r := d.submit(report(1))
		d.do(d.zhou, repair.ActClaim, r.Ticket)
		d.do(d.zhou, repair.ActFix, r.Ticket)
		if _, err := d.svc.Do(bg, as(d.zhou), repair.ActClose, repair.Input{Ticket: r.Ticket}); !fault.IsRule(err, "DEVICE_NOT_RETURNED") {
			t.Fatalf("closed with the device on the shelf: %v", err)
		}
		told := func() int { return len(d.toldOf(r.Ticket)) }
		before := told()
		for i, days := range []int{3, 7, 20} { // D+3, D+10, D+30
			d.pass(time.Duration(days)*24*time.Hour - time.Second)
			if told() != before+i {
				t.Fatalf("reminded early: %v", d.toldOf(r.Ticket))
			}
			d.pass(time.Second)
			if told() != before+i+1 {
				t.Fatalf("reminder %d did not go out: %v", i, d.toldOf(r.Ticket))
			}
		}
		v, err := d.svc.ByLink(bg, r.Token)
		if err != nil {
			t.Fatal(err)
		}
		wrong := "000000"
		if v.PickupCode == wrong {
			wrong = "000001"
		}
		if _, err := d.svc.Return(bg, as(d.lin), repair.ReturnInput{Ticket: r.Ticket, Code: wrong}); !fault.IsRule(err, "WRONG_CODE") {
			t.Fatalf("a wrong code: %v", err)
		}
		if _, err := d.svc.Return(bg, as(d.lin), repair.ReturnInput{Ticket: r.Ticket, Code: v.PickupCode}); err != nil {
			t.Fatal(err)
		}
		d.pass(repair.CloseWait)
		d.state(r.Ticket, repair.Closed)
	})
}

func TestClockStandsStillWhileWaiting(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		r := d.submit(network(1, "东区 3 号楼"))
		due := d.see(r.Ticket).Due
		d.do(d.zhou, repair.ActClaim, r.Ticket)
		d.clock.Advance(time.Hour)
		d.do(d.zhou, repair.ActWaitOwner, r.Ticket)
		d.clock.Advance(30 * time.Hour)
		v := d.see(r.Ticket)
		if !v.Paused || v.Late || v.PausedFor != 30*time.Hour || !v.Due.Equal(due.Add(30*time.Hour)) {
			t.Fatalf("while waiting: %+v", v)
		}
		// The reporter answers by the link.
		if _, err := d.svc.DoByLink(bg, student, repair.ActResume, repair.LinkInput{Token: r.Token, Note: "下午在宿舍"}); err != nil {
			t.Fatal(err)
		}
		d.clock.Advance(22 * time.Hour)
		if v := d.see(r.Ticket); v.Paused || v.Late || v.PausedFor != 30*time.Hour {
			t.Fatalf("after waiting: %+v", v)
		}
		d.clock.Advance(2 * time.Hour)
		if v := d.see(r.Ticket); v.Worked != 25*time.Hour {
			t.Errorf("worked %s", v.Worked)
		}
		if v := d.see(r.Ticket); !v.Late {
			t.Error("25 hours of work on a 24 hour ticket are late")
		}
	})
}

func TestLinkActsAsTheReporterOnly(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		r := d.submit(network(1, "东区 3 号楼"))
		d.triage(r.Ticket)
		if _, err := d.svc.DoByLink(bg, as(d.zhou), repair.ActAccept, repair.LinkInput{Token: r.Token}); !fault.Is(err, fault.BadUserInput) {
			t.Errorf("accepted by the link: %v", err)
		}
		d.do(d.zhou, repair.ActAccept, r.Ticket)
		if _, err := d.svc.DoByLink(bg, student, repair.ActCancel, repair.LinkInput{Token: r.Token}); !fault.IsRule(err, "WRONG_STATE") {
			t.Errorf("cancelled under the technician's hands: %v", err)
		}
		d.do(d.zhou, repair.ActFix, r.Ticket)
		if _, err := d.svc.DoByLink(bg, student, repair.ActReopen, repair.LinkInput{Token: r.Token, Note: "还是上不了网"}); err != nil {
			t.Fatal(err)
		}
		v := d.state(r.Ticket, repair.Assigned)
		if v.Worker != d.lin {
			t.Errorf("who did the fewest goes first; it went to %s", v.WorkerName)
		}
		lines, err := d.svc.Timeline(bg, as(d.lin), r.Ticket)
		if err != nil || !slices.ContainsFunc(lines, func(l repair.Line) bool {
			return l.Action == repair.ActReopen && l.Note == "还是上不了网" && l.Public
		}) {
			t.Errorf("%+v %v", lines, err)
		}
		d.do(d.lin, repair.ActAccept, r.Ticket)
		d.do(d.lin, repair.ActFix, r.Ticket)
		d.pass(repair.CloseWait)
		d.clock.Advance(repair.ReopenWithin + time.Second)
		if _, err := d.svc.DoByLink(bg, student, repair.ActReopen, repair.LinkInput{Token: r.Token}); !fault.IsRule(err, "TOO_LATE") {
			t.Errorf("reopened after 14 days: %v", err)
		}
	})
}

// Whoever has nothing to do with a ticket cannot tell whether it exists.
func TestForeignTicketsAreAbsent(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		r := d.submit(report(1))
		_, foreign := d.svc.Ticket(bg, as(d.he), r.Ticket)
		_, absent := d.svc.Ticket(bg, as(d.he), id.New())
		if !fault.Is(foreign, fault.NotFound) || !fault.Is(absent, fault.NotFound) || foreign.Error() != absent.Error() {
			t.Errorf("foreign %v, absent %v", foreign, absent)
		}
		_, err := d.svc.Do(bg, as(d.he), repair.ActClaim, repair.Input{Ticket: r.Ticket})
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("claiming a foreign ticket: %v", err)
		}
		rows, more, err := d.svc.Tickets(bg, as(d.he), repair.Filter{}, store.Page{First: 10})
		if err != nil || len(rows) != 0 || more {
			t.Errorf("the list shows %d foreign tickets, %v", len(rows), err)
		}
		if _, _, err := d.svc.Tickets(bg, student, repair.Filter{}, store.Page{First: 10}); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("a stranger lists tickets: %v", err)
		}
		board, err := d.svc.Board(bg, as(d.he))
		if err != nil || len(board) != 1 || board[0].Number != r.Number {
			t.Errorf("board %+v, %v", board, err)
		}
	})
}

func TestPagesOfTickets(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		for i := range 5 {
			d.submit(report(i))
			if i%2 == 0 {
				d.clock.Advance(time.Second)
			}
		}
		var got []string
		page := store.Page{First: 2}
		for {
			rows, more, err := d.svc.Tickets(bg, as(d.head), repair.Filter{Open: true}, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				got = append(got, r.Number)
			}
			if !more {
				break
			}
			page.After = rows[len(rows)-1].Cursor()
		}
		want := []string{"2026-0005", "2026-0004", "2026-0003", "2026-0002", "2026-0001"}
		if !slices.Equal(got, want) {
			t.Errorf("pages give %v", got)
		}
		if _, _, err := d.svc.Tickets(bg, as(d.head), repair.Filter{}, store.Page{First: 101}); !fault.Is(err, fault.BadUserInput) {
			t.Errorf("101 at once: %v", err)
		}
		found, err := d.svc.Find(bg, as(d.head), "2026-0003", 5)
		if err != nil || len(found) != 1 {
			t.Errorf("%+v %v", found, err)
		}
	})
}
