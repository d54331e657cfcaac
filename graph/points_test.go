package graph_test

import (
	"strings"
	"testing"
	"time"

	"kelian/file"
	"kelian/internal/store"
	"kelian/internal/testkit"
)

// jury has two judges, who give up to ten points each.
const jury = `key: liaison.jury
unit: liaison
title: {zh: 评分, en: A jury}
about: {zh: 示例, en: An example}
form:
  required: [title]
  properties:
    title: {type: string, maxLength: 40, x-title: {zh: 名称, en: Title}}
flow:
  - step: jury
    title: {zh: 评委, en: Jury}
    ask: [seat(liaison.head), seat(office.keeper)]
    rule: {pass: 2 of n, score: {max: 10, mean: 6}}
    reads: [/title]
    paper: true
`

// judged publishes the jury and gives a request that is before it.
func (w *world) judged(title string) any {
	w.t.Helper()
	w.as("hejing", `mutation($in:PublishWorkflowInput!){publishWorkflow(input:$in){workflow{key} userErrors{code message}}}`,
		vars{"in": vars{"yaml": jury, "understaffed": true, "idempotencyKey": w.key()}})
	a := w.good("zhouhang", `mutation($in:SubmitRequestInput!){submitRequest(input:$in){request{id} userErrors{code message}}}`,
		vars{"in": vars{"workflow": "liaison.jury", "unit": "technical.information", "form": vars{"title": title}, "idempotencyKey": w.key()}})
	return a.at("submitRequest", "request", "id")
}

const scores = `query($r:ID!){node(id:$r){... on Request{status tasks{maxScore person{name}} decisions{score by{name}}}}}`

// Points are given on paper and together with those of other tasks as at the
// console, with the same refusals.
func TestPointsAreGivenOnPaperAndInBulk(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		one := w.judged("一号")
		keeper := w.task("songlan")
		w.clock.Advance(time.Second)
		two := w.judged("二号")
		if a := w.good("songlan", `{inbox{edges{node{maxScore}}}}`, nil); a.at("inbox", "edges", 0, "node", "maxScore") != float64(10) {
			t.Fatal(a.Body)
		}
		list := []vars{{"task": keeper, "formRev": 1, "score": 9}, {"task": w.task("songlan"), "formRev": 1}}
		a := w.good("songlan", decideAll, vars{"in": vars{"tasks": list, "verdict": "APPROVE", "idempotencyKey": w.key()}})
		if a.at("decideTasks", "results", 0, "request", "status") != "OPEN" || a.at("decideTasks", "results", 1, "userErrors", 0, "code") != "SCORE_NEEDED" {
			t.Fatal(a.Body)
		}
		if a := w.good("songlan", scores, vars{"r": two}); a.at("node", "decisions", 0) != nil {
			t.Errorf("an answer without its points counts: %s", a.Body)
		}

		f, err := w.files.Store(bg, w.actor("hejing"), file.Input{Name: "签字页.pdf", Body: strings.NewReader("%PDF-1.7 signed")})
		if err != nil {
			t.Fatal(err)
		}
		paper := func(score any) answer {
			in := vars{"task": w.task("shenyue"), "verdict": "APPROVE", "formRev": 1, "scan": f.ID.TypeID("fil"), "scanSha256": f.SHA256}
			if score != nil {
				in["score"] = score
			}
			return w.move("hejing", "recordPaperDecision", "RecordPaperDecisionInput!", in)
		}
		for _, wrong := range []any{nil, 11, -1} {
			if a := paper(wrong); a.at("recordPaperDecision", "userErrors", 0, "code") != "SCORE_NEEDED" {
				t.Errorf("a paper that gives %v points: %s", wrong, a.Body)
			}
		}
		// The newest task of 沈悦 is that of the second request; the office enters
		// its paper without reading the request.
		if a := paper(7); a.at("recordPaperDecision", "userErrors", 0) != nil {
			t.Fatal(a.Body)
		}
		if a := w.good("zhouhang", scores, vars{"r": two}); a.at("node", "decisions", 0, "score") != float64(7) || a.at("node", "tasks", 0, "maxScore") != float64(10) {
			t.Error(a.Body)
		}
		if a := w.good("zhouhang", scores, vars{"r": one}); a.at("node", "decisions", 0, "score") != float64(9) {
			t.Error(a.Body)
		}
	})
}
