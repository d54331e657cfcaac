package org

import (
	"context"
	"time"
	"unicode/utf8"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/outbox"
	"kelian/org/calendar"
)

// SetUnit renames a unit, or puts a society in the charge of another college;
// nil leaves a value as it is.
type SetUnit struct {
	IdempotencyKey                   string
	Unit                             string
	NameZh, NameEn, ShortZh, ShortEn *string
	Campus, College                  *string
}

// SetUnit applies the change.
func (s *Service) SetUnit(ctx context.Context, actor Actor, in SetUnit) (Done, error) {
	return do(ctx, s, actor, "setUnit", in.IdempotencyKey, in, func(ctx context.Context, c command) (Done, error) {
		u, err := UnitByCode(ctx, c.tx, in.Unit)
		if err != nil {
			return Done{}, err
		}
		if err := c.allow("org.unit.write", Object{Unit: in.Unit}, outbox.Ref{Kind: "unt", ID: u.ID}, in); err != nil {
			return Done{}, err
		}
		for _, f := range []struct {
			path string
			from *string
			to   *string
			min  int
		}{{"nameZh", in.NameZh, &u.NameZh, 1}, {"nameEn", in.NameEn, &u.NameEn, 0}, {"shortZh", in.ShortZh, &u.ShortZh, 1},
			{"shortEn", in.ShortEn, &u.ShortEn, 0}, {"campus", in.Campus, &u.Campus, 0}, {"college", in.College, &u.College, 0}} {
			if f.from == nil {
				continue
			}
			if n := utf8.RuneCountInString(*f.from); n < f.min || n > 100 {
				return Done{}, fault.Input(f.path, "名称为 1 到 100 个字", "a name has 1 to 100 characters")
			}
			*f.to = *f.from
		}
		if in.College != nil && u.College != "" {
			college, err := UnitByCode(ctx, c.tx, u.College)
			if err != nil || college.Kind != CollegeDepartment || u.Kind != Society {
				return Done{}, fault.Refuse("NOT_A_COLLEGE", "请写一个学院的代码，例如 college.cs；只有社团由学院指导", "give the code of a college, for example college.cs; only societies have one in charge").At("college")
			}
		}
		c.tx.Queue(s.db.Bun().NewUpdate().Model(&u).Column("name_zh", "name_en", "short_zh", "short_en", "campus", "college").WherePK())
		return Done{}, nil
	})
}

// SetCalendar stores the university's terms and days, with the idempotency key
// of the door.
func (s *Service) SetCalendar(ctx context.Context, actor Actor, key string, in calendar.Settings) (Done, error) {
	return do(ctx, s, actor, "setCalendar", key, in, func(_ context.Context, c command) (Done, error) {
		if err := s.rules.Check(c.actor, "org.calendar.write", Object{}); err != nil {
			return Done{}, err
		}
		if err := calendar.Store(c.tx, in, c.now); err != nil {
			return Done{}, err
		}
		audit.Record(c.tx, audit.Entry{Actor: c.actor.Person, Seat: s.rules.Under(c.actor, "org.calendar.write", Object{}), Action: "org.calendar.write",
			Object: outbox.Ref{Kind: "unt"}, Data: in, At: c.now})
		return Done{}, nil
	})
}

// Calendar loads the calendar in the federation's zone.
func (s *Service) Calendar(ctx context.Context) (*Calendar, error) {
	return calendar.Load(ctx, s.db.R, s.loc)
}

// Location is the federation's time zone.
func (s *Service) Location() *time.Location { return s.loc }
