package web

import (
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/notify"
	"kelian/org"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// requestPage is a request as one reader sees it.
type requestPage struct {
	workflow.View
	Fields        []shownField
	Revs          []shownRevision
	Changed       []shownChange // since what the reader decided on, or since the first
	Waits         []waitLine
	Targets       []choice
	PersonalShown []shownField  // after "show", which is recorded
	Changes       []shownChange // what a stale answer did not know
	Abstain       bool
	Told          []notify.DeliveryView
	Strong        bool
	CanClone      bool
}

type shownRevision struct {
	Rev     int
	At      time.Time
	Changes []shownChange
}

// waitLine says who is awaited at which step.
type waitLine struct {
	Step    template.HTML
	Who     []string
	Due     time.Time
	Overdue bool
	Usually time.Duration
}

// fileDoor is where this reader downloads: who came by a decision's link, by
// the link.
func (c *call) fileDoor() string {
	if token := c.r.PathValue("token"); token != "" && strings.HasPrefix(c.r.URL.Path, "/d/") {
		return "/d/" + token + "/files/"
	}
	return "/files/"
}

// shower spells forms of the definition.
func (c *call) shower(key string) (*shower, error) {
	things, err := c.things()
	if err != nil {
		return nil, err
	}
	out := &shower{voice: c.voice(), things: things, file: c.fileNames(), door: c.fileDoor()}
	if def, err := c.definition(key); err == nil {
		out.form = def.Definition.Form
	} else if !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	return out, nil
}

// requestID reads the request of the address.
func (c *call) requestID() (id.ID, error) {
	if err := c.signedIn(); err != nil {
		return id.Nil, err
	}
	which, err := id.Parse(workflow.RefRequest, c.r.PathValue("id"))
	if err != nil {
		return id.Nil, fault.Missing()
	}
	return which, nil
}

func (c *call) request() error { return c.requestWith(nil) }

func (c *call) requestWith(reveal map[string]flow.JSON) error {
	which, err := c.requestID()
	if err != nil {
		return err
	}
	v, err := c.Workflow.Request(c.ctx(), c.actor, which)
	if err != nil {
		return err
	}
	d := requestPage{View: v, CanClone: true}
	if err := c.fillRequest(&d, &v); err != nil {
		return err
	}
	if d.Waits, err = c.waits(which, v.Status); err != nil {
		return err
	}
	d.Told, err = c.Notify.Deliveries(c.ctx(), c.actor, outbox.Ref{Kind: workflow.RefRequest, ID: which})
	if err != nil && !fault.Is(err, fault.Forbidden) && !fault.Is(err, fault.NotFound) {
		return err
	}
	if reveal != nil {
		d.PersonalShown = c.revealed(v.Definition, reveal)
	}
	return c.show("request", v.Number+" "+v.Title, d)
}

// fillRequest spells the form, its revisions and what is open to the reader.
func (c *call) fillRequest(d *requestPage, v *workflow.View) error {
	sh, err := c.shower(v.Definition)
	if err != nil {
		return err
	}
	p, err := c.Workflow.PrintModel(c.ctx(), c.actor, v.ID)
	if err != nil {
		return err
	}
	d.Fields, d.Targets = sh.print(p.Fields), c.targets(v)
	for _, r := range v.Revisions[min(1, len(v.Revisions)):] {
		d.Revs = append(d.Revs, shownRevision{r.Rev, r.At, sh.changes(r.Changes)})
	}
	slices.Reverse(d.Revs)
	if c.err != nil {
		if stale, ok := c.err.Detail.(*workflow.StaleForm); ok {
			d.Changes = sh.changes(stale.Changes)
		}
	}
	if v.Mine != nil {
		for _, st := range v.Steps {
			d.Abstain = d.Abstain || st.Name == v.Mine.Step && st.Rule.Abstain
		}
	}
	if v.Mine != nil && len(d.Revs) > 0 {
		d.Changed = d.Revs[0].Changes
	}
	return nil
}

func (c *call) revealed(definition string, leaves map[string]flow.JSON) []shownField {
	sh, err := c.shower(definition)
	if err != nil {
		return nil
	}
	var out []shownField
	for pointer, leaf := range leaves {
		f := sh.field(pointer, "")
		title, _ := sh.words(f.Title)
		if title == "" {
			title = pointer
		}
		out = append(out, shownField{Title: title, Value: sh.value(decodeJSON(leaf), f)})
	}
	slices.SortFunc(out, func(a, b shownField) int {
		if a.Title < b.Title {
			return -1
		}
		return 1
	})
	return out
}

// waits says whose answer is awaited, and how long that usually takes.
func (c *call) waits(which id.ID, status flow.Status) ([]waitLine, error) {
	if status != flow.Open {
		return nil, nil
	}
	e, err := c.Workflow.Explain(c.ctx(), c.actor, which)
	if err != nil {
		return nil, err
	}
	var out []waitLine
	var walk func(q flow.Requirement)
	walk = func(q flow.Requirement) {
		if len(q.Waiting) > 0 {
			title, _ := c.voice().words(q.Title)
			w := waitLine{Step: template.HTML(template.HTMLEscapeString(title)), Due: q.DueAt, Overdue: q.Overdue, Usually: e.Typical[q.Step].Took}
			for _, x := range q.Waiting {
				name := e.Names[x.Elector.Person]
				if x.Elector.Seat != "" {
					name += text{"（", " ("}.in(c.lang) + c.voice().seatName(x.Elector.Seat) + text{"）", ")"}.in(c.lang)
				}
				w.Who = append(w.Who, name)
			}
			out = append(out, w)
		}
		for _, p := range q.Parts {
			walk(p)
		}
	}
	walk(e.Tree)
	return out, nil
}

// requestPost decides, withdraws, comments, or shows what is recorded to be
// looked at.
func (c *call) requestPost() error {
	which, err := c.requestID()
	if err != nil {
		return err
	}
	done := "saved"
	switch act := c.in("act"); act {
	case "withdraw":
		_, err = c.Workflow.Withdraw(c.ctx(), c.actor, workflow.WithdrawInput{Request: which, Comment: c.in("comment"), IdempotencyKey: c.key()})
		done = "withdrawn"
	case "comment":
		_, err = c.Workflow.Comment(c.ctx(), c.actor, workflow.CommentInput{Request: which, Text: c.in("comment"), IdempotencyKey: c.key()})
	case "personal":
		leaves, e := c.Workflow.Personal(c.ctx(), c.actor, which)
		if e == nil {
			return c.requestWith(leaves)
		}
		err = e
	default:
		err = c.decide(act)
		done = "decided"
	}
	if err != nil {
		return c.refused(err, c.request)
	}
	if done == "decided" {
		return c.to("/inbox", done)
	}
	return c.to("/requests/"+which.TypeID(workflow.RefRequest), done)
}

var verdicts = map[string]workflow.Verdict{"approve": workflow.Approve, "reject": workflow.Reject, "abstain": workflow.Abstain, "send-back": workflow.SendBack}

// opinion is the verdict of a form; who says no or sends back says why.
func (c *call) opinion(act string) (workflow.Verdict, error) {
	v, ok := verdicts[act]
	if !ok {
		return "", fault.Input("act", "请选择同意、不同意或退回修改", "choose to approve, reject or send back")
	}
	if (v == workflow.Reject || v == workflow.SendBack) && c.in("comment") == "" {
		return "", fault.Input("comment", "请写明理由，申请人要据此修改", "say why, so that the requester knows what to change")
	}
	return v, nil
}

func (c *call) decide(act string) error {
	verdict, err := c.opinion(act)
	if err != nil {
		return err
	}
	task, err := id.Parse(workflow.RefTask, c.in("task"))
	if err != nil {
		return fault.Missing()
	}
	rev, err := strconv.Atoi(c.in("rev"))
	if err != nil {
		return fault.Missing()
	}
	_, err = c.Workflow.Decide(c.ctx(), c.actor, workflow.DecideInput{Task: task, Verdict: verdict, To: c.in("to"), Comment: c.in("comment"), FormRev: rev, IdempotencyKey: c.key()})
	return err
}

// printRequest is the A4 form.
func (c *call) printRequest() error {
	which, err := c.requestID()
	if err != nil {
		return err
	}
	p, err := c.Workflow.PrintModel(c.ctx(), c.actor, which)
	if err != nil {
		return err
	}
	v, err := c.Workflow.Request(c.ctx(), c.actor, which)
	if err != nil {
		return err
	}
	sh, err := c.shower(v.Definition)
	if err != nil {
		return err
	}
	kind, _ := c.voice().words(p.Kind)
	return c.write("print", &page{Title: p.Number + " " + kind, Plain: true, D: struct {
		workflow.Print
		ID     id.ID
		Shown  []shownField
		Verify string
	}{p, which, sh.print(p.Fields), c.PublicURL + "/verify/" + p.VerifyCode}})
}

// decision is the page of a decision link. Looking changes nothing.
func (c *call) decision() error {
	token := c.r.PathValue("token")
	l, err := c.Workflow.Link(c.ctx(), token)
	if err != nil {
		return err
	}
	d := struct {
		workflow.LinkView
		Changed []shownChange
		Page    *requestPage
	}{LinkView: l}
	if len(l.Changes) > 0 {
		d.Changed = (&shower{voice: c.voice()}).changes(l.Changes)
	}
	if l.View != nil {
		// Who holds the link reads as the person it was sent to.
		reader := *c
		reader.actor = org.Actor{Person: l.Person, Lang: c.lang, Address: c.actor.Address}
		d.Page = &requestPage{View: *l.View, Strong: l.Strong}
		if err := reader.fillRequest(d.Page, l.View); err != nil {
			return err
		}
	}
	return c.show("decision", l.Number+" "+l.Title, d)
}

// decisionPost decides by the link, or has the code mailed.
func (c *call) decisionPost() error {
	token := c.r.PathValue("token")
	back := tokenPath("/d/", token)
	if c.in("act") == "code" {
		if _, err := c.Workflow.RequestCode(c.ctx(), token); err != nil {
			return c.refused(err, c.decision)
		}
		return c.to(back, "codesent")
	}
	verdict, err := c.opinion(c.in("act"))
	if err == nil {
		_, err = c.Workflow.DecideByLink(c.ctx(), c.actor, workflow.LinkDecision{Token: token, Verdict: verdict, To: c.in("to"), Comment: c.in("comment"), Code: c.in("code"), IdempotencyKey: c.key()})
	}
	if err != nil {
		return c.refused(err, c.decision)
	}
	return c.to(back, "decided")
}

const inboxPage = 20

// inbox is what waits for the reader, and what the reader was told.
func (c *call) inbox() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	d, err := c.inboxData()
	if err != nil {
		return err
	}
	return c.show("inbox", c.t("nav.inbox"), d)
}

