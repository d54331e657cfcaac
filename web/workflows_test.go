package web_test

import (
	"net/url"
	"strings"
	"testing"

	"kelian/internal/id"
)

// Everybody reads what a kind of request asks; its proof, which names people,
// is for those who may publish.
func TestWorkflowsAreShown(t *testing.T) {
	w := open(t)
	z := w.in("zhouhang", "zh")
	z.get("/requests").link("/workflows")
	z.get("/workflows").want(200, "活动审批", "物资借用、采购与报废", "第 1 版").lacks("/workflows/draft")
	z.get("/workflows/office.property").want(200, "流程图", "物资管理员查库存", "一人同意即可", "要填什么", "物品清单", "归还情况").lacks("检查结果", "/workflows/draft")
	if !strings.Contains(z.body, "<svg") {
		t.Error("it is not drawn")
	}
	z.get("/workflows/no.such").want(404)
	z.get("/workflows/draft").want(404)
	z.post("/workflows/draft", "act", "publish", "source", visit).want(404)
	w.browser("zh").get("/workflows").want(303)
	w.in("zhouhang", "en").get("/workflows/office.property").want(200, "one approval is enough", "What is asked")
}

// The conditions, seats and due times of a workflow stand there in words, in
// the list of its steps and in its drawing.
func TestAWorkflowIsReadWithoutItsSource(t *testing.T) {
	w := open(t)
	w.in("zhouhang", "zh").get("/workflows/office.property").want(200, "“合计”超过 500 元", "其他情形").lacks("params.", "seat(", "request.unit.", "==")
	w.in("zhouhang", "en").get("/workflows/office.property").want(200, "“Total” is over ¥500", "otherwise").lacks("params.", "seat(", "request.unit.", "==")
}

// A text is tried before it is published: mistakes with their place, the
// drawing of what it means, and the publication by those who may.
func TestAWorkflowIsTriedAndPublished(t *testing.T) {
	w := open(t)
	h := w.in("hejing", "zh")
	h.get("/workflows").want(200).link("/workflows/draft")
	h.get("/workflows/draft").want(200, "检查").lacks(">发布<")
	h.post("/workflows/draft", "act", "check", "source", " ").want(422, "请粘贴流程文本")
	h.post("/workflows/draft", "act", "check", "source", strings.Replace(visit, "seat(liaison.head)", "seat(liaison.kitchen)", 1)).want(200, "有错误，不能发布", "第 14 行").lacks(">发布<")
	lines := strings.ReplaceAll(visit, "\n", "\r\n")
	h.post("/workflows/draft", "act", "check", "source", lines).want(200, "已证明", "流程图", "出访申请", "外联部部长", "由他填写：核定金额")
	h.send("/workflows/draft", "act", "check", "@file", visit).want(200, "出访申请", "key: liaison.visit")
	v := url.Values{"key": {id.Secret(16)}, "act": {"publish"}, "source": {lines}, "understaffed": {"yes"}}
	h.postForm("/workflows/draft", v).follow().want(200, "已发布", "出访申请", "第 1 版", "检查结果")
	h.postForm("/workflows/draft", v).follow().want(200, "第 1 版")
	h.get("/workflows/draft?from=liaison.visit").want(200, "key: liaison.visit")
	w.in("zhouhang", "zh").get("/requests").want(200, "出访申请")
}

func TestTheCalendarIsShown(t *testing.T) {
	w := open(t)
	z := w.in("zhouhang", "zh")
	z.get("/calendar").want(200, "2026年10月", "本月 18 个工作日", "国庆节", "上班", "放假", "学生干部、社团", "老师", "2026 秋", "6")
	z.get("/calendar?month=2026-11").want(200, "2026年11月", "本月 21 个工作日")
	z.get("/calendar?month=nonsense").want(200, "2026年10月")
	w.in("zhouhang", "en").get("/calendar?month=2027-03").want(200, "March 2027", "may move")
	w.browser("zh").get("/calendar").want(303)
}
