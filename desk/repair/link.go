package repair

import (
	"context"
	"slices"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
)

// LinkInput is what the holder of a ticket's link does.
type LinkInput struct {
	Token          string
	Note           string // at most 2,000 characters; needed for ActNote
	IdempotencyKey string
}

// DoByLink runs one of the reporter's actions by the ticket's link: cancel,
// resume, close, reopen or note.
func (s *Service) DoByLink(ctx context.Context, actor org.Actor, action Action, in LinkInput) (Outcome, error) {
	run, ok := plain[action]
	if action == ActNote {
		run, ok = (*act).noteByLink, true
		if err := checkText("note", in.Note, 1, 2000); err != nil {
			return Outcome{}, err
		}
	}
	if !ok || !slices.ContainsFunc(Machine, func(m Move) bool { return m.Action == action && slices.Contains(m.Roles, Reporter) }) {
		return Outcome{}, fault.Input("action", "链接不能做这件事", "this cannot be done by the link")
	}
	return s.byLink(ctx, actor, string(action), in.Token, in.IdempotencyKey, in, func(a *act) error {
		to, ok := Next(action, a.t.State, a.roles)
		if !ok {
			return wrongState(a.t)
		}
		if err := a.say(in.Note); err != nil {
			return err
		}
		a.public = true // the reporter's own words
		return run(a, to)
	})
}

func (a *act) noteByLink(State) error {
	a.enter(ActNote, a.t.State)
	return nil
}

// EraseByLink forgets the reporter: values, contact and the link itself.
func (s *Service) EraseByLink(ctx context.Context, actor org.Actor, token, key string) (Outcome, error) {
	return s.byLink(ctx, actor, "erase", token, key, token, (*act).erase)
}

// byLink is the frame of the reporter's actions: the link makes the reporter.
func (s *Service) byLink(ctx context.Context, actor org.Actor, name, token, key string, in any, fn func(a *act) error) (Outcome, error) {
	now := s.clock.Now()
	hash := linkHash(token)
	return store.InTx(ctx, s.db, store.FromClient(s.db, actor.Person, "repairLink."+name, key, in), func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		t := &Ticket{}
		err := tx.NewRaw(`SELECT * FROM ticket WHERE link_hash = ? ?`, hash, tx.DB.Lock(false)).Scan(ctx, t)
		if store.NoRows(err) {
			return Outcome{}, fault.Missing()
		}
		if err != nil {
			return Outcome{}, err
		}
		// Whoever holds the link acts as the reporter and as nobody else.
		a := &act{ctx: ctx, tx: tx, s: s, now: now, actor: org.Stranger(actor.Lang, actor.Address), roles: []Role{Reporter}, t: t}
		if err := fn(a); err != nil {
			return Outcome{}, err
		}
		return a.save(), nil
	})
}

// SendLink sends a ticket's link again to the contact that stands at it. The
// answer is the same whether there is such a ticket or not; it counts as one of
// the contact's submissions of the day.
func (s *Service) SendLink(ctx context.Context, actor org.Actor, number string, contact Contact) error {
	_, canonical, err := contact.check()
	if err != nil {
		return err
	}
	now := s.clock.Now()
	_, err = store.InTx(ctx, s.db, store.Internal("sendRepairLink"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		hash := s.hash("contact", canonical)
		var sent int
		if err := tx.NewRaw(countSubmission+` RETURNING sent`, hash, s.day(now)).Scan(ctx, &sent); err != nil || sent > MaxDaily {
			return struct{}{}, err
		}
		t := &Ticket{}
		err := tx.NewSelect().Model(t).Where("number = ?", number).Where("contact = ?", hash).Scan(ctx)
		if store.NoRows(err) {
			return struct{}{}, nil
		}
		if err != nil {
			return struct{}{}, err
		}
		a := &act{ctx: ctx, tx: tx, s: s, now: now, actor: actor, t: t}
		a.tellReporter("repair.received")
		return struct{}{}, nil
	})
	return err
}

// LinkView is everything of the reporter's; those who work on it are shown as
// 张* (USERS §3).
type LinkView struct {
	View               // Reporter, ReporterNumber and College in full
	Room       string  // as entered
	Contact    Contact // as entered
	Lines      []Line  // what happened, with the notes meant for the reporter
	PickupCode string  // while a device is with the desk
	Outage     *Outage // the incident behind it
	Consents   []org.Consent
}

// ByLink shows the ticket to the holder of its link. A wrong link and one that
// was erased answer the same.
func (s *Service) ByLink(ctx context.Context, token string) (LinkView, error) {
	t := &Ticket{}
	err := s.db.R.NewSelect().Model(t).Where("link_hash = ?", linkHash(token)).Scan(ctx)
	if store.NoRows(err) {
		return LinkView{}, fault.Missing()
	}
	if err != nil {
		return LinkView{}, store.Busy(err)
	}
	views, err := s.views(ctx, org.Actor{}, []Ticket{*t}, func(*Ticket) []Role { return []Role{Reporter} })
	if err != nil {
		return LinkView{}, err
	}
	v := LinkView{View: views[0]}
	values, err := org.PersonalOf(ctx, s.db.R, t.ID)
	if err != nil {
		return LinkView{}, err
	}
	own := values[t.ID]
	v.Reporter, v.ReporterNumber, v.College, v.Room = own[fieldName], own[fieldNumber], own[fieldCollege], own[fieldRoom]
	v.Contact, v.WorkerName = contactOf(own), org.Mask(v.WorkerName)
	if t.Device && t.State != Returned && t.State != Closed && t.State != Cancelled {
		v.PickupCode = s.PickupCode(t.ID)
	}
	if v.Lines, err = s.lines(ctx, t, own, false); err != nil {
		return LinkView{}, err
	}
	if v.Outage, err = s.outage(ctx, t); err != nil {
		return LinkView{}, err
	}
	v.Consents, err = org.Consents(ctx, s.db.R, t.ID)
	return v, err
}

func contactOf(values map[string]string) Contact {
	for _, k := range contactKinds {
		if values[k] != "" {
			return Contact{k, values[k]}
		}
	}
	return Contact{}
}

func (s *Service) outageOf(ctx context.Context, ticket id.ID) (*Outage, error) {
	t := &Ticket{}
	if err := s.db.R.NewSelect().Model(t).Where("id = ?", ticket).Scan(ctx); err != nil {
		return nil, store.Busy(err)
	}
	return s.outage(ctx, t)
}

// outage says what is known about the incident that the ticket follows.
func (s *Service) outage(ctx context.Context, t *Ticket) (*Outage, error) {
	if !t.attached() || s.Incidents == nil {
		return nil, nil
	}
	info, err := s.Incidents.Incident(ctx, s.db.R, t.Incident)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := &Outage{Incident: t.Incident, Title: info.Title, Reason: info.Reason}
	own, err := s.incidentTicket(ctx, s.db.R, t.Incident)
	if err != nil || own == nil {
		return out, err
	}
	out.Ticket, out.State = own.Number, own.State
	if !own.Worker.IsZero() {
		names, err := org.Names(ctx, s.db.R, own.Worker)
		if err != nil {
			return nil, err
		}
		out.Worker = org.Mask(names[own.Worker])
	}
	return out, nil
}
