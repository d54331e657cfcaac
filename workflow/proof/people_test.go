package proof_test

import (
	"testing"

	"kelian/workflow"
	"kelian/workflow/flow"
	"kelian/workflow/proof"
)

const fourEyes = `key: office.eyes
unit: office
title: {zh: 把关, en: Eyes}
about: {zh: 说明, en: About}
form:
  required: [amount]
  properties:
    amount: {type: integer, minimum: 0, maximum: 1000, x-title: {zh: 金额, en: Sum}}
flow:
  - step: first
    title: {zh: 一, en: First}
    ask: office.head
  - step: second
    title: {zh: 二, en: Second}
    ask: office.deputy
    distinct_from: [first]
policy: {not_requester: false}
`

func TestStaffingFollowsTheEnginesRules(t *testing.T) {
	d, err := workflow.Load([]byte(fourEyes), known)
	if err != nil {
		t.Fatal(err)
	}
	barred := map[string]map[string]flow.Code{"second": {"bob": flow.SameUnit}}
	for _, c := range []struct {
		name, seats string
		barred      map[string]map[string]flow.Code
		code        string
	}{
		{"two people", "office.head=ann, office.deputy=bob", nil, ""},
		{"a delegate binds whom he stands for", "office.head=ann, office.deputy=bob/ann", nil, "STAFF_DISTINCT"},
		{"two delegates of one person", "office.head=cem/ann, office.deputy=bob/ann", nil, "STAFF_DISTINCT"},
		{"kept out by a relation", "office.head=ann, office.deputy=bob", barred, "STAFF_DISTINCT"},
		{"the first leaves the second free", "office.head=ann+bob, office.deputy=ann", nil, ""},
	} {
		people := directory(c.seats)
		people.Situations[0].Barred = c.barred
		r := workflow.Prove(d, people, monday)
		got := ""
		if lacking := r.Unstaffed(); len(lacking) > 0 {
			got = lacking[0].Code
		}
		if got != c.code {
			t.Errorf("%s: %q, want %q\n%s", c.name, got, c.code, r.Text(false))
		}
	}
}

func TestStaffKeepsTheOtherLayers(t *testing.T) {
	d, err := workflow.Load([]byte(fourEyes), known)
	if err != nil {
		t.Fatal(err)
	}
	before := workflow.Prove(d, directory("office.head=ann, office.deputy=bob"), monday)
	after := proof.Staff(proof.Input{Flow: d.Flow, Schema: []byte(d.Form.Schema), People: directory("office.head=ann")}, before)
	if after.OK() || after.Control != before.Control || after.People.Verdict != proof.Refuted || after.Unstaffed()[0].Step != "second" {
		t.Fatalf("%s", after.Text(false))
	}
	again := proof.Staff(proof.Input{Flow: d.Flow, Schema: []byte(d.Form.Schema), People: directory("office.head=ann, office.deputy=bob")}, after)
	if !again.OK() || len(before.Unstaffed()) > 0 {
		t.Fatalf("%s", again.Text(false))
	}
}
