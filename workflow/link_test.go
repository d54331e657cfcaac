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
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

var stranger = org.Stranger("zh", "203.0.113.7")

func (f *fed) byLink(token string, v workflow.Verdict, comment string) error {
	_, err := f.svc.DecideByLink(context.Background(), stranger, workflow.LinkDecision{Token: token, Verdict: v, Comment: comment})
	return err
}

func (f *fed) linkState(token string) workflow.LinkView {
	f.t.Helper()
	v, err := f.svc.Link(context.Background(), token)
	if err != nil {
		f.t.Fatal(err)
	}
	return v
}

// A link is one task, one person, one revision, one use; opening it changes
// nothing, and what no longer works says why.
func TestLinkMisuseChangesNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		req := f.submit("ayinuer", "supervision.activity", "society.robotics", open15)
		token := f.link("han", req)
		if again := f.link("han", req); again != token {
			t.Fatal("the link sent again is another one")
		}
		var kept string
		if err := db.R.NewRaw(`SELECT hash FROM decision_link`).Scan(ctx, &kept); err != nil || strings.Contains(kept, token) {
			t.Fatalf("the token stands in the database: %v", err)
		}
		before := f.sound(req).Events
		for range 3 {
			v := f.linkState(token)
			if v.State != workflow.LinkOpen || v.View == nil || v.View.Title != "机器人开放日" || v.Name != "han" {
				t.Fatalf("%+v", v)
			}
		}
		if n := f.sound(req).Events; n != before {
			t.Fatalf("looking made events: %d", n-before)
		}
		_, err := f.svc.DecideByLink(ctx, by("zhouhang"), workflow.LinkDecision{Token: token, Verdict: workflow.Approve})
		if !fault.IsRule(err, "LINK_FORWARDED") {
			t.Fatalf("forwarded: %v", err)
		}
		if _, err := f.svc.Link(ctx, token+"x"); !fault.Is(err, fault.NotFound) {
			t.Fatalf("an invented link: %v", err)
		}

		// The form changes under it.
		f.resubmit("ayinuer", req, 1, strings.Replace(open15, "体育馆", "图书馆", 1))
		if v := f.linkState(token); v.State != workflow.LinkStale || len(v.Changes) != 1 || v.Changes[0].Before != `"体育馆"` || v.View != nil {
			t.Fatalf("%+v", v)
		}
		if told := f.events(workflow.TopicOpened, req); len(told) != 2 || !strings.Contains(told[1], `"changed":true`) {
			t.Fatalf("nobody is told of the new form: %v", told)
		}
		err = f.byLink(token, workflow.Approve, "")
		if d := refused[*workflow.StaleForm](t, err, "STALE_FORM"); len(d.Changes) != 1 || d.Changes[0].Pointer != "/place" {
			t.Fatalf("%+v", d)
		}

		// The new link works once.
		fresh := f.link("han", req)
		if fresh == token {
			t.Fatal("a new revision has the old link")
		}
		in := workflow.LinkDecision{Token: fresh, Verdict: workflow.Approve, IdempotencyKey: "0123456789abcdef0123456789abcdef"}
		first, err := f.svc.DecideByLink(ctx, stranger, in)
		if err != nil {
			t.Fatal(err)
		}
		if replay, err := f.svc.DecideByLink(ctx, stranger, in); err != nil || replay != first {
			t.Fatalf("sent twice: %+v %v", replay, err)
		}
		refused[*workflow.AlreadySettled](t, f.byLink(fresh, workflow.Reject, "不同意"), "ALREADY_SETTLED")
		if v := f.linkState(fresh); v.State != workflow.LinkUsed || v.SettledAt.IsZero() || v.View != nil {
			t.Fatalf("%+v", v)
		}
		f.status(req, flow.Open)

		// Expired, and of somebody who left the seat.
		late := f.link("mech", req)
		f.inTx(func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`UPDATE tenure SET until_at = ? WHERE person_id = ?`, f.clock.Now().Add(time.Hour), named("mech"))
			return nil
		})
		f.clock.Advance(2 * time.Hour)
		refused[*workflow.WhoCan](t, f.byLink(late, workflow.Approve, ""), "SEAT_ENDED")
		f.clock.Advance(workflow.LinkLife)
		if err := f.byLink(late, workflow.Approve, ""); !fault.IsRule(err, "LINK_EXPIRED") {
			t.Fatalf("expired: %v", err)
		}
		if v := f.linkState(late); v.State != workflow.LinkExpired {
			t.Fatalf("%+v", v)
		}
		f.sound(req)
	})
}

