package workflow_test

import (
	"context"
	"encoding/json"
	"slices"
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

// Steps 5 to 7 of the tour: the optical module.
func TestTourPurchase(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		ticket := outbox.Ref{Kind: "tkt", ID: named("ticket")}
		out, err := f.svc.Submit(ctx, by("zhouhang"), workflow.SubmitInput{Definition: "office.property", Form: jsonForm(t, at680),
			Refs: []outbox.Ref{ticket}, IdempotencyKey: "1"})
		if err != nil {
			t.Fatal(err)
		}
		req := out.Request
		if !slices.Equal(f.desk.asked, []string{"stock", "equipment_free"}) {
			t.Fatalf("the desks were asked %v", f.desk.asked)
		}
		f.decide("songlan", req, workflow.Approve, "没有库存")
		f.decide("hejing", req, workflow.Approve, "")
		old := f.task("guchen", req)
		f.decide("guchen", req, workflow.SendBack, "报价已过期")
		f.status(req, flow.Returned)
		v := f.view("zhouhang", req)
		if v.Back == nil || v.Back.Text != "报价已过期" || v.Back.By.Name != "guchen" || !v.Resubmit {
			t.Fatalf("what the requester sees: %+v", v.Back)
		}
		f.resubmit("zhouhang", req, 1, at860)

		v = f.view("hejing", req)
		keeper, office := decisionOf(v, "keeper", 1), decisionOf(v, "office", 1)
		if !keeper.Live || !keeper.Carried || keeper.Comment != "没有库存" || keeper.By.Name != "songlan" {
			t.Fatalf("the keeper's vote: %+v", keeper)
		}
		if office.Live || office.Why != flow.WhyChanged || !slices.Equal(office.Changed, []string{"/prices", "/quote", "/total"}) {
			t.Fatalf("the office's vote: %+v", office)
		}
		if c := v.Revisions[1].Changes; len(c) != 3 || c[0].Before != "[68000]" || c[0].After != "[86000]" || c[0].Title.Zh == "" {
			t.Fatalf("the diff: %+v", c)
		}
		f.idle("songlan", req)

		// The old page and the old task: what changed instead of a blind approval.
		_, err = f.svc.Decide(ctx, by("hejing"), workflow.DecideInput{Task: f.task("hejing", req).Task, Verdict: workflow.Approve, FormRev: 1})
		if d := refused[*workflow.StaleForm](t, err, "STALE_FORM"); d.Current != 2 || len(d.Changes) != 3 || d.Changes[2].After != "86000" {
			t.Fatalf("%+v", d)
		}
		_, err = f.svc.Decide(ctx, by("guchen"), workflow.DecideInput{Task: old.Task, Verdict: workflow.Approve, FormRev: 1})
		refused[*workflow.AlreadySettled](t, err, "ALREADY_SETTLED")

		f.approve(req, "hejing", "guchen")
		f.status(req, flow.Approved)
		if got := f.events(workflow.TopicApproved, req); len(got) != 2 || !strings.Contains(got[0], `"effect":"property.purchase"`) {
			t.Fatalf("effects: %v", got)
		}
		form, meta, err := f.svc.FormOf(ctx, db.R, req)
		if err != nil || form["total"] != int64(86000) || meta.Number != "科联购〔2026〕第0001号" || meta.Status != flow.Approved {
			t.Fatalf("%v %+v %v", form, meta, err)
		}
		nodes, edges, _, err := outbox.Trace(ctx, db, ticket)
		if err != nil || len(nodes) != 2+5 || len(edges) != 1+5 { // ticket, request, five decisions that somebody made
			t.Fatalf("the trace: %v %v %v", nodes, edges, err)
		}
		f.sound(req)
	})
}

// decisionOf is the decision of a step's round.
func decisionOf(v workflow.View, step string, round int) workflow.DecisionView {
	for _, s := range v.Steps {
		for _, x := range s.Tasks {
			if s.Name == step && x.Round == round && x.Decision != nil {
				return *x.Decision
			}
		}
	}
	return workflow.DecisionView{}
}

