package web_test

import (
	"strings"
	"testing"
	"time"

	"kelian/internal/id"
	"kelian/workflow"
)

// visit is a workflow with everything that people can do beside deciding.
const visit = `key: liaison.visit
unit: liaison
title: {zh: 出访申请, en: A visit}
about: {zh: 去兄弟高校交流前提交。, en: Before a visit to a brother university.}
form:
  required: [title, day]
  properties:
    title: {type: string, maxLength: 40, x-title: {zh: 名称, en: Title}}
    day: {type: string, format: date, x-title: {zh: 日期, en: Day}}
    grant: {type: integer, minimum: 0, maximum: 100000000, x-title: {zh: 核定金额, en: Granted}, x-ui: {kind: money}}
flow:
  - step: head
    title: {zh: 外联部部长, en: Head of external relations}
    ask: seat(liaison.head)
    reads: [/title]
    due: 2bd
    paper: true
  - step: money
    title: {zh: 办公室核定金额, en: The office grants}
    ask: [seat(office.head), seat(office.keeper)]
    rule: any
    reads: [/day]
    fields: {require: [/grant]}
send_back: {targets: [start, head], max: 9}
policy: {withdraw_days: 3, stop: [seat(league.teacher)]}
close_out:
  after: /day
  due: 2bd
  form:
    required: [summary]
    properties:
      summary: {type: string, maxLength: 200, x-title: {zh: 总结, en: Summary}}
      people: {type: integer, minimum: 0, maximum: 20000, x-title: {zh: 人数, en: People}}
`

// visited opens the world with a request of 周航's for a visit.
func visited(t *testing.T) (w *world, z *browser, req string) {
	t.Helper()
	w = open(t)
	if _, err := w.deps.Workflow.Publish(bg, w.actor("hejing"), workflow.PublishInput{Source: visit, Understaffed: true, IdempotencyKey: "v"}); err != nil {
		t.Fatal(err)
	}
	z = w.in("zhouhang", "zh")
	return w, z, z.visit("访问浙大")
}

func (b *browser) visit(title string) string {
	b.w.t.Helper()
	b.post("/requests/new/liaison.visit", "act", "send", "unit", "technical.information", "/title", title, "/day", "2026-11-20").follow().want(200, title)
	return strings.Split(b.at, "?")[0]
}

// act posts a form of the request's page about its reader's task.
func (b *browser) act(req string, pairs ...string) *browser {
	b.w.t.Helper()
	b.get(req)
	return b.post(req, append(pairs, "task", b.hidden("task"), "rev", "1")...)
}

func TestATaskIsHandedOnByName(t *testing.T) {
	w, z, req := visited(t)
	s := w.in("shenyue", "zh")
	s.get(req).want(200, "转交给别人办", "加签")
	s.act(req, "act", "transfer", "who", "").want(422, "请写姓名")
	s.act(req, "act", "transfer", "who", "诸葛").want(422, "没有找到“诸葛”").keeps("诸葛")
	s.act(req, "act", "transfer", "who", "老师", "comment", "我出差").want(422, "不止一人", "刘老师：", "韩老师：").keeps("我出差")
	s.act(req, "act", "transfer", "who", "周航").want(422, "申请人不能审批")
	s.act(req, "act", "transfer", "who", "老师", "person", w.people["liu"].TypeID("per"), "comment", "我出差").follow().want(200, "已转交", "转交给 刘老师", "我出差").lacks("转交给别人办")
	w.in("liu", "zh").get("/inbox").want(200, "访问浙大")
	z.get(req).want(200, "正在等谁", "刘老师").lacks("转交给别人办")
	z.post(req, "act", "transfer", "task", "nothing", "who", "刘老师").want(404)
}

func TestSignersAreAddedAndHeardFirst(t *testing.T) {
	w, _, req := visited(t)
	s := w.in("shenyue", "zh")
	s.act(req, "act", "signers", "who", "陆远、何静", "place", "before", "rule", "turn").follow().want(200, "加签 陆远、何静", "（轮到时再问）").lacks("你的意见")
	l := w.in("luyuan", "zh")
	l.act(req, "act", "approve").want(303)
	w.in("hejing", "zh").act(req, "act", "approve").want(303)
	s.get(req).want(200, "你的意见")
	s.act(req, "act", "signers", "who", "陆远", "place", "sideways").want(422)
}

