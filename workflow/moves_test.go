package workflow_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// trip is a definition with everything that the moves need.
const trip = `key: liaison.trip
unit: liaison
title: {zh: 出访, en: Trip}
about: {zh: 示例, en: An example}
form:
  required: [title, day]
  properties:
    title: {type: string, maxLength: 40, x-title: {zh: 标题, en: Title}}
    day: {type: string, format: date, x-title: {zh: 日期, en: Day}}
    grant: {type: integer, minimum: 0, x-title: {zh: 批准金额, en: Granted}}
flow:
  - step: head
    title: {zh: 部长, en: Head}
    ask: seat(liaison.head)
    reads: [/title]
    paper: true
  - step: office
    title: {zh: 办公室, en: Office}
    ask: [seat(office.head), seat(office.deputy)]
    rule: any
    reads: [/day]
    fields: {require: [/grant]}
policy: {withdraw_days: 3, stop: [seat(league.teacher)]}
cc: [seat(fed.chair)]
send_back: {targets: [start, head], max: 9}
close_out:
  after: /day
  due: 2bd
  form:
    required: [people]
    properties:
      people: {type: integer, minimum: 0, maximum: 20000, x-title: {zh: 人数, en: People}}
`

const toHangzhou = `{"title":"访问兄弟高校","day":"2026-11-20"}`

func withTrip(t *testing.T, db *store.DB) (*fed, id.ID) {
	f := newFed(t, db)
	if _, err := f.svc.Publish(bg, by("hejing"), workflow.PublishInput{Source: trip, Understaffed: true, IdempotencyKey: f.key()}); err != nil {
		t.Fatal(err)
	}
	return f, f.submit("ling", "liaison.trip", "liaison", toHangzhou)
}

var bg = context.Background()

func (f *fed) grant(request id.ID) {
	f.t.Helper()
	x := f.task("hejing", request)
	_, err := f.svc.Decide(bg, by("hejing"), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: x.FormRev, Fields: map[string]any{"grant": 500}, IdempotencyKey: f.key()})
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestTransferMovesTheTaskBetweenInboxes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, req := withTrip(t, db)
		x := f.task("shenyue", req)
		hand := func(who, to string) error {
			_, err := f.svc.Transfer(bg, by(who), workflow.TransferInput{Task: x.Task, To: named(to), Comment: "请你看看", IdempotencyKey: f.key()})
			return err
		}
		if err := hand("mech", "guchen"); !fault.Is(err, fault.NotFound) {
			t.Fatalf("a stranger learns of the task: %v", err)
		}
		denied(t, hand("shenyue", "nobody"), "NO_SEAT")
		refused[*workflow.WhoCan](t, hand("shenyue", "ling"), "SELF_APPROVAL")
		if err := hand("shenyue", "guchen"); err != nil {
			t.Fatal(err)
		}
		f.idle("shenyue", req)
		f.approve(req, "guchen")
		f.task("hejing", req)
		if n := len(f.events(workflow.TopicOpened, req)); n != 4 { // 沈悦, 顾晨, the two of the office
			t.Errorf("%d people were told of their tasks", n)
		}
		f.sound(req)
	})
}

func TestSignersAreHeardFirst(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, req := withTrip(t, db)
		x := f.task("shenyue", req)
		in := workflow.AddSignersInput{Task: x.Task, Place: flow.Before, People: []id.ID{named("luyuan")}, IdempotencyKey: f.key()}
		if _, err := f.svc.AddSigners(bg, by("shenyue"), in); err != nil {
			t.Fatal(err)
		}
		f.idle("shenyue", req)
		f.approve(req, "luyuan", "shenyue")
		f.task("hejing", req)
		f.sound(req)
	})
}

func TestUndoPutsTheTaskBack(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, req := withTrip(t, db)
		task := f.task("shenyue", req).Task
		f.approve(req, "shenyue")
		if _, err := f.svc.Undo(bg, by("shenyue"), workflow.UndoInput{Task: task, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		f.idle("hejing", req)
		again := f.task("shenyue", req).Task
		f.approve(req, "shenyue")
		f.clock.Advance(11 * time.Minute)
		_, err := f.svc.Undo(bg, by("shenyue"), workflow.UndoInput{Task: again, IdempotencyKey: f.key()})
		denied(t, err, "UNDO_TOO_LATE")
		f.sound(req)
	})
}

