package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kelian/auth"
	"kelian/file"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	mk "kelian/internal/testkit/make"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// more hold the seats that the definitions ask beside those of cast.
var more = map[string]string{"zhuxi": "fed.chair", "shuji": "league.secretary", "fushuji": "league.deputy", "odeputy": "office.deputy", "suhead": "supervision.head",
	"sudeputy": "supervision.deputy", "wei": "supervision.member", "yan": "supervision.member", "pan": "publicity.head", "pudeputy": "publicity.deputy", "reporter": "publicity.member",
	"techdeputy": "technical.deputy", "fang": "technical.information.member", "ling": "liaison.member", "mech": "college.mech.head", "cshead": "college.cs.head",
	"csmember": "college.cs.member", "aichair": "society.ai.chair", "tang": "society.ai.advisor", "ee": "college.ee.head", "chem": "college.chem.head", "sci": "college.science.head"}

// ordinary is one request of each kind as people make them: FILE is a file of
// the requester's.
var ordinary = map[string][3]string{ // by, unit, form
	"office.property":        {"zhouhang", "technical.information", `{"action":"buy","items":[{"name":"光模块","qty":1},{"name":"尾纤","qty":4}],"prices":[68000,6000],"total":74000,"quote":"甲公司 10月1日报价，货到付款，质保一年"}`},
	"supervision.activity":   {"ayinuer", "society.robotics", `{"host":"society.robotics","title":"机器人开放日","kind":"open_day","start":"2026-11-15T09:00:00+08:00","end":"2026-11-15T17:00:00+08:00","place":"体育馆东侧","people":90,"safety_plan":"四名安全员，急救包一只，疏散路线已贴出。","external":false,"budget":50000,"plan":"上午布展，下午参观和体验，傍晚收尾；三名社员维持秩序，一名老师在场。"}`},
	"supervision.inspection": {"luyuan", "supervision", `{"target":"society.robotics","found_on":"2026-10-13","severity":"middle","findings":[{"rule":"用电安全第二条","what":"活动室私接插座，夜间无人时未断电"}],"deadline":"2026-10-30"}`},
	"office.charter":         {"odeputy", "office", `{"kind":"amend","scope":"department","title":"报修值班办法","clauses":[{"no":"第三条","old":"每日一人值班","new":"每日两人值班，其中一人会网络"}],"reason":"本学期报修比去年同期增加三成，一人值班来不及。","effective":"2026-12-01"}`},
	"office.plan":            {"zhouhang", "technical", `{"dept":"technical","span":"month","period":"2026年11月","goals":[{"text":"义诊两场","owner":"技术部部长","due":"2026-11-30"},{"text":"培训新干事","owner":"信息中心","due":"2026-11-20"}],"last_result":"义诊一场，修好电脑 31 台"}`},
	"office.reimburse":       {"zhouhang", "technical", `{"purpose":"机器人开放日物料","approved_request":"科联审〔2026〕第0123号","approved_amount":60000,"invoice_numbers":["25117000001","25117000002"],"invoice_amounts":[30000,15000],"total":45000,"spent_on":"2026-10-12"}`},
	"office.seal":            {"zhouhang", "technical", `{"seal":"federation","title":"活动证明","recipient":"教务处","copies":2,"document":FILE,"external":false,"carried_out":false}`},
	"publicity.board":        {"ayinuer", "society.robotics", `{"title":"开放日海报","image":FILE,"paper_size":"a2","places":["board_east"],"from":"2026-11-02","to":"2026-11-08","sponsor_logo":false,"campus":false}`},
	"publicity.article":      {"ayinuer", "society.robotics", `{"category":"news","title":"机器人协会开放日","body":"` + strings.Repeat("昨天下午，机器人协会在体育馆举办了开放日，三百名同学参加。", 12) + `","source":"宣传部","external":false}`},
	"liaison.sponsor":        {"ling", "liaison", `{"company":"星河电脑店","kind":"cash","amount":200000,"returns":[{"what":"展板署名"},{"what":"公众号致谢一次"}],"exclusive":false,"student_data":false}`},
	"liaison.exchange":       {"ling", "liaison", `{"university":"邻校","title":"双校电子设计交流","kind":"visit","start":"2026-11-20T09:00:00+08:00","end":"2026-11-20T17:00:00+08:00","place":"本校","people":20,"travel":false,"budget":50000}`},
	"technical.change":       {"zhouhang", "technical.information", `{"title":"核心交换机升级","systems":["core"],"risk":"middle","start":"2026-11-01T01:00:00+08:00","end":"2026-11-01T02:00:00+08:00","downtime":10,"what":"升级固件到当前长期支持版","rollback_plan":"回退到原固件，配置已另存","backup_done":true}`},
	"technical.training":     {"zhouhang", "technical", `{"topic":"装系统","trainer":"TRAINER","sessions":[{"start":"2026-11-20T10:00:00Z","end":"2026-11-20T12:00:00Z"},{"start":"2026-11-27T10:00:00Z","end":"2026-11-27T12:00:00Z"}],"room":"room_1","seats":30}`},
	"activity.competition":   {"reporter", "publicity", `{"stage":"plan","track":"design","title":"创意设计大赛","plan":"初赛线上提交作品，决赛现场展示；评委由五名老师和干事抽签产生。","works_rights":"作品归作者所有，主办方可展示","ends":"2026-12-20","budget":300000}`},
	"activity.research":      {"csmember", "college.cs", `{"stage":"apply","title":"桥梁振动监测","college":"college.cs","team":[{"name":"李雪","student_number":"2025010822"}],"category":"invention_a","abstract":"用低成本传感器监测人行桥的振动，并给出预警的方法与样机。","budget":800000,"ethics":false}`},
	"meta.publish":           {"odeputy", "office", `{"definition":"office.small","title":"小额采购","summary":"五百元以下由主任批准","text":"key: office.small\nunit: office\ntitle: {zh: 小额采购, en: Small purchases}\nabout: {zh: 五百元以下, en: Below 500 yuan.}\nform:\n  required: [title]\n  properties:\n    title: {type: string, maxLength: 80, x-title: {zh: 名称, en: Title}}\nflow:\n  - {step: keeper, title: {zh: 管理员, en: Keeper}, ask: seat(office.keeper), reads: [/title]}\n  - {step: head, title: {zh: 主任, en: Head}, ask: seat(office.head), due: 2bd, on_due: {then: remind}}\nsend_back: {targets: [start], max: 3}\npolicy: {dedupe: off, empty: league.deputy}\n","league":false}`},
	"meta.seat":              {"odeputy", "office", `{"seat":"technical.deputy","person":"TRAINER","kind":"full","from":"2026-11-01","reason":"换届"}`},
}

