package web

import (
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/trace"
	"kelian/netmon"
	"kelian/notify"
)

// incidents lists outages, the open ones first on the page by being newest.
func (c *call) incidents() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	list, more, err := c.Netmon.Incidents(c.ctx(), c.actor, store.Page{First: 30, After: c.r.URL.Query().Get("after")}, nil)
	if err != nil {
		return err
	}
	next := ""
	if more && len(list) > 0 {
		next = list[len(list)-1].Cursor()
	}
	hosts, err := c.Netmon.Hosts(c.ctx(), c.actor)
	if err != nil {
		return err
	}
	return c.show("incidents", c.t("nav.incidents"), struct {
		List  []netmon.IncidentView
		Next  string
		Hosts []netmon.HostView
	}{list, next, hosts})
}

type incidentPage struct {
	netmon.IncidentView
	Proof  []proofLine
	AckBy  string
	MayAck bool
	Told   []notify.DeliveryView
	Into   string
}

// proofLine says in words why a host is dark only because of others: of each
// group in Through every way is shut.
type proofLine struct {
	Name    struct{ Zh, En string }
	Through [][]struct{ Zh, En string }
	Roots   []struct{ Zh, En string }
}

func (c *call) incidentID() (id.ID, error) {
	if err := c.signedIn(); err != nil {
		return id.Nil, err
	}
	which, err := id.Parse(netmon.RefIncident, c.r.PathValue("id"))
	if err != nil {
		return id.Nil, fault.Missing()
	}
	return which, nil
}

// incident is the evidence page: why this one.
func (c *call) incident() error {
	which, err := c.incidentID()
	if err != nil {
		return err
	}
	v, err := c.Netmon.Incident(c.ctx(), c.actor, which)
	if err != nil {
		return err
	}
	d := incidentPage{IncidentView: v, MayAck: v.Open && v.AcknowledgedAt.IsZero() && c.can("netmon.acknowledge", "technical")}
	if !v.MergedInto.IsZero() {
		d.Into = v.MergedInto.TypeID(netmon.RefIncident)
	}
	for node, cut := range v.Certificate.Suppressed {
		p := proofLine{Name: v.Names[node]}
		for _, group := range cut.Through {
			var names []struct{ Zh, En string }
			for _, g := range group {
				names = append(names, v.Names[g])
			}
			p.Through = append(p.Through, names)
		}
		for _, r := range cut.Roots {
			p.Roots = append(p.Roots, v.Names[r])
		}
		d.Proof = append(d.Proof, p)
	}
	slices.SortFunc(d.Proof, func(a, b proofLine) int { return cmpText(a.Name.Zh, b.Name.Zh) })
	if !v.AcknowledgedBy.IsZero() {
		people, err := c.Org.People(c.ctx(), c.actor, v.AcknowledgedBy)
		if err != nil {
			return err
		}
		for _, p := range people {
			d.AckBy = p.Name
		}
	}
	ref := outbox.Ref{Kind: netmon.RefIncident, ID: which}
	if d.Told, err = c.Notify.Deliveries(c.ctx(), c.actor, ref); err != nil && !fault.Is(err, fault.Forbidden) && !fault.Is(err, fault.NotFound) {
		return err
	}
	title, _ := c.voice().words(v.Title)
	return c.show("incident", c.t("incident.title", v.Number)+" "+title, d)
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// incidentPost acknowledges it.
func (c *call) incidentPost() error {
	which, err := c.incidentID()
	if err != nil {
		return err
	}
	if _, err := c.Netmon.AcknowledgeIncident(c.ctx(), c.actor, netmon.AcknowledgeInput{Incident: which, Note: c.in("note"), IdempotencyKey: c.key()}); err != nil {
		return c.refused(err, c.incident)
	}
	return c.to("/incidents/"+which.TypeID(netmon.RefIncident), "saved")
}

// tracePage is a trace as a list from the first cause to the last effect, with
// what each object led to.
type tracePage struct {
	Start     trace.Node
	Steps     []traceStep
	Truncated bool
}

type traceStep struct {
	N int
	trace.Node
	Start bool
	Level int // how far it hangs below the roots, for the indent: 0 to 6
	From  []traceEdge
}

type traceEdge struct {
	N    int
	Kind string
	At   time.Time
}

// trace shows what led to an object and what it led to.
func (c *call) trace() error {
	if err := c.signedIn(); err != nil {
		return err
	}
	kind, which, err := id.Split(c.r.PathValue("id"))
	if err != nil {
		return fault.Missing()
	}
	res, err := c.Trace.Of(c.ctx(), c.actor, outbox.Ref{Kind: kind, ID: which})
	if err != nil {
		return err
	}
	d := tracePage{Start: res.Nodes[0], Truncated: res.Truncated, Steps: traceSteps(res)}
	return c.show("trace", c.t("trace.title"), d)
}

// traceSteps orders the nodes so that a cause stands before what it caused,
// earlier ones first among those that could stand next.
func traceSteps(res trace.Result) []traceStep {
	n := len(res.Nodes)
	waits, level, place := make([]int, n), make([]int, n), make([]int, n)
	for _, e := range res.Edges {
		waits[e.To]++
	}
	left := make([]int, n)
	for i := range left {
		left[i] = i
	}
	var out []traceStep
	for len(left) > 0 {
		best := 0
		for i, x := range left {
			y := left[best]
			if waits[x] < waits[y] || waits[x] == waits[y] && res.Nodes[x].At.Before(res.Nodes[y].At) {
				best = i
			}
		}
		x := left[best]
		left = slices.Delete(left, best, best+1)
		place[x] = len(out) + 1
		step := traceStep{N: place[x], Node: res.Nodes[x], Start: x == 0, Level: min(level[x], 6)}
		for _, e := range res.Edges {
			if e.To == x && place[e.From] > 0 {
				step.From = append(step.From, traceEdge{place[e.From], e.Kind, e.At})
			}
			if e.From == x {
				waits[e.To]--
				level[e.To] = max(level[e.To], level[x]+1)
			}
		}
		out = append(out, step)
	}
	return out
}
