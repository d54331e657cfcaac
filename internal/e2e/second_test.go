package e2e_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/id"
)

const activity = "supervision.activity"

// submit sends a form under a workflow and gives the request's identifier.
func (c client) submit(workflow, unit string, form map[string]any) string {
	c.t.Helper()
	var got struct{ Request struct{ ID string } }
	c.do(&got, "submitRequest", "request { id }", input{"workflow": workflow, "unit": unit, "form": form})
	return got.Request.ID
}

// openDay is last year's form of the society, moved to the month after next.
func (w *world) openDay(c client) map[string]any {
	w.t.Helper()
	var got struct {
		Requests struct {
			Edges []struct {
				Node struct {
					ID, Status string
					Title      text
				}
			}
		}
	}
	c.ask(&got, `{ requests(first: 100, filter: { mine: true, workflow: "supervision.activity" }) { edges { node { id status title { zh } } } } }`, nil)
	i := slices.IndexFunc(got.Requests.Edges, func(e struct {
		Node struct {
			ID, Status string
			Title      text
		}
	}) bool {
		return strings.Contains(e.Node.Title.Zh, "机器人开放日") && e.Node.Status == "APPROVED"
	})
	if i < 0 {
		w.t.Fatalf("last year's open day is not among %+v", got.Requests.Edges)
	}
	var draft struct {
		CloneForm struct {
			Workflow, Unit string
			Form           map[string]any
		}
	}
	c.ask(&draft, `query($r: ID!) { cloneForm(request: $r) { workflow unit form } }`, map[string]any{"r": got.Requests.Edges[i].Node.ID})
	if draft.CloneForm.Workflow != activity || draft.CloneForm.Unit != "society.robotics" {
		w.t.Fatalf("the clone is %+v", draft)
	}
	day := time.Now().UTC().AddDate(0, 0, 45).Truncate(24 * time.Hour)
	form := draft.CloneForm.Form
	form["start"], form["end"] = day.Add(6*time.Hour).Format(time.RFC3339), day.Add(9*time.Hour).Format(time.RFC3339)
	return form
}

var decisionLink = regexp.MustCompile(`/d/[A-Za-z0-9_.-]+`)

// linkFor waits for the newest decision link in the person's mail that is not
// among those known.
func (w *world) linkFor(address string, known ...string) (path string) {
	w.t.Helper()
	eventually(w.t, "a decision link comes by mail to "+address, func() bool {
		for _, m := range w.letters(address) {
			for _, p := range decisionLink.FindAllString(plain(m.Text), -1) {
				if !slices.Contains(known, p) {
					path = p
					return true
				}
			}
		}
		return false
	})
	return path
}

