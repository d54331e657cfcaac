package workflow

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/workflow/flow"
)

// outsideUnit is the unit whose heads are the outside party of that name.
const outsideUnit = "outside."

// place is where a request stands, which seat expressions may refer to.
type place struct {
	unit      string
	requester string
	form      Filled
}

// found is what the directory says at one moment, by the source of the seat
// expression.
type found map[string][]flow.Elector

// askSeats resolves seat expressions in one statement, however many there are:
// who holds each seat now, and to whom those delegated it. own is a seat by
// name that is resolved beside them, "" = none. A seat its holder delegated is
// answered by the delegate on the holder's behalf, unless the delegate is the
// requester.
func askSeats(r *store.Reads, exprs map[string]SeatExpr, own string, at place, now time.Time) func() found {
	sources := slices.Sorted(maps.Keys(exprs))
	b := &asks{at: at}
	for k, src := range sources {
		b.seat(k, exprs[src])
	}
	if own != "" {
		b.named(len(sources), own)
	}
	var rows []answer
	if len(b.seats)+len(b.units) > 0 {
		query, args := b.query(now)
		r.SQL(&rows, query, args...)
	}
	return func() found { return seatsFound(rows, sources, own, at.requester) }
}

func seatsFound(rows []answer, sources []string, own, requester string) found {
	out := found{}
	for _, src := range sources {
		out[src] = []flow.Elector{}
	}
	depth := map[int]int{}
	for _, r := range rows {
		if best, seen := depth[r.K]; !seen || r.Depth < best {
			depth[r.K] = r.Depth
		}
	}
	for _, r := range rows {
		src := ownPrefix + own
		if r.K < len(sources) {
			src = sources[r.K]
		}
		if r.Depth == depth[r.K] {
			out[src] = r.join(out[src], requester)
		}
	}
	return out
}

// ownPrefix keeps the seat asked for by name apart from expressions.
const ownPrefix = "="

// holds says whether the elector's seat is still theirs, or still delegated to
// them.
func (f found) holds(e flow.Elector) bool {
	return slices.ContainsFunc(f[ownPrefix+e.Seat], func(x flow.Elector) bool {
		return x.Person == e.Person && (e.For == "" || x.For == e.For) || x.For == e.Person && e.For == ""
	})
}

// answer is a holder of the k-th expression's seat, with one delegate if any.
// Depth counts how far above the unit a portfolio was found.
type answer struct {
	K        int
	Depth    int
	Person   id.ID
	Seat     string
	Delegate id.ID
}

// join adds the holder or the delegate; of several delegates the first by
// identifier answers, so that one seat has one voice.
func (a answer) join(list []flow.Elector, requester string) []flow.Elector {
	e := flow.Elector{Person: a.Person.String(), Seat: a.Seat}
	for _, x := range list {
		if x.Seat == a.Seat && (x.For == e.Person || x.Person == e.Person && x.For == "") {
			return list
		}
	}
	if d := a.Delegate.String(); !a.Delegate.IsZero() && d != requester {
		e = flow.Elector{Person: d, Seat: a.Seat, For: e.Person}
	}
	return append(list, e)
}

// asks builds the statement.
type asks struct {
	at    place
	seats []string // SELECTs of (k, seat id)
	units []string // SELECTs of (k, unit id)
	sArgs []any
	uArgs []any
}

func (b *asks) seat(k int, e SeatExpr) {
	if e.Kind == SeatOutside {
		b.named(k, outsideUnit+e.Role+"."+string(org.Head))
		return
	}
	if e.Unit.Kind == UnitEach {
		b.each(k, e)
		return
	}
	code, colleges := b.unit(e.Unit)
	if code == "" {
		return
	}
	if e.Kind == SeatRole && colleges == 0 {
		b.named(k, code+"."+e.Role)
		return
	}
	if e.Kind == SeatVice {
		b.units = append(b.units, fmt.Sprintf(`SELECT %d AS k, u.id AS id, u.parent AS parent, 0 AS depth FROM %s`, k, unitFrom(colleges)))
		b.uArgs = append(b.uArgs, code)
		return
	}
	b.seats = append(b.seats, fmt.Sprintf(`SELECT %d AS k, seat.id AS id FROM %s JOIN seat ON seat.unit_id = u.id AND seat.role = ?`, k, unitFrom(colleges)))
	// The role stands behind the unit's code in the text.
	b.sArgs = append(b.sArgs, code, e.Role)
}

