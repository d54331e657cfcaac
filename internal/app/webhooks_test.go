package app_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"kelian/internal/app"
	"kelian/webhook"
)

// Each event that an endpoint can subscribe to comes from somewhere, and the
// guide lists it, with one example of its body; on a failure the test prints the
// table that belongs there.
func TestEveryWebhookEventHappensAndIsInTheGuide(t *testing.T) {
	raw, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	var names []string
	want.WriteString("| event | 发生了什么 | what happened |\n|---|---|---|\n")
	for _, x := range webhook.Types {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", x.Name, x.Zh, x.En)
		names = append(names, x.Name)
		if strings.Count(string(raw), `{"type":"`+x.Name+`",`) != 1 {
			t.Errorf("the guide has no example of %s, or several", x.Name)
		}
	}
	if !strings.Contains(string(raw), "\n"+want.String()+"\n") {
		t.Errorf("docs/webhooks.md lacks this table:\n\n%s", want.String())
	}
	slices.Sort(names)
	if got := new(app.App).HookTypes(); !slices.Equal(got, names) {
		t.Errorf("events come from topics as %v, endpoints subscribe to %v", got, names)
	}
}
