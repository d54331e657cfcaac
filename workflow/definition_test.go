package workflow_test

import (
	"testing"

	"kelian/workflow"
)

var known = workflow.Known{
	Facts: []string{"stock", "room_free", "board_free", "equipment_free"},
	Effects: []string{"property.purchase", "property.reserve_room", "property.reserve_equipment", "publicity.reserve_board",
		"supervision.follow_up", "sponsor.agree", "training.open"},
}

func TestBuiltinLoad(t *testing.T) {
	all, err := workflow.Builtin(known)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		t.Log(d.Flow.Key, d.Flow.Hash[:12], len(d.Flow.Steps()))
	}
}
