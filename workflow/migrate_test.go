package workflow_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// trial is a small workflow; the form's fields and the steps are given.
func trial(fields string, steps ...string) string {
	src := "key: office.trial\nunit: office\ntitle: {zh: 试行, en: A trial}\nabout: {zh: 试行, en: A trial.}\nform:\n  required: [title]\n  properties:\n" +
		"    title: {type: string, maxLength: 80, x-title: {zh: 名称, en: Title}}\n" + fields + "flow:\n"
	for _, s := range steps {
		src += "  - {" + s + "}\n"
	}
	return src + "send_back: {targets: [start], max: 3}\npolicy: {dedupe: off, empty: league.deputy}\n"
}

const (
	keeperStep = "step: keeper, title: {zh: 管理员, en: Keeper}, ask: seat(office.keeper), reads: [/title]"
	headStep   = "step: head, title: {zh: 部长, en: Head}, ask: seat(office.head), due: 2bd, on_due: {then: remind}"
	chairStep  = "step: chair, title: {zh: 主席, en: Chair}, ask: seat(fed.chair)"
)

// moveAll carries a plan out, with the deliveries that follow.
func (f *fed) moveAll(p workflow.Plan) workflow.Migrating {
	f.t.Helper()
	out, err := f.svc.Migrate(context.Background(), by("hejing"), workflow.MigrateInput{Plan: p, IdempotencyKey: f.key()})
	if err != nil {
		f.t.Fatal(err)
	}
	f.carry(map[string]func(context.Context, outbox.Delivery) error{workflow.TopicMigrate: f.svc.OnMigrate})
	return out
}

func (f *fed) foresee(p workflow.Plan) map[id.ID]workflow.Moving {
	f.t.Helper()
	list, err := f.svc.PreviewMigration(context.Background(), by("liu"), p, 100, "")
	if err != nil {
		f.t.Fatal(err)
	}
	out := map[id.ID]workflow.Moving{}
	for _, m := range list.Requests {
		out[m.Request] = m
	}
	return out
}

// people spells "step:name".
func people(list []workflow.Part) string {
	var out []string
	for _, p := range list {
		out = append(out, p.Step.Name+":"+p.Who.Name)
	}
	return strings.Join(out, " ")
}

func stepNames(list []workflow.StepName) string {
	var out []string
	for _, s := range list {
		out = append(out, s.Name)
	}
	return strings.Join(out, " ")
}

func TestRunningRequestsMoveByPlan(t *testing.T) {
	outbox.Route(workflow.TopicMigrate, "workflow")
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f, ctx := newFed(t, db), context.Background()
		f.publish(trial("", keeperStep, headStep))
		fresh := f.submit("zhouhang", "office.trial", "", `{"title":"甲"}`)
		later := f.submit("zhouhang", "office.trial", "", `{"title":"乙"}`)
		done := f.submit("zhouhang", "office.trial", "", `{"title":"丙"}`)
		f.approve(later, "songlan")
		f.approve(done, "songlan", "hejing")
		f.publish(trial("    sum_up: {type: string, maxLength: 80, x-title: {zh: 小结, en: Summary}}\n",
			strings.Replace(keeperStep, "step: keeper", "step: stock", 1), "step: deputy, title: {zh: 副部长, en: Deputy}, ask: seat(office.deputy)", chairStep))

		plan := workflow.Plan{Definition: "office.trial", Steps: map[string]string{"keeper": "stock"}}
		said := f.foresee(plan)
		if len(said) != 2 {
			t.Fatalf("%+v", said)
		}
		if m := said[fresh]; len(m.Stays) != 0 || stepNames(m.Was) != "keeper" || stepNames(m.Is) != "stock" || people(m.Asked) != "" || m.From != 1 {
			t.Errorf("%+v", m)
		}
		if m := said[later]; len(m.Stays) != 1 || m.Stays[0].Code != "STEP_UNMAPPED" || stepNames(m.Is) != "head" {
			t.Errorf("%+v", m)
		}
		task := f.task("songlan", fresh).Task
		if out := f.moveAll(plan); out.N != 2 || out.Requests != 2 {
			t.Errorf("%+v", out)
		}
		if f.task("songlan", fresh).Task != task || f.task("songlan", fresh).Step != "stock" {
			t.Error("the keeper is asked by another task")
		}
		f.task("hejing", later) // stays where it was

		// A plan that drops the step lets the other one go on, too.
		plan.Steps["head"] = ""
		said = f.foresee(plan)
		if m := said[later]; len(said) != 1 || stepNames(m.Is) != "deputy" || people(m.Carried) != "stock:songlan" || people(m.Asked) != "deputy:odeputy" ||
			people(m.Released) != "head:hejing" || m.Title != "乙" {
			t.Errorf("%+v", said)
		}
		f.moveAll(plan)
		f.moveAll(plan) // again: nothing is left to move
		f.idle("hejing", later)
		f.approve(later, "odeputy", "chair")
		f.status(later, flow.Approved)
		f.approve(fresh, "songlan", "odeputy", "chair")
		f.status(fresh, flow.Approved)
		for _, r := range []id.ID{fresh, later, done} {
			f.sound(r)
		}
		var n int
		if err := db.R.NewRaw(`SELECT count(*) FROM event WHERE type = 'migrated'`).Scan(ctx, &n); err != nil || n != 2 {
			t.Errorf("%d moves in the chains, %v", n, err)
		}
	})
}

