package app

import "time"

// TourCall is one thing that docs/tour.md shows with curl and that a test does
// in the same words.
type TourCall struct {
	Note TourText // why, "" = nothing to add
	// As is the login of who asks, "" a stranger, or "$name" for a session whose
	// token an earlier call kept.
	As    string
	Query string // GraphQL
	// Vars is JSON in which $name is what an earlier call kept, $(key) a fresh
	// idempotency key, $(password login) a password, $start and $end times of a
	// month ahead.
	Vars  string
	Admin string // path on the admin listener to post to, instead of Query
	Page  string // path on the site to get, instead of Query; Form makes it a post
	Form  string // the posted fields, url-encoded
	Run   string // arguments of kelian, instead of Query
	// Keep names parts of the answer for later: $name at a path of it.
	Keep []TourPart
	// Shows is what the answer has to hold; it is asked again until it does, for
	// Within at most.
	Shows  []TourPart
	Within time.Duration
}

// TourText is in two languages.
type TourText struct{ Zh, En string }

// TourPart is a value of an answer. Path is as jq takes it; of a page and of
// what a command prints it is empty and the text contains Value.
type TourPart struct{ Name, Path, Value string }

// TourStep is a step of the tour, as docs/tour.md tells it.
type TourStep struct {
	Title, Text TourText
	Calls       []TourCall
}

// Tour gives the whole tour.
func Tour() []TourStep {
	var out []TourStep
	for i, t := range tour {
		out = append(out, TourStep{TourText{t.zh, t.en}, TourText{t.textZh, t.textEn}, tourCalls[i]})
	}
	return out
}

func keep(name, path string) TourPart   { return TourPart{Name: name, Path: path} }
func shows(path, value string) TourPart { return TourPart{Path: path, Value: value} }
func says(value string) TourPart        { return TourPart{Value: value} }

// vote is a decision on the newest task that waits for somebody.
func vote(login, verdict, rev, comment string, want ...TourPart) []TourCall {
	return []TourCall{
		{As: login, Query: `{ inbox(first: 20) { edges { node { id title { zh } request { id number } } } } }`,
			Keep: []TourPart{keep("task", `.data.inbox.edges[] | select(.node.request.id == "$request") .node.id`)}},
		{As: login, Query: decideQuery, Vars: `{"in":{"task":"$task","verdict":"` + verdict + `","formRev":` + rev + `,"comment":"` + comment + `","idempotencyKey":"$(key)"}}`, Shows: want},
	}
}

const decideQuery = `mutation($in: DecideTaskInput!) { decideTask(input: $in) { request { status } userErrors { code message } } }`

func calls(groups ...[]TourCall) []TourCall {
	var out []TourCall
	for _, g := range groups {
		out = append(out, g...)
	}
	return out
}

const (
	statusAt = ".data.decideTask.request.status"
	refusal  = ".data.decideTask.userErrors[0].code"
)

