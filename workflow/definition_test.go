package workflow_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/workflow"
	"kelian/workflow/flow"
)

var known = workflow.Known{
	Facts: []string{"stock", "room_free", "board_free", "equipment_free"},
	Effects: []string{"property.purchase", "property.reserve", "property.seal",
		"sponsor.agree", "training.schedule"},
}

// monday is a Monday morning in term.
var monday = time.Date(2026, 11, 2, 1, 0, 0, 0, time.UTC)

func builtin(t *testing.T, key string) *workflow.Definition {
	t.Helper()
	all, err := workflow.Builtin(known)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(d *workflow.Definition) bool { return d.Flow.Key == key })
	if i < 0 {
		t.Fatalf("there is no %s", key)
	}
	return all[i]
}

// fill validates a form that must be right, rules too.
func fill(t *testing.T, d *workflow.Definition, src string) workflow.Filled {
	t.Helper()
	f, wrong := d.Form.Fill([]byte(src))
	if len(wrong) > 0 {
		t.Fatalf("%+v", wrong)
	}
	broken, err := d.CheckRules(f, monday)
	if err != nil || len(broken) > 0 {
		t.Fatalf("%+v %v", broken, err)
	}
	return f
}

func TestBuiltinsAreCompleteInBothLanguages(t *testing.T) {
	all, err := workflow.Builtin(known)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, d := range all {
		keys = append(keys, d.Flow.Key)
		texts := []flow.Text{d.Flow.Title, d.About}
		for _, s := range d.Flow.Steps() {
			texts = append(texts, s.Title)
		}
		for _, p := range d.Params {
			texts = append(texts, p.Title)
		}
		for _, f := range d.Form.Fields {
			texts = append(texts, f.Title)
		}
		for _, x := range texts {
			if !strings.ContainsFunc(x.Zh, func(r rune) bool { return r > 0x2e80 }) || strings.ContainsFunc(x.En, func(r rune) bool { return r > 0x2e80 }) {
				t.Errorf("%s: %+v", d.Flow.Key, x)
			}
		}
		for _, s := range d.Flow.Steps() {
			for _, e := range d.SeatsOf(s) {
				if e.Kind == "" {
					t.Errorf("%s: step %s asks an unparsed seat", d.Flow.Key, s.Name)
				}
			}
			if s.Due == (flow.Span{}) || s.OnDue.Then == flow.ThenNothing {
				t.Errorf("%s: step %s may wait for ever", d.Flow.Key, s.Name)
			}
		}
	}
	want := []string{"activity.competition", "activity.research", "liaison.exchange", "liaison.sponsor", "meta.publish", "meta.seat",
		"office.charter", "office.plan", "office.property", "office.reimburse", "office.seal", "publicity.article", "publicity.board",
		"supervision.activity", "supervision.inspection", "technical.change", "technical.training"}
	if !slices.Equal(keys, want) {
		t.Fatalf("%v", keys)
	}
}

func TestDefinitionsNameOnlyWhatIsProvided(t *testing.T) {
	less := known
	less.Effects = slices.DeleteFunc(slices.Clone(known.Effects), func(s string) bool { return s == "property.purchase" })
	if _, err := workflow.Builtin(less); err == nil || !strings.Contains(err.Error(), "EFFECT_UNKNOWN") {
		t.Fatalf("an effect nobody handles loaded: %v", err)
	}
}

const (
	module = `{"action":"buy","items":[{"name":"光模块","qty":1}],"prices":[68000],"total":68000,"quote":"A 店"}`
	fans   = `{"action":"buy","items":[{"name":"风扇","qty":2},{"name":"线","qty":1}],"prices":[40000,10000],"total":50000,"quote":"B 店"}`
	small1 = `{"host":"society.robot","title":"开放日","kind":"open_day","start":"2026-11-20T02:00:00Z","end":"2026-11-20T08:00:00Z","room":"room_1","people":40,"external":false,"budget":20000}`
	offer1 = `{"company":"某电脑店","kind":"cash","amount":200000,"returns":[{"what":"展板署名"}],"exclusive":false,"student_data":false}`
	course = `{"topic":"装系统","trainer":"per_1","sessions":[{"start":"2026-11-20T10:00:00Z","end":"2026-11-20T12:00:00Z"}],"room":"room_1","seats":30}`
)

