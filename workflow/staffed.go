package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
	"kelian/workflow/proof"

	"github.com/uptrace/bun"
)

// The topics of proofs that are made again.
const (
	TopicStaffing  = "workflow.staffing"  // {version}, a timer; without one: every published version
	TopicUnstaffed = "workflow.unstaffed" // {version, owner, title, zh, en}
)

// UnstaffedPayload is what TopicUnstaffed carries: a published version that
// finds too few people at a step since the directory changed.
type UnstaffedPayload struct {
	Version id.ID     `json:"version"`
	Owner   string    `json:"owner"` // code of the unit that keeps it
	Title   flow.Text `json:"title"`
	Zh      string    `json:"zh"` // what is wrong; seats, no names
	En      string    `json:"en"`
}

type staffingPayload struct {
	Version id.ID `json:"version,omitzero"`
}

// examine loads and proves a text for somebody who may publish. The error is
// Problems where the text is wrong.
func (s *Service) examine(ctx context.Context, actor org.Actor, source string, now time.Time) (*Definition, *proof.Report, error) {
	actor, err := org.Judge(ctx, s.db.R, actor, now)
	if err != nil {
		return nil, nil, store.Busy(err)
	}
	if err := s.rules.Check(actor, "workflow.publish", org.Object{}); err != nil {
		return nil, nil, err
	}
	d, err := Load([]byte(source), s.known)
	if err != nil {
		return nil, nil, err
	}
	people, err := s.peopleOf(ctx, s.db.R, d, now)
	if err != nil {
		return nil, nil, err
	}
	return d, Prove(d, people, now), nil
}

// CheckSource is what publishing the text would find, for those who may
// publish; the text may be anything.
func (s *Service) CheckSource(ctx context.Context, actor org.Actor, source string) (*proof.Report, error) {
	_, report, err := s.Draft(ctx, actor, source)
	return report, err
}

// Draft is CheckSource with the definition that the text makes; nil where it
// does not load.
func (s *Service) Draft(ctx context.Context, actor org.Actor, source string) (*Definition, *proof.Report, error) {
	d, report, err := s.examine(ctx, actor, source, clock.Cut(s.clock.Now()))
	var problems Problems
	if errors.As(err, &problems) {
		return nil, unloaded(problems), nil
	}
	return d, report, err
}

// Report is the proof of a version, as of its publication or the newest look at
// the people; nil while there is none yet. Its counter-examples name people, so
// it is for those who may publish.
func (s *Service) Report(ctx context.Context, actor org.Actor, version id.ID) (*proof.Report, error) {
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return nil, err
	}
	if err := s.rules.Check(a, "workflow.publish", org.Object{}); err != nil {
		return nil, err
	}
	return reportOf(ctx, s.db.R, version)
}

func reportOf(ctx context.Context, q bun.IDB, version id.ID) (*proof.Report, error) {
	var text string
	if err := q.NewRaw(`SELECT report FROM version WHERE id = ?`, version).Scan(ctx, &text); err != nil {
		return nil, store.Busy(err)
	}
	if text == "" {
		return nil, nil
	}
	var out proof.Report
	return &out, json.Unmarshal([]byte(text), &out)
}

func reportText(r *proof.Report) string {
	if r == nil {
		return ""
	}
	raw, _ := json.Marshal(r) // plain values always have a spelling
	return string(raw)
}

// refuted is the refusal of a report with errors; those about people do not
// count where the publisher takes them on himself.
func refuted(r *proof.Report, understaffed bool) error {
	var list Problems
	for _, f := range r.Findings {
		if f.Severity == proof.Error && (!understaffed || !f.Staffing()) {
			list = append(list, Problem{Code: f.Code, Line: f.Line, Col: f.Col, Zh: f.Zh, En: f.En})
		}
	}
	if len(list) == 0 {
		return nil
	}
	return fault.Refuse("DEFINITION_INVALID", "流程有漏洞，没有发布", "the workflow was refuted and not published").With(list).At("source")
}

// lacking are the steps that find too few people.
func lacking(r *proof.Report) []string {
	var out []string
	if r != nil {
		for _, f := range r.Unstaffed() {
			out = append(out, f.Step)
		}
	}
	return out
}

// OnStaffing handles TopicStaffing: after a change of the directory, and each
// night, every published version is looked at again, one in each delivery.
// Whoever keeps a version is told when it has become unsatisfiable.
func (s *Service) OnStaffing(ctx context.Context, d outbox.Delivery) error {
	var p staffingPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	if p.Version.IsZero() {
		return s.staffEach(ctx, d)
	}
	now := clock.Cut(s.clock.Now())
	def, err := s.version(ctx, s.db.R, p.Version)
	if err != nil {
		return err
	}
	before, err := reportOf(ctx, s.db.R, p.Version)
	if err != nil {
		return err
	}
	people, err := s.peopleOf(ctx, s.db.R, def, now)
	if err != nil {
		return err
	}
	base := before
	if base == nil { // a version that came with the binary: its text was proved before the release
		base = proof.Shipped(def.Flow)
	}
	after := proof.Staff(proofInput(def, people, now), base)
	_, err = store.InTx(ctx, s.db, d.Command(), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		tx.QueueSQL(`UPDATE version SET report = ? WHERE id = ?`, reportText(after), p.Version)
		for _, f := range newly(before, after) {
			outbox.Put(tx, outbox.Event{Topic: TopicUnstaffed, Aggregate: p.Version,
				Payload: UnstaffedPayload{Version: p.Version, Owner: def.Owner, Title: def.Flow.Title, Zh: f.Zh, En: f.En}})
		}
		return struct{}{}, nil
	})
	return err
}

