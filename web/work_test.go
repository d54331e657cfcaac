package web_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"kelian/desk/repair"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"
	"kelian/workflow"
)

// module is the form of the optical module, as somebody fills it in.
func module(price string) []string {
	return []string{"unit", "technical.information", "/action", "buy", "/items/0/name", "光模块", "/items/0/qty", "1", "/prices/0", price, "/total", price, "/quote", "甲公司 10月1日"}
}

// A purchase from the first look at whom it asks to the printed form.
func TestPurchaseByForm(t *testing.T) {
	w := open(t)
	z := w.in("zhouhang", "zh")
	z.get("/requests").want(200, "物资借用、采购与报废")
	z.get("/requests/new/office.property").want(200, "事项", "物品清单", "合计 （元）", "先看看要找谁")
	z.lacks(">提交申请<")
	path := "/requests/new/office.property"
	z.post(path, append(module("680"), "act", "add:/items")...).want(200, "物品清单 2").keeps("680")
	if !strings.Contains(z.body, `name="/items/1/name"`) {
		t.Fatal("no second line")
	}
	wrong := module("680")
	wrong[11] = "700"
	z.post(path, append(wrong, "act", "preview")...).want(422, "合计与各项金额之和不一致", "宋岚", "何静").lacks(">提交申请<")
	z.post(path, append(module("680"), "act", "preview")...).want(200, "宋岚", "何静", "顾晨", "全程通常", "提交申请")
	form := url.Values{"key": {z.hidden("key")}, "act": {"send"}}
	for i, m := 0, module("680"); i < len(m); i += 2 {
		form.Set(m[i], m[i+1])
	}
	z.postForm(path, form).follow().want(200, "申请已提交", "光模块", "680 元", "正在等谁", "宋岚")
	req := strings.Split(z.at, "?")[0]
	z.postForm(path, form)
	if got := strings.Split(z.header.Get("Location"), "?")[0]; got != req {
		t.Fatalf("sent twice it is %s and %s", req, got)
	}

	// The requester and an outsider are refused with the rule and who can.
	s := w.in("songlan", "zh")
	s.get("/inbox").want(200, "物资管理员查库存", "周航")
	s.get(req).want(200, "你的意见", "库存")
	task := s.hidden("task")
	for _, who := range []string{"zhouhang", "luyuan"} {
		w.in(who, "zh").post(req, "act", "approve", "task", task, "rev", "1").want(422, "可以办理的岗位：办公室物资管理员")
	}
	ay := w.in("ayinuer", "zh").get(req).want(404, "阿依努尔")
	if absent := w.in("ayinuer", "zh").get("/requests/" + id.New().TypeID("req")).want(404); stripped(absent) != stripped(ay) {
		t.Fatal("a foreign request and an absent one look different")
	}

	s.post(req, "act", "approve", "task", task, "rev", "1", "comment", "没有库存").follow().want(200, "意见已提交", "没有待办")
	h := w.in("hejing", "zh")
	h.get(req)
	h.post(req, "act", "reject", "task", h.hidden("task"), "rev", "1").want(422, "请写明理由")
	h.post(req, "act", "approve", "task", h.hidden("task"), "rev", h.hidden("rev")).want(303)
	g := w.in("guchen", "zh")
	g.get(req).want(200, "退回修改", "没有库存")
	old := g.hidden("task")
	g.post(req, "act", "send-back", "to", "start", "task", old, "rev", "1", "comment", "报价已过期").want(303)
	g.post(req, "act", "approve", "task", old, "rev", "1").want(422)

	z.get("/inbox").want(200, "退回给我修改的申请")
	z.get(req).want(200, "顾晨 退回修改", "报价已过期", "修改并重新提交")
	z.get(req+"/edit").want(200, "报价已过期").keeps("680", "光模块")
	z.post(req+"/edit", append(module("860"), "act", "send", "rev", "1", "comment", "换了供货商")...).follow().want(200, "已重新提交", "第 2 次修订", "860 元", "换了供货商")

	// The new revision shows the old vote as lapsed, with the difference.
	h.get(req).want(200, "最近一次修改", "680 元", "860 元", "意见失效", "沿用对第 1 版的意见")
	h.post(req, "act", "approve", "task", h.hidden("task"), "rev", "1").want(422, "你打开之后，表单又改了", "860 元")
	h.post(req, "act", "approve", "task", h.hidden("task"), "rev", "2").want(303)
	g.get(req)
	g.post(req, "act", "approve", "task", g.hidden("task"), "rev", "2", "comment", "同意按新报价").want(303)
	z.get(req).want(200, "已同意")

	z.get(req+"/print").want(200, "物资借用、采购与报废审批表", "科联购〔2026〕第0001号", "申请人 周航", "物资管理员查库存", "何静", "同意按新报价", "顾晨", "2026年10月14日", "860 元", "签字")
	code := strings.Split(strings.Split(z.body, public+"/verify/")[1], "<")[0]
	w.browser("en").get("/verify/"+code).want(200, "genuine", "科联购〔2026〕第0001号", "approved").lacks("周航", "光模块")
	w.browser("en").get("/verify/zzzzzzzzzz").want(404)

	z.get(req+"/clone").follow().want(200).keeps("光模块", "860")
	w.drain()
	keeper := w.in("songlan", "zh")
	keeper.get("/purchases").want(200, "待出资", "860 元")
}