// fully opens the world with somebody on every seat that is asked.
func fully(t *testing.T) *world {
	t.Helper()
	w := open(t)
	for login, seat := range more {
		p, err := w.deps.Auth.AddUser(bg, auth.NewUser{Login: login, Password: password, Person: org.NewPerson{Name: "王" + login, Number: "2024" + login}, Seats: []string{seat}})
		if err != nil {
			t.Fatal(login, err)
		}
		w.people[login] = p
	}
	mk.InTx(t, w.db, func(_ context.Context, tx *store.Tx) error {
		for _, unit := range []string{"office", "supervision", "liaison", "publicity", "fed"} {
			tx.QueueSQL(`INSERT INTO portfolio (unit_id, seat_id, person_id, from_at) SELECT unit.id, seat.id, ?, ? FROM unit, seat WHERE unit.code = ? AND seat.name = 'fed.vice'`,
				w.people["guchen"], w.clock.Now().AddDate(0, -1, 0), unit)
		}
		return nil
	})
	return w
}

// ask submits the ordinary request of a kind.
func (w *world) ask(kind string) id.ID {
	w.t.Helper()
	x := ordinary[kind]
	form := strings.ReplaceAll(x[2], "TRAINER", w.people["linxiaoman"].TypeID("per"))
	if strings.Contains(form, "FILE") {
		f, err := w.deps.File.Store(bg, w.actor(x[0]), file.Input{Name: "附件.pdf", Body: strings.NewReader("%PDF-1.7 " + kind)})
		if err != nil {
			w.t.Fatal(err)
		}
		form = strings.ReplaceAll(form, "FILE", fmt.Sprintf(`{"file":%q,"sha256":%q}`, f.ID.TypeID("fil"), f.SHA256))
	}
	var values map[string]any
	d := json.NewDecoder(strings.NewReader(form))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		w.t.Fatal(kind, err)
	}
	out, err := w.deps.Workflow.Submit(bg, w.actor(x[0]), workflow.SubmitInput{Definition: kind, Unit: x[1], Form: values, IdempotencyKey: kind})
	if err != nil {
		w.t.Fatalf("%s: %v", kind, err)
	}
	return out.Request
}

