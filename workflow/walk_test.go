package workflow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// others hold the seats that the definitions ask beside those of cast.
var others = map[string][]string{
	"secretary": {"league.secretary"}, "money": {"league.finance"}, "sudeputy": {"supervision.deputy"}, "wei": {"supervision.member"}, "yan": {"supervision.member"},
	"reporter": {"publicity.member"}, "pudeputy": {"publicity.deputy"}, "techdeputy": {"technical.deputy"}, "fang": {"technical.information.member"},
	"tang": {"society.ai.advisor"}, "csdeputy": {"college.cs.deputy"}, "csmember": {"college.cs.member"},
	"eehead": {"college.ee.head"}, "scihead": {"college.science.head"}, "chemhead": {"college.chem.head"}, "guard": {"outside.security_office.head"},
}

// anyFile takes whatever file a form names.
type anyFile struct{}

func (anyFile) AskAttach(*store.Reads, id.ID, id.ID, []workflow.Attachment) func(*store.Tx) []id.ID {
	return func(*store.Tx) []id.ID { return nil }
}

// fullFed is the federation with somebody on every seat that a definition asks.
func fullFed(t *testing.T, db *store.DB) *fed {
	f := newFed(t, db)
	f.svc.Files = anyFile{}
	f.inTx(func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO portfolio (unit_id, seat_id, person_id, from_at) SELECT unit.id, seat.id, ?, ? FROM unit, seat
			WHERE unit.code IN ('office', 'supervision', 'liaison', 'publicity') AND seat.name = 'fed.vice'`, named("guchen"), testkit.Start.AddDate(0, -1, 0))
		return nil
	})
	for name, seats := range others {
		f.person(name, seats...)
	}
	return f
}

var nameOf = func() map[id.ID]string {
	out := map[id.ID]string{}
	for name := range cast {
		out[named(name)] = name
	}
	for name := range others {
		out[named(name)] = name
	}
	return out
}()

type openTask struct {
	Step   string
	Person id.ID
	Seat   string
}

// waiting are the open tasks of the request in the order of the definition.
func (f *fed) waiting(d *workflow.Definition, request id.ID) []openTask {
	f.t.Helper()
	var out []openTask
	err := f.db.R.NewRaw(`SELECT step, person, seat FROM task WHERE request_id = ? AND state = ?`, request, flow.TaskOpen).Scan(context.Background(), &out)
	if err != nil && !store.NoRows(err) {
		f.t.Fatal(err)
	}
	order := map[string]int{}
	for i, s := range d.Flow.Steps() {
		order[s.Name] = i
	}
	slices.SortFunc(out, func(a, b openTask) int {
		if n := order[a.Step] - order[b.Step]; n != 0 {
			return n
		}
		return strings.Compare(a.Seat+nameOf[a.Person], b.Seat+nameOf[b.Person])
	})
	return out
}

// asked spells who is asked in the first of the steps that wait: the seats, or
// after a lot how many.
func asked(d *workflow.Definition, tasks []openTask) string {
	step := d.Flow.Step(tasks[0].Step)
	var seats []string
	for _, t := range tasks {
		if t.Step == step.Name {
			seats = append(seats, t.Seat)
		}
	}
	if step.Draw > 0 || len(seats) > 5 {
		return fmt.Sprintf("%s:%d", step.Name, len(seats))
	}
	return step.Name + ":" + strings.Join(slices.Compact(seats), "+")
}

// walk approves a request to its end, as each of those asked, and gives who was
// asked step by step. fill are the fields that a step fills in.
func (f *fed) walk(d *workflow.Definition, request id.ID, fill map[string]map[string]any) string {
	f.t.Helper()
	var out []string
	seen := map[string]bool{}
	for range 80 {
		tasks := f.waiting(d, request)
		if len(tasks) == 0 {
			return strings.Join(out, " ")
		}
		step := d.Flow.Step(tasks[0].Step)
		if !seen[step.Name] {
			seen[step.Name] = true
			out = append(out, asked(d, tasks))
		}
		if step.Rule.Kind == flow.Objection {
			f.clock.Advance(20 * 24 * time.Hour)
			f.rings()
			continue
		}
		x := f.task(nameOf[tasks[0].Person], request)
		_, err := f.svc.Decide(bg, by(nameOf[tasks[0].Person]), workflow.DecideInput{Task: x.Task, Verdict: workflow.Approve, FormRev: x.FormRev, Fields: fill[step.Name], Score: &step.Rule.Score, IdempotencyKey: f.key()})
		if err != nil {
			f.t.Fatalf("%s at %s: %v", nameOf[tasks[0].Person], step.Name, err)
		}
		f.clock.Advance(time.Minute)
	}
	f.t.Fatalf("the request does not end: %v", out)
	return ""
}

const (
	file1    = `{"file":"fil_01jd0000000000000000000000","sha256":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`
	bylaw    = `{"kind":"amend","scope":"department","title":"报修值班办法","clauses":[{"no":"第三条","old":"每日一人","new":"每日两人"}],"reason":"报修增多","effective":"2026-12-01"}`
	monthly  = `{"dept":"technical","span":"month","period":"2026年11月","goals":[{"text":"义诊两场","owner":"技术部部长","due":"2026-11-30"}],"last_result":"义诊一场"}`
	invoices = `{"purpose":"机器人开放日物料","approved_request":"科联审〔2026〕第0123号","approved_amount":60000,"invoice_numbers":["25117000001","25117000002"],"invoice_amounts":[30000,15000],"total":45000,"spent_on":"2026-10-12"}`
	stamp    = `{"seal":"federation","title":"活动证明","recipient":"教务处","copies":2,"document":` + file1 + `,"external":false,"carried_out":false}`
	lend     = `{"action":"loan","items":[{"name":"投影仪","qty":1,"item":"projector"}],"from":"2026-11-02","to":"2026-11-04"}`
	scrap    = `{"action":"scrap","items":[{"name":"旧交换机","qty":2}],"prices":[120000],"total":120000,"reason":"无法维修"}`
	meet     = `{"university":"邻校","title":"双校电子设计交流","kind":"visit","start":"2026-11-20T09:00:00+08:00","end":"2026-11-20T17:00:00+08:00","place":"本校","people":20,"travel":false,"budget":50000}`
	finding  = `{"target":"society.robotics","found_on":"2026-10-13","severity":"middle","findings":[{"rule":"用电安全第二条","what":"私接插座"}],"deadline":"2026-10-30"}`
	poster   = `{"title":"开放日海报","image":` + file1 + `,"paper_size":"a2","places":["board_east"],"from":"2026-11-02","to":"2026-11-08","sponsor_logo":false,"campus":false}`
	story    = `{"category":"news","title":"机器人协会开放日","body":"昨天下午，机器人协会在体育馆举办了开放日，三百名同学参加。","source":"宣传部","external":false}`
	upgrade  = `{"title":"核心交换机升级","systems":["core"],"risk":"middle","start":"2026-11-01T01:00:00+08:00","end":"2026-11-01T02:00:00+08:00","downtime":10,"what":"升级固件","rollback_plan":"回退固件","backup_done":true}`
	contest  = `{"stage":"plan","track":"design","title":"创意设计大赛","plan":"初赛、决赛","works_rights":"作品归作者所有，主办方可展示","ends":"2026-12-20","budget":300000}`
	scores   = `{"stage":"result","track":"dv","title":"DV 大赛结果","plan_request":"科联赛〔2026〕第0001号","budget":0,"results":[{"entry":"校园四季","score":92,"prize":"一等奖"}]}`
	project  = `{"stage":"apply","title":"桥梁振动监测","college":"college.cs","team":[{"name":"李雪","student_number":"2025010822"}],"category":"invention_a","abstract":"用低成本传感器监测人行桥的振动，并给出预警的方法与样机。","budget":800000,"ethics":false}`
	collegeA = `{"host":"college.cs","title":"编程训练营","kind":"workshop","start":"2026-11-20T09:00:00+08:00","end":"2026-11-20T17:00:00+08:00","room":"room_1","people":60,"external":false,"budget":0,"safety_plan":"两名安全员"}`
)

// What the federation decides about itself. The text asks the keeper and the
// head of the office.
var (
	newFlow = asJSON(map[string]any{"definition": "office.trial", "title": "试行", "summary": "先试行一学期", "text": trial("", keeperStep, headStep), "league": false})
	appoint = asJSON(map[string]any{"seat": "technical.deputy", "person": named("linxiaoman").TypeID("per"), "kind": "full", "from": "2026-11-01", "reason": "换届"})
)

func asJSON(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// with lays fields over a form; null takes one out.
func with(t testing.TB, form, over string) string {
	out := jsonForm(t, form)
	if over != "" {
		maps.Copy(out, jsonForm(t, over))
	}
	maps.DeleteFunc(out, func(_ string, v any) bool { return v == nil })
	raw, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// walks are the ways through each definition: who is asked for which form. The
// first of each is also sent back once.
var walks = []struct {
	definition, by, unit, form, over, asked string
	fill                                    map[string]map[string]any
}{
	{"office.property", "zhouhang", "technical", at680, "", "keeper:office.keeper office:office.head vice:fed.vice", nil},
	{"office.property", "zhouhang", "technical", at680, `{"prices":[50000],"total":50000}`, "keeper:office.keeper office:office.head", nil},
	{"office.property", "zhouhang", "technical", at680, `{"prices":[200001],"total":200001,"other_quotes":[{"supplier":"乙","total":210000}]}`,
		"keeper:office.keeper office:office.head vice:fed.vice teacher:league.teacher", nil},
	{"office.property", "ayinuer", "society.robotics", lend, "", "keeper:office.keeper office:office.head", nil},
	{"office.property", "zhouhang", "technical", scrap, "", "keeper:office.keeper office:office.head vice:fed.vice teacher:league.teacher", nil},
	{"office.property", "zhouhang", "technical", scrap, `{"prices":[100000],"total":100000}`, "keeper:office.keeper office:office.head vice:fed.vice", nil},

	{"supervision.activity", "ayinuer", "society.robotics", open15, "",
		"advisor:society.robotics.advisor college:college.mech.head check:supervision.member supervision:supervision.head teacher:league.teacher", nil},
	{"supervision.activity", "ayinuer", "society.robotics", open15, `{"outside_speakers":true,"speakers":[{"name":"王伟","from":"某研究院","topic":"具身智能"}]}`,
		"advisor:society.robotics.advisor college:college.mech.head content:publicity.head check:supervision.member supervision:supervision.head teacher:league.teacher", nil},
	{"supervision.activity", "ayinuer", "society.robotics", open15, `{"people":500,"safety_plan":"四名安全员"}`,
		"advisor:society.robotics.advisor college:college.mech.head check:supervision.member supervision:supervision.head security:outside.security_office.head teacher:league.teacher", nil},
	{"supervision.activity", "csmember", "college.cs", collegeA, "", "own:college.cs.head", nil},
	{"supervision.activity", "csmember", "college.cs", collegeA, `{"people":499}`, "own:college.cs.head", nil},
	{"supervision.activity", "csmember", "college.cs", collegeA, `{"people":500}`,
		"college:college.cs.head check:supervision.member supervision:supervision.head security:outside.security_office.head teacher:league.teacher", nil},
	{"supervision.activity", "csmember", "college.cs", collegeA, `{"external":true}`,
		"college:college.cs.head check:supervision.member supervision:supervision.head teacher:league.teacher", nil},
	{"supervision.activity", "csmember", "college.cs", collegeA, `{"off_campus":true}`,
		"college:college.cs.head check:supervision.member supervision:supervision.head teacher:league.teacher", nil},

	{"supervision.inspection", "luyuan", "supervision", finding, "", "issue:supervision.head respond:society.robotics.chair verify:3", answered},
	{"supervision.inspection", "sudeputy", "supervision", finding, `{"target":"college.cs","severity":"high"}`,
		"issue:supervision.head chair:fed.chair respond:college.cs.head verify:3", answered},

	{"office.charter", "odeputy", "office", bylaw, "",
		"review:office.head legality:supervision.head heads:liaison.head+publicity.head+technical.head chair:fed.chair teacher:league.teacher notice:7", nil},
	{"office.charter", "ayinuer", "society.robotics", bylaw, `{"scope":"society","society":"society.robotics"}`,
		"review:office.head advisor:society.robotics.advisor legality:supervision.head heads:liaison.head+publicity.head+technical.head chair:fed.chair teacher:league.teacher notice:6", nil},
	{"office.charter", "zhouhang", "technical.information", bylaw, `{"scope":"federation"}`,
		"review:office.head legality:supervision.head heads:liaison.head+publicity.head+technical.head vote:7 chair:fed.chair teacher:league.teacher notice:7", nil},

	{"office.plan", "zhouhang", "technical", monthly, "", "head:technical.deputy+technical.head office:office.head vice:fed.vice", nil},
	{"office.plan", "techhead", "technical", monthly, "", "head:technical.deputy office:office.head vice:fed.vice", nil},
	{"office.plan", "hejing", "office", monthly, `{"dept":"office"}`, "head:office.deputy supervision:supervision.head vice:fed.vice", nil},

	{"office.reimburse", "zhouhang", "technical", invoices, "", "head:technical.deputy+technical.head office:office.head finance:league.finance", nil},
	{"office.reimburse", "techhead", "technical", invoices, `{"invoice_numbers":["25117000003","25117000004"],"invoice_amounts":[30000,20001],"total":50001}`,
		"head:technical.deputy office:office.head vice:fed.vice finance:league.finance", nil},
	{"office.reimburse", "ling", "liaison", invoices, `{"approved_amount":300000,"invoice_numbers":["25117000005","25117000006"],"invoice_amounts":[100000,100001],"total":200001}`,
		"head:liaison.head office:office.head vice:fed.vice teacher:league.teacher finance:league.finance", nil},

	{"office.seal", "zhouhang", "technical", stamp, "", "head:technical.deputy+technical.head office:office.head register:office.keeper", entered},
	{"office.seal", "ling", "liaison", stamp, `{"external":true}`, "head:liaison.head office:office.head chair:fed.chair teacher:league.teacher register:office.keeper", entered},
	{"office.seal", "ling", "liaison", stamp, `{"seal":"league"}`, "head:liaison.head office:office.head teacher:league.teacher register:office.keeper", entered},
	{"office.seal", "ling", "liaison", stamp, `{"carried_out":true,"back_by":"2026-10-20"}`, "head:liaison.head office:office.head teacher:league.teacher register:office.keeper", entered},

	{"publicity.board", "ayinuer", "society.robotics", poster, "", "design:publicity.member content:publicity.head placement:publicity.deputy+publicity.head", nil},
	{"publicity.board", "ayinuer", "society.robotics", poster, `{"sponsor_logo":true,"campus":true}`,
		"design:publicity.member content:publicity.head sponsor:liaison.head placement:publicity.deputy+publicity.head teacher:league.teacher", nil},

	{"publicity.article", "ayinuer", "society.robotics", story, "", "editor:publicity.member review:publicity.head", nil},
	{"publicity.article", "ayinuer", "society.robotics", story, `{"category":"personnel"}`, "editor:publicity.member review:publicity.head final:league.teacher", nil},
	{"publicity.article", "ayinuer", "society.robotics", story, `{"external":true}`, "editor:publicity.member review:publicity.head final:league.teacher", nil},

	{"liaison.sponsor", "ling", "liaison", offer1, "", "screen:liaison.head returns:publicity.head money:office.head legal:supervision.head chair:fed.chair", nil},
	{"liaison.sponsor", "ling", "liaison", offer1, `{"amount":300001}`,
		"screen:liaison.head returns:publicity.head money:office.head legal:supervision.head chair:fed.chair teacher:league.teacher", nil},
	{"liaison.sponsor", "ling", "liaison", offer1, `{"exclusive":true}`,
		"screen:liaison.head returns:publicity.head money:office.head legal:supervision.head chair:fed.chair teacher:league.teacher", nil},
	{"liaison.sponsor", "ling", "liaison", offer1, `{"student_data":true}`,
		"screen:liaison.head returns:publicity.head money:office.head legal:supervision.head chair:fed.chair teacher:league.teacher", nil},
	{"liaison.sponsor", "ling", "liaison", offer1, `{"amount":2000001}`,
		"screen:liaison.head returns:publicity.head money:office.head legal:supervision.head chair:fed.chair teacher:league.teacher secretary:league.secretary", nil},

	{"liaison.exchange", "ling", "liaison", meet, "", "head:liaison.head vice:fed.vice teacher:league.teacher", nil},
	{"liaison.exchange", "ling", "liaison", meet, `{"units":["society.robotics","college.cs"]}`,
		"head:liaison.head vice:fed.vice units:college.cs.head+society.robotics.chair teacher:league.teacher", nil},
	{"liaison.exchange", "ling", "liaison", meet, `{"travel":true,"travellers":[{"name":"李雪","college":"计算机学院"}],"insurance":` + file1 + `}`,
		"head:liaison.head vice:fed.vice teacher:league.teacher secretary:league.secretary", nil},
	{"liaison.exchange", "ling", "liaison", meet, `{"mou":` + file1 + `}`, "head:liaison.head vice:fed.vice teacher:league.teacher secretary:league.secretary", nil},

	{"technical.change", "zhouhang", "technical.information", upgrade, "", "peer:technical.information.member head:technical.head", nil},
	{"technical.change", "zhouhang", "technical.information", upgrade, `{"risk":"low","standard":true}`, "peer:technical.information.member", nil},
	{"technical.change", "zhouhang", "technical.information", upgrade, `{"risk":"low","standard":true,"downtime":31}`,
		"peer:technical.information.member publicity:publicity.head office:office.head", nil},
	{"technical.change", "zhouhang", "technical.information", upgrade, `{"risk":"high"}`,
		"peer:technical.information.member head:technical.head publicity:publicity.head office:office.head", nil},
	{"technical.change", "zhouhang", "technical.information", upgrade, `{"emergency":true,"emergency_reason":"断网"}`, "afterwards:technical.deputy+technical.head", nil},
	{"technical.training", "zhouhang", "technical", course, "", "head:technical.head publicity:publicity.head", nil},

	{"activity.competition", "reporter", "publicity", contest, "", "publicity:publicity.head supervision:supervision.head chair:fed.chair", nil},
	{"activity.competition", "zhouhang", "technical", contest, `{"track":"assembly","needs_sponsor":true,"needs_property":true,"budget":500001}`,
		"technical:technical.head supervision:supervision.head sponsor:liaison.head property:office.head chair:fed.chair teacher:league.teacher", nil},
	{"activity.competition", "reporter", "publicity", scores, "", "panel:5 supervision:supervision.head notice:7", nil},

	{"activity.research", "csmember", "college.cs", project, "",
		"recommend:college.cs.head precheck:technical.head panel:5 chair:fed.chair notice:8 teacher:league.teacher", nil},
	{"activity.research", "csmember", "college.cs", project, `{"ethics":true}`,
		"recommend:college.cs.head precheck:technical.head ethics:league.deputy panel:5 chair:fed.chair notice:8 teacher:league.teacher", nil},
	{"activity.research", "csmember", "college.cs", project, `{"stage":"mid","previous":"科联赛〔2026〕第0003号","spent":300000}`,
		"recommend:college.cs.head precheck:technical.head chair:fed.chair teacher:league.teacher", nil},

	{"meta.publish", "odeputy", "office", newFlow, "", "office:office.head supervision:supervision.head chair:fed.chair", nil},
	{"meta.publish", "odeputy", "office", newFlow, `{"league":true}`, "office:office.head supervision:supervision.head chair:fed.chair teacher:league.teacher", nil},
	{"meta.seat", "odeputy", "office", appoint, "", "office:office.head supervision:supervision.head chair:fed.chair", nil},
	{"meta.seat", "odeputy", "office", appoint, `{"seat":"fed.chair","replaces":"` + named("chair").TypeID("per") + `"}`,
		"office:office.head supervision:supervision.head heads:liaison.head+publicity.head+technical.head teacher:league.teacher", nil},
}

var (
	answered = map[string]map[string]any{"respond": {"answer": "已拆除私接插座"}}
	entered  = map[string]map[string]any{"register": {"register_no": "2026-031"}}
)

// Every way through every definition, over the directory and to the end.
func TestEveryWayThroughTheDefinitions(t *testing.T) {
	all, err := workflow.Builtin(known)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		t.Run(d.Flow.Key, func(t *testing.T) {
			testkit.Each(t, func(t *testing.T, db *store.DB) {
				f, steps, sent := fullFed(t, db), map[string]bool{}, false
				for _, c := range walks {
					if c.definition != d.Flow.Key {
						continue
					}
					form := with(t, c.form, c.over)
					req := f.submit(c.by, c.definition, c.unit, form)
					if !sent {
						sent = true
						f.sentBackOnce(d, req, c.by, form)
					}
					got := f.walk(d, req, c.fill)
					if got != c.asked {
						t.Errorf("%s asked\n%s, want\n%s", c.over, got, c.asked)
					}
					f.status(req, flow.Approved)
					f.sound(req)
					for _, part := range strings.Fields(got) {
						name, _, _ := strings.Cut(part, ":")
						steps[name] = true
					}
				}
				for _, s := range d.Flow.Steps() {
					if !steps[s.Name] {
						t.Errorf("no form of the table comes to %s", s.Name)
					}
				}
			})
		})
	}
}

// sentBackOnce sends a request back to its requester from its first step, who
// hands it in again as it was.
func (f *fed) sentBackOnce(d *workflow.Definition, request id.ID, requester, form string) {
	f.t.Helper()
	first := f.waiting(d, request)[0]
	f.decide(nameOf[first.Person], request, workflow.SendBack, "请再核对一遍")
	f.status(request, flow.Returned)
	f.resubmit(requester, request, 1, form)
	f.status(request, flow.Open)
}

// A date that moves asks those again who answer for the date, and nobody else.
func TestMovedDatesAskOnlyWhoAnswersForThem(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := fullFed(t, db)
		for _, c := range []struct{ definition, by, unit, form, over, moved, asked string }{
			{"supervision.activity", "ayinuer", "society.robotics", open15, `{"room":"room_1"}`,
				`{"room":"room_2","start":"2026-11-22T09:00:00+08:00","end":"2026-11-22T17:00:00+08:00"}`, "teacher:league.teacher"},
			{"supervision.activity", "csmember", "college.cs", collegeA, "", `{"start":"2026-11-19T09:00:00+08:00"}`, "own:college.cs.head"},
			{"publicity.board", "ayinuer", "society.robotics", poster, "", `{"from":"2026-11-03"}`, "placement:publicity.deputy+publicity.head"},
			{"publicity.board", "ayinuer", "society.robotics", poster, `{"campus":true}`, `{"places":["board_west"]}`, "placement:publicity.deputy+publicity.head teacher:league.teacher"},
			{"publicity.board", "ayinuer", "society.robotics", poster, "", `{"image":` + strings.ReplaceAll(file1, "aaaa", "bbbb") + `}`,
				"design:publicity.member content:publicity.head placement:publicity.deputy+publicity.head"},
		} {
			d := builtin(t, c.definition)
			form := with(t, c.form, c.over)
			req := f.submit(c.by, c.definition, c.unit, form)
			f.walk(d, req, nil)
			f.status(req, flow.Approved)
			f.desk.asked = nil
			out, err := f.svc.Amend(bg, by(c.by), workflow.AmendInput{Request: req, Form: jsonForm(t, with(t, form, c.moved)), IdempotencyKey: f.key()})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(f.desk.asked, d.Facts) {
				t.Errorf("%s: the desks were asked %v", c.definition, f.desk.asked)
			}
			if got := f.walk(d, out.Request, nil); got != c.asked {
				t.Errorf("%s %s asked %s, want %s", c.definition, c.moved, got, c.asked)
			}
			f.status(out.Request, flow.Approved)
		}
	})
}

// The heads of the department that asks have no say in its charter, and four
// of the five must agree.
func TestCharterFailsWhenTwoHeadsRefuse(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := fullFed(t, db)
		req := f.submit("ayinuer", "office.charter", "society.robotics", bylaw)
		f.approve(req, "hejing", "suhead")
		f.decide("shenyue", req, workflow.Reject, "不同意")
		f.status(req, flow.Open)
		f.decide("pan", req, workflow.Reject, "不同意")
		f.status(req, flow.Rejected)
	})
}

// An objection during the notice sends a charter back, and silence is none.
func TestObjectionSendsACharterBack(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		f := fullFed(t, db)
		req := f.submit("ayinuer", "office.charter", "society.robotics", bylaw)
		f.approve(req, "hejing", "suhead", "shenyue", "pan", "chair", "liu")
		f.decide("cshead", req, workflow.SendBack, "第三条有歧义")
		f.status(req, flow.Returned)
	})
}

// Judges do not see who applies; what they sign holds none of it.
func TestResearchIsJudgedWithoutNames(t *testing.T) {
	d := builtin(t, "activity.research")
	panel := d.Flow.Step("panel")
	for _, field := range []string{"/team", "/advisor", "/college", "/files", "/previous"} {
		if panel.Right(field) != flow.Hide || flow.Covers(panel.Reads, field) {
			t.Errorf("%s is shown to the judges", field)
		}
	}
}