// The tour in the shipped definition: the keeper's vote survives a corrected
// price, the office's does not.
func TestShippedPurchaseCarriesTheKeepersVote(t *testing.T) {
	d := builtin(t, "office.property")
	first, _ := d.Form.Digests(1, fill(t, d, module), nil)
	second, _ := d.Form.Digests(2, fill(t, d, strings.NewReplacer("68000", "86000", "A 店", "C 店").Replace(module)), nil)
	for name, same := range map[string]bool{"keeper": true, "office": false, "vice": false} {
		reads := d.Flow.Step(name).Reads
		if (flow.ReadDigest(reads, first) == flow.ReadDigest(reads, second)) != same {
			t.Errorf("%s: what it reads changed: %v", name, same)
		}
	}
}

func TestRulesBetweenFields(t *testing.T) {
	replace := func(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }
	for _, c := range []struct{ key, form, broken string }{
		{"office.property", replace(module, `"total":68000`, `"total":68001`), "total_is_sum"},
		{"office.property", replace(fans, "[40000,10000]", "[50000]"), "one_price_per_item"},
		{"supervision.activity", replace(small1, `"people":40`, `"people":50`), ""},
		{"supervision.activity", replace(small1, `"people":40`, `"people":51`), "safety_plan"},
		{"supervision.activity", replace(small1, `"people":40`, `"people":51,"safety_plan":"有"`), ""},
		{"supervision.activity", replace(small1, `"room":"room_1",`, ""), "somewhere"},
		{"supervision.activity", replace(small1, `"room":"room_1"`, `"place":"操场"`), ""},
		{"supervision.activity", replace(small1, "11-20T08", "11-20T01"), "ends_after_start"},
		{"supervision.activity", replace(small1, "11-20", "11-09"), ""}, // five working days ahead
		{"supervision.activity", replace(small1, "11-20", "11-06"), "lead_time"},
		{"supervision.activity", replace(small1, "11-20", "11-06", `"budget"`, `"urgent_reason":"校庆","budget"`), ""},
		{"supervision.activity", replace(small1, "2026-11-20", "2026-10-20", `"budget"`, `"urgent_reason":"x","budget"`), "not_past"},
		{"supervision.activity", replace(small1, `"budget"`, `"board_slot":{"board":"b","from":"2026-11-10","to":"2026-11-09"},"budget"`), "board_from_to"},
		{"supervision.activity", replace(small1, "society.robot", "publicity"), "host_kind"},
		{"liaison.sponsor", replace(offer1, "200000", "0"), "cash_has_amount"},
		{"office.property", with(t, module, `{"quote":null}`), "quote"},
		{"office.property", with(t, module, `{"prices":[100001],"total":100001}`), "second_quote"},
		{"office.property", with(t, module, `{"prices":[100000],"total":100000}`), ""},
		{"office.property", with(t, lend, `{"to":"2026-11-01"}`), "loan_dates"},
		{"office.property", with(t, lend, `{"to":null}`), "loan_dates"},
		{"office.property", with(t, lend, `{"prices":[5],"total":5}`), "loan_has_no_price"},
		{"office.property", with(t, scrap, `{"reason":null}`), "scrap_reason"},
		{"office.charter", with(t, bylaw, `{"scope":"society"}`), "society_named"},
		{"office.charter", with(t, bylaw, `{"kind":"new","clauses":[{"no":"1","old":"旧"}]}`), "clauses_say_something"},
		{"office.charter", with(t, bylaw, `{"kind":"repeal","clauses":[{"no":"1","old":"旧"}]}`), ""},
		{"office.reimburse", with(t, invoices, `{"total":45001}`), "total_is_sum"},
		{"office.reimburse", with(t, invoices, `{"approved_amount":44999}`), "within_approval"},
		{"office.reimburse", with(t, invoices, `{"invoice_amounts":[45000]}`), "one_amount_per_invoice"},
		{"office.seal", with(t, stamp, `{"carried_out":true}`), "back_by"},
		{"liaison.exchange", with(t, meet, `{"travel":true,"insurance":`+file1+`}`), "travellers"},
		{"liaison.exchange", with(t, meet, `{"travel":true,"travellers":[{"name":"李雪","college":"理学院"}]}`), "insurance"},
		{"supervision.inspection", with(t, finding, `{"deadline":"2026-10-01"}`), "deadline_after"},
		{"publicity.board", with(t, poster, `{"to":"2026-11-01"}`), "from_to"},
		{"technical.change", with(t, upgrade, `{"standard":true}`), "standard_is_low"},
		{"technical.change", with(t, upgrade, `{"rollback_plan":null}`), "rollback_plan"},
		{"technical.change", with(t, upgrade, `{"risk":"high","backup_done":false}`), "backup"},
		{"technical.change", with(t, upgrade, `{"emergency":true}`), "emergency_reason"},
		{"activity.competition", with(t, contest, `{"plan":null}`), "plan_is_there"},
		{"activity.competition", with(t, contest, `{"ends":null}`), "ends"},
		{"activity.competition", with(t, scores, `{"results":[]}`), "results_are_there"},
		{"activity.competition", with(t, scores, `{"plan_request":null}`), "plan_request"},
		{"activity.research", with(t, project, `{"college":"office"}`), "college_kind"},
		{"activity.research", with(t, project, `{"stage":"final"}`), "previous"},
		{"activity.research", with(t, project, `{"stage":"final","previous":"1","spent":800001}`), "within_budget"},
		{"meta.seat", with(t, appoint, `{"to":"2026-10-01"}`), "from_to"},
		{"meta.seat", with(t, appoint, `{"kind":"acting"}`), "acting_ends"},
		{"technical.training", replace(course, "20T12", "20T09"), "sessions_end"},
	} {
		d := builtin(t, c.key)
		f, wrong := d.Form.Fill([]byte(c.form))
		if len(wrong) > 0 {
			t.Fatalf("%s %s: %+v", c.key, c.form, wrong)
		}
		got, err := d.CheckRules(f, monday)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, x := range got {
			names = append(names, x.Code)
		}
		if strings.Join(names, " ") != c.broken {
			t.Errorf("%s %s: broke %v, want %q", c.key, c.form, names, c.broken)
		}
	}
}

