package e2e_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"kelian/desk/repair"
	"kelian/internal/app"
	"kelian/internal/id"
	"kelian/notify"
)

// thread is what the first thread has brought about so far.
type thread struct {
	*world
	t        *testing.T
	incident string
	ticket   string // for the incident
	link     string // path of the student's own ticket
	own      string // and its number
	request  string
	purchase string
	pledge   string
	chain    string // head of the request's chain before anybody was erased
}

// student is somebody without an account. The values are found nowhere else.
var student = struct{ name, number, phone, room, words string }{"欧阳·买买提江", "2024099173", "13987650421", "B-4417", "路由器灯不亮，上不了网了（钱串子）"}

// TestFirstThread walks from a lost packet to the closing of its incident, with
// everybody acting by the API under their own seat, and two people erased in
// the middle.
func TestFirstThread(t *testing.T) {
	each(t, func(t *testing.T, s shape) {
		th := &thread{world: open(t, s), t: t}
		for _, step := range []struct {
			name string
			walk func(*testing.T)
		}{
			{"the switch fails: one incident, six suppressed", th.outage},
			{"one ticket, one assignment, explained", th.assignment},
			{"a student without an account is told what is wrong", th.student},
			{"a part is asked for", th.part},
			{"who may not decide is refused with the rule", th.refusals},
			{"keeper and office approve, the vice-chair sends back", th.sentBack},
			{"only votes that read what changed are asked again", th.resubmitted},
			{"the received pledge pays", th.funded},
			{"the student and an officer are erased", th.erased},
			{"the part arrives and the network is mended", th.mended},
			{"the incident closes once", th.recovered},
			{"the trace", th.trace},
			{"the trace hides what a student may not see", th.hidden},
			{"who was told, and why others were not", th.told},
			{"everything verifies", th.verified},
			{"of the erased nothing is left", th.forgotten},
		} {
			if !t.Run(step.name, func(t *testing.T) {
				th.t, th.world.t = t, t
				step.walk(t)
			}) {
				t.FailNow()
			}
		}
	})
}

type incident struct {
	ID, Number        string
	Open              bool
	ClosedAt          *string
	Title, Reason     text
	End               *text
	Roots, Suppressed []struct{ Name text }
	Buildings         []string
	Evidence          []struct{ Outcome string }
}

func (c client) incidents() []incident {
	c.t.Helper()
	var got struct {
		Incidents struct{ Edges []struct{ Node incident } }
	}
	c.ask(&got, `{ incidents(first: 20) { edges { node { id number open closedAt title { zh en } reason { zh en } end { zh en } buildings
		roots { name { zh en } } suppressed { name { zh en } } evidence { outcome } } } } }`, nil)
	var out []incident
	for _, e := range got.Incidents.Edges {
		out = append(out, e.Node)
	}
	return out
}

func (w *world) allUp(c client) bool {
	var got struct{ Hosts []struct{ State string } }
	c.ask(&got, `{ hosts { state } }`, nil)
	for _, h := range got.Hosts {
		if h.State != "UP" {
			return false
		}
	}
	return len(got.Hosts) == 17
}

func (th *thread) outage(t *testing.T) {
	// 顾晨 wants no mail about approvals: the log has to say that this is why.
	if err := th.app.Notify.SetPreferences(t.Context(), th.actor("guchen"), notify.SetPreferencesInput{
		Preferences: []notify.Preference{{Topic: "workflow.task", Channel: notify.Email, Enabled: false}}, IdempotencyKey: id.Secret(16)}); err != nil {
		t.Fatal(err)
	}
	zhou := th.as("zhouhang")
	eventually(t, "all devices are up", func() bool { return th.allUp(zhou) })
	if n := len(zhou.incidents()); n != 0 {
		t.Fatalf("%d incidents while everything is up", n)
	}
	th.network.Cut(app.DemoSwitch2()...)
	var list []incident
	eventually(t, "an incident opens", func() bool { list = zhou.incidents(); return len(list) > 0 })
	if len(list) != 1 {
		t.Fatalf("%d incidents for one outage: %+v", len(list), list)
	}
	inc := list[0]
	th.incident = inc.ID
	if len(inc.Roots) != 1 || inc.Roots[0].Name.Zh != "接入交换机2" || len(inc.Suppressed) != 6 || !inc.Open {
		t.Errorf("the incident blames %v and suppresses %v", inc.Roots, inc.Suppressed)
	}
	slices.Sort(inc.Buildings)
	if strings.Join(inc.Buildings, " ") != "7号楼 8号楼" {
		t.Errorf("it darkens %v", inc.Buildings)
	}
	if inc.Reason.Zh == "" || inc.Reason.En == "" || len(inc.Evidence) == 0 {
		t.Errorf("nothing says why: %+v", inc)
	}
	var got struct {
		Hosts []struct {
			State    string
			Overlays []string
		}
	}
	zhou.ask(&got, `{ hosts { state overlays } }`, nil)
	grey := 0
	for _, h := range got.Hosts {
		if slices.Contains(h.Overlays, "UNREACHABLE") {
			grey++
		}
	}
	if grey != 6 {
		t.Errorf("%d hosts are grey: %+v", grey, got.Hosts)
	}
}

