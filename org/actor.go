package org

import (
	"context"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Actor is who acts: a person with the seats held now, a stranger, or the
// system. A service never believes the seats that a door brought; it calls
// Judge inside its transaction.
type Actor struct {
	Person  id.ID      // zero for strangers and the system
	Seats   []HeldSeat // held at the time of the last Judge
	Acting  string     // the seat under which the person acts, "" = the one the rule needs
	Scopes  []string   // of an API token; nil = all
	Lang    string     // zh or en
	System  bool
	Address string // client address, for throttling and the audit of looks
}

// HeldSeat is a seat that the actor holds, or holds for somebody.
type HeldSeat struct {
	Seat string // e.g. technical.head
	Unit string // e.g. technical
	Role Role
	Kind TenureKind
	For  id.ID `bun:"for_person"` // the person who delegated the seat, zero = held oneself
}

// System acts for timers and handlers.
func System() Actor { return Actor{System: true, Lang: "zh"} }

// Stranger is somebody without an account.
func Stranger(lang, address string) Actor { return Actor{Lang: lang, Address: address} }

// Anonymous says that nobody is signed in.
func (a Actor) Anonymous() bool { return !a.System && a.Person.IsZero() }

// Holds says whether the actor holds the seat now.
func (a Actor) Holds(seat string) bool {
	for _, s := range a.Seats {
		if s.Seat == seat {
			return true
		}
	}
	return false
}

// In says whether the actor holds a seat in the unit or in a part of it; the
// parts of a unit have codes that begin with its code and a dot.
func (a Actor) In(unit string) bool {
	for _, s := range a.Seats {
		if s.Unit == unit || strings.HasPrefix(s.Unit, unit+".") {
			return true
		}
	}
	return false
}

// Scope says whether an API token's scopes allow the area ("repair:read").
func (a Actor) Scope(name string) bool {
	if a.Scopes == nil {
		return true
	}
	area, _, _ := strings.Cut(name, ":")
	for _, s := range a.Scopes {
		if s == name || s == area || s == "all" {
			return true
		}
	}
	return false
}

// heldSQL gives the seats that a person holds, then those that present holders
// delegated to the person (as ACTING). Its arguments are person, now, now and,
// for the delegations, person, now, now, now, now.
const heldSQL = `SELECT seat.name AS seat, unit.code AS unit, seat.role AS role, tenure.kind AS kind, NULL AS for_person
	FROM tenure JOIN seat ON seat.id = tenure.seat_id JOIN unit ON unit.id = seat.unit_id JOIN person ON person.id = tenure.person_id
	WHERE tenure.person_id = ? AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?) AND person.erased_at IS NULL
	UNION ALL
	SELECT seat.name, unit.code, seat.role, 'ACTING', d.from_person
	FROM delegation AS d JOIN seat ON seat.id = d.seat_id JOIN unit ON unit.id = seat.unit_id JOIN person ON person.id = d.to_person
	JOIN tenure ON tenure.seat_id = d.seat_id AND tenure.person_id = d.from_person
	WHERE d.to_person = ? AND d.from_at <= ? AND d.until_at > ? AND tenure.from_at <= ? AND (tenure.until_at IS NULL OR tenure.until_at > ?) AND person.erased_at IS NULL
	ORDER BY 1, 5`

// Judge reads the actor's seats anew at time now, in the transaction that
// decides, so that a tenure that ended a moment ago decides nothing. A seat
// that its holder delegated counts for as long as both last; an erased person
// has none.
func Judge(ctx context.Context, q bun.IDB, a Actor, now time.Time) (Actor, error) {
	r := store.NewReads(q)
	judged := AskJudge(r, a, now)
	if err := r.Run(ctx); err != nil {
		return a, err
	}
	return judged()
}

var heldHot = store.NewHot("org.held", heldSQL)

type seatsKey struct{}

// WithSeats carries the seats that a door has just read with the caller's
// session, so that the reads of that one query judge by them and need not read
// them anew. A request that changes something does without it, and so does what
// lasts, a stream: its seats are those of another moment.
func WithSeats(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, seatsKey{}, a)
}

// JudgeNow is Judge outside of a transaction, for reads; see WithSeats.
func JudgeNow(ctx context.Context, db *store.DB, a Actor, now time.Time) (Actor, error) {
	if a.System || a.Person.IsZero() {
		return a, nil
	}
	if read, ok := ctx.Value(seatsKey{}).(Actor); ok && read.Person == a.Person {
		return a.holding(read.Seats)
	}
	var rows []HeldSeat
	at, person := store.Stamp(now), a.Person.String()
	if err := heldHot.Scan(ctx, db, &rows, person, at, at, person, at, at, at, at); err != nil {
		return a, err
	}
	return a.holding(rows)
}

// AskJudge is Judge beside other reads; it answers once they have run.
func AskJudge(r *store.Reads, a Actor, now time.Time) func() (Actor, error) {
	if a.System || a.Person.IsZero() {
		return func() (Actor, error) { return a, nil }
	}
	var rows []HeldSeat
	r.SQL(&rows, heldSQL, a.Person, now, now, a.Person, now, now, now, now)
	return func() (Actor, error) { return a.holding(rows) }
}

// holding is the actor with these seats and no others.
func (a Actor) holding(seats []HeldSeat) (Actor, error) {
	a.Seats = seats
	if a.Acting != "" && !a.Holds(a.Acting) {
		seat := SeatTitle(a.Acting)
		return a, fault.Deny("seat.held", "现任"+seat.Zh, "the present "+seat.En)
	}
	return a, nil
}
