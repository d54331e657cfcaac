package netmon

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon/judge"
	"kelian/org"

	"github.com/uptrace/bun"
)

// NodeView is a host or a check that an incident is about.
type NodeView struct {
	Node id.ID // a host, or a check beyond reachability
	Host id.ID
	Name Words // of the check together with its host's
}

// IncidentView is an incident. Evidence, Certificate and Names are filled in by
// Incident only.
type IncidentView struct {
	ID         id.ID
	Number     string // 2026-0012; people see 故障 2026-0012
	Title      Words
	Open       bool
	OpenedAt   time.Time
	ClosedAt   time.Time
	CloseWhy   judge.CloseReason
	MergedInto id.ID
	Flapping   bool
	Flat       bool       // of one node, because the proof of a common cause failed
	Certified  bool       // the certificate holds
	Roots      []NodeView // after the end: the last ones
	Suppressed []NodeView
	Buildings  []string // that its hosts serve, sorted
	Why        Words    // why these roots
	End        Words    // why it is over

	AcknowledgedBy   id.ID
	AcknowledgedAt   time.Time
	AcknowledgedNote string
	Version          int64

	Evidence    []Evidence
	Certificate judge.Certificate
	Names       map[string]Words // of every node in the certificate
}

// Cursor is the place after this incident in a list.
func (v IncidentView) Cursor() string { return store.Cursor(v.OpenedAt, v.ID) }

// Evidence is one attempt that the judgement rests on.
type Evidence struct {
	Host, Check id.ID
	HostName    Words
	Vantage     string
	Epoch       int64
	After       time.Duration // from the epoch to the sending
	Outcome     judge.Outcome
	RTT         time.Duration
	Router      Words // who said NO_ROUTE; empty = not known
}

// Incidents reads a page, newest first; open nil = all. more says that there is
// a next page.
func (s *Service) Incidents(ctx context.Context, actor org.Actor, page store.Page, open *bool) (list []IncidentView, more bool, err error) {
	if _, err := s.may(ctx, actor, "netmon.read"); err != nil {
		return nil, false, err
	}
	if err := page.Check(); err != nil {
		return nil, false, err
	}
	var rows []incidentRow
	q := s.db.R.NewSelect().Model(&rows).ExcludeColumn("evidence", "certificate").OrderExpr("opened_at DESC, id DESC").Limit(int64(page.First) + 1)
	if at, row, _ := page.At(); !at.IsZero() {
		q = q.Where("(opened_at, id) < (?, ?)", at, row)
	}
	if open != nil && *open {
		q = q.Where("closed_at IS NULL")
	} else if open != nil {
		q = q.Where("closed_at IS NOT NULL")
	}
	if err := q.Scan(ctx); err != nil && !store.NoRows(err) {
		return nil, false, store.Busy(err)
	}
	if more = len(rows) > page.First; more {
		rows = rows[:page.First]
	}
	list, err = s.incidentViews(ctx, rows)
	return list, more, err
}

// IncidentsByID reads several incidents at once, for loaders; absent ones are
// left out.
func (s *Service) IncidentsByID(ctx context.Context, actor org.Actor, ids ...id.ID) ([]IncidentView, error) {
	if _, err := s.may(ctx, actor, "netmon.read"); err != nil || len(ids) == 0 {
		return nil, err
	}
	var rows []incidentRow
	err := s.db.R.NewSelect().Model(&rows).ExcludeColumn("evidence", "certificate").Where("id IN (?)", bun.List(ids)).OrderExpr("id").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	return s.incidentViews(ctx, rows)
}

