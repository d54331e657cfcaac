package org

import (
	"context"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// SetPortfolio makes the holder of a seat answer for a unit 分管. There is one
// per unit and seat: it replaces the one before. A zero Person takes it back.
type SetPortfolio struct {
	IdempotencyKey string
	Unit, Seat     string // code, seat name
	Person         id.ID
	From, Until    time.Time
}

// Done is the outcome of a command that makes nothing new.
type Done struct{}

// SetPortfolio sets or takes back a portfolio.
func (s *Service) SetPortfolio(ctx context.Context, actor Actor, in SetPortfolio) (Done, error) {
	return do(ctx, s, actor, "setPortfolio", in.IdempotencyKey, in, func(ctx context.Context, c command) (Done, error) {
		unit, err := UnitByCode(ctx, c.tx, in.Unit)
		if err != nil {
			return Done{}, err
		}
		seat, err := c.seat(ctx, in.Seat)
		if err != nil {
			return Done{}, err
		}
		if err := span(&in.From, &in.Until, c.now, true); err != nil {
			return Done{}, err
		}
		err = c.allow("org.portfolio.write", Object{Unit: in.Unit, Owner: in.Person}, outbox.Ref{Kind: "unt", ID: unit.ID},
			map[string]any{"seat": in.Seat, "person": in.Person, "from": in.From, "until": in.Until})
		if err != nil {
			return Done{}, err
		}
		if in.Person.IsZero() {
			c.tx.QueueSQL(`DELETE FROM portfolio WHERE unit_id = ? AND seat_id = ?`, unit.ID, seat.ID)
			return Done{}, nil
		}
		if seat.Role != Vice && seat.Role != Chair && seat.Unit != "league" {
			return Done{}, fault.Refuse("NOT_A_PORTFOLIO_SEAT", "只有主席、副主席和团委的岗位可以分管单位", "only chairs, vice-chairs and the League Committee answer for units")
		}
		if err := c.holds(ctx, in.Person, in.Seat); err != nil {
			return Done{}, err
		}
		row := Portfolio{UnitID: unit.ID, SeatID: seat.ID, PersonID: in.Person, From: in.From, Until: in.Until}
		c.tx.Queue(s.db.Bun().NewInsert().Model(&row).On("CONFLICT (unit_id, seat_id) DO UPDATE").
			Set("person_id = EXCLUDED.person_id, from_at = EXCLUDED.from_at, until_at = EXCLUDED.until_at"))
		return Done{}, nil
	})
}

// holds refuses when the person does not hold the seat now.
func (c command) holds(ctx context.Context, who id.ID, seat string) error {
	holders, err := Holders(ctx, c.tx, seat, c.now)
	if err != nil {
		return err
	}
	for _, h := range holders {
		if h.Person == who {
			return nil
		}
	}
	return fault.Refuse("SEAT_NOT_HELD", "这个人现在不在这个岗位上", "this person does not hold the seat now")
}

// SetLiaison makes a supervision officer look after a society or college
// 联络员 from From (zero = now) to Until (zero = open); Remove takes it back.
type SetLiaison struct {
	IdempotencyKey string
	Unit           string
	Person         id.ID
	From, Until    time.Time
	Remove         bool
}

// SetLiaison sets, changes or takes back a liaison.
func (s *Service) SetLiaison(ctx context.Context, actor Actor, in SetLiaison) (Done, error) {
	return do(ctx, s, actor, "setLiaison", in.IdempotencyKey, in, func(ctx context.Context, c command) (Done, error) {
		unit, err := UnitByCode(ctx, c.tx, in.Unit)
		if err != nil {
			return Done{}, err
		}
		if err := span(&in.From, &in.Until, c.now, true); err != nil {
			return Done{}, err
		}
		err = c.allow("org.liaison.write", Object{Unit: in.Unit, Owner: in.Person}, outbox.Ref{Kind: "unt", ID: unit.ID},
			map[string]any{"person": in.Person, "from": in.From, "until": in.Until, "remove": in.Remove})
		if err != nil {
			return Done{}, err
		}
		if in.Remove {
			c.tx.QueueSQL(`DELETE FROM liaison WHERE unit_id = ? AND person_id = ?`, unit.ID, in.Person)
			return Done{}, nil
		}
		if unit.Kind != Society && unit.Kind != CollegeDepartment {
			return Done{}, fault.Refuse("NOT_A_LIAISON_UNIT", "联络员只对社团和学院", "a liaison looks after a society or a college")
		}
		officer, err := Judge(ctx, c.tx, Actor{Person: in.Person}, c.now)
		if err != nil {
			return Done{}, err
		}
		if !officer.In("supervision") {
			return Done{}, fault.Refuse("NOT_SUPERVISION", "联络员应是监察部现任成员", "a liaison must be of the supervision department now")
		}
		row := Liaison{UnitID: unit.ID, PersonID: in.Person, From: in.From, Until: in.Until}
		c.tx.Queue(s.db.Bun().NewInsert().Model(&row).On("CONFLICT (unit_id, person_id) DO UPDATE").
			Set("from_at = EXCLUDED.from_at, until_at = EXCLUDED.until_at"))
		return Done{}, nil
	})
}

// Delegation lets another person act under a seat for a time.
type Delegation struct {
	bun.BaseModel `bun:"table:delegation"`

	ID    id.ID     `bun:",pk"`
	Seat  id.ID     `bun:"seat_id"`
	From  id.ID     `bun:"from_person"`
	To    id.ID     `bun:"to_person"`
	Begin time.Time `bun:"from_at"`
	End   time.Time `bun:"until_at"`
}

// DelegationMax is the longest that a seat may be delegated; who is away longer
// is replaced by an ACTING tenure.
const DelegationMax = 60 * 24 * time.Hour

// Delegate hands a seat of one's own to another officer from From (zero = now)
// to Until.
type Delegate struct {
	IdempotencyKey string
	Seat           string
	To             id.ID
	From, Until    time.Time
}

// DelegationOutcome names the delegation.
type DelegationOutcome struct{ Delegation id.ID }

// Delegate refuses a seat that the actor does not hold himself: what was
// delegated is not passed on.
func (s *Service) Delegate(ctx context.Context, actor Actor, in Delegate) (DelegationOutcome, error) {
	return do(ctx, s, actor, "delegateSeat", in.IdempotencyKey, in, func(ctx context.Context, c command) (DelegationOutcome, error) {
		seat, err := c.seat(ctx, in.Seat)
		if err != nil {
			return DelegationOutcome{}, err
		}
		if err := span(&in.From, &in.Until, c.now, false); err != nil {
			return DelegationOutcome{}, err
		}
		row := Delegation{ID: id.New(), Seat: seat.ID, From: c.actor.Person, To: in.To, Begin: in.From, End: in.Until}
		err = c.allow("org.delegation.write", Object{Unit: seat.Unit, Owner: c.actor.Person}, personRef(in.To),
			map[string]any{"delegation": row.ID, "seat": in.Seat, "from": in.From, "until": in.Until})
		if err != nil {
			return DelegationOutcome{}, err
		}
		if err := c.holds(ctx, c.actor.Person, in.Seat); err != nil {
			return DelegationOutcome{}, err
		}
		if in.Until.Sub(in.From) > DelegationMax {
			return DelegationOutcome{}, fault.Refuse("TOO_LONG", "委托最长 60 天；更久请安排代理任期", "a seat is delegated for at most 60 days; for longer start an acting tenure")
		}
		other, err := Judge(ctx, c.tx, Actor{Person: in.To}, c.now)
		if err != nil {
			return DelegationOutcome{}, err
		}
		if in.To == c.actor.Person || len(other.Seats) == 0 {
			return DelegationOutcome{}, fault.Refuse("NOT_AN_OFFICER", "只能委托给另一位现任干部", "delegate to another officer in office")
		}
		c.tx.Queue(s.db.Bun().NewInsert().Model(&row))
		return DelegationOutcome{row.ID}, nil
	})
}

// EndDelegation takes a delegation back at once.
func (s *Service) EndDelegation(ctx context.Context, actor Actor, key string, delegation id.ID) (Done, error) {
	return do(ctx, s, actor, "endDelegation", key, delegation, func(ctx context.Context, c command) (Done, error) {
		var d Delegation
		err := c.tx.NewSelect().Model(&d).Where("id = ?", delegation).Scan(ctx)
		if store.NoRows(err) {
			return Done{}, fault.Missing()
		}
		if err != nil {
			return Done{}, err
		}
		if c.actor.Person != d.To && !s.rules.Can(c.actor, "org.delegation.end", Object{Owner: d.From}) {
			return Done{}, fault.Missing() // who lends a seat to whom is theirs to know
		}
		if err := c.allow("org.delegation.end", Object{Owner: d.From}, personRef(d.To), map[string]any{"delegation": d.ID}); err != nil {
			return Done{}, err
		}
		if c.now.After(d.Begin) {
			c.tx.QueueSQL(`UPDATE delegation SET until_at = ? WHERE id = ? AND until_at > ?`, c.now, d.ID, c.now)
		} else {
			c.tx.QueueSQL(`DELETE FROM delegation WHERE id = ?`, d.ID)
		}
		return Done{}, nil
	})
}

// Absence is a time during which nothing is given to a person.
type Absence struct {
	bun.BaseModel `bun:"table:absence"`

	ID     id.ID     `bun:",pk"`
	Person id.ID     `bun:"person_id"`
	From   time.Time `bun:"from_at"`
	Until  time.Time `bun:"until_at"`
}

// ReportAbsence says that a person (zero = the actor) is away.
type ReportAbsence struct {
	IdempotencyKey string
	Person         id.ID
	From, Until    time.Time
}

// AbsenceOutcome names the absence.
type AbsenceOutcome struct{ Absence id.ID }

// ReportAbsence records it, with the event org.absent {person}.
func (s *Service) ReportAbsence(ctx context.Context, actor Actor, in ReportAbsence) (AbsenceOutcome, error) {
	return do(ctx, s, actor, "reportAbsence", in.IdempotencyKey, in, func(ctx context.Context, c command) (AbsenceOutcome, error) {
		row := Absence{ID: id.New(), Person: in.Person, From: in.From, Until: in.Until}
		if row.Person.IsZero() {
			row.Person = c.actor.Person
		}
		if err := span(&row.From, &row.Until, c.now, false); err != nil {
			return AbsenceOutcome{}, err
		}
		err := c.allow("org.absence.write", Object{Owner: row.Person}, personRef(row.Person), map[string]any{"absence": row.ID, "from": row.From, "until": row.Until})
		if err != nil {
			return AbsenceOutcome{}, err
		}
		if _, err := c.person(ctx, row.Person); err != nil {
			return AbsenceOutcome{}, err
		}
		c.tx.Queue(s.db.Bun().NewInsert().Model(&row))
		outbox.Put(c.tx, outbox.Event{Topic: "org.absent", Aggregate: row.Person, Payload: map[string]any{"person": row.Person}})
		return AbsenceOutcome{row.ID}, nil
	})
}

// EndAbsence says that the person is back.
func (s *Service) EndAbsence(ctx context.Context, actor Actor, key string, absence id.ID) (Done, error) {
	return do(ctx, s, actor, "endAbsence", key, absence, func(ctx context.Context, c command) (Done, error) {
		var a Absence
		err := c.tx.NewSelect().Model(&a).Where("id = ?", absence).Scan(ctx)
		if store.NoRows(err) {
			return Done{}, fault.Missing()
		}
		if err != nil {
			return Done{}, err
		}
		if !s.rules.Can(c.actor, "org.absence.write", Object{Owner: a.Person}) {
			return Done{}, fault.Missing() // others do not learn who is away
		}
		if c.now.After(a.From) {
			c.tx.QueueSQL(`UPDATE absence SET until_at = ? WHERE id = ? AND until_at > ?`, c.now, a.ID, c.now)
		} else {
			c.tx.QueueSQL(`DELETE FROM absence WHERE id = ?`, a.ID)
		}
		audit.Record(c.tx, audit.Entry{Actor: c.actor.Person, Action: "org.absence.end", Object: personRef(a.Person), Data: map[string]any{"absence": a.ID}, At: c.now})
		return Done{}, nil
	})
}
