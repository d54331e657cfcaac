package workflow_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
)

// sql runs a statement as somebody with the database's password could.
func (f *fed) sql(stmt string, args ...any) {
	f.t.Helper()
	f.inTx(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewRaw(stmt, args...).Exec(ctx)
		return err
	})
}

// unfreeze takes the triggers of a table away.
func (f *fed) unfreeze(table string) {
	f.t.Helper()
	if f.db.Postgres() {
		f.sql(`DROP TRIGGER ` + table + `_frozen ON ` + table)
		return
	}
	var names []string
	if err := f.db.R.NewRaw(`SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?`, table).Scan(context.Background(), &names); err != nil || len(names) == 0 {
		f.t.Fatal(names, err)
	}
	for _, n := range names {
		f.sql(`DROP TRIGGER ` + n)
	}
}

// A change of any column that people or deadlines read is found, and named.
func TestCheckNamesWhatDiffers(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(smallYAML)
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.decide("songlan", req, workflow.SendBack, "写清楚")
		f.resubmit("zhouhang", req, 1, strings.Replace(smallForm, "网线", "六类网线", 1))
		f.decide("songlan", req, workflow.Approve, "有货")
		f.sound(req)
		f.unfreeze("decision")
		f.unfreeze("revision")
		for _, c := range []struct{ change, want string }{
			{`UPDATE request SET status = 'RETURNED'`, "status"},
			{`UPDATE request SET opened_at = '2020-01-01 00:00:00+00:00'`, "opened_at"},
			{`UPDATE request SET requester = (SELECT min(CAST(id AS text)) FROM person)`, "requester"},
			{`UPDATE request SET form = '{}'`, "newest revision"},
			{`UPDATE request SET close_out_due = '2020-01-01 00:00:00+00:00'`, "close_out_due"},
			{`UPDATE task SET seat = 'fed.chair' WHERE state = 'open'`, "the task"},
			{`UPDATE task SET due_at = '2020-01-01 00:00:00+00:00' WHERE state = 'open'`, "the task"},
			{`UPDATE decision SET verdict = 'reject' WHERE verdict = 'approve'`, "the decision"},
			{`UPDATE decision SET read_digest = 'x' WHERE verdict = 'send_back'`, "the decision"},
			{`DELETE FROM decision WHERE verdict = 'approve'`, "decisions are stored"},
			{`UPDATE revision SET form = '{}' WHERE rev = 1`, "revision 1"},
		} {
			stmt := c.change
			if db.Postgres() {
				stmt = strings.Replace(stmt, `(SELECT min(CAST(id AS text)) FROM person)`, `(SELECT min(CAST(id AS text))::uuid FROM person)`, 1)
			}
			rep := f.checkChanged(ctx, req, stmt)
			if !slices.ContainsFunc(rep.Problems, func(p string) bool { return strings.Contains(p, c.want) }) {
				t.Errorf("%s: found %q, want %q", stmt, rep.Problems, c.want)
			}
		}
		f.sound(req)
	})
}

