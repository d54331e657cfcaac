package app_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kelian/internal/app"
)

// The guide's example is a workflow that can be published as it stands.
func TestTheGuidesExampleIsSound(t *testing.T) {
	guide, err := os.ReadFile("../../docs/approvals.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(guide), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the guide has no example")
	}
	file := filepath.Join(t.TempDir(), "example.yaml")
	if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := app.CheckWorkflows([]string{file}, false, &out); err != nil || !strings.Contains(out.String(), "OK") {
		t.Fatalf("%v\n%s", err, out.String())
	}
	out.Reset()
	if err := app.RenderWorkflow(file, "mermaid", "zh", &out); err != nil || !strings.Contains(out.String(), "办公室核定金额") {
		t.Fatalf("%v\n%s", err, out.String())
	}
	broken := strings.Replace(example, "ask: seat(liaison.head)", "ask: seat(kitchen.head)", 1)
	if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := app.CheckWorkflows([]string{file}, false, &out); err == nil || !strings.Contains(out.String(), "example.yaml:19:10: ") || !strings.Contains(out.String(), "SEAT") {
		t.Fatalf("%v\n%s", err, out.String())
	}
}
