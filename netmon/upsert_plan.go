package netmon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
)

// plan is what a list comes to in a network.
type plan struct {
	*list
	t       *topology
	nodes   []*node // of each row: the host that it is, or a new one
	known   []bool
	names   map[string][]*node // whatever a need may call a host
	results []RowResult
	order   []int // rows, those that others need first
}

func (l *list) plan(t *topology) *plan {
	n := len(l.rows)
	p := &plan{list: l, t: t, nodes: make([]*node, n), known: make([]bool, n), names: map[string][]*node{}, results: make([]RowResult, n)}
	for i := range l.rows {
		p.results[i] = RowResult{Row: i, Name: Words{l.hosts[i].NameZh, l.hosts[i].NameEn}}
		if l.refused[i] != nil {
			p.refuse(i, l.refused[i])
		}
	}
	p.match()
	p.call()
	for i := range l.rows {
		if p.results[i].Result == "" {
			if err := p.need(i); err != nil {
				p.refuse(i, err)
			}
		}
	}
	p.sort()
	for i := range l.rows {
		r := &p.results[i]
		if r.Result != "" {
			continue
		}
		switch r.Host = p.nodes[i].ID; {
		case !p.known[i]:
			r.Result, r.Host = Created, id.Nil
		case p.equal(i):
			r.Result = Unchanged
		default:
			r.Result = Updated
		}
	}
	return p
}

func (p *plan) refuse(i int, err error) {
	r := &p.results[i]
	f, ok := fault.As(err)
	if !ok {
		f = fault.Busy(err)
	}
	r.Result, r.Reason, r.Path, r.Why = Refused, f.Reason, f.Path, Words{f.Zh, f.En}
	if r.Reason == "" {
		r.Reason = string(f.Code)
	}
}

// match finds the host that each row is: by key, by address, by name.
func (p *plan) match() {
	taken := map[*node]int{}
	byKey, byName := map[string]*node{}, map[string][]*node{}
	for _, h := range p.t.live {
		byKey[h.OuterKey] = h
		byName[h.NameZh] = append(byName[h.NameZh], h)
	}
	delete(byKey, "")
	seen := map[string]int{}
	for i, in := range p.hosts {
		for _, k := range []string{"key", "address"} {
			v := map[string]string{"key": in.Key, "address": in.Address}[k]
			if first, dup := seen[k+v]; v != "" && dup && p.results[i].Result == "" {
				p.refuse(i, fault.Refuse("ROW_TWICE", fmt.Sprintf("与第 %d 行是同一台设备：请合并", first+1), fmt.Sprintf("the same host as row %d: merge them", first+1)).At(k))
			} else if v != "" {
				seen[k+v] = i
			}
		}
	}
	pass := func(find func(in HostInput) *node) {
		for i, in := range p.hosts {
			if h := find(in); h != nil && p.nodes[i] == nil && p.results[i].Result == "" {
				if _, other := taken[h]; !other {
					taken[h], p.nodes[i], p.known[i] = i, h, true
				}
			}
		}
	}
	pass(func(in HostInput) *node { return byKey[in.Key] })
	pass(func(in HostInput) *node {
		h := p.t.byAddress[in.Address]
		if h == nil || in.Key != "" && h.OuterKey != "" && in.Key != h.OuterKey {
			return nil
		}
		return h
	})
	pass(func(in HostInput) *node {
		free := slices.DeleteFunc(slices.Clone(byName[in.NameZh]), func(h *node) bool {
			_, other := taken[h]
			return other || in.Key != "" && h.OuterKey != "" && in.Key != h.OuterKey
		})
		if len(free) != 1 {
			return nil
		}
		return free[0]
	})
	for i := range p.hosts {
		in := &p.hosts[i]
		if p.nodes[i] == nil {
			fresh := id.New()
			p.nodes[i] = &node{hostRow: hostRow{ID: fresh, Version: 1, OuterKey: in.Key}, id: fresh.String()}
		}
		if other := p.t.byAddress[in.Address]; other != nil && other != p.nodes[i] && p.results[i].Result == "" {
			p.refuse(i, fault.Refuse("ADDRESS_TAKEN", "地址 "+in.Address+" 已用于 "+other.name.Zh, "the address "+in.Address+" is that of "+other.name.En).At("address"))
		}
	}
}

