package app_test

import (
	"regexp"
	"strings"
	"testing"

	"kelian/internal/app"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org"
)

// TestEveryDenialIsReadable refuses every action of the table to somebody
// without a seat: the answer names people in the reader's language, no code.
func TestEveryDenialIsReadable(t *testing.T) {
	table, nobody := app.Rules(), org.Actor{Person: id.New()}
	code, latin := regexp.MustCompile(`[a-z*]+\.[a-z*]+`), regexp.MustCompile(`[A-Za-z*]`)
	denied := 0
	for _, action := range table.Actions() {
		for _, unit := range []string{"", "liaison", "society.robotics", "society.new"} {
			err := table.Check(nobody, action, org.Object{Unit: unit})
			if err == nil {
				continue
			}
			denied++
			e, ok := fault.As(err)
			if !ok || e.Code != fault.Forbidden || e.Reason != action {
				t.Fatalf("%s: %v", action, err)
			}
			if zh := strings.Replace(e.Zh, action, "", 1); latin.MatchString(zh) {
				t.Errorf("%s in %q: %s", action, unit, e.Zh)
			}
			if en := strings.Replace(e.En, action, "", 1); code.MatchString(en) || strings.ContainsFunc(en, func(r rune) bool { return r >= 0x3000 }) {
				t.Errorf("%s in %q: %s", action, unit, e.En)
			}
		}
	}
	if denied < 100 {
		t.Errorf("only %d denials were seen", denied)
	}
}

func TestADenialNamesSeatsByTheirTitles(t *testing.T) {
	rule := func(who ...string) *org.Table {
		var rules []org.Rule
		for _, w := range who {
			rules = append(rules, org.Rule{Action: "x.do", Who: w})
		}
		return org.NewTable(rules)
	}
	for _, c := range []struct {
		who, unit, zh, en string
	}{
		{"liaison.*", "", "外联部的岗位", "any seat of External relations"},
		{"liaison.head", "", "外联部部长", "Head (External relations)"},
		{"office.head", "", "办公室主任", "Head of office"},
		{"league.secretary", "", "团委书记", "Secretary (League Committee)"},
		{"fed.chair", "", "科联主席", "Chair (Federation)"},
		{"unit.chair", "society.robotics", "机器人协会会长", "President (Robotics Society)"},
		{"unit.head", "", "所属单位的部长", "head of the unit concerned"},
		{"*.head", "technical", "各单位的部长", "head of any unit"},
		{org.Owner, "", "本人", "the person concerned"},
	} {
		e, ok := fault.As(rule(c.who, org.Machine).Check(org.Actor{Person: id.New()}, "x.do", org.Object{Unit: c.unit}))
		if !ok || !strings.HasSuffix(e.Zh, "："+c.zh) || !strings.HasSuffix(e.En, ": "+c.en) {
			t.Errorf("%s: %v", c.who, e)
		}
	}
	guarded := org.NewTable([]org.Rule{{Action: "x.do", Who: "office.head", Guard: func(org.Actor, org.Object) bool { return false }, Zh: "不能安排自己", En: "not oneself"}})
	if e, _ := fault.As(guarded.Check(org.Actor{Person: id.New()}, "x.do", org.Object{})); !strings.HasSuffix(e.Zh, "办公室主任（不能安排自己）") || !strings.HasSuffix(e.En, "Head of office (not oneself)") {
		t.Errorf("%v", e)
	}
}
