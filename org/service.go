package org

import (
	"context"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Service is the federation's own desk: who sits where and when, and what is
// known of people.
type Service struct {
	db        *store.DB
	clock     clock.Clock
	rules     *Table
	loc       *time.Location
	erasers   []Eraser
	exporters []Exporter
}

// New makes the service; loc is the federation's time zone.
func New(db *store.DB, clk clock.Clock, rules *Table, loc *time.Location) *Service {
	return &Service{db: db, clock: clk, rules: rules, loc: loc}
}

// command is what the commands of the service share: judge the actor in the
// transaction, and record the act.
type command struct {
	svc   *Service
	tx    *store.Tx
	actor Actor
	now   time.Time
}

// do runs fn as one command of the actor.
func do[T any](ctx context.Context, s *Service, actor Actor, mutation, key string, input any, fn func(ctx context.Context, c command) (T, error)) (T, error) {
	now := s.clock.Now()
	cmd := store.Internal(mutation)
	if !actor.Person.IsZero() {
		cmd = store.FromClient(s.db, actor.Person, mutation, key, input)
	}
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (T, error) {
		var zero T
		judged, err := Judge(ctx, tx, actor, now)
		if err != nil {
			return zero, err
		}
		return fn(ctx, command{s, tx, judged, now})
	})
}

// allow checks the rule and records the act under the seat that allows it.
func (c command) allow(action string, o Object, about outbox.Ref, data any) error {
	if err := c.svc.rules.Check(c.actor, action, o); err != nil {
		return err
	}
	audit.Record(c.tx, audit.Entry{Actor: c.actor.Person, Seat: c.svc.rules.Under(c.actor, action, o), Action: action, Object: about, Data: data, At: c.now})
	return nil
}

// seatNamed is a seat with its unit's code.
type seatNamed struct {
	Seat
	Unit string
}

func (c command) seat(ctx context.Context, name string) (seatNamed, error) {
	var s seatNamed
	err := c.tx.NewRaw(`SELECT seat.id, seat.unit_id, seat.role, seat.name, seat.title_zh, seat.title_en, seat.capacity, unit.code AS unit
		FROM seat JOIN unit ON unit.id = seat.unit_id WHERE seat.name = ?`, name).Scan(ctx, &s)
	if store.NoRows(err) {
		return s, fault.Missing()
	}
	return s, err
}

// person reads somebody who was not erased.
func (c command) person(ctx context.Context, who id.ID) (Person, error) {
	return livePerson(ctx, c.tx, who)
}

func livePerson(ctx context.Context, q bun.IDB, who id.ID) (Person, error) {
	var p Person
	err := q.NewSelect().Model(&p).Where("id = ?", who).Where("erased_at IS NULL").Scan(ctx)
	if store.NoRows(err) {
		return p, fault.Missing()
	}
	return p, store.Busy(err)
}

func personRef(p id.ID) outbox.Ref { return outbox.Ref{Kind: "per", ID: p} }

// span checks a time-box; a zero from is now.
func span(from, until *time.Time, now time.Time, open bool) error {
	*from, *until = clock.Cut(*from), clock.Cut(*until)
	if from.IsZero() {
		*from = now
	}
	if until.IsZero() && !open {
		return fault.Input("until", "请填写结束时间", "say until when")
	}
	if !until.IsZero() && !until.After(*from) {
		return fault.Input("until", "结束时间必须晚于开始时间", "the end must be later than the beginning")
	}
	return nil
}