type ticket struct {
	ID, Number, State, Reporter string
	WorkedMinutes               int
	Incident, Request           *string
	Text, Building              *string
	Assignment                  *struct {
		State       string
		Person      struct{ Name string }
		Explanation text
	}
	Assignments []struct{ State string }
	Actions     []string
}

const ticketFields = `id number state reporter workedMinutes incident request text building assignment { state person { name } explanation { zh en } }
	assignments { state } actions`

func (c client) tickets(filter input) []ticket {
	c.t.Helper()
	var got struct {
		RepairTickets struct{ Edges []struct{ Node ticket } }
	}
	c.ask(&got, `query($f: RepairTicketFilter) { repairTickets(first: 30, filter: $f) { edges { node { `+ticketFields+` } } } }`, map[string]any{"f": filter})
	var out []ticket
	for _, e := range got.RepairTickets.Edges {
		out = append(out, e.Node)
	}
	return out
}

func (c client) ticket(id string) ticket {
	c.t.Helper()
	var got struct{ Node ticket }
	c.ask(&got, `query($id: ID!) { node(id: $id) { ... on RepairTicket { `+ticketFields+` } } }`, map[string]any{"id": id})
	return got.Node
}

func (th *thread) assignment(t *testing.T) {
	zhou := th.as("zhouhang")
	var mine []ticket
	eventually(t, "the ticket is offered to 周航", func() bool { mine = zhou.tickets(input{"mine": true}); return len(mine) > 0 })
	if len(mine) != 1 || mine[0].State != "ASSIGNED" || mine[0].Incident == nil || *mine[0].Incident != th.incident {
		t.Fatalf("周航 has %+v", mine)
	}
	th.ticket = mine[0].ID
	a := mine[0].Assignment
	if a == nil || a.Person.Name != "周航" || a.State != "OFFERED" || len(mine[0].Assignments) != 1 {
		t.Fatalf("assigned: %+v, asked: %+v", a, mine[0].Assignments)
	}
	for _, why := range []string{"网络", "林小满"} {
		if !strings.Contains(a.Explanation.Zh, why) {
			t.Errorf("the explanation %q says nothing of %s", a.Explanation.Zh, why)
		}
	}
	of := 0
	for _, x := range th.on("technical.head").tickets(input{"open": true}) {
		if x.Incident != nil && *x.Incident == th.incident {
			of++
		}
	}
	if of != 1 {
		t.Errorf("%d tickets for one incident", of)
	}
}

// report is a student's form about the building.
func report(building string) input {
	return input{"kind": "NETWORK", "building": building, "room": student.room, "text": student.words, "name": student.name, "number": student.number,
		"contact": input{"kind": "PHONE", "value": student.phone}, "consent": repair.ConsentVersion, "idempotencyKey": id.Secret(22)}
}

type reporterTicket struct {
	Number, State string
	Explanation   *text
	Worker        *string
	Events        []struct{ State string }
}

