package netmon

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"kelian/internal/audit"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/netmon/judge"

	"github.com/uptrace/bun"
)

// docket is the incidents' part of one commit.
type docket struct {
	*verdict
	ctx   context.Context
	tx    *store.Tx
	now   time.Time
	moved map[string]id.ID // transitions of nodes in this epoch
	fresh []*incidentRow   // to be opened; numbered last
	nodes []incidentNodeRow
	roots map[id.ID][]string // of the fresh ones
}

// settle brings the incidents up to the judge's changes.
func (v *verdict) settle(ctx context.Context, tx *store.Tx, moved map[string]id.ID, now time.Time) error {
	if len(v.changes) == 0 {
		return nil
	}
	d := &docket{verdict: v, ctx: ctx, tx: tx, now: now, moved: moved, roots: map[id.ID][]string{}}
	// What opens comes first: what closes may have been merged into it.
	for _, kind := range []judge.ChangeKind{judge.Open, judge.Update, judge.Close} {
		for _, c := range v.changes {
			if c.Kind != kind {
				continue
			}
			if err := d.apply(c); err != nil {
				return fmt.Errorf("netmon: incident %s: %w", c.Key, err)
			}
		}
	}
	return d.number()
}

// apply turns one change of the judge into rows. A certified outage is one
// incident. One whose certificate failed is not believed to be one outage: it
// is flat, one incident for each node, and those that an open incident held
// back are released from it.
func (d *docket) apply(c judge.IncidentChange) error {
	var open []incidentRow
	err := d.tx.NewSelect().Model(&open).Where("outage = ?", c.Key).Where("closed_at IS NULL").OrderExpr("id").Scan(d.ctx)
	if err != nil && !store.NoRows(err) {
		return err
	}
	var main *incidentRow
	flat := map[string]*incidentRow{}
	for i := range open {
		if open[i].Flat {
			flat[open[i].Key] = &open[i]
		} else {
			main = &open[i]
		}
	}
	certified := !d.doubted[c.Key]
	if c.Kind == judge.Close {
		into, err := d.mergedInto(c)
		for i := range open {
			if err == nil {
				err = d.close(&open[i], c, string(c.Reason), into)
			}
		}
		return err
	}
	alone := slices.Concat(c.Roots, c.Suppressed) // nodes with an incident of their own
	switch {
	case main != nil && certified:
		alone = nil
		err = d.update(main, c, c.Suppressed, true)
	case main != nil:
		alone = c.Suppressed
		err = d.update(main, c, nil, false)
	case c.Kind == judge.Open && certified:
		alone = nil
		err = d.open(c, c.Key, false, c.Roots, c.Suppressed)
	}
	if err != nil {
		return err
	}
	for _, n := range alone {
		key := c.Key + "#" + n
		if flat[key] == nil {
			if err := d.open(c, key, true, []string{n}, nil); err != nil {
				return err
			}
		}
		delete(flat, key)
	}
	return d.closeFlat(flat, main, c)
}

// closeFlat ends flat incidents whose node left the outage, or is believed to
// be part of it after all.
func (d *docket) closeFlat(flat map[string]*incidentRow, main *incidentRow, c judge.IncidentChange) error {
	var keys []string
	for k := range flat {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		reason, into := judge.Recovered, id.Nil
		if main != nil && slices.Contains(c.Suppressed, k[len(c.Key)+1:]) {
			reason, into = judge.Merged, main.ID
		}
		if err := d.close(flat[k], c, string(reason), into); err != nil {
			return err
		}
	}
	return nil
}

// open prepares a new incident; number writes it.
func (d *docket) open(c judge.IncidentChange, key string, flat bool, roots, suppressed []string) error {
	why, title := d.t.words(c.Why.Zh, c.Why.En), d.t.title(roots, suppressed)
	row := &incidentRow{ID: id.New(), Key: key, Outage: c.Key, Flat: flat, Certified: !flat, Flapping: c.Flapping, Version: 1,
		OpenedEpoch: c.Epoch, OpenedAt: d.now, TitleZh: title.Zh, TitleEn: title.En, WhyZh: why.Zh, WhyEn: why.En}
	if flat {
		row.WhyZh, row.WhyEn = flatWhy.Zh, flatWhy.En
	}
	if err := proof(row, c); err != nil {
		return err
	}
	d.fresh, d.roots[row.ID] = append(d.fresh, row), roots
	return d.join(row.ID, roots, suppressed)
}

