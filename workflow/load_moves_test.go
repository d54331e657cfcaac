package workflow_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"kelian/workflow"
	"kelian/workflow/flow"
)

const everything = `key: office.everything
unit: office
title: {zh: 全部写法, en: Every spelling}
about: {zh: 示例, en: An example}
form:
  required: [title, day]
  properties:
    title: {type: string, maxLength: 20, x-title: {zh: 标题, en: Title}}
    day: {type: string, format: date, x-title: {zh: 日期, en: Day}}
flow:
  - step: heads
    title: {zh: 各部会签, en: The heads}
    ask:
      - {seat: seat(office.head), weight: 2}
      - seat(publicity.head)
    rule: {pass: all, in_turn: true}
    due: 1bd
    on_due: {then: widen(office.deputy)}
    not_same_unit: true
    fields: {require: [/day]}
  - step: panel
    title: {zh: 评审, en: The panel}
    ask: seat(technical.member)
    rule: 2 of n
    draw: 3
    fixed: true
  - step: notice
    title: {zh: 公示, en: Public notice}
    ask: seat(supervision.member)
    rule: objection
    due: 3bd
    on_due: {then: pass}
    send_back: [heads]
policy: {withdraw_days: 3, interest: [host], stop: [seat(league.secretary)]}
cc: [seat(fed.chair)]
close_out:
  after: /day
  due: 10bd
  form:
    required: [people]
    properties:
      people: {type: integer, minimum: 0, maximum: 20000, x-title: {zh: 人数, en: People}}
`

func TestEverySpellingOfTheFlowIsRead(t *testing.T) {
	d, err := workflow.Load([]byte(everything), workflow.Known{})
	if err != nil {
		t.Fatal(err)
	}
	heads, panel, notice := d.Flow.Step("heads"), d.Flow.Step("panel"), d.Flow.Step("notice")
	if !heads.Rule.InTurn || heads.Weights["seat(office.head)"] != 2 || heads.OnDue.Then != flow.ThenWiden || heads.OnDue.Escalate != "office.deputy" ||
		!heads.NotSameUnit || heads.Right("/day") != flow.Require {
		t.Errorf("%+v", heads)
	}
	if panel.Draw != 3 || !panel.Fixed {
		t.Errorf("%+v", panel)
	}
	if notice.Rule.Kind != flow.Objection || notice.OnDue.Then != flow.ThenPass {
		t.Errorf("%+v", notice)
	}
	p := d.Flow.Policy
	if p.WithdrawDays != 3 || !slices.Equal(p.Interest, []string{"host"}) || !slices.Equal(p.Stop, []string{"seat(league.secretary)"}) || !slices.Equal(p.CC, []string{"seat(fed.chair)"}) {
		t.Errorf("%+v", p)
	}
	if d.Flow.CloseOut == nil || d.Flow.CloseOut.After != "/day" || d.CloseOut == nil || len(d.CloseOut.Fields) != 1 {
		t.Errorf("%+v", d.Flow.CloseOut)
	}
}

func TestMistakesInTheNewSpellingsArePlaced(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"weight: 2", "weight: 0", "WEIGHT"},
		{"draw: 3", "draw: 1", "DRAW"},
		{"on_due: {then: pass}", "on_due: {then: remind}", "OBJECTION"},
		{"interest: [host]", "interest: [cousin]", "INTEREST_UNKNOWN"},
		{"after: /day", "after: /title", "CLOSE_OUT"},
		{"after: /day", "after: /none", "POINTER"},
		{"withdraw_days: 3", "withdraw_days: -1", "TYPE"},
		{"rule: objection", "rule: any", "OBJECTION"},
	} {
		src := strings.Replace(everything, c.from, c.to, 1)
		_, err := workflow.Load([]byte(src), workflow.Known{})
		var problems workflow.Problems
		errors.As(err, &problems)
		line := 1 + strings.Count(src[:strings.Index(src, c.to)], "\n")
		if !slices.ContainsFunc(problems, func(p workflow.Problem) bool {
			return p.Code == c.want && p.Line > 1 && p.Line <= line+6 && p.Line >= line-6
		}) {
			t.Errorf("%s: want %s near line %d, got %v", c.to, c.want, line, err)
		}
	}
}

// Who comes by a link uploads nothing, so that no step asks a file of him.
func TestALinkedStepAsksNoFile(t *testing.T) {
	text := strings.Replace(everything, "    day: {", "    proof: {type: object, required: [scan], properties: {scan: {$ref: 'kelian:file', x-title: {zh: 扫描件, en: Scan}}}, x-title: {zh: 凭证, en: Proof}}\n    day: {", 1)
	text = strings.Replace(text, "{require: [/day]}", "{require: [/proof]}", 1)
	if _, err := workflow.Load([]byte(text), workflow.Known{}); err != nil {
		t.Fatal(err)
	}
	text = strings.Replace(text, "    not_same_unit: true\n", "    not_same_unit: true\n    link: true\n", 1)
	_, err := workflow.Load([]byte(text), workflow.Known{})
	var problems workflow.Problems
	if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Code != "LINK_FILE" || !strings.HasPrefix(strings.Split(text, "\n")[problems[0].Line-1], "    link: true") {
		t.Errorf("%v", err)
	}
}
