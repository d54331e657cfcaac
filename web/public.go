package web

import (
	"kelian/desk/repair"
	"kelian/netmon"
	"kelian/org"
	"kelian/workflow"
)

// home is the first page. It says in three sentences what this is.
func (c *call) home() error {
	st, err := c.Netmon.Status(c.ctx(), c.actor)
	if err != nil {
		return err
	}
	return c.show("home", c.t("home.title", c.Federation), st)
}

type statusPage struct {
	netmon.Status
	Seconds int
	Open    int // repairs that are open
}

// status is public: how the network is, without addresses.
func (c *call) status() error {
	st, err := c.Netmon.Status(c.ctx(), c.actor)
	if err != nil {
		return err
	}
	return c.write("status", &page{Title: c.t("nav.status"), Refresh: 30, D: statusPage{Status: st, Seconds: int(st.Age.Seconds())}})
}

// privacy is made of the register, so it cannot forget a field.
func (c *call) privacy() error {
	return c.show("privacy", c.t("privacy.title"), struct {
		Fields  []org.Field
		Consent repair.Words
		Version string
	}{org.Register, repair.ConsentText, repair.ConsentVersion})
}

// verify answers the code on a printed form. A code that was never given gets
// the same page as any other address.
func (c *call) verify() error {
	v, err := c.Workflow.VerifyCode(c.ctx(), c.r.PathValue("code"))
	if err != nil {
		return err
	}
	return c.show("verify", c.t("verify.title"), struct {
		workflow.Verified
		Paper string // code; "" = the reader enters no papers
	}{v, map[bool]string{true: c.r.PathValue("code")}[c.me != nil && c.can("workflow.paper", "")]})
}
