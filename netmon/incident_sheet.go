package netmon

import (
	"context"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// IncidentSheet is a page of incidents with the hosts they are about: what
// Incidents and HostsByID say, but for the maintenance windows.
type IncidentSheet struct {
	Incidents []IncidentView
	Hosts     map[id.ID]HostView // without removed ones
	More      bool               // there is a next page
}

// A page of incidents with their nodes, by which of them are asked for.
var incidentsHot = map[string]*store.Hot{"": hotIncidents(""), "open": hotIncidents("AND closed_at IS NULL"), "closed": hotIncidents("AND closed_at IS NOT NULL")}

func hotIncidents(which string) *store.Hot {
	return store.NewHot("netmon.incidents", strings.Replace(`SELECT i.*, n.node, n.host, n.role, `+versionColumns+` FROM (
			SELECT id, number, opened_at, closed_at, reason, merged_into, flapping, flat, certified, title_zh, title_en, why_zh, why_en, end_zh, end_en,
				acknowledged_by, acknowledged_at, acknowledged_note, version
			FROM incident WHERE (opened_at, id) < (?, ?) WHICH ORDER BY opened_at DESC, id DESC LIMIT ?
		) AS i LEFT JOIN incident_node AS n ON n.incident = i.id AND n.left_epoch IS NULL
		ORDER BY i.opened_at DESC, i.id DESC, n.host, n.node`, "WHICH", which, 1))
}

type incidentWithNode struct {
	incidentRow `bun:",extend"`
	versions    `bun:",extend"`

	Node id.ID `bun:",nullzero"`
	Host id.ID `bun:",nullzero"`
	Role string
}

// endOfTime lies behind every incident.
var endOfTime = time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)

// Sheet reads a page, newest first; open nil = all. It takes two
// prepared reads: the reader's seats, and the page with the versions of the
// network's state, which is read when it is a new one.
func (s *Service) Sheet(ctx context.Context, actor org.Actor, page store.Page, open *bool) (IncidentSheet, error) {
	judged, err := s.may(ctx, actor, "netmon.read")
	if err != nil {
		return IncidentSheet{}, err
	}
	if err := page.Check(); err != nil {
		return IncidentSheet{}, err
	}
	which := ""
	if open != nil {
		if which = "closed"; *open {
			which = "open"
		}
	}
	at, before, _ := page.At()
	if at.IsZero() {
		at = endOfTime
	}
	var rows []incidentWithNode
	if err := incidentsHot[which].Scan(ctx, s.db, &rows, store.Stamp(at), before.String(), page.First+1); err != nil {
		return IncidentSheet{}, err
	}
	if len(rows) == 0 {
		return IncidentSheet{}, nil
	}
	now, err := s.as(ctx, rows[0].versions)
	if err != nil {
		return IncidentSheet{}, err
	}
	of := sight{address: s.rules.Can(judged, "netmon.address", org.Object{Unit: "technical"}), at: s.clock.Now()}
	out := IncidentSheet{Hosts: map[id.ID]HostView{}}
	for i := range rows {
		r := &rows[i]
		last := len(out.Incidents) - 1
		if last < 0 || out.Incidents[last].ID != r.ID {
			if last+1 == page.First {
				out.More = true
				break
			}
			out.Incidents = append(out.Incidents, r.view())
			last++
		}
		if r.Node.IsZero() {
			continue
		}
		now.topo.attach(&out.Incidents[last], incidentNodeRow{Incident: r.ID, Node: r.Node, Host: r.Host, Role: r.Role})
		if h, err := now.topo.host(r.Host); err == nil {
			out.Hosts[r.Host] = now.host(h, of)
		}
	}
	for i := range out.Incidents {
		out.Incidents[i].settle()
	}
	return out, nil
}
