package judge

import (
	"math"
	"slices"
)

// Condition is what speaks for or against a node when a cause is sought.
type Condition uint8

// The conditions.
const (
	Sound     Condition = iota // nothing speaks against it
	Failing                    // DOWN, RECOVERING, or SUSPECT and observed lately
	Answering                  // answered after everything above it was lost: reachable, whatever the drawing says
)

// Cause is the root cause of one epoch. All lists are sorted.
type Cause struct {
	Roots      []string            // failing nodes with a good path
	Suppressed map[string][]string // failing nodes without one → the roots that cut them off
	Regions    []Region            // Roots and Suppressed by connected region
}

// Region is a connected set of nodes that carry no traffic.
type Region struct {
	Roots, Suppressed []string
	Certificate       Certificate
}

// Diagnose finds the causes for any set of conditions, by node id; a node
// without an entry is Sound. It answers "what if this switch failed" as well.
func Diagnose(g *Graph, conditions map[string]Condition) Cause {
	cond := make([]Condition, len(g.nodes))
	for i := range g.nodes {
		cond[i] = conditions[g.nodes[i].id]
	}
	d := diagnose(g, cond)
	out := Cause{Suppressed: map[string][]string{}}
	for r := range d.members {
		region := Region{Certificate: d.certificate([]int{r})}
		for _, v := range d.members[r] {
			id := g.nodes[v].id
			switch {
			case cond[v] != Failing:
			case d.reach[v]:
				region.Roots = append(region.Roots, id)
			default:
				region.Suppressed = append(region.Suppressed, id)
				out.Suppressed[id] = d.names(d.roots[v])
			}
		}
		slices.Sort(region.Roots)
		slices.Sort(region.Suppressed)
		out.Roots = append(out.Roots, region.Roots...)
		out.Regions = append(out.Regions, region)
	}
	slices.Sort(out.Roots)
	return out
}

// diagnosis is the cause by node number.
type diagnosis struct {
	g       *Graph
	cond    []Condition
	reach   []bool    // a good path leads to it
	carries []bool    // traffic passes it
	roots   [][]int32 // of a node without a good path: what cuts it off, sorted
	region  []int     // of a node that carries nothing; -1 otherwise
	members [][]int32 // region → nodes, sorted; regions by their first node
}

// reachable is the least fixpoint of "cut off": a node is cut off when in one
// of its groups nothing carries; a node carries when it answers, or when it is
// sound and not cut off. Without cycles one pass, parents first, reaches it.
func reachable(g *Graph, cond []Condition) []bool {
	d := diagnosis{g: g, cond: cond}
	d.spread()
	return d.reach
}

func (d *diagnosis) spread() {
	d.reach, d.carries = make([]bool, len(d.cond)), make([]bool, len(d.cond))
	for _, v := range d.g.order {
		d.reach[v] = true
		for _, group := range d.g.nodes[v].groups {
			d.reach[v] = d.reach[v] && d.open(group)
		}
		d.carries[v] = d.cond[v] == Answering || d.cond[v] == Sound && d.reach[v]
	}
}

// open says whether any member of a group carries.
func (d *diagnosis) open(group []int32) bool {
	for _, m := range group {
		if d.carries[m] {
			return true
		}
	}
	return false
}

func diagnose(g *Graph, cond []Condition) *diagnosis {
	d := &diagnosis{g: g, cond: cond, roots: make([][]int32, len(cond)), region: make([]int, len(cond))}
	d.spread()
	sets := newSets(len(cond))
	for _, v := range g.order {
		for _, group := range g.nodes[v].groups {
			blocked := !d.open(group)
			for _, m := range group {
				if blocked && d.cond[m] == Failing && d.reach[m] {
					d.roots[v] = union(d.roots[v], []int32{m})
				} else if blocked {
					d.roots[v] = union(d.roots[v], d.roots[m])
				}
				if !d.carries[v] && !d.carries[m] {
					sets.join(v, m)
				}
			}
		}
	}
	number := map[int32]int{}
	for v := range cond {
		d.region[v] = -1
		if d.carries[v] {
			continue
		}
		top := sets.find(int32(v))
		r, ok := number[top]
		if !ok {
			r = len(d.members)
			number[top] = r
			d.members = append(d.members, nil)
		}
		d.region[v] = r
		d.members[r] = append(d.members[r], int32(v))
	}
	return d
}