// call collects what a need may call hosts: rows come before what the network
// had, for they may have been renamed.
func (p *plan) call() {
	add := func(n *node, names ...string) {
		for _, s := range names {
			if s != "" && !slices.Contains(p.names[s], n) {
				p.names[s] = append(p.names[s], n)
			}
		}
	}
	in := map[*node]bool{}
	for i, h := range p.hosts {
		in[p.nodes[i]] = true
		key := h.Key
		if key == "" && p.known[i] {
			key = p.nodes[i].OuterKey
		}
		add(p.nodes[i], key, h.Address, h.NameZh, h.NameEn)
	}
	for _, h := range p.t.live {
		if !in[h] {
			add(h, h.OuterKey, h.Address, h.NameZh, h.NameEn)
		}
	}
}

// need turns the names that a row needs into hosts.
func (p *plan) need(i int) error {
	in := &p.hosts[i]
	in.Needs = nil
	for g, names := range p.rows[i].Needs {
		var group []id.ID
		for _, name := range names {
			name = strings.TrimSpace(name)
			path := []string{"needs", strconv.Itoa(g)}
			switch found := p.names[name]; {
			case len(found) == 0:
				return fault.Refuse("HOST_UNKNOWN", "找不到依赖的设备 "+name+"：请写它的键、地址或名称", "no host "+name+" to be needed: give its key, address or name").At(path...)
			case len(found) > 1:
				return fault.Refuse("HOST_AMBIGUOUS", "有多台设备叫 "+name+"：请改用键或地址", "several hosts are called "+name+": use the key or the address").At(path...)
			case found[0] == p.nodes[i]:
				return fault.Refuse("DEPENDENCY_CYCLE", "设备不能依赖自己", "a host cannot need itself").At(path...)
			case !slices.Contains(group, found[0].ID):
				group = append(group, found[0].ID)
			}
		}
		if len(group) > 0 {
			in.Needs = append(in.Needs, group)
		}
	}
	return nil
}

// equal says whether a known host is already what its row says.
func (p *plan) equal(i int) bool {
	h, in := p.nodes[i], p.hosts[i]
	if in.Key == "" {
		in.Key = h.OuterKey
	}
	if h.NameZh != in.NameZh || h.NameEn != in.NameEn || h.Address != in.Address || h.OuterKey != in.Key || !slices.Equal(h.labels, in.Labels) ||
		(Rule{h.Losses, h.Within, h.Replies}) != in.Rule || len(h.checks) != len(in.Checks) || !slices.Equal(groups(h.needs), groups(in.Needs)) {
		return false
	}
	buildings := func(list []string) []string { return slices.Sorted(slices.Values(list)) }
	if !slices.Equal(buildings(h.buildings), buildings(in.Buildings)) {
		return false
	}
	for _, c := range in.Checks {
		if !slices.ContainsFunc(h.checks, func(x *target) bool {
			return x.Kind == c.Kind && (x.Target == c.Target || c.Kind == Push && c.Target == "") && x.Seconds == c.Seconds && same(x.expect, c.Expect)
		}) {
			return false
		}
	}
	return true
}

// groups are needs in one spelling.
func groups(needs [][]id.ID) (out []string) {
	for _, g := range needs {
		var names []string
		for _, n := range g {
			names = append(names, n.String())
		}
		if len(names) > 0 {
			slices.Sort(names)
			out = append(out, strings.Join(names, ","))
		}
	}
	slices.Sort(out)
	return out
}
