package netmon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Limits of a list of hosts.
const (
	MaxRows = 5000 // hosts of one list
	MaxList = 8 << 20
	chunk   = 500 // hosts of one transaction
	vetters = 16  // rows whose names are looked up at once
)

// HostRow is a host in a list. It is the host that has its key, else the one
// that has its address, else the only one of its name that no other row is;
// otherwise a new one. Needs name hosts of the list or of the network by key,
// address or name.
type HostRow struct {
	Key       string
	NameZh    string
	NameEn    string
	Address   string
	Labels    []string
	Buildings []string
	Needs     [][]string
	Checks    []CheckInput
	Rule      Rule
	Ping      string // a name whose address is taken where Address is empty
}

// RowResult is what a row came to: CREATED, UPDATED, UNCHANGED or REFUSED, then
// with the field in Path and the fix in Why.
type RowResult struct {
	Row    int // from 0
	Host   id.ID
	Name   Words
	Result string
	Reason string
	Path   []string
	Why    Words
}

// The results of a row.
const (
	Created   = "CREATED"
	Updated   = "UPDATED"
	Unchanged = "UNCHANGED"
	Refused   = "REFUSED"
)

// UpsertInput is a list of hosts. DryRun writes nothing.
type UpsertInput struct {
	Hosts          []HostRow
	DryRun         bool
	IdempotencyKey string `json:"-"`
}

// UpsertHosts brings hosts to what a list says; those that it does not name are
// left alone; a list that is sent again finds them UNCHANGED. Each part of at most 500 rows is one transaction, hosts before
// those that need them; a row that is refused stops no other.
func (s *Service) UpsertHosts(ctx context.Context, actor org.Actor, in UpsertInput) ([]RowResult, error) {
	if _, err := s.may(ctx, actor, "netmon.manage"); err != nil {
		return nil, err
	}
	if len(in.Hosts) > MaxRows {
		return nil, fault.Input("hosts", "一次最多 5000 台设备：请分成几份", "a list has at most 5,000 hosts: split it")
	}
	l := s.vetList(ctx, actor, in.Hosts)
	now, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	p := l.plan(now.topo)
	if in.DryRun {
		return p.results, nil
	}
	out := slices.Clone(p.results)
	todo := slices.DeleteFunc(p.order, func(i int) bool { return p.results[i].Result != Created && p.results[i].Result != Updated })
	for n := 0; n*chunk < len(todo); n++ {
		part := todo[n*chunk : min((n+1)*chunk, len(todo))]
		rows := make([]HostRow, len(part))
		for k, i := range part {
			rows[k] = in.Hosts[i]
		}
		key, err := partKey(in.IdempotencyKey, rows)
		if err != nil {
			return out, err
		}
		got, err := do(ctx, s, actor, "upsertHosts", key, rows, "netmon.manage", func(ctx context.Context, c *command) ([]RowResult, error) {
			t, err := c.network(ctx)
			if err != nil {
				return nil, err
			}
			return c.apply(ctx, t, l.plan(t), part)
		})
		if err != nil {
			return out, err
		}
		for _, r := range got {
			out[r.Row] = r
		}
	}
	return out, nil
}

// partKey makes a key of its own for each part, from what it holds: a list that
// is sent again after it broke off goes on with what is left.
func partKey(key string, rows []HostRow) (string, error) {
	if key == "" {
		return "", nil
	}
	raw, err := json.Marshal(rows)
	sum := sha256.Sum256(append([]byte(key+"\n"), raw...))
	return hex.EncodeToString(sum[:]), err
}

// list is rows whose shape was checked.
type list struct {
	rows    []HostRow
	hosts   []HostInput
	refused []error
}

// vetList checks each row by itself; names of targets are looked up here,
// several at once.
func (s *Service) vetList(ctx context.Context, actor org.Actor, rows []HostRow) *list {
	l := &list{rows: rows, hosts: make([]HostInput, len(rows)), refused: make([]error, len(rows))}
	var wait sync.WaitGroup
	slots := make(chan struct{}, vetters)
	for i, r := range rows {
		h := &l.hosts[i]
		*h = HostInput{NameZh: r.NameZh, NameEn: r.NameEn, Address: r.Address, Key: r.Key, Labels: slices.Clone(r.Labels), Buildings: r.Buildings, Checks: slices.Clone(r.Checks), Rule: r.Rule}
		if strings.TrimSpace(h.NameEn) == "" {
			h.NameEn = h.NameZh
		}
		if strings.TrimSpace(h.NameZh) == "" {
			h.NameZh = h.NameEn
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if h.Address == "" && r.Ping != "" {
				addrs, err := s.lookup(ctx, r.Ping)
				if err != nil {
					l.refused[i] = at(err, "address")
					return
				}
				h.Address = addrs[0].Unmap().String()
			}
			l.refused[i] = s.vetShape(ctx, h)
			if len(r.Needs) > MaxGroups || slices.ContainsFunc(r.Needs, func(g []string) bool { return len(g) > MaxGroups }) {
				l.refused[i] = fault.Input("needs", "依赖最多 16 组，每组最多 16 台", "there are at most 16 groups of needs with at most 16 hosts each")
			}
		})
	}
	wait.Wait()
	return l
}

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

