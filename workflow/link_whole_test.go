package workflow_test

import (
	"testing"
	"time"

	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// linkedYAML asks by link whatever a step can ask: points, fields, an
// objection, a second proof.
const linkedYAML = `key: office.linked
unit: office
title: {zh: 全凭链接, en: All by link}
about: {zh: 测试用。, en: For tests.}
form:
  required: [what]
  properties:
    what: {type: string, maxLength: 200, x-title: {zh: 事项, en: What}}
    grant: {type: integer, minimum: 0, maximum: 1000, x-title: {zh: 核定, en: Granted}}
flow:
  - step: jury
    title: {zh: 评委, en: Jury}
    ask: [seat(office.keeper), seat(liaison.head)]
    rule: {pass: 2 of n, score: {max: 10, mean: 5}}
    reads: [/what]
    link: true
  - step: money
    title: {zh: 核定, en: Grant}
    ask: seat(office.head)
    fields: {require: [/grant]}
    link: true
  - step: teacher
    title: {zh: 团委老师, en: Teacher}
    ask: seat(league.teacher)
    link: true
    strong: true
  - step: notice
    title: {zh: 公示, en: Notice}
    ask: [seat(supervision.head), seat(publicity.head)]
    rule: objection
    due: 1bd
    on_due: {then: pass}
    send_back: [start]
    link: true
send_back: {targets: [start], max: 9}
policy: {empty: fed.chair}
`

// What a step asks of its decider is asked by link, too, with the same
// refusals.
func TestALinkTakesAWholeAnswer(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.publish(linkedYAML)
		req := f.submit("zhouhang", "office.linked", "", `{"what":"网线"}`)
		say := func(who string, in workflow.LinkDecision) error {
			in.Token = f.link(who, req)
			_, err := f.svc.DecideByLink(bg, stranger, in)
			f.clock.Advance(time.Minute)
			return err
		}
		yes := workflow.LinkDecision{Verdict: workflow.Approve}
		if v := f.linkState(f.link("songlan", req)); v.View.Mine.Points != 10 {
			t.Fatalf("the link says %d points", v.View.Mine.Points)
		}
		denied(t, say("songlan", yes), "SCORE_NEEDED")
		for _, judge := range []string{"songlan", "shenyue"} {
			if err := say(judge, workflow.LinkDecision{Verdict: workflow.Approve, Score: new(8)}); err != nil {
				t.Fatal(err)
			}
		}

		if v := f.linkState(f.link("hejing", req)); len(v.Fill) != 1 || v.Fill[0] != (workflow.FillField{Pointer: "/grant", Required: true}) {
			t.Fatalf("%+v", v.Fill)
		}
		refused[*workflow.FieldsOf](t, say("hejing", yes), "FIELD_REQUIRED")
		filled := yes
		filled.Fields = map[string]any{"grant": 5000}
		refused[*workflow.FormProblems](t, say("hejing", filled), "FORM_INVALID")
		filled.Fields = map[string]any{"grant": 500, "what": "光模块"}
		refused[*workflow.FieldsOf](t, say("hejing", filled), "FIELD_FIXED")
		filled.Fields = map[string]any{"grant": 500}
		if err := say("hejing", filled); err != nil {
			t.Fatal(err)
		}
		if v := f.view("zhouhang", req); string(v.Form) != `{"grant":500,"what":"网线"}` {
			t.Fatalf("%s", v.Form)
		}
		f.approve(req, "liu")
		if v := f.linkState(f.link("pan", req)); !v.Objection {
			t.Fatal("the link does not say that one only objects")
		}
		denied(t, say("pan", yes), "OBJECTION_ONLY")
		if err := say("pan", workflow.LinkDecision{Verdict: workflow.SendBack, Comment: "图不对"}); err != nil {
			t.Fatal(err)
		}
		f.status(req, flow.Returned)
		f.sound(req)
	})
}

// Who decided by link takes it back by the same link, for as long as others
// may, with the code where the decision needed one.
func TestALinkTakesItsAnswerBack(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		f.publish(linkedYAML)
		req := f.submit("zhouhang", "office.linked", "", `{"what":"网线"}`)
		undo := func(token, code string) error {
			_, err := f.svc.UndoByLink(bg, stranger, workflow.LinkUndo{Token: token, Code: code})
			return err
		}
		token := f.link("songlan", req)
		denied(t, undo(token, ""), "NOT_YOURS")
		if _, err := f.svc.DecideByLink(bg, stranger, workflow.LinkDecision{Token: token, Verdict: workflow.Reject, Comment: "不好", Score: new(1)}); err != nil {
			t.Fatal(err)
		}
		f.status(req, flow.Rejected) // nobody takes back what ended it
		if v := f.linkState(token); v.State != workflow.LinkUsed || !v.Undo.IsZero() {
			t.Fatalf("%s %s", v.State, v.Undo)
		}
		denied(t, undo(token, ""), "UNDO_TOO_LATE")

		req = f.submit("zhouhang", "office.linked", "", `{"what":"网线"}`)
		token = f.link("songlan", req)
		if _, err := f.svc.DecideByLink(bg, stranger, workflow.LinkDecision{Token: token, Verdict: workflow.Approve, Score: new(8)}); err != nil {
			t.Fatal(err)
		}
		if v := f.linkState(token); v.State != workflow.LinkUsed || v.Undo != f.clock.Now().Add(flow.UndoWithin) {
			t.Fatalf("%s %s", v.State, v.Undo)
		}
		_, err := f.svc.UndoByLink(bg, by("shenyue"), workflow.LinkUndo{Token: token})
		denied(t, err, "LINK_FORWARDED")
		told := len(f.events(workflow.TopicOpened, req))
		if err := undo(token, ""); err != nil {
			t.Fatal(err)
		}
		if v := f.linkState(token); v.State != workflow.LinkUndone || !v.Undo.IsZero() {
			t.Fatalf("%s %s", v.State, v.Undo)
		}
		if n := len(f.events(workflow.TopicOpened, req)); n != told+1 {
			t.Errorf("who is asked again is told %d times", n-told)
		}
		refused[*workflow.AlreadySettled](t, f.byLink(token, workflow.Approve, ""), "ALREADY_SETTLED")
		for _, judge := range []string{"songlan", "shenyue"} { // by the newer link
			token = f.link(judge, req)
			if _, err := f.svc.DecideByLink(bg, stranger, workflow.LinkDecision{Token: token, Verdict: workflow.Approve, Score: new(8)}); err != nil {
				t.Fatal(err)
			}
		}
		f.clock.Advance(11 * time.Minute)
		denied(t, undo(token, ""), "UNDO_TOO_LATE")

		x := f.task("hejing", req)
		if _, err := f.svc.Decide(bg, by("hejing"), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: 1, Fields: map[string]any{"grant": 1}, IdempotencyKey: f.key()}); err != nil {
			t.Fatal(err)
		}
		token = f.link("liu", req)
		coded := func() string {
			t.Helper()
			if _, err := f.svc.RequestCode(bg, token); err != nil {
				t.Fatal(err)
			}
			return f.code()
		}
		if _, err := f.svc.DecideByLink(bg, stranger, workflow.LinkDecision{Token: token, Verdict: workflow.Approve, Code: coded()}); err != nil {
			t.Fatal(err)
		}
		denied(t, undo(token, ""), "NEEDS_PROOF")
		f.clock.Advance(2 * time.Minute)
		if err := undo(token, coded()); err != nil {
			t.Fatal(err)
		}
		f.task("liu", req)
		f.sound(req)
	})
}