// inboxTask leads from a task, as messages name it, to its request. A task that
// is no longer the reader's leads to the inbox.
func (c *call) inboxTask() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	task, err := id.Parse(workflow.RefTask, c.r.PathValue("task"))
	if err != nil {
		return fault.Missing()
	}
	page := store.Page{First: store.PageMax}
	for {
		items, more, err := c.Workflow.Inbox(c.ctx(), c.actor, page)
		if err != nil {
			return err
		}
		for _, x := range items {
			if x.Task == task {
				return c.to("/requests/"+x.Request.TypeID(workflow.RefRequest), "")
			}
		}
		if !more {
			return c.to("/inbox", "settled")
		}
		page.After = items[len(items)-1].Cursor
	}
}

// inboxPost marks what the reader was told as read.
func (c *call) inboxPost() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	if _, err := c.Notify.MarkRead(c.ctx(), c.actor, notify.MarkReadInput{All: true, IdempotencyKey: c.key()}); err != nil {
		return c.refused(err, c.inbox)
	}
	return c.to("/inbox", "read")
}

type inboxData struct {
	Tasks   []workflow.InboxItem
	Next    string
	Tickets []ticketRow
	News    []notify.Item
	NewsTo  string
	Mine    []workflow.Summary // returned to me
}

func (c *call) inboxData() (inboxData, error) {
	var d inboxData
	var more bool
	var err error
	q := c.r.URL.Query()
	if d.Tasks, more, err = c.Workflow.Inbox(c.ctx(), c.actor, store.Page{First: inboxPage, After: q.Get("after")}); err != nil {
		return d, err
	}
	if more && len(d.Tasks) > 0 {
		d.Next = d.Tasks[len(d.Tasks)-1].Cursor
	}
	if d.Mine, _, err = c.Workflow.Requests(c.ctx(), c.actor, workflow.Filter{Mine: true, Status: []flow.Status{flow.Returned}}, store.Page{First: inboxPage}); err != nil {
		return d, err
	}
	if d.Tickets, err = c.myTickets(); err != nil {
		return d, err
	}
	d.News, d.NewsTo, err = c.Notify.Inbox(c.ctx(), c.actor, store.Page{First: inboxPage, After: q.Get("news")})
	return d, err
}
