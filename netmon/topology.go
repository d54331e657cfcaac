package netmon

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon/judge"

	"github.com/uptrace/bun"
)

// topologyCounter is raised by every change of hosts. Raising it also locks
// it, so that two changes cannot form a cycle that neither of them saw.
const topologyCounter = "netmon.topology"

// topology is the network as of one version; it does not change.
type topology struct {
	version   int64
	graph     *judge.Graph
	hosts     map[string]*node   // live and removed, by id
	live      []*node            // sorted by name
	checks    map[string]*target // live
	byNumber  map[int64]*target  // live
	byAddress map[string]*node   // live
	byPush    map[string]*target // live PUSH checks, by the secret part of their URL
	shards    []int              // that have checks, sorted
	shard     map[int][]*target
}

// node is a host with what belongs to it.
type node struct {
	hostRow
	id        string
	name      Words
	addr      netip.Addr
	labels    []string
	buildings []string
	keys      []string
	needs     [][]id.ID
	checks    []*target
}

// target is a check, ready to be sent.
type target struct {
	checkRow
	id      string
	host    *node
	name    Words // without the address: incidents are public
	expect  Expect
	pattern *regexp.Regexp // of expect
	every   int64          // epochs between two rounds
	phase   int64          // spreads the slow tiers over the epochs
}

// due says whether the check belongs to the epoch.
func (c *target) due(epoch int64, interval time.Duration) bool {
	return (epoch/int64(interval/time.Second)+c.phase)%c.every == 0
}

// loadTopology reads the network; base is the length of an epoch.
func loadTopology(ctx context.Context, q bun.IDB, base time.Duration) (*topology, error) {
	t := &topology{hosts: map[string]*node{}, checks: map[string]*target{}, byNumber: map[int64]*target{}, byAddress: map[string]*node{}, byPush: map[string]*target{}, shard: map[int][]*target{}}
	var err error
	// The version comes first: what is read after it is at least as new, so a
	// change in between is only read twice.
	if t.version, err = topologyVersion(ctx, q); err != nil {
		return nil, err
	}
	var hosts []hostRow
	var needs []needRow
	var buildings []buildingRow
	var checks []checkRow
	for _, read := range []*bun.SelectQuery{
		q.NewSelect().Model(&hosts).OrderExpr("name_zh, id"),
		q.NewSelect().Model(&needs).OrderExpr("host, grp, needs"),
		q.NewSelect().Model(&buildings).OrderExpr("host, key"),
		q.NewSelect().Model(&checks).Where("removed_at IS NULL").OrderExpr("number"),
	} {
		if err := read.Scan(ctx); err != nil && !store.NoRows(err) {
			return nil, store.Busy(err)
		}
	}
	for _, h := range hosts {
		t.addHost(h)
	}
	for _, n := range needs {
		h := t.hosts[n.Host.String()]
		for len(h.needs) <= n.Grp {
			h.needs = append(h.needs, nil)
		}
		h.needs[n.Grp] = append(h.needs[n.Grp], n.Needs)
	}
	for _, b := range buildings {
		h := t.hosts[b.Host.String()]
		h.buildings, h.keys = append(h.buildings, b.Building), append(h.keys, b.Key)
	}
	for _, c := range checks {
		if err := t.addCheck(c); err != nil {
			return nil, err
		}
	}
	t.graph, err = judge.Build(t.forJudge(base))
	return t, err
}

func topologyVersion(ctx context.Context, q bun.IDB) (v int64, err error) {
	err = q.NewRaw(`SELECT value FROM counter WHERE name = ?`, topologyCounter).Scan(ctx, &v)
	if store.NoRows(err) {
		return 0, nil
	}
	return v, store.Busy(err)
}

// raiseTopology locks the network for this transaction and gives its next
// version.
func raiseTopology(ctx context.Context, tx *store.Tx) error {
	var v int64
	return tx.NewRaw(`INSERT INTO counter (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1 RETURNING value`,
		topologyCounter).Scan(ctx, &v)
}

func (t *topology) addHost(h hostRow) {
	n := &node{hostRow: h, id: h.ID.String(), name: Words{h.NameZh, h.NameEn}}
	n.addr, _ = netip.ParseAddr(h.Address)
	if h.Labels != "" {
		n.labels = strings.Split(h.Labels, "\n")
	}
	t.hosts[n.id] = n
	if h.RemovedAt.IsZero() {
		t.live = append(t.live, n)
		if t.byAddress == nil { // of a network that was not read whole
			t.byAddress = map[string]*node{}
		}
		if n.addr.IsValid() {
			t.byAddress[n.addr.Unmap().String()] = n
		}
	}
}