var fills = map[string]map[string]any{"respond": {"answer": "已拆除私接插座，并贴了断电提醒"}, "register": {"register_no": "2026-031"}}

// approveAll has everybody approve who is asked, as far as it goes without
// waiting for a notice to end.
func (w *world) approveAll(who string, req id.ID) {
	w.t.Helper()
	for range 40 {
		v, err := w.deps.Workflow.Request(bg, w.actor(who), req)
		if err != nil {
			w.t.Fatal(err)
		}
		again := false
		for _, s := range v.OpenSteps() {
			for _, t := range s.Tasks {
				if t.State != flow.TaskOpen || s.Rule.Kind == flow.Objection || again {
					continue
				}
				in := workflow.DecideInput{Task: t.ID, Verdict: workflow.Approve, FormRev: v.FormRev,
					Comment: "同意，请按方案执行，注意安全。", Fields: fills[s.Name], IdempotencyKey: t.ID.String()}
				if s.Rule.Score > 0 {
					in.Score = new(88)
				}
				_, err := w.deps.Workflow.Decide(bg, org.Actor{Person: t.Who.Person, Lang: "zh"}, in)
				if err != nil && !fault.IsRule(err, "ALREADY_SETTLED") {
					w.t.Fatalf("%s: %v", s.Name, err)
				}
				again = true
			}
		}
		if !again {
			return
		}
		w.clock.Advance(time.Minute)
	}
}

var (
	article = regexp.MustCompile(`(?s)<article.*</article>`)
	pdfPage = regexp.MustCompile(`/Type\s*/Page[^s]`)
)

// An ordinary request of every kind prints on one sheet of A4, before anybody
// signed and with every signature. Where a browser is at hand
// (KELIAN_CHROMIUM) the pages are counted, else the texts are read.
func TestEveryFormIsOneSheet(t *testing.T) {
	w := fully(t)
	defs, err := w.deps.Workflow.Definitions(bg, w.actor("hejing"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var sheets []string
	for _, d := range defs {
		by := ordinary[d.Key][0]
		if by == "" {
			t.Errorf("no ordinary request of %s is known", d.Key)
			continue
		}
		req := w.ask(d.Key)
		b := w.in(by, "zh")
		path := "/requests/" + req.TypeID("req") + "/print"
		for _, signed := range []bool{false, true} {
			if signed {
				w.approveAll(by, req)
			}
			b.get(path).want(200, d.Title.Zh+"审批表", "科联", "核验本表真伪", "记录校验值")
			if signed != strings.Contains(b.body, "请按方案执行") {
				t.Errorf("%s: signed is %v, and the sheet says otherwise", d.Key, signed)
			}
			names = append(names, fmt.Sprint(d.Key, " signed=", signed))
			sheets = append(sheets, article.FindString(b.body))
		}
	}
	browser := os.Getenv("KELIAN_CHROMIUM")
	if browser == "" {
		return
	}
	css := read(t, "assets/kelian.css")
	if n := pages(t, browser, css, sheets...); n == len(sheets) {
		return
	}
	for i := range sheets {
		if n := pages(t, browser, css, sheets[i]); n != 1 {
			t.Errorf("%s prints on %d sheets", names[i], n)
		}
	}
}

// pages prints sheets, each beginning a page, and counts the pages.
func pages(t *testing.T, browser, css string, sheets ...string) int {
	t.Helper()
	dir := t.TempDir()
	html := `<!doctype html><html lang="zh-CN"><meta charset="utf-8"><style>` + css + `article + article { break-before: page; }</style><body>` + strings.Join(sheets, "") + `</body></html>`
	if err := os.WriteFile(filepath.Join(dir, "in.html"), []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.pdf")
	// Its helpers outlive it: they get a file, for a pipe would be waited for.
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	ctx, stop := context.WithTimeout(bg, 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--user-data-dir="+dir, "--print-to-pdf="+out, "file://"+filepath.Join(dir, "in.html"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("%v: %s", err, said)
	}
	pdf, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return len(pdfPage.FindAll(pdf, -1))
}
