package org

import (
	"context"
	"slices"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// StartTenure seats a person: From zero = now, Until zero = open.
type StartTenure struct {
	IdempotencyKey string
	Person         id.ID
	Seat           string // name, e.g. technical.head
	Kind           TenureKind
	From, Until    time.Time
}

// TenureOutcome names the tenure.
type TenureOutcome struct{ Tenure id.ID }

// StartTenure begins a tenure. A seat that is full at any moment of it refuses
// with SEAT_FULL, a person who holds the seat then with SEAT_HELD.
func (s *Service) StartTenure(ctx context.Context, actor Actor, in StartTenure) (TenureOutcome, error) {
	return do(ctx, s, actor, "startTenure", in.IdempotencyKey, in, func(ctx context.Context, c command) (TenureOutcome, error) {
		seat, err := c.seat(ctx, in.Seat)
		if err != nil {
			return TenureOutcome{}, err
		}
		t := Tenure{ID: id.New(), SeatID: seat.ID, PersonID: in.Person, Kind: in.Kind, From: in.From, Until: in.Until}
		if t.Kind == "" {
			t.Kind = Full
		}
		if err := span(&t.From, &t.Until, c.now, true); err != nil {
			return TenureOutcome{}, err
		}
		o := Object{Unit: seat.Unit, Owner: in.Person, State: string(seat.Role)}
		if err := s.rules.Check(c.actor, "org.tenure.write", o); err != nil {
			return TenureOutcome{}, err
		}
		if _, err := c.person(ctx, in.Person); err != nil {
			return TenureOutcome{}, err
		}
		return TenureOutcome{t.ID}, Appoint(ctx, c.tx, t, audit.Entry{Actor: c.actor.Person, Seat: s.rules.Under(c.actor, "org.tenure.write", o), At: c.now})
	})
}

// Appoint seats a person within a transaction that has judged who may: it locks the
// seat, applies the rule of capacity, writes the tenure, the event
// org.tenure.started {tenure, person, seat} and the audit row by, whose Action
// and Object it sets.
func Appoint(ctx context.Context, tx *store.Tx, t Tenure, by audit.Entry) error {
	if !slices.Contains([]TenureKind{Full, Acting, Probation}, t.Kind) {
		return fault.Input("kind", "任期种类应为 FULL、ACTING 或 PROBATION", "the kind must be FULL, ACTING or PROBATION")
	}
	var capacity int
	if err := tx.NewRaw(`SELECT capacity FROM seat WHERE id = ? ?`, t.SeatID, tx.DB.Lock(false)).Scan(ctx, &capacity); err != nil {
		return err
	}
	var others []Tenure
	sel := tx.NewSelect().Model(&others).Where("seat_id = ?", t.SeatID).Where("until_at IS NULL OR until_at > ?", t.From)
	if !t.Until.IsZero() {
		sel = sel.Where("from_at < ?", t.Until)
	}
	if err := sel.Scan(ctx); err != nil && !store.NoRows(err) {
		return err
	}
	if err := fits(capacity, others, t); err != nil {
		return err
	}
	tx.Queue(tx.DB.Bun().NewInsert().Model(&t))
	by.Action, by.Object = "org.tenure.start", personRef(t.PersonID)
	by.Data = map[string]any{"tenure": t.ID, "seat": t.SeatID, "kind": t.Kind, "from": t.From, "until": t.Until}
	audit.Record(tx, by)
	outbox.Put(tx, outbox.Event{Topic: "org.tenure.started", Aggregate: t.PersonID,
		Payload: map[string]any{"tenure": t.ID, "person": t.PersonID, "seat": t.SeatID}})
	return nil
}

// fits is the rule of capacity: at no moment of the new tenure are there more
// people on the seat than it has places. The number of holders only grows when
// a tenure begins, so the moments that count are the beginnings.
func fits(capacity int, others []Tenure, t Tenure) error {
	covers := func(x Tenure, at time.Time) bool {
		return !at.Before(x.From) && (x.Until.IsZero() || at.Before(x.Until))
	}
	moments := []time.Time{t.From}
	for _, o := range others {
		if o.PersonID == t.PersonID {
			return fault.Refuse("SEAT_HELD", "这个人在这段时间已经在这个岗位上；先结束那段任期，或改日期", "this person holds the seat at that time; end that tenure first or choose other dates")
		}
		if covers(t, o.From) {
			moments = append(moments, o.From)
		}
	}
	for _, at := range moments {
		n := 1
		for _, o := range others {
			if covers(o, at) {
				n++
			}
		}
		if n > capacity {
			return fault.Refuse("SEAT_FULL", "这个岗位在这段时间已满；先结束一位现任的任期，或改日期", "the seat is full at that time; end a holder's tenure first or choose other dates")
		}
	}
	return nil
}

// EndTenure ends a tenure at At, zero = now. One that has not begun by then is
// taken back.
type EndTenure struct {
	IdempotencyKey string
	Tenure         id.ID
	At             time.Time
}

// EndTenure ends a tenure; whoever may seat people on the seat may end it, and
// everybody may give up a seat of his own.
func (s *Service) EndTenure(ctx context.Context, actor Actor, in EndTenure) (TenureOutcome, error) {
	return do(ctx, s, actor, "endTenure", in.IdempotencyKey, in, func(ctx context.Context, c command) (TenureOutcome, error) {
		var t struct {
			Tenure
			Unit string
			Role string
		}
		err := c.tx.NewRaw(`SELECT tenure.*, unit.code AS unit, seat.role AS role FROM tenure JOIN seat ON seat.id = tenure.seat_id
			JOIN unit ON unit.id = seat.unit_id WHERE tenure.id = ?`, in.Tenure).Scan(ctx, &t)
		if store.NoRows(err) {
			return TenureOutcome{}, fault.Missing()
		}
		if err != nil {
			return TenureOutcome{}, err
		}
		o := Object{Unit: t.Unit, Owner: t.PersonID, State: t.Role}
		if c.actor.Person != t.PersonID || c.actor.Anonymous() {
			if err := s.rules.Check(c.actor, "org.tenure.write", o); err != nil {
				return TenureOutcome{}, err
			}
		}
		at := clock.Cut(in.At)
		if at.IsZero() {
			at = c.now
		}
		if !t.Until.IsZero() && !at.Before(t.Until) {
			return TenureOutcome{}, fault.Refuse("TENURE_ENDED", "这段任期那时已经结束", "the tenure has ended by then")
		}
		by := audit.Entry{Actor: c.actor.Person, Seat: s.rules.Under(c.actor, "org.tenure.write", o), At: c.now}
		Dismiss(c.tx, t.Tenure, at, by)
		return TenureOutcome{t.ID}, nil
	})
}

// Dismiss ends a tenure within a transaction that has judged who may, with the
// event org.tenure.ended {tenure, person, seat}, due at the end.
func Dismiss(tx *store.Tx, t Tenure, at time.Time, by audit.Entry) {
	by.Action, by.Object = "org.tenure.end", personRef(t.PersonID)
	by.Data = map[string]any{"tenure": t.ID, "seat": t.SeatID, "at": at}
	audit.Record(tx, by)
	if !at.After(t.From) {
		tx.Queue(tx.DB.Bun().NewDelete().Model(&t).Where("id = ?", t.ID))
	} else {
		tx.QueueSQL(`UPDATE tenure SET until_at = ? WHERE id = ?`, at, t.ID)
	}
	outbox.Put(tx, outbox.Event{Topic: "org.tenure.ended", Aggregate: t.PersonID, DueAt: at,
		Payload: map[string]any{"tenure": t.ID, "person": t.PersonID, "seat": t.SeatID}})
}

// tenuresOf reads a person's tenures that last at time now or begin later.
func tenuresOf(ctx context.Context, q bun.IDB, person id.ID, now time.Time) ([]Tenure, error) {
	var rows []Tenure
	err := q.NewSelect().Model(&rows).Where("person_id = ?", person).Where("until_at IS NULL OR until_at > ?", now).OrderExpr("from_at, id").Scan(ctx)
	return rows, noRows(err)
}