var flatWhy = Words{"根因证明没有通过核验，这台设备单独立案。", "The proof of the root cause did not hold, so this device has an incident of its own."}

// proof puts what the change rests on into the row.
func proof(row *incidentRow, c judge.IncidentChange) error {
	var err error
	if row.Evidence, err = listJSON(c.Why.Evidence); err != nil {
		return err
	}
	raw, err := json.Marshal(c.Certificate)
	row.Certificate = string(raw)
	return err
}

// join lists the nodes of an incident that is prepared.
func (d *docket) join(incident id.ID, roots, suppressed []string) error {
	for role, list := range map[string][]string{roleRoot: roots, roleSuppressed: suppressed} {
		for _, n := range list {
			row, err := d.member(incident, n, role)
			if err != nil {
				return err
			}
			d.nodes = append(d.nodes, row)
		}
	}
	return nil
}

func (d *docket) member(incident id.ID, node, role string) (incidentNodeRow, error) {
	row := incidentNodeRow{Incident: incident, Role: role, JoinedEpoch: d.epoch}
	host, ok := d.t.graph.HostOf(node)
	if !ok {
		return row, fmt.Errorf("%s is no node", node)
	}
	if err := row.Node.UnmarshalText([]byte(node)); err != nil {
		return row, err
	}
	return row, row.Host.UnmarshalText([]byte(host))
}

// update brings an open incident up to date.
func (d *docket) update(row *incidentRow, c judge.IncidentChange, suppressed []string, certified bool) error {
	why, title := d.t.words(c.Why.Zh, c.Why.En), d.t.title(c.Roots, suppressed)
	if err := proof(row, c); err != nil {
		return err
	}
	row.Version++
	d.tx.QueueSQL(`UPDATE incident SET title_zh = ?, title_en = ?, why_zh = ?, why_en = ?, evidence = ?, certificate = ?, certified = ?, flapping = ?,
		version = version + 1 WHERE id = ? AND closed_at IS NULL`,
		title.Zh, title.En, why.Zh, why.En, row.Evidence, row.Certificate, certified, c.Flapping, row.ID)
	var ids []id.ID
	for role, list := range map[string][]string{roleRoot: c.Roots, roleSuppressed: suppressed} {
		for _, n := range list {
			m, err := d.member(row.ID, n, role)
			if err != nil {
				return err
			}
			ids = append(ids, m.Node)
			d.tx.Queue(d.tx.DB.Bun().NewInsert().Model(&m).On("CONFLICT (incident, node) DO UPDATE").Set("role = EXCLUDED.role, left_epoch = NULL"))
		}
	}
	left := d.tx.DB.Bun().NewUpdate().Model((*incidentNodeRow)(nil)).Set("left_epoch = ?", d.epoch).Where("incident = ?", row.ID).Where("left_epoch IS NULL")
	if len(ids) > 0 {
		left = left.Where("node NOT IN (?)", bun.List(ids))
	}
	d.tx.Queue(left)
	d.tell(row, TopicChanged, "netmon.incident.change", map[string]any{"epoch": c.Epoch, "roots": c.Roots, "suppressed": len(suppressed), "certified": certified})
	return d.cause(row.ID, c.Roots)
}

