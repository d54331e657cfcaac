package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"kelian/internal/config"
)

// The table of settings in docs/operations.md is the list in code, word for
// word; on a failure the test prints the table that belongs there.
func TestOperationsGuideListsEverySetting(t *testing.T) {
	raw, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("| variable | default | table | meaning |\n|---|---|---|---|\n")
	for _, o := range config.Options {
		def, stored := "", ""
		if o.Default != "" {
			def = "`" + o.Default + "`"
		}
		if o.Stored {
			stored = "yes"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", o.Env(), def, stored, o.Help)
	}
	if !strings.Contains(string(raw), "\n"+want.String()+"\n") {
		t.Fatalf("docs/operations.md lacks this table:\n\n%s", want.String())
	}
}