// checkChanged checks the request after the statement and takes it back.
func (f *fed) checkChanged(ctx context.Context, req id.ID, stmt string) workflow.Report {
	f.t.Helper()
	tables := []string{"request", "task", "decision", "revision"}
	for _, x := range tables {
		f.sql(`CREATE TABLE kept_` + x + ` AS SELECT * FROM ` + x)
	}
	f.sql(stmt)
	rep, err := f.svc.Check(ctx, req)
	if err != nil {
		f.t.Fatal(err)
	}
	f.inTx(func(ctx context.Context, tx *store.Tx) error {
		table := strings.Fields(strings.NewReplacer("UPDATE ", "", "DELETE FROM ", "").Replace(stmt))[0]
		var columns []string
		query := `SELECT name FROM pragma_table_info(?)`
		if f.db.Postgres() {
			query = `SELECT column_name FROM information_schema.columns WHERE table_name = ? AND table_schema = current_schema()`
		}
		if err := tx.NewRaw(query, table).Scan(ctx, &columns); err != nil {
			return err
		}
		key := "id"
		if table == "revision" {
			key = "rev"
		}
		var set []string
		for _, c := range columns {
			set = append(set, c+" = (SELECT "+c+" FROM kept_"+table+" AS k WHERE k."+key+" = "+table+"."+key+")")
		}
		stmts := []string{`UPDATE ` + table + ` SET ` + strings.Join(set, ", "),
			`INSERT INTO ` + table + ` SELECT * FROM kept_` + table + ` AS k WHERE NOT EXISTS (SELECT 1 FROM ` + table + ` AS x WHERE x.` + key + ` = k.` + key + `)`}
		for _, x := range tables {
			stmts = append(stmts, `DROP TABLE kept_`+x)
		}
		for _, s := range stmts {
			if _, err := tx.NewRaw(s).Exec(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return rep
}

// The look in the background finds a closed request that was changed and a
// quiet old one, tells each once, and sees that they are mended.
func TestRefoldFindsTellsOnceAndSeesTheMending(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(smallYAML)
		old := f.submit("zhouhang", "office.small", "", smallForm)
		closed := f.submit("zhouhang", "office.small", "", smallForm)
		f.clock.Advance(time.Hour)
		since := workflow.ClosedAt{At: f.clock.Now()}
		f.clock.Advance(time.Minute)
		if _, err := f.svc.Withdraw(ctx, by("zhouhang"), workflow.WithdrawInput{Request: closed, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		if out, err := f.svc.Refold(ctx, since); err != nil || out.Checked == 0 || len(out.Faulty) != 0 || !out.Until.At.After(since.At) {
			t.Fatalf("all is well: %+v %v", out, err)
		}
		f.sql(`UPDATE request SET urgent = urgent, status = 'REJECTED' WHERE id = ?`, closed)
		f.sql(`UPDATE task SET seat = 'fed.chair' WHERE request_id = ?`, old)
		found := map[id.ID]bool{}
		for range 200 {
			out, err := f.svc.Refold(ctx, since)
			if err != nil {
				t.Fatal(err)
			}
			for _, rep := range out.Faulty {
				found[rep.Request] = true
			}
			if found[old] && found[closed] {
				break
			}
		}
		if !found[old] || !found[closed] {
			t.Fatalf("in 200 rounds only %v were found", found)
		}
		for _, req := range []id.ID{old, closed} {
			if told := f.events(workflow.TopicMismatch, req); len(told) != 1 {
				t.Errorf("told %d times", len(told))
			}
		}
		if list, n, err := workflow.Mismatches(ctx, db, 10); err != nil || n != 2 || len(list) != 2 || list[0].Number == "" || len(list[0].Problems) == 0 {
			t.Fatalf("%+v %d %v", list, n, err)
		}
		f.sql(`UPDATE request SET status = 'WITHDRAWN' WHERE id = ?`, closed)
		if _, err := f.svc.Refold(ctx, workflow.ClosedAt{At: f.clock.Now()}); err != nil {
			t.Fatal(err)
		}
		if list, n, err := workflow.Mismatches(ctx, db, 10); err != nil || n != 1 || list[0].Request != old {
			t.Fatalf("after the mending: %+v %d %v", list, n, err)
		}
		var seen, faulty int
		err := f.svc.CheckAll(ctx, nil, func(rep workflow.Report) {
			seen++
			if !rep.OK() {
				faulty++
			}
		})
		if err != nil || seen != 2 || faulty != 1 {
			t.Fatalf("of %d requests %d are at fault: %v", seen, faulty, err)
		}
		if err := f.svc.CheckAll(ctx, []id.ID{named("nobody")}, func(workflow.Report) {}); err == nil {
			t.Fatal("a request that is not there was checked")
		}
	})
}

// Of many that closed at the same moment, each is looked at.
func TestRefoldSkipsNoneOfThoseThatClosedTogether(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.publish(smallYAML)
		since := workflow.ClosedAt{At: f.clock.Now().Add(-time.Minute)}
		var all []id.ID
		for range 45 {
			all = append(all, f.submit("zhouhang", "office.small", "", smallForm))
		}
		for _, req := range all {
			if _, err := f.svc.Withdraw(bg, by("zhouhang"), workflow.WithdrawInput{Request: req, IdempotencyKey: f.key()}); err != nil {
				t.Fatal(err)
			}
		}
		f.sql(`UPDATE task SET seat = 'fed.chair'`) // all of them are wrong
		for range 3 {
			out, err := f.svc.Refold(bg, since)
			if err != nil {
				t.Fatal(err)
			}
			since = out.Until
		}
		for _, req := range all {
			if len(f.events(workflow.TopicMismatch, req)) != 1 {
				t.Errorf("%s was not looked at", req)
			}
		}
	})
}
