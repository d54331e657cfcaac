package graph_test

import (
	"context"
	"strings"
	"testing"

	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
)

const (
	publishText = `mutation($yaml:String!,$key:IdempotencyKey!){publishWorkflow(input:{yaml:$yaml,understaffed:true,idempotencyKey:$key}){workflow{key version} userErrors{code message path}}}`
	submitTo    = `mutation($to:String!,$form:JSON!,$key:IdempotencyKey!){submitRequest(input:{workflow:$to,unit:"technical.information",form:$form,idempotencyKey:$key}){
		request{id} userErrors{code message path}}}`
	moves = `query($plan:MigrationPlan!){migrationPreview(plan:$plan,first:10){to running edges{node{id from moves reasons{code message} was{name title{zh}} is{name} statusAfter
		carried{step{name} person{name}} asked{step{name} seat person{name}} again{seat} lost{seat} released{step{name} person{name}}}} pageInfo{hasNextPage}}}`
	migrate  = `mutation($plan:MigrationPlan!,$key:IdempotencyKey!){migrateRequests(input:{plan:$plan,idempotencyKey:$key}){to requests userErrors{code}}}`
	versions = `query($key:String!){workflowVersions(key:$key){version running retiredAt}}`
)

// trialText is a small workflow of the steps.
func trialText(steps ...string) string {
	return "key: office.trial\nunit: office\ntitle: {zh: 试行, en: A trial}\nabout: {zh: 试行, en: A trial.}\nform:\n  required: [title]\n  properties:\n" +
		"    title: {type: string, maxLength: 80, x-title: {zh: 名称, en: Title}}\nflow:\n  - {" + strings.Join(steps, "}\n  - {") + "}\nsend_back: {targets: [start], max: 3}\npolicy: {empty: league.deputy}\n"
}

const (
	keeperStep = "step: keeper, title: {zh: 管理员, en: Keeper}, ask: seat(office.keeper)"
	headStep   = "step: head, title: {zh: 部长, en: Head}, ask: seat(office.head)"
)

