package workflow

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org/calendar"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// kindPerson is the x-ui kind of a field that names somebody by identifier.
const kindPerson = "person"

// askBarred finds who stands too close to a request to decide about it: people
// of the requesting unit where a step says not_same_unit, and those in one of
// the relations of policy.interest.
func askBarred(r *store.Reads, d *Definition, at place, now time.Time) func() map[string]map[string]flow.Code {
	interest := d.Flow.Policy.Interest
	apart := slices.ContainsFunc(d.Flow.Steps(), func(s *flow.Step) bool { return s.NotSameUnit }) || slices.Contains(interest, "same_unit")
	var units, hosts []string
	if apart {
		units = append(units, at.unit)
	}
	if slices.Contains(interest, "host") {
		hosts = at.form.texts(d.Form, "unit")
		units = append(units, hosts...)
	}
	if len(units) == 0 && !slices.Contains(interest, "named") {
		return func() map[string]map[string]flow.Code { return nil }
	}
	var members []member
	if len(units) > 0 {
		r.SQL(&members, `SELECT t.person_id AS person, unit.code AS unit FROM tenure AS t JOIN seat ON seat.id = t.seat_id JOIN unit ON unit.id = seat.unit_id
			WHERE unit.code IN (?) AND`+fmt.Sprintf(inForce, "t"), bun.List(units), now, now)
	}
	return func() map[string]map[string]flow.Code {
		out := map[string]map[string]flow.Code{}
		for _, step := range d.Flow.Steps() {
			codes := map[string]flow.Code{}
			for _, m := range members {
				switch own := m.Unit == at.unit; {
				case own && slices.Contains(interest, "same_unit"), slices.Contains(hosts, m.Unit):
					codes[m.Person.String()] = flow.Interested
				case own && step.NotSameUnit && codes[m.Person.String()] == "":
					codes[m.Person.String()] = flow.SameUnit
				}
			}
			if slices.Contains(interest, "named") {
				for _, p := range at.form.texts(d.Form, kindPerson) {
					if named, err := id.Parse("per", p); err == nil {
						codes[named.String()] = flow.Interested
					}
				}
			}
			out[step.Name] = codes
		}
		return out
	}
}

// member is somebody with a seat in a unit.
type member struct {
	Person id.ID
	Unit   string
}

// texts are the values of the top-level fields of a kind, lists opened.
func (f Filled) texts(form *Form, kind string) []string {
	var out []string
	add := func(v any) {
		if s, ok := v.(string); ok && s != "" {
			out = append(out, s)
		}
	}
	for _, fd := range form.Fields {
		v := f.values[fd.Name]
		if fd.Kind == kind {
			add(v)
		}
		if list, ok := v.([]any); ok && fd.Item != nil && fd.Item.Kind == kind {
			for _, x := range list {
				add(x)
			}
		}
	}
	return out
}

// askHeld says of those who were asked by name whether they still hold the
// seat under which they were.
func (t *thread) askHeld(r *store.Reads) func() map[string]bool {
	var named []flow.Elector
	var people []id.ID
	for _, x := range t.st.Tasks {
		byName := x.Origin == flow.ByTransfer || x.Within != ""
		if byName && (x.State == flow.TaskOpen || x.State == flow.TaskWaiting) {
			named, people = append(named, x.Elector), append(people, personID(x.Elector.Person))
		}
	}
	if len(named) == 0 {
		return func() map[string]bool { return nil }
	}
	var rows []PersonSeat
	askSeatsOf(r, &rows, people, t.now)
	return func() map[string]bool {
		out := map[string]bool{}
		for _, e := range named {
			out[e.Key()] = slices.Contains(rows, PersonSeat{personID(e.Person), e.Seat})
		}
		return out
	}
}

// askSeatsOf reads the seats that people hold now, sorted by name.
func askSeatsOf(r *store.Reads, rows *[]PersonSeat, people []id.ID, now time.Time) {
	r.SQL(rows, `SELECT t.person_id AS person, seat.name AS seat FROM tenure AS t JOIN seat ON seat.id = t.seat_id JOIN person ON person.id = t.person_id
		WHERE person.erased_at IS NULL AND t.person_id IN (?) AND`+fmt.Sprintf(inForce, "t")+`ORDER BY seat.name`, bun.List(people), now, now)
}

// closeOutDue says when the report on what is approved is due: so long after
// the date that the form names; zero where it names none.
func closeOutDue(d *Definition, f Filled, cal *calendar.Calendar) flow.Due {
	rule := d.Flow.CloseOut
	if rule == nil || cal == nil {
		return flow.Due{}
	}
	from, _, ok := f.date(rule.After, cal.Location())
	if !ok {
		return flow.Due{}
	}
	return dueOf(d, &flow.Step{Due: rule.Due, OnDue: flow.OnDue{Remind: []int{50, 90}}}, cal, from)
}

// expiresAt is the moment at which the request is of no use any more: the time
// that the form names, or the end of the day; zero where it names none.
func expiresAt(d *Definition, f Filled, cal *calendar.Calendar) time.Time {
	if d.Flow.Expires == "" || cal == nil {
		return time.Time{}
	}
	at, whole, ok := f.date(d.Flow.Expires, cal.Location())
	if ok && whole {
		at = at.AddDate(0, 0, 1)
	}
	return at.UTC()
}

// date reads a top-level date, or date and time, of the form; whole says that
// it is a whole day.
func (f Filled) date(pointer string, loc *time.Location) (at time.Time, whole, ok bool) {
	text, _ := f.values[strings.TrimPrefix(pointer, "/")].(string)
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, false, true
	}
	at, err := time.ParseInLocation(time.DateOnly, text, loc)
	return at, true, err == nil
}
