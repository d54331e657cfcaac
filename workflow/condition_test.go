package workflow_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"kelian/workflow"
	"kelian/workflow/flow"
)

// branches calls f with every branch that has a condition.
func branches(blocks []flow.Block, f func(flow.Branch)) {
	for _, b := range blocks {
		branches(b.Blocks, f)
		for _, br := range b.Branches {
			if br.Guard != "" {
				f(br)
			}
			branches(br.Blocks, f)
		}
	}
}

// inWords is what some of the conditions have to be in words, one of each kind.
var inWords = map[string]flow.Text{
	"budget > params.teacher_over":             {Zh: "“预算”超过 5000 元", En: "“Budget” is over ¥5000"},
	"stage != 'result' && track == 'assembly'": {Zh: "“阶段”不是“评审结果”，且“赛道”是“装机”", En: "“Stage” is not “Results”, and “Track” is “Assembly”"},
	"travel || has(form.mou)":                  {Zh: "“需要离校外出”：是，或填了“合作协议”", En: "“People travel”: yes, or “Agreement” is filled in"},
	"size(units) > 0":                          {Zh: "填了“参加单位”", En: "“Units that take part” is filled in"},
	"seat.startsWith('fed.')":                  {Zh: "“岗位”属于主席团", En: "“Seat” belongs to the presidium"},
	"action == 'buy' && total > params.teacher_over || action == 'scrap' && total > params.scrap_over": {
		Zh: "（“事项”是“采购”，且“合计”超过 2000 元），或（“事项”是“报废”，且“合计”超过 1000 元）",
		En: "(“What” is “Buy”, and “Total” is over ¥2000), or (“What” is “Write off”, and “Total” is over ¥1000)"},
	"category in ['policy', 'personnel'] || external": {Zh: "“栏目”是“政策制度”或“人事任免”，或“涉及校外单位或个人”：是",
		En: "“Category” is “Policy” or “Appointments”, or “Names people or bodies outside of the university”: yes"},
}

// Nobody who reads a workflow has to read its source: no condition of a
// workflow that comes with Kelian is shown as code.
func TestEveryConditionIsSaidInWords(t *testing.T) {
	files, err := filepath.Glob("definitions/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d definitions: %v", len(files), err)
	}
	seen := map[string]bool{}
	code := regexp.MustCompile(`[=&|!<>_]|params|\bform\b|\(\S+\.`)
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := workflow.LoadPublished(src, workflow.Known{})
		if err != nil {
			t.Fatal(err)
		}
		branches(d.Flow.Blocks, func(b flow.Branch) {
			got := d.Condition(b, func(code string) flow.Text { return flow.Text{Zh: "某处", En: "a place"} })
			if code.MatchString(got.Zh) || code.MatchString(got.En) || got.Zh == b.When {
				t.Errorf("%s: %s is said as %q, %q", d.Flow.Key, b.When, got.Zh, got.En)
			}
			if want, ok := inWords[b.When]; ok {
				if seen[b.When] = true; got != want {
					t.Errorf("%s: %s is said as %q, %q", d.Flow.Key, b.When, got.Zh, got.En)
				}
			}
		})
	}
	if len(seen) != len(inWords) {
		t.Errorf("only %d of the %d are conditions", len(seen), len(inWords))
	}
}