// Incident reads one incident with its evidence and certificate.
func (s *Service) Incident(ctx context.Context, actor org.Actor, incident id.ID) (IncidentView, error) {
	if _, err := s.may(ctx, actor, "netmon.read"); err != nil {
		return IncidentView{}, err
	}
	var row incidentRow
	err := s.db.R.NewSelect().Model(&row).Where("id = ?", incident).Scan(ctx)
	if store.NoRows(err) {
		return IncidentView{}, fault.Missing()
	}
	if err != nil {
		return IncidentView{}, store.Busy(err)
	}
	views, err := s.incidentViews(ctx, []incidentRow{row})
	if err != nil {
		return IncidentView{}, err
	}
	now, err := s.now(ctx)
	if err != nil {
		return IncidentView{}, err
	}
	v := views[0]
	if err := v.prove(row, now.topo); err != nil {
		return IncidentView{}, err
	}
	return v, nil
}

// prove fills in what the incident rests on.
func (v *IncidentView) prove(row incidentRow, t *topology) error {
	var lines []judge.Line
	if row.Evidence != "" {
		if err := json.Unmarshal([]byte(row.Evidence), &lines); err != nil {
			return err
		}
	}
	for _, l := range lines {
		v.Evidence = append(v.Evidence, Evidence{Host: parsed(l.Host), Check: parsed(l.Check), HostName: t.nameOf(l.Host), Vantage: l.Vantage,
			Epoch: l.Epoch, After: l.After, Outcome: l.Outcome, RTT: l.RTT, Router: t.said(l.By)})
	}
	if err := json.Unmarshal([]byte(row.Certificate), &v.Certificate); err != nil {
		return err
	}
	v.Names = map[string]Words{}
	add := func(nodes ...string) {
		for _, n := range nodes {
			v.Names[n] = t.fullName(n)
		}
	}
	add(v.Certificate.Roots...)
	for n, cut := range v.Certificate.Suppressed {
		add(n)
		add(cut.Roots...)
		for _, g := range cut.Through {
			add(g...)
		}
	}
	return nil
}

// incidentViews reads the nodes of all incidents with one statement.
func (s *Service) incidentViews(ctx context.Context, rows []incidentRow) ([]IncidentView, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	now, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	out, at := make([]IncidentView, len(rows)), map[id.ID]int{}
	ids := make([]id.ID, len(rows))
	for i, r := range rows {
		ids[i], at[r.ID] = r.ID, i
		out[i] = r.view()
	}
	nodes, err := nodesOf(ctx, s.db.R, ids...)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		now.topo.attach(&out[at[n.Incident]], n)
	}
	for i := range out {
		out[i].settle()
	}
	return out, nil
}

// attach adds a node to the incident that holds it.
func (t *topology) attach(v *IncidentView, n incidentNodeRow) {
	x := NodeView{Node: n.Node, Host: n.Host, Name: t.fullName(n.Node.String())}
	if n.Role == roleRoot {
		v.Roots = append(v.Roots, x)
	} else {
		v.Suppressed = append(v.Suppressed, x)
	}
	if h := t.hosts[n.Host.String()]; h != nil {
		v.Buildings = append(v.Buildings, h.buildings...)
	}
}

// settle orders what the nodes brought.
func (v *IncidentView) settle() {
	slices.Sort(v.Buildings)
	v.Buildings = slices.Compact(v.Buildings)
}

func (r *incidentRow) view() IncidentView {
	return IncidentView{ID: r.ID, Number: r.Number, Title: Words{r.TitleZh, r.TitleEn}, Open: r.ClosedAt.IsZero(), OpenedAt: r.OpenedAt, ClosedAt: r.ClosedAt,
		CloseWhy: judge.CloseReason(r.Reason), MergedInto: r.MergedInto, Flapping: r.Flapping, Flat: r.Flat, Certified: r.Certified,
		Why: Words{r.WhyZh, r.WhyEn}, End: Words{r.EndZh, r.EndEn},
		AcknowledgedBy: r.AcknowledgedBy, AcknowledgedAt: r.AcknowledgedAt, AcknowledgedNote: r.AcknowledgedNote, Version: r.Version}
}