// A form that the new version does not take, and personal values that it would
// keep otherwise, hold a request back.
func TestRequestsThatDoNotFitStay(t *testing.T) {
	outbox.Route(workflow.TopicMigrate, "workflow")
	const (
		secret = "    remark: {type: string, maxLength: 20, x-title: {zh: 附言, en: Remark}, x-personal: {purpose: {zh: 联系, en: to reach}, retention: %}}\n"
		plain  = "    remark: {type: string, maxLength: 20, x-title: {zh: 附言, en: Remark}}\n"
	)
	kept := func(r string) string { return strings.Replace(secret, "%", r, 1) }
	for name, c := range map[string]struct{ before, after, form, code, pointer string }{
		"a field that is required now":    {"", "    sum_up: {type: string, maxLength: 80, x-title: {zh: 小结, en: Summary}}\n", `{"title":"甲"}`, "FORM", "/sum_up"},
		"a value that is too long now":    {"    more: {type: string, maxLength: 9, x-title: {zh: 其他, en: More}}\n", "    more: {type: string, maxLength: 1, x-title: {zh: 其他, en: More}}\n", `{"title":"甲","more":"很多"}`, "FORM", "/more"},
		"a value that is personal now":    {plain, kept("30d"), `{"title":"甲","remark":"138"}`, "FORM", "/remark"},
		"a value that is no longer":       {kept("30d"), plain, `{"title":"甲","remark":"138"}`, "FORM", "/remark"},
		"a value that is kept longer":     {kept("30d"), kept("24m"), `{"title":"甲","remark":"138"}`, "FORM", "/remark"},
		"a personal value as it was":      {kept("30d"), kept("30d"), `{"title":"甲","remark":"138"}`, "", ""},
		"a field that there is no more":   {"    more: {type: string, maxLength: 9, x-title: {zh: 其他, en: More}}\n", "", `{"title":"甲","more":"很多"}`, "", ""},
		"personal and there was no value": {kept("30d"), kept("24m"), `{"title":"甲"}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFed(t, testkit.SQLite(t))
			f.publish(trial(c.before, keeperStep, headStep))
			req := f.submit("zhouhang", "office.trial", "", c.form)
			next := trial(c.after, keeperStep, headStep, chairStep)
			if name == "a field that is required now" {
				next = strings.Replace(next, "required: [title]", "required: [title, sum_up]", 1)
			}
			f.publish(next)
			plan := workflow.Plan{Definition: "office.trial"}
			m := f.foresee(plan)[req]
			if c.code == "" && len(m.Stays) > 0 || c.code != "" && (len(m.Stays) != 1 || m.Stays[0].Code != c.code || m.Stays[0].Pointer != c.pointer || m.Stays[0].Zh == "") {
				t.Fatalf("%+v", m.Stays)
			}
			f.moveAll(plan)
			f.approve(req, "songlan", "hejing")
			if want := map[bool]flow.Status{true: flow.Approved, false: flow.Open}[c.code != ""]; true {
				f.status(req, want) // who moved is asked by the chair, too
			}
			f.sound(req)
		})
	}
}

func TestPlansAreJudgedAndMustNameSteps(t *testing.T) {
	f, ctx := newFed(t, testkit.SQLite(t)), context.Background()
	f.publish(trial("", keeperStep, headStep))
	f.publish(trial("", keeperStep, chairStep))
	for _, c := range []struct {
		who  string
		plan workflow.Plan
		code fault.Code
	}{
		{"zhouhang", workflow.Plan{Definition: "office.trial"}, fault.Forbidden},
		{"hejing", workflow.Plan{Definition: "no.such"}, fault.NotFound},
		{"hejing", workflow.Plan{Definition: "office.trial", To: 9}, fault.NotFound},
		{"hejing", workflow.Plan{Definition: "office.trial", Steps: map[string]string{"nobody": ""}}, fault.BadUserInput},
		{"hejing", workflow.Plan{Definition: "office.trial", Steps: map[string]string{"head": "head"}}, fault.BadUserInput},
	} {
		if err := errOf(f.svc.PreviewMigration(ctx, by(c.who), c.plan, 10, "")); !fault.Is(err, c.code) {
			t.Errorf("preview %+v: %v", c.plan, err)
		}
		if err := errOf(f.svc.Migrate(ctx, by(c.who), workflow.MigrateInput{Plan: c.plan, IdempotencyKey: f.key()})); !fault.Is(err, c.code) {
			t.Errorf("%+v: %v", c.plan, err)
		}
	}
}

// Many requests are listed page by page, and who may not see a request sees
// seats instead of people.
func TestPreviewPagesAndNames(t *testing.T) {
	f, ctx := newFed(t, testkit.SQLite(t)), context.Background()
	f.publish(trial("", keeperStep, headStep))
	var want []id.ID
	for range 5 {
		want = append(want, f.submit("zhouhang", "office.trial", "", `{"title":"甲"}`))
	}
	f.publish(trial("", strings.Replace(keeperStep, "office.keeper", "office.deputy", 1), headStep))
	var got []id.ID
	after := ""
	for {
		page, err := f.svc.PreviewMigration(ctx, by("hejing"), workflow.Plan{Definition: "office.trial"}, 2, after)
		if err != nil || page.Running != 5 {
			t.Fatalf("%+v %v", page, err)
		}
		for _, m := range page.Requests {
			got, after = append(got, m.Request), m.Cursor()
			if len(m.Asked) != 1 || m.Asked[0].Who.Seat != "office.deputy" || m.Asked[0].Who.Name != "" || !m.Asked[0].Who.Person.IsZero() || m.Title != "" {
				t.Errorf("the head of the office, who does not follow every request, sees %+v", m)
			}
		}
		if !page.More {
			break
		}
	}
	slices.SortFunc(want, func(a, b id.ID) int { return strings.Compare(a.String(), b.String()) })
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if m := f.foresee(workflow.Plan{Definition: "office.trial", Requests: want[:1]}); len(m) != 1 || people(m[want[0]].Asked) != "keeper:odeputy" {
		t.Errorf("%+v", m)
	}
}