// each asks the same seat of many units.
func (b *asks) each(k int, e SeatExpr) {
	if e.Unit.Code != "" {
		b.seats = append(b.seats, fmt.Sprintf(`SELECT %d AS k, seat.id AS id FROM unit AS u JOIN seat ON seat.unit_id = u.id WHERE u.kind = ? AND seat.role = ?`, k))
		b.sArgs = append(b.sArgs, e.Unit.Code, e.Role)
		return
	}
	codes, _ := b.at.form.values[strings.TrimPrefix(e.Unit.Field, "/")].([]any)
	for _, c := range codes {
		if code, ok := c.(string); ok {
			b.named(k, code+"."+e.Role)
		}
	}
}

func (b *asks) named(k int, seat string) {
	b.seats = append(b.seats, fmt.Sprintf(`SELECT %d AS k, seat.id AS id FROM seat WHERE seat.name = ?`, k))
	b.sArgs = append(b.sArgs, seat)
}

// unit gives the code that an expression starts from and how often the college
// in charge is taken of it; "" when the form names none.
func (b *asks) unit(e UnitExpr) (code string, colleges int) {
	switch e.Kind {
	case UnitFixed:
		return e.Code, 0
	case UnitRequest:
		return b.at.unit, 0
	case UnitField:
		v, _ := b.at.form.values[strings.TrimPrefix(e.Field, "/")].(string)
		return v, 0
	case UnitCollege:
		code, colleges = b.unit(*e.Of)
		return code, colleges + 1
	}
	return "", 0
}

// unitFrom is the FROM of a unit by code as u, after so many steps to the
// college in charge; a college is in charge of itself. It has one argument,
// the code.
func unitFrom(colleges int) string {
	from := "(SELECT * FROM unit WHERE code = ?) AS u"
	for range colleges {
		from = "(SELECT c.* FROM " + from + " JOIN unit AS c ON c.code = CASE WHEN u.kind = 'COLLEGE_DEPARTMENT' THEN u.code ELSE u.college END) AS u"
	}
	return from
}

const inForce = ` %[1]s.from_at <= ? AND (%[1]s.until_at IS NULL OR %[1]s.until_at > ?) `

func (b *asks) query(now time.Time) (string, []any) {
	var sql strings.Builder
	var args []any
	with := []string{}
	if len(b.seats) > 0 {
		with = append(with, `want (k, id) AS (`+strings.Join(b.seats, ` UNION ALL `)+`)`)
		args = append(args, b.sArgs...)
	}
	if len(b.units) > 0 {
		with = append(with, `below (k, id, parent, depth) AS (`+strings.Join(b.units, ` UNION ALL `)+`)`,
			`up (k, id, parent, depth) AS (SELECT k, id, parent, depth FROM below UNION ALL
			SELECT up.k, unit.id, unit.parent, up.depth + 1 FROM unit JOIN up ON unit.id = up.parent WHERE up.depth < 10)`)
		args = append(args, b.uArgs...)
	}
	sql.WriteString(`WITH RECURSIVE ` + strings.Join(with, `, `))
	tenure, portfolio := fmt.Sprintf(inForce, "t"), fmt.Sprintf(inForce, "p")
	const delegates = ` LEFT JOIN delegation AS d ON d.seat_id = t.seat_id AND d.from_person = t.person_id AND d.from_at <= ? AND d.until_at > ?
		AND NOT EXISTS (SELECT 1 FROM person AS gone WHERE gone.id = d.to_person AND gone.erased_at IS NOT NULL)`
	var parts []string
	if len(b.seats) > 0 {
		parts = append(parts, ` SELECT want.k AS k, 0 AS depth, t.person_id AS person, seat.name AS seat, d.to_person AS delegate
			FROM want JOIN seat ON seat.id = want.id JOIN tenure AS t ON t.seat_id = seat.id JOIN person ON person.id = t.person_id`+delegates+`
			WHERE person.erased_at IS NULL AND`+tenure)
		args = append(args, now, now, now, now)
	}
	if len(b.units) > 0 {
		parts = append(parts, ` SELECT up.k AS k, up.depth AS depth, p.person_id AS person, seat.name AS seat, d.to_person AS delegate
			FROM up JOIN portfolio AS p ON p.unit_id = up.id JOIN seat ON seat.id = p.seat_id AND seat.role = 'vice'
			JOIN tenure AS t ON t.seat_id = p.seat_id AND t.person_id = p.person_id JOIN person ON person.id = p.person_id`+delegates+`
			WHERE person.erased_at IS NULL AND`+portfolio+`AND`+tenure)
		args = append(args, now, now, now, now, now, now)
	}
	sql.WriteString(strings.Join(parts, ` UNION ALL`) + ` ORDER BY 1, 2, 3, 4, 5`)
	return sql.String(), args
}