// Step 6: the requester and an outsider are refused, with the rule and who can;
// nobody who may not see the request learns that there is one.
func TestRefusalsNameTheRuleAndWhoCan(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		req := f.submit("zhouhang", "office.property", "", at680)
		task := f.task("songlan", req).Task
		for who, code := range map[string]string{"zhouhang": "SELF_APPROVAL", "luyuan": "NOT_YOUR_TASK"} {
			_, err := f.svc.Decide(ctx, by(who), workflow.DecideInput{Task: task, Verdict: workflow.Approve, FormRev: 1})
			d := refused[*workflow.WhoCan](t, err, code)
			e, _ := fault.As(err)
			if len(d.People) != 1 || d.People[0] != (workflow.PersonSeat{Person: named("songlan"), Seat: "office.keeper"}) || !strings.HasSuffix(e.Zh, "：办公室物资管理员") {
				t.Fatalf("%s is told %+v: %s", who, d, e.Zh)
			}
		}
		for name, err := range map[string]error{
			"decide": errOf(f.svc.Decide(ctx, by("aichair"), workflow.DecideInput{Task: task, Verdict: workflow.Approve, FormRev: 1})),
			"read":   errOf(f.svc.Request(ctx, by("aichair"), req)),
			"edit":   errOf(f.svc.Withdraw(ctx, by("aichair"), workflow.WithdrawInput{Request: req})),
			"absent": errOf(f.svc.Request(ctx, by("hejing"), named("nothing"))),
			"print":  errOf(f.svc.PrintModel(ctx, by("aichair"), req)),
		} {
			if !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err := f.svc.Withdraw(ctx, by("songlan"), workflow.WithdrawInput{Request: req})
		if !fault.IsRule(err, "NOT_REQUESTER") {
			t.Fatalf("somebody else withdraws: %v", err)
		}
		f.status(req, flow.Open)
		f.sound(req)
	})
}

func errOf[T any](_ T, err error) error { return err }

// Step 11 of the tour: a society's open day, sent back once by the college.
func TestTourActivity(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		last := f.submit("ayinuer", "supervision.activity", "society.robotics", open15)
		draft, err := f.svc.Clone(ctx, by("ayinuer"), last)
		if err != nil || draft.Unit != "society.robotics" || !strings.Contains(string(draft.Form), "机器人开放日") {
			t.Fatalf("%+v %v", draft, err)
		}
		req := f.submit("ayinuer", draft.Definition, draft.Unit, string(draft.Form))
		token := f.link("han", req)
		if _, err := f.svc.DecideByLink(ctx, stranger, workflow.LinkDecision{Token: token, Verdict: workflow.Approve}); err != nil {
			t.Fatal(err)
		}
		f.decide("mech", req, workflow.SendBack, "请写明场地")
		f.status(req, flow.Returned)
		f.resubmit("ayinuer", req, 1, strings.Replace(open15, "体育馆", "体育馆一层东厅", 1))
		f.approve(req, "han", "mech", "luyuan", "suhead", "liu")
		f.status(req, flow.Approved)
		if got := f.events(workflow.TopicApproved, req); len(got) != 1 {
			t.Fatalf("effects: %v", got)
		}
		f.sound(req)

		// Another society and another college see neither the request nor that it is there.
		for _, who := range []string{"aichair", "cshead", "zhouhang"} {
			if _, err := f.svc.Request(ctx, by(who), req); !fault.Is(err, fault.NotFound) {
				t.Errorf("%s: %v", who, err)
			}
			if list, _, err := f.svc.Requests(ctx, by(who), workflow.Filter{}, store.Page{First: 10}); err != nil || len(list) != 0 {
				t.Errorf("%s lists %v, %v", who, list, err)
			}
		}
		for _, who := range []string{"ayinuer", "han", "luyuan", "liu", "ldeputy", "chair"} {
			list, more, err := f.svc.Requests(ctx, by(who), workflow.Filter{Text: "开放"}, store.Page{First: 1})
			if err != nil || len(list) != 1 || !more {
				t.Errorf("%s lists %v, %v, %v", who, list, more, err)
			}
		}

		p, err := f.svc.PrintModel(ctx, by("ayinuer"), req)
		if err != nil || len(p.Boxes) != 5 || p.Number != "科联审〔2026〕第0002号" {
			t.Fatalf("%+v %v", p, err)
		}
		for _, b := range p.Boxes {
			if !b.Done || len(b.Signs) != 1 || b.Signs[0].By.Name == "" || b.Signs[0].At.IsZero() {
				t.Errorf("the box %s: %+v", b.Step, b)
			}
		}
		got, err := f.svc.VerifyCode(ctx, " "+strings.ToUpper(p.VerifyCode))
		if err != nil || got.Number != p.Number || got.Status != flow.Approved {
			t.Fatalf("%+v %v", got, err)
		}
		shown, _ := json.Marshal(got)
		for _, personal := range []string{"ayinuer", named("ayinuer").String(), "开放日"} {
			if strings.Contains(string(shown), personal) {
				t.Errorf("the public page shows %s", personal)
			}
		}
	})
}

// link gives the token that was sent to somebody about the request.
func (f *fed) link(who string, request id.ID) string {
	f.t.Helper()
	var token string
	task := f.task(who, request).Task
	f.inTx(func(ctx context.Context, tx *store.Tx) error {
		l, ok, err := f.svc.IssueLink(ctx, tx, task)
		if err == nil && !ok {
			f.t.Fatalf("the task of %s has no link", who)
		}
		token = l.Token
		return err
	})
	return token
}