// What an approver has to fill in stands in the form of the decision, and what
// is missing or wrong beside its field.
func TestTheApproverFillsIn(t *testing.T) {
	w, z, req := visited(t)
	w.in("shenyue", "zh").act(req, "act", "approve").want(303)
	h := w.in("hejing", "zh")
	h.get(req).want(200, "请你填写", "核定金额 （元） 必填")
	h.act(req, "act", "approve", "comment", "按标准").want(422, "同意前请填写", "按标准")
	h.act(req, "act", "approve", "/grant", "很多").want(422).keeps("很多")
	h.act(req, "act", "approve", "/grant", "500").follow().want(200, "意见已提交", "打开刚才办的申请")
	z.get(req).want(200, "已同意", "核定金额 500 元", "第 2 次修订")
}

func TestADecisionIsTakenBackInTime(t *testing.T) {
	w, _, req := visited(t)
	s := w.in("shenyue", "zh")
	s.act(req, "act", "approve").follow()
	s.get(s.link(`/requests/req_\w+`)).want(200, "你刚办过“外联部部长”", "撤销我的决定")
	w.in("songlan", "zh").get(req).lacks("撤销我的决定")
	s.post(req, "act", "undo", "task", s.hidden("task")).follow().want(200, "已撤销", "你的意见", "本人已撤销")
	s.act(req, "act", "approve").want(303)
	w.clock.Advance(11 * time.Minute)
	s.get(req).want(200).lacks("撤销我的决定")
}

func TestRemarksThatMustBeResolved(t *testing.T) {
	w, z, req := visited(t)
	s := w.in("shenyue", "zh")
	s.get(req)
	s.post(req, "act", "comment", "comment", "名单呢？", "blocking", "yes").follow().want(200, "名单呢？", "必须处理", "标为已处理")
	s.act(req, "act", "approve", "comment", "没有意见").want(422, "还有必须处理的意见", "没有意见")
	z.get(req).want(200, "有“必须处理”的留言").lacks("标为已处理")
	z.post(req, "act", "comment", "comment", "", "blocking", "yes").want(422, "请写明理由")
	z.post(req, "act", "comment", "comment", "x", "blocking", "yes").want(422, "只有正在审批的人")
	s.post(req, "act", "resolve", "n", "1").follow().want(200, "已标为处理", "已处理")
	s.act(req, "act", "approve").want(303)
	s.post(req, "act", "resolve", "n", "1").want(422)
}

func TestTheRequesterNudgesAndCopies(t *testing.T) {
	w, z, req := visited(t)
	z.get(req).want(200, "催办", "每 4 小时一次")
	z.post(req, "act", "nudge").follow().want(200, "已催办", "上次催办： 10月14日", "共 1 次", "14:00 起可以再催").lacks(`value="nudge"`)
	z.post(req, "act", "nudge").want(422, "刚催办过")
	w.in("shenyue", "zh").get(req).want(200, "共 1 次").lacks(`value="nudge"`)
	w.in("ayinuer", "zh").get(req).want(404)
	z.post(req, "act", "copy", "who", "阿依努尔·买买提，韩老师", "comment", "供参考").follow().want(200, "已抄送", "抄送给", "阿依努尔·买买提", "供参考")
	w.in("ayinuer", "zh").get(req).want(200, "访问浙大").lacks("你的意见")
}

func TestWhyItWaits(t *testing.T) {
	w, z, req := visited(t)
	z.get(req).want(200, "正在等谁", "外联部部长 ：沈悦", "一人同意即可", "2 个工作日", "学生时段", "整个流程走到哪了", "办公室核定金额 还没到")
	w.in("shenyue", "en").act(req, "act", "approve").want(303)
	z.get(req).want(200, "最快：只要这几位同意——")
	w.in("zhouhang", "en").get(req).want(200, "one approval is enough", "no due time")
}

