package org

import (
	"context"
	"slices"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
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
	r := store.NewReads(q)
	found := AskCandidates(r, now, loc, seats)
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	return found()
}

// HoldersSQL selects the persons that hold one of the seats at a time; its
// arguments are the list of seats, the time and the time again.
const HoldersSQL = `SELECT tenure.person_id FROM tenure JOIN seat ON seat.id = tenure.seat_id JOIN person ON person.id = tenure.person_id
	WHERE seat.name IN (?) AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?) AND person.erased_at IS NULL`

// AskCandidates is Candidates beside other reads; it answers once they have
// run.
func AskCandidates(r *store.Reads, now time.Time, loc *time.Location, seats []string) func() ([]Candidate, error) {
	if len(seats) == 0 {
		return func() ([]Candidate, error) { return nil, nil }
	}
	var holders []Holder
	var skills []Skill
	var absent []id.ID
	var hours []FreeHour
	of := bun.List(seats)
	r.SQL(&holders, `SELECT tenure.person_id AS person, seat.name AS seat FROM tenure
		JOIN seat ON seat.id = tenure.seat_id JOIN person ON person.id = tenure.person_id
		WHERE seat.name IN (?) AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?) AND person.erased_at IS NULL
		ORDER BY tenure.person_id, seat.name`, of, now, now)
	r.SQL(&skills, `SELECT person_id, name, certificate, from_at, until_at FROM skill WHERE person_id IN (`+HoldersSQL+`)
		AND from_at <= ? AND (until_at IS NULL OR until_at > ?) ORDER BY person_id, name`, of, now, now, now, now)
	r.SQL(&absent, `SELECT DISTINCT person_id FROM absence WHERE person_id IN (`+HoldersSQL+`) AND from_at <= ? AND until_at > ?`, of, now, now, now, now)
	r.SQL(&hours, `SELECT person_id, weekday, parity, from_min, to_min FROM free_hour WHERE person_id IN (`+HoldersSQL+`)`, of, now, now)
	known := calendar.Ask(r, loc)
	return func() ([]Candidate, error) {
		cal, err := known()
		if err != nil {
			return nil, err
		}
		told := byPerson(hours)
		return candidates(holders, skills, absent, func(p id.ID) bool { return freeAt(told[p], now, cal) }), nil
	}
}

// candidates puts together what is known of the holders, who are sorted by
// person.
func candidates(holders []Holder, skills []Skill, absent []id.ID, free func(person id.ID) bool) []Candidate {
	var out []Candidate
	for _, h := range holders {
		if n := len(out); n == 0 || out[n-1].Person != h.Person {
			out = append(out, Candidate{Person: h.Person, Free: free(h.Person), Absent: slices.Contains(absent, h.Person)})
		}
		last := &out[len(out)-1]
		last.Seats = append(last.Seats, h.Seat)
	}
	for _, s := range skills {
		i := slices.IndexFunc(out, func(c Candidate) bool { return c.Person == s.Person })
		if i < 0 {
			continue
		}
		if c := &out[i]; s.Certificate {
			c.Certificates = append(c.Certificates, s.Name)
		} else {
			c.Skills = append(c.Skills, s.Name)
		}
	}
	return out
}

// FreeAt says of each person whether the free hours leave them free at time t.
func FreeAt(ctx context.Context, q bun.IDB, people []id.ID, t time.Time, loc *time.Location) (map[id.ID]bool, error) {
	out := make(map[id.ID]bool, len(people))
	if len(people) == 0 {
		return out, nil
	}
	r := store.NewReads(q)
	known := calendar.Ask(r, loc)
	var hours []FreeHour
	r.SQL(&hours, `SELECT person_id, weekday, parity, from_min, to_min FROM free_hour WHERE person_id IN (?)`, bun.List(people))
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	cal, err := known()
	if err != nil {
		return nil, err
	}
	told := byPerson(hours)
	for _, p := range people {
		out[p] = freeAt(told[p], t, cal)
	}
	return out, nil
}

func byPerson(hours []FreeHour) map[id.ID][]FreeHour {
	told := map[id.ID][]FreeHour{}
	for _, h := range hours {
		told[h.Person] = append(told[h.Person], h)
	}
	return told
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