func TestPaperDecisionIsEnteredByTheOfficeAndCanBeDisowned(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, req := withTrip(t, db)
		if _, err := f.svc.RecordPaper(bg, by("hejing"), workflow.PaperInput{Task: f.task("shenyue", req).Task, Verdict: workflow.Approve, FormRev: 1,
			Scan: named("not there"), IdempotencyKey: f.key()}); !fault.IsRule(err, "FILE") {
			t.Fatalf("a scan that is not there is taken: %v", err)
		}
		f.svc.Files = anyFile{}
		x := f.task("shenyue", req)
		record := func(who string, scan id.ID) error {
			_, err := f.svc.RecordPaper(bg, by(who), workflow.PaperInput{Task: x.Task, Verdict: workflow.Approve, FormRev: 1, Scan: scan, ScanSHA256: strings.Repeat("a", 64), IdempotencyKey: f.key()})
			return err
		}
		denied(t, record("hejing", id.Nil), "SCAN_NEEDED")
		if err := record("ling", named("scan")); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("the requester enters a paper: %v", err)
		}
		if err := record("hejing", named("scan")); err != nil {
			t.Fatal(err)
		}
		if n := len(f.events(workflow.TopicRecorded, req)); n != 1 {
			t.Errorf("the decider was told %d times", n)
		}
		var scan, door string
		if err := db.R.NewRaw(`SELECT scan, door FROM decision WHERE request_id = ?`, req).Scan(bg, &scan, &door); err != nil || scan != named("scan").TypeID("fil") || door != "paper" {
			t.Fatalf("%q %q %v", scan, door, err)
		}
		if _, err := f.svc.Disown(bg, by("shenyue"), workflow.UndoInput{Task: x.Task, Comment: "不是我签的", IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		f.task("shenyue", req)
		f.sound(req)
	})
}

func TestCopiedPeopleMayReadAndOthersMayNot(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, req := withTrip(t, db)
		if len(f.events(workflow.TopicCopied, req)) != 1 {
			t.Error("the definition's cc was not told")
		}
		if ok, _ := f.svc.MayRead(bg, by("pan"), req); ok {
			t.Fatal("a stranger may read")
		}
		if _, err := f.svc.Copy(bg, by("ling"), workflow.CopyInput{Request: req, People: []id.ID{named("pan")}, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		f.view("pan", req)
		list, _, err := f.svc.Requests(bg, by("pan"), workflow.Filter{}, store.Page{First: 10})
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v %v", list, err)
		}
		if list, _, _ := f.svc.Requests(bg, by("mech"), workflow.Filter{}, store.Page{First: 10}); len(list) != 0 {
			t.Fatalf("a stranger lists %+v", list)
		}
	})
}

// From approval to its end: granted by the office, amended, superseded, stopped.
func TestAmendedRequestSupersedesAndIsStopped(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, req := withTrip(t, db)
		f.approve(req, "shenyue")
		x := f.task("hejing", req)
		_, err := f.svc.Decide(bg, by("hejing"), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: 1, IdempotencyKey: f.key()})
		refused[*workflow.FieldsOf](t, err, "FIELD_REQUIRED")
		f.grant(req)
		f.status(req, flow.Approved)

		amend := func(form string) (workflow.Outcome, error) {
			return f.svc.Amend(bg, by("ling"), workflow.AmendInput{Request: req, Form: jsonForm(t, form), IdempotencyKey: f.key()})
		}
		out, err := amend(`{"title":"访问兄弟高校","day":"2026-11-27","grant":500}`)
		if err != nil {
			t.Fatal(err)
		}
		_, err = amend(`{"title":"x","day":"2026-11-28"}`)
		if d := refused[*workflow.AmendedAlready](t, err, "AMENDED_ALREADY"); d.Request != out.Request {
			t.Fatalf("%+v", d)
		}
		f.idle("shenyue", out.Request) // the title is as it was
		f.status(req, flow.Approved)
		f.grant(out.Request)
		f.status(out.Request, flow.Approved)
		if n := len(f.events(workflow.TopicAmended, out.Request)); n != 1 {
			t.Fatalf("%d events", n)
		}
		f.rings()
		f.status(req, flow.Superseded)

		_, err = f.svc.Stop(bg, by("ling"), workflow.StopInput{Request: out.Request, Comment: "改主意了", IdempotencyKey: f.key()})
		refused[*workflow.WhoCan](t, err, "NOT_STOPPABLE")
		if _, err := f.svc.Stop(bg, by("liu"), workflow.StopInput{Request: out.Request, Comment: "当天有重要会议", IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		f.status(out.Request, flow.Stopped)
		if n := len(f.events(workflow.TopicStopped, out.Request)); n != 5 { // 凌, 沈悦, 何静, the deputy, the chair
			t.Errorf("%d people were told", n)
		}
		f.sound(req)
		f.sound(out.Request)
	})
}