func TestEnglishForecastAndWithdraw(t *testing.T) {
	w := open(t)
	z := w.in("zhouhang", "en")
	z.post("/requests/new/office.property", append(module("680"), "act", "preview")...).want(200, "Who will be asked", "宋岚", "Keeper of property", "Send the request")
	z.post("/requests/new/office.property", append(module("680"), "act", "send")...).follow().want(200, "¥680")
	req := strings.Split(z.at, "?")[0]
	z.post(req, "act", "comment", "comment", "please hurry").follow().want(200, "please hurry")
	w.in("songlan", "en").post(req, "act", "withdraw").want(422)
	z.post(req, "act", "withdraw", "comment", "not needed").follow().want(200, "withdrawn", "not needed")
	w.in("songlan", "en").get(req).want(200).lacks("Your decision")
}

// An advisor decides by a link: looking changes nothing, a second press is
// told so, and an outdated link shows what changed.
func TestDecisionByLink(t *testing.T) {
	w := open(t)
	a := w.in("ayinuer", "zh")
	form := []string{"act", "send", "/host", "society.robotics", "/title", "机器人开放日", "/kind", "open_day", "/start", "2026-11-15T09:00", "/end", "2026-11-15T17:00",
		"/place", "体育馆", "/people", "40", "/budget", "500"}
	a.post("/requests/new/supervision.activity", form...).follow().want(200, "机器人开放日", "11月15日 第10周 周日 09:00", "500 元", "机器人")
	req := strings.Split(a.at, "?")[0]
	which, err := id.Parse("req", strings.TrimPrefix(req, "/requests/"))
	if err != nil {
		t.Fatal(err)
	}
	link := w.link("han", which)
	b := w.browser("zh")
	for range 3 {
		b.get("/d/"+link).want(200, "韩老师，请你处理", "机器人开放日", "体育馆", "只供你本人使用一次")
	}
	w.in("luyuan", "zh").post("/d/"+link, "act", "approve").want(422)
	b.post("/d/"+link, "act", "send-back", "to", "start").want(422, "请写明理由")
	// The form changes: the old link is void and shows why.
	v := url.Values{"key": {id.Secret(16)}, "act": {"send"}, "rev": {"1"}}
	for i := 2; i < len(form); i += 2 {
		v.Set(form[i], form[i+1])
	}
	v.Set("/place", "图书馆")
	a.postForm(req+"/edit", v).want(303)
	b.get("/d/"+link).want(200, "申请内容已修改", "体育馆", "图书馆").lacks(`value="approve"`)
	b.post("/d/"+link, "act", "approve").want(422)
	newer := w.link("han", which)
	b.get("/d/" + newer).want(200)
	b.post("/d/"+newer, "act", "approve", "comment", "同意举办").follow().want(200, "已用这个链接提交过意见")
	b.post("/d/"+newer, "act", "approve").want(422)
	a.get(req).want(200, "同意举办", "链接")
	w.browser("zh").get("/d/zzzz").want(404)
}