// links are all decision links that the address has been sent.
func (w *world) links(address string) (out []string) {
	for _, m := range w.letters(address) {
		out = append(out, decisionLink.FindAllString(plain(m.Text), -1)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// plain undoes the letter's transfer encoding as far as links need it.
func plain(letter []byte) string {
	return strings.NewReplacer("=\r\n", "", "=\n", "", "=3D", "=").Replace(string(letter))
}

// post sends a form to a page.
func (c client) post(path string, form url.Values) (status int, body string) {
	c.t.Helper()
	form.Set("key", id.Secret(22))
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", c.url)
	return c.browse(req)
}

// TestSecondThread walks a society's idea from its form to the League
// Committee's teacher.
func TestSecondThread(t *testing.T) {
	each(t, func(t *testing.T, s shape) {
		w := open(t, s)
		chair, college := w.as("ayinuer"), w.on("college.mech.head")
		before := w.links("han@")
		form := w.openDay(chair)
		req := chair.submit(activity, "society.robotics", form)

		// The advisor has no account: the letter's link decides, looking does not.
		link := w.linkFor("han@", before...)
		for range 2 {
			if status, body := w.as("").page(link); status != http.StatusOK || !strings.Contains(body, "机器人开放日") {
				t.Fatalf("the link answers %d", status)
			}
		}
		if d := chair.request(req).Decisions; len(d) != 0 {
			t.Fatalf("looking decided: %+v", d)
		}
		if status, body := w.as("").post(link, url.Values{"act": {"approve"}, "comment": {"同意举办"}}); status != http.StatusOK {
			t.Fatalf("deciding by link answers %d: %s", status, body)
		}
		w.as("").post(link, url.Values{"act": {"reject"}, "comment": {"再来一次"}})
		if d := chair.request(req).Decisions; len(d) != 1 || d[0].Verdict != "APPROVE" || d[0].Comment != "同意举办" || d[0].Seat != "society.robotics.advisor" {
			t.Fatalf("after the link was used twice: %+v", d)
		}

		// The college sends back once; what the advisor read stays as it was.
		college.decide(req, "SEND_BACK", "请写明要借的器材")
		r := chair.request(req)
		if r.Status != "RETURNED" {
			t.Fatalf("after sending back: %s", r.Status)
		}
		r.Form["equipment"] = []any{map[string]any{"item": "TENT", "qty": 2}}
		chair.do(nil, "resubmitRequest", "request { id }", input{"request": req, "form": r.Form, "formRev": r.FormRev})
		r = chair.request(req)
		for _, d := range r.Decisions {
			if d.Step == "advisor" && (d.Lapsed || d.CarriedFrom == nil || *d.CarriedFrom != 1) {
				t.Errorf("the advisor read nothing of the equipment and lost the vote: %+v", d)
			}
		}
		if i := slices.IndexFunc(r.Revisions, func(v struct {
			FormRev int
			Changes []change
		}) bool {
			return v.FormRev == 2
		}); i < 0 || !slices.ContainsFunc(r.Revisions[i].Changes, func(c change) bool { return strings.HasPrefix(c.Pointer, "/equipment") }) {
			t.Errorf("the revision does not show the equipment: %+v", r.Revisions)
		}
		if got := len(w.links("han@")) - len(before); got != 1 {
			t.Errorf("the advisor was sent %d links", got)
		}
		w.foreign(t, req, r.Number)

		college.decide(req, "APPROVE", "同意")
		// A change of the plan, which both read, asks both again.
		w.as("luyuan").decide(req, "SEND_BACK", "方案请写得更细")
		r = chair.request(req)
		r.Form["plan"] = "上午布展，下午分三批参观，每批十五人。"
		chair.do(nil, "resubmitRequest", "request { id }", input{"request": req, "form": r.Form, "formRev": r.FormRev})
		lapsed := map[string]bool{}
		for _, d := range chair.request(req).Decisions {
			if d.Lapsed {
				lapsed[d.Step] = true
			}
		}
		if !lapsed["advisor"] || !lapsed["college"] {
			t.Errorf("votes that read the plan and still count: lapsed are only %v", lapsed)
		}
		again := w.linkFor("han@", append(before, link)...)
		if status, _ := w.as("").post(again, url.Values{"act": {"approve"}, "comment": {"同意"}}); status != http.StatusOK {
			t.Fatalf("the second link answers %d", status)
		}
		college.decide(req, "APPROVE", "同意")
		w.as("luyuan").decide(req, "APPROVE", "材料齐全")
		w.on("supervision.head").decide(req, "APPROVE", "同意")
		w.as("liu").decide(req, "APPROVE", "同意举办")
		if r = chair.request(req); r.Status != "APPROVED" {
			t.Fatalf("in the end: %s, %+v", r.Status, r.Steps)
		}
		eventually(t, "the tents are reserved", func() bool {
			_, x := chair.traceOf(req)
			shown, hidden := x.kinds()
			return shown["res"]+hidden["res"] > 0
		})
		w.printed(t, req, r)
	})
}

// foreign asks as those who have nothing to do with the request: they are
// answered as about one that does not exist, to the byte.
func (w *world) foreign(t *testing.T, req, number string) {
	t.Helper()
	var tasks struct {
		Node struct{ Tasks []struct{ ID string } }
	}
	w.as("ayinuer").ask(&tasks, `query($id: ID!) { node(id: $id) { ... on Request { tasks { id } } } }`, map[string]any{"id": req})
	requestID := regexp.MustCompile(`"requestId":"[^"]*"`)
	for _, seat := range []string{"society.ai.chair", "college.cs.head"} {
		c := w.on(seat)
		for _, op := range []struct {
			name, query string
			vars        func(req, task string) map[string]any
		}{
			{"node", `query($id: ID!) { node(id: $id) { id ... on Request { number form } } }`, func(req, _ string) map[string]any { return map[string]any{"id": req} }},
			{"task", `query($id: ID!) { node(id: $id) { id } }`, func(_, task string) map[string]any { return map[string]any{"id": task} }},
			{"trace", `query($id: ID!) { trace(id: $id) { nodes { id } } }`, func(req, _ string) map[string]any { return map[string]any{"id": req} }},
			{"clone", `query($id: ID!) { cloneForm(request: $id) { form } }`, func(req, _ string) map[string]any { return map[string]any{"id": req} }},
			{"deliveries", `query($id: ID!) { deliveries(of: $id) { recipient } }`, func(req, _ string) map[string]any { return map[string]any{"id": req} }},
			{"comment", `mutation($in: CommentRequestInput!) { commentRequest(input: $in) { request { id } userErrors { code message } } }`,
				func(req, _ string) map[string]any {
					return map[string]any{"in": input{"request": req, "text": "你好", "idempotencyKey": "the-same-every-time"}}
				}},
			{"decide", `mutation($in: DecideTaskInput!) { decideTask(input: $in) { request { id } userErrors { code message } } }`,
				func(_, task string) map[string]any {
					return map[string]any{"in": input{"task": task, "verdict": "APPROVE", "formRev": 1, "idempotencyKey": "the-same-every-time"}}
				}},
		} {
			there := requestID.ReplaceAll(c.send(op.query, op.vars(req, tasks.Node.Tasks[0].ID)).raw, nil)
			absent := requestID.ReplaceAll(c.send(op.query, op.vars(id.New().TypeID("req"), id.New().TypeID("tsk"))).raw, nil)
			if string(there) != string(absent) {
				t.Errorf("%s, %s: a foreign request answers\n%s\nan absent one\n%s", seat, op.name, there, absent)
			}
		}
		session := w.signIn(c.name)
		for _, part := range []string{"", "/print", "/clone"} {
			absent := id.New().TypeID("req")
			there, body := session.page("/requests/" + req + part)
			if status, other := session.page("/requests/" + absent + part); there != http.StatusNotFound || status != there || neutral(body, req) != neutral(other, absent) {
				t.Errorf("%s: the page %s answers %d, of an absent request %d", seat, part, there, status)
			}
			if strings.Contains(body, number) {
				t.Errorf("%s reads the number on the page that refuses", seat)
			}
		}
		if slices.Contains(c.requests(false), req) {
			t.Errorf("%s has it in the list", seat)
		}
	}
}

// neutral takes out of a page what differs by each call.
func neutral(body, req string) string {
	body = strings.ReplaceAll(body, req, "")
	return regexp.MustCompile(`rq_[0-9a-z]+|value="[A-Za-z0-9_-]{16,}"`).ReplaceAllString(body, "")
}

// printed looks at the A4 form and at what its code stands for.
func (w *world) printed(t *testing.T, req string, r request) {
	t.Helper()
	status, body := w.signIn("ayinuer").page("/requests/" + req + "/print")
	if status != http.StatusOK {
		t.Fatalf("the printed form answers %d", status)
	}
	for _, want := range []string{r.Number, "指导老师意见", "业务指导学院意见", "监察部初审", "监察部部长审批", "团委老师审批", "韩老师", "刘老师", "/verify/" + r.VerifyCode} {
		if !strings.Contains(body, want) {
			t.Errorf("the printed form has no %q", want)
		}
	}
	var got struct {
		Verify *struct {
			Number, Status string
			FormRev        int
			Unit           text
		}
	}
	const ask = `query($c: String!) { verify(code: $c) { number status formRev unit { zh en } } }`
	w.as("").ask(&got, ask, map[string]any{"c": r.VerifyCode})
	if v := got.Verify; v == nil || v.Number != r.Number || v.Status != "APPROVED" || v.FormRev != r.FormRev {
		raw, _ := json.Marshal(got)
		t.Errorf("the code stands for %s", raw)
	}
	w.as("").ask(&got, ask, map[string]any{"c": strings.Repeat("0", len(r.VerifyCode))})
	if got.Verify != nil {
		t.Errorf("a code that was never given stands for %+v", got.Verify)
	}
	if status, body := w.as("").page("/verify/" + r.VerifyCode); status != http.StatusOK || !strings.Contains(body, r.Number) || strings.Contains(body, "阿依努尔") {
		t.Errorf("the page of the code answers %d", status)
	}
}
