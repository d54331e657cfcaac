package org

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org/calendar"

	"github.com/uptrace/bun"
)

const tenureColumns = `SELECT tenure.id, tenure.person_id AS person, seat.name AS seat, unit.code AS unit, seat.role, tenure.kind,
		seat.title_zh, seat.title_en, tenure.from_at AS "from", tenure.until_at AS until
	FROM tenure JOIN seat ON seat.id = tenure.seat_id JOIN unit ON unit.id = seat.unit_id `

// Tenures gives everybody who holds a seat of the units or will, by the units'
// codes, for loaders. Who has no account sees nobody.
func (s *Service) Tenures(ctx context.Context, actor Actor, units ...string) (map[string][]TenureView, error) {
	if ok, err := s.named(actor); !ok {
		return nil, err
	}
	var rows []TenureView
	err := s.db.R.NewRaw(tenureColumns+`WHERE unit.code IN (?) AND (tenure.until_at IS NULL OR tenure.until_at > ?)
		ORDER BY seat.name, tenure.from_at, tenure.id`, bun.List(units), s.clock.Now()).Scan(ctx, &rows)
	return group(rows, func(t TenureView) string { return t.Unit }), noRows(err)
}

// Tenure reads one tenure, past ones too.
func (s *Service) Tenure(ctx context.Context, actor Actor, tenure id.ID) (TenureView, error) {
	if err := s.rules.Check(actor, "org.person.read", Object{}); err != nil {
		return TenureView{}, err
	}
	var rows []TenureView
	err := noRows(s.db.R.NewRaw(tenureColumns+`WHERE tenure.id = ?`, tenure).Scan(ctx, &rows))
	if err == nil && len(rows) == 0 {
		err = fault.Missing()
	}
	if err != nil {
		return TenureView{}, err
	}
	return rows[0], nil
}

// Charge is a person who answers for a unit, or looks after it.
type Charge struct {
	Unit        string // code
	Seat        string // of a portfolio
	Person      id.ID
	From, Until time.Time
}

// Portfolios gives who answers for the units, now or later, by the units'
// codes, for loaders. Who has no account sees nobody.
func (s *Service) Portfolios(ctx context.Context, actor Actor, units ...string) (map[string][]Charge, error) {
	return s.charges(ctx, actor, `SELECT unit.code AS unit, seat.name AS seat, p.person_id AS person, p.from_at AS "from", p.until_at AS until
		FROM portfolio AS p JOIN unit ON unit.id = p.unit_id JOIN seat ON seat.id = p.seat_id
		WHERE unit.code IN (?) AND (p.until_at IS NULL OR p.until_at > ?) ORDER BY seat.name, p.person_id`, units)
}

// Liaisons gives who looks after the units, as Portfolios does.
func (s *Service) Liaisons(ctx context.Context, actor Actor, units ...string) (map[string][]Charge, error) {
	return s.charges(ctx, actor, `SELECT unit.code AS unit, l.person_id AS person, l.from_at AS "from", l.until_at AS until
		FROM liaison AS l JOIN unit ON unit.id = l.unit_id
		WHERE unit.code IN (?) AND (l.until_at IS NULL OR l.until_at > ?) ORDER BY l.from_at, l.person_id`, units)
}

func (s *Service) charges(ctx context.Context, actor Actor, stmt string, units []string) (map[string][]Charge, error) {
	if ok, err := s.named(actor); !ok {
		return nil, err
	}
	var rows []Charge
	err := s.db.R.NewRaw(stmt, bun.List(units), s.clock.Now()).Scan(ctx, &rows)
	return group(rows, func(c Charge) string { return c.Unit }), noRows(err)
}

// named says whether people may be named to the actor: to strangers they are
// not, and a token needs the scope.
func (s *Service) named(actor Actor) (bool, error) {
	if actor.Anonymous() {
		return false, nil
	}
	err := s.rules.Check(actor, "org.person.read", Object{})
	return err == nil, err
}

func group[K comparable, V any](rows []V, key func(V) K) map[K][]V {
	out := map[K][]V{}
	for _, r := range rows {
		out[key(r)] = append(out[key(r)], r)
	}
	return out
}

// SkillsOf gives what people can do now or will, for loaders.
func (s *Service) SkillsOf(ctx context.Context, actor Actor, people ...id.ID) (map[id.ID][]Skill, error) {
	if err := s.rules.Check(actor, "org.person.read", Object{}); err != nil {
		return nil, err
	}
	var rows []Skill
	err := s.db.R.NewSelect().Model(&rows).Where("person_id IN (?)", bun.List(people)).Where("until_at IS NULL OR until_at > ?", s.clock.Now()).
		OrderExpr("name, certificate").Scan(ctx)
	return group(rows, func(k Skill) id.ID { return k.Person }), noRows(err)
}

// DelegationView is a delegation with the seat's name.
type DelegationView struct {
	Delegation
	Name string
}

// Delegations lists those that last or will: given or received by the actor,
// or all for who may end others'.
func (s *Service) Delegations(ctx context.Context, actor Actor) ([]DelegationView, error) {
	a, now, err := s.account(ctx, actor)
	if err != nil {
		return nil, err
	}
	var rows []DelegationView
	sel := s.db.R.NewSelect().TableExpr("delegation AS d").ColumnExpr("d.*, seat.name").Join("JOIN seat ON seat.id = d.seat_id").
		Where("d.until_at > ?", now).OrderExpr("d.from_at, d.id").Limit(listMax)
	if !s.rules.Can(a, "org.delegation.end", Object{}) {
		sel = sel.Where("(d.from_person = ? OR d.to_person = ?)", a.Person, a.Person)
	}
	return rows, noRows(sel.Scan(ctx, &rows))
}

// Absences lists those that last or will: the actor's, or all for who may
// report others'.
func (s *Service) Absences(ctx context.Context, actor Actor) ([]Absence, error) {
	a, now, err := s.account(ctx, actor)
	if err != nil {
		return nil, err
	}
	var rows []Absence
	sel := s.db.R.NewSelect().Model(&rows).Where("until_at > ?", now).OrderExpr("from_at, id").Limit(listMax)
	if !s.rules.Can(a, "org.absence.write", Object{}) {
		sel = sel.Where("person_id = ?", a.Person)
	}
	return rows, noRows(sel.Scan(ctx))
}

// OwnRights lists what the actor asked for by AskRight, the newest first.
func (s *Service) OwnRights(ctx context.Context, actor Actor) ([]RightsRequest, error) {
	if actor.Person.IsZero() {
		return nil, fault.SignIn()
	}
	var rows []RightsRequest
	err := s.db.R.NewSelect().Model(&rows).Where("subject = ?", actor.Person).OrderExpr("asked_at DESC, id DESC").Limit(listMax).Scan(ctx)
	return rows, noRows(err)
}

// listMax bounds the lists that are no pages.
const listMax = 500

// account judges an actor who must have an account.
func (s *Service) account(ctx context.Context, actor Actor) (Actor, time.Time, error) {
	now := s.clock.Now()
	a, err := Judge(ctx, s.db.R, actor, now)
	if err == nil && a.Anonymous() {
		err = fault.SignIn()
	}
	return a, now, err
}

// Settings reads what the university added to the public holidays; it is
// public.
func (s *Service) Settings(ctx context.Context) (calendar.Settings, error) {
	set, _, err := calendar.Stored(ctx, s.db.R)
	return set, err
}
