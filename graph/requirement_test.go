package graph_test

import (
	"fmt"
	"testing"

	"kelian/internal/store"
	"kelian/internal/testkit"
)

// What a request needs is said part by part: what is there, what lacks, who is
// asked, and what is not judged yet.
func TestARequestSaysWhatItNeeds(t *testing.T) {
	const query = `query($id:ID!){node(id:$id){... on Request{requirements{number parent kind progress step title{zh} condition{zh en} rule{en}
		tally{approvals} open{lacking waiting{task person{name} seat later} fastest overdue}}}}}`
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		a := w.good("zhouhang", submit, vars{"form": form(t, fmt.Sprintf(switches, 68000, 68000)), "key": w.key()})
		request := a.at("submitRequest", "request", "id")
		said := func() map[string]map[string]any {
			t.Helper()
			out := map[string]map[string]any{}
			for i, q := range w.good("zhouhang", query, vars{"id": request}).at("node", "requirements").([]any) {
				q := q.(map[string]any)
				if int(q["number"].(float64)) != i+1 || q["parent"] != nil && q["parent"].(float64) >= q["number"].(float64) {
					t.Errorf("part %d is out of its place: %v", i, q)
				}
				key := fmt.Sprint(q["kind"], i)
				if q["step"] != nil {
					key = q["step"].(string)
				}
				out[key] = q
			}
			return out
		}
		before := said()
		keeper, head := before["keeper"], before["office"]
		if keeper == nil || head == nil {
			t.Fatalf("no such steps: %v", before)
		}
		task := w.task("songlan")
		open, ok := keeper["open"].(map[string]any)
		if !ok || keeper["progress"] != "WAITING" || open["lacking"] != 1.0 || fmt.Sprint(open["fastest"]) != "["+task+"]" ||
			keeper["rule"].(map[string]any)["en"] != "one approval is enough" || head["progress"] != "LATER" || head["open"] != nil {
			t.Fatalf("before: %v, %v", keeper, head)
		}
		who := open["waiting"].([]any)[0].(map[string]any)
		if who["task"] != task || who["person"].(map[string]any)["name"] != "宋岚" || who["seat"] != "office.keeper" || who["later"] != false {
			t.Errorf("is asked: %v", who)
		}
		conditions, over := 0, 0
		for _, q := range before {
			if c, ok := q["condition"].(map[string]any); ok {
				conditions++
				if c["zh"] == "“合计”超过 500 元" && c["en"] == "“Total” is over ¥500" {
					over++
				}
				if q["progress"] != "MAYBE" && q["progress"] != "SKIPPED" && q["progress"] != "LATER" || c["zh"] == "" || c["en"] == "" {
					t.Errorf("a branch: %v", q)
				}
			}
		}
		if conditions == 0 || over != 1 {
			t.Errorf("%d branches say their condition, %d the one on the total", conditions, over)
		}
		w.good("songlan", decide, vars{"task": task, "verdict": "APPROVE", "rev": 1, "key": w.key()})
		after := said()
		if k, h := after["keeper"], after["office"]; k["progress"] != "DONE" || k["tally"].(map[string]any)["approvals"] != 1.0 || k["open"] != nil || h["progress"] != "WAITING" {
			t.Errorf("after: %v, %v", k, h)
		}
	})
}
