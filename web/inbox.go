package web

import (
	"slices"
	"strconv"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/notify"
	"kelian/workflow"
	"kelian/workflow/flow"
)

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

// inboxPost marks what the reader was told as read, or decides what was ticked.
func (c *call) inboxPost() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	if act := c.in("act"); act != "" {
		return c.decideTicked(act)
	}
	if _, err := c.Notify.MarkRead(c.ctx(), c.actor, notify.MarkReadInput{All: true, IdempotencyKey: c.key()}); err != nil {
		return c.refused(err, c.inbox)
	}
	return c.to("/inbox", "read")
}

// decided is what became of one of several decisions.
type decided struct {
	workflow.InboxItem
	Wrong string // "" = it was decided
}

// decideTicked decides the ticked tasks the same way and says of each what
// became of it.
func (c *call) decideTicked(act string) error {
	verdict, err := c.opinion(act)
	if err != nil {
		return c.refused(err, c.inbox)
	}
	var list []workflow.DecideInput
	for _, x := range c.r.PostForm["task"] {
		name, read, _ := strings.Cut(x, " ")
		task, err := id.Parse(workflow.RefTask, name)
		rev, err2 := strconv.Atoi(read)
		if err != nil || err2 != nil {
			return fault.Missing()
		}
		list = append(list, workflow.DecideInput{Task: task, Verdict: verdict, Comment: c.in("comment"), FormRev: rev, Score: c.score("score " + name), IdempotencyKey: c.key() + " " + name})
	}
	if len(list) == 0 {
		return c.refused(fault.Input("task", "请先勾选要一起办理的待办", "tick the tasks that are to be decided together"), c.inbox)
	}
	known, _, err := c.Workflow.Inbox(c.ctx(), c.actor, store.Page{First: store.PageMax})
	if err != nil {
		return err
	}
	done, err := c.Workflow.DecideMany(c.ctx(), c.actor, list)
	if err != nil {
		return c.refused(err, c.inbox)
	}
	d, err := c.inboxData()
	if err != nil {
		return err
	}
	for _, x := range done {
		d.Results = append(d.Results, c.result(x, known))
	}
	return c.show("inbox", c.t("nav.inbox"), d)
}

func (c *call) result(x workflow.BulkOutcome, known []workflow.InboxItem) decided {
	out := decided{InboxItem: workflow.InboxItem{Task: x.Task, Request: x.Outcome.Request}}
	if i := slices.IndexFunc(known, func(k workflow.InboxItem) bool { return k.Task == x.Task }); i >= 0 {
		out.InboxItem = known[i]
	}
	if e, ok := fault.As(x.Err); ok {
		out.Wrong = e.Message(c.lang)
	} else if x.Err != nil {
		c.Log.ErrorContext(c.ctx(), "one of several decisions", "err", x.Err)
		out.Wrong = c.t("error.broken")
	}
	return out
}

type inboxData struct {
	Results []decided
	Decided string // TypeID of the request that was decided just now
	Said    string
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
	if _, err := id.Parse(workflow.RefRequest, q.Get("decided")); err == nil {
		d.Decided = q.Get("decided")
	}
	d.Said = c.in("comment")
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