// tourCalls are the calls of the steps of tour, in its order.
var tourCalls = [][]TourCall{
	{{Query: `{ status { hosts up round } }`, Shows: []TourPart{shows(".data.status.hosts", "17"), shows(".data.status.up", "17")}, Within: 30 * time.Second}},

	{{Admin: "/demo/outage"},
		{As: "zhouhang", Query: `{ incidents(first: 1, open: true) { edges { node { id number title { zh } roots { name { zh } } suppressed { name { zh } } reason { zh } evidence { host { zh } outcome } } } } }`,
			Shows: []TourPart{shows(".data.incidents.edges | length", "1"), shows(".data.incidents.edges[0].node.roots[0].name.zh", "接入交换机2"),
				shows(".data.incidents.edges[0].node.suppressed | length", "6")}, Within: 15 * time.Second,
			Keep: []TourPart{keep("incident", ".data.incidents.edges[0].node.id")}}},

	{{As: "zhouhang", Query: `{ repairTickets(first: 1, filter: { mine: true }) { edges { node { id number state assignment { person { name } explanation { zh en } } } } } }`,
		Shows: []TourPart{shows(".data.repairTickets.edges[0].node.state", "ASSIGNED"), shows(".data.repairTickets.edges[0].node.assignment.person.name", "周航")}, Within: 5 * time.Second,
		Keep: []TourPart{keep("ticket", ".data.repairTickets.edges[0].node.id"), keep("number", ".data.repairTickets.edges[0].node.number")}}},

	{{Query: `mutation($in: SubmitRepairInput!) { submitRepair(input: $in) { link ticket { number explanation { zh } worker } userErrors { code message } } }`,
		Vars: `{"in":{"kind":"NETWORK","building":"7号楼","room":"412","text":"没有网络","name":"李明","contact":{"kind":"PHONE","value":"13800004321"},"consent":"2026-09","idempotencyKey":"$(key)"}}`,
		Keep: []TourPart{keep("link", ".data.submitRepair.link")}, Shows: []TourPart{shows(".data.submitRepair.ticket.worker", "周*")}},
		{Page: "$link", Shows: []TourPart{says("接入交换机2")}}},

	{{As: "zhouhang", Query: actQuery, Vars: `{"in":{"ticket":"$ticket","action":"ACCEPT","idempotencyKey":"$(key)"}}`, Shows: []TourPart{shows(".data.actOnRepair.ticket.state", "IN_PROGRESS")}},
		{Note: TourText{"会问谁、通常多久", "Who will be asked, and how long it usually takes"}, As: "zhouhang",
			Query: `query($ticket: ID!) { forecastPart(ticket: $ticket, text: "光模块", amount: 68000) { steps { title { zh } people { name } typicalHours } problems { message } } }`,
			Vars:  `{"ticket":"$ticket"}`, Shows: []TourPart{shows(".data.forecastPart.steps | length", "3"), shows(".data.forecastPart.steps[2].people[0].name", "顾晨")}},
		{As: "zhouhang", Query: `mutation($in: NeedPartInput!) { needPart(input: $in) { ticket { state request } userErrors { code message } } }`,
			Vars: `{"in":{"ticket":"$ticket","text":"光模块","amount":68000,"idempotencyKey":"$(key)"}}`, Shows: []TourPart{shows(".data.needPart.ticket.state", "WAITING_PARTS")},
			Keep: []TourPart{keep("request", ".data.needPart.ticket.request")}}},

	calls([]TourCall{vote("songlan", "", "", "")[0]},
		[]TourCall{{As: "zhouhang", Query: decideQuery, Vars: `{"in":{"task":"$task","verdict":"APPROVE","formRev":1,"idempotencyKey":"$(key)"}}`, Shows: []TourPart{shows(refusal, "SELF_APPROVAL")}},
			{As: "luyuan", Query: decideQuery, Vars: `{"in":{"task":"$task","verdict":"APPROVE","formRev":1,"idempotencyKey":"$(key)"}}`, Shows: []TourPart{shows(refusal, "NOT_YOUR_TASK")}}}),

	calls(vote("songlan", "APPROVE", "1", "库存没有", shows(statusAt, "OPEN")), vote("hejing", "APPROVE", "1", "同意", shows(statusAt, "OPEN")),
		vote("guchen", "SEND_BACK", "1", "报价过期", shows(statusAt, "RETURNED")),
		[]TourCall{{As: "zhouhang", Query: `mutation($in: ResubmitRequestInput!) { resubmitRequest(input: $in) { request { formRev revisions { changes { pointer before after } } decisions { step carriedFrom lapsed } } userErrors { code message } } }`,
			Vars: `{"in":{"request":"$request","formRev":1,"form":{"action":"buy","items":[{"name":"光模块","qty":1}],"prices":[86000],"total":86000,"quote":"新报价 860 元","ticket":"$number"},"idempotencyKey":"$(key)"}}`,
			Shows: []TourPart{shows(".data.resubmitRequest.request.formRev", "2"), shows(`.data.resubmitRequest.request.decisions[] | select(.step == "keeper") .carriedFrom`, "1"),
				shows(`.data.resubmitRequest.request.decisions[] | select(.step == "office") .lapsed`, "true")}}},
		vote("hejing", "APPROVE", "2", "同意", shows(statusAt, "OPEN")), vote("guchen", "APPROVE", "2", "同意", shows(statusAt, "APPROVED"))),

	{{Note: TourText{"花钱要用密码登录的会话，令牌不行", "Money asks for a session by password; a token cannot spend"},
		Query: `mutation($in: SignInInput!) { signIn(input: $in) { token userErrors { code message } } }`, Vars: `{"in":{"login":"shenyue","password":"$(password shenyue)"}}`,
		Keep: []TourPart{keep("session", ".data.signIn.token")}},
		{As: "$session", Query: `{ purchases(first: 1) { edges { node { id number total state } } } pledges(first: 1) { edges { node { id state available sponsor { name } } } } }`, Within: 5 * time.Second,
			Shows: []TourPart{shows(".data.purchases.edges[0].node.state", "APPROVED"), shows(".data.purchases.edges[0].node.total", "86000"), shows(".data.pledges.edges[0].node.available", "200000")},
			Keep:  []TourPart{keep("purchase", ".data.purchases.edges[0].node.id"), keep("pledge", ".data.pledges.edges[0].node.id")}},
		{As: "$session", Query: `mutation($in: AllocatePledgeInput!) { allocatePledge(input: $in) { pledge { available thanksOwed } userErrors { code message } } }`,
			Vars:  `{"in":{"pledge":"$pledge","purchase":"$purchase","amount":86000,"idempotencyKey":"$(key)"}}`,
			Shows: []TourPart{shows(".data.allocatePledge.pledge.available", "114000"), shows(".data.allocatePledge.pledge.thanksOwed", "1")}},
		{As: "$session", Query: `{ ledger { sum accounts { name balance } } }`, Shows: []TourPart{shows(".data.ledger.sum", "0")}}},

	{{Admin: "/demo/recovery"},
		{As: "zhouhang", Query: `query($id: ID!) { node(id: $id) { ... on Incident { open end { zh } } } }`, Vars: `{"id":"$incident"}`, Shows: []TourPart{shows(".data.node.open", "false")}, Within: 30 * time.Second},
		{As: "zhouhang", Query: `{ incidents(first: 20) { edges { node { number } } } }`, Shows: []TourPart{shows(".data.incidents.edges | length", "1")}},
		{As: "guchen", Query: `query($of: ID!) { deliveries(of: $of) { channel recipient topic state reason { zh } } }`, Vars: `{"of":"$incident"}`,
			Shows: []TourPart{shows(`.data.deliveries[] | select(.channel == "email") .state`, "SENT")}, Within: 10 * time.Second}},

	{{As: "guchen", Query: traceQuery, Vars: `{"of":"$incident"}`, Shows: []TourPart{shows(`.data.trace.nodes[] | select(.kind == "led") .hidden`, "false"), shows(`.data.trace.nodes[] | select(.kind == "thk") .hidden`, "false")}},
		{Note: TourText{"同学看到的，别人的事是藏起来的", "What a student sees: what is not hers is hidden"}, As: "ayinuer", Query: traceQuery, Vars: `{"of":"$incident"}`,
			Shows: []TourPart{shows(`.data.trace.nodes[] | select(.kind == "tkt") .hidden`, "true")}},
		{Run: "audit verify", Shows: []TourPart{says("OK")}, Within: 15 * time.Second}},

	calls([]TourCall{{As: "ayinuer", Query: `{ requests(first: 20, filter: { mine: true, status: APPROVED }) { edges { node { id number title { zh } } } } }`,
		Keep: []TourPart{keep("old", ".data.requests.edges[0].node.id")}},
		{As: "ayinuer", Query: `query($old: ID!) { cloneForm(request: $old) { workflow unit form } }`, Vars: `{"old":"$old"}`, Shows: []TourPart{shows(".data.cloneForm.form.title", "机器人开放日")}},
		{As: "ayinuer", Query: `mutation($in: SubmitRequestInput!) { submitRequest(input: $in) { request { id number } userErrors { code message } } }`,
			Vars: `{"in":{"workflow":"supervision.activity","unit":"society.robotics","form":` + openDayForm + `},"idempotencyKey":"$(key)"}}`,
			Keep: []TourPart{keep("request", ".data.submitRequest.request.id")}},
		{Note: TourText{"韩老师没有账号：信里的链接就是他的审批页", "韩老师 has no account: the link in the letter is where he decides"}, Page: "/demo", Within: 10 * time.Second,
			Shows: []TourPart{says("《机器人开放日》到了你这一步")}, Keep: []TourPart{keep("link", `/d/[A-Za-z0-9_.-]+`)}},
		{Page: "$link", Form: "act=approve&comment=同意举办&key=$(key)", Shows: []TourPart{says("韩老师")}}},
		vote(collegeOfRobotics, "SEND_BACK", "1", "请写明要借的器材", shows(statusAt, "RETURNED")),
		[]TourCall{{As: "ayinuer", Query: `mutation($in: ResubmitRequestInput!) { resubmitRequest(input: $in) { request { formRev decisions { step carriedFrom lapsed } } userErrors { code message } } }`,
			Vars:  `{"in":{"request":"$request","formRev":1,"form":` + openDayForm + `,"equipment":[{"item":"TENT","qty":2}]},"idempotencyKey":"$(key)"}}`,
			Shows: []TourPart{shows(`.data.resubmitRequest.request.decisions[] | select(.step == "advisor") .carriedFrom`, "1")}}},
		vote(collegeOfRobotics, "APPROVE", "2", "同意", shows(statusAt, "OPEN")), vote("luyuan", "APPROVE", "2", "同意", shows(statusAt, "OPEN")),
		vote(headOfSupervision, "APPROVE", "2", "同意", shows(statusAt, "OPEN")), vote("liu", "APPROVE", "2", "同意举办", shows(statusAt, "APPROVED")),
		[]TourCall{{As: "ayinuer", Query: `query($id: ID!) { node(id: $id) { ... on Request { number verifyCode } } }`, Vars: `{"id":"$request"}`, Keep: []TourPart{keep("code", ".data.node.verifyCode")}},
			{Note: TourText{"打印页上的二维码就是它", "What the QR code on the printed form stands for"}, Page: "/verify/$code", Shows: []TourPart{says("科联审")}}}),

	{{As: "guchen", Query: traceQuery, Vars: `{"of":"$incident"}`, Note: TourText{"另开一个终端 kill -9，再用打印出来的那条命令启动；状态不变", "Kill -9 it from another terminal and start it again by the command that it printed; the state is the same"},
		Shows: []TourPart{shows(`.data.trace.nodes[] | select(.kind == "led") .hidden`, "false")}, Within: 30 * time.Second}},
}

const (
	collegeOfRobotics = "dongmingzhe"
	headOfSupervision = "huangshiyu"

	actQuery   = `mutation($in: ActOnRepairInput!) { actOnRepair(input: $in) { ticket { state } userErrors { code message } } }`
	traceQuery = `query($of: ID!) { trace(id: $of) { nodes { kind at hidden title { zh } state } edges { from to kind } } }`
	// openDayForm is a form that its user closes, with or without a field more.
	openDayForm = `{"host":"society.robotics","title":"机器人开放日","kind":"open_day","plan":"上午布展，下午参观和体验，傍晚收尾。","start":"$start","end":"$end","place":"活动中心广场","people":45,"external":false,"budget":30000`
)
