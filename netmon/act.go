package netmon

import (
	"context"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/netmon/probe"
	"kelian/org"
)

// AcknowledgeInput says that somebody looks after an incident.
type AcknowledgeInput struct {
	Incident       id.ID
	Note           string // at most 500 characters, no personal data
	IdempotencyKey string `json:"-"`
}

// IncidentOutcome names the incident.
type IncidentOutcome struct {
	Incident id.ID
	Version  int64
}

// AcknowledgeIncident records who looks after an open incident; the first one
// counts.
func (s *Service) AcknowledgeIncident(ctx context.Context, actor org.Actor, in AcknowledgeInput) (IncidentOutcome, error) {
	in.Note = strings.TrimSpace(in.Note)
	if in.Note != "" && !lengthIn(in.Note, 1, MaxNote) {
		return IncidentOutcome{}, fault.Input("note", "备注最多 500 个字，不换行", "the note has at most 500 characters on one line")
	}
	return do(ctx, s, actor, "acknowledgeIncident", in.IdempotencyKey, in, "netmon.acknowledge", func(ctx context.Context, c *command) (IncidentOutcome, error) {
		var row incidentRow
		err := c.tx.NewRaw(`SELECT id, number, version, closed_at, acknowledged_by FROM incident WHERE id = ? ?`, in.Incident, s.db.Lock(false)).Scan(ctx, &row)
		if store.NoRows(err) {
			return IncidentOutcome{}, fault.Missing()
		}
		if err != nil {
			return IncidentOutcome{}, err
		}
		if !row.ClosedAt.IsZero() {
			return IncidentOutcome{}, fault.Refuse("INCIDENT_CLOSED", "故障 "+row.Number+" 已经恢复，不用再确认", "incident "+row.Number+" is over; there is nothing to acknowledge").At("incident")
		}
		if !row.AcknowledgedBy.IsZero() {
			return IncidentOutcome{}, fault.Refuse("ALREADY_ACKNOWLEDGED", "故障 "+row.Number+" 已有人确认", "somebody has acknowledged incident "+row.Number+" already").At("incident")
		}
		c.tx.QueueSQL(`UPDATE incident SET acknowledged_by = ?, acknowledged_at = ?, acknowledged_note = ?, version = version + 1 WHERE id = ?`,
			c.actor.Person, c.now, in.Note, row.ID)
		ref := outbox.Ref{Kind: RefIncident, ID: row.ID}
		c.record("netmon.acknowledge", "netmon.incident.acknowledge", ref, map[string]any{"number": row.Number})
		outbox.Put(c.tx, outbox.Event{Topic: TopicChanged, Aggregate: row.ID, Version: row.Version + 1, Payload: incidentPayload{row.ID}})
		return IncidentOutcome{row.ID, row.Version + 1}, nil
	})
}

// MaintenanceInput puts a host under maintenance until a moment; its failing
// opens no incident while it lasts. A zero or past Until ends it now.
type MaintenanceInput struct {
	Host           id.ID
	Until          time.Time
	Note           string // at most 500 characters
	IdempotencyKey string `json:"-"`
}

// MaxMaintenance is the longest maintenance that can be entered at once: one
// that is forgotten must not silence a host for ever.
const MaxMaintenance = 14 * 24 * time.Hour

