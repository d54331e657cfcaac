package graph_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kelian/internal/store"
	"kelian/internal/testkit"
)

// move runs a mutation of a request or task and gives its payload.
func (w *world) move(login, mutation, kind string, in vars) answer {
	w.t.Helper()
	in["idempotencyKey"] = w.key()
	return w.as(login, `mutation($in:`+kind+`){`+mutation+`(input:$in){request{id status tasks{person{name} state} comments{number text blocking resolved}} userErrors{code}}}`, vars{"in": in})
}

func (w *world) moved(login, mutation, kind string, in vars) answer {
	w.t.Helper()
	a := w.move(login, mutation, kind, in)
	if a.at(mutation, "request", "id") == nil {
		w.t.Fatalf("%s: %s", mutation, a.Body)
	}
	return a
}

func TestPeopleMoveARequestAround(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.good("zhouhang", submit, vars{"form": form(t, fmt.Sprintf(switches, 68000, 68000)), "key": w.key()})
		req := a.at("submitRequest", "request", "id")

		if a := w.move("pan", "nudgeRequest", "NudgeRequestInput!", vars{"request": req}); a.code() != "NOT_FOUND" {
			t.Errorf("a stranger nudges: %s", a.Body)
		}
		w.moved("zhouhang", "nudgeRequest", "NudgeRequestInput!", vars{"request": req})
		if a := w.move("zhouhang", "nudgeRequest", "NudgeRequestInput!", vars{"request": req}); a.at("nudgeRequest", "userErrors", 0, "code") != "TOO_SOON" {
			t.Error(a.Body)
		}
		w.moved("songlan", "commentRequest", "CommentRequestInput!", vars{"request": req, "text": "报价呢？", "blocking": true})
		if a := w.good("songlan", decide, vars{"task": w.task("songlan"), "verdict": "APPROVE", "rev": 1, "key": w.key()}); a.at("decideTask", "userErrors", 0, "code") != "UNRESOLVED" {
			t.Error(a.Body)
		}
		a = w.moved("songlan", "resolveComment", "ResolveCommentInput!", vars{"request": req, "number": 1})
		if a.at("resolveComment", "request", "comments", 0, "resolved") != true {
			t.Error(a.Body)
		}
		w.moved("songlan", "transferTask", "TransferTaskInput!", vars{"task": w.task("songlan"), "to": w.per("pan")})
		w.moved("pan", "addSigners", "AddSignersInput!", vars{"task": w.task("pan"), "place": "BEFORE", "people": []string{w.per("songlan")}})
		task := w.task("songlan")
		w.good("songlan", decide, vars{"task": task, "verdict": "APPROVE", "rev": 1, "key": w.key()})
		w.task("pan")
		w.moved("zhouhang", "copyRequest", "CopyRequestInput!", vars{"request": req, "people": []string{w.per("shenyue")}})
		if a := w.good("shenyue", `query($id:ID!){node(id:$id){id}}`, vars{"id": req}); a.at("node", "id") != req {
			t.Errorf("who was copied does not see it: %s", a.Body)
		}
	})
}

const decideAll = `mutation($in:DecideTasksInput!){decideTasks(input:$in){results{task request{status} userErrors{code}} userErrors{code}}}`

func TestSeveralTasksAreDecidedEachByItself(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		var tasks []vars
		for i := range 3 {
			w.good("zhouhang", submit, vars{"form": form(t, fmt.Sprintf(switches, 100+i, 100+i)), "key": w.key()})
			tasks = append(tasks, vars{"task": w.task("songlan"), "formRev": 1})
			w.clock.Advance(time.Second) // the newest task is the last one's
		}
		if a := w.as("songlan", decideAll, vars{"in": vars{"tasks": []vars{tasks[0], tasks[0]}, "verdict": "APPROVE", "idempotencyKey": w.key()}}); a.code() != "BAD_USER_INPUT" {
			t.Errorf("a task twice: %s", a.Body)
		}
		tasks[1]["formRev"] = 2
		a := w.good("songlan", decideAll, vars{"in": vars{"tasks": tasks, "verdict": "APPROVE", "idempotencyKey": w.key()}})
		for i := range 3 {
			refused := a.at("decideTasks", "results", i, "userErrors", 0, "code")
			if (i == 1) != (refused == "STALE_FORM") || (i != 1) != (a.at("decideTasks", "results", i, "request", "status") == "OPEN") {
				t.Fatalf("task %d: %s", i, a.Body)
			}
		}
	})
}

