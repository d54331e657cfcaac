package org

import (
	"context"
	"slices"
	"time"

	"kelian/internal/id"
	"kelian/org/calendar"

	"github.com/uptrace/bun"
)

// Calendar is the university's calendar (package org/calendar).
type Calendar = calendar.Calendar

// Skill is something a person can do; a certificate is one that was examined.
type Skill struct {
	bun.BaseModel `bun:"table:skill"`

	Person      id.ID     `bun:"person_id,pk"`
	Name        string    `bun:",pk"`
	Certificate bool      `bun:",pk"`
	From        time.Time `bun:"from_at"`
	Until       time.Time `bun:"until_at,nullzero"`
}

// FreeHour is a time without class, every week or in odd or even teaching
// weeks, in the federation's local time.
type FreeHour struct {
	bun.BaseModel `bun:"table:free_hour"`

	Person  id.ID  `bun:"person_id,pk"`
	Weekday int    `bun:",pk"` // 1 = Monday … 7 = Sunday
	Parity  string `bun:",pk"` // all, odd, even
	FromMin int    `bun:",pk"` // minutes after midnight, inclusive
	ToMin   int    // exclusive, at most 1440
}

// Candidate is somebody to whom a task may be given.
type Candidate struct {
	Person       id.ID
	Seats        []string // those of the asked ones that the person holds
	Skills       []string
	Certificates []string
	Free         bool // no class now, as far as is known
	Absent       bool
}

// Candidates gives the holders of any of the seats at time now, one row a
// person, sorted by person, with the skills that are valid now. Free is by the
// free hours in zone loc; who has told none counts as free, and so does
// everybody outside of terms, when there are no classes.
func Candidates(ctx context.Context, q bun.IDB, now time.Time, loc *time.Location, seats []string) ([]Candidate, error) {
	if len(seats) == 0 {
		return nil, nil
	}
	var rows []Holder
	err := q.NewRaw(`SELECT tenure.person_id AS person, seat.name AS seat FROM tenure
		JOIN seat ON seat.id = tenure.seat_id JOIN person ON person.id = tenure.person_id
		WHERE seat.name IN (?) AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?) AND person.erased_at IS NULL
		ORDER BY tenure.person_id, seat.name`, bun.List(seats), now, now).Scan(ctx, &rows)
	if err := noRows(err); err != nil || len(rows) == 0 {
		return nil, err
	}
	var out []Candidate
	var people []id.ID
	for _, r := range rows {
		if n := len(out); n == 0 || out[n-1].Person != r.Person {
			out = append(out, Candidate{Person: r.Person})
			people = append(people, r.Person)
		}
		last := &out[len(out)-1]
		last.Seats = append(last.Seats, r.Seat)
	}
	skills, err := skillsOf(ctx, q, people, now)
	if err != nil {
		return nil, err
	}
	absent, err := absentOf(ctx, q, people, now)
	if err != nil {
		return nil, err
	}
	free, err := FreeAt(ctx, q, people, now, loc)
	if err != nil {
		return nil, err
	}
	for i := range out {
		c := &out[i]
		for _, s := range skills[c.Person] {
			if s.Certificate {
				c.Certificates = append(c.Certificates, s.Name)
			} else {
				c.Skills = append(c.Skills, s.Name)
			}
		}
		c.Free, c.Absent = free[c.Person], slices.Contains(absent, c.Person)
	}
	return out, nil
}

// FreeAt says of each person whether the free hours leave them free at time t.
func FreeAt(ctx context.Context, q bun.IDB, people []id.ID, t time.Time, loc *time.Location) (map[id.ID]bool, error) {
	out := make(map[id.ID]bool, len(people))
	if len(people) == 0 {
		return out, nil
	}
	cal, err := calendar.Load(ctx, q, loc)
	if err != nil {
		return nil, err
	}
	var hours []FreeHour
	err = q.NewSelect().Model(&hours).Where("person_id IN (?)", bun.List(people)).Scan(ctx)
	if err := noRows(err); err != nil {
		return nil, err
	}
	told := map[id.ID][]FreeHour{}
	for _, h := range hours {
		told[h.Person] = append(told[h.Person], h)
	}
	for _, p := range people {
		out[p] = freeAt(told[p], t, cal)
	}
	return out, nil
}

// freeAt is the rule for one person. Before the university has told its terms
// the parity of the week is unknown, and hours of either parity count.
func freeAt(hours []FreeHour, t time.Time, cal *Calendar) bool {
	if len(hours) == 0 {
		return true
	}
	week := cal.TeachingWeek(t)
	if week == 0 && cal.HasTerms() {
		return true
	}
	local := t.In(cal.Location())
	day := (int(local.Weekday())+6)%7 + 1
	minute := local.Hour()*60 + local.Minute()
	for _, h := range hours {
		parity := h.Parity == "all" || week == 0 || (h.Parity == "odd") == (week%2 == 1)
		if h.Weekday == day && parity && h.FromMin <= minute && minute < h.ToMin {
			return true
		}
	}
	return false
}

func skillsOf(ctx context.Context, q bun.IDB, people []id.ID, now time.Time) (map[id.ID][]Skill, error) {
	var rows []Skill
	err := q.NewSelect().Model(&rows).Where("person_id IN (?)", bun.List(people)).
		Where("from_at <= ?", now).Where("until_at IS NULL OR until_at > ?", now).OrderExpr("person_id, name").Scan(ctx)
	out := map[id.ID][]Skill{}
	for _, r := range rows {
		out[r.Person] = append(out[r.Person], r)
	}
	return out, noRows(err)
}

func absentOf(ctx context.Context, q bun.IDB, people []id.ID, now time.Time) ([]id.ID, error) {
	var rows []id.ID
	err := q.NewRaw(`SELECT DISTINCT person_id FROM absence WHERE person_id IN (?) AND from_at <= ? AND until_at > ?`,
		bun.List(people), now, now).Scan(ctx, &rows)
	return rows, noRows(err)
}