// A step that is not decided by link issues none.
func TestNoLinkWhereTheDefinitionHasNone(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := newFed(t, db)
		req := f.submit("zhouhang", "office.property", "", at680)
		task := f.task("songlan", req).Task
		f.inTx(func(ctx context.Context, tx *store.Tx) error {
			if l, ok, err := f.svc.IssueLink(ctx, tx, task); ok || err != nil {
				t.Fatalf("%+v %v", l, err)
			}
			return nil
		})
	})
}

// A strong step needs the code that is mailed; it is tried five times at most.
func TestStrongLinkNeedsItsCode(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(smallYAML)
		req := f.submit("zhouhang", "office.small", "", smallForm)
		f.approve(req, "songlan")
		token := f.link("liu", req)
		if err := f.byLink(token, workflow.Approve, ""); !fault.IsRule(err, "NEEDS_PROOF") {
			t.Fatalf("without a code: %v", err)
		}
		if _, err := f.svc.RequestCode(ctx, token); err != nil {
			t.Fatal(err)
		}
		if _, err := f.svc.RequestCode(ctx, token); !fault.IsRule(err, "CODE_NOT_SENT") {
			t.Fatalf("a second code at once: %v", err)
		}
		code := f.code()
		try := func(code string) error {
			_, err := f.svc.DecideByLink(ctx, stranger, workflow.LinkDecision{Token: token, Verdict: workflow.Approve, Code: code})
			return err
		}
		for range workflow.CodeMax {
			if err := try("no code"); !fault.IsRule(err, "WRONG_CODE") {
				t.Fatalf("a wrong code: %v", err)
			}
		}
		if err := try(code); !fault.IsRule(err, "WRONG_CODE") {
			t.Fatalf("the right code after too many tries: %v", err)
		}
		f.clock.Advance(workflow.CodePause)
		if _, err := f.svc.RequestCode(ctx, token); err != nil {
			t.Fatal(err)
		}
		if fresh := f.code(); fresh == code {
			t.Fatal("the same code again")
		} else if err := try(fresh); err != nil {
			t.Fatal(err)
		}
		f.status(req, flow.Approved)
		f.sound(req)
	})
}

// code is what would be mailed for the newest link.
func (f *fed) code() (code string) {
	f.t.Helper()
	f.inTx(func(ctx context.Context, tx *store.Tx) error {
		var link id.ID
		if err := tx.NewRaw(`SELECT id FROM decision_link ORDER BY issued_at DESC LIMIT 1`).Scan(ctx, &link); err != nil {
			return err
		}
		person, c, ok, err := f.svc.CodeFor(ctx, tx, link)
		if err == nil && (!ok || person != named("liu")) {
			f.t.Fatalf("the code goes to %s, %v", person, ok)
		}
		code = c
		return err
	})
	return code
}

// smallYAML is a definition with what the built-in ones do not use together: a
// hidden field, personal values, a strong link, short deadlines.
const smallYAML = `key: office.small
unit: office
title: {zh: 小额申请, en: Small request}
about: {zh: 测试用。, en: For tests.}
form:
  required: [what, cost, phone]
  properties:
    what: {type: string, minLength: 1, maxLength: 200, x-title: {zh: 事项, en: What}}
    cost: {type: integer, minimum: 0, maximum: 1000000, x-title: {zh: 金额, en: Cost}}
    phone:
      type: string
      maxLength: 20
      x-title: {zh: 电话, en: Phone}
      x-personal: {purpose: {zh: 联系申请人, en: reaching the requester}, retention: 30d}
flow:
  - step: keeper
    title: {zh: 管理员, en: Keeper}
    ask: seat(office.keeper)
    reads: [/what]
    fields: {hide: [/cost]}
    due: 60m
    on_due: {remind: [50%], then: escalate(office.head)}
  - when: cost > 0
    do:
      - step: teacher
        title: {zh: 团委老师, en: Teacher}
        ask: seat(league.teacher)
        due: 90m
        on_due: {then: remind}
        link: true
        strong: true
send_back: {targets: [start, keeper], mode: return_to_me, max: 9}
policy: {empty: fed.chair}
`

const smallForm = `{"what":"网线","cost":500,"phone":"13800138000"}`

func (f *fed) publish(source string) workflow.Published {
	f.t.Helper()
	p, err := f.svc.Publish(context.Background(), by("hejing"), workflow.PublishInput{Source: source, Understaffed: true, IdempotencyKey: f.key()})
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}
