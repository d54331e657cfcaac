package workflow_test

import (
	"errors"
	"strings"
	"testing"

	"kelian/workflow"
)

const small = `key: office.small
unit: office
title: {zh: 小, en: Small}
about: {zh: 说明, en: About}
params:
  limit: 50000
form:
  required: [host, amount]
  properties:
    host: {type: string, maxLength: 60, x-title: {zh: 单位, en: Unit}, x-ui: {kind: unit}}
    amount: {type: integer, minimum: 0, x-title: {zh: 金额, en: Amount}}
    note: {type: string, maxLength: 200, x-title: {zh: 备注, en: Note}}
    lines:
      type: array
      maxItems: 20
      x-title: {zh: 清单, en: List}
      items:
        type: object
        required: [name]
        properties:
          name: {type: string, maxLength: 40, x-title: {zh: 名, en: Name}}
rules:
  - {name: noted, holds: "amount < 10 || size(note) > 0", at: /note, zh: 请备注, en: note it}
facts: [stock]
flow:
  - step: first
    title: {zh: 一, en: First}
    ask: seat(office.head)
    rule: any
    reads: [/amount]
    due: 2bd
    on_due: {remind: [50%, 100%], then: escalate(fed.vice)}
  - when: amount > params.limit
    do:
      - step: second
        title: {zh: 二, en: Second}
        ask: vice_of(host)
        distinct_from: [first]
send_back: {targets: [start, first], mode: return_to_me, max: 3}
policy: {dedupe: consecutive}
on_approved: [property.purchase]
`

func TestSmallLoads(t *testing.T) {
	if _, err := workflow.Load([]byte(small), known); err != nil {
		t.Fatal(err)
	}
}

// Each case changes one place of the small definition; § marks where the
// mistake must be reported.
func TestEveryMistakeHasItsCodeAndPlace(t *testing.T) {
	for _, c := range []struct{ name, old, new, code string }{
		{"broken YAML", "facts: [stock]\n", "facts: [stock\n§", "YAML"},
		{"key twice", "unit: office\n", "unit: office\n§unit: office\n", "YAML"},
		{"alias", "facts: [stock]", "facts: §&a [stock]", "YAML"},
		{"tag", "limit: 50000", "limit: §!!str 50000", "YAML"},
		{"unknown key", "unit: office\n", "unit: office\n§colour: red\n", "UNKNOWN_KEY"},
		{"unknown key in a step", "    rule: any\n", "    §quorum: any\n", "UNKNOWN_KEY"},
		{"missing key", "about: {zh: 说明, en: About}\n", "", "MISSING_KEY"},
		{"missing language", "title: {zh: 小, en: Small}", "title: §{zh: 小}", "MISSING_KEY"},
		{"key without unit", "key: office.small", "key: §small", "KEY"},
		{"unknown unit", "unit: office", "unit: §kitchen", "UNIT"},
		{"parameter is a fraction", "limit: 50000", "limit: §1.5", "PARAM"},
		{"no limit on text", "note: {type: string, maxLength: 200,", "§note: {type: string,", "FORM_LIMIT"},
		{"no limit on a list", "    lines:\n      type: array\n      maxItems: 20\n", "    §lines:\n      type: array\n", "FORM_LIMIT"},
		{"limit far too large", "maxLength: 200", "maxLength: §2000000", "FORM_LIMIT"},
		{"floating point money", "amount: {type: integer, minimum: 0,", "amount: §{type: number,", "FORM_TYPE"},
		{"foreign keyword", "note: {type: string,", "note: {type: string, §oneOf: [],", "UNKNOWN_KEY"},
		{"remote reference", "note: {type: string, maxLength: 200,", "note: {$ref: §'https://example.com/s.json',", "FORM_REF"},
		{"field without title", "maxLength: 200, x-title: {zh: 备注, en: Note}}", "maxLength: 200}", "FORM_TITLE"},
		{"reserved name", "    note: {", "    §params: {", "FORM_NAME"},
		{"personal without purpose", "    note: {", "    §phone: {", "FORM_PERSONAL"},
		{"forbidden data", "    note: {", "    §id_card: {", "FORM_FORBIDDEN"},
		{"required but undeclared", "required: [host, amount]", "required: [host, §amout]", "FORM_REQUIRED"},
		{"default breaks the rule", "minimum: 0,", "minimum: 0, default: §-5,", "FORM_DEFAULT"},
		{"default of another type", "maxLength: 200,", "maxLength: 200, default: §5,", "FORM_DEFAULT"},
		{"undeclared fields taken", "  required: [host, amount]", "  additionalProperties: §true\n  required: [host, amount]", "FORM_OPEN"},
		{"unknown field in a guard", "when: amount > params.limit", "when: amount > params.limit && §colour == ''", "GUARD"},
		{"unknown parameter", "when: amount > params.limit", "when: amount > params§.limt", "GUARD"},
		{"type mismatch", "when: amount > params.limit", "when: amount §> 'many'", "GUARD"},
		{"unknown member of a list's entry", "when: amount > params.limit", "when: lines.all(x, x§.nam != '')", "GUARD"},
		{"guard is no condition", "when: amount > params.limit", "when: §amount + 1", "GUARD"},
		{"guard does not parse", "when: amount > params.limit", "when: amount >§", "GUARD"},
		{"guard costs too much", "when: amount > params.limit", "when: §lines.all(a, lines.all(b, lines.all(c, lines.all(d, a.name < b.name && c.name < d.name))))", "GUARD"},
		{"quoted guard", `holds: "amount < 10 || size(note) > 0"`, `holds: "amount < 10 || size(§nota) > 0"`, "GUARD"},
		{"guard in a block", "  - when: amount > params.limit\n", "  - when: |\n      amount > 5 &&\n      §amout > 6\n", "GUARD"},
		{"guard in a folded block", "  - when: amount > params.limit\n", "  - when: >-\n      amount > 5 &&\n      §amout > 6\n", "GUARD"},
		{"rule about no field", "at: /note", "at: §/nota", "POINTER"},
		{"reads no field", "reads: [/amount]", "reads: [/amount, §/amout]", "POINTER"},
		{"unknown fact", "facts: [stock]", "facts: [stock, §weather]", "FACT_UNKNOWN"},
		{"effect nobody handles", "[property.purchase]", "[property.purchase, §property.burn]", "EFFECT_UNKNOWN"},
		{"unknown role", "seat(office.head)", "§seat(office.boss)", "SEAT"},
		{"unit that is no field", "vice_of(host)", "§vice_of(hots)", "SEAT"},
		{"seat without role", "ask: seat(office.head)", "ask: [office.head, §office]", "SEAT"},
		{"escalates to nobody", "escalate(fed.vice)", "§escalate(fed.king)", "SEAT"},
		{"unknown rule", "rule: any", "rule: §most", "RULE"},
		{"of without share", "rule: any", "rule: {pass: any, of: §cast}", "RULE"},
		{"unknown span", "due: 2bd", "due: §2 days", "DUE"},
		{"approves by silence", "then: escalate(fed.vice)", "then: §approve", "DUE"},
		{"reminders fall", "[50%, 100%]", "[100%, 50%]", "DUE"},
		{"on_due without due", "    due: 2bd\n", "", "DUE"},
		{"same step twice", "step: second", "step: §first", "STEP_TWICE"},
		{"step called start", "step: second", "step: §start", "STEP_NAME"},
		{"distinct from nobody", "distinct_from: [first]", "distinct_from: §[frist]", "DISTINCT_UNKNOWN"},
		{"sends back to nowhere", "targets: [start, first]", "targets: [start, §frist]", "TARGET"},
		{"sends back forward", "    rule: any\n", "    send_back: §[second]\n", "TARGET"},
		{"mode", "mode: return_to_me", "mode: §again", "POLICY"},
		{"dedupe", "dedupe: consecutive", "dedupe: §sometimes", "POLICY"},
		{"strong without link", "    rule: any\n", "    strong: §true\n", "STRONG_WITHOUT_LINK"},
		{"hidden yet signed", "    rule: any\n", "    fields: {hide: §[/amount]}\n", "HIDDEN_READ"},
		{"no block", "  - when: amount > params.limit\n    do:", "  - §unless: amount > params.limit\n    do:", "BLOCK"},
		{"empty branch", "    do:\n      - step: second\n        title: {zh: 二, en: Second}\n        ask: vice_of(host)\n        distinct_from: [first]\n", "    do: §[]\n", "BLOCK_EMPTY"},
		{"link is a word", "    rule: any\n", "    link: §maybe\n", "TYPE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Count(small, c.old) != 1 {
				t.Fatalf("%q stands %d times in the text", c.old, strings.Count(small, c.old))
			}
			marked := strings.Replace(small, c.old, c.new, 1)
			line, col := place(marked)
			_, err := workflow.Load([]byte(strings.Replace(marked, "§", "", 1)), known)
			var problems workflow.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("loaded, or failed otherwise: %v", err)
			}
			for _, p := range problems {
				if p.Code == c.code && (line == 0 || p.Line == line && p.Col == col) {
					if p.Zh == "" || p.En == "" {
						t.Fatal("says nothing")
					}
					return
				}
			}
			t.Fatalf("want %s at %d:%d, got\n%v", c.code, line, col, problems)
		})
	}
}