func (d *diagnosis) names(vs []int32) []string {
	out := make([]string, 0, len(vs))
	for _, v := range vs {
		out = append(out, d.g.nodes[v].id)
	}
	slices.Sort(out)
	return out
}

// certificate writes down the proof for some regions.
func (d *diagnosis) certificate(regions []int) Certificate {
	c := Certificate{Suppressed: map[string]Cut{}}
	for _, r := range regions {
		for _, v := range d.members[r] {
			if d.reach[v] {
				c.Roots = append(c.Roots, d.g.nodes[v].id)
				continue
			}
			cut := Cut{Roots: d.names(d.roots[v])}
			for _, group := range d.g.nodes[v].groups {
				if !d.open(group) {
					cut.Through = append(cut.Through, d.names(group))
				}
			}
			c.Suppressed[d.g.nodes[v].id] = cut
		}
	}
	slices.Sort(c.Roots)
	return c
}

// union of sorted sets; an operand that holds the other is shared, so that
// thousands of hosts behind one switch share one slice.
func union(a, b []int32) []int32 {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0, slices.Equal(a, b):
		return a
	}
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// conditions reads the conditions off the checks, parents first, and for each
// node when its parents were last seen to carry.
//
// A node that answered after its parents began to fail is Answering: it proves
// a way that the drawing does not show (a dead management address, say), and
// what fails behind it is not the parents' doing.
func (j *judgement) conditions() (cond []Condition, confirmed []int64) {
	n := len(j.g.nodes)
	cond, confirmed = make([]Condition, n), make([]int64, n)
	carries, since, seen := make([]bool, n), make([]int64, n), make([]int64, n)
	for _, v := range j.g.order {
		blocked, sure := int64(math.MaxInt64), int64(math.MaxInt64)
		for _, group := range j.g.nodes[v].groups {
			open, lost, known := false, int64(0), int64(0)
			for _, m := range group {
				if carries[m] {
					open, known = true, max(known, seen[m])
				} else {
					lost = max(lost, since[m])
				}
			}
			if open {
				sure = min(sure, known)
			} else {
				blocked = min(blocked, lost)
			}
		}
		reach := blocked == math.MaxInt64
		c := j.checkOf(v)
		fresh := c.State != Unknown && c.Overlay&Stale == 0
		switch {
		case c.bad():
			cond[v], since[v] = Failing, c.Failing
		case !reach && fresh && c.State == Up && c.Replied > blocked:
			cond[v], carries[v] = Answering, true
		default:
			carries[v], since[v] = reach, blocked
		}
		confirmed[v], seen[v] = sure, sure
		if fresh {
			seen[v] = c.Seen
		}
	}
	return cond, confirmed
}

// Conditions gives the conditions behind the state's latest judgement, for
// Verify. Sound nodes are left out.
func (s JudgeState) Conditions(g *Graph, p Params) map[string]Condition {
	j := newJudgement(s, g, s.Epoch, p)
	cond, _ := j.conditions()
	out := map[string]Condition{}
	for i, c := range cond {
		if c != Sound {
			out[g.nodes[i].id] = c
		}
	}
	return out
}

// sets is a union-find.
type sets []int32

func newSets(n int) sets {
	s := make(sets, n)
	for i := range s {
		s[i] = int32(i)
	}
	return s
}

func (s sets) find(v int32) int32 {
	for s[v] != v {
		s[v] = s[s[v]]
		v = s[v]
	}
	return v
}

// join makes the smaller number speak for both.
func (s sets) join(a, b int32) {
	a, b = s.find(a), s.find(b)
	s[max(a, b)] = min(a, b)
}
