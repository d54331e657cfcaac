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

// Nobody who reads a workflow has to read its source: no condition of a
// workflow that comes with Kelian is shown as code.
func TestEveryConditionIsSaidInWords(t *testing.T) {
	files, err := filepath.Glob("definitions/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d definitions: %v", len(files), err)
	}
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
			said := d.Condition(b, func(code string) flow.Text { return flow.Text{Zh: "某处", En: "a place"} })
			t.Logf("%s: %s\n\t%s\n\t%s", d.Flow.Key, b.When, said.Zh, said.En)
			if code.MatchString(said.Zh) || code.MatchString(said.En) || said.Zh == b.When {
				t.Errorf("%s: %s is said as %q, %q", d.Flow.Key, b.When, said.Zh, said.En)
			}
		})
	}
}