// nodesOf reads the nodes that the incidents hold, or held at their end.
func nodesOf(ctx context.Context, q bun.IDB, incidents ...id.ID) ([]incidentNodeRow, error) {
	var nodes []incidentNodeRow
	err := q.NewSelect().Model(&nodes).Where("incident IN (?)", bun.List(incidents)).Where("left_epoch IS NULL").OrderExpr("incident, host, node").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	return nodes, nil
}

// OpenForBuilding finds the newest open incident that a building suffers from,
// for the repair desk.
func (s *Service) OpenForBuilding(ctx context.Context, q bun.IDB, building string) (incident id.ID, text struct{ Zh, En string }, ok bool, err error) {
	var row incidentRow
	err = q.NewRaw(`SELECT i.id, i.number, i.opened_at, i.title_zh, i.title_en FROM incident AS i
		WHERE i.closed_at IS NULL AND EXISTS (SELECT 1 FROM incident_node AS n JOIN host_building AS b ON b.host = n.host
			WHERE n.incident = i.id AND n.left_epoch IS NULL AND b.key = ?)
		ORDER BY i.opened_at DESC, i.id DESC LIMIT 1`, buildingKey(building)).Scan(ctx, &row)
	if store.NoRows(err) {
		return id.Nil, text, false, nil
	}
	if err != nil {
		return id.Nil, text, false, store.Busy(err)
	}
	since := row.OpenedAt.In(s.Location)
	text = Words{"故障 " + row.Number + "：" + row.TitleZh + "（" + since.Format("1月2日 15:04") + " 起），正在处理",
		"Incident " + row.Number + ": " + row.TitleEn + " (since " + since.Format("2 Jan 15:04") + "); it is being worked on"}
	return row.ID, text, true, nil
}

// Info is what a ticket needs to know of an incident (the same shape as the
// repair desk's own).
type Info struct {
	Title     Words
	Reason    Words
	Buildings []string
	Skills    []string
	Closed    bool
}

// skills are those that mend the network.
var skills = []string{"network"}

// IncidentInfo reads an incident for the repair desk, whoever acts; an absent
// one is fault.Missing.
func (s *Service) IncidentInfo(ctx context.Context, q bun.IDB, incident id.ID) (Info, error) {
	var row incidentRow
	err := q.NewSelect().Model(&row).ExcludeColumn("evidence", "certificate").Where("id = ?", incident).Scan(ctx)
	if store.NoRows(err) {
		return Info{}, fault.Missing()
	}
	if err != nil {
		return Info{}, store.Busy(err)
	}
	var names []string
	err = q.NewRaw(`SELECT DISTINCT b.building FROM host_building AS b JOIN incident_node AS n ON n.host = b.host
		WHERE n.incident = ? AND n.left_epoch IS NULL ORDER BY b.building`, incident).Scan(ctx, &names)
	if err != nil && !store.NoRows(err) {
		return Info{}, store.Busy(err)
	}
	return Info{Title: Words{row.TitleZh, row.TitleEn}, Reason: Words{row.WhyZh, row.WhyEn}, Buildings: names, Skills: slices.Clone(skills), Closed: !row.ClosedAt.IsZero()}, nil
}

// Brief gives what of an incident may be said to anybody at all: its number, and
// how it stands: OPEN, ACKNOWLEDGED or CLOSED. An absent one is fault.Missing.
func (s *Service) Brief(ctx context.Context, q bun.IDB, incident id.ID) (number, status string, err error) {
	var row incidentRow
	err = q.NewSelect().Model(&row).Column("number", "acknowledged_at", "closed_at").Where("id = ?", incident).Scan(ctx)
	switch {
	case store.NoRows(err):
		return "", "", fault.Missing()
	case err != nil:
		return "", "", store.Busy(err)
	case !row.ClosedAt.IsZero():
		return row.Number, "CLOSED", nil
	case !row.AcknowledgedAt.IsZero():
		return row.Number, "ACKNOWLEDGED", nil
	}
	return row.Number, "OPEN", nil
}
