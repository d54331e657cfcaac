package repair

import (
	"context"
	"strings"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// act is one transaction's work on one ticket, whose row it has locked.
type act struct {
	ctx   context.Context
	tx    *store.Tx
	s     *Service
	now   time.Time
	actor org.Actor
	roles []Role
	t     *Ticket

	note   string // of the next entry
	public bool   // the reporter sees the note
	reason string
	amount *int64
}

// asking adds what an action reads beside the ticket, as of now.
type asking func(r *store.Reads, now time.Time)

// begin judges the actor and locks the ticket. What the actor may not see is
// absent.
func (s *Service) begin(ctx context.Context, tx *store.Tx, actor org.Actor, ticket id.ID, now time.Time, ask ...asking) (*act, error) {
	r := store.NewReads(tx)
	judged := org.AskJudge(r, actor, now)
	locked := s.askTicket(r, tx, ticket)
	for _, f := range ask {
		f(r, now)
	}
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	actor, err := judged()
	if err != nil {
		return nil, err
	}
	t, err := locked()
	if err != nil {
		return nil, err
	}
	if !actor.System && !s.rules.Can(actor, "repair.read", t.object()) {
		if actor.Anonymous() {
			return nil, fault.SignIn()
		}
		return nil, fault.Missing()
	}
	return &act{ctx: ctx, tx: tx, s: s, now: now, actor: actor, roles: rolesOf(actor, t), t: t}, nil
}

// askTicket locks the ticket beside other reads.
func (s *Service) askTicket(r *store.Reads, tx *store.Tx, ticket id.ID) func() (*Ticket, error) {
	var rows []Ticket
	r.SQL(&rows, `SELECT * FROM ticket WHERE id = ? ?`, ticket, tx.DB.Lock(false))
	return func() (*Ticket, error) {
		if len(rows) == 0 {
			return nil, fault.Missing()
		}
		return &rows[0], nil
	}
}

func (s *Service) lock(ctx context.Context, tx *store.Tx, ticket id.ID) (*Ticket, error) {
	r := store.NewReads(tx)
	locked := s.askTicket(r, tx, ticket)
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	return locked()
}

// say keeps a note for the next entry.
func (a *act) say(note string) error {
	note = strings.TrimSpace(note)
	if err := checkText("note", note, 0, 2000); err != nil {
		return err
	}
	a.note = note
	return nil
}

// become moves the ticket to the state and writes the timeline and the audit.
func (a *act) become(action Action, to State) {
	from := a.t.State
	a.tick(from, to)
	t := a.t
	switch to {
	case Triaged:
		if action == ActTriage || action == ActReopen {
			t.TriagedAt = a.now
		} else if t.TriagedAt.IsZero() {
			t.TriagedAt = t.CreatedAt
		}
		t.Worker, t.Assignment = id.Nil, id.Nil
	case InProgress:
		if t.StartedAt.IsZero() {
			t.StartedAt = a.now
		}
	case Fixed, Unfixable:
		t.FixedAt = a.now
	case Closed, Cancelled:
		t.ClosedAt, t.Reason = a.now, a.reason
	}
	if to.taken() {
		t.Unassigned, t.LeaseUntil = false, a.now.Add(Lease)
	}
	if to != Triaged && (from == Triaged || from == Submitted) {
		outbox.Void(a.tx, t.ID, timerDispatch)
	}
	t.State = to
	a.enter(action, from)
}

// tick stops and starts the clock: while a ticket waits its due time moves on.
func (a *act) tick(from, to State) {
	t := a.t
	switch {
	case from.waiting() && !to.waiting():
		pause := a.now.Sub(t.PausedAt)
		t.PausedFor += pause.Microseconds()
		t.DueAt, t.PausedAt = t.DueAt.Add(pause), time.Time{}
	case to.waiting() && !from.waiting():
		t.PausedAt = a.now
	}
}

// enter writes a line of the timeline, with the note if there is one.
func (a *act) enter(action Action, from State) {
	t := a.t
	e := &Entry{ID: id.New(), Ticket: t.ID, At: a.now, Actor: a.actor.Person, Action: action, FromState: from, ToState: t.State,
		Reason: a.reason, Noted: a.note != "", Public: a.public, Amount: a.amount}
	data := map[string]any{"from": from, "to": t.State}
	if a.reason != "" {
		data["reason"] = a.reason
	}
	if !t.Worker.IsZero() {
		data["worker"], data["assignment"] = t.Worker, t.Assignment
	}
	a.tx.Queue(a.tx.DB.Bun().NewInsert().Model(e))
	if e.Noted {
		data["note"] = org.SetPersonal(a.tx, a.tx.DB.Key(), t.ID, a.now, t.keep(), map[string]string{noteField(e.ID): a.note})[noteField(e.ID)]
	}
	audit.Record(a.tx, audit.Entry{Actor: a.actor.Person, Seat: a.seat(action), Action: "repair." + string(action), Object: t.Ref(), Data: data, At: a.now})
	a.note, a.public, a.reason, a.amount = "", false, "", nil
}

// seat is the one under which the actor acts.
func (a *act) seat(action Action) string {
	return a.s.rules.Under(a.actor, "repair."+string(action), a.t.object())
}

// keep is until when the personal values stay; zero while the ticket is open.
func (t *Ticket) keep() time.Time {
	if t.ClosedAt.IsZero() {
		return time.Time{}
	}
	return t.ClosedAt.Add(KeepPersonal)
}

// save writes the ticket and says that it changed. It comes last: the row
// points to an assignment written before.
func (a *act) save() Outcome {
	t := a.t
	t.Version++
	a.tx.Queue(a.tx.DB.Bun().NewUpdate().Model(t).WherePK())
	outbox.Put(a.tx, outbox.Event{Topic: TopicChanged, Aggregate: t.ID, Version: t.Version, Payload: ChangedPayload{t.ID, t.State}})
	return Outcome{t.ID, t.State, t.Version}
}

func (t *Ticket) task() dispatch.Task {
	return dispatch.Task{Kind: "repair", Key: "ticket", Ref: t.Ref()}
}

func (t *Ticket) need() dispatch.Need {
	return dispatch.Need{Kind: "repair", Skills: split(t.Skills), Certificates: split(t.Certificates), Unit: "technical"}
}

// dispatch asks the next technician; without one the ticket stays TRIAGED, the
// head is told once, and the dispatcher tries again later.
func (a *act) dispatch() error {
	r := store.NewReads(a.tx)
	heads := org.AskHolders(r, a.now, HeadSeat)
	asg, _, ok, err := a.s.Dispatcher.Offer(a.ctx, a.tx, r,
		dispatch.Search{Task: a.t.task(), Need: a.t.need(), Seats: technicians, Since: a.t.TriagedAt}, a.now)
	if err != nil {
		return err
	}
	if ok {
		a.offer(ActDispatch, asg)
		return nil
	}
	outbox.Timer(a.tx, a.t.ID, timerDispatch, outbox.Event{Topic: TopicDispatch, Aggregate: a.t.ID, Payload: ticketPayload{a.t.ID}, DueAt: a.now.Add(DispatchWait)})
	if a.t.Unassigned {
		return nil
	}
	a.t.Unassigned = true
	outbox.Put(a.tx, outbox.Event{Topic: TopicUnassigned, Aggregate: a.t.ID, Payload: unassignedPayload{a.t.ID, HeadSeat}})
	for _, h := range heads() {
		a.tellPerson(h.Person, "repair.unassigned", nil)
	}
	return nil
}

// offer makes the assignment the ticket's and tells the person.
func (a *act) offer(action Action, asg *dispatch.Assignment) {
	a.t.Worker, a.t.Assignment = asg.Person, asg.ID
	a.become(action, Assigned)
	outbox.Put(a.tx, outbox.Event{Topic: TopicOffered, Aggregate: a.t.ID, Payload: offeredPayload{a.t.ID, asg.Person}})
	a.tellPerson(asg.Person, "repair.offered", map[string]string{"until": asg.Deadline.In(a.s.Location).Format("01-02 15:04")})
}

// end closes the live assignment, if there is one.
func (a *act) end(to dispatch.State) {
	if a.t.State.taken() {
		a.s.Dispatcher.End(a.tx, a.t.Assignment, to, a.now)
	}
}

// tellReporter tells who reported; an incident's ticket has no reporter.
func (a *act) tellReporter(topic string) {
	if a.t.Source == FromReport && a.t.ErasedAt.IsZero() {
		a.tell(Message{Topic: topic, Ticket: a.t.ID, Lang: a.t.Lang, Params: a.params(nil)})
	}
}

func (a *act) tellPerson(p id.ID, topic string, extra map[string]string) {
	a.tell(Message{Topic: topic, Person: p, Params: a.params(extra)})
}

func (a *act) tell(m Message) {
	if a.s.Teller == nil {
		return
	}
	m.Ref, m.At = a.t.Ref(), a.now
	a.s.Teller.Tell(a.tx, m)
}

func (a *act) params(extra map[string]string) map[string]string {
	what, state := a.t.title(), a.t.State.Words()
	out := map[string]string{"number.zh": "报修 " + a.t.Number, "number.en": "Repair " + a.t.Number, "what.zh": what.Zh, "what.en": what.En, "state.zh": state.Zh, "state.en": state.En}
	for k, v := range extra {
		out[k] = v
	}
	return out
}
