package workflow_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/internal/testkit/linear"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// crowd are sixteen people who are asked at once.
var crowd = []string{"songlan", "hejing", "odeputy", "guchen", "chair", "luyuan", "suhead", "pan", "shenyue", "techhead", "liu", "ldeputy", "han", "mech", "aichair", "cshead"}

const crowdForm = `{"title":"%s"}`

func crowdYAML() string {
	var ask []string
	for _, name := range crowd {
		ask = append(ask, "seat("+cast[name][0]+")")
	}
	return `key: liaison.crowd
unit: liaison
title: {zh: 会签, en: Countersigned}
about: {zh: 示例, en: An example}
form:
  required: [title]
  properties:
    title: {type: string, maxLength: 40, x-title: {zh: 标题, en: Title}}
flow:
  - step: heads
    title: {zh: 会签, en: All heads}
    ask: [` + strings.Join(ask, ", ") + `]
    rule: all
policy: {not_requester: true}
send_back: {targets: [start], max: 9}
`
}

// crowded is a request before the sixteen, with what all of them do recorded.
type crowded struct {
	*fed
	request id.ID
	history *linear.Recorder
	keys    atomic.Int64
	stale   atomic.Int64
}

func newCrowd(t *testing.T, db *store.DB) *crowded {
	f := newFed(t, db)
	f.publish(crowdYAML())
	return &crowded{fed: f, request: f.submit("ling", "liaison.crowd", "liaison", fmt.Sprintf(crowdForm, "1")), history: linear.NewRecorder()}
}

func (c *crowded) next() string { return fmt.Sprint("crowd ", c.keys.Add(1)) }

// result is how a command was answered.
func result(out workflow.Outcome, err error) linear.Result {
	if err == nil {
		return linear.Result{Status: out.Status, FormRev: out.FormRev}
	}
	if e, ok := fault.As(err); ok && e.Reason != "" {
		return linear.Result{Code: e.Reason}
	}
	return linear.Result{Code: err.Error()}
}

// approves lets somebody approve what the inbox shows until nothing is there,
// each command sent twice under its key.
func (c *crowded) approves(client int, who string) error {
	for {
		items, _, err := c.svc.Inbox(bg, by(who), store.Page{First: 10})
		if err != nil || len(items) == 0 {
			return err
		}
		in := workflow.DecideInput{Task: items[0].Task, Verdict: workflow.Approve, FormRev: items[0].FormRev, IdempotencyKey: c.next()}
		op := linear.Op{Request: "the request", By: named(who).String(), Kind: linear.Decide, Task: in.Task.String(), Verdict: flow.Approve, FormRev: in.FormRev}
		out, _ := c.history.Do(client, op, func() (linear.Result, bool) {
			answer, refusal := c.svc.Decide(bg, by(who), in)
			if e, ok := fault.As(refusal); ok && e.Reason == string(flow.StaleForm) && !diff(e.Detail) {
				err = fmt.Errorf("%s is not told what changed: %+v", who, e.Detail)
			}
			first := result(answer, refusal)
			if again := result(c.svc.Decide(bg, by(who), in)); first.Code == "" && !sameResult(again, first) {
				err = fmt.Errorf("%s was answered %+v and then %+v", who, first, again)
			}
			return first, true
		})
		if out.Code == string(flow.StaleForm) {
			c.stale.Add(1)
		} else if out.Code != "" && out.Code != string(flow.AlreadySettled) {
			return fmt.Errorf("%s was refused: %s", who, out.Code)
		}
		if err != nil {
			return err
		}
	}
}

// diff says that the detail of STALE_FORM shows the title before and after.
func diff(detail any) bool {
	d, ok := detail.(*workflow.StaleForm)
	return ok && len(d.Changes) == 1 && d.Changes[0].Pointer == "/title" && d.Changes[0].Before != d.Changes[0].After
}

func sameResult(a, b linear.Result) bool {
	return a.Code == b.Code && a.Status == b.Status && a.FormRev == b.FormRev
}