func (t *topology) addCheck(c checkRow) error {
	h := t.hosts[c.Host.String()]
	if !h.RemovedAt.IsZero() {
		return nil
	}
	x := &target{checkRow: c, id: c.ID.String(), host: h, name: checkName(c.Kind, c.Target), every: int64(max(1, min(c.Seconds, slowest)/baseTier))}
	if c.Expect != "" {
		if err := json.Unmarshal([]byte(c.Expect), &x.expect); err != nil {
			return fmt.Errorf("netmon: check %s: %w", x.id, err)
		}
		var err error
		if x.pattern, err = x.expect.compiled(); err != nil {
			return fmt.Errorf("netmon: check %s: %w", x.id, err)
		}
	}
	sum := fnv.New32a()
	_, _ = sum.Write(c.ID[:])
	x.phase = int64(sum.Sum32()) % x.every
	h.checks = append(h.checks, x)
	t.checks[x.id], t.byNumber[c.Number] = x, x
	if c.Kind == Push {
		t.byPush[c.Target] = x
	}
	if _, known := t.shard[h.Shard]; !known {
		t.shards = append(t.shards, h.Shard)
		slices.Sort(t.shards)
	}
	t.shard[h.Shard] = append(t.shard[h.Shard], x)
	return nil
}

// checkName says what a check looks at, without an address.
func checkName(kind Kind, where string) Words {
	switch kind {
	case TCP:
		port := where[strings.LastIndexByte(where, ':')+1:]
		return Words{"端口 " + port, "port " + port}
	case HTTP:
		path := ""
		if u, err := url.Parse(where); err == nil && u.Path != "" && u.Path != "/" {
			path = " " + u.Path
		}
		return Words{"网页" + path, "web page" + path}
	case TLS:
		port := where[strings.LastIndexByte(where, ':')+1:]
		return Words{"证书（端口 " + port + "）", "certificate (port " + port + ")"}
	case DNS:
		if q, err := parseQuestion(where); err == nil {
			return Words{"域名解析 " + q.kind, "name service " + q.kind}
		}
	case Domain:
		return Words{"域名到期", "end of the domain"}
	case Push:
		return Words{"心跳", "heartbeat"}
	case Page:
		return Words{"网页内容", "content of the page"}
	}
	return Words{"ping", "ping"}
}

// forJudge is the live network in the judge's words. Names are marks that
// [topology.words] turns into each language's name.
func (t *topology) forJudge(base time.Duration) []judge.Host {
	out := make([]judge.Host, 0, len(t.live))
	for _, h := range t.live {
		x := judge.Host{ID: h.id, Name: mark(h.id)}
		for _, group := range h.needs {
			switch len(group) {
			case 0:
			case 1:
				x.All = append(x.All, group[0].String())
			default:
				var ids []string
				for _, n := range group {
					ids = append(ids, n.String())
				}
				x.Any = append(x.Any, ids)
			}
		}
		for _, c := range h.checks {
			x.Checks = append(x.Checks, judge.Check{ID: c.id, Name: mark(c.id), Kind: judge.Kind(c.Kind), Interval: time.Duration(c.every) * base,
				Rule: judge.Rule{Losses: h.Losses, Of: h.Within, Replies: h.Replies}})
		}
		out = append(out, x)
	}
	return out
}

// due lists the checks of a shard that belong to the epoch.
func (t *topology) due(shard int, epoch int64, interval time.Duration) (out []*target) {
	for _, c := range t.shard[shard] {
		if c.due(epoch, interval) {
			out = append(out, c)
		}
	}
	return out
}

// room gives the shard for a host with n more checks: the first that is not
// full, else a new one. Hosts stay where they are, so that all processes agree
// without asking each other.
func (t *topology) room(n, size int) int {
	next := 0
	for _, h := range t.live {
		next = max(next, h.Shard+1)
	}
	for s := range next {
		used := 0
		for _, h := range t.live {
			if h.Shard == s {
				used += max(1, len(h.checks))
			}
		}
		if used+n <= size {
			return s
		}
	}
	return next
}
