package web

import (
	"kelian/internal/id"
	"kelian/org"
	"kelian/workflow"
)

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
	sh, err := c.shower(p.Version)
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
		reader := c.linked(l)
		d.Page = &requestPage{View: *l.View, Strong: l.Strong, Act: c.in("act"), Said: c.in("comment"), Score: c.in("score"),
			Moves: workflow.Moves{Fill: l.Fill, Open: l.Open, Objection: l.Objection}}
		if err := reader.fillRequest(d.Page, l.View); err != nil {
			return err
		}
	}
	return c.show("decision", l.Number+" "+l.Title, d)
}

// linked is the call as the person to whom the link was sent: whoever holds the
// link reads as that person.
func (c *call) linked(l workflow.LinkView) *call {
	reader := *c
	reader.actor = org.Actor{Person: l.Person, Lang: c.lang, Address: c.actor.Address}
	return &reader
}

// decisionPost decides by the link, takes it back, or has the code mailed.
func (c *call) decisionPost() error {
	token := c.r.PathValue("token")
	back := tokenPath("/d/", token)
	if c.in("act") == "code" {
		if _, err := c.Workflow.RequestCode(c.ctx(), token); err != nil {
			return c.refused(err, c.decision)
		}
		return c.to(back, "codesent")
	}
	if c.in("act") == "undo" {
		if _, err := c.Workflow.UndoByLink(c.ctx(), c.actor, workflow.LinkUndo{Token: token, Code: c.in("code"), IdempotencyKey: c.key()}); err != nil {
			return c.refused(err, c.decision)
		}
		return c.to(back, "undone")
	}
	if err := c.decideByLink(token); err != nil {
		return c.refused(err, c.decision)
	}
	return c.to(back, "decided")
}

func (c *call) decideByLink(token string) error {
	verdict, err := c.opinion(c.in("act"))
	if err != nil {
		return err
	}
	in := workflow.LinkDecision{Token: token, Verdict: verdict, To: c.in("to"), Comment: c.in("comment"), Code: c.in("code"), Score: c.score("score"), IdempotencyKey: c.key()}
	if verdict == workflow.Approve {
		l, err := c.Workflow.Link(c.ctx(), token)
		if err != nil {
			return err
		}
		if len(l.Fill) > 0 {
			if in.Fields, err = c.linked(l).readFill(l.View.Version, l.Fill); err != nil {
				return err
			}
		}
	}
	_, err = c.Workflow.DecideByLink(c.ctx(), c.actor, in)
	return err
}
