package web

import "kelian/internal/fault"

// routes lists every page with what is sent to it. httpd keeps the secrets in
// /t, /d and /setup out of the log, so every link with a secret begins so.
func (s *Site) routes() []route {
	out := []route{
		{"/{$}", (*call).home, nil},
		{"/status", (*call).status, nil},
		{"/privacy", (*call).privacy, nil},
		{"/verify/{code}", (*call).verify, nil},
		{"/repair", (*call).repairPage, (*call).repairPost},
		{"/t/{token}", (*call).ticketByLink, (*call).ticketByLinkPost},
		{"/d/{token}", (*call).decision, (*call).decisionPost},
		{"/setup/{token}", (*call).accountLink, (*call).accountLinkPost},
		{"/sign-in", (*call).signInPage, (*call).signInPost},
		{"/sign-in/forgot", (*call).forgotPage, (*call).forgotPost},
		{"/sign-out", (*call).signOutPage, (*call).signOut},
		{"/account", (*call).accountPage, (*call).accountPost},
		{"/inbox", (*call).inbox, (*call).inboxPost},
		{"/inbox/{task}", (*call).inboxTask, nil},
		{"/requests", (*call).requests, nil},
		{"/requests/new/{workflow}", (*call).newRequest, (*call).newRequestPost},
		{"/requests/{id}", (*call).request, (*call).requestPost},
		{"/requests/{id}/{part}", (*call).requestPart, (*call).requestPartPost},
		{"/paper", (*call).paperFind, nil},
		{"/paper/{code}", (*call).paper, (*call).paperPost},
		{"/workflows", (*call).workflows, nil},
		{"/workflows/draft", (*call).draft, (*call).draftPost},
		{"/workflows/{key}", (*call).workflowPage, nil},
		{"/calendar", (*call).calendar, nil},
		{"/tickets", (*call).tickets, nil},
		{"/tickets/{id}", (*call).ticket, (*call).ticketPost},
		{"/incidents", (*call).incidents, nil},
		{"/incidents/{id}", (*call).incident, (*call).incidentPost},
		{"/trace/{id}", (*call).trace, nil},
		{"/purchases", (*call).purchases, (*call).purchasePost},
		{"/pledges", (*call).pledges, (*call).pledgePost},
		{"/to-tell", (*call).toTell, (*call).toTellPost},
		{"/graphiql", (*call).graphiql, nil},
	}
	if s.Demo != nil {
		out = append(out, route{"/demo", (*call).demo, nil}, route{"/demo/{act}", (*call).demoBack, (*call).demoPost})
	}
	return out
}

// requestPart is one of the pages below a request: "/requests/new/…" keeps the
// mux from having a pattern for each.
func (c *call) requestPart() error {
	switch part := c.r.PathValue("part"); {
	case isAbout(part):
		return c.about(part, nil, nil)
	case part == "clone":
		return c.cloneRequest()
	case part == "print":
		return c.printRequest()
	}
	return fault.Missing()
}

func (c *call) requestPartPost() error {
	part := c.r.PathValue("part")
	if !isAbout(part) {
		return fault.Missing()
	}
	return c.aboutPost(part)
}
