package org

import (
	"context"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
)

// SetSkill says that a person can do something, or holds a certificate of it,
// from From (zero = now) to Until (zero = open). Remove takes it back.
type SetSkill struct {
	IdempotencyKey string
	Person         id.ID
	Name           string // e.g. network, electric
	Certificate    bool
	From, Until    time.Time
	Remove         bool
}

// SetSkill sets, changes or takes back a skill.
func (s *Service) SetSkill(ctx context.Context, actor Actor, in SetSkill) (Done, error) {
	return do(ctx, s, actor, "setSkill", in.IdempotencyKey, in, func(ctx context.Context, c command) (Done, error) {
		name := strings.TrimSpace(in.Name)
		if n := len([]rune(name)); n < 1 || n > 80 {
			return Done{}, fault.Input("name", "技能名称为 1 到 80 个字", "a skill's name has 1 to 80 characters")
		}
		if err := span(&in.From, &in.Until, c.now, true); err != nil {
			return Done{}, err
		}
		err := c.allow("org.skill.write", Object{Owner: in.Person}, personRef(in.Person),
			map[string]any{"skill": name, "certificate": in.Certificate, "until": in.Until, "remove": in.Remove})
		if err != nil {
			return Done{}, err
		}
		if _, err := c.person(ctx, in.Person); err != nil {
			return Done{}, err
		}
		if in.Remove {
			c.tx.QueueSQL(`DELETE FROM skill WHERE person_id = ? AND name = ? AND certificate = ?`, in.Person, name, in.Certificate)
			return Done{}, nil
		}
		row := Skill{Person: in.Person, Name: name, Certificate: in.Certificate, From: in.From, Until: in.Until}
		c.tx.Queue(s.db.Bun().NewInsert().Model(&row).On("CONFLICT (person_id, name, certificate) DO UPDATE").
			Set("from_at = EXCLUDED.from_at, until_at = EXCLUDED.until_at"))
		return Done{}, nil
	})
}

// SetFreeHours replaces the actor's free hours by these.
type SetFreeHours struct {
	IdempotencyKey string
	Hours          []FreeHour // Person is ignored
}

// freeHoursMax is more than every period of a week, odd and even.
const freeHoursMax = 300

// SetFreeHours replaces the actor's free hours.
func (s *Service) SetFreeHours(ctx context.Context, actor Actor, in SetFreeHours) (Done, error) {
	return do(ctx, s, actor, "setFreeHours", in.IdempotencyKey, in, func(_ context.Context, c command) (Done, error) {
		if len(in.Hours) > freeHoursMax {
			return Done{}, fault.Input("hours", "最多 300 段", "at most 300 entries")
		}
		seen := map[FreeHour]bool{}
		rows := make([]FreeHour, 0, len(in.Hours))
		for _, h := range in.Hours {
			h.Person = c.actor.Person
			if h.Weekday < 1 || h.Weekday > 7 || h.FromMin < 0 || h.ToMin > 1440 || h.FromMin >= h.ToMin || h.Parity != "all" && h.Parity != "odd" && h.Parity != "even" {
				return Done{}, fault.Input("hours", "每段要有星期（1 到 7）、单双周（all、odd、even）和起止分钟（0 到 1440）", "each entry has a weekday (1 to 7), a parity (all, odd, even) and minutes (0 to 1440)")
			}
			key := h
			key.ToMin = 0
			if seen[key] {
				return Done{}, fault.Input("hours", "同一时间写了两次", "the same time stands twice")
			}
			seen[key] = true
			rows = append(rows, h)
		}
		err := c.allow("org.freehour.write", Object{Owner: c.actor.Person}, personRef(c.actor.Person), map[string]any{"entries": len(rows)})
		if err != nil {
			return Done{}, err
		}
		c.tx.QueueSQL(`DELETE FROM free_hour WHERE person_id = ?`, c.actor.Person)
		if len(rows) > 0 {
			c.tx.Queue(s.db.Bun().NewInsert().Model(&rows))
		}
		return Done{}, nil
	})
}

// FreeHours reads the actor's own free hours; others learn free or busy only
// (FreeAt).
func (s *Service) FreeHours(ctx context.Context, actor Actor) ([]FreeHour, error) {
	if actor.Person.IsZero() {
		return nil, fault.SignIn()
	}
	var rows []FreeHour
	err := s.db.R.NewSelect().Model(&rows).Where("person_id = ?", actor.Person).OrderExpr("weekday, parity, from_min").Scan(ctx)
	return rows, noRows(err)
}
