package graph_test

import (
	"testing"

	"kelian/internal/store"
	"kelian/internal/testkit"
)

// How a workflow went, at the door: counted for those who may, refused to
// others, and wrong spans are named.
func TestInsightAtTheDoor(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		if a := w.good("hejing", publishText, vars{"yaml": trialText(keeperStep), "key": w.key()}); a.at("publishWorkflow", "workflow") == nil {
			t.Fatal(a.Body)
		}
		for range 2 {
			w.good("zhouhang", submitTo, vars{"to": "office.trial", "form": vars{"title": "甲"}, "key": w.key()})
		}
		w.good("songlan", decide, vars{"task": w.task("songlan"), "verdict": "APPROVE", "rev": 1, "key": w.key()})
		const ask = `query($u:String){workflowInsight(workflow:"office.trial",unit:$u){title{zh} term requests open approved rejected expired reworkRate medianHours}}`
		a := w.good("hejing", ask, nil)
		got := func(field string) any { return a.at("workflowInsight", field) }
		if got("requests") != 2.0 || got("open") != 1.0 || got("approved") != 1.0 || got("rejected") != 0.0 || got("reworkRate") != 0.0 || got("medianHours") == nil {
			t.Error(a.Body)
		}
		if a = w.good("hejing", ask, vars{"u": "liaison"}); got("requests") != 0.0 || got("medianHours") != nil {
			t.Error(a.Body)
		}
		if a := w.as("zhouhang", ask, nil); a.code() != "FORBIDDEN" {
			t.Error(a.Body)
		}
		if a := w.as("hejing", `{workflowInsight(workflow:"office.trial",from:"2026-01-01T00:00:00Z"){requests}}`, nil); a.code() != "BAD_USER_INPUT" {
			t.Error(a.Body)
		}
	})
}
