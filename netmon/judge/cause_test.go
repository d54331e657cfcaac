package judge_test

import (
	"maps"
	"slices"
	"testing"

	"kelian/netmon/judge"
)

// groupings lists every way to need some of the parents: each subset, divided
// into groups in every way ({a},{b} needs both, {a b} needs one of them).
func groupings(parents []string) [][][]string {
	if len(parents) == 0 {
		return [][][]string{nil}
	}
	var out [][][]string
	for _, rest := range groupings(parents[1:]) {
		out = append(out, rest, append([][]string{{parents[0]}}, rest...))
		for i := range rest {
			with := slices.Clone(rest)
			with[i] = append([]string{parents[0]}, rest[i]...)
			out = append(out, with)
		}
	}
	return out
}

// networks calls visit with every topology of n hosts, up to renaming. Ids are
// given against the order of the needs as often as along it.
func networks(n int, visit func([]judge.Host)) {
	names := []string{"a", "b", "c", "d", "e"}[:n]
	for range 2 - n/5 { // five hosts: along it only
		var grow func(hosts []judge.Host)
		grow = func(hosts []judge.Host) {
			if len(hosts) == n {
				visit(hosts)
				return
			}
			for _, groups := range groupings(names[:len(hosts)]) {
				h := judge.Host{ID: names[len(hosts)]}
				for _, group := range groups {
					if len(group) == 1 {
						h.All = append(h.All, group[0])
					} else {
						h.Any = append(h.Any, group)
					}
				}
				grow(append(slices.Clip(hosts), h))
			}
		}
		grow(nil)
		names = slices.Clone(names)
		slices.Reverse(names)
	}
}

func groupsOf(h judge.Host) (out [][]string) {
	for _, id := range h.All {
		out = append(out, []string{id})
	}
	return append(out, h.Any...)
}

// small is a topology as bit sets, for the search over all sets.
type small struct {
	hosts  []judge.Host
	groups [][]uint // host → its groups
}

func bits(hosts []judge.Host) small {
	s := small{hosts: hosts}
	for _, h := range hosts {
		var masks []uint
		for _, group := range groupsOf(h) {
			masks = append(masks, s.set(group))
		}
		s.groups = append(s.groups, masks)
	}
	return s
}

func (s small) set(ids []string) (mask uint) {
	for i, h := range s.hosts {
		if slices.Contains(ids, h.ID) {
			mask |= 1 << i
		}
	}
	return mask
}

// brute finds the nodes with a good path by trying every set of nodes as the
// set that carries: it may hold what answers, and what does not fail and finds
// all it needs inside the set.
func (s small) brute(failing, answering uint) (reach, carries uint) {
	for in := range uint(1) << len(s.hosts) {
		var has uint
		for i, groups := range s.groups {
			if !slices.ContainsFunc(groups, func(group uint) bool { return group&in == 0 }) {
				has |= 1 << i
			}
		}
		if in&^(answering|has&^failing) == 0 {
			reach |= has
			carries |= in
		}
	}
	return reach, carries
}

// examine compares a diagnosis with the search over all sets.
func examine(t *testing.T, s small, g *judge.Graph, cond map[string]judge.Condition) judge.Cause {
	cause := judge.Diagnose(g, cond)
	var failing, answering uint
	for i, h := range s.hosts {
		switch cond[h.ID] {
		case judge.Failing:
			failing |= 1 << i
		case judge.Answering:
			answering |= 1 << i
		}
	}
	reach, carries := s.brute(failing, answering)
	roots, suppressed := s.set(cause.Roots), uint(0)
	for v, by := range cause.Suppressed {
		suppressed |= s.set([]string{v})
		// The roots named cut v off alone; without them nothing does.
		cut, _ := s.brute(s.set(by), answering)
		free, _ := s.brute(roots&^s.set(by), answering)
		if v := s.set([]string{v}); len(by) == 0 || s.set(by)&^roots != 0 || cut&v != 0 || free&v == 0 {
			t.Fatalf("%+v with %v: %v do not dominate", s.hosts, cond, by)
		}
	}
	if roots != failing&reach || suppressed != failing&^reach {
		t.Fatalf("%+v with %v: have %+v; good paths lead to %b", s.hosts, cond, cause, reach)
	}
	regions(t, s, carries, roots|suppressed, cause)
	for _, r := range cause.Regions {
		if err := judge.Verify(g, r.Certificate, cond); err != nil {
			t.Fatalf("%+v with %v: %v refused: %v", s.hosts, cond, r.Certificate, err)
		}
	}
	return cause
}

