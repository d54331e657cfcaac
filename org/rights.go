package org

import (
	"context"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org/calendar"

	"github.com/uptrace/bun"
)

// Eraser deletes what another domain keeps about a person, within the
// transaction that erases the person. It may refuse with a domain rule, e.g.
// while a case of theirs is open.
type Eraser func(ctx context.Context, tx *store.Tx, person id.ID, at time.Time) error

// Exporter gives what another domain keeps about a person, ready for JSON.
type Exporter struct {
	Name string // the section's name, e.g. "repair"
	Of   func(ctx context.Context, q bun.IDB, person id.ID) (any, error)
}

// OnErase and OnExport add the other domains' parts, before the service is used.
func (s *Service) OnErase(e Eraser) { s.erasers = append(s.erasers, e) }

// OnExport adds a section to what Export gives.
func (s *Service) OnExport(e Exporter) { s.exporters = append(s.exporters, e) }

// ErasePerson erases a person's values everywhere, at the person's own wish or
// by the head of the office. What was done stays in history under a reference
// without a name. Who holds a seat gives it up first.
func (s *Service) ErasePerson(ctx context.Context, actor Actor, key string, person id.ID) (Done, error) {
	return do(ctx, s, actor, "erasePerson", key, person, func(ctx context.Context, c command) (Done, error) {
		if err := c.allow("org.person.erase", Object{Owner: person}, personRef(person), nil); err != nil {
			return Done{}, err
		}
		if _, err := c.person(ctx, person); err != nil {
			return Done{}, err
		}
		held, err := tenuresOf(ctx, c.tx, person, c.now)
		if err != nil {
			return Done{}, err
		}
		if len(held) > 0 {
			return Done{}, fault.Refuse("STILL_IN_OFFICE", "仍在岗位上：先结束任期，再删除个人信息", "the person still holds a seat: end the tenure first, then erase")
		}
		for _, e := range s.erasers {
			if err := e(ctx, c.tx, person, c.now); err != nil {
				return Done{}, err
			}
		}
		if err := erase(ctx, c.tx, person, c.now); err != nil {
			return Done{}, err
		}
		c.tx.QueueSQL(`UPDATE rights_request SET done_at = ?, done_by = ? WHERE subject = ? AND done_at IS NULL`, c.now, c.actor.Person, person)
		return Done{}, nil
	})
}

// erase deletes what org itself keeps.
func erase(ctx context.Context, tx *store.Tx, person id.ID, at time.Time) error {
	for _, stmt := range []string{
		`DELETE FROM contact WHERE person_id = ?`,
		`DELETE FROM skill WHERE person_id = ?`,
		`DELETE FROM free_hour WHERE person_id = ?`,
		`DELETE FROM absence WHERE person_id = ?`,
		`DELETE FROM portfolio WHERE person_id = ?`,
		`DELETE FROM liaison WHERE person_id = ?`,
	} {
		tx.QueueSQL(stmt, person)
	}
	tx.QueueSQL(`UPDATE delegation SET until_at = ? WHERE (from_person = ? OR to_person = ?) AND from_at < ? AND until_at > ?`, at, person, person, at, at)
	tx.QueueSQL(`DELETE FROM delegation WHERE (from_person = ? OR to_person = ?) AND from_at >= ?`, person, person, at)
	tx.QueueSQL(`UPDATE consent SET withdrawn_at = ? WHERE subject = ? AND withdrawn_at IS NULL`, at, person)
	tx.QueueSQL(`UPDATE person SET search = '', erased_at = ? WHERE id = ?`, at, person)
	return Erase(ctx, tx, person, at)
}

// Export is everything that is kept about a person.
type Export struct {
	Subject  id.ID          `json:"subject"`
	At       time.Time      `json:"at"`
	Sections map[string]any `json:"sections"`
}

