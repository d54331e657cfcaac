// Command gencodes writes the table of the codes that a check of a workflow
// can report.
package main

//go:generate go run kelian/workflow/proof/gencodes ../../../docs/workflow-codes.md

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"kelian/workflow/proof"
)

func main() {
	if err := os.WriteFile(os.Args[1], []byte(table()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString("# 流程检查的代码 · Codes of a workflow's check\n\n" +
		"`kelian workflow check`、发布和 `checkWorkflow` 报告的每个代码：原因和改法。\n" +
		"Every code that `kelian workflow check`, publishing and `checkWorkflow` report: its cause and its mend.\n\n" +
		"| code | 原因 cause | 改法 mend |\n|---|---|---|\n")
	for _, code := range slices.Sorted(maps.Keys(proof.Codes)) {
		c := proof.Codes[code]
		fmt.Fprintf(&b, "| `%s` | %s<br>%s | %s<br>%s |\n", code, cell(c.CauseZh), cell(c.CauseEn), cell(c.MendZh), cell(c.MendEn))
	}
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