// An approved request is changed: whom it asks again is shown before.
func TestAnApprovedRequestIsAmended(t *testing.T) {
	w, z, req := visited(t)
	z.get(req + "/amend").want(404)
	w.in("shenyue", "zh").act(req, "act", "approve").want(303)
	w.in("hejing", "zh").act(req, "act", "approve", "/grant", "500").want(303)
	z.get(req).want(200, "变更")
	w.in("shenyue", "zh").get(req + "/amend").want(404)
	z.get(req+"/amend").want(200, "变更 ", "原来的仍然有效").keeps("访问浙大", "500").lacks(">提交变更<")
	form := func(act, day string) []string {
		return []string{"act", act, "/title", "访问浙大", "/grant", "500", "/day", day}
	}
	z.post(req+"/amend", form("preview", "2026-11-20")...).want(200, "没有改动").lacks(">提交变更<")
	z.post(req+"/amend", form("preview", "")...).want(422, "日期").lacks(">提交变更<")
	z.post(req+"/amend", form("preview", "2026-11-27")...).want(200, "改了什么", "11月27日", "外联部部长 沿用，不用再审", "何静", "提交变更")
	z.post(req+"/amend", form("send", "2026-11-27")...).follow().want(200, "变更已提交", "这是一份变更申请", "办公室核定金额")
	next := strings.Split(z.at, "?")[0]
	w.in("shenyue", "zh").get("/inbox").want(200, "没有待办")
	z.post(req+"/amend", form("send", "2026-11-28")...).want(422, "已有一份变更在办理")
	h := w.in("hejing", "zh").get(next)
	h.post(next, "act", "approve", "task", h.hidden("task"), "rev", "1", "/grant", "500").want(303)
	w.drain()
	z.get(req).want(200, "已变更", "已由一份变更申请代替").lacks("/amend")
}

func TestAnApprovedRequestIsStoppedAndReportedOn(t *testing.T) {
	w, z, req := visited(t)
	z.get(req + "/close-out").want(404)
	w.in("shenyue", "zh").act(req, "act", "approve").want(303)
	w.in("hejing", "zh").act(req, "act", "approve", "/grant", "500").want(303)
	z.get(req).want(200, "前提交结项材料")
	z.post(req+"/close-out", "act", "send", "/people", "12").want(422, "总结").keeps("12")
	z.post(req+"/close-out", "act", "send", "/people", "12", "/summary", "去了三天", "comment", "照片另交").follow().want(200, "结项材料已提交", "总结 去了三天", "人数 12", "照片另交")
	w.in("shenyue", "zh").get(req).want(200, "去了三天").lacks("close-out")
	z.get(req + "/close-out").want(200).keeps("12")
	l := w.in("liu", "zh").get(req).want(200, "叫停")
	l.post(req, "act", "stop", "comment", "").want(422, "请写明理由")
	l.post(req, "act", "stop", "comment", "当天有重要会议").follow().want(200, "已叫停", "当天有重要会议")
	z.get(req).want(200, "已叫停").lacks("/amend")
	z.post(req, "act", "stop", "comment", "x").want(422)
}

// The office enters a signed paper by the code on it; others find no such page.
func TestThePaperOfficeEntersASignature(t *testing.T) {
	w, z, req := visited(t)
	z.get(req + "/print").want(200)
	code := strings.Split(strings.Split(z.body, public+"/verify/")[1], "<")[0]
	z.get("/paper").want(404)
	z.get("/paper/" + code).want(404)
	h := w.in("hejing", "zh")
	h.get("/requests").want(200, "录入纸质意见")
	h.get("/verify/"+code).want(200, "录入纸质意见")
	h.get("/paper?code="+code).follow().want(200, "沈悦 · 外联部部长", "纸上的审批表须是第 1 版", "签字页的照片或扫描件")
	h.get("/paper/zzzzzzzzzz").want(404)
	h.get("/paper/" + code)
	task := "tsk_" + strings.Split(strings.Split(h.body, `<option value="tsk_`)[1], `"`)[0]
	h.send("/paper/"+code, "task", task, "rev", "1", "act", "approve", "comment", "同意").want(422, "请拍下或选择签字页", "同意")
	h.send("/paper/"+code, "task", task, "rev", "1", "act", "", "@scan", "%PDF-1.7 signed").want(422, "请选择同意", "报价单.pdf")
	scan, sum := h.hidden("scan/file"), h.hidden("scan/sha256")
	h.post("/paper/"+code, "task", task, "rev", "1", "act", "approve", "comment", "同意出访", "scan/file", scan, "scan/sha256", sum).follow().want(200, "已录入", "没有可以用纸质意见办理的步骤")
	z.get(req).want(200, "同意出访", "纸质", "扫描件")
	if !strings.Contains(z.body, "/files/"+scan) {
		t.Error("the scan cannot be opened from the request")
	}
	s := w.in("shenyue", "zh").get(req).want(200, "办公室代录了你的纸质意见", "不是我签的")
	s.post(req, "act", "disown", "task", s.hidden("task")).want(422, "请写明理由")
	s.post(req, "act", "disown", "task", task, "comment", "那天我不在").follow().want(200, "已提出异议", "你的意见")
}