// Export gives a person's data to that person and to the head of the office;
// somebody else's export is recorded.
func (s *Service) Export(ctx context.Context, actor Actor, person id.ID) (Export, error) {
	now := s.clock.Now()
	return store.InTx(ctx, s.db, store.Internal("org.export"), func(ctx context.Context, tx *store.Tx) (Export, error) {
		a, err := Judge(ctx, tx, actor, now)
		if err != nil {
			return Export{}, err
		}
		o := Object{Owner: person}
		if err := s.rules.Check(a, "org.person.export", o); err != nil {
			return Export{}, err
		}
		p, err := livePerson(ctx, tx, person)
		if err != nil {
			return Export{}, err
		}
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: s.rules.Under(a, "org.person.export", o), Action: "org.person.export", Object: personRef(person), At: now})
		out := Export{Subject: person, At: now, Sections: map[string]any{"person": p}}
		if err := exportOwn(ctx, tx, person, out.Sections); err != nil {
			return Export{}, err
		}
		for _, e := range s.exporters {
			if out.Sections[e.Name], err = e.Of(ctx, tx, person); err != nil {
				return Export{}, err
			}
		}
		return out, nil
	})
}

// exportOwn collects what org itself keeps.
func exportOwn(ctx context.Context, q bun.IDB, person id.ID, into map[string]any) error {
	values, err := PersonalOf(ctx, q, person)
	if err != nil {
		return err
	}
	into["values"] = values[person]
	if into["contacts"], err = Contacts(ctx, q, person); err != nil {
		return err
	}
	for name, stmt := range map[string]string{
		"tenures":     `SELECT seat.name AS seat, tenure.kind, tenure.from_at, tenure.until_at FROM tenure JOIN seat ON seat.id = tenure.seat_id WHERE tenure.person_id = ? ORDER BY tenure.from_at`,
		"skills":      `SELECT name, certificate, from_at, until_at FROM skill WHERE person_id = ? ORDER BY name`,
		"freeHours":   `SELECT weekday, parity, from_min, to_min FROM free_hour WHERE person_id = ? ORDER BY weekday, from_min`,
		"absences":    `SELECT from_at, until_at FROM absence WHERE person_id = ? ORDER BY from_at`,
		"consents":    `SELECT purpose, version, door, at, withdrawn_at FROM consent WHERE subject = ? ORDER BY at`,
		"requests":    `SELECT kind, door, asked_at, due_at, done_at FROM rights_request WHERE subject = ? ORDER BY asked_at`,
		"delegations": `SELECT seat.name AS seat, d.from_at, d.until_at FROM delegation AS d JOIN seat ON seat.id = d.seat_id WHERE d.from_person = ? ORDER BY d.from_at`,
		"portfolios":  `SELECT unit.code AS unit, p.from_at, p.until_at FROM portfolio AS p JOIN unit ON unit.id = p.unit_id WHERE p.person_id = ? ORDER BY unit.code`,
		"liaisons":    `SELECT unit.code AS unit, l.from_at, l.until_at FROM liaison AS l JOIN unit ON unit.id = l.unit_id WHERE l.person_id = ? ORDER BY unit.code`,
	} {
		rows := []map[string]any{}
		if err := noRows(q.NewRaw(stmt, person).Scan(ctx, &rows)); err != nil {
			return err
		}
		into[name] = rows
	}
	return nil
}

// RightsRequest is a person's wish to see, export, correct or erase what is
// kept. The office answers within 15 working days.
type RightsRequest struct {
	bun.BaseModel `bun:"table:rights_request"`

	ID      id.ID `bun:",pk"`
	Subject id.ID
	Kind    string // SEE, EXPORT, CORRECT, ERASE
	Door    string // where it was asked: console, link, paper
	AskedAt time.Time
	DueAt   time.Time
	DoneAt  time.Time `bun:",nullzero"`
	DoneBy  id.ID     `bun:",nullzero"`
}

// RightsDays is the office's time for an answer, in working days.
const RightsDays = 15

