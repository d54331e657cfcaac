package repair

import (
	"context"
	"slices"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// Line is one line of the timeline.
type Line struct {
	At       time.Time
	Actor    string // who did it, "" = the reporter or the system
	Action   Action
	From, To State
	Reason   string
	Note     string // "" = none, or erased
	Public   bool
	Amount   *int64 // fen
}

// Timeline reads what happened to the ticket, oldest first. Notes are for those
// who work on it.
func (s *Service) Timeline(ctx context.Context, actor org.Actor, ticket id.ID) ([]Line, error) {
	t, actor, err := s.visible(ctx, actor, ticket)
	if err != nil {
		return nil, err
	}
	values, err := org.PersonalOf(ctx, s.db.R, t.ID)
	if err != nil {
		return nil, err
	}
	roles := rolesOf(actor, t)
	own := values[t.ID]
	if len(roles) == 0 {
		own = nil
	}
	return s.lines(ctx, t, own, !slices.Equal(roles, []Role{Reporter}))
}

// lines reads the timeline; all says that internal notes are shown too.
func (s *Service) lines(ctx context.Context, t *Ticket, values map[string]string, all bool) ([]Line, error) {
	var entries []Entry
	err := s.db.R.NewSelect().Model(&entries).Where("ticket = ?", t.ID).OrderExpr("at, id").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	var people []id.ID
	for _, e := range entries {
		if !e.Actor.IsZero() {
			people = append(people, e.Actor)
		}
	}
	names, err := org.Names(ctx, s.db.R, people...)
	if err != nil {
		return nil, err
	}
	var out []Line
	for _, e := range entries {
		if !all && e.FromState == e.ToState && !e.Public && e.Reason == "" {
			continue
		}
		l := Line{At: e.At, Actor: names[e.Actor], Action: e.Action, From: e.FromState, To: e.ToState, Reason: e.Reason, Public: e.Public}
		if all || e.Public {
			l.Note = values[noteField(e.ID)]
		}
		if all {
			l.Amount = e.Amount
		} else {
			l.Actor = org.Mask(l.Actor)
		}
		out = append(out, l)
	}
	return out, nil
}

// Asked is one assignment of a ticket.
type Asked struct {
	ID         id.ID
	Person     id.ID
	Name       string
	State      dispatch.State
	How        dispatch.How
	Why        Words
	OfferedAt  time.Time
	Deadline   time.Time
	AnsweredAt time.Time
	EndedAt    time.Time
}

// Assignments reads who was asked for the ticket, oldest first, and why. The
// reporter does not see it.
func (s *Service) Assignments(ctx context.Context, actor org.Actor, ticket id.ID) ([]Asked, error) {
	t, actor, err := s.visible(ctx, actor, ticket)
	if err != nil {
		return nil, err
	}
	if slices.Equal(rolesOf(actor, t), []Role{Reporter}) {
		return nil, nil
	}
	rows, err := dispatch.History(ctx, s.db.R, "repair", t.ID)
	if err != nil {
		return nil, err
	}
	return s.asked(ctx, rows)
}

func (s *Service) visible(ctx context.Context, actor org.Actor, ticket id.ID) (*Ticket, org.Actor, error) {
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return nil, actor, err
	}
	t := &Ticket{}
	err = s.db.R.NewSelect().Model(t).Where("id = ?", ticket).Scan(ctx)
	if store.NoRows(err) || err == nil && !s.rules.Can(actor, "repair.read", t.object()) {
		return nil, actor, fault.Missing()
	}
	return t, actor, store.Busy(err)
}

// Reach is how the reporter can be reached.
type Reach struct {
	Name, Number, College, Building, Room string
	Contact                               Contact
}

// ContactOf shows the reporter's contact to the technician who has the ticket,
// while it is open. Each look is recorded with the address it came from.
func (s *Service) ContactOf(ctx context.Context, actor org.Actor, ticket id.ID) (Reach, error) {
	now := s.clock.Now()
	return store.InTx(ctx, s.db, store.Internal("repair.contact"), func(ctx context.Context, tx *store.Tx) (Reach, error) {
		a, err := s.begin(ctx, tx, actor, ticket, now)
		if err != nil {
			return Reach{}, err
		}
		if err := s.rules.Check(a.actor, "repair.contact", a.t.object()); err != nil {
			return Reach{}, err
		}
		values, err := org.PersonalOf(ctx, tx, ticket)
		if err != nil {
			return Reach{}, err
		}
		audit.Record(tx, audit.Entry{Actor: a.actor.Person, Seat: a.seat("contact"), Action: "repair.contact", Object: a.t.Ref(), Data: map[string]string{"from": a.actor.Address}, At: now})
		v := values[ticket]
		return Reach{v[fieldName], v[fieldNumber], v[fieldCollege], v[fieldBuilding], v[fieldRoom], contactOf(v)}, nil
	})
}
