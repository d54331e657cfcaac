package repair

import (
	"context"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Words is one text in both languages.
type Words = struct{ Zh, En string }

// Message is what the desk wants somebody to know.
type Message struct {
	Topic  string            // repair.received, .assigned, .status, .fixed, .unfixable, .recovered, .cancelled; .offered, .unassigned
	Person id.ID             // whom to tell, or
	Ticket id.ID             // tell the reporter, by the contact that stands at the ticket; opens by the ticket's link
	Ref    outbox.Ref        // the ticket
	Params map[string]string // number, what.zh, what.en, state.zh, state.en, until; no personal data
	Lang   string            // the reporter's, "" = the person's
	At     time.Time
}

// Teller tells people; it writes with the transaction.
type Teller interface {
	Tell(tx *store.Tx, m Message)
}

// Outages knows which open incident a building suffers from.
type Outages interface {
	OpenForBuilding(ctx context.Context, q bun.IDB, building string) (incident id.ID, text struct{ Zh, En string }, ok bool, err error)
}

// IncidentInfo is what the desk needs to know of an incident.
type IncidentInfo struct {
	Title     Words    // at most 300 characters each
	Reason    Words    // in words for everybody, "" = none
	Buildings []string // that the hosts concerned serve
	Skills    []string // needed to mend it; none = network
	Closed    bool
}

// Incidents reads incidents; an absent one is fault.Missing.
type Incidents interface {
	Incident(ctx context.Context, q bun.IDB, incident id.ID) (IncidentInfo, error)
}

// Part is something to be bought for a ticket.
type Part struct {
	Ticket id.ID
	Number string
	Text   string
	Amount int64 // fen
}

// Purchases asks for a part in the ticket's own transaction: AskRequest adds
// what that needs to the ticket's reads, and once they have run what it gives
// makes the request and names it.
type Purchases interface {
	AskRequest(ctx context.Context, r *store.Reads, actor org.Actor) (func(ctx context.Context, tx *store.Tx, p Part) (outbox.Ref, error), error)
}

// Options is what the desk is bound to. Whatever is nil is not there: nobody is
// told, no building has an outage, a part is noted and nothing requested.
type Options struct {
	Location   *time.Location
	Dispatcher *dispatch.Dispatcher
	Teller     Teller
	Outages    Outages
	Incidents  Incidents
	Purchases  Purchases
}

// Service is the repair desk.
type Service struct {
	db    *store.DB
	clock clock.Clock
	rules *org.Table
	Options
}

// New makes the desk.
func New(db *store.DB, c clock.Clock, rules *org.Table, o Options) *Service {
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Dispatcher == nil {
		o.Dispatcher = dispatch.New(o.Location, 0, nil)
	}
	return &Service{db: db, clock: c, rules: rules, Options: o}
}

// Limits of the desk (docs/limits.md).
const (
	MaxOpen      = 3 // tickets per contact that nobody has finished
	MaxDaily     = 5 // submissions per contact and local day
	Lease        = 48 * time.Hour
	DispatchWait = 30 * time.Minute    // until the dispatcher tries again
	CloseWait    = 3 * 24 * time.Hour  // a finished ticket without a device, or returned, closes itself
	ReopenWithin = 14 * 24 * time.Hour // after the end
	KeepPersonal = 30 * 24 * time.Hour // after the end
)

// pickupReminders are the days after the repair at which a reporter is
// reminded of a device that was not collected.
var pickupReminders = []int{3, 10, 30}

// Outcome is what an action leaves.
type Outcome struct {
	Ticket  id.ID
	State   State
	Version int64
}

// Input is the input of most actions.
type Input struct {
	Ticket         id.ID
	Note           string // for the timeline, at most 2,000 characters
	IdempotencyKey string
}

// Do runs one of the actions that need nothing but a ticket and maybe a note:
// accept, decline, claim, release, takeOver, partsArrived, waitOwner, resume,
// fix, unfixable, return (without a pick-up code), close, cancel, reopen.
func (s *Service) Do(ctx context.Context, actor org.Actor, action Action, in Input) (Outcome, error) {
	if action == ActReturn {
		return s.Return(ctx, actor, ReturnInput{Ticket: in.Ticket, Note: in.Note, IdempotencyKey: in.IdempotencyKey})
	}
	run, ok := plain[action]
	if !ok {
		panic("repair: the action " + string(action) + " has an input of its own")
	}
	return s.act(ctx, actor, action, in.Ticket, in.IdempotencyKey, in, func(a *act, to State) error {
		if err := a.say(in.Note); err != nil {
			return err
		}
		return run(a, to)
	})
}

// act is the frame of every action by an account: authority, load, machine,
// fn, save.
func (s *Service) act(ctx context.Context, actor org.Actor, action Action, ticket id.ID, key string, in any, fn func(a *act, to State) error, ask ...asking) (Outcome, error) {
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, string(action)+"Repair", key, in)
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		a, err := s.begin(ctx, tx, actor, ticket, now, ask...)
		if err != nil {
			return Outcome{}, err
		}
		if err := s.rules.Check(a.actor, "repair."+string(action), a.t.object()); err != nil {
			return Outcome{}, a.tooLate(action, err)
		}
		to, ok := Next(action, a.t.State, a.roles)
		if !ok {
			return Outcome{}, wrongState(a.t)
		}
		if err := fn(a, to); err != nil {
			return Outcome{}, err
		}
		return a.save(), nil
	})
}

// tooLate tells somebody who was asked for the ticket once that the offer is
// over, which says more than a denial; everybody else gets the denial.
func (a *act) tooLate(action Action, denial error) error {
	if action != ActAccept && action != ActDecline {
		return denial
	}
	var n int
	if err := a.tx.NewRaw(`SELECT count(*) FROM assignment WHERE task_id = ? AND person = ?`, a.t.ID, a.actor.Person).Scan(a.ctx, &n); err != nil || n == 0 {
		return denial
	}
	return fault.Refuse("OFFER_OVER", "这次派单已经过期或派给了别人；还没人接的话，可以在报修板上自己接单",
		"this offer has lapsed or went to somebody else; if nobody has it yet, take it from the board")
}
