package workflow_test

import (
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// reimburse asks for money for invoices with the numbers.
func (f *fed) reimburse(who, unit string, numbers ...string) (workflow.Outcome, error) {
	form := with(f.t, invoices, `{"invoice_numbers":["`+strings.Join(numbers, `","`)+`"]}`)
	return f.svc.Submit(bg, by(who), workflow.SubmitInput{Definition: "office.reimburse", Unit: unit, Form: jsonForm(f.t, form), IdempotencyKey: f.key()})
}

// usedAlready demands the refusal of an invoice and gives its English text.
func usedAlready(t *testing.T, err error, pointer string) string {
	t.Helper()
	d := refused[*workflow.FormProblems](t, err, "FORM_INVALID")
	if len(d.Errors) != 1 || d.Errors[0].Code != "USED_ALREADY" || d.Errors[0].Pointer != pointer {
		t.Fatalf("%+v", d.Errors)
	}
	return d.Errors[0].En
}

func TestAnInvoiceIsUsedOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		first, err := f.reimburse("zhouhang", "technical.information", "25117000001", "25117000002")
		if err != nil {
			t.Fatal(err)
		}
		number := f.view("zhouhang", first.Request).Number
		if body := f.submitted(first.Request); !strings.Contains(body, `"once":["/invoice_numbers"]`) {
			t.Errorf("the event does not record it: %s", body)
		}
		_, err = f.reimburse("ling", "liaison", "25117000003", "25117000002")
		if says := usedAlready(t, err, "/invoice_numbers/1"); strings.Contains(says, number) || !strings.Contains(says, "25117000002") {
			t.Errorf("somebody who may not read the other request is told: %s", says)
		}
		_, err = f.reimburse("techhead", "technical", "25117000001", "25117000004")
		if says := usedAlready(t, err, "/invoice_numbers/0"); !strings.Contains(says, number) {
			t.Errorf("somebody who may read the other request is told: %s", says)
		}
		// What a revision no longer holds is free, what it holds is not.
		f.resubmit("zhouhang", first.Request, 1, with(t, invoices, `{"invoice_numbers":["25117000001","25117000005"]}`))
		if _, err := f.reimburse("ling", "liaison", "25117000002", "25117000003"); err != nil {
			t.Fatal(err)
		}
		_, err = f.svc.Resubmit(bg, by("zhouhang"), workflow.ResubmitInput{Request: first.Request, FormRev: 2, IdempotencyKey: f.key(),
			Form: jsonForm(t, with(t, invoices, `{"invoice_numbers":["25117000001","25117000002"]}`))})
		usedAlready(t, err, "/invoice_numbers/1")
		// A request of which nothing comes gives its invoices back.
		if _, err := f.svc.Withdraw(bg, by("zhouhang"), workflow.WithdrawInput{Request: first.Request, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		if _, err := f.reimburse("techhead", "technical", "25117000001", "25117000005"); err != nil {
			t.Fatal(err)
		}
	})
}

// submitted is the event that opened the request.
func (f *fed) submitted(request any) (body string) {
	f.t.Helper()
	if err := f.db.R.NewRaw(`SELECT body FROM event WHERE request_id = ? AND seq = 1`, request).Scan(bg, &body); err != nil {
		f.t.Fatal(err)
	}
	return body
}

func TestAnAmendmentKeepsTheInvoicesOfWhatItAmends(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := fullFed(t, db)
		d := builtin(t, "office.reimburse")
		req := f.submit("zhouhang", "office.reimburse", "technical", invoices)
		f.walk(d, req, nil)
		amend := func(numbers string) workflow.Outcome {
			out, err := f.svc.Amend(bg, by("zhouhang"), workflow.AmendInput{Request: req, IdempotencyKey: f.key(),
				Form: jsonForm(t, with(t, invoices, `{"invoice_numbers":`+numbers+`}`))})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		// One that comes to nothing leaves the invoices with the approved request.
		gone := amend(`["25117000001","25117000009"]`)
		if _, err := f.svc.Withdraw(bg, by("zhouhang"), workflow.WithdrawInput{Request: gone.Request, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		_, err := f.reimburse("ling", "liaison", "25117000001", "25117000008")
		usedAlready(t, err, "/invoice_numbers/0")
		// One that is approved takes them over, and lets go of what it no longer holds.
		kept := amend(`["25117000001","25117000009"]`)
		f.walk(d, kept.Request, nil)
		f.status(kept.Request, flow.Approved)
		_, err = f.reimburse("ling", "liaison", "25117000001", "25117000008")
		usedAlready(t, err, "/invoice_numbers/0")
		if _, err := f.reimburse("ling", "liaison", "25117000002", "25117000008"); err != nil {
			t.Fatal(err)
		}
	})
}

// Two that come in at the same moment do not both get it.
func TestTheSchemaKeepsAnInvoiceOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		type answer struct{ err error }
		answers := make(chan answer, 4)
		for _, who := range []string{"zhouhang", "techhead", "zhouhang", "techhead"} {
			form, key := jsonForm(t, invoices), f.key()
			go func() {
				_, err := f.svc.Submit(bg, by(who), workflow.SubmitInput{Definition: "office.reimburse", Unit: "technical", Form: form, IdempotencyKey: key})
				answers <- answer{err}
			}()
		}
		taken := 0
		for range 4 {
			if a := <-answers; a.err == nil {
				taken++
			} else if !fault.IsRule(a.err, "FORM_INVALID") {
				t.Error(a.err)
			}
		}
		if taken != 1 {
			t.Errorf("%d requests took the invoice", taken)
		}
	})
}

