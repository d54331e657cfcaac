package app_test

import (
	"testing"

	"kelian/internal/app"
	"kelian/internal/id"
	"kelian/org"
)

// Timers and handlers do what a rule gives to them, and nothing that a person
// with an account may do.
func TestTheSystemDoesOnlyWhatARuleGivesIt(t *testing.T) {
	table, given, person := app.Rules(), 0, id.New()
	for _, action := range table.Actions() {
		want := false
		for _, r := range table.Rules(action) {
			want = want || r.Who == org.Machine || r.Who == org.Anyone
		}
		object := org.Object{Unit: "technical", Owner: person, Assignee: []id.ID{person}}
		if got := table.Can(org.System(), action, object); got != want {
			t.Errorf("%s by the system: %v, its rules say %v", action, got, want)
		}
		if want {
			given++
		}
	}
	if given == 0 {
		t.Fatal("no rule gives anything to the system")
	}
}
