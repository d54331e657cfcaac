package repair

import (
	"context"
	"strings"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// attachWindow is how old a report may be that an incident opened later takes
// in; attachBatch bounds one transaction.
const (
	attachWindow = 24 * time.Hour
	attachBatch  = 100
)

// OnIncidentOpened opens the incident's one ticket and asks a technician at
// once; reports of the last day from its buildings that nobody was asked for
// yet follow it from then on.
func (s *Service) OnIncidentOpened(ctx context.Context, d outbox.Delivery) error {
	var p incidentPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	now := s.clock.Now()
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		if s.Incidents == nil {
			return nil
		}
		info, err := s.Incidents.Incident(ctx, tx, p.Incident)
		if fault.Is(err, fault.NotFound) || err == nil && info.Closed {
			return nil
		}
		if err != nil {
			return err
		}
		known, err := s.incidentTicket(ctx, tx, p.Incident)
		if err != nil || known != nil {
			return err
		}
		if err := s.openIncident(ctx, tx, p.Incident, info, now); err != nil {
			return err
		}
		return s.gather(ctx, tx, p.Incident, info, now)
	})
}

func (s *Service) openIncident(ctx context.Context, tx *store.Tx, incident id.ID, info IncidentInfo, now time.Time) error {
	skills := info.Skills
	if len(skills) == 0 {
		skills = Network.skills()
	}
	t := &Ticket{ID: id.New(), Source: FromIncident, Kind: Network, State: Submitted, Incident: incident, Lang: "zh", Version: 1,
		TitleZh: clip(info.Title.Zh), TitleEn: clip(info.Title.En), Skills: strings.Join(skills, ","), CreatedAt: now, DueAt: now.Add(Network.term())}
	a := &act{ctx: ctx, tx: tx, s: s, now: now, actor: org.System(), roles: []Role{Clockwork}, t: t}
	r := store.NewReads(tx)
	number := s.askNumber(r, now)
	if err := r.Run(ctx); err != nil {
		return err
	}
	t.Number = number()
	tx.Queue(tx.DB.Bun().NewInsert().Model(t))
	a.enter(ActSubmit, "")
	outbox.Link(tx, outbox.Ref{Kind: "inc", ID: incident}, t.Ref(), "repair", now)
	outbox.Put(tx, outbox.Event{Topic: TopicOpened, Aggregate: t.ID, Version: t.Version, Payload: ticketPayload{t.ID}})
	a.become(ActTriage, Triaged)
	if err := a.dispatch(); err != nil {
		return err
	}
	a.save()
	return nil
}

// clip keeps a title within its column.
func clip(s string) string {
	if r := []rune(s); len(r) > 300 {
		return string(r[:299]) + "…"
	}
	return s
}