// regions: failing nodes are in one region exactly when a chain of needs joins
// them through nodes that carry nothing.
func regions(t *testing.T, s small, carries, failing uint, cause judge.Cause) {
	var named uint
	for _, r := range cause.Regions {
		members := s.set(r.Roots) | s.set(r.Suppressed)
		chain := members & -members
		for range s.hosts {
			for i, groups := range s.groups {
				for _, group := range groups {
					if edge := group&^carries | 1<<i; carries>>i&1 == 0 && chain&edge != 0 {
						chain |= edge
					}
				}
			}
		}
		if members == 0 || chain&failing != members || named&members != 0 {
			t.Fatalf("%+v: wrong region %+v of %+v", s.hosts, r, cause)
		}
		named |= members
	}
	if named != failing {
		t.Fatalf("%+v: the regions %+v leave someone out", s.hosts, cause)
	}
}

// Every topology up to four hosts with every mix of the three conditions, and
// every one of five hosts with every mix of up and down.
func TestEverySmallNetwork(t *testing.T) {
	graphs := 0
	for n := 1; n <= 5; n++ {
		kinds := 3
		if n == 5 {
			kinds = 2
		}
		networks(n, func(hosts []judge.Host) {
			g, s := build(t, hosts), bits(hosts)
			graphs++
			total := 1
			for range hosts {
				total *= kinds
			}
			for mix := range total {
				cond := map[string]judge.Condition{}
				for _, h := range hosts {
					cond[h.ID] = judge.Condition(mix % kinds)
					mix /= kinds
				}
				cause := examine(t, s, g, cond)
				if n <= 4 {
					for _, r := range cause.Regions {
						tamper(t, g, cond, r.Certificate)
					}
				}
			}
		})
	}
	equal(t, "topologies", graphs, 2*(1+2+10+150)+7800)
}

// tamper forges a certificate in every simple way; each must be refused.
func tamper(t *testing.T, g *judge.Graph, cond map[string]judge.Condition, c judge.Certificate) {
	refuse := func(what string, forged judge.Certificate) {
		if judge.Verify(g, forged, cond) == nil {
			t.Fatalf("%s passes: %+v, forged from %+v with %v", what, forged, c, cond)
		}
	}
	without := func(list []string, i int) []string { return slices.Delete(slices.Clone(list), i, i+1) }
	withCut := func(v string, cut judge.Cut) judge.Certificate {
		m := maps.Clone(c.Suppressed)
		m[v] = cut
		return judge.Certificate{Roots: c.Roots, Suppressed: m}
	}
	for i := range c.Roots {
		if len(c.Suppressed) > 0 && usedAsRoot(c, c.Roots[i]) {
			refuse("a missing root", judge.Certificate{Roots: without(c.Roots, i), Suppressed: c.Suppressed})
		}
		refuse("a root called suppressed", judge.Certificate{Roots: without(c.Roots, i),
			Suppressed: withCut(c.Roots[i], judge.Cut{Through: [][]string{{c.Roots[i]}}, Roots: []string{c.Roots[i]}}).Suppressed})
	}
	for _, id := range []string{"a", "b", "c", "d", "nobody"} {
		if _, ok := c.Suppressed[id]; ok || cond[id] != judge.Failing {
			refuse("a false root", judge.Certificate{Roots: append(slices.Clone(c.Roots), id), Suppressed: c.Suppressed})
		}
		if _, ok := c.Suppressed[id]; !ok && len(c.Roots) > 0 && cond[id] != judge.Failing {
			reached := judge.Diagnose(g, cond)
			if !slices.ContainsFunc(reached.Regions, func(r judge.Region) bool { _, cut := r.Certificate.Suppressed[id]; return cut }) {
				refuse("a good host called suppressed", withCut(id, judge.Cut{Through: [][]string{c.Roots}, Roots: c.Roots}))
			}
		}
	}
	for v, cut := range c.Suppressed {
		refuse("a suppressed host without cut", withCut(v, judge.Cut{Roots: cut.Roots}))
		refuse("a cut with a foreign root", withCut(v, judge.Cut{Through: cut.Through, Roots: append(slices.Clone(cut.Roots), "z")}))
		refuse("a cut without its root", withCut(v, judge.Cut{Through: cut.Through, Roots: cut.Roots[1:]}))
		for i, group := range cut.Through {
			edges := slices.Clone(cut.Through)
			edges[i] = group[1:]
			refuse("a cut with an edge missing", withCut(v, judge.Cut{Through: edges, Roots: cut.Roots}))
		}
		if cond[v] == judge.Failing {
			m := maps.Clone(c.Suppressed)
			delete(m, v)
			refuse("a suppressed host left out", judge.Certificate{Roots: c.Roots, Suppressed: m})
		}
	}
}

func usedAsRoot(c judge.Certificate, root string) bool {
	for _, cut := range c.Suppressed {
		if slices.Contains(cut.Roots, root) {
			return true
		}
	}
	return false
}