// link is the decision link that the person is sent.
func (w *world) link(who string, req id.ID) (token string) {
	w.t.Helper()
	items, _, err := w.deps.Workflow.Inbox(bg, w.actor(who), store.Page{First: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, x := range items {
		if x.Request == req {
			mk.InTx(w.t, w.db, func(ctx context.Context, tx *store.Tx) error {
				l, ok, err := w.deps.Workflow.IssueLink(ctx, tx, x.Task)
				if !ok {
					w.t.Error("the step is not decided by link")
				}
				token = l.Token
				return err
			})
		}
	}
	return token
}

// The ticket of an outage: who was asked and why, a part with its forecast, the
// evidence, and the trace that ties them.
func TestTicketOfAnOutage(t *testing.T) {
	w := open(t)
	w.outage()
	inc := "/incidents/" + w.incident.TypeID("inc")
	var z *browser
	who := ""
	for _, login := range []string{"zhouhang", "linxiaoman"} {
		if b := w.in(login, "zh"); strings.Contains(b.get("/inbox").body, "/tickets/tkt_") {
			z, who = b, login
		}
	}
	if z == nil {
		t.Fatal("nobody was given the ticket")
	}
	ticket := z.link(`/tickets/tkt_\w+`)
	z.get(ticket).want(200, "已派单，等接单", "会网络", "为什么是它")
	z.post(ticket, "act", "fix").want(422, "已派单，等接单")
	z.post(ticket, "act", "accept").follow().want(200, "处理中", "需要配件")
	z.post(ticket, "act", "needPart", "step", "preview", "part", "光模块", "amount", "六百").want(422, "金额写成").keeps("六百")
	z.post(ticket, "act", "needPart", "step", "preview", "part", "光模块", "amount", "680").want(200, "要找谁", "宋岚", "提交申请", "处理中")
	z.post(ticket, "act", "needPart", "step", "send", "part", "光模块", "amount", "680").follow().want(200, "等配件", "计时暂停", "看申请")
	z.get(z.link(`/requests/req_\w+`)).want(200, "光模块", named[who])

	z.get(inc).want(200, "接入交换机 2", "它的上级都正常", "根因证明已通过独立核验", "没有回应", "七舍网关")
	h := w.in("techhead", "zh")
	h.get(inc).want(200, "确认，我来跟进")
	h.post(inc, "note", "在看").follow().want(200, "秦部长", "在看").lacks("确认，我来跟进</button>")
	z.get("/incidents").want(200, "未恢复", "已确认")

	tr := z.get("/trace/"+w.incident.TypeID("inc")).want(200, "故障 2026-0001", "报修", "等配件", "你从这里来")
	if strings.Index(tr.text(), "故障 2026-0001") > strings.Index(tr.text(), "等配件") {
		t.Fatal("the effect stands before its cause")
	}
	// Who may not see the request sees that something is there and not what.
	w.in("ayinuer", "zh").get("/trace/"+w.incident.TypeID("inc")).want(200, "你看不到这一项").lacks("科联购")
	w.in("ayinuer", "zh").get("/trace/" + id.New().TypeID("inc")).want(404)
	w.in("ayinuer", "zh").get(ticket).want(404)
}

// The contact of a reporter is shown to who has the ticket, on a press that is
// recorded.
func TestContactIsRecorded(t *testing.T) {
	w := open(t)
	w.browser("zh").post("/repair", "act", "send", "kind", "COMPUTER", "building", "7舍", "text", "蓝屏", "name", "王伟", "contact-kind", "phone", "contact-value", "13800001234", "consent", repair.ConsentVersion).want(303)
	h := w.in("techhead", "zh")
	h.get("/tickets").want(200, "已提交")
	ticket := h.link(`/tickets/tkt_\w+`)
	h.get(ticket).want(200, "王*").lacks("13800001234", "王伟")
	h.post(ticket, "act", "contact").want(403).lacks("13800001234")
	z := w.in("zhouhang", "zh")
	z.post(ticket, "act", "claim").follow().want(200, "联系报修人").lacks("13800001234")
	z.post(ticket, "act", "contact").want(200, "王伟", "13800001234")
	z.post(ticket, "act", "note", "note", "周五来修", "public", "yes").follow().want(200, "周五来修")
	var n int
	if err := w.db.R.NewRaw(`SELECT count(*) FROM audit WHERE action = 'repair.contact' AND actor = ?`, w.people["zhouhang"]).Scan(bg, &n); err != nil || n != 1 {
		t.Fatalf("the look is recorded %d times (%v)", n, err)
	}
}

// Money: confirmed by the finance seat, spent by the head of liaison in one
// press that asks for the password again when it is some time ago.
func TestPledgeAndPurchase(t *testing.T) {
	w := open(t)
	head := w.actor("shenyue")
	company, err := w.deps.Sponsor.CreateOrganisation(bg, head, organisation("星河科技"))
	if err != nil {
		t.Fatal(err)
	}
	plg := w.agreed(company)
	f := w.in("caiwu", "zh")
	f.get("/pledges").want(200, "星河科技", "已约定", "确认到账")
	f.post("/pledges", "act", "receive", "pledge", plg, "amount", "2000").want(422)
	f.post("/pledges", "act", "receive", "pledge", plg, "amount", "2000", "voucher", "2026-118").follow().want(200, "到账/到物", "2000 元")

	z := w.in("zhouhang", "zh")
	z.post("/requests/new/office.property", append(module("860"), "act", "send")...).follow()
	req := strings.Split(z.at, "?")[0]
	for _, who := range []string{"songlan", "hejing", "guchen"} {
		b := w.in(who, "zh").get(req)
		b.post(req, "act", "approve", "task", b.hidden("task"), "rev", "1").want(303)
	}
	w.drain()
	s := w.in("shenyue", "zh")
	s.get("/pledges").want(200, "等待出资", "860 元").keeps("860")
	pur := s.hidden("purchase")
	s.lacks(`type="password"`)
	w.clock.Advance(11 * time.Minute)
	s.get("/pledges").want(200, "再输入一次密码")
	s.post("/pledges", "act", "allocate", "pledge", plg, "purchase", pur, "amount", "860").want(422, "这一步需要再输入一次密码")
	s.post("/pledges", "act", "allocate", "pledge", plg, "purchase", pur, "amount", "860", "password", "wrong-wrong").want(422, "密码")
	s.post("/pledges", "act", "allocate", "pledge", plg, "purchase", pur, "amount", "860", "password", password).follow().want(200, "1140 元", "待致谢", "合计（应为零） 0 元")
	z.post("/pledges", "act", "allocate", "pledge", plg, "purchase", pur, "amount", "860").want(403)
	k := w.in("songlan", "zh")
	k.get("/purchases").want(200, "已出资")
	k.post("/purchases", "act", "arrive", "purchase", pur).follow().want(200, "已到货")
	w.in("ayinuer", "zh").get("/pledges").want(403)
}

// Who left only a phone number is told by a person.
func TestToTell(t *testing.T) {
	w := open(t)
	w.browser("zh").post("/repair", "act", "send", "kind", "COMPUTER", "building", "7舍", "text", "蓝屏", "name", "王伟", "contact-kind", "phone", "contact-value", "13800001234", "consent", repair.ConsentVersion).want(303)
	w.drain()
	h := w.in("techhead", "zh")
	h.get("/to-tell").want(200, "【科联】", "报修").lacks("13800001234")
	line := h.hidden("line")
	h.post("/to-tell", "act", "reveal", "line", line).want(200, "13800001234")
	h.post("/to-tell", "act", "NO_ANSWER", "line", line).follow().want(200, "没接通")
	h.post("/to-tell", "act", "TOLD", "line", line).follow().want(200, "都通知到了")
	w.in("ayinuer", "zh").get("/to-tell").want(200, "都通知到了")
}

func TestInboxNotices(t *testing.T) {
	w := open(t)
	w.outage()
	for _, login := range []string{"zhouhang", "linxiaoman"} {
		b := w.in(login, "zh").get("/inbox")
		if !strings.Contains(b.text(), "派给我的报修单") {
			continue
		}
		b.want(200, "新报修等你接单")
		b.post("/inbox").follow().want(200, "已全部标为已读")
		return
	}
	t.Fatal("nobody was told")
}

// A task's own address, as messages name it, leads to its request.
func TestInboxTask(t *testing.T) {
	w := open(t)
	z := w.in("zhouhang", "zh")
	z.post("/requests/new/office.property", append(module("680"), "act", "send")...).follow()
	items, _, err := w.deps.Workflow.Inbox(bg, w.actor("songlan"), store.Page{First: 1})
	if err != nil || len(items) != 1 {
		t.Fatal(items, err)
	}
	task := "/inbox/" + items[0].Task.TypeID(workflow.RefTask)
	w.in("songlan", "zh").get(task).follow().want(200, "你的意见")
	w.in("hejing", "zh").get(task).follow().want(200, "已经办完")
}

// A standing order is on the page of its seat; its draft is completed there.
func TestADraftOfAStandingOrderIsCompleted(t *testing.T) {
	w := open(t)
	order, err := w.deps.Workflow.CreateRecurrence(bg, org.Actor{Person: w.people["techhead"]}, workflow.RecurrenceInput{Definition: "office.plan", Unit: "technical",
		Seat: "technical.head", Title: "技术部月度计划", Rule: "FREQ=MONTHLY;BYMONTHDAY=25", Start: testkit.Start, IdempotencyKey: id.Secret(8),
		Form: map[string]any{"dept": "technical", "period": "{year}年{month}月"}})
	if err != nil {
		t.Fatal(err)
	}
	h := w.in("techhead", "zh")
	h.get("/requests").want(200, "定期申请", "技术部月度计划", "下一期").lacks("补全并提交")
	draft := id.New()
	mk.InTx(t, w.db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO occurrence (id, recurrence_id, at, state, opened_at) VALUES (?, ?, ?, 'DUE', ?)`, draft, order, testkit.Start, testkit.Start)
		return nil
	})
	path := "/requests/new/office.plan?draft=" + draft.TypeID("occ")
	h.get("/requests").want(200, "该交了", "补全并提交 10月14日")
	if !strings.Contains(h.body, path) {
		t.Error("no link leads to the draft")
	}
	h.get(path).keeps("2026年10月").keeps(draft.TypeID("occ"))
	h.post("/requests/new/office.plan", "act", "send", "unit", "technical", "draft", draft.TypeID("occ"), "/dept", "liaison", "/span", "month", "/period", "2026年10月",
		"/goals/0/text", "升级交换机", "/goals/0/owner", "部长", "/goals/0/due", "2026-11-20", "/last_result", "完成").follow().want(200, "科联办")
	h.get("/requests").lacks("补全并提交")
	h.get(path).want(422)
	w.in("zhouhang", "zh").get(path).want(404)
}