// gather attaches reports that came before the incident was known.
func (s *Service) gather(ctx context.Context, tx *store.Tx, incident id.ID, info IncidentInfo, now time.Time) error {
	if len(info.Buildings) == 0 {
		return nil
	}
	places := make([]string, len(info.Buildings))
	for i, b := range info.Buildings {
		places[i] = s.place(b)
	}
	var ids []id.ID
	err := tx.NewSelect().Table("ticket").Column("id").Where("place IN (?)", bun.List(places)).Where("source = ?", FromReport).Where("kind = ?", Network).
		Where("incident IS NULL").Where("state IN ('SUBMITTED', 'TRIAGED')").Where("created_at > ?", now.Add(-attachWindow)).OrderExpr("id").Limit(2*attachBatch).Scan(ctx, &ids)
	if err != nil && !store.NoRows(err) {
		return err
	}
	for _, i := range ids {
		err := s.machine(ctx, tx, i, ActNote, func(a *act, _ State) error {
			if a.t.State != Submitted && a.t.State != Triaged || !a.t.Incident.IsZero() {
				return errStale
			}
			a.t.Incident, a.reason = incident, "ATTACHED"
			a.enter(ActNote, a.t.State)
			a.attach()
			a.tell(Message{Topic: "repair.status", Ticket: a.t.ID, Lang: a.t.Lang, Params: a.params(map[string]string{
				"state.zh": "属于一处正在处理的网络故障", "state.en": "part of a network incident that is being worked on"})})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// attach links the report to its incident and looks again later (OnDispatch).
func (a *act) attach() {
	outbox.Link(a.tx, outbox.Ref{Kind: "inc", ID: a.t.Incident}, a.t.Ref(), "reported", a.now)
	a.watch()
}

func (a *act) watch() {
	outbox.Timer(a.tx, a.t.ID, timerDispatch, outbox.Event{Topic: TopicDispatch, Aggregate: a.t.ID, Payload: ticketPayload{a.t.ID}, DueAt: a.now.Add(DispatchWait)})
}

// follow ends an attached report whose incident is over, else looks later.
func (a *act) follow() error {
	if a.s.Incidents != nil {
		info, err := a.s.Incidents.Incident(a.ctx, a.tx, a.t.Incident)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err == nil && !info.Closed {
			a.watch()
			return errStale
		}
	}
	a.recover(Cancelled)
	return nil
}

// OnIncidentClosed cancels the incident's ticket if nobody has begun; a started
// one stays, with a note. The reporters that follow the incident are told.
func (s *Service) OnIncidentClosed(ctx context.Context, d outbox.Delivery) error {
	var p incidentPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		t, err := s.incidentTicket(ctx, tx, p.Incident)
		if err != nil {
			return err
		}
		if t != nil {
			err := s.machine(ctx, tx, t.ID, ActNote, func(a *act, _ State) error {
				if to, ok := Next(ActRecover, a.t.State, a.roles); ok {
					a.recover(to)
					return nil
				}
				if a.t.State.over() {
					return errStale
				}
				a.reason = ReasonRecovered
				a.enter(ActNote, a.t.State)
				return nil
			})
			if err != nil {
				return err
			}
		}
		outbox.Put(tx, outbox.Event{Topic: TopicAttached, Aggregate: p.Incident, Payload: attachedPayload{p.Incident, false}})
		return nil
	})
}

// recover cancels the ticket because the network is back.
func (a *act) recover(to State) {
	a.end(dispatch.Cancelled)
	a.reason = ReasonRecovered
	a.become(ActRecover, to)
	a.tellReporter("repair.recovered")
	a.shut()
}

// OnAttached ends the reports that follow an incident, a batch at a time, and
// tells their reporters: CLOSED where its ticket was fixed, CANCELLED where the
// network recovered.
func (s *Service) OnAttached(ctx context.Context, d outbox.Delivery) error {
	var p attachedPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	action := ActRecover
	if p.Fixed {
		action = ActSettle
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		var ids []id.ID
		err := tx.NewSelect().Table("ticket").Column("id").Where("incident = ?", p.Incident).Where("source = ?", FromReport).
			Where("state IN ('SUBMITTED', 'TRIAGED')").OrderExpr("id").Limit(attachBatch).Scan(ctx, &ids)
		if err != nil && !store.NoRows(err) {
			return err
		}
		for _, i := range ids {
			if err := s.machine(ctx, tx, i, action, func(a *act, to State) error {
				if action == ActRecover {
					a.recover(to)
					return nil
				}
				a.become(ActSettle, to)
				a.tellReporter("repair.fixed")
				a.shut()
				return nil
			}); err != nil {
				return err
			}
		}
		if len(ids) == attachBatch {
			outbox.Put(tx, outbox.Event{Topic: TopicAttached, Aggregate: p.Incident, Payload: p})
		}
		return nil
	})
}

// incidentTicket reads the incident's own ticket; nil = none.
func (s *Service) incidentTicket(ctx context.Context, q bun.IDB, incident id.ID) (*Ticket, error) {
	t := &Ticket{}
	err := q.NewSelect().Model(t).Where("incident = ?", incident).Where("source = ?", FromIncident).Scan(ctx)
	if store.NoRows(err) {
		return nil, nil
	}
	return t, store.Busy(err)
}
