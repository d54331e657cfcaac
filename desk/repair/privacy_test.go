package repair_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/desk/repair"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

// dump reads every row of every table, as text by table.
func dump(t *testing.T, db *store.DB) map[string]string {
	t.Helper()
	names := `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`
	if db.Postgres() {
		names = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`
	}
	var tables []string
	if err := db.R.NewRaw(names).Scan(bg, &tables); err != nil || len(tables) < 20 {
		t.Fatal(tables, err)
	}
	out := map[string]string{}
	for _, table := range tables {
		var rows []map[string]any
		if err := db.R.NewRaw(fmt.Sprintf(`SELECT * FROM "%s"`, table)).Scan(bg, &rows); err != nil && !store.NoRows(err) {
			t.Fatal(table, err)
		}
		for _, row := range rows {
			for _, v := range row {
				if raw, ok := v.([]byte); ok {
					v = string(raw)
				}
				out[table] += fmt.Sprintln(v)
			}
		}
	}
	return out
}

// find names the tables of a dump that hold the text.
func find(dump map[string]string, text string) string {
	var found []string
	for table, rows := range dump {
		if strings.Contains(rows, text) {
			found = append(found, table)
		}
	}
	slices.Sort(found)
	return strings.Join(found, " ")
}

// canaries are words that stand nowhere else.
func canaries() (repair.SubmitInput, []string) {
	in := report(1)
	in.Building, in.Room, in.Text, in.Name = "金丝雀楼", "鸟笼四一七", "喂食器坏了", "鸟先生"
	in.Number, in.College, in.Contact = "CANARY2023", "鸟类学院", repair.Contact{Kind: "wechat", Value: "canary_wx"}
	return in, []string{in.Building, in.Room, in.Text, in.Name, in.Number, in.College, in.Contact.Value, "鸟语录", "电话打不通的鸟"}
}

func TestErasureLeavesNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		in, words := canaries()
		r := d.submit(in)
		d.do(d.zhou, repair.ActClaim, r.Ticket)
		if _, err := d.svc.Note(bg, as(d.zhou), repair.NoteInput{Ticket: r.Ticket, Text: "电话打不通的鸟"}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.svc.DoByLink(bg, student, repair.ActNote, repair.LinkInput{Token: r.Token, Note: "鸟语录"}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.svc.ContactOf(bg, as(d.zhou), r.Ticket); err != nil {
			t.Fatal(err)
		}
		all := dump(t, db)
		for _, w := range words {
			if where := find(all, w); where != "personal" {
				t.Errorf("before erasing %s stands in %q", w, where)
			}
		}
		if _, err := d.svc.EraseByLink(bg, student, r.Token, ""); !fault.IsRule(err, "STILL_OPEN") {
			t.Fatalf("erased under the technician's hands: %v", err)
		}
		d.do(d.zhou, repair.ActUnfixable, r.Ticket)
		if _, err := d.svc.Return(bg, as(d.zhou), repair.ReturnInput{Ticket: r.Ticket}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.svc.EraseByLink(bg, student, r.Token, ""); err != nil {
			t.Fatal(err)
		}
		d.drain()
		all = dump(t, db)
		for _, w := range words {
			if where := find(all, w); where != "" {
				t.Errorf("after erasing %s stands in %s", w, where)
			}
		}
		if _, err := d.svc.ByLink(bg, r.Token); !fault.Is(err, fault.NotFound) {
			t.Errorf("the link still opens: %v", err)
		}
		if v := d.see(r.Ticket); !v.Erased || v.Reporter != "" || v.State != repair.Closed {
			t.Errorf("%+v", v)
		}
		if lines, err := d.svc.Timeline(bg, as(d.zhou), r.Ticket); err != nil || len(lines) < 5 {
			t.Errorf("history went with the person: %+v, %v", lines, err)
		}
	})
}

func TestEverythingIsForgottenThirtyDaysAfterTheEnd(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		in, words := canaries()
		in.Kind = repair.Network
		r := d.submit(in)
		d.do(d.zhou, repair.ActClaim, r.Ticket)
		d.do(d.zhou, repair.ActFix, r.Ticket)
		d.pass(repair.CloseWait)
		d.state(r.Ticket, repair.Closed)
		open := d.submit(report(7)) // is nobody's business yet
		purge := func() int {
			n, err := d.svc.Purge(bg)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		d.clock.Advance(repair.KeepPersonal - time.Second)
		if n := purge(); n != 0 {
			t.Fatalf("%d erased early", n)
		}
		d.clock.Advance(time.Second)
		if n := purge(); n != 1 {
			t.Fatalf("%d erased", n)
		}
		all := dump(t, db)
		for _, w := range words {
			if where := find(all, w); where != "" {
				t.Errorf("%s stands in %s", w, where)
			}
		}
		if _, err := d.svc.ByLink(bg, open.Token); err != nil {
			t.Errorf("an open ticket was erased: %v", err)
		}
	})
}

// The general retention job alone would erase the values as well, and a
// reopened ticket keeps them.
func TestValuesCarryTheirEnd(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		r := d.submit(network(1, "东区 3 号楼"))
		until := func() (n int) {
			if err := db.R.NewRaw(`SELECT count(*) FROM personal WHERE subject = ? AND until = ?`, r.Ticket, d.clock.Now().Add(repair.KeepPersonal)).Scan(bg, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		d.do(d.zhou, repair.ActClaim, r.Ticket)
		d.do(d.zhou, repair.ActFix, r.Ticket)
		if until() != 0 {
			t.Error("an end before the end")
		}
		d.do(d.zhou, repair.ActClose, r.Ticket)
		if until() < 6 {
			t.Errorf("%d values end 30 days after closing", until())
		}
		if _, err := d.svc.DoByLink(bg, student, repair.ActReopen, repair.LinkInput{Token: r.Token}); err != nil {
			t.Fatal(err)
		}
		if until() != 0 {
			t.Error("a reopened ticket loses its reporter")
		}
	})
}

func TestContactIsSeenByTheAssigneeAndEachLookIsRecorded(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		r := d.submit(network(1, "东区 3 号楼"))
		looks := func() (n int) {
			if err := db.R.NewRaw(`SELECT count(*) FROM audit WHERE action = 'repair.contact' AND object_id = ?`, r.Ticket).Scan(bg, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		d.do(d.zhou, repair.ActClaim, r.Ticket)
		for _, p := range []id.ID{d.lin, d.head} {
			if _, err := d.svc.ContactOf(bg, as(p), r.Ticket); !fault.Is(err, fault.Forbidden) {
				t.Errorf("somebody else sees the contact: %v", err)
			}
		}
		reach, err := d.svc.ContactOf(bg, as(d.zhou), r.Ticket)
		if err != nil || reach.Contact.Value != "100001" || reach.Name != "张同学" || reach.Room != "417" || looks() != 1 {
			t.Fatalf("%+v %v, %d looks", reach, err, looks())
		}
		d.do(d.zhou, repair.ActFix, r.Ticket)
		if _, err := d.svc.ContactOf(bg, as(d.zhou), r.Ticket); err != nil || looks() != 2 {
			t.Errorf("until it is closed: %v, %d looks", err, looks())
		}
		d.do(d.zhou, repair.ActClose, r.Ticket)
		if _, err := d.svc.ContactOf(bg, as(d.zhou), r.Ticket); !fault.Is(err, fault.Forbidden) || looks() != 2 {
			t.Errorf("after it was closed: %v", err)
		}
	})
}

func TestAccountErasesAndExportsItsOwn(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		d := newDesk(t, db)
		r, err := d.svc.Submit(bg, as(d.he), report(1))
		if err != nil {
			t.Fatal(err)
		}
		if v, err := d.svc.Ticket(bg, as(d.he), r.Ticket); err != nil || v.Text != "开机蓝屏" {
			t.Errorf("the reporter's own ticket: %+v, %v", v, err)
		}
		out, err := d.svc.ExportOwned(bg, db.R, d.he)
		if err != nil || !strings.Contains(fmt.Sprint(out), "张同学") {
			t.Errorf("%v %v", out, err)
		}
		if _, err := d.svc.Erase(bg, as(d.lin), r.Ticket, ""); !fault.Is(err, fault.Forbidden) {
			t.Errorf("a technician erases: %v", err)
		}
		if _, err := d.svc.Erase(bg, as(d.he), r.Ticket, ""); err != nil {
			t.Fatal(err)
		}
		d.state(r.Ticket, repair.Cancelled)
		if where := find(dump(t, db), "开机蓝屏"); where != "" {
			t.Errorf("the text stands in %s", where)
		}
	})
}

func TestRegisterKnowsEveryFieldOfATicket(t *testing.T) {
	for _, f := range []string{"repair.name", "repair.number", "repair.college", "repair.building", "repair.room", "repair.text", "repair.note.x", "phone", "qq", "wechat", "email"} {
		if _, ok := org.RegisteredField(f); !ok {
			t.Errorf("%s is missing from the register", f)
		}
	}
}
