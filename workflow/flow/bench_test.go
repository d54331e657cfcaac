package flow_test

import (
	"testing"

	"kelian/workflow/flow"
)

// BenchmarkDecide is one approval in the middle of a request of four steps.
func BenchmarkDecide(b *testing.B) {
	w := sponsor(b)
	w.submit("ling", offer)
	w.approve("shen", "pan")
	cmd, facts := w.cast("he", flow.Approve), w.facts()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := flow.Decide(w.def, w.st, cmd, facts); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFold rebuilds that request's state from its events.
func BenchmarkFold(b *testing.B) {
	w := sponsor(b)
	w.submit("ling", offer)
	w.approve("shen", "pan", "he", "lu", "chen")
	b.ReportAllocs()
	for b.Loop() {
		flow.Fold(w.events)
	}
}