// Several tasks are decided in one press, and each says what became of it.
func TestSeveralTasksAtOnce(t *testing.T) {
	w, z, one := visited(t)
	two, three := z.visit("访问复旦"), z.visit("访问南大")
	s := w.in("shenyue", "zh")
	s.get("/inbox").want(200, "访问浙大", "访问复旦", "访问南大", "一起办理勾选的待办")
	box := map[string]string{}
	for _, part := range strings.Split(s.body, `name="task" value="`)[1:] {
		for _, title := range []string{"访问浙大", "访问复旦", "访问南大"} {
			if strings.Contains(strings.Split(part, "</li>")[0], title) {
				box[title] = strings.Split(part, `"`)[0]
			}
		}
	}
	s.post("/inbox", "act", "approve").want(422, "请先勾选")
	s.post("/inbox", "act", "reject", "task", box["访问浙大"]).want(422, "请写明理由")
	s.post("/inbox", "act", "approve", "task", "nothing").want(404)
	s.get(three)
	s.post(three, "act", "comment", "comment", "名单呢？", "blocking", "yes").want(303)
	s.post("/inbox", "act", "approve", "comment", "同意", "task", box["访问浙大"], "task", box["访问复旦"], "task", box["访问南大"]).
		want(200, "办理结果", "已办 访问浙大", "已办 访问复旦", "没有办成 访问南大", "还有必须处理的意见")
	z.get(one).want(200, "办公室核定金额")
	z.get(two).want(200, "办公室核定金额")
	s.get("/inbox").want(200, "访问南大").lacks("访问复旦")
	z.post("/inbox", "act", "approve", "task", box["访问南大"]).want(200, "没有办成", "不能审批自己的申请")
}

// Before an edit is sent it is shown what changes and whose votes hold.
func TestAnEditShowsWhatItAsksAgain(t *testing.T) {
	w, z, req := visited(t)
	w.in("shenyue", "zh").act(req, "act", "approve").want(303)
	z.post(req+"/edit", "act", "preview", "rev", "1", "/title", "访问浙大", "/day", "2026-11-21").want(200, "改了什么", "11月21日", "外联部部长 沿用", "办公室核定金额")
	z.post(req+"/edit", "act", "preview", "rev", "1", "/title", "访问同济", "/day", "2026-11-20").want(200, "访问同济", "沈悦").lacks("沿用，不用再审")
	z.get(req).want(200, "访问浙大").lacks("访问同济")
}

// jury has judges who give points.
const jury = `key: liaison.jury
unit: liaison
title: {zh: 作品评分, en: A jury}
about: {zh: 示例。, en: An example.}
form:
  required: [title]
  properties:
    title: {type: string, maxLength: 40, x-title: {zh: 名称, en: Title}}
flow:
  - step: jury
    title: {zh: 评委, en: Jury}
    ask: [seat(liaison.head), seat(office.keeper)]
    rule: {pass: 2 of n, score: {max: 10, mean: 6}}
    reads: [/title]
    paper: true
`