// A version that has a field used once claims what requests hold that move to
// it; of two that hold the same, the second stays where it is, and is told so
// beforehand.
func TestAMoveClaimsWhatTheNewVersionWantsOnce(t *testing.T) {
	outbox.Route(workflow.TopicMigrate, "workflow")
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		const field = "    serial: {type: string, maxLength: 80, x-title: {zh: 编号, en: Serial}}\n"
		f.publish(trial(field, keeperStep, headStep))
		one := f.submit("zhouhang", "office.trial", "", `{"title":"甲","serial":"S1"}`)
		two := f.submit("linxiaoman", "office.trial", "", `{"title":"乙","serial":"S1"}`)
		f.publish(trial(field, keeperStep, headStep) + "once: [/serial]\n")
		third, err := f.svc.Submit(bg, by("zhouhang"), workflow.SubmitInput{Definition: "office.trial", Form: jsonForm(t, `{"title":"丙","serial":"S2"}`), IdempotencyKey: f.key()})
		if err != nil {
			t.Fatal(err)
		}
		f.moveAll(workflow.Plan{Definition: "office.trial", Requests: []id.ID{one}})
		if m := f.foresee(workflow.Plan{Definition: "office.trial"})[two]; len(m.Stays) != 1 || m.Stays[0].Pointer != "/serial" || m.Stays[0].Code != "FORM" {
			t.Fatalf("%+v", m)
		}
		f.moveAll(workflow.Plan{Definition: "office.trial"})
		if left := f.foresee(workflow.Plan{Definition: "office.trial"}); len(left) != 1 {
			t.Fatalf("%d requests stayed", len(left))
		}
		again := func() error {
			_, err := f.svc.Submit(bg, by("linxiaoman"), workflow.SubmitInput{Definition: "office.trial", Form: jsonForm(t, `{"title":"丁","serial":"S1"}`), IdempotencyKey: f.key()})
			return err
		}
		usedAlready(t, again(), "/serial")
		if _, err := f.svc.Withdraw(bg, by("zhouhang"), workflow.WithdrawInput{Request: one, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		f.moveAll(workflow.Plan{Definition: "office.trial"})
		if left := f.foresee(workflow.Plan{Definition: "office.trial"}); len(left) != 0 {
			t.Fatal("the second stayed although the first let go")
		}
		usedAlready(t, again(), "/serial")
		f.sound(two)
		f.sound(third.Request)
	})
}

// What an approved request is stopped for, its amendment may still ask: nobody
// else takes its invoices meanwhile.
func TestAnAmendmentKeepsTheInvoicesOfWhatWasStopped(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := fullFed(t, db)
		d := builtin(t, "office.reimburse")
		req := f.submit("zhouhang", "office.reimburse", "technical", invoices)
		f.walk(d, req, nil)
		out, err := f.svc.Amend(bg, by("zhouhang"), workflow.AmendInput{Request: req, IdempotencyKey: f.key(),
			Form: jsonForm(t, with(t, invoices, `{"invoice_numbers":["25117000001","25117000009"]}`))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.svc.Stop(bg, by("hejing"), workflow.StopInput{Request: req, Comment: "重复", IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		f.status(req, flow.Stopped)
		_, err = f.reimburse("ling", "liaison", "25117000001", "25117000008")
		usedAlready(t, err, "/invoice_numbers/0")
		f.walk(d, out.Request, nil)
		f.status(out.Request, flow.Approved)
		_, err = f.reimburse("ling", "liaison", "25117000001", "25117000008")
		usedAlready(t, err, "/invoice_numbers/0")
		if _, err := f.reimburse("ling", "liaison", "25117000002", "25117000008"); err != nil {
			t.Fatalf("what the amendment let go is still taken: %v", err)
		}
	})
}