// SetMaintenance starts, moves or ends a host's maintenance.
func (s *Service) SetMaintenance(ctx context.Context, actor org.Actor, in MaintenanceInput) (HostOutcome, error) {
	in.Note, in.Until = strings.TrimSpace(in.Note), in.Until.UTC().Truncate(time.Microsecond)
	if in.Note != "" && !lengthIn(in.Note, 1, MaxNote) {
		return HostOutcome{}, fault.Input("note", "备注最多 500 个字，不换行", "the note has at most 500 characters on one line")
	}
	return do(ctx, s, actor, "setMaintenance", in.IdempotencyKey, in, "netmon.maintain", func(ctx context.Context, c *command) (HostOutcome, error) {
		if in.Until.Sub(c.now) > MaxMaintenance {
			return HostOutcome{}, fault.Refuse("MAINTENANCE_TOO_LONG", "维护最多登记 14 天，到期可以再延", "maintenance is at most 14 days; extend it when they are over").At("until")
		}
		var h hostRow
		err := c.tx.NewSelect().Model(&h).Where("id = ?", in.Host).Where("removed_at IS NULL").Scan(ctx)
		if store.NoRows(err) {
			return HostOutcome{}, fault.Missing()
		}
		if err != nil {
			return HostOutcome{}, err
		}
		// What lasts ends now; what began at this very moment never was.
		c.tx.QueueSQL(`DELETE FROM maintenance WHERE host = ? AND from_at >= ?`, h.ID, c.now)
		c.tx.QueueSQL(`UPDATE maintenance SET until_at = ? WHERE host = ? AND until_at > ?`, c.now, h.ID, c.now)
		if in.Until.After(c.now) {
			c.tx.QueueSQL(`INSERT INTO maintenance (id, host, from_at, until_at, note, by_person) VALUES (?, ?, ?, ?, ?, ?)`,
				id.New(), h.ID, c.now, in.Until, in.Note, c.actor.Person)
		}
		c.record("netmon.maintain", "netmon.host.maintain", outbox.Ref{Kind: RefHost, ID: h.ID}, map[string]any{"until": in.Until})
		outbox.Put(c.tx, outbox.Event{Topic: TopicHost, Aggregate: h.ID, Version: h.Version, Payload: hostPayload{h.ID, ""}})
		return HostOutcome{h.ID, h.Version}, nil
	})
}

// PingInput asks for a ping now.
type PingInput struct {
	Host  id.ID
	Count int // 1 to 10; 0 = 3
}

// PingHost pings a host at once, at most once per PingEvery and person (and
// process). The request is recorded, the result is not.
func (s *Service) PingHost(ctx context.Context, actor org.Actor, in PingInput) (probe.Stats, error) {
	if in.Count == 0 {
		in.Count = 3
	}
	if in.Count < 1 || in.Count > MaxPings {
		return probe.Stats{}, fault.Input("count", "一次 1 到 10 个包", "1 to 10 packets at once")
	}
	if _, err := s.may(ctx, actor, "netmon.ping"); err != nil {
		return probe.Stats{}, err
	}
	if err := s.takeTurn(actor.Person, s.clock.Now()); err != nil {
		return probe.Stats{}, err
	}
	h, err := do(ctx, s, actor, "pingHost", "", in, "netmon.ping", func(ctx context.Context, c *command) (*node, error) {
		var h hostRow
		err := c.tx.NewSelect().Model(&h).Where("id = ?", in.Host).Where("removed_at IS NULL").Scan(ctx)
		if store.NoRows(err) {
			return nil, fault.Missing()
		}
		if err != nil {
			return nil, err
		}
		t := &topology{hosts: map[string]*node{}}
		t.addHost(h)
		c.record("netmon.ping", "netmon.host.ping", outbox.Ref{Kind: RefHost, ID: h.ID}, map[string]any{"count": in.Count})
		return t.live[0], nil
	})
	if err != nil {
		return probe.Stats{}, err
	}
	if s.Prober == nil {
		return probe.Stats{}, &fault.Error{Code: fault.Unavailable, Reason: "NO_PROBER",
			Zh: "这个进程不做探测：请在运行监测的进程上操作", En: "this process does not probe: ask one that runs the monitor"}
	}
	if err := s.Policy.CheckAddr(h.addr); err != nil {
		return probe.Stats{}, at(err, "host")
	}
	return s.Prober.Ping(ctx, h.addr, in.Count, 200*time.Millisecond, probe.DefaultTimeout)
}

// takeTurn allows a person one ping per PingEvery.
func (s *Service) takeTurn(person id.ID, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, at := range s.pings {
		if now.Sub(at) >= PingEvery {
			delete(s.pings, p)
		}
	}
	if _, soon := s.pings[person]; soon {
		return &fault.Error{Code: fault.RateLimited, Reason: "PING_LIMIT", Zh: "每 5 秒最多 ping 一次，请稍候", En: "one ping per 5 seconds; wait a moment"}
	}
	s.pings[person] = now
	return nil
}
