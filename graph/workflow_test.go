package graph_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
)

const submit = `mutation($form:JSON!,$key:IdempotencyKey!){submitRequest(input:{workflow:"office.property",unit:"technical.information",form:$form,idempotencyKey:$key}){
	request{id number status formRev waiting{zh} steps{name state} tasks{id state person{name}}} userErrors{code message path}}}`

const decide = `mutation($task:ID!,$verdict:Verdict!,$rev:Int!,$comment:String,$key:IdempotencyKey!){
	decideTask(input:{task:$task,verdict:$verdict,formRev:$rev,comment:$comment,idempotencyKey:$key}){request{status decisions{verdict comment by{name}}}
	userErrors{__typename code message path ... on StaleForm{formRev changes{pointer before after}} ... on AlreadySettled{at by{name}}}}}`

const inbox = `query($first:Int,$after:String){inbox(first:$first,after:$after){edges{cursor node{id step title{zh} request{id number formRev}}} pageInfo{hasNextPage endCursor}}}`

const switches = `{"action":"buy","items":[{"name":"光模块","qty":1}],"prices":[%d],"total":%d,"quote":"甲公司"}`

// task is the id of the person's newest task.
func (w *world) task(login string) string {
	w.t.Helper()
	s, _ := w.good(login, inbox, nil).at("inbox", "edges", 0, "node", "id").(string)
	if s == "" {
		w.t.Fatalf("the inbox of %s is empty", login)
	}
	return s
}

func TestARequestIsMadeAndDecided(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		key := w.key()
		f := form(t, fmt.Sprintf(switches, 68000, 68000))
		a := w.good("zhouhang", submit, vars{"form": f, "key": key})
		req := a.at("submitRequest", "request")
		if a.at("submitRequest", "request", "status") != "OPEN" || a.at("submitRequest", "request", "tasks", 0, "person", "name") != "宋岚" ||
			a.at("submitRequest", "request", "waiting", "zh") != "等待“物资管理员查库存”：宋岚" {
			t.Fatal(a.Body)
		}
		again := w.good("zhouhang", submit, vars{"form": f, "key": key})
		if again.at("submitRequest", "request", "id") != a.at("submitRequest", "request", "id") {
			t.Errorf("the same key made two requests: %v", req)
		}
		if other := w.as("zhouhang", submit, vars{"form": form(t, fmt.Sprintf(switches, 1, 1)), "key": key}); other.code() != "CONFLICT" {
			t.Errorf("the same key with another input: %s", other.Body)
		}
		a = w.good("songlan", decide, vars{"task": w.task("songlan"), "verdict": "APPROVE", "rev": 1, "comment": "没有库存", "key": w.key()})
		if a.at("decideTask", "request", "decisions", 0, "by", "name") != "宋岚" || a.at("decideTask", "request", "decisions", 0, "comment") != "没有库存" {
			t.Fatal(a.Body)
		}
		if a := w.good("hejing", decide, vars{"task": w.task("hejing"), "verdict": "REJECT", "rev": 1, "key": w.key()}); a.at("decideTask", "userErrors", 0, "code") != "REASON_NEEDED" ||
			a.at("decideTask", "userErrors", 0, "path", 0) != "input" || a.at("decideTask", "userErrors", 0, "path", 1) != "comment" {
			t.Error(a.Body)
		}
		w.good("hejing", decide, vars{"task": w.task("hejing"), "verdict": "APPROVE", "rev": 1, "key": w.key()})
		a = w.good("guchen", decide, vars{"task": w.task("guchen"), "verdict": "APPROVE", "rev": 1, "key": w.key()})
		if a.at("decideTask", "request", "status") != "APPROVED" {
			t.Error(a.Body)
		}
	})
}

func TestWhatIsWrongWithAFormIsToldFieldByField(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	a := w.good("zhouhang", submit, vars{"form": vars{"action": "buy", "total": "x"}, "key": w.key()})
	paths := map[string]bool{}
	for i := range a.at("submitRequest", "userErrors").([]any) {
		paths[fmt.Sprint(a.at("submitRequest", "userErrors", i, "path"))] = true
	}
	if a.at("submitRequest", "request") != nil || !paths["[input form total]"] || !paths["[input form items]"] {
		t.Error(a.Body)
	}
	if a := w.as("zhouhang", submit, vars{"form": 7, "key": w.key()}); a.code() != "BAD_USER_INPUT" || fmt.Sprint(a.Errors[0].Extensions["path"]) != "[input form]" {
		t.Error(a.Body)
	}
	if a := w.as("zhouhang", decide, vars{"task": "req_01m87hnjk8fszb915vnqyrq25j", "verdict": "APPROVE", "rev": 1, "key": w.key()}); a.code() != "BAD_USER_INPUT" || fmt.Sprint(a.Errors[0].Extensions["path"]) != "[input task]" {
		t.Error(a.Body)
	}
}