// deliver hands over what waits for a topic.
func (w *world) deliver(topic string, handle func(context.Context, outbox.Delivery) error) {
	w.t.Helper()
	rows, err := outbox.Claim(bg, w.db, outbox.QueueDefault, w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rows {
		d, err := outbox.Load(bg, w.db, r.ID, r.Attempt)
		if err != nil {
			w.t.Fatal(err)
		}
		if d.Topic == topic {
			if err := handle(bg, d); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// A workflow from its publication to its end, as its keeper sees it.
func TestTheLifeOfAWorkflow(t *testing.T) {
	outbox.Route(workflow.TopicMigrate, "workflow")
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		publish := func(text string) {
			t.Helper()
			if a := w.good("hejing", publishText, vars{"yaml": text, "key": w.key()}); a.at("publishWorkflow", "workflow") == nil {
				t.Fatal(a.Body)
			}
		}
		publish(trialText(keeperStep, headStep))
		a := w.good("zhouhang", submitTo, vars{"to": "office.trial", "form": vars{"title": "甲"}, "key": w.key()})
		req, _ := a.at("submitRequest", "request", "id").(string)
		w.good("songlan", decide, vars{"task": w.task("songlan"), "verdict": "APPROVE", "rev": 1, "key": w.key()})
		second := trialText(keeperStep, strings.NewReplacer("step: head", "step: vice", "office.head", "fed.vice", "部长", "副主席").Replace(headStep))
		draft := w.good("zhouhang", `query($y:String!){workflowDiff(yaml:$y){from to text changes{area name part kind before after line{zh en}}}}`, vars{"y": second})
		if draft.at("workflowDiff", "from") != 1.0 || draft.at("workflowDiff", "to") != nil || draft.at("workflowDiff", "changes", 0, "area") != "STEP" ||
			draft.at("workflowDiff", "changes", 0, "kind") != "ADDED" || !strings.Contains(draft.at("workflowDiff", "text").(string), "- 删去步骤“部长”（head）") {
			t.Error(draft.Body)
		}
		replay := w.good("hejing", `query($y:String!){workflowReplay(yaml:$y,requests:10){examined bounded hoursChange seats{seat more less} unfit{id}
			changed{id more{seat person{name}} less{seat person{name}} before{status} after{status stuck}} text}}`, vars{"y": second})
		if replay.at("workflowReplay", "examined") != 1.0 || replay.at("workflowReplay", "changed", 0, "id") != req ||
			replay.at("workflowReplay", "changed", 0, "more", 0, "person", "name") != "顾晨" || replay.at("workflowReplay", "changed", 0, "less", 0, "seat") != "office.head" {
			t.Error(replay.Body)
		}
		publish(second)
		if a := w.good("zhouhang", `{workflowDiff(key:"office.trial"){from to}}`, nil); a.at("workflowDiff", "from") != 1.0 || a.at("workflowDiff", "to") != 2.0 {
			t.Error(a.Body)
		}

		plan := vars{"workflow": "office.trial"}
		a = w.good("hejing", moves, vars{"plan": plan})
		if a.at("migrationPreview", "running") != 1.0 || a.at("migrationPreview", "edges", 0, "node", "moves") != false ||
			a.at("migrationPreview", "edges", 0, "node", "reasons", 0, "code") != "STEP_UNMAPPED" {
			t.Error(a.Body)
		}
		plan["steps"] = []vars{{"from": "head", "to": "vice"}}
		a = w.good("hejing", moves, vars{"plan": plan})
		node := func(path ...any) any { return a.at(append([]any{"migrationPreview", "edges", 0, "node"}, path...)...) }
		if node("moves") != true || node("was", 0, "title", "zh") != "部长" || node("is", 0, "name") != "vice" || node("carried", 0, "person", "name") != "宋岚" ||
			node("asked", 0, "person", "name") != "顾晨" || node("released", 0, "person", "name") != "何静" || node("statusAfter") != "OPEN" {
			t.Error(a.Body)
		}
		for _, q := range []string{moves, migrate} {
			if a := w.as("pan", q, vars{"plan": plan, "key": w.key()}); a.code() != "FORBIDDEN" {
				t.Error(a.Body)
			}
		}
		if a := w.as("hejing", migrate, vars{"plan": vars{"workflow": "office.trial", "steps": []vars{{"from": "none"}}}, "key": w.key()}); a.code() != "BAD_USER_INPUT" {
			t.Error(a.Body)
		}
		if a := w.good("hejing", migrate, vars{"plan": plan, "key": w.key()}); a.at("migrateRequests", "requests") != 1.0 || a.at("migrateRequests", "to") != 2.0 {
			t.Error(a.Body)
		}
		w.deliver(workflow.TopicMigrate, w.workflow.OnMigrate)
		if a := w.good("guchen", inbox, nil); a.at("inbox", "edges", 0, "node", "request", "id") != req {
			t.Error(a.Body)
		}
		a = w.good("zhouhang", versions, vars{"key": "office.trial"})
		if a.at("workflowVersions", 0, "running") != 0.0 || a.at("workflowVersions", 1, "running") != 1.0 || a.at("workflowVersions", 0, "retiredAt") == nil {
			t.Error(a.Body)
		}

		const retire = `mutation($key:IdempotencyKey!,$why:String!){retireWorkflow(input:{workflow:"office.trial",reason:$why,idempotencyKey:$key}){version{version retiredAt} userErrors{code path}}}`
		if a := w.as("pan", retire, vars{"key": w.key(), "why": "不再需要"}); a.code() != "FORBIDDEN" {
			t.Error(a.Body)
		}
		if a := w.good("hejing", retire, vars{"key": w.key(), "why": ""}); a.at("retireWorkflow", "userErrors", 0, "code") != "REASON_NEEDED" {
			t.Error(a.Body)
		}
		if a := w.good("hejing", retire, vars{"key": w.key(), "why": "不再需要"}); a.at("retireWorkflow", "version", "version") != 2.0 || a.at("retireWorkflow", "version", "retiredAt") == nil {
			t.Error(a.Body)
		}
		if a := w.good("zhouhang", submitTo, vars{"to": "office.trial", "form": vars{"title": "乙"}, "key": w.key()}); a.at("submitRequest", "userErrors", 0, "code") != "WORKFLOW_RETIRED" {
			t.Error(a.Body)
		}
		w.good("guchen", decide, vars{"task": w.task("guchen"), "verdict": "APPROVE", "rev": 1, "key": w.key()})
		publish(second)
		w.good("zhouhang", submitTo, vars{"to": "office.trial", "form": vars{"title": "乙"}, "key": w.key()})
	})
}

// What is wrong with the text of a workflow is told at the field that holds it.
func TestARequestToPublishNamesTheMistakesOfItsText(t *testing.T) {
	w := newWorld(t, testkit.SQLite(t))
	form := vars{"definition": "office.trial", "title": "试行", "summary": "先试行", "text": strings.Replace(trialText(keeperStep, headStep), ", max: 3", "", 1), "league": false}
	a := w.good("hejing", strings.Replace(submitTo, "technical.information", "office", 1), vars{"to": "meta.publish", "form": form, "key": w.key()})
	if a.at("submitRequest", "userErrors", 0, "code") != "ENDLESS_CYCLE" || a.at("submitRequest", "userErrors", 0, "path", 2) != "text" {
		t.Error(a.Body)
	}
}