// place finds the mark: line and column from 1, or 0, 0.
func place(s string) (int, int) {
	before, _, ok := strings.Cut(s, "§")
	if !ok {
		return 0, 0
	}
	line := strings.Count(before, "\n") + 1
	return line, len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
}

func TestAllMistakesAtOnceInOrder(t *testing.T) {
	bad := strings.NewReplacer("unit: office", "unit: kitchen", "rule: any", "rule: most", "[stock]", "[weather]").Replace(small)
	_, err := workflow.Load([]byte(bad), known)
	var problems workflow.Problems
	if !errors.As(err, &problems) || len(problems) != 3 ||
		problems[0].Code != "UNIT" || problems[1].Code != "FACT_UNKNOWN" || problems[2].Code != "RULE" {
		t.Fatalf("%v", err)
	}
}

func TestHashFollowsTheText(t *testing.T) {
	a, err := workflow.Load([]byte(small), known)
	if err != nil {
		t.Fatal(err)
	}
	b, err := workflow.Load([]byte(strings.Replace(small, "50000", "50001", 1)), known)
	if err != nil {
		t.Fatal(err)
	}
	if a.Flow.Hash == b.Flow.Hash || len(a.Flow.Hash) != 64 {
		t.Fatalf("%s %s", a.Flow.Hash, b.Flow.Hash)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("form: {}"))
	f.Add([]byte("form:\n  required:\n  properties: {}"))
	f.Add([]byte("flow: [{choice: [{else: []}]}]"))
	f.Add([]byte("form: {properties: {a: {type: array, items: {}}}}\nflow: {}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := workflow.Load(src, known)
		var problems workflow.Problems
		if err == nil && d == nil || err != nil && !errors.As(err, &problems) {
			t.Fatalf("%v %v", d, err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Code == "" || p.En == "" || p.Zh == "" {
				t.Fatalf("%+v", p)
			}
		}
	})
}