func TestAVoteOnAnOldFormIsStale(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	req := w.purchase("zhouhang", "光模块", 68000)
	w.decide("songlan", req, workflow.Approve, "")
	task := w.task("hejing")
	if _, err := w.workflow.Resubmit(bg, w.actor("zhouhang"), workflow.ResubmitInput{Request: req, Form: form(t, fmt.Sprintf(switches, 86000, 86000)), FormRev: 1, IdempotencyKey: w.key()}); err != nil {
		t.Fatal(err)
	}
	a := w.good("hejing", decide, vars{"task": task, "verdict": "APPROVE", "rev": 1, "key": w.key()})
	e := a.at("decideTask", "userErrors", 0)
	if a.at("decideTask", "userErrors", 0, "__typename") != "StaleForm" || a.at("decideTask", "userErrors", 0, "formRev") != 2.0 {
		t.Fatal(a.Body)
	}
	changed := map[any][2]any{}
	for i := range a.at("decideTask", "userErrors", 0, "changes").([]any) {
		c := a.at("decideTask", "userErrors", 0, "changes", i).(map[string]any)
		changed[c["pointer"]] = [2]any{c["before"], c["after"]}
	}
	if changed["/total"] != [2]any{68000.0, 86000.0} {
		t.Error(e)
	}
	w.good("hejing", decide, vars{"task": task, "verdict": "APPROVE", "rev": 2, "key": w.key()})
	a = w.good("hejing", decide, vars{"task": task, "verdict": "REJECT", "rev": 2, "comment": "太贵", "key": w.key()})
	if a.at("decideTask", "userErrors", 0, "__typename") != "AlreadySettled" || a.at("decideTask", "userErrors", 0, "by", "name") != "何静" ||
		a.at("decideTask", "userErrors", 0, "at") != "2026-10-14T02:01:00.000000Z" || a.at("decideTask", "request") != nil {
		t.Error(a.Body)
	}
}

func TestTheInboxIsReadPageByPage(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var made []string
		for i := range 7 {
			made = append(made, w.purchase("zhouhang", fmt.Sprint("第", i, "件"), 100).TypeID("req"))
			w.clock.Advance(time.Minute)
		}
		slices.Reverse(made)
		var got []string
		after := any(nil)
		for pages := 1; ; pages++ {
			a := w.good("songlan", inbox, vars{"first": 3, "after": after})
			list := a.at("inbox", "edges").([]any)
			for i := range list {
				got = append(got, a.at("inbox", "edges", i, "node", "request", "id").(string))
			}
			if after = a.at("inbox", "pageInfo", "endCursor"); a.at("inbox", "pageInfo", "hasNextPage") != true {
				if pages != 3 {
					t.Errorf("%d pages", pages)
				}
				break
			}
		}
		if !slices.Equal(got, made) {
			t.Errorf("got %v, want %v", got, made)
		}
		for _, v := range []vars{{"first": 0}, {"first": 101}, {"after": "nonsense"}} {
			if a := w.as("songlan", inbox, v); a.code() != "BAD_USER_INPUT" {
				t.Errorf("%v: %s", v, a.Body)
			}
		}
		if a := w.good("pan", inbox, nil); len(a.at("inbox", "edges").([]any)) != 0 || a.at("inbox", "pageInfo", "endCursor") != nil {
			t.Error(a.Body)
		}
	})
}

func TestDefinitionsArePublishedWithTheirMistakesNamed(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	const publish = `mutation($yaml:String!,$key:IdempotencyKey!){publishWorkflow(input:{yaml:$yaml,idempotencyKey:$key}){workflow{key version} userErrors{code message path}}}`
	a := w.good("hejing", publish, vars{"yaml": "key: x\n", "key": w.key()})
	if n := len(a.at("publishWorkflow", "userErrors").([]any)); a.at("publishWorkflow", "workflow") != nil || n < 2 ||
		fmt.Sprint(a.at("publishWorkflow", "userErrors", 0, "path")) != "[input yaml]" {
		t.Error(a.Body)
	}
	if a := w.as("pan", publish, vars{"yaml": "key: x\n", "key": w.key()}); a.code() != "FORBIDDEN" {
		t.Error(a.Body)
	}
	f := w.good("zhouhang", `query($f:JSON!){forecast(workflow:"office.property",unit:"technical.information",form:$f){steps{step stage people{name} seats dueRule{text{zh en} provisional}} problems{path}}}`,
		vars{"f": form(t, fmt.Sprintf(switches, 86000, 86000))})
	if f.at("forecast", "steps", 0, "dueRule", "text", "zh") != "1 个工作日，学生时段" || f.at("forecast", "steps", 0, "dueRule", "provisional") != false {
		t.Error(f.Body)
	}
	if f.at("forecast", "steps", 0, "people", 0, "name") != "宋岚" || f.at("forecast", "steps", 2, "people", 0, "name") != "顾晨" || len(f.at("forecast", "problems").([]any)) != 0 {
		t.Error(f.Body)
	}
}
