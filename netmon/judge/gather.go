package judge

import (
	"cmp"
	"slices"
	"time"
)

// apart is the least distance between attempts of different sweepers on one
// check that counts as two: several sweepers re-probe a common ancestor in the
// same moment, and one lost burst must not look like three losses. Where epochs
// are shorter than ten seconds the re-probes follow each other faster, too.
func apart(interval time.Duration) time.Duration { return min(500*time.Millisecond, interval/20) }

// feed is one round's observation of a check.
type feed struct {
	round   *Round
	trusted bool // its losses count
	seen    *Observation
}

// arrange gives the rounds that may count, in one order whatever order they
// came in, each once.
func arrange(rounds []Round, epoch int64) []*Round {
	out := make([]*Round, 0, len(rounds))
	for i := range rounds {
		if rounds[i].Epoch <= epoch {
			out = append(out, &rounds[i])
		}
	}
	key := func(a, b *Round) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Vantage, b.Vantage), cmp.Compare(a.Shard, b.Shard))
	}
	slices.SortStableFunc(out, key)
	return slices.CompactFunc(out, func(a, b *Round) bool { return key(a, b) == 0 })
}

// feeds sorts the observations by check, keeping the rounds' order. One array
// holds them all: a healthy epoch has one observation for each of 10,000 checks.
func (j *judgement) feeds(rounds []*Round, trusted map[*Round]bool) [][]feed {
	counts := make([]int32, len(j.g.checks))
	where := make([]int32, 0, len(j.g.checks))
	for _, r := range rounds {
		for i := range r.Observations {
			c, ok := j.g.byID[r.Observations[i].Check]
			if !ok {
				c = -1
			} else {
				counts[c]++
			}
			where = append(where, c)
		}
	}
	all, out, from := make([]feed, len(where)), make([][]feed, len(counts)), 0
	for c, n := range counts {
		out[c] = all[from : from : from+int(n)]
		from += int(n)
	}
	at := 0
	for _, r := range rounds {
		for i := range r.Observations {
			if c := where[at]; c >= 0 {
				out[c] = append(out[c], feed{r, trusted[r], &r.Observations[i]})
			}
			at++
		}
	}
	return out
}

// observe moves one check by its feeds, vantage by vantage and epoch by epoch.
func (j *judgement) observe(c *CheckState, ref *checkRef, feeds []feed) {
	rule, used := ref.Rule.or(j.p.Rule), false
	c.Views = slices.Clone(c.Views)
	for len(feeds) > 0 {
		n := 1
		for n < len(feeds) && feeds[n].round.Epoch == feeds[0].round.Epoch && feeds[n].round.Vantage == feeds[0].round.Vantage {
			n++
		}
		epoch := feeds[0].round.Epoch
		if v := c.view(feeds[0].round.Vantage); epoch > v.Last {
			j.scratch = merge(j.scratch[:0], feeds[:n], apart(ref.Interval))
			for _, t := range j.scratch {
				v.take(t.Trial, rule)
				used = true
			}
			if said(feeds[:n]) {
				v.Last = epoch
			}
		}
		feeds = feeds[n:]
	}
	if used {
		c.settle(j.epoch, ref.Interval, j.p)
	}
}

// said: an observation that is only Missing leaves the epoch open for a round
// that arrives late.
func said(feeds []feed) bool {
	for _, f := range feeds {
		if f.seen.Outcome != Missing && f.seen.Outcome != "" {
			return true
		}
	}
	return false
}

type sourced struct {
	Trial
	shard string
}

// merge puts the usable attempts of one vantage and epoch in the order in which
// they were sent.
func merge(out []sourced, feeds []feed, apart time.Duration) []sourced {
	for _, f := range feeds {
		add := func(a Attempt) {
			if a.Outcome == Reply || a.Outcome.lost() && f.trusted {
				out = append(out, sourced{Trial{f.round.Epoch, a.After, a.Outcome, a.RTT, a.By}, f.round.Shard})
			}
		}
		add(f.seen.Attempt)
		for _, a := range f.seen.Retries {
			add(a)
		}
	}
	if len(feeds) == 1 {
		return out
	}
	slices.SortStableFunc(out, func(a, b sourced) int { return cmp.Compare(a.After, b.After) })
	kept := out[:0]
	for _, t := range out {
		n := len(kept)
		if n == 0 || kept[n-1].shard == t.shard || t.After-kept[n-1].After >= apart {
			kept = append(kept, t)
		} else if t.Outcome == Reply {
			kept[n-1] = t
		}
	}
	return kept
}

// trust says which rounds' losses count: those of healthy rounds, unless the
// vantage itself is sick in that epoch.
func (j *judgement) trust(rounds []*Round) map[*Round]bool {
	out := make(map[*Round]bool, len(rounds))
	for len(rounds) > 0 {
		n := 1
		for n < len(rounds) && rounds[n].Epoch == rounds[0].Epoch && rounds[n].Vantage == rounds[0].Vantage {
			n++
		}
		failing, of, some := j.unrelated(rounds[:n])
		sick := failing >= j.p.SickMin && float64(failing) > j.p.SickShare*float64(of)
		for _, r := range rounds[:n] {
			out[r] = r.Healthy && !sick
		}
		if some {
			j.vantage(rounds[0].Vantage, sick, failing, of)
		}
		rounds = rounds[n:]
	}
	return out
}

// unrelated counts, among the hosts that a vantage observed in one epoch, those
// whose failing nothing above them explains, and how many could have been so.
// Hosts that are down already say nothing about the vantage. some is false when
// no healthy round observed a host.
func (j *judgement) unrelated(rounds []*Round) (failing, of int, some bool) {
	last, losses := make([]Attempt, len(j.g.hosts)), 0
	for _, r := range rounds {
		if !r.Healthy {
			continue
		}
		for i := range r.Observations {
			o := &r.Observations[i]
			c, ok := j.g.byID[o.Check]
			if !ok || int(j.g.checks[c].node) >= len(j.g.hosts) {
				continue
			}
			a, had := o.last(), &last[j.g.checks[c].node]
			if a.Outcome.lost() {
				losses++
			} else if a.Outcome != Reply {
				continue
			}
			if had.Outcome == "" || a.After > had.After || a.After == had.After && a.Outcome == Reply {
				*had, some = a, true
			}
		}
	}
	if losses < j.p.SickMin {
		return 0, 0, some
	}
	cond := make([]Condition, len(j.g.nodes))
	hard := make([]bool, len(j.g.hosts))
	for i := range hard {
		hard[i] = j.checkOf(int32(i)).State.hard()
		if hard[i] || last[i].Outcome.lost() {
			cond[i] = Failing
		}
	}
	good := reachable(j.g, cond)
	for i, a := range last {
		if a.Outcome != "" && !hard[i] && good[i] {
			of++
			if a.Outcome.lost() {
				failing++
			}
		}
	}
	return failing, of, some
}

// vantage records whether a vantage can be believed and says so when it changes.
func (j *judgement) vantage(id string, sick bool, failing, of int) {
	old, known := j.next.Vantages[id]
	now := VantageState{State: Up, Since: j.epoch}
	if sick {
		now = VantageState{State: Sick, Since: j.epoch, Failing: failing, Of: of}
	}
	if known && old.State == now.State {
		now.Since = old.Since
	} else if known || sick {
		from := Unknown
		if known {
			from = old.State
		}
		j.transitions = append(j.transitions, Transition{Kind: OfVantage, ID: id, Epoch: j.epoch,
			From: from, To: now.State, Why: whyVantage(id, now)})
	}
	j.next.Vantages[id] = now
}