func (th *thread) student(t *testing.T) {
	var got struct {
		Link   string
		Ticket reporterTicket
	}
	in := report("7号楼")
	th.as("").do(&got, "submitRepair", "link ticket { number state explanation { zh en } worker events { state } }", in)
	if got.Ticket.Explanation == nil || !strings.Contains(got.Ticket.Explanation.Zh, "接入交换机2") || !strings.Contains(got.Ticket.Explanation.En, "Access switch 2") {
		t.Fatalf("the answer does not say what is wrong: %+v", got.Ticket)
	}
	if got.Ticket.Worker == nil || *got.Ticket.Worker != "周*" {
		t.Errorf("the answer does not say who works on it: %+v", got.Ticket)
	}
	th.link, th.own = got.Link, got.Ticket.Number
	look := func() reporterTicket {
		var seen struct{ RepairTicketByLink *reporterTicket }
		th.as("").ask(&seen, `query($t: String!) { repairTicketByLink(token: $t) { number state explanation { zh en } worker events { state } } }`,
			map[string]any{"t": strings.TrimPrefix(th.link, "/t/")})
		if seen.RepairTicketByLink == nil {
			t.Fatal("the link leads nowhere")
		}
		return *seen.RepairTicketByLink
	}
	th.as("zhouhang").do(nil, "actOnRepair", "ticket { id }", input{"ticket": th.ticket, "action": "ACCEPT"})
	if s := th.as("zhouhang").ticket(th.ticket); s.State != "IN_PROGRESS" || s.Assignment.State != "ACCEPTED" {
		t.Fatalf("after accepting: %+v", s)
	}
	if seen := look(); seen.Worker == nil || *seen.Worker != "周*" || seen.Number != th.own {
		t.Errorf("the student sees %+v", seen)
	}
	status, body := th.as("").page(th.link)
	if status != 200 || !strings.Contains(body, th.own) || !strings.Contains(body, "接入交换机2") {
		t.Errorf("the ticket's page answers %d and does not say what is wrong", status)
	}
	// Who sees tickets sees of the student no more than the first character.
	for _, x := range th.on("technical.head").tickets(input{"open": true}) {
		if x.Number == th.own && x.Reporter != "欧*" {
			t.Errorf("the reporter is shown as %q", x.Reporter)
		}
	}
}

type forecast struct {
	Steps []struct {
		Step   string
		Stage  int
		People []struct{ Name string }
		Short  int
	}
	Problems []struct{ Code, Message string }
}

func (th *thread) part(t *testing.T) {
	zhou := th.as("zhouhang")
	var f struct{ ForecastPart forecast }
	zhou.ask(&f, `query($t: ID!) { forecastPart(ticket: $t, text: "光模块 10G", amount: 68000) { steps { step stage people { name } short } problems { code message } } }`,
		map[string]any{"t": th.ticket})
	var who []string
	for _, s := range f.ForecastPart.Steps {
		for _, p := range s.People {
			who = append(who, p.Name)
		}
	}
	if strings.Join(who, " ") != "宋岚 何静 顾晨" || len(f.ForecastPart.Problems) != 0 {
		t.Errorf("the forecast asks %v with problems %v", who, f.ForecastPart.Problems)
	}
	before := len(zhou.requests(true))
	var got struct{ Ticket ticket }
	zhou.do(&got, "needPart", "ticket { "+ticketFields+" }", input{"ticket": th.ticket, "text": "光模块 10G", "amount": 68000})
	if got.Ticket.State != "WAITING_PARTS" || got.Ticket.Request == nil {
		t.Fatalf("after asking: %+v", got.Ticket)
	}
	th.request = *got.Ticket.Request
	if after := zhou.requests(true); len(after) != before+1 {
		t.Errorf("%d requests of one part", len(after)-before)
	}
	if f := zhou.request(th.request).Form; f["total"] != 68000.0 {
		t.Errorf("it asks for %v fen", f["total"])
	}
}

type request struct {
	ID, Number, Status, VerifyCode string
	FormRev                        int
	Form                           map[string]any
	Requester                      *struct{ Name string }
	Steps                          []struct{ Name, State string }
	Tasks                          []task
	Decisions                      []struct {
		Step, Seat, Verdict, Comment string
		By                           *struct{ Name string }
		FormRev                      int
		CarriedFrom                  *int
		Lapsed                       bool
	}
	Revisions []struct {
		FormRev int
		Changes []change
	}
	Waiting *text
}

const requestFields = `id number status verifyCode formRev form requester { name } steps { name state } tasks { id step seat state person { name } }
	decisions { step seat verdict comment by { name } formRev carriedFrom lapsed } revisions { formRev changes { pointer before after } } waiting { zh en }`

func (c client) request(id string) request {
	c.t.Helper()
	var got struct{ Node *request }
	c.ask(&got, `query($id: ID!) { node(id: $id) { ... on Request { `+requestFields+` } } }`, map[string]any{"id": id})
	if got.Node == nil {
		c.t.Fatalf("%s sees no request %s", c.name, id)
	}
	return *got.Node
}