func TestAWorkflowIsProvedBeforeItIsPublished(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		const check = `query($y:String!){checkWorkflow(yaml:$y){sound text report}}`
		a := w.good("hejing", `{workflows{key source}}`, nil)
		source := ""
		for i := 0; a.at("workflows", i, "key") != nil; i++ {
			if a.at("workflows", i, "key") == "office.property" {
				source, _ = a.at("workflows", i, "source").(string)
			}
		}
		if a := w.good("hejing", check, vars{"y": source}); a.at("checkWorkflow", "report", "control", "verdict") != "proven" {
			t.Error(a.Body)
		}
		bad := strings.Replace(source, "seat(office.head)", "seat(office.kitchen)", 1)
		if a := w.good("hejing", check, vars{"y": bad}); a.at("checkWorkflow", "sound") != false || a.at("checkWorkflow", "report", "findings", 0, "line") == nil {
			t.Error(a.Body)
		}
		if a := w.as("zhouhang", check, vars{"y": source}); a.code() != "FORBIDDEN" {
			t.Errorf("anybody proves: %s", a.Body)
		}
		if a := w.as("zhouhang", `{workflowReport(key:"office.property"){text}}`, nil); a.code() != "FORBIDDEN" {
			t.Errorf("anybody reads who is lacking: %s", a.Body)
		}
	})
}

func TestWorkflowsAreDrawn(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		for format, want := range map[string]string{"MERMAID": "flowchart LR", "BPMN": "userTask", "SVG": "<svg"} {
			a := w.good("zhouhang", `query($f:DiagramFormat){workflowDiagram(key:"office.property",format:$f)}`, vars{"f": format})
			if text, _ := a.at("workflowDiagram").(string); !strings.Contains(text, want) || !strings.Contains(text, "查库存") {
				t.Errorf("%s: %s", format, a.Body)
			}
		}
		if a := w.as("zhouhang", `{workflowDiagram(key:"office.none")}`, nil); a.code() != "NOT_FOUND" {
			t.Error(a.Body)
		}
	})
}

// visit asks one person; what is approved is to be reported on.
const visit = `key: liaison.visit
unit: liaison
title: {zh: 出访, en: A visit}
about: {zh: 示例, en: An example}
form:
  required: [title, day]
  properties:
    title: {type: string, maxLength: 40, x-title: {zh: 名称, en: Title}}
    day: {type: string, format: date, x-title: {zh: 日期, en: Day}}
flow:
  - {step: head, title: {zh: 部长, en: Head}, ask: seat(liaison.head), reads: [/title]}
close_out:
  after: /day
  due: 2bd
  form:
    required: [people]
    properties:
      people: {type: integer, minimum: 0, maximum: 20000, x-title: {zh: 人数, en: People}}
`

// The report is read as it was handed in, and an edit says what it asks again.
func TestReportAndForecastOfAnEdit(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.good("hejing", `mutation($in:PublishWorkflowInput!){publishWorkflow(input:$in){workflow{key} userErrors{code message}}}`,
			vars{"in": vars{"yaml": visit, "understaffed": true, "idempotencyKey": w.key()}})
		a := w.good("zhouhang", `mutation($in:SubmitRequestInput!){submitRequest(input:$in){request{id} userErrors{code message}}}`,
			vars{"in": vars{"workflow": "liaison.visit", "unit": "technical.information", "form": vars{"title": "访问", "day": "2026-11-20"}, "idempotencyKey": w.key()}})
		req := a.at("submitRequest", "request", "id")
		w.good("shenyue", decide, vars{"task": w.task("shenyue"), "verdict": "APPROVE", "rev": 1, "key": w.key()})

		const edit = `query($r:ID!,$f:JSON!){forecastEdit(request:$r,form:$f){steps{step carried people{name}} changes{pointer before after} problems{message}}}`
		a = w.good("zhouhang", edit, vars{"r": req, "f": vars{"title": "访问", "day": "2026-11-27"}})
		if a.at("forecastEdit", "steps", 0, "carried") != true || a.at("forecastEdit", "changes", 0, "after") != "2026-11-27" {
			t.Error(a.Body)
		}
		a = w.good("zhouhang", edit, vars{"r": req, "f": vars{"title": "回访", "day": "2026-11-20"}})
		if a.at("forecastEdit", "steps", 0, "carried") != false || a.at("forecastEdit", "steps", 0, "people", 0, "name") != "沈悦" {
			t.Error(a.Body)
		}
		if a := w.as("pan", edit, vars{"r": req, "f": vars{}}); a.code() != "NOT_FOUND" {
			t.Error(a.Body)
		}

		const read = `query($r:ID!){node(id:$r){... on Request{report{by{name} form comment fields{pointer title{en} value}}}}}`
		if a := w.good("zhouhang", read, vars{"r": req}); a.at("node", "report") != nil {
			t.Error(a.Body)
		}
		w.moved("zhouhang", "closeOutRequest", "CloseOutRequestInput!", vars{"request": req, "form": vars{"people": 12}, "comment": "照片另交"})
		a = w.good("shenyue", read, vars{"r": req})
		if a.at("node", "report", "fields", 0, "value") != float64(12) || a.at("node", "report", "fields", 0, "title", "en") != "People" ||
			a.at("node", "report", "comment") != "照片另交" || a.at("node", "report", "by", "name") != "周航" {
			t.Error(a.Body)
		}
	})
}