// AskRight records the wish of a subject with the transaction of the door that
// knows who asks: an account about itself, or the holder of a link about the
// subject behind it. The same wish twice is one.
func AskRight(ctx context.Context, tx *store.Tx, subject id.ID, kind, door string, loc *time.Location, at time.Time) (id.ID, error) {
	switch kind {
	case "SEE", "EXPORT", "CORRECT", "ERASE":
	default:
		return id.Nil, fault.Input("kind", "种类应为 SEE、EXPORT、CORRECT 或 ERASE", "the kind must be SEE, EXPORT, CORRECT or ERASE")
	}
	var open id.ID
	err := tx.NewRaw(`SELECT id FROM rights_request WHERE subject = ? AND kind = ? AND done_at IS NULL`, subject, kind).Scan(ctx, &open)
	if err == nil || !store.NoRows(err) {
		return open, err
	}
	cal, err := calendar.Load(ctx, tx, loc)
	if err != nil {
		return id.Nil, err
	}
	r := RightsRequest{ID: id.New(), Subject: subject, Kind: kind, Door: door, AskedAt: at, DueAt: cal.AddWorkingDays(at, RightsDays).UTC()}
	tx.Queue(tx.DB.Bun().NewInsert().Model(&r))
	audit.Record(tx, audit.Entry{Actor: subject, Action: "org.rights.ask", Object: personRef(subject), Data: map[string]any{"kind": kind, "due": r.DueAt}, At: at})
	return r.ID, nil
}

// RightsOutcome names the request.
type RightsOutcome struct{ Request id.ID }

// AskRight is AskRight for an account about itself.
func (s *Service) AskRight(ctx context.Context, actor Actor, key, kind string) (RightsOutcome, error) {
	return do(ctx, s, actor, "askRight", key, kind, func(ctx context.Context, c command) (RightsOutcome, error) {
		if c.actor.Person.IsZero() {
			return RightsOutcome{}, fault.SignIn()
		}
		out, err := AskRight(ctx, c.tx, c.actor.Person, kind, "console", s.loc, c.now)
		return RightsOutcome{out}, err
	})
}

// RightsRequests lists the open wishes, the most urgent first, for the office.
func (s *Service) RightsRequests(ctx context.Context, actor Actor) ([]RightsRequest, error) {
	a, err := Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return nil, err
	}
	if err := s.rules.Check(a, "org.person.rights", Object{}); err != nil {
		return nil, err
	}
	var rows []RightsRequest
	err = s.db.R.NewSelect().Model(&rows).Where("done_at IS NULL").OrderExpr("due_at, id").Limit(500).Scan(ctx)
	return rows, noRows(err)
}

// AnswerRight marks a wish as answered by the office; erasing a person answers
// all of theirs.
func (s *Service) AnswerRight(ctx context.Context, actor Actor, key string, request id.ID) (Done, error) {
	return do(ctx, s, actor, "answerRight", key, request, func(ctx context.Context, c command) (Done, error) {
		if err := s.rules.Check(c.actor, "org.person.rights", Object{}); err != nil {
			return Done{}, err
		}
		var r RightsRequest
		err := c.tx.NewSelect().Model(&r).Where("id = ?", request).Where("done_at IS NULL").Scan(ctx)
		if store.NoRows(err) {
			return Done{}, fault.Missing()
		}
		if err != nil {
			return Done{}, err
		}
		c.tx.QueueSQL(`UPDATE rights_request SET done_at = ?, done_by = ? WHERE id = ?`, c.now, c.actor.Person, request)
		audit.Record(c.tx, audit.Entry{Actor: c.actor.Person, Seat: s.rules.Under(c.actor, "org.person.rights", Object{}), Action: "org.rights.answer",
			Object: personRef(r.Subject), Data: map[string]any{"kind": r.Kind}, At: c.now})
		return Done{}, nil
	})
}
