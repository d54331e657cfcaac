package workflow_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// The reader of a step does not see what the step hides, in the form and in
// the diff; personal values are shown on their own, and the look is recorded.
func TestHiddenAndPersonalFields(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(smallYAML)
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.resubmit("zhouhang", req, 1, strings.Replace(smallForm, "500", "700", 1))
		v := f.view("songlan", req)
		if string(v.Form) != `{"what":"网线"}` || !slices.Equal(v.Hidden, []string{"/cost"}) || !slices.Equal(v.Personal, []string{"/phone"}) {
			t.Fatalf("%s %v %v", v.Form, v.Hidden, v.Personal)
		}
		if c := v.Revisions[1].Changes; len(c) != 1 || !c[0].Hidden || c[0].After != "" {
			t.Fatalf("%+v", c)
		}
		if v := f.view("zhouhang", req); !strings.Contains(string(v.Form), "700") || strings.Contains(string(v.Form), "138") {
			t.Fatalf("%s", v.Form)
		}
		p, err := f.svc.Personal(ctx, by("songlan"), req)
		if err != nil || p["/phone"] != `"13800138000"` {
			t.Fatalf("%v %v", p, err)
		}
		var looks int
		if err := db.R.NewRaw(`SELECT count(*) FROM audit WHERE action = 'workflow.personal' AND actor = ?`, named("songlan")).Scan(ctx, &looks); err != nil || looks != 1 {
			t.Fatalf("%d looks recorded, %v", looks, err)
		}
		if _, err := f.svc.Personal(ctx, by("luyuan"), req); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("supervision looks at a phone number: %v", err)
		}
		for _, table := range []string{"event", "outbox", "audit", "revision", "request", "decision"} {
			var rows []map[string]any
			if err := db.R.NewRaw(`SELECT * FROM `+table).Scan(ctx, &rows); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(fmt.Sprint(rows), "13800138000") {
				t.Errorf("the phone number stands in %s", table)
			}
		}
		form, _, err := f.svc.FormOf(ctx, db.R, req)
		if err != nil || form["phone"] != "13800138000" || form["cost"] != int64(700) {
			t.Fatalf("%v %v", form, err)
		}

		// Thirty days after the end, as the form says, and no sooner.
		f.approve(req, "songlan", "liu")
		closed := f.view("zhouhang", req).ClosedAt
		var until []time.Time
		err = db.R.NewRaw(`SELECT until FROM personal WHERE subject = ? AND field LIKE 'request.form.%'`, req).Scan(ctx, &until)
		if err != nil || len(until) != 1 || !until[0].Equal(closed.AddDate(0, 0, 30)) {
			t.Fatalf("kept until %v, %v", until, err)
		}
	})
}

// A personal value that did not change keeps its digest over an edit, so the
// votes that read it stay; erasing it mid-thread leaves everything verifiable.
func TestErasureMidThreadKeepsTheChain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(strings.Replace(smallYAML, "reads: [/what]", "reads: [/what, /phone]", 1))
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.decide("songlan", req, workflow.Approve, "请找王同学 13900139000")
		f.resubmit("zhouhang", req, 1, strings.Replace(smallForm, "500", "700", 1))
		if d := decisionOf(f.view("zhouhang", req), "keeper", 1); !d.Live || !d.Carried {
			t.Fatalf("the keeper's vote fell: %+v", d)
		}
		if rep := f.sound(req); rep.Erased != 0 {
			t.Fatalf("%+v", rep)
		}
		f.inTx(func(ctx context.Context, tx *store.Tx) error {
			if err := f.svc.EraseFor(ctx, tx, named("zhouhang"), f.clock.Now()); err != nil {
				return err
			}
			return org.Erase(ctx, tx, named("zhouhang"), f.clock.Now())
		})
		if rep := f.sound(req); rep.Erased != 2 { // the phone in two revisions
			t.Fatalf("%+v", rep)
		}
		if v := f.view("liu", req); v.Requester.Name != org.Erased {
			t.Fatalf("%+v", v.Requester)
		}
		f.approve(req, "liu")
		f.status(req, flow.Approved)
		f.inTx(func(ctx context.Context, tx *store.Tx) error { return org.Erase(ctx, tx, req, f.clock.Now()) })
		if d := decisionOf(f.view("liu", req), "keeper", 1); d.Comment != org.Erased {
			t.Fatalf("%+v", d)
		}
		if rep := f.sound(req); rep.Erased != 3 {
			t.Fatalf("%+v", rep)
		}
		if form, _, err := f.svc.FormOf(ctx, db.R, req); err != nil || form["phone"] != nil {
			t.Fatalf("%v %v", form, err)
		}
	})
}

// Whatever is changed behind the engine's back is found.
func TestVerifyFindsWhatWasChanged(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(smallYAML)
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.decide("songlan", req, workflow.Approve, "有货")
		f.sound(req)
		for name, stmt := range map[string]string{
			"a decision's task": `UPDATE task SET verdict = 'reject' WHERE state = 'done'`,
			"the state":         `UPDATE request SET state = replace(state, '"approve"', '"reject"')`,
			"a personal value":  `UPDATE personal SET value = '"13911111111"' WHERE field LIKE 'request.form.%'`,
			"a comment":         `UPDATE personal SET value = '没货' WHERE field LIKE 'request.note.%'`,
		} {
			f.inTx(func(_ context.Context, tx *store.Tx) error { tx.QueueSQL(stmt); return nil })
			rep, err := f.svc.Verify(ctx, by("luyuan"), req)
			if err != nil || rep.OK() {
				t.Errorf("%s was changed and nothing is found: %v", name, err)
			}
		}
		for _, stmt := range []string{`UPDATE event SET body = replace(body, 'approve', 'reject')`, `DELETE FROM event`, `UPDATE decision SET verdict = 'reject'`,
			`DELETE FROM decision`, `UPDATE revision SET form = '{}'`, `UPDATE version SET source = 'x'`, `UPDATE version SET state = 'DRAFT', published_at = NULL`, `DELETE FROM version`} {
			_, err := store.InTx(ctx, db, store.Internal("test"), func(ctx context.Context, tx *store.Tx) (int, error) {
				_, err := tx.NewRaw(stmt).Exec(ctx)
				return 0, err
			})
			if !store.IsConstraint(err) {
				t.Errorf("%s: %v", stmt, err)
			}
		}
		if _, err := f.svc.Verify(ctx, by("zhouhang"), req); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("an outsider verifies: %v", err)
		}
	})
}
