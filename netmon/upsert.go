package netmon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
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