func TestWorkingDaysComeFromTheCalendar(t *testing.T) {
	k := known
	k.WorkingDays = func(from, to time.Time) int { return 0 } // a holiday week
	d, err := workflow.Load(builtin(t, "supervision.activity").Source, k)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := d.Form.Fill([]byte(small1))
	got, err := d.CheckRules(f, monday)
	if err != nil || len(got) != 1 || got[0].Code != "lead_time" || got[0].Pointer != "/urgent_reason" {
		t.Fatalf("%+v %v", got, err)
	}
}

func TestFillExplainsEachField(t *testing.T) {
	d := builtin(t, "office.property")
	_, wrong := d.Form.Fill([]byte(`{"items":[{"name":"","qty":0.5},{"qty":"x"}],"prices":[],"total":-1,"quote":"` +
		strings.Repeat("长", 501) + `","colour":"red"}`))
	got := map[string]string{}
	for _, w := range wrong {
		got[w.Pointer] = w.Code
		if w.Zh == "" || w.En == "" {
			t.Errorf("%+v", w)
		}
	}
	want := map[string]string{"/items/0/name": "TOO_SHORT", "/items/0/qty": "TYPE", "/items/1/name": "REQUIRED", "/items/1/qty": "TYPE",
		"/prices": "TOO_FEW", "/total": "TOO_SMALL", "/quote": "TOO_LONG", "/colour": "UNKNOWN_FIELD"}
	for p, code := range want {
		if got[p] != code {
			t.Errorf("%s: %s, want %s", p, got[p], code)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
	i := slices.IndexFunc(wrong, func(w workflow.FieldError) bool { return w.Pointer == "/items/1/name" })
	if wrong[i].Zh != "“名称”必填" || wrong[i].En != "Name is required" {
		t.Errorf("%+v", wrong[i])
	}
	for _, bad := range []string{`[]`, `{`, `{"total":1,"total":2}`, `{"a":"` + strings.Repeat("x", 300<<10) + `"}`} {
		if _, wrong := d.Form.Fill([]byte(bad)); len(wrong) != 1 {
			t.Errorf("%.30s: %+v", bad, wrong)
		}
	}
}

func TestAnInvoiceIsWrittenOnce(t *testing.T) {
	_, wrong := builtin(t, "office.reimburse").Form.Fill([]byte(with(t, invoices, `{"invoice_numbers":["25117000001","25117000001"]}`)))
	if len(wrong) != 1 || wrong[0].Pointer != "/invoice_numbers" || wrong[0].Code != "TWICE" {
		t.Fatalf("%+v", wrong)
	}
}

// A choice that asks in each branch asks always, one without else does not.
func TestSomebodyIsAlwaysAsked(t *testing.T) {
	src := string(builtin(t, "supervision.activity").Source)
	_, err := workflow.Load([]byte(strings.Replace(src, "      - else:\n", "      - when: people > 1\n        do:\n", 1)), known)
	if err == nil || !strings.Contains(err.Error(), "FLOW_ASKS_NOBODY") {
		t.Fatalf("a choice without else: %v", err)
	}
}

func TestFormatsAreAsserted(t *testing.T) {
	d := builtin(t, "supervision.activity")
	_, wrong := d.Form.Fill([]byte(strings.Replace(small1, "2026-11-20T02:00:00Z", "next Friday", 1)))
	if len(wrong) != 1 || wrong[0].Pointer != "/start" || wrong[0].Code != "FORMAT" {
		t.Fatalf("%+v", wrong)
	}
}

func TestDefaultsAreFilledIn(t *testing.T) {
	d := builtin(t, "liaison.sponsor")
	without := strings.NewReplacer(`,"exclusive":false`, "", `,"student_data":false`, "").Replace(offer1)
	a, b := fill(t, d, without), fill(t, d, offer1)
	if a.JSON != b.JSON {
		t.Fatalf("%s\n%s", a.JSON, b.JSON)
	}
}

func TestPersonalFieldsNeedAKeyedDigest(t *testing.T) {
	d := builtin(t, "liaison.sponsor")
	f := fill(t, d, strings.Replace(offer1, `"kind"`, `"contact_name":"张三","contact_phone":"13800000000","kind"`, 1))
	if _, err := d.Form.Digests(1, f, nil); err == nil {
		t.Fatal("personal values were digested without a key")
	}
	var keyed []string
	form, err := d.Form.Digests(1, f, func(p string, v flow.JSON) string { keyed = append(keyed, p); return "mac" })
	slices.Sort(keyed)
	if err != nil || !slices.Equal(keyed, []string{"/contact_name", "/contact_phone"}) || form.Digests["/contact_phone"] != "mac" {
		t.Fatalf("%v %v", keyed, err)
	}
	if p := d.Form.Personal(); len(p) != 2 || p[0].Personal.Retention != "24m" || p[0].Personal.Purpose.Zh == "" {
		t.Fatalf("%+v", p)
	}
}

func TestSchemaIsWhatAConsoleNeeds(t *testing.T) {
	var doc map[string]any
	d := builtin(t, "office.property")
	if err := json.Unmarshal([]byte(d.Form.Schema), &doc); err != nil {
		t.Fatal(err)
	}
	file := doc["properties"].(map[string]any)["quote_file"].(map[string]any)
	if doc["additionalProperties"] != false || file["type"] != "object" || file["$ref"] != nil || file["x-title"] == nil {
		t.Fatalf("%s", d.Form.Schema)
	}
	good := strings.Replace(module, `"total"`, `"quote_file":{"file":"fil_01jd0000000000000000000000","sha256":"`+strings.Repeat("a", 64)+`"},"total"`, 1)
	fill(t, d, good)
	if _, wrong := d.Form.Fill([]byte(strings.Replace(good, "aaaa", "AAAA", 1))); len(wrong) == 0 {
		t.Fatal("a file without a digest was taken")
	}
}

func TestSeatExpressions(t *testing.T) {
	for src, want := range map[string]workflow.SeatExpr{
		"seat(office.head)":           {Kind: workflow.SeatRole, Role: "head", Unit: workflow.UnitExpr{Kind: workflow.UnitFixed, Code: "office"}},
		"office.keeper":               {Kind: workflow.SeatRole, Role: "keeper", Unit: workflow.UnitExpr{Kind: workflow.UnitFixed, Code: "office"}},
		"technical.maintenance.head":  {Kind: workflow.SeatRole, Role: "head", Unit: workflow.UnitExpr{Kind: workflow.UnitFixed, Code: "technical.maintenance"}},
		"society.robot.chair":         {Kind: workflow.SeatRole, Role: "chair", Unit: workflow.UnitExpr{Kind: workflow.UnitFixed, Code: "society.robot"}},
		"host.advisor":                {Kind: workflow.SeatRole, Role: "advisor", Unit: workflow.UnitExpr{Kind: workflow.UnitField, Field: "/host"}},
		"request.unit.head":           {Kind: workflow.SeatRole, Role: "head", Unit: workflow.UnitExpr{Kind: workflow.UnitRequest}},
		"vice_of( technical )":        {Kind: workflow.SeatVice, Unit: workflow.UnitExpr{Kind: workflow.UnitFixed, Code: "technical"}},
		"outside(security_office)":    {Kind: workflow.SeatOutside, Role: "security_office"},
		"each(society).chair":         {Kind: workflow.SeatRole, Role: "chair", Unit: workflow.UnitExpr{Kind: workflow.UnitEach, Code: "SOCIETY"}},
		"each(units).head":            {Kind: workflow.SeatRole, Role: "head", Unit: workflow.UnitExpr{Kind: workflow.UnitEach, Field: "/units"}},
		"college(in_charge)":          {Kind: workflow.SeatRole, Role: "head", Unit: workflow.UnitExpr{Kind: workflow.UnitCollege, Of: &workflow.UnitExpr{Kind: workflow.UnitRequest}}},
		"seat(college_of(host).head)": {Kind: workflow.SeatRole, Role: "head", Unit: workflow.UnitExpr{Kind: workflow.UnitCollege, Of: &workflow.UnitExpr{Kind: workflow.UnitField, Field: "/host"}}},
	} {
		got, err := workflow.ParseSeat(src, []string{"host", "units[]"})
		want.Source = src
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(want)
		if err != nil || string(a) != string(b) {
			t.Errorf("%s: %s %v", src, a, err)
		}
	}
	for _, bad := range []string{"", "office", "head", ".head", "office.", "seat(office.head", "vice_of()", "outside(a b)", "college_of(host)", "guest.head", "society.head",
		"each(host).head", "each(section).head", "vice_of(each(college))", "college_of(each(society)).head"} {
		if got, err := workflow.ParseSeat(bad, []string{"host"}); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestGuardsReadAbsentFieldsAsZero(t *testing.T) {
	src := strings.Replace(small, "when: amount > params.limit", `when: has(form.note) && lines.exists(l, l.name == "x") && amount == 7`, 1)
	d, err := workflow.Load([]byte(src), known)
	if err != nil {
		t.Fatal(err)
	}
	for form, want := range map[string]bool{
		`{"host":"office","amount":7,"note":"","lines":[{"name":"x"}]}`:   true,
		`{"host":"office","amount":7.0,"note":"","lines":[{"name":"x"}]}`: true,
		`{"host":"office","amount":7,"lines":[{"name":"x"}]}`:             false,
		`{"host":"office","amount":7,"note":"n"}`:                         false,
		`{"host":"office","amount":8,"note":"n","lines":[{"name":"x"}]}`:  false,
	} {
		f, wrong := d.Form.Fill([]byte(form))
		if len(wrong) > 0 {
			t.Fatalf("%+v", wrong)
		}
		got, err := d.Guards(f, monday)
		if err != nil || got["c1.1"] != want || len(got) != 1 {
			t.Errorf("%s: %v %v", form, got, err)
		}
	}
}

// A list of people is one leaf, and private as a whole.
func TestListsOfPeopleAreKeyedAsAWhole(t *testing.T) {
	src := strings.Replace(small, "required: [name]\n        properties:\n", `required: [name]
        properties:
          phone: {type: string, maxLength: 30, x-title: {zh: 电话, en: Phone}, x-personal: {purpose: {zh: 联系, en: contact}, retention: 30d}}
`, 1)
	d, err := workflow.Load([]byte(src), known)
	if err != nil {
		t.Fatal(err)
	}
	f, wrong := d.Form.Fill([]byte(`{"host":"office","amount":7,"lines":[{"name":"x","phone":"1"}]}`))
	if len(wrong) > 0 {
		t.Fatalf("%+v", wrong)
	}
	form, err := d.Form.Digests(1, f, func(string, flow.JSON) string { return "mac" })
	if err != nil || form.Digests["/lines"] != "mac" || form.Digests["/host"] == "mac" {
		t.Fatalf("%+v %v", form, err)
	}
}

func TestRuleSpellings(t *testing.T) {
	two := flow.Ratio{Num: 2, Den: 3}
	for src, want := range map[string]flow.Rule{
		"any":                                 {Kind: flow.Any},
		"all":                                 {Kind: flow.All},
		"3 of n":                              {Kind: flow.KOfN, K: 3, Abstain: true},
		"2/3":                                 {Kind: flow.Percent, Percent: two, Abstain: true},
		"60%":                                 {Kind: flow.Percent, Percent: flow.Ratio{Num: 60, Den: 100}, Abstain: true},
		"{pass: all, veto: true}":             {Kind: flow.All, Veto: true},
		"{pass: 4 of n, abstain: false}":      {Kind: flow.KOfN, K: 4},
		"{pass: 2/3, of: cast, turnout: 1/2}": {Kind: flow.OfCast, Percent: two, Turnout: flow.Ratio{Num: 1, Den: 2}, Abstain: true},
	} {
		d, err := workflow.Load([]byte(strings.Replace(small, "rule: any", "rule: "+src, 1)), known)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		if got := d.Flow.Step("first").Rule; got != want {
			t.Errorf("%s: %+v", src, got)
		}
	}
}

func TestStepsAreReadWhole(t *testing.T) {
	src := strings.Replace(small, "    rule: any\n", "    fields: {edit: [/note], hide: [/lines]}\n    link: true\n    strong: true\n    paper: true\n", 1)
	d, err := workflow.Load([]byte(src), known)
	if err != nil {
		t.Fatal(err)
	}
	s := d.Flow.Step("first")
	if s.Due != (flow.Span{N: 2, Unit: flow.WorkingDays}) || !slices.Equal(s.OnDue.Remind, []int{50, 100}) ||
		s.OnDue.Then != flow.ThenEscalate || s.OnDue.Escalate != "fed.vice" || !s.Link || !s.Strong || !s.Paper {
		t.Fatalf("%+v", s)
	}
	for field, want := range map[string]flow.Right{"/note": flow.Edit, "/lines/0/name": flow.Hide, "/amount": flow.Read} {
		if got := s.Right(field); got != want {
			t.Errorf("%s: %s", field, got)
		}
	}
	if !slices.Equal(s.SendBack, []string{"start"}) || !slices.Equal(d.Flow.Step("second").SendBack, []string{"start", "first"}) {
		t.Errorf("targets %v %v", s.SendBack, d.Flow.Step("second").SendBack)
	}
	if d.Seats["fed.vice"].Role != "vice" || d.Flow.Policy.MaxSendBack != 3 || !d.Flow.Policy.NotRequester {
		t.Errorf("%+v %+v", d.Seats, d.Flow.Policy)
	}
}

func BenchmarkFillAndGuards(b *testing.B) {
	all, err := workflow.Builtin(known)
	if err != nil {
		b.Fatal(err)
	}
	d := all[slices.IndexFunc(all, func(d *workflow.Definition) bool { return d.Flow.Key == "office.property" })]
	b.ReportAllocs()
	for b.Loop() {
		f, _ := d.Form.Fill([]byte(module))
		if _, err := d.CheckRules(f, monday); err != nil {
			b.Fatal(err)
		}
		if _, err := d.Guards(f, monday); err != nil {
			b.Fatal(err)
		}
	}
}