// newly are the steps that lack people since the report before.
func newly(before, after *proof.Report) []proof.Finding {
	var old []proof.Finding
	if before != nil {
		old = before.Unstaffed()
	}
	return slices.DeleteFunc(after.Unstaffed(), func(f proof.Finding) bool {
		return slices.ContainsFunc(old, func(o proof.Finding) bool { return o.Code == f.Code && o.Step == f.Step })
	})
}

func (s *Service) staffEach(ctx context.Context, d outbox.Delivery) error {
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var versions []id.ID
		err := tx.NewRaw(`SELECT id FROM version WHERE state = 'PUBLISHED' ORDER BY id`).Scan(ctx, &versions)
		if err != nil && !store.NoRows(err) {
			return struct{}{}, err
		}
		for _, v := range versions {
			outbox.Timer(tx, v, "staffing", outbox.Event{Topic: TopicStaffing, Aggregate: v, Payload: staffingPayload{v}})
		}
		return struct{}{}, nil
	})
	return err
}

// peopleOf is the directory as the definition sees it, once for each unit with
// people in it that might ask; nil while nobody holds any seat.
func (s *Service) peopleOf(ctx context.Context, q bun.IDB, d *Definition, now time.Time) (*proof.People, error) {
	var units []struct{ Code, Kind string }
	err := q.NewRaw(`SELECT code, kind FROM unit WHERE kind <> 'OUTSIDE' AND EXISTS (SELECT 1 FROM seat JOIN tenure AS t ON t.seat_id = seat.id
		WHERE seat.unit_id = unit.id AND t.from_at <= ? AND (t.until_at IS NULL OR t.until_at > ?)) ORDER BY code`, now, now).Scan(ctx, &units)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	if len(units) == 0 {
		return nil, nil
	}
	of := d.unitChoices()
	if !d.dependsOnUnit() {
		units = units[:1]
	}
	out := &proof.People{}
	var answers []func()
	r := store.NewReads(q)
	for i, u := range units {
		at := place{unit: u.Code, form: Filled{values: map[string]any{}}}
		for field, kinds := range of {
			at.form.values[field] = u.Code
			for _, other := range units {
				if !slices.Contains(kinds, u.Kind) && slices.Contains(kinds, other.Kind) {
					at.form.values[field] = other.Code
					break
				}
			}
		}
		seats, barred := askSeats(r, d.Seats, "", at, now), askBarred(r, d, at, now)
		answers = append(answers, func() {
			sit := proof.Situation{Unit: u.Code, Seats: seats(), Barred: barred()}
			if len(units) == 1 {
				sit.Unit = ""
			}
			out.Situations = append(out.Situations, sit)
		})
		if len(answers) == staffingBatch || i == len(units)-1 {
			if err := r.Run(ctx); err != nil {
				return nil, store.Busy(err)
			}
			for _, answer := range answers {
				answer()
			}
			answers = nil
		}
	}
	return out, nil
}

// staffingBatch is how many units are asked about in one message.
const staffingBatch = 20

// dependsOnUnit says that it makes a difference to somebody for which unit the
// request is made.
func (d *Definition) dependsOnUnit() bool {
	for _, e := range d.Seats {
		u := e.Unit
		for u.Kind == UnitCollege && u.Of != nil {
			u = *u.Of
		}
		if u.Kind == UnitRequest || u.Kind == UnitField {
			return true
		}
	}
	return len(d.Flow.Policy.Interest) > 0 || slices.ContainsFunc(d.Flow.Steps(), func(s *flow.Step) bool { return s.NotSameUnit })
}

// unitKinds are the kinds of unit by the word of x-ui: {kind: unit, of: [word]}.
var unitKinds = map[string]string{"society": "SOCIETY", "college": "COLLEGE_DEPARTMENT", "department": "DEPARTMENT", "section": "SECTION",
	"federation": "FEDERATION", "league": "LEAGUE_COMMITTEE"}

// unitChoices are the form's fields that hold a unit, with the kinds they take.
func (d *Definition) unitChoices() map[string][]string {
	var schema struct {
		Properties map[string]struct {
			UI struct {
				Kind string   `json:"kind"`
				Of   []string `json:"of"`
			} `json:"x-ui"`
		} `json:"properties"`
	}
	_ = json.NewDecoder(strings.NewReader(string(d.Form.Schema))).Decode(&schema) // a loaded form's schema is valid
	out := map[string][]string{}
	for name, p := range schema.Properties {
		if p.UI.Kind != "unit" {
			continue
		}
		for word, kind := range unitKinds {
			if len(p.UI.Of) == 0 || slices.Contains(p.UI.Of, word) {
				out[name] = append(out[name], kind)
			}
		}
	}
	return out
}