func (c client) requests(mine bool) []string {
	c.t.Helper()
	var got struct {
		Requests struct {
			Edges []struct{ Node struct{ ID string } }
		}
	}
	c.ask(&got, `query($m: Boolean) { requests(first: 100, filter: { mine: $m }) { edges { node { id } } } }`, map[string]any{"m": mine})
	var out []string
	for _, e := range got.Requests.Edges {
		out = append(out, e.Node.ID)
	}
	return out
}

func (th *thread) refusals(t *testing.T) {
	keeper, ok := th.as("songlan").waits(th.request)
	if !ok {
		t.Fatal("the keeper is not asked")
	}
	vote := func() input { return input{"task": keeper.ID, "verdict": "APPROVE", "formRev": 1} }
	for login, code := range map[string]string{"zhouhang": "SELF_APPROVAL", "luyuan": "NOT_YOUR_TASK"} {
		if message, _ := th.as(login).denied("decideTask", "request { id }", code, vote()); !strings.Contains(message, "物资管理员") {
			t.Errorf("%s is not told who can: %q", login, message)
		}
	}
	if d := th.as("zhouhang").request(th.request).Decisions; len(d) != 0 {
		t.Errorf("somebody decided: %+v", d)
	}
}

func (th *thread) sentBack(t *testing.T) {
	if f, _ := th.as("songlan").waits(th.request); f.Request.Form["items"] == nil {
		t.Errorf("the keeper reads %v", f.Request.Form)
	}
	th.as("songlan").decide(th.request, "APPROVE", "库存没有")
	th.as("hejing").decide(th.request, "APPROVE", "同意")
	// Whoever has decided is told no more, so the message is awaited.
	eventually(t, "顾晨 is told", func() bool {
		return slices.ContainsFunc(th.as("guchen").deliveries(th.request), func(d delivery) bool {
			return strings.HasPrefix(d.Recipient, "顾") && d.Topic == "workflow.task" && d.Channel == "email"
		})
	})
	th.as("guchen").decide(th.request, "SEND_BACK", "报价过期")
	r := th.as("zhouhang").request(th.request)
	if r.Status != "RETURNED" || len(r.Decisions) != 3 {
		t.Fatalf("after sending back: %s, %+v", r.Status, r.Decisions)
	}
}

func (th *thread) resubmitted(t *testing.T) {
	zhou := th.as("zhouhang")
	r := zhou.request(th.request)
	form := maps.Clone(r.Form)
	form["prices"], form["total"], form["quote"] = []any{86000}, 86000, "光模块 10G，新报价 860 元"
	in := input{"request": th.request, "form": form, "formRev": r.FormRev, "comment": "按新报价"}
	zhou.do(nil, "resubmitRequest", "request { id }", in)
	r = zhou.request(th.request)
	if r.Status != "OPEN" || r.FormRev != 2 {
		t.Fatalf("after resubmitting: %+v", r)
	}
	for _, d := range r.Decisions {
		switch d.Step {
		case "keeper":
			if d.Lapsed || d.CarriedFrom == nil || *d.CarriedFrom != 1 {
				t.Errorf("宋岚, who read no price, lost her vote: %+v", d)
			}
		case "office":
			if !d.Lapsed {
				t.Errorf("何静's vote, which read the price, still counts: %+v", d)
			}
		}
	}
	seen := map[string]change{}
	for _, rev := range r.Revisions {
		if rev.FormRev == 2 {
			for _, c := range rev.Changes {
				seen[c.Pointer] = c
			}
		}
	}
	if c := seen["/total"]; c.Before != 68000.0 || c.After != 86000.0 {
		t.Errorf("the revision shows %+v", seen)
	}
	if _, ok := th.as("songlan").waits(th.request); ok {
		t.Error("the keeper is asked again")
	}
	// An answer to what stood before is told what is different.
	he, ok := th.as("hejing").waits(th.request)
	if !ok {
		t.Fatal("何静 is not asked again")
	}
	_, stale := th.as("hejing").denied("decideTask", "request { id }", "STALE_FORM", input{"task": he.ID, "verdict": "APPROVE", "formRev": 1})
	if stale.FormRev != 2 || !slices.ContainsFunc(stale.Changes, func(c change) bool { return c.Pointer == "/total" && c.After == 86000.0 }) {
		t.Errorf("the stale vote is told %+v", stale)
	}
	th.as("hejing").decide(th.request, "APPROVE", "同意")
	th.as("guchen").decide(th.request, "APPROVE", "同意")
	if r = zhou.request(th.request); r.Status != "APPROVED" {
		t.Fatalf("after all decided: %s, %+v", r.Status, r.Steps)
	}
}
