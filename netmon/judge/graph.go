package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Kind is what a check sends. It matters here only for which check says
// whether a host is reachable.
type Kind string

// The kinds, the best witness of reachability first.
const (
	ICMP   Kind = "ICMP"
	TCP    Kind = "TCP"
	HTTP   Kind = "HTTP"
	DNS    Kind = "DNS"
	TLS    Kind = "TLS"
	Push   Kind = "PUSH"
	Page   Kind = "PAGE"
	Domain Kind = "DOMAIN"
)

var witness = []Kind{ICMP, TCP, HTTP, DNS, TLS, Push, Page, Domain}

// Check is one thing that is probed on a host. Ids of checks and hosts share
// one name space. Interval is the tier: 10, 30, 60 or 300 s.
type Check struct {
	ID       string
	Name     string // for people; the id stands in when empty
	Kind     Kind
	Interval time.Duration
	Rule     Rule // zero fields: the network's rule
}

// Host is a device, with what it needs to be reachable: every one of All, and
// of each group in Any at least one. A host without checks is a place that
// traffic passes and nobody asks; it is never blamed.
type Host struct {
	ID     string
	Name   string
	All    []string
	Any    [][]string
	Checks []Check
}

// Refusal says why a topology cannot be used. Hosts are the ids concerned; for
// a cycle they are named in order, the first one again at the end.
type Refusal struct {
	Reason string // CYCLE, DUPLICATE, UNKNOWN_HOST, EMPTY, INTERVAL
	Hosts  []string
	Zh, En string
}

// Error implements error in English.
func (r *Refusal) Error() string { return r.En }

// Graph is a validated topology, prepared for judging. It does not change and
// may be shared.
type Graph struct {
	hosts  []Host           // sorted by id
	nodes  []node           // the hosts in that order, then further checks by id
	index  map[string]int32 // node id → node
	checks []checkRef       // every check, sorted by id
	byID   map[string]int32 // check id → check
	order  []int32          // nodes, parents first
	below  [][]int32        // node → the nodes that need it
}

type node struct {
	id, name string
	host     int32
	check    int32     // the check that speaks for the node, -1 for none
	groups   [][]int32 // of each at least one must be good
}

type checkRef struct {
	Check
	node int32
}

// Validate says whether Build would accept the hosts; its error is a *Refusal.
func Validate(hosts []Host) error {
	_, err := Build(hosts)
	return err
}

// Build prepares a topology. The order of hosts does not matter. It refuses
// empty and repeated ids, needs that name no host, empty Any groups, intervals
// below one second, and cycles; its error is a *Refusal.
func Build(hosts []Host) (*Graph, error) {
	g := &Graph{hosts: slices.Clone(hosts), index: map[string]int32{}, byID: map[string]int32{}}
	slices.SortStableFunc(g.hosts, func(a, b Host) int { return strings.Compare(a.ID, b.ID) })
	if err := g.name(); err != nil {
		return nil, err
	}
	g.below = make([][]int32, len(g.nodes))
	for i := range g.hosts {
		if err := g.connect(int32(i)); err != nil {
			return nil, err
		}
	}
	for i := range g.nodes {
		for _, group := range g.nodes[i].groups {
			for _, m := range group {
				g.below[m] = append(g.below[m], int32(i))
			}
		}
	}
	return g, g.sortParentsFirst()
}

// name makes the nodes: one per host, one per check beyond reachability.
func (g *Graph) name() error {
	taken := map[string]bool{}
	claim := func(id string) error {
		if id == "" {
			return &Refusal{Reason: "EMPTY", Zh: "设备和检查都要有编号", En: "every host and every check needs an id"}
		}
		if taken[id] {
			return &Refusal{Reason: "DUPLICATE", Hosts: []string{id},
				Zh: "编号 " + id + " 用了两次", En: "the id " + id + " is used twice"}
		}
		taken[id] = true
		return nil
	}
	for i, h := range g.hosts {
		if err := claim(h.ID); err != nil {
			return err
		}
		g.index[h.ID] = int32(i)
		g.nodes = append(g.nodes, node{id: h.ID, name: label(h.Name, h.ID), host: int32(i), check: -1})
	}
	for i, h := range g.hosts {
		for _, c := range h.Checks {
			if err := claim(c.ID); err != nil {
				return err
			}
			if c.Interval < time.Second {
				return &Refusal{Reason: "INTERVAL", Hosts: []string{h.ID},
					Zh: "检查 " + c.ID + " 的间隔要至少一秒", En: "the interval of check " + c.ID + " must be at least one second"}
			}
			g.checks = append(g.checks, checkRef{Check: c, node: int32(i)})
		}
	}
	slices.SortFunc(g.checks, func(a, b checkRef) int { return strings.Compare(a.ID, b.ID) })
	for i := range g.checks {
		g.byID[g.checks[i].ID] = int32(i)
	}
	for i := range g.hosts {
		g.nodes[i].check = g.reachability(g.hosts[i].Checks)
	}
	for i := range g.checks {
		c := &g.checks[i]
		if host := c.node; g.nodes[host].check != int32(i) {
			c.node = int32(len(g.nodes))
			g.index[c.ID] = c.node
			g.nodes = append(g.nodes, node{id: c.ID, name: g.nodes[host].name + " · " + label(c.Name, c.ID),
				host: host, check: int32(i), groups: [][]int32{{host}}})
		}
	}
	return nil
}