// Who owes a report is reminded, then kept from the next thing of the kind.
func TestReportIsOwedBeforeTheNextThing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, req := withTrip(t, db)
		f.approve(req, "shenyue")
		f.grant(req)
		f.clock.Advance(45 * 24 * time.Hour)
		_, err := f.svc.Submit(bg, by("ling"), workflow.SubmitInput{Definition: "liaison.trip", Unit: "liaison", Form: jsonForm(t, toHangzhou), IdempotencyKey: f.key()})
		denied(t, err, "OWES_CLOSE_OUT")
		report := func(form string) error {
			_, err := f.svc.CloseOut(bg, by("ling"), workflow.CloseOutInput{Request: req, Form: jsonForm(t, form), IdempotencyKey: f.key()})
			return err
		}
		refused[*workflow.FormProblems](t, report(`{"people":-1}`), "FORM_INVALID")
		if err := report(`{"people":12}`); err != nil {
			t.Fatal(err)
		}
		f.submit("ling", "liaison.trip", "liaison", toHangzhou)
		f.sound(req)
	})
}

func TestBulkDecisionsAreJudgedOneByOne(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, one := withTrip(t, db)
		two := f.submit("ling", "liaison.trip", "liaison", toHangzhou)
		stale := f.task("shenyue", two)
		list := []workflow.DecideInput{
			{Task: f.task("shenyue", one).Task, Verdict: workflow.Approve, FormRev: 1, IdempotencyKey: f.key()},
			{Task: stale.Task, Verdict: workflow.Approve, FormRev: 7, IdempotencyKey: f.key()},
			{Task: named("no such task"), Verdict: workflow.Approve, FormRev: 1, IdempotencyKey: f.key()},
		}
		out, err := f.svc.DecideMany(bg, by("shenyue"), list)
		if err != nil || out[0].Err != nil || !fault.IsRule(out[1].Err, "STALE_FORM") || !fault.Is(out[2].Err, fault.NotFound) {
			t.Fatalf("%+v %v", out, err)
		}
		f.task("hejing", one)
		f.task("shenyue", two)
	})
}

// denied demands a rule's refusal that says all in its text.
func denied(t *testing.T, err error, reason string) {
	t.Helper()
	if e, ok := fault.As(err); !ok || e.Reason != reason || e.Zh == "" || e.En == "" {
		t.Fatalf("got %v, want the refusal %s", err, reason)
	}
}

// Who is named in the form, and whose unit it concerns, decides nothing.
func TestInterestKeepsPeopleOut(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		src := strings.NewReplacer("  required: [title, day]", "  required: [title, day, guest, visited]",
			"flow:\n", `    guest: {type: string, maxLength: 40, x-title: {zh: 客人, en: Guest}, x-ui: {kind: person}}
    visited: {type: string, maxLength: 60, x-title: {zh: 单位, en: Unit}, x-ui: {kind: unit}}
flow:
`, "[seat(office.head), seat(office.deputy)]", "[seat(office.head), seat(office.deputy), seat(publicity.head)]",
			"policy: {", "policy: {interest: [named, host], ").Replace(trip)
		_, err := f.svc.Publish(bg, by("hejing"), workflow.PublishInput{Source: src, Understaffed: true, IdempotencyKey: f.key()})
		if err != nil {
			t.Fatal(err)
		}
		req := f.submit("ling", "liaison.trip", "liaison", `{"title":"来访","day":"2026-11-20","visited":"publicity","guest":"`+named("odeputy").TypeID("per")+`"}`)
		f.approve(req, "shenyue")
		f.task("hejing", req)
		f.idle("odeputy", req)
		f.idle("pan", req)
	})
}
