package judge

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// take moves a view by one attempt.
func (v *View) take(t Trial, r Rule) {
	v.Fresh, v.Seen = t.Epoch, t.at()
	if t.Outcome == Reply {
		v.reply(t, r)
		return
	}
	v.Good = 0
	if v.Failing == 0 {
		v.Failing = v.Seen
	}
	v.remember(t, r)
	if v.State.hard() || losses(v.Recent) >= r.Losses {
		v.State = Down
	} else {
		v.State = Suspect
	}
}

func (v *View) reply(t Trial, r Rule) {
	v.Replied, v.RTT = v.Seen, t.RTT
	v.Good = min(v.Good+1, r.Replies)
	if v.State.hard() {
		v.remember(t, r)
		if v.Good < r.Replies {
			v.State = Recovering
			return
		}
		// The losses of this outage must not count towards the next one; the
		// replies stay until the next attempt, as evidence of the recovery.
		v.Recent = v.Recent[max(0, len(v.Recent)-v.Good):]
	} else if losses(v.Recent) > 0 {
		v.remember(t, r)
	} else {
		v.Recent = nil
	}
	v.State, v.Failing = Up, 0
}

// remember appends to a copy of the window, never to an older state's array.
// Replies before the first loss say nothing and are left out.
func (v *View) remember(t Trial, r Rule) {
	w := append(slices.Clone(v.Recent), t)
	w = w[max(0, len(w)-r.Of):]
	for len(w) > 1 && w[0].Outcome == Reply && !v.State.hard() {
		w = w[1:]
	}
	v.Recent = w
}

func losses(w []Trial) (n int) {
	for _, t := range w {
		if t.Outcome.lost() {
			n++
		}
	}
	return n
}

// view finds or makes the vantage's view; Views is already this epoch's copy.
func (c *CheckState) view(vantage string) *View {
	i, ok := slices.BinarySearchFunc(c.Views, vantage, func(v View, s string) int { return cmp.Compare(v.Vantage, s) })
	if !ok {
		c.Views = slices.Insert(c.Views, i, View{Vantage: vantage, State: Unknown})
	}
	return &c.Views[i]
}

// settle derives a check's state from its views after at least one of them
// changed. A check that nobody observed is not settled: silence changes nothing.
func (c *CheckState) settle(epoch int64, interval time.Duration, p Params) {
	var down, rec, sus, fresh int
	c.Failing = 0
	for i := range c.Views {
		v := &c.Views[i]
		if isStale(epoch, v.Fresh, interval, p) || v.State == Unknown {
			continue
		}
		fresh++
		switch v.State {
		case Down:
			down++
		case Recovering:
			rec++
		case Suspect:
			sus++
		}
		c.Fresh, c.Seen, c.Replied = max(c.Fresh, v.Fresh), max(c.Seen, v.Seen), max(c.Replied, v.Replied)
		if v.Failing > 0 && (c.Failing == 0 || v.Failing < c.Failing) {
			c.Failing = v.Failing
		}
	}
	if fresh == 0 {
		return
	}
	need := fresh/2 + 1
	if p.Quorum > 0 {
		need = min(p.Quorum, fresh)
	}
	to := Up
	switch {
	case down >= need:
		to = Down
	case down+rec+sus >= need && c.State.hard():
		to = Recovering
	case down+rec+sus >= need:
		to = Suspect
	}
	c.Overlay &^= Disputed
	if down+rec > 0 && !to.hard() {
		c.Overlay |= Disputed
	}
	if to == Up {
		c.Failing = 0
	}
	c.become(to, epoch, p)
}

// become changes the state and charges hard changes, into an outage or out of
// it, to the flap penalty.
func (c *CheckState) become(to State, epoch int64, p Params) {
	from := c.State
	if from == to {
		return
	}
	c.State, c.Since = to, epoch
	if from.hard() == to.hard() {
		return
	}
	c.Penalty = min(c.decayed(epoch, p)+p.Change, p.Ceiling)
	c.PenaltyAt = epoch
	if c.Penalty > p.Suppress {
		c.Overlay |= Flapping
	}
	if c.Overlay&Flapping != 0 {
		c.Changes++
	}
}

// decayed is the penalty as of the epoch.
func (c *CheckState) decayed(epoch int64, p Params) float64 {
	if c.Penalty == 0 {
		return 0
	}
	return c.Penalty * math.Exp2(-float64(epoch-c.PenaltyAt)/p.HalfLife.Seconds())
}

// age lays the overlays that time alone brings or takes. The penalty itself is
// kept as of its last change, so that ageing in one step or in many is equal.
func (c *CheckState) age(epoch int64, interval time.Duration, p Params) {
	c.Overlay &^= Stale
	if c.State != Unknown && isStale(epoch, c.Fresh, interval, p) {
		c.Overlay |= Stale
	}
	if c.Penalty == 0 {
		return
	}
	left := c.decayed(epoch, p)
	if left < p.Reuse && c.Overlay&Flapping != 0 {
		c.Overlay &^= Flapping
		c.Changes = 0
	}
	if left < 1 {
		c.Penalty, c.PenaltyAt = 0, 0
	}
}

// isStale: the last StaleAfter rounds, this epoch's among them, brought nothing.
func isStale(epoch, fresh int64, interval time.Duration, p Params) bool {
	return time.Duration(epoch-fresh)*time.Second >= time.Duration(p.StaleAfter)*interval
}

// bad says whether a check counts against its node: an outage, or a suspicion
// that is still warm.
func (c *CheckState) bad() bool {
	return c.State.hard() || c.State == Suspect && c.Overlay&Stale == 0
}
