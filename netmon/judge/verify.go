package judge

import (
	"fmt"
	"slices"
)

// Certificate proves an outage's root cause: each root fails although a good
// path leads to it, and nothing gets past the cuts. Nodes that merely stand in
// between (never probed, or not failing) have a cut as well.
type Certificate struct {
	Roots      []string
	Suppressed map[string]Cut
}

// Cut is why no path reaches a node: of each group in Through, which are the
// node's groups of needs that nothing passes, every member is a root or cut
// off itself. Roots are all the roots met on the way up.
type Cut struct {
	Through [][]string
	Roots   []string
}

// Verify checks a certificate against the topology and the conditions, from
// the definitions alone: it shares no code with the search. It also refuses a
// certificate that leaves out a failing node cut off by what it names.
func Verify(g *Graph, c Certificate, conditions map[string]Condition) error {
	k := checker{g, conditions, map[string]bool{}}
	for _, r := range c.Roots {
		if !k.known(r) || conditions[r] != Failing || len(k.blocked(r)) > 0 {
			return fmt.Errorf("%s is no root: it does not fail, or no good path leads to it", r)
		}
	}
	for v, cut := range c.Suppressed {
		if !k.known(v) || k.good(v) || len(cut.Through) == 0 || !sameGroups(cut.Through, k.blocked(v)) {
			return fmt.Errorf("%s is not cut off by the groups named", v)
		}
		var roots []string
		for _, group := range cut.Through {
			for _, m := range group {
				if slices.Contains(c.Roots, m) {
					roots = append(roots, m)
				} else if above, ok := c.Suppressed[m]; ok {
					roots = append(roots, above.Roots...)
				} else {
					return fmt.Errorf("%s needs %s, which is neither a root nor cut off", v, m)
				}
			}
		}
		slices.Sort(roots)
		if roots = slices.Compact(roots); len(roots) == 0 || !slices.Equal(roots, cut.Roots) {
			return fmt.Errorf("%s waits for %v, not for %v", v, roots, cut.Roots)
		}
	}
	named := slices.Clone(c.Roots)
	for v := range c.Suppressed {
		named = append(named, v)
	}
	for _, v := range named {
		for _, d := range g.Dependents(v) {
			_, cut := c.Suppressed[d]
			if conditions[d] == Failing && !cut && len(k.blocked(d)) > 0 {
				return fmt.Errorf("%s is cut off as well and is left out", d)
			}
		}
	}
	return nil
}

type checker struct {
	g      *Graph
	cond   map[string]Condition
	passes map[string]bool // memory of good
}

func (k checker) known(id string) bool { _, ok := k.g.HostOf(id); return ok }

// needs reads a node's groups off the hosts as they were given.
func (k checker) needs(id string) (groups [][]string) {
	h, isHost := k.g.Host(id)
	if !isHost {
		owner, _ := k.g.HostOf(id)
		return [][]string{{owner}}
	}
	for _, a := range h.All {
		groups = append(groups, []string{a})
	}
	return append(groups, h.Any...)
}

// good says whether traffic passes a node.
func (k checker) good(id string) bool {
	v, ok := k.passes[id]
	if !ok {
		v = k.cond[id] == Answering || k.cond[id] == Sound && len(k.blocked(id)) == 0
		k.passes[id] = v
	}
	return v
}

func (k checker) blocked(id string) (groups [][]string) {
	for _, group := range k.needs(id) {
		if !slices.ContainsFunc(group, k.good) {
			groups = append(groups, group)
		}
	}
	return groups
}

// sameGroups compares groups in order, each as a set.
func sameGroups(a, b [][]string) bool {
	return slices.EqualFunc(a, b, func(x, y []string) bool {
		x, y = slices.Clone(x), slices.Clone(y)
		slices.Sort(x)
		slices.Sort(y)
		return slices.Equal(slices.Compact(x), slices.Compact(y))
	})
}