// reachability picks the check that speaks for a host: the best witness, and
// of equals the one listed first.
func (g *Graph) reachability(checks []Check) int32 {
	best, rank := int32(-1), len(witness)+1
	for _, c := range checks {
		r := slices.Index(witness, c.Kind)
		if r < 0 {
			r = len(witness)
		}
		if r < rank {
			best, rank = g.byID[c.ID], r
		}
	}
	return best
}

// connect turns a host's needs into groups of nodes.
func (g *Graph) connect(i int32) error {
	h := &g.hosts[i]
	add := func(ids []string) error {
		group := make([]int32, 0, len(ids))
		for _, id := range ids {
			m, ok := g.index[id]
			if !ok || int(m) >= len(g.hosts) {
				return &Refusal{Reason: "UNKNOWN_HOST", Hosts: []string{h.ID, id},
					Zh: h.ID + " 依赖的设备 " + id + " 不存在", En: h.ID + " needs " + id + ", which is no host"}
			}
			if !slices.Contains(group, m) {
				group = append(group, m)
			}
		}
		g.nodes[i].groups = append(g.nodes[i].groups, group)
		return nil
	}
	for _, id := range h.All {
		if err := add([]string{id}); err != nil {
			return err
		}
	}
	for _, ids := range h.Any {
		if len(ids) == 0 {
			return &Refusal{Reason: "EMPTY", Hosts: []string{h.ID},
				Zh: h.ID + " 有一组空的依赖", En: h.ID + " has an empty group of needs"}
		}
		if err := add(ids); err != nil {
			return err
		}
	}
	return nil
}

// sortParentsFirst orders the nodes (Kahn), or names a cycle.
func (g *Graph) sortParentsFirst() error {
	open := make([]int, len(g.nodes)) // edges up that are not yet behind us
	for _, kids := range g.below {
		for _, k := range kids {
			open[k]++
		}
	}
	for i, n := range open {
		if n == 0 {
			g.order = append(g.order, int32(i))
		}
	}
	for at := 0; at < len(g.order); at++ {
		for _, k := range g.below[g.order[at]] {
			if open[k]--; open[k] == 0 {
				g.order = append(g.order, k)
			}
		}
	}
	if len(g.order) == len(g.nodes) {
		return nil
	}
	return g.cycle(open)
}

// cycle names one: upwards from any node left over, through nodes left over,
// until one comes back.
func (g *Graph) cycle(open []int) error {
	at := int32(slices.IndexFunc(open, func(n int) bool { return n > 0 }))
	var walk []int32
	for !slices.Contains(walk, at) {
		walk = append(walk, at)
		at = g.leftover(at, open)
	}
	var ids []string
	for _, i := range append(walk[slices.Index(walk, at):], at) {
		ids = append(ids, g.nodes[i].id)
	}
	path := strings.Join(ids, " → ")
	return &Refusal{Reason: "CYCLE", Hosts: ids,
		Zh: "依赖关系成环：" + path, En: fmt.Sprintf("the needs form a cycle: %s", path)}
}

func (g *Graph) leftover(i int32, open []int) int32 {
	for _, group := range g.nodes[i].groups {
		for _, m := range group {
			if open[m] > 0 {
				return m
			}
		}
	}
	return i // not reached: every node left over needs another one
}

// Host finds a host by id.
func (g *Graph) Host(id string) (Host, bool) {
	if i, ok := g.index[id]; ok && int(i) < len(g.hosts) {
		return g.hosts[i], true
	}
	return Host{}, false
}

// HostOf gives the host's id of any check, and of a host itself.
func (g *Graph) HostOf(id string) (string, bool) {
	if c, ok := g.byID[id]; ok {
		return g.hosts[g.nodes[g.checks[c].node].host].ID, true
	}
	_, ok := g.Host(id)
	return id, ok
}

// Reachability gives the id of the check that speaks for a host, "" if none.
func (g *Graph) Reachability(host string) string {
	if i, ok := g.index[host]; ok && int(i) < len(g.hosts) && g.nodes[i].check >= 0 {
		return g.checks[g.nodes[i].check].ID
	}
	return ""
}

// Dependents lists the nodes that need the node: hosts and further checks.
func (g *Graph) Dependents(id string) []string {
	i, ok := g.index[id]
	if !ok {
		return nil
	}
	out := make([]string, 0, len(g.below[i]))
	for _, k := range g.below[i] {
		out = append(out, g.nodes[k].id)
	}
	return out
}

// Ancestors lists every host above a node, sorted: what a sweeper re-probes
// when the node's check is lost.
func (g *Graph) Ancestors(id string) []string {
	start, ok := g.index[id]
	if c, isCheck := g.byID[id]; !ok && isCheck {
		start, ok = g.checks[c].node, true
	}
	if !ok {
		return nil
	}
	seen := map[int32]bool{start: true}
	var out []string
	for todo := []int32{start}; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, group := range g.nodes[at].groups {
			for _, m := range group {
				if !seen[m] {
					seen[m] = true
					out = append(out, g.nodes[m].id)
					todo = append(todo, m)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func label(name, id string) string {
	if name == "" {
		return id
	}
	return name
}
