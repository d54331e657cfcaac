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
	v, err := c.Workflow.Request(c.ctx(), c.actor, which)
	if err != nil {
		return err
	}
	sh, err := c.shower(v.Version)
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
		d.Page = &requestPage{View: *l.View, Strong: l.Strong, Act: c.in("act"), Said: c.in("comment"), Score: c.in("score")}
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
		_, err = c.Workflow.DecideByLink(c.ctx(), c.actor, workflow.LinkDecision{Token: token, Verdict: verdict, To: c.in("to"), Comment: c.in("comment"), Code: c.in("code"), Score: c.score("score"), IdempotencyKey: c.key()})
	}
	if err != nil {
		return c.refused(err, c.decision)
	}
	return c.to(back, "decided")
}