// Points are given on the printed form, entered from it, and given for several
// requests at once; who leaves them out is told.
func TestPointsOnPaperAndForSeveral(t *testing.T) {
	w := open(t)
	if _, err := w.deps.Workflow.Publish(bg, w.actor("hejing"), workflow.PublishInput{Source: jury, Understaffed: true, IdempotencyKey: "j"}); err != nil {
		t.Fatal(err)
	}
	z, at := w.in("zhouhang", "zh"), map[string]string{}
	for _, title := range []string{"一号作品", "二号作品"} {
		z.post("/requests/new/liaison.jury", "act", "send", "unit", "technical.information", "/title", title).follow().want(200, title)
		at[title] = strings.Split(z.at, "?")[0]
	}
	z.get(at["一号作品"]+"/print").want(200, "评分（0–10）：")
	code := strings.Split(strings.Split(z.body, public+"/verify/")[1], "<")[0]
	h := w.in("hejing", "zh")
	h.get("/paper/"+code).want(200, "评分", "0–10")
	task := "tsk_" + strings.Split(strings.Split(strings.Split(h.body, "沈悦")[0], `<option value="tsk_`)[1], `"`)[0]
	h.send("/paper/"+code, "task", task, "rev", "1", "act", "approve", "comment", "好", "score", "11", "@scan", "%PDF-1.7 signed").want(422, "请打分：0 到 10").keeps("11")
	scan, sum := h.hidden("scan/file"), h.hidden("scan/sha256")
	h.post("/paper/"+code, "task", task, "rev", "1", "act", "approve", "comment", "好", "score", "7", "scan/file", scan, "scan/sha256", sum).follow().want(200, "已录入")

	s := w.in("songlan", "zh")
	s.get("/inbox").want(200, "评分", "0–10")
	names := map[string]string{}
	for _, part := range strings.Split(s.body, `name="task" value="`)[1:] {
		for title := range at {
			if strings.Contains(strings.Split(part, "</li>")[0], title) {
				names[title] = strings.Split(part, `"`)[0]
			}
		}
	}
	first, second := names["一号作品"], names["二号作品"]
	s.post("/inbox", "act", "approve", "task", first, "score "+strings.Fields(first)[0], "9", "task", second).want(200, "已办 一号作品", "没有办成 二号作品", "请打分：0 到 10")
	z.get(at["一号作品"]).want(200, "已同意", "同意 7 分", "同意 9 分")
	z.get(at["一号作品"]+"/print").want(200, "同意 7 分", "同意 9 分")
	s.act(at["二号作品"], "act", "approve", "score", "many").want(422, "请打分：0 到 10").keeps("many")
	s.act(at["二号作品"], "act", "approve", "score", "8").want(303)
}

// A decision's link asks what its step asks: points, fields; and takes the
// answer back in time.
func TestALinkAsksWhatItsStepAsks(t *testing.T) {
	w := open(t)
	source := strings.Replace(visit, "    fields: {require: [/grant]}\n", "    fields: {require: [/grant]}\n    link: true\n", 1)
	source = strings.Replace(source, "    paper: true\n", "    rule: {pass: 1 of n, score: {max: 10, mean: 6}}\n    link: true\n", 1)
	if _, err := w.deps.Workflow.Publish(bg, w.actor("hejing"), workflow.PublishInput{Source: source, Understaffed: true, IdempotencyKey: "v"}); err != nil {
		t.Fatal(err)
	}
	z := w.in("zhouhang", "zh")
	req := z.visit("访问浙大")
	which, err := id.Parse("req", strings.TrimPrefix(req, "/requests/"))
	if err != nil {
		t.Fatal(err)
	}
	at := "/d/" + w.link("shenyue", which)
	b := w.browser("zh")
	b.get(at).want(200, "评分", "0–10").lacks("核定金额")
	b.post(at, "act", "approve").want(422, "请打分：0 到 10")
	b.post(at, "act", "approve", "score", "7").follow().want(200, "已用这个链接提交过意见", "撤销我的决定")
	b.post(at, "act", "undo").follow().want(200, "你已撤销用这个链接作的决定").lacks("撤销我的决定")
	at = "/d/" + w.link("shenyue", which)
	b.get(at).want(200, "评分")
	b.post(at, "act", "approve", "score", "8").want(303)

	at = "/d/" + w.link("hejing", which)
	b.get(at).want(200, "请你填写", "核定金额 （元） 必填").lacks("评分")
	b.post(at, "act", "approve").want(422, "同意前请填写")
	b.post(at, "act", "approve", "/grant", "很多").want(422).keeps("很多")
	b.post(at, "act", "approve", "/grant", "500").follow().want(200, "已用这个链接提交过意见")
	z.get(req).want(200, "已同意", "核定金额 500 元", "8 分")
}
