package workflow_test

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// edited is a built-in text with some of it replaced.
func edited(t *testing.T, key string, pairs ...string) string {
	t.Helper()
	src := string(builtin(t, key).Source)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(src, pairs[i]) {
			t.Fatalf("%s has no %q", key, pairs[i])
		}
		src = strings.Replace(src, pairs[i], pairs[i+1], 1)
	}
	return src
}

func loaded(t *testing.T, src string) *workflow.Definition {
	t.Helper()
	d, err := workflow.Load([]byte(src), known)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// lines are the differences as a reader of the language sees them.
func lines(list []workflow.Difference, zh bool) []string {
	return strings.Split(strings.TrimSpace(workflow.DiffText(list, zh)), "\n")
}

func TestDifferencesAreToldPartByPart(t *testing.T) {
	const before = `key: office.trial
unit: office
title: {zh: 试行, en: A trial}
about: {zh: 试行, en: A trial.}
params: {limit: {value: 300, title: {zh: 限额, en: Limit}}}
form:
  required: [title]
  properties:
    title: {type: string, maxLength: 80, x-title: {zh: 名称, en: Title}}
    cost: {type: integer, minimum: 0, maximum: 1000, x-title: {zh: 金额, en: Sum}}
    old: {type: object, x-title: {zh: 旧, en: Old}, properties: {a: {type: string, maxLength: 9, x-title: {zh: 甲, en: A}}}}
flow:
  - step: keeper
    title: {zh: 管理员, en: Keeper}
    ask: seat(office.keeper)
    due: 2bd
    on_due: {then: remind}
  - step: head
    title: {zh: 部长, en: Head}
    ask: [seat(office.head), seat(office.deputy)]
  - when: cost > params.limit
    do:
      - step: vice
        title: {zh: 副主席, en: Vice-chair}
        ask: seat(fed.vice)
send_back: {targets: [start]}
`
	after := strings.NewReplacer(
		"value: 300", "value: 500",
		"maxLength: 80", "maxLength: 100", "required: [title]", "required: [title, cost]",
		"    old: {type: object, x-title: {zh: 旧, en: Old}, properties: {a: {type: string, maxLength: 9, x-title: {zh: 甲, en: A}}}}\n", "",
		"due: 2bd", "due: 3bd",
		"[seat(office.head), seat(office.deputy)]", "[seat(office.head), seat(office.deputy)]\n    rule: all",
		"cost > params.limit", "cost >= params.limit",
		"send_back:", "  - step: chair\n    title: {zh: 主席, en: Chair}\n    ask: seat(fed.chair)\nsend_back:").Replace(before)
	list := workflow.Diff(loaded(t, before), loaded(t, after))
	if got, want := lines(list, true), []string{
		"~ 参数“限额”（limit）的值：300 → 500",
		"~ 表单字段“名称”（/title）的最多字数：80 → 100",
		"~ 表单字段“金额”（/cost）的必填：无 → 是",
		"- 删去表单字段“旧”（/old）",
		"~ 步骤“管理员”（keeper）的期限：2 个工作日 → 3 个工作日",
		"~ 步骤“部长”（head）的怎样算通过：一人同意即可 → 要全部同意",
		"~ 步骤“副主席”（vice）的进入条件：cost > params.limit → cost >= params.limit",
		"+ 新增步骤“主席”（chair）；问谁：seat(fed.chair)；怎样算通过：一人同意即可",
	}; !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := lines(list, false)[5]; got != "~ step “Head” (head), threshold: one approval is enough → everybody has to approve" {
		t.Error(got)
	}
	if d := list[5]; d.Area != workflow.AreaStep || d.Name != "head" || d.Part != "rule" || d.Before != `{"kind":"any"}` || d.After != `{"kind":"all"}` {
		t.Errorf("%+v", d)
	}
	if list := workflow.Diff(loaded(t, before), loaded(t, "# a remark\n"+before)); len(list) != 0 {
		t.Errorf("a comment: %+v", list)
	}

	// The other way round, what was added was removed.
	back := lines(workflow.Diff(loaded(t, after), loaded(t, before)), true)
	if !slices.Contains(back, "- 删去步骤“主席”（chair）；问谁：seat(fed.chair)；怎样算通过：一人同意即可") || !slices.Contains(back, "+ 新增表单字段“旧”（/old）") {
		t.Errorf("%s", strings.Join(back, "\n"))
	}
}

// A step that moved is told to have moved; the others stay where they are.
func TestAStepThatMovesIsADifference(t *testing.T) {
	head := func(steps ...string) string {
		src := "key: office.trial\nunit: office\ntitle: {zh: 试, en: T}\nabout: {zh: 试, en: T}\nform: {properties: {title: {type: string, maxLength: 80, x-title: {zh: 名, en: N}}}}\nflow:\n"
		for _, s := range steps {
			src += "  - {step: " + s + ", title: {zh: " + s + ", en: " + s + "}, ask: seat(office." + s + ")}\n"
		}
		return src + "send_back: {targets: [start]}\n"
	}
	list := workflow.Diff(loaded(t, head("keeper", "head", "deputy")), loaded(t, head("head", "keeper", "deputy")))
	var got []string
	for _, d := range list {
		got = append(got, d.Name+" "+d.Part+" "+string(d.Before)+string(d.After))
	}
	if want := []string{`head place ["keeper"][]`, `keeper place []["head"]`}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// Whatever a step or the policy can say is a part with words of its own.
func TestEveryPartOfADefinitionHasWords(t *testing.T) {
	for _, v := range []any{flow.Step{}, flow.Policy{}} {
		for i := range reflect.TypeOf(v).NumField() {
			f := reflect.TypeOf(v).Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "name" && !workflow.HasWords(name) {
				t.Errorf("%T: the part %q has no words", v, name)
			}
		}
	}
}

func TestVersionsAreCompared(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		second := edited(t, "office.property", "value: 50000", "value: 100000")
		f.publish(second)
		for _, c := range []struct {
			in       workflow.CompareInput
			from, to int
			part     string
		}{
			{workflow.CompareInput{Definition: "office.property"}, 1, 2, `50000→100000`},
			{workflow.CompareInput{Definition: "office.property", From: 2, To: 1}, 2, 1, `100000→50000`},
			{workflow.CompareInput{Source: edited(t, "office.property", "value: 50000", "value: 70000")}, 2, 0, `100000→70000`},
			{workflow.CompareInput{From: 1, Source: second}, 1, 0, `50000→100000`},
		} {
			got, err := f.svc.Compare(ctx, by("zhouhang"), c.in)
			if err != nil || got.From != c.from || got.To != c.to || len(got.Changes) != 1 || string(got.Changes[0].Before)+"→"+string(got.Changes[0].After) != c.part {
				t.Errorf("%+v: %+v %v", c.in, got, err)
			}
		}
		if _, err := f.svc.Compare(ctx, by("zhouhang"), workflow.CompareInput{Definition: "office.property", To: 7}); !fault.Is(err, fault.NotFound) {
			t.Errorf("no such version: %v", err)
		}
		_, err := f.svc.Compare(ctx, by("zhouhang"), workflow.CompareInput{Source: "key: x\n"})
		refused[workflow.Problems](t, err, "DEFINITION_INVALID")
	})
}

