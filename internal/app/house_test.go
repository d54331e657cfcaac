package app_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// kernel names the rooms that every domain may enter, in the order in which
// they may know each other.
var kernel = []string{"internal/fault", "internal/clock", "internal/id", "internal/config", "internal/store", "internal/outbox", "internal/audit"}

// mayImport says, for a room, which rooms of this module it may import. What
// is not listed here has no room in the house.
var mayImport = map[string][]string{
	"cmd/kelian":      {"internal/app", "internal/config"},
	"internal/app":    {""}, // the only place that knows everything
	"internal/fault":  {},
	"internal/clock":  {},
	"internal/id":     {},
	"internal/config": {"internal/fault"},
	"internal/store":  {"internal/fault", "internal/clock", "internal/id"},
	"internal/outbox": {"internal/fault", "internal/clock", "internal/id", "internal/store"},
	"internal/audit":  {"internal/fault", "internal/clock", "internal/id", "internal/store", "internal/outbox"},
	"internal/trace":  append([]string{"org"}, kernel...),
	"internal/httpd":  {"internal/fault", "internal/config", "internal/id"},
	"internal/testkit": {
		"internal/fault", "internal/clock", "internal/id", "internal/config", "internal/store", "internal/outbox", "internal/audit", "internal/testkit", "migrations"},
	"internal/testkit/make":   {""},              // factories of every domain's objects
	"internal/testkit/linear": {"workflow/flow"}, // what judges histories of requests
	"internal/e2e":            {""},              // walks through the whole house
	"migrations":              {},
	"org":                     append([]string{"org"}, kernel...),
	"auth":                    append([]string{"org", "auth"}, kernel...),
	"workflow/flow":           {"internal/id"},
	"workflow":                append([]string{"org", "workflow"}, kernel...),
	"netmon/judge":            {},
	"netmon/history":          {"netmon/judge"},
	"netmon/probe":            {"internal/fault", "internal/clock", "internal/id", "netmon/probe"},
	"netmon":                  append([]string{"org", "netmon"}, kernel...),
	"desk":                    append([]string{"org", "desk"}, kernel...),
	"notify":                  append([]string{"org", "notify"}, kernel...),
	"file":                    append([]string{"org"}, kernel...),
	"webhook":                 append([]string{"org"}, kernel...),
	"jobs":                    append([]string{"org", "auth", "workflow", "netmon", "desk", "notify", "file", "webhook", "jobs"}, kernel...),
	"graph":                   append([]string{"org", "auth", "workflow", "netmon", "desk", "notify", "file", "webhook", "graph", "internal"}, kernel...),
	"web":                     append([]string{"org", "auth", "workflow", "netmon", "desk", "notify", "file", "web", "internal"}, kernel...),
	"bench":                   {""},
	"internal/faulttest":      {""}, // tests on real processes
}

// never lists what a door or a domain must not import even by way of others
// that it may: the doors know no database, the domains no door and no queue.
var never = map[string][]string{
	"graph":    {"github.com/uptrace/bun", "github.com/hibiken/asynq"},
	"web":      {"github.com/uptrace/bun", "github.com/hibiken/asynq"},
	"org":      {"github.com/hibiken/asynq", "github.com/99designs/gqlgen"},
	"auth":     {"github.com/hibiken/asynq", "github.com/99designs/gqlgen"},
	"workflow": {"github.com/hibiken/asynq", "github.com/99designs/gqlgen"},
	"netmon":   {"github.com/hibiken/asynq", "github.com/99designs/gqlgen"},
	"desk":     {"github.com/hibiken/asynq", "github.com/99designs/gqlgen"},
	"notify":   {"github.com/hibiken/asynq", "github.com/99designs/gqlgen"},
	"webhook":  {"github.com/hibiken/asynq", "github.com/99designs/gqlgen"},
}

func TestNoForbiddenArrow(t *testing.T) {
	raw, err := exec.Command("go", "list", "-json=ImportPath,Imports", "kelian/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	for dec.More() {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		path := strings.TrimPrefix(p.ImportPath, "kelian/")
		room, ok := roomOf(path)
		if !ok {
			t.Errorf("%s stands in no room of the house", path)
			continue
		}
		for _, imp := range p.Imports {
			if to, ours := strings.CutPrefix(imp, "kelian/"); ours && !allowed(mayImport[room], to) {
				t.Errorf("%s must not import %s", path, to)
			}
			for _, bad := range never[strings.SplitN(room, "/", 2)[0]] {
				if imp == bad || strings.HasPrefix(imp, bad+"/") {
					t.Errorf("%s must not import %s", path, imp)
				}
			}
		}
	}
}

// roomOf is the longest listed room that the package lies in.
func roomOf(path string) (room string, ok bool) {
	for r := range mayImport {
		if (path == r || strings.HasPrefix(path, r+"/")) && len(r) > len(room) {
			room, ok = r, true
		}
	}
	return room, ok
}

func allowed(list []string, to string) bool {
	for _, l := range list {
		if l == "" || to == l || strings.HasPrefix(to, l+"/") {
			return true
		}
	}
	return false
}
