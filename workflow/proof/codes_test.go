package proof_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"kelian/workflow/proof"
)

var given = regexp.MustCompile(`(?:\.add\([^"\n]*|Code: +|Problem\{)"([A-Z][A-Z_]{2,})"|code:? *=? *"(STAFF_[A-Z_]+)"`)

// Every code that the loader, the structure's check and the layers can give is
// explained, and nothing else.
func TestEveryCodeIsExplained(t *testing.T) {
	used := map[string]bool{}
	for _, pattern := range []string{"../load*.go", "../flow/check*.go", "*.go"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range given.FindAllStringSubmatch(string(src), -1) {
				used[m[1]+m[2]] = true
			}
		}
	}
	if len(used) < 40 {
		t.Fatalf("only %d codes were found in the sources", len(used))
	}
	for code := range used {
		c := proof.Codes[code]
		if c.CauseZh == "" || c.CauseEn == "" || c.MendZh == "" || c.MendEn == "" {
			t.Errorf("%s is not explained in both languages", code)
		}
	}
}

func TestTheReportReadsInBothLanguagesAndSurvivesJSON(t *testing.T) {
	var gap sample
	for _, s := range samples(t, "bad") {
		if s.name == "gap_in_a_choice.yaml" {
			gap = s
		}
	}
	r := gap.prove()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back proof.Report
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	for _, zh := range []bool{true, false} {
		text := r.Text(zh)
		if text != back.Text(zh) || !strings.Contains(text, `"kind":"service"`) || !strings.Contains(text, "GUARD_GAP") {
			t.Errorf("%s", text)
		}
		if strings.Contains(text, "条件") != zh {
			t.Errorf("the wrong language:\n%s", text)
		}
	}
}
