package proof

import (
	"slices"

	"kelian/workflow/flow"
)

// staffing is one question: can this path be decided at all, when this person
// asks, that one is away, and this step went to its escalation seat?
type staffing struct {
	*crew
	sit       *Situation
	path      []*flow.Step
	requester string
	absent    string
	escalated string
	who       [][]flow.Elector // deciders of the steps so far
	stop      *stop            // where the deepest attempt failed
}

// stop is a step that finds too few people. Person is somebody whom the rules
// keep out of it.
type stop struct {
	at     int
	step   *flow.Step
	code   string
	person string
}

// solve looks for deciders of every step, one step after the other, because
// whom a step may ask depends on who decided before; nil: there are some. Of
// people who are the same to all later steps one choice is tried, first those
// whom the later steps need least.
func (s *staffing) solve() *stop {
	s.solved++
	s.who, s.stop = make([][]flow.Elector, 0, len(s.path)), nil
	if s.from(0) || s.left <= 0 {
		return nil
	}
	return s.stop
}

func (s *staffing) from(at int) bool {
	if s.left--; s.left <= 0 {
		return false
	}
	if at == len(s.path) {
		return true
	}
	step := s.path[at]
	if step.Rule.Kind == flow.Objection {
		s.who = append(s.who, nil)
		defer func() { s.who = s.who[:at] }()
		return s.from(at + 1)
	}
	pool, need, ok := s.pool(at)
	if !ok {
		return false
	}
	return s.choose(at, s.leastNeeded(at, pool), need, nil)
}

// pool is who can decide a step now and how much weight must approve.
func (s *staffing) pool(at int) (pool []flow.Elector, need int, ok bool) {
	step := s.path[at]
	electors, why := s.admit(at, s.ask(step))
	if len(electors) == 0 {
		electors, _ = s.admit(at, s.sit.Seats[s.Flow.Policy.Empty])
	}
	present := func(list []flow.Elector) []flow.Elector {
		return slices.DeleteFunc(slices.Clone(list), func(e flow.Elector) bool { return e.Person == s.absent })
	}
	escalation := func() []flow.Elector {
		if step.OnDue.Then != flow.ThenEscalate && step.OnDue.Then != flow.ThenWiden {
			return nil
		}
		list, _ := s.admit(at, s.sit.Seats[step.OnDue.Escalate])
		return present(list)
	}
	if s.escalated == step.Name {
		// A seat that finds nobody takes nothing over.
		if to := escalation(); len(to) > 0 {
			return to, 1, true
		}
	}
	here := present(electors)
	if need, ok := needed(step, electors, here); ok {
		return here, need, true
	}
	if to := escalation(); len(to) > 0 && len(electors) > 0 {
		for i := range to {
			to[i].Weight = 1
		}
		return to, 1, true
	}
	s.fail(at, why, len(electors))
	return nil, 0, false
}

// ask is who holds the seats that the step asks, with their weights.
func (s *staffing) ask(step *flow.Step) []flow.Elector {
	var out []flow.Elector
	for _, src := range step.Ask {
		for _, e := range s.sit.Seats[src] {
			e.Weight = step.Weights[src]
			out = append(out, e)
		}
	}
	return out
}

// needed is the weight that must approve, if those here can bring it up.
func needed(step *flow.Step, electors, here []flow.Elector) (int, bool) {
	total, present := weigh(electors), weigh(here)
	if step.Draw > 0 && len(electors) > step.Draw {
		total = step.Draw
		present = min(present, total)
	}
	tally := flow.Tally{Open: total}
	if step.OnDue.Then == flow.ThenAbstain {
		tally = flow.Tally{Open: present, Silent: total - present}
	}
	if step.Rule.Short(tally) > 0 || total == 0 {
		return 0, false
	}
	need := step.Rule.Lacking(tally)
	met := tally
	met.Approve, met.Open = need, tally.Open-need
	return need, need <= present && step.Rule.Settle(met) == flow.Passed
}

func weigh(list []flow.Elector) int {
	n := 0
	for _, e := range list {
		n += max(1, e.Weight)
	}
	return n
}

// admit keeps those whom the separation of duties lets decide, as the engine
// does, and names somebody whom it keeps out.
func (s *staffing) admit(at int, list []flow.Elector) (in []flow.Elector, out string) {
	step := s.path[at]
	for _, e := range list {
		switch {
		case slices.ContainsFunc(in, func(x flow.Elector) bool { return x.Person == e.Person }):
		case s.requester != "" && (e.Person == s.requester || e.For == s.requester), s.isBarred(step.Name, e), s.conflict(at, e):
			out = e.Person
		default:
			in = append(in, e)
		}
	}
	return in, out
}

func (s *staffing) isBarred(step string, e flow.Elector) bool {
	_, person := s.sit.Barred[step][e.Person]
	_, other := s.sit.Barred[step][e.For]
	return person || other && e.For != ""
}

// conflict says that the elector, or who stands behind them, decided a step
// that must be decided by somebody else.
func (s *staffing) conflict(at int, e flow.Elector) bool {
	for k, deciders := range s.who {
		if !s.Flow.Apart(s.path[at].Name, s.path[k].Name) {
			continue
		}
		for _, d := range deciders {
			if d.Person == e.Person || d.For != "" && d.For == e.Person || e.For != "" && (d.Person == e.For || d.For == e.For) {
				return true
			}
		}
	}
	return false
}

func (s *staffing) fail(at int, person string, found int) {
	if s.stop != nil && s.stop.at >= at {
		return
	}
	code := "STAFF_VACANT"
	switch {
	case person != "":
		code = "STAFF_DISTINCT"
	case found > 0:
		code = "STAFF_TOO_FEW"
	}
	s.stop = &stop{at: at, step: s.path[at], code: code, person: person}
}

// choose adds deciders out of the pool until their weight suffices.
func (s *staffing) choose(at int, pool []flow.Elector, need int, chosen []flow.Elector) bool {
	if weigh(chosen) >= need && (need > 0 || len(chosen) > 0) {
		s.who = append(s.who, chosen)
		defer func() { s.who = s.who[:at] }()
		return s.from(at + 1)
	}
	tried := map[string]bool{}
	for k := range pool {
		sign := s.sign(at, pool[k])
		if tried[sign] {
			continue
		}
		tried[sign] = true
		// The sets that hold somebody before k were tried.
		if s.choose(at, pool[k+1:], need, append(slices.Clone(chosen), pool[k])) {
			return true
		}
	}
	return false
}

// sign is the same for people who are the same to every later step.
func (s *staffing) sign(at int, e flow.Elector) string {
	out := []byte{byte('0' + min(max(1, e.Weight), 100))}
	for _, later := range s.path[at+1:] {
		c := byte('.')
		if s.Flow.Apart(s.path[at].Name, later.Name) {
			for _, src := range append(append([]string{s.Flow.Policy.Empty}, later.Ask...), later.OnDue.Escalate) {
				if slices.ContainsFunc(s.sit.Seats[src], func(x flow.Elector) bool {
					return x.Person == e.Person || x.For == e.Person || e.For != "" && (x.Person == e.For || x.For == e.For)
				}) {
					c = 'x'
					out = append(out, src...)
				}
			}
		}
		out = append(out, c)
	}
	return string(out)
}

// leastNeeded orders the pool by how many later steps a person is wanted in.
func (s *staffing) leastNeeded(at int, pool []flow.Elector) []flow.Elector {
	out := slices.Clone(pool)
	slices.SortStableFunc(out, func(a, b flow.Elector) int { return len(s.sign(at, a)) - len(s.sign(at, b)) })
	return out
}
