package app

import (
	"context"

	"kelian/internal/store"
	"kelian/org"
	"kelian/web"
)

// incident adds the open incident to the picture.
func (d *demo) incident(ctx context.Context, n *web.DemoNetwork) error {
	open := true
	list, _, err := d.a.Netmon.Incidents(ctx, org.System(), store.Page{First: 1}, &open)
	if err != nil || len(list) == 0 {
		return err
	}
	n.Incident = list[0].ID.TypeID("inc")
	n.Title = list[0].Title
	return nil
}

// tourStep is one step of the tour, the one source of /demo and docs/tour.md.
type tourStep struct {
	zh, en         string // the title
	textZh, textEn string
	login, path    string
	action         string
}

var tour = []tourStep{
	{"看一看网络", "Look at the network", "十七台设备都是绿的，轮次在往上数。", "Seventeen devices are green and the rounds count on.", "", "/demo", ""},
	{"断开接入交换机 2", "Cut access switch 2", "十五秒内出现一个故障；它后面的六台主机是灰色（受牵连），不是红色。点“为什么是它”看证据。",
		"Within 15 seconds there is one incident; the six hosts behind it are grey (suppressed), not red. “Why this one” opens the evidence.", "", "/demo", "outage"},
	{"报修单派给了谁", "Who got the ticket", "报修单自动派给周航，写着理由：懂网络、现在有空、手上 1 件，最多 3 件；林小满在忙。",
		"The ticket went to 周航 with the reason: knows networks, free now, 1 of 3; 林小满 is busy.", "zhouhang", "/inbox", ""},
	{"作为没有账号的同学", "As a student without an account", "在 7号楼 报“没有网络”：提交后的页面已经说明出了什么问题、谁在处理。",
		"Report “no network” from 7号楼: the page that follows already says what is wrong and who works on it.", "", "/repair", ""},
	{"接单，申请配件", "Accept, ask for a part", "周航接单，需要光模块 680 元；提交前能看到会问谁、通常多久。报修单转为等配件，计时暂停。",
		"周航 accepts and needs an optical module for 680 yuan; before sending, he sees who will be asked and how long it takes. The ticket waits for parts and its clock stands still.", "zhouhang", "/inbox", ""},
	{"不该批的人批不了", "Those who may not, cannot", "周航不能批自己的申请，陆远也不行：系统说明是哪条规则、谁可以批。",
		"周航 cannot approve his own request and neither can 陆远: the refusal names the rule and who can.", "luyuan", "/inbox", ""},
	{"三个岗位审批，一次退回", "Three seats decide, one sends back", "宋岚（库存没有）和何静同意，顾晨退回“报价过期”；周航把价格改成 860 元：何静看过价格，意见失效并看到改动，宋岚没看价格，意见保留。何静、顾晨再批。",
		"宋岚 (none in stock) and 何静 approve, 顾晨 sends it back: the quote expired. The price becomes 860; 何静 read it, so her vote lapses with the difference shown, 宋岚's is carried. 何静, then 顾晨 decide again.", "songlan", "/inbox", ""},
	{"用到账的赞助付款", "The received pledge pays", "沈悦一键分配：2000 − 860 = 1140，账目合计为零，记下要致谢。",
		"沈悦 allocates in one press: 2000 − 860 = 1140, the ledger sums to zero, the thanks owed are noted.", "shenyue", "/pledges", ""},
	{"恢复", "Recovery", "故障关闭一次；谁被告知、用哪个渠道、其他人为什么没有，都看得到。",
		"The incident closes once; who was told by which channel, and why others were not, can be seen.", "", "/demo", "recovery"},
	{"来龙去脉", "The trace", "从丢的那个包到致谢，十个对象一条线；kelian audit verify 说 OK。",
		"From the lost packet to the thanks: ten objects on one line; kelian audit verify says OK.", "zhouhang", "/inbox", ""},
	{"社团活动", "A society's activity", "阿依努尔复制去年的开放日；韩老师凭邮件链接审批；学院退回一次；监察部、团委老师；最后打印带二维码的审批表。",
		"阿依努尔 clones last year's open day; 韩老师 decides by the link in a mail; the college sends back once; supervision, the League's teacher; then the A4 form with its QR code.", "ayinuer", "/inbox", ""},
	{"断电也不丢", "Nothing is lost", "kill -9 之后三秒恢复，状态不变，等待的邮件只发一次；然后在 GraphiQL 里看第 10 步背后的查询。",
		"Kill -9 and it is back in three seconds with the same state, the waiting mail goes out once; then GraphiQL with the query behind step 10.", "zhouhang", "/graphiql", ""},
}

// Steps implements web.Demo.
func (d *demo) Steps(lang string) []web.DemoStep {
	var out []web.DemoStep
	for i, t := range tour {
		s := web.DemoStep{N: i + 1, Title: t.zh, Text: t.textZh, Login: t.login, Name: nameOf(t.login), Path: t.path, Action: t.action}
		if lang == "en" {
			s.Title, s.Text = t.en, t.textEn
		}
		out = append(out, s)
	}
	return out
}

func nameOf(login string) string {
	for _, c := range cast {
		if c.Login == login {
			return c.Name
		}
	}
	return login
}
