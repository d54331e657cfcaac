package netmon

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/netmon/judge"
	"kelian/org"
)

// HostInput describes a host.
type HostInput struct {
	NameZh, NameEn string
	Address        string    // an IP address inside the allowed networks; "" = none of its own
	Key            string    // its name in the list that it came from; "" = none
	Labels         []string  // free short words
	Buildings      []string  // codes of the buildings that it serves
	Needs          [][]id.ID // of each group at least one host has to carry
	Checks         []CheckInput
	Rule           Rule
	IdempotencyKey string `json:"-"`
}

// CheckInput describes a check. Seconds is 10, 30, 60 or 300, for TLS, DOMAIN
// and PAGE also 86400; 0 = 10, for PAGE 300, for TLS and DOMAIN 86400. Target is
// host:port for TCP and TLS, a URL for HTTP and PAGE, a domain for DOMAIN, "" for
// ICMP; for DNS it is a URL of RFC 4501, dns://server/name?type=MX, without a
// server dns:name asks the host itself; for PUSH it is the secret part of the
// URL, "" = a new one.
type CheckInput struct {
	Kind    Kind
	Target  string
	Seconds int
	Expect  Expect
}

// HostOutcome names what was made.
type HostOutcome struct {
	Host    id.ID
	Version int64
}

// CreateHost adds a host. The system may do it too, for the demo and for
// imports.
func (s *Service) CreateHost(ctx context.Context, actor org.Actor, in HostInput) (HostOutcome, error) {
	if err := s.vet(ctx, actor, &in); err != nil {
		return HostOutcome{}, err
	}
	return do(ctx, s, actor, "createHost", in.IdempotencyKey, in, "netmon.manage", func(ctx context.Context, c *command) (HostOutcome, error) {
		t, err := c.network(ctx)
		if err != nil {
			return HostOutcome{}, err
		}
		h := hostRow{ID: id.New(), CreatedAt: c.now, Version: 1, Shard: t.room(max(1, len(in.Checks)), s.ShardSize)}
		return c.write(ctx, t, &node{hostRow: h, id: h.ID.String()}, in, "netmon.host.create")
	})
}

// UpdateHost replaces a host's description. A check whose kind and target stay
// the same keeps its history.
func (s *Service) UpdateHost(ctx context.Context, actor org.Actor, host id.ID, in HostInput) (HostOutcome, error) {
	if err := s.vet(ctx, actor, &in); err != nil {
		return HostOutcome{}, err
	}
	input := struct {
		Host id.ID
		In   HostInput
	}{host, in}
	return do(ctx, s, actor, "updateHost", in.IdempotencyKey, input, "netmon.manage", func(ctx context.Context, c *command) (HostOutcome, error) {
		t, err := c.network(ctx)
		if err != nil {
			return HostOutcome{}, err
		}
		h, err := t.host(host)
		if err != nil {
			return HostOutcome{}, err
		}
		return c.write(ctx, t, h, in, "netmon.host.update")
	})
}

// RemoveInput names a host to be taken out of the network.
type RemoveInput struct {
	Host           id.ID
	IdempotencyKey string `json:"-"`
}

// RemoveHost takes a host out of the network; its history stays. A host that
// others need is refused.
func (s *Service) RemoveHost(ctx context.Context, actor org.Actor, in RemoveInput) (HostOutcome, error) {
	return do(ctx, s, actor, "removeHost", in.IdempotencyKey, in, "netmon.manage", func(ctx context.Context, c *command) (HostOutcome, error) {
		t, err := c.network(ctx)
		if err != nil {
			return HostOutcome{}, err
		}
		h, err := t.host(in.Host)
		if err != nil {
			return HostOutcome{}, err
		}
		for _, other := range t.live {
			if slices.ContainsFunc(other.needs, func(g []id.ID) bool { return slices.Contains(g, in.Host) }) {
				return HostOutcome{}, fault.Refuse("HOST_NEEDED", other.name.Zh+" 依赖这台设备：先改它的依赖，再移除",
					other.name.En+" needs this host: change what it needs first").At("host")
			}
		}
		c.tx.QueueSQL(`UPDATE host_check SET removed_at = ? WHERE host = ? AND removed_at IS NULL`, c.now, h.ID)
		c.tx.QueueSQL(`DELETE FROM host_need WHERE host = ?`, h.ID)
		c.tx.QueueSQL(`UPDATE host SET removed_at = ?, version = version + 1 WHERE id = ?`, c.now, h.ID)
		c.record("netmon.manage", "netmon.host.remove", h.ref(), nil)
		return HostOutcome{h.ID, h.Version + 1}, nil
	})
}

func (h *node) ref() outbox.Ref { return outbox.Ref{Kind: RefHost, ID: h.ID} }

// network locks the topology for this command and reads it.
func (c *command) network(ctx context.Context) (*topology, error) {
	if err := raiseTopology(ctx, c.tx); err != nil {
		return nil, err
	}
	return loadTopology(ctx, c.tx, baseTier*1e9)
}

// host finds a live host.
func (t *topology) host(host id.ID) (*node, error) {
	h := t.hosts[host.String()]
	if h == nil || !h.RemovedAt.IsZero() {
		return nil, fault.Missing()
	}
	return h, nil
}