// edits changes the form so many times, as the requester.
func (c *crowded) edits(client, n int) error {
	for rev := 1; rev <= n; rev++ {
		form := fmt.Sprintf(crowdForm, fmt.Sprint(rev+1))
		op := linear.Op{Request: "the request", By: named("ling").String(), Kind: linear.Resubmit, FormRev: rev, Form: form}
		out, _ := c.history.Do(client, op, func() (linear.Result, bool) {
			return result(c.svc.Resubmit(bg, by("ling"), workflow.ResubmitInput{Request: c.request, Form: jsonForm(c.t, form), FormRev: rev, IdempotencyKey: c.next()})), true
		})
		if out.Code != "" && out.Code != string(flow.AlreadySettled) {
			return fmt.Errorf("the edit of revision %d was refused: %s", rev, out.Code)
		}
		c.reads(client)
	}
	return nil
}

// reads looks at the request as its requester.
func (c *crowded) reads(client int) {
	c.history.Do(client, linear.Op{Request: "the request", By: named("ling").String(), Kind: linear.Read}, func() (linear.Result, bool) {
		v, err := c.svc.Request(bg, by("ling"), c.request)
		if err != nil {
			return linear.Result{Code: err.Error()}, true
		}
		out := linear.Result{Status: v.Status, FormRev: v.FormRev}
		var tasks []workflow.TaskView
		for _, s := range v.Steps {
			tasks = append(tasks, s.Tasks...)
		}
		for _, x := range tasks {
			out.Tasks = append(out.Tasks, linear.Seen("heads", x.Who.Person.String(), x.State))
		}
		return out, true
	})
}

// judged demands an order that explains all answers.
func (c *crowded) judged() {
	c.t.Helper()
	def, err := workflow.Load([]byte(crowdYAML()), known)
	if err != nil {
		c.t.Fatal(err)
	}
	w := linear.World{Def: def.Flow, Electors: map[string][]flow.Elector{}, By: named("ling").String(), Form: fmt.Sprintf(crowdForm, "1"), Tasks: map[string]string{}}
	for _, name := range crowd {
		w.Electors["heads"] = append(w.Electors["heads"], flow.Elector{Person: named(name).String(), Seat: cast[name][0]})
	}
	var rows []struct {
		ID   id.ID
		Name string
	}
	if err := c.db.R.NewRaw(`SELECT id, name FROM task WHERE request_id = ?`, c.request).Scan(bg, &rows); err != nil {
		c.t.Fatal(err)
	}
	for _, r := range rows {
		w.Tasks[r.ID.String()] = r.Name
	}
	if err := w.Judge(c.history); err != nil {
		c.t.Fatal(err)
	}
}

// Sixteen people approve while the requester goes on editing: each vote that
// was acknowledged counts until an edit takes it out, an approval of an old
// form is refused, and one order explains every answer.
func TestACrowdOnOneRequestLosesNothing(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		c := newCrowd(t, db)
		errs := make([]error, len(crowd)+1)
		var wg sync.WaitGroup
		for i, who := range crowd {
			wg.Go(func() { errs[i] = c.approves(i, who) })
		}
		wg.Go(func() { errs[len(crowd)] = c.edits(len(crowd), 3) })
		wg.Wait()
		for i, who := range crowd { // an edit may have come after somebody's last look
			if err := c.approves(i, who); err != nil {
				t.Error(err)
			}
		}
		c.reads(0)
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		c.status(c.request, flow.Approved)
		var live int
		for _, s := range c.view("ling", c.request).Steps {
			for _, x := range s.Tasks {
				if x.Decision != nil && x.Decision.Live {
					live++
				}
			}
		}
		if live != len(crowd) {
			t.Errorf("%d votes carry the approval, want %d", live, len(crowd))
		}
		c.sound(c.request)
		c.judged()
		t.Logf("%d approvals of an old form were refused", c.stale.Load())
	})
}
