package judge

import "slices"

// Subject is what a Transition is about.
type Subject string

// The subjects.
const (
	OfCheck   Subject = "CHECK"
	OfNode    Subject = "NODE" // a host, or a check beyond reachability as a node
	OfVantage Subject = "VANTAGE"
)

// Transition is one change of a state or of its overlays. Those of a check
// come from its observations alone; those of a node also say what its place in
// the network makes of it.
type Transition struct {
	Kind     Subject
	ID       string
	Host     string // the host concerned; empty for a vantage
	Epoch    int64
	From, To State
	Was, Now Overlay
	Roots    []string    // of a node: what it waits for now
	Evidence []Line      // of a check: the attempts that led here
	Why      Explanation // of a vantage
}

// judgement is one call of Decide.
type judgement struct {
	g           *Graph
	p           Params
	epoch       int64
	prev        JudgeState
	next        JudgeState
	checks      []CheckState // by check number; prev's until observed
	scratch     []sourced
	transitions []Transition
	changes     []IncidentChange
}

var unasked = CheckState{State: Unknown}

// Decide judges one epoch: given what was known, the network, and the rounds
// of the epoch (late ones of earlier epochs may be among them), it returns what
// is known now and what changed. It changes nothing that it is given. An epoch
// not newer than prev.Epoch returns prev and no changes.
func Decide(prev JudgeState, g *Graph, rounds []Round, epoch int64, p Params) (JudgeState, []Transition, []IncidentChange) {
	if epoch <= prev.Epoch {
		return prev, nil, nil
	}
	j := newJudgement(prev, g, epoch, p)
	in := arrange(rounds, epoch)
	feeds := j.feeds(in, j.trust(in))
	for i := range j.checks {
		j.checkMoves(i, feeds[i])
	}
	cond, confirmed := j.conditions()
	d := diagnose(g, cond)
	for v := range g.nodes {
		j.nodeMoves(int32(v), d)
	}
	j.outages(d, confirmed)
	return j.next, j.transitions, j.changes
}

func newJudgement(prev JudgeState, g *Graph, epoch int64, p Params) *judgement {
	j := &judgement{g: g, p: p.filled(), epoch: epoch, prev: prev, checks: make([]CheckState, len(g.checks))}
	for i := range g.checks {
		c, ok := prev.Checks[g.checks[i].ID]
		if !ok {
			c.State = Unknown
		}
		j.checks[i] = c
	}
	j.next = JudgeState{
		Epoch:    epoch,
		Checks:   make(map[string]CheckState, len(g.checks)),
		Nodes:    make(map[string]NodeState, len(g.nodes)),
		Vantages: make(map[string]VantageState, len(prev.Vantages)),
	}
	for id, v := range prev.Vantages {
		j.next.Vantages[id] = v
	}
	return j
}

// checkOf is the state of the check that speaks for a node.
func (j *judgement) checkOf(v int32) *CheckState {
	if c := j.g.nodes[v].check; c >= 0 {
		return &j.checks[c]
	}
	return &unasked
}

func (j *judgement) checkMoves(i int, feeds []feed) {
	c, ref := &j.checks[i], &j.g.checks[i]
	from, was := c.State, c.Overlay
	if len(feeds) > 0 {
		j.observe(c, ref, feeds)
	}
	c.age(j.epoch, ref.Interval, j.p)
	if c.State != from || c.Overlay != was {
		j.transitions = append(j.transitions, Transition{
			Kind: OfCheck, ID: ref.ID, Host: j.g.hosts[j.g.nodes[ref.node].host].ID, Epoch: j.epoch,
			From: from, To: c.State, Was: was, Now: c.Overlay, Evidence: j.attempts(ref.node),
		})
	}
	j.next.Checks[ref.ID] = *c
}

func (j *judgement) nodeMoves(v int32, d *diagnosis) {
	n, c := &j.g.nodes[v], j.checkOf(v)
	host := j.g.hosts[n.host].ID
	old, known := j.prev.Nodes[n.id]
	if !known {
		old = NodeState{State: Unknown, Since: j.epoch}
	}
	now := NodeState{State: c.State, Since: old.Since, Overlay: c.Overlay}
	if now.State != old.State {
		now.Since = j.epoch
	}
	if j.p.Maintenance[host] {
		now.Overlay |= Maintenance
	}
	if !d.reach[v] && c.State != Up {
		now.Overlay |= Unreachable
		now.Roots = d.names(d.roots[v])
	}
	if d.reach[v] && d.cond[v] == Failing {
		now.Released = old.Released
		if old.Overlay&Unreachable != 0 {
			now.Released = j.epoch
		}
	}
	if now.State != old.State || now.Overlay != old.Overlay || !slices.Equal(now.Roots, old.Roots) {
		j.transitions = append(j.transitions, Transition{Kind: OfNode, ID: n.id, Host: host, Epoch: j.epoch,
			From: old.State, To: now.State, Was: old.Overlay, Now: now.Overlay, Roots: now.Roots})
	}
	j.next.Nodes[n.id] = now
}
