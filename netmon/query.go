package netmon

import (
	"context"
	"fmt"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon/judge"
	"kelian/org"
)

// snapshot is the network and what the judge believes of it, as of the latest
// epoch. It is read again only when one of them has moved on.
type snapshot struct {
	topo   *topology
	epoch  int64
	rounds int64 // judged since the beginning
	state  judge.JudgeState
}

// versionColumns say which snapshot is the present one.
const versionColumns = `COALESCE((SELECT value FROM counter WHERE name = 'netmon.topology'), 0) AS topology,
	COALESCE((SELECT epoch FROM judge_state WHERE name = 'main'), 0) AS epoch`

type versions struct{ Topology, Epoch int64 }

var hotVersions = store.NewHot("netmon.versions", `SELECT `+versionColumns)

// now gives the present snapshot; it is not changed afterwards.
func (s *Service) now(ctx context.Context) (snapshot, error) {
	var v []versions
	if err := hotVersions.Scan(ctx, s.db, &v); err != nil {
		return snapshot{}, err
	}
	return s.as(ctx, v[0])
}

// as gives the snapshot of those versions, or a newer one.
func (s *Service) as(ctx context.Context, v versions) (snapshot, error) {
	s.mu.Lock()
	known := s.cache
	s.mu.Unlock()
	next := known
	if known.topo == nil || known.topo.version != v.Topology {
		t, err := loadTopology(ctx, s.db.R, baseTier*time.Second)
		if err != nil {
			return snapshot{}, err
		}
		next.topo = t
	}
	if known.epoch != v.Epoch {
		row, state, err := readState(ctx, s.db)
		if err != nil {
			return snapshot{}, err
		}
		next.epoch, next.rounds, next.state = row.Epoch, row.Rounds, state
	}
	s.mu.Lock()
	s.cache = next
	s.mu.Unlock()
	return next, nil
}

// HostView is a host as somebody may see it.
type HostView struct {
	ID          id.ID
	Name        Words
	Address     string // "" for those who may not see it, and where there is none
	Key         string // as Address
	Labels      []string
	Buildings   []string
	State       judge.State
	Overlays    []string // STALE, FLAPPING, MAINTENANCE, UNREACHABLE, DISPUTED
	Since       time.Time
	RTT         time.Duration // of the latest answered round; 0 = none
	Checks      []CheckView
	Needs       [][]id.ID
	Roots       []id.ID   // what it waits for, when UNREACHABLE
	Maintenance time.Time // until when; zero = none
	Version     int64
}

// CheckView is a check as somebody may see it.
type CheckView struct {
	ID        id.ID
	Host      id.ID
	Kind      Kind
	Name      Words
	Target    string // the address for ICMP; "" for those who may not see it
	Seconds   int
	Expect    Expect
	State     judge.State
	Overlays  []string
	LastEpoch int64 // of the latest usable observation; 0 = none
	RTT       time.Duration
	Expires   time.Time // of TLS and DOMAIN; zero = not known
	Warning   Words     // it ends soon; nothing fails yet
	Why       Words     // what the latest look or report said; empty = nothing
}

// Hosts reads all hosts, sorted by their Chinese names.
func (s *Service) Hosts(ctx context.Context, actor org.Actor) ([]HostView, error) {
	return s.hosts(ctx, actor, func(t *topology) []*node { return t.live })
}

// HostsByID reads several hosts at once, for loaders; absent and removed ones
// are left out.
func (s *Service) HostsByID(ctx context.Context, actor org.Actor, ids ...id.ID) ([]HostView, error) {
	return s.hosts(ctx, actor, func(t *topology) (out []*node) {
		for _, i := range ids {
			if h, err := t.host(i); err == nil {
				out = append(out, h)
			}
		}
		return out
	})
}

// HostOfCheck reads the host that has a check; none when it is gone.
func (s *Service) HostOfCheck(ctx context.Context, actor org.Actor, check id.ID) ([]HostView, error) {
	return s.hosts(ctx, actor, func(t *topology) []*node {
		if c := t.checks[check.String()]; c != nil {
			return []*node{c.host}
		}
		return nil
	})
}

func (s *Service) hosts(ctx context.Context, actor org.Actor, which func(*topology) []*node) ([]HostView, error) {
	judged, err := s.may(ctx, actor, "netmon.read")
	if err != nil {
		return nil, err
	}
	now, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	var windows []struct {
		Host    id.ID
		UntilAt time.Time
	}
	at := s.clock.Now()
	err = s.db.R.NewRaw(`SELECT host, until_at FROM maintenance WHERE from_at <= ? AND until_at > ?`, at, at).Scan(ctx, &windows)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	until := map[id.ID]time.Time{}
	for _, w := range windows {
		until[w.Host] = w.UntilAt
	}
	sight := sight{address: s.rules.Can(judged, "netmon.address", org.Object{Unit: "technical"}),
		secret: s.rules.Can(judged, "netmon.manage", org.Object{Unit: "technical"}), at: at}
	list := which(now.topo)
	if sight.memories, err = s.remembered(ctx, list); err != nil {
		return nil, err
	}
	var out []HostView
	for _, h := range list {
		v := now.host(h, sight)
		v.Maintenance = until[h.ID]
		out = append(out, v)
	}
	return out, nil
}

// sight is what somebody sees of hosts, and what their checks remember.
type sight struct {
	address, secret bool
	memories        map[id.ID]*memoryRow
	at              time.Time
}

