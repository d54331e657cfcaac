package workflow_test

import (
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// asks spells a forecast: a step that is carried in brackets.
func asks(f workflow.ForecastView) string {
	var out []string
	for _, s := range f.Steps {
		if s.Carried {
			out = append(out, "("+s.Step+")")
		} else {
			out = append(out, s.Step)
		}
	}
	return strings.Join(out, " ")
}

// What is foretold of an edit is what the edit does, before the approval and
// after it.
func TestForecastOfAnEdit(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, req := withTrip(t, db)
		foretold := func(form, want string) workflow.ForecastView {
			t.Helper()
			v, err := f.svc.ForecastEdit(bg, by("ling"), req, jsonForm(t, form))
			if err != nil || asks(v) != want {
				t.Fatalf("%q %v, want %q", asks(v), err, want)
			}
			return v
		}
		later := `{"title":"访问兄弟高校","day":"2026-11-21"}`
		foretold(later, "head office")
		f.approve(req, "shenyue")
		v := foretold(later, "(head) office")
		if len(v.Changes) != 1 || v.Changes[0].Pointer != "/day" || len(v.Steps[0].People) != 0 || len(v.Steps[1].People) != 2 {
			t.Fatalf("%+v", v)
		}
		if v := foretold(`{"title":"访问兄弟高校"}`, "(head) office"); len(v.Problems) != 1 {
			t.Fatalf("a missing day is %+v", v.Problems)
		}
		foretold(`{"title":"访问同济","day":"2026-11-20"}`, "head office")
		if _, err := f.svc.ForecastEdit(bg, by("shenyue"), req, jsonForm(t, later)); !fault.IsRule(err, "NOT_REQUESTER") {
			t.Fatal(err)
		}
		if _, err := f.svc.ForecastEdit(bg, by("mech"), req, jsonForm(t, later)); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		f.resubmit("ling", req, 1, later)
		f.idle("shenyue", req)

		f.grant(req)
		f.status(req, flow.Approved)
		form := `{"title":"访问兄弟高校","day":"2026-11-27","grant":500}`
		foretold(form, "(head) office")
		foretold(strings.Replace(form, "兄弟高校", "同济", 1), "head office")
		out, err := f.svc.Amend(bg, by("ling"), workflow.AmendInput{Request: req, Form: jsonForm(t, form), IdempotencyKey: f.key()})
		if err != nil {
			t.Fatal(err)
		}
		f.idle("shenyue", out.Request)
		if _, err := f.svc.Withdraw(bg, by("ling"), workflow.WithdrawInput{Request: out.Request, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		req = out.Request
		if _, err := f.svc.ForecastEdit(bg, by("ling"), req, jsonForm(t, form)); !fault.IsRule(err, "WRONG_STATE") {
			t.Fatal(err)
		}
	})
}

// A personal value that stays makes no vote fall.
func TestForecastKnowsAPersonalValueAgain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		src := strings.NewReplacer("flow:\n", `    phone: {type: string, maxLength: 20, x-title: {zh: 电话, en: Phone}, x-personal: {purpose: {zh: 联系, en: to call}, retention: 30d}}
flow:
`, "reads: [/title]", "reads: [/title, /phone]").Replace(trip)
		if _, err := f.svc.Publish(bg, by("hejing"), workflow.PublishInput{Source: src, Understaffed: true, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		form := func(phone, day string) string {
			return `{"title":"访问","phone":"` + phone + `","day":"` + day + `"}`
		}
		req := f.submit("ling", "liaison.trip", "liaison", form("13800001234", "2026-11-20"))
		f.approve(req, "shenyue")
		for phone, want := range map[string]string{"13800001234": "(head) office", "13900001234": "head office"} {
			v, err := f.svc.ForecastEdit(bg, by("ling"), req, jsonForm(t, form(phone, "2026-11-21")))
			if err != nil || asks(v) != want {
				t.Fatalf("%q %v, want %q", asks(v), err, want)
			}
			for _, c := range v.Changes {
				if c.Pointer == "/phone" && (!c.Personal || c.After != "") {
					t.Fatalf("the value stands in %+v", c)
				}
			}
		}
	})
}