// write stores the host as described, new or known, after asking whether the
// network with it still makes sense.
func (c *command) write(ctx context.Context, t *topology, h *node, in HostInput, action string) (HostOutcome, error) {
	known := t.hosts[h.id] != nil
	if err := t.accepts(h, in); err != nil {
		return HostOutcome{}, err
	}
	row := h.hostRow
	row.NameZh, row.NameEn, row.Address, row.OuterKey, row.Labels = in.NameZh, in.NameEn, in.Address, in.Key, strings.Join(in.Labels, "\n")
	row.Losses, row.Within, row.Replies = in.Rule.Losses, in.Rule.Within, in.Rule.Replies
	if other := t.at(in.Address); other != nil && other.ID != h.ID {
		return HostOutcome{}, fault.Refuse("ADDRESS_TAKEN", "地址 "+in.Address+" 已用于 "+other.name.Zh, "the address "+in.Address+" is that of "+other.name.En).At("address")
	}
	if other := t.keyed(in.Key); other != nil && other.ID != h.ID {
		return HostOutcome{}, fault.Refuse("KEY_TAKEN", "键 "+in.Key+" 已用于 "+other.name.Zh, "the key "+in.Key+" is that of "+other.name.En).At("key")
	}
	if known {
		row.Version++
		c.tx.Queue(c.tx.DB.Bun().NewUpdate().Model(&row).WherePK())
		c.tx.QueueSQL(`DELETE FROM host_building WHERE host = ?`, h.ID)
		c.tx.QueueSQL(`DELETE FROM host_need WHERE host = ?`, h.ID)
	} else {
		c.tx.Queue(c.tx.DB.Bun().NewInsert().Model(&row))
	}
	for _, b := range in.Buildings {
		c.tx.Queue(c.tx.DB.Bun().NewInsert().Model(&buildingRow{Host: h.ID, Building: b, Key: buildingKey(b)}))
	}
	for i, group := range in.Needs {
		for _, n := range group {
			c.tx.Queue(c.tx.DB.Bun().NewInsert().Model(&needRow{Host: h.ID, Grp: i, Needs: n}))
		}
	}
	if err := c.checks(ctx, h, in.Checks); err != nil {
		return HostOutcome{}, err
	}
	c.record("netmon.manage", action, h.ref(), map[string]any{"version": row.Version, "needs": in.Needs, "checks": len(in.Checks)})
	outbox.Put(c.tx, outbox.Event{Topic: TopicHost, Aggregate: h.ID, Version: row.Version, Payload: hostPayload{h.ID, ""}})
	return HostOutcome{h.ID, row.Version}, nil
}

// checks brings the host's checks to what is wanted; numbers are never given
// twice.
func (c *command) checks(ctx context.Context, h *node, want []CheckInput) error {
	var last int64
	if err := c.tx.NewRaw(`SELECT COALESCE(MAX(number), 0) FROM host_check`).Scan(ctx, &last); err != nil {
		return err
	}
	fresh, err := c.wanted(h, want, &last)
	insert(c.tx, fresh)
	return err
}

func pushTarget(w CheckInput) string {
	if w.Kind == Push && w.Target == "" {
		return rand.Text()
	}
	return w.Target
}

// at finds the live host with an address.
func (t *topology) at(address string) *node {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return nil
	}
	for _, h := range t.live {
		if h.addr == a {
			return h
		}
	}
	return nil
}

// keyed finds the live host with a key of its own.
func (t *topology) keyed(key string) *node {
	if i := slices.IndexFunc(t.live, func(h *node) bool { return h.OuterKey == key }); key != "" && i >= 0 {
		return t.live[i]
	}
	return nil
}

// accepts asks the judge whether the network with the host in it has no cycle
// and names only hosts that there are.
func (t *topology) accepts(h *node, in HostInput) error {
	var next []judge.Host
	for _, x := range t.forJudge(baseTier * 1e9) {
		if x.ID != h.id {
			next = append(next, x)
		}
	}
	x := judge.Host{ID: h.id}
	for _, group := range in.Needs {
		var ids []string
		for _, n := range group {
			ids = append(ids, n.String())
		}
		x.Any = append(x.Any, ids)
	}
	err := judge.Validate(append(next, x))
	var r *judge.Refusal
	if !errors.As(err, &r) {
		return err
	}
	named := Words{in.NameZh, in.NameEn}
	name := func(id string) Words {
		if id == h.id {
			return named
		}
		return t.nameOf(id)
	}
	switch r.Reason {
	case "CYCLE":
		var zh, en []string
		for _, i := range r.Hosts {
			zh, en = append(zh, name(i).Zh), append(en, name(i).En)
		}
		return fault.Refuse("DEPENDENCY_CYCLE", "依赖关系成环："+strings.Join(zh, " → "), "the needs form a cycle: "+strings.Join(en, " → ")).At("needs")
	case "UNKNOWN_HOST":
		return fault.Refuse("HOST_UNKNOWN", "依赖的设备不存在或已移除", "a host that it needs does not exist or was removed").At("needs")
	}
	return fault.Refuse(r.Reason, r.Zh, r.En).At("needs")
}