func (n snapshot) host(h *node, of sight) HostView {
	v := HostView{ID: h.ID, Name: h.name, Labels: h.labels, Buildings: h.buildings, Needs: h.needs, Version: h.Version, State: judge.Unknown, Since: h.CreatedAt}
	if of.address {
		v.Address, v.Key = h.Address, h.OuterKey
	}
	if st, ok := n.state.Nodes[h.id]; ok {
		v.State, v.Overlays, v.Since = st.State, st.Overlay.Names(), startOf(st.Since)
		for _, r := range st.Roots {
			if host, ok := n.topo.graph.HostOf(r); ok {
				v.Roots = append(v.Roots, parsed(host))
			}
		}
	}
	for _, c := range h.checks {
		x := n.check(c, of)
		v.Checks = append(v.Checks, x)
		if c.id == n.topo.graph.Reachability(h.id) {
			v.RTT = x.RTT
		}
	}
	return v
}

func (n snapshot) check(c *target, of sight) CheckView {
	v := CheckView{ID: c.ID, Host: c.host.ID, Kind: c.Kind, Name: c.name, Seconds: c.Seconds, State: judge.Unknown}
	if of.address && (c.Kind != Push || of.secret) {
		v.Target = c.Target
	}
	if of.address {
		v.Expect = c.expect
		if c.Kind == ICMP {
			v.Target = c.host.Address
		}
	}
	if st, ok := n.state.Checks[c.id]; ok {
		v.State, v.Overlays, v.LastEpoch = st.State, st.Overlay.Names(), st.Fresh
		newest := int64(0)
		for _, view := range st.Views {
			if view.Replied > newest {
				newest, v.RTT = view.Replied, view.RTT
			}
		}
	}
	if m := of.memories[c.ID]; m != nil {
		v.Expires, v.Why = m.ExpiresAt, Words{m.WhyZh, m.WhyEn}
		if threshold(m.ExpiresAt, of.at) > 0 {
			v.Warning = endsSoon(c.Kind, m.ExpiresAt.Sub(of.at))
		}
	}
	return v
}

// remembered reads what the hosts' checks found last; most have no such check.
func (s *Service) remembered(ctx context.Context, list []*node) (map[id.ID]*memoryRow, error) {
	var ids []id.ID
	for _, h := range list {
		for _, c := range h.checks {
			if c.Kind.remembers() {
				ids = append(ids, c.ID)
			}
		}
	}
	return memories(ctx, s.db.R, ids)
}

func endsSoon(kind Kind, left time.Duration) Words {
	days := int(left/(24*time.Hour)) + 1
	what := Words{"证书", "the certificate"}
	if kind == Domain {
		what = Words{"域名", "the domain"}
	}
	return Words{fmt.Sprintf("%s %d 天内到期，请续期", what.Zh, days), fmt.Sprintf("%s ends within %d %s: renew it", what.En, days, plural(days, "day", "days"))}
}

// parsed reads an id that this package wrote.
func parsed(s string) (out id.ID) {
	_ = out.UnmarshalText([]byte(s))
	return out
}

// Checks reads the checks of all hosts, in the order of the hosts.
func (s *Service) Checks(ctx context.Context, actor org.Actor) ([]CheckView, error) {
	hosts, err := s.Hosts(ctx, actor)
	var out []CheckView
	for _, h := range hosts {
		out = append(out, h.Checks...)
	}
	return out, err
}

// Status is what anybody may know: no addresses.
type Status struct {
	Hosts      int
	Up         int
	Down       int
	Suppressed int           // fail only because of something before them
	Unsure     int           // not observed lately, or suspected
	Round      int64         // rounds judged since the beginning
	Age        time.Duration // of the last round; meaningless while Round is 0
	Incidents  []Words       // titles of the open ones, newest first, at most 50
	Mode       string        // raw, ping, pro-bing or tcp; "" = nothing probes
	ModeWhy    Words         // in words
}

// Status is public.
func (s *Service) Status(ctx context.Context, actor org.Actor) (Status, error) {
	if err := s.rules.Check(actor, "netmon.status", org.Object{Unit: "technical"}); err != nil {
		return Status{}, err
	}
	now, err := s.now(ctx)
	if err != nil {
		return Status{}, err
	}
	out := Status{Hosts: len(now.topo.live), Round: now.rounds}
	if now.epoch > 0 {
		out.Age = max(0, s.clock.Now().Sub(startOf(now.epoch)))
	}
	for _, h := range now.topo.live {
		st := now.state.Nodes[h.id]
		switch {
		case st.Overlay&judge.Unreachable != 0:
			out.Suppressed++
		case st.Overlay&judge.Stale != 0:
			out.Unsure++
		case st.State == judge.Up:
			out.Up++
		case st.State == judge.Down || st.State == judge.Recovering:
			out.Down++
		default:
			out.Unsure++
		}
	}
	err = s.db.R.NewRaw(`SELECT title_zh AS zh, title_en AS en FROM incident WHERE closed_at IS NULL ORDER BY opened_at DESC, id DESC LIMIT 50`).Scan(ctx, &out.Incidents)
	if err != nil && !store.NoRows(err) {
		return Status{}, store.Busy(err)
	}
	var v vantageRow
	err = s.db.R.NewSelect().Model(&v).OrderExpr("at DESC, name").Limit(1).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return Status{}, store.Busy(err)
	}
	out.Mode, out.ModeWhy = v.Mode, Words{v.WhyZh, v.WhyEn}
	if v.Mode == "" {
		out.ModeWhy = Words{"还没有进程在探测网络", "no process has probed the network yet"}
	}
	return out, nil
}
