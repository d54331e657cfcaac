package org

import (
	"context"
	"slices"

	"kelian/internal/audit"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org/calendar"
)

// ImportHolidays stores the State Council's notice on a year, with the
// idempotency key of the door. Whatever was reckoned by the calendar before
// follows by way of calendar.TopicChanged.
func (s *Service) ImportHolidays(ctx context.Context, actor Actor, key string, n calendar.Notice) (Done, error) {
	return do(ctx, s, actor, "importHolidays", key, n, func(_ context.Context, c command) (Done, error) {
		if err := c.allow("org.calendar.write", Object{}, outbox.Ref{Kind: "unt"}, n); err != nil {
			return Done{}, err
		}
		return Done{}, calendar.StoreNotice(c.tx, n, c.now)
	})
}

// ImportHolidaysHere is ImportHolidays from the console of the machine.
func (s *Service) ImportHolidaysHere(ctx context.Context, n calendar.Notice) error {
	_, err := store.InTx(ctx, s.db, store.Internal("importHolidays"), func(_ context.Context, tx *store.Tx) (Done, error) {
		now := s.clock.Now()
		audit.Record(tx, audit.Entry{Action: "org.calendar.write", Object: outbox.Ref{Kind: "unt"}, Data: n, At: now})
		return Done{}, calendar.StoreNotice(tx, n, now)
	})
	return err
}

// PreviewHolidays is CalendarWith for those who may import the notice.
func (s *Service) PreviewHolidays(ctx context.Context, actor Actor, n calendar.Notice) (*Calendar, error) {
	a, err := Judge(ctx, s.db.R, actor, s.clock.Now())
	if err == nil {
		err = s.rules.Check(a, "org.calendar.write", Object{})
	}
	if err != nil {
		return nil, err
	}
	return s.CalendarWith(ctx, n)
}

// CalendarWith is the calendar as it would be with the notice.
func (s *Service) CalendarWith(ctx context.Context, n calendar.Notice) (*Calendar, error) {
	set, notices, err := calendar.Stored(ctx, s.db.R)
	if err != nil {
		return nil, err
	}
	notices = slices.DeleteFunc(notices, func(x calendar.Notice) bool { return x.Year == n.Year })
	return calendar.New(s.loc, set, append(notices, n)...)
}