func TestARetiredWorkflowTakesNoNewRequests(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		req := f.submit("zhouhang", "office.property", "", at680)
		retire := workflow.RetireInput{Definition: "office.property", Reason: "改用新流程", IdempotencyKey: f.key()}
		if _, err := f.svc.Retire(ctx, by("zhouhang"), retire); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("an officer retires: %v", err)
		}
		if _, err := f.svc.Retire(ctx, by("hejing"), workflow.RetireInput{Definition: "no.such", Reason: "x"}); !fault.Is(err, fault.NotFound) {
			t.Fatalf("no such workflow: %v", err)
		}
		if out, err := f.svc.Retire(ctx, by("hejing"), retire); err != nil || out.N != 1 {
			t.Fatalf("%+v %v", out, err)
		}
		submit := func() error {
			return errOf(f.svc.Submit(ctx, by("zhouhang"), workflow.SubmitInput{Definition: "office.property", Form: jsonForm(t, at680), IdempotencyKey: f.key()}))
		}
		if err := submit(); !fault.IsRule(err, "WORKFLOW_RETIRED") {
			t.Fatalf("a new request: %v", err)
		}
		if err := errOf(f.svc.Retire(ctx, by("hejing"), workflow.RetireInput{Definition: "office.property", Reason: "再次"})); !fault.IsRule(err, "WORKFLOW_RETIRED") {
			t.Fatalf("retired twice: %v", err)
		}
		list, err := f.svc.Definitions(ctx, by("zhouhang"))
		if err != nil || slices.ContainsFunc(list, func(l workflow.Listed) bool { return l.Key == "office.property" }) {
			t.Fatalf("still listed, %v", err)
		}
		if again, err := f.svc.EnsureBuiltin(ctx); err != nil || len(again) != 0 {
			t.Fatalf("a start revives it: %+v %v", again, err)
		}
		vs, err := f.svc.Versions(ctx, by("zhouhang"), "office.property")
		if err != nil || len(vs) != 1 || !vs[0].Retired || vs[0].Running != 1 {
			t.Fatalf("%+v %v", vs, err)
		}
		f.approve(req, "songlan", "hejing") // goes on
		f.task("guchen", req)

		// The very same text revives it, as the version that it was.
		if out := f.publish(string(builtin(t, "office.property").Source)); out.N != 1 || !out.Changed {
			t.Fatalf("%+v", out)
		}
		if err := submit(); err != nil {
			t.Fatalf("after the revival: %v", err)
		}
		var raw string
		if err := db.R.NewRaw(`SELECT data FROM audit WHERE action = 'workflow.retire'`).Scan(ctx, &raw); err != nil || !json.Valid([]byte(raw)) || !strings.Contains(raw, "改用新流程") {
			t.Errorf("%s %v", raw, err)
		}
	})
}

// Going back to an earlier version is publishing its text.
func TestAnEarlierTextIsPublishedAgain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(edited(t, "office.property", "value: 50000", "value: 100000"))
		if out := f.publish(string(builtin(t, "office.property").Source)); out.N != 1 || !out.Changed {
			t.Fatalf("%+v", out)
		}
		vs, err := f.svc.Versions(ctx, by("zhouhang"), "office.property")
		if err != nil || len(vs) != 2 || vs[0].Retired || !vs[1].Retired {
			t.Fatalf("%+v %v", vs, err)
		}
	})
}