// apply writes one part of a plan.
func (c *command) apply(ctx context.Context, t *topology, p *plan, part []int) ([]RowResult, error) {
	var last int64
	if err := c.tx.NewRaw(`SELECT COALESCE(MAX(number), 0) FROM host_check`).Scan(ctx, &last); err != nil {
		return nil, err
	}
	var out []RowResult
	room := t.rooms(c.s.ShardSize)
	w := &bulk{c: c, last: last}
	for _, i := range part {
		r := p.results[i]
		if r.Result == Created || r.Result == Updated {
			h := p.nodes[i]
			if !p.known[i] {
				h.Shard, h.CreatedAt = room(max(1, len(p.hosts[i].Checks))), c.now
			}
			r.Host = h.ID
			if err := w.host(h, p.hosts[i], p.known[i]); err != nil {
				return nil, err
			}
		}
		out = append(out, r)
	}
	w.flush()
	return out, nil
}

// bulk gathers the rows of many hosts, for few statements.
type bulk struct {
	c         *command
	last      int64
	gone      []id.ID // hosts whose needs and buildings are written anew
	hosts     []hostRow
	changed   []hostRow
	buildings []buildingRow
	needs     []needRow
	checks    []checkRow
}

func (w *bulk) host(h *node, in HostInput, known bool) error {
	row, action := h.hostRow, "netmon.host.create"
	row.NameZh, row.NameEn, row.Address, row.Labels = in.NameZh, in.NameEn, in.Address, strings.Join(in.Labels, "\n")
	row.Losses, row.Within, row.Replies = in.Rule.Losses, in.Rule.Within, in.Rule.Replies
	if in.Key != "" {
		row.OuterKey = in.Key
	}
	if known {
		action = "netmon.host.update"
		row.Version++
		w.changed, w.gone = append(w.changed, row), append(w.gone, h.ID)
	} else {
		w.hosts = append(w.hosts, row)
	}
	for _, b := range in.Buildings {
		w.buildings = append(w.buildings, buildingRow{Host: h.ID, Building: b, Key: buildingKey(b)})
	}
	for g, group := range in.Needs {
		for _, n := range group {
			w.needs = append(w.needs, needRow{Host: h.ID, Grp: g, Needs: n})
		}
	}
	fresh, err := w.c.wanted(h, in.Checks, &w.last)
	if err != nil {
		return err
	}
	w.checks = append(w.checks, fresh...)
	w.c.record("netmon.manage", action, h.ref(), map[string]any{"version": row.Version, "needs": in.Needs, "checks": len(in.Checks)})
	outbox.Put(w.c.tx, outbox.Event{Topic: TopicHost, Aggregate: h.ID, Version: row.Version, Payload: hostPayload{h.ID, ""}})
	return nil
}

func (w *bulk) flush() {
	db := w.c.s.db.Bun()
	for i := range w.changed {
		w.c.tx.Queue(db.NewUpdate().Model(&w.changed[i]).WherePK())
	}
	for part := range slices.Chunk(w.gone, 200) {
		w.c.tx.QueueSQL(`DELETE FROM host_building WHERE host IN (?)`, bun.List(part))
		w.c.tx.QueueSQL(`DELETE FROM host_need WHERE host IN (?)`, bun.List(part))
	}
	insert(w.c.tx, w.hosts)
	insert(w.c.tx, w.buildings)
	insert(w.c.tx, w.needs)
	insert(w.c.tx, w.checks)
}

func insert[T any](tx *store.Tx, rows []T) {
	for part := range slices.Chunk(rows, 200) {
		tx.Queue(tx.DB.Bun().NewInsert().Model(&part))
	}
}

// rooms is room for many new hosts.
func (t *topology) rooms(size int) func(n int) int {
	used := map[int]int{}
	for _, h := range t.live {
		used[h.Shard] += max(1, len(h.checks))
	}
	first := 0
	return func(n int) int {
		for used[first] > 0 && used[first]+n > size {
			first++
		}
		used[first] += n
		return first
	}
}

// wanted keeps, changes and removes checks of a host, and gives those that are
// new.
func (c *command) wanted(h *node, want []CheckInput, last *int64) (fresh []checkRow, err error) {
	kept := map[id.ID]bool{}
	for _, w := range want {
		raw, err := json.Marshal(w.Expect)
		if err != nil {
			return nil, err
		}
		expect := string(raw)
		if expect == "{}" {
			expect = ""
		}
		i := slices.IndexFunc(h.checks, func(x *target) bool { return x.Kind == w.Kind && x.Target == w.Target })
		if w.Kind == Push && w.Target == "" { // the URL that something uses already stays
			i = slices.IndexFunc(h.checks, func(x *target) bool { return x.Kind == Push && !kept[x.ID] })
		}
		if i >= 0 {
			kept[h.checks[i].ID] = true
			if x := h.checks[i]; x.Seconds != w.Seconds || x.Expect != expect {
				c.tx.QueueSQL(`UPDATE host_check SET seconds = ?, expect = ? WHERE id = ?`, w.Seconds, expect, x.ID)
			}
			continue
		}
		*last++
		fresh = append(fresh, checkRow{ID: id.New(), Number: *last, Host: h.ID, Kind: w.Kind, Target: pushTarget(w), Seconds: w.Seconds, Expect: expect, CreatedAt: c.now})
	}
	for _, x := range h.checks {
		if !kept[x.ID] {
			c.tx.QueueSQL(`UPDATE host_check SET removed_at = ? WHERE id = ?`, c.now, x.ID)
		}
	}
	return fresh, nil
}