// close ends an incident once.
func (d *docket) close(row *incidentRow, c judge.IncidentChange, reason string, into id.ID) error {
	end := d.t.words(c.Why.Zh, c.Why.En)
	switch {
	case row.Flat && c.Kind != judge.Close:
		end = Words{"这台设备已恢复。", "This device recovered."}
		if reason == string(judge.Merged) {
			end = Words{"根因证明已通过核验，并入主故障。", "The proof of the root cause holds now; merged into the main incident."}
		}
	case reason == string(judge.Merged):
		// The judge's text names the other incident by its key.
		other, err := d.numberOf(into)
		if err != nil {
			return err
		}
		end = Words{"与更早的故障" + other + "属于同一片区域，并入其中。", "Part of the same region as the earlier incident" + strings.TrimRight(other, " ") + ", which goes on."}
	}
	row.Version++
	d.tx.QueueSQL(`UPDATE incident SET closed_at = ?, reason = ?, merged_into = ?, end_zh = ?, end_en = ?, version = version + 1 WHERE id = ? AND closed_at IS NULL`,
		d.now, reason, into, end.Zh, end.En, row.ID)
	d.tell(row, TopicClosed, "netmon.incident.close", map[string]any{"epoch": c.Epoch, "reason": reason})
	return nil
}

// mergedInto finds the open incident that a closing one is part of.
func (d *docket) mergedInto(c judge.IncidentChange) (out id.ID, err error) {
	if c.Reason != judge.Merged {
		return id.Nil, nil
	}
	err = d.tx.NewRaw(`SELECT id FROM incident WHERE key = ? AND closed_at IS NULL`, c.Into).Scan(d.ctx, &out)
	if store.NoRows(err) {
		return id.Nil, nil // it is flat: there is no one incident to name
	}
	return out, err
}

// numberOf is " 2026-0012 ", or nothing for an outage that is flat.
func (d *docket) numberOf(incident id.ID) (out string, err error) {
	if incident.IsZero() {
		return "", nil
	}
	err = d.tx.NewRaw(`SELECT number FROM incident WHERE id = ?`, incident).Scan(d.ctx, &out)
	return " " + out + " ", err
}

// tell puts the event and the record of a change.
func (d *docket) tell(row *incidentRow, topic, action string, data map[string]any) {
	outbox.Put(d.tx, outbox.Event{Topic: topic, Aggregate: row.ID, Version: row.Version, Payload: incidentPayload{row.ID}})
	audit.Record(d.tx, audit.Entry{Action: action, Object: outbox.Ref{Kind: RefIncident, ID: row.ID}, Data: data, At: d.now})
}

// cause links the latest transition of each root to the incident.
func (d *docket) cause(incident id.ID, roots []string) error {
	for _, r := range roots {
		t := d.moved[r]
		if t.IsZero() {
			err := d.tx.NewRaw(`SELECT id FROM transition WHERE subject = ? AND kind = 'NODE' ORDER BY epoch DESC, id DESC LIMIT 1`, r).Scan(d.ctx, &t)
			if store.NoRows(err) {
				continue
			}
			if err != nil {
				return err
			}
		}
		outbox.Link(d.tx, outbox.Ref{Kind: RefTransition, ID: t}, outbox.Ref{Kind: RefIncident, ID: incident}, "caused", d.now)
	}
	return nil
}

// number gives the new incidents their numbers and writes them. It comes last:
// the counter is locked until the commit.
func (d *docket) number() error {
	for _, row := range d.fresh {
		if err := d.cause(row.ID, d.roots[row.ID]); err != nil {
			return err
		}
	}
	year := d.now.In(d.m.opts.Location).Year()
	for _, row := range d.fresh {
		var n int64
		err := d.tx.NewRaw(`INSERT INTO counter (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = counter.value + 1 RETURNING value`,
			fmt.Sprintf("incident.%d", year)).Scan(d.ctx, &n)
		if err != nil {
			return err
		}
		row.Number = fmt.Sprintf("%d-%04d", year, n)
		d.tx.Queue(d.tx.DB.Bun().NewInsert().Model(row))
		d.tell(row, TopicOpened, "netmon.incident.open", map[string]any{"epoch": row.OpenedEpoch, "number": row.Number, "roots": d.roots[row.ID], "certified": row.Certified})
	}
	for chunk := range slices.Chunk(d.nodes, recordBatch) {
		d.tx.Queue(d.tx.DB.Bun().NewInsert().Model(&chunk))
	}
	return nil
}
