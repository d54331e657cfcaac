package property_test

import (
	"testing"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"
)

func TestAnApprovedUseOfASealStandsInTheRegisterOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		form := map[string]any{"seal": "federation", "title": "活动证明", "recipient": "教务处", "copies": int64(2), "register_no": "2026-031",
			"document": map[string]any{"file": "fil_x", "sha256": "aa11"}}
		one := w.submit(form)
		w.requests[one].meta.Unit, w.requests[one].meta.ClosedAt = "technical", testkit.Start
		w.status(one, "APPROVED", "property.seal", "property.seal") // told twice
		other := w.submit(map[string]any{"seal": "league", "title": "介绍信", "recipient": "校外", "copies": int64(1)})
		w.status(other, "OPEN")

		for _, seat := range []string{"office.head", "supervision.member", "league.teacher"} {
			reader := org.Actor{Person: mk.Officer(t, db, seat, seat), Lang: "zh"}
			rows, next, err := w.svc.SealUses(bg, reader, "", store.Page{First: 20})
			if err != nil || len(rows) != 1 || next != "" {
				t.Fatalf("%s sees %+v %q %v", seat, rows, next, err)
			}
			if u := rows[0]; u.Request != one || u.Number != "2026-031" || u.Copies != 2 || u.SHA256 != "aa11" || u.Unit != "technical" ||
				u.Requester != w.requests[one].meta.Requester || !u.SealedAt.Equal(testkit.Start) {
				t.Errorf("%+v", u)
			}
			if rows, _, err := w.svc.SealUses(bg, reader, "league", store.Page{First: 20}); err != nil || len(rows) != 0 {
				t.Errorf("the seal of the League was not used: %+v %v", rows, err)
			}
		}
		stranger := org.Actor{Person: mk.Officer(t, db, "周航", "technical.information.member"), Lang: "zh"}
		if _, _, err := w.svc.SealUses(bg, stranger, "", store.Page{First: 20}); !fault.Is(err, fault.Forbidden) {
			t.Errorf("somebody else reads the register: %v", err)
		}
	})
}
