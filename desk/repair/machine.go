package repair

import (
	"slices"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/org"
)

// Action is something that happens to a ticket.
type Action string

// The actions.
const (
	ActSubmit       Action = "submit"
	ActTriage       Action = "triage"       // say what it needs
	ActDispatch     Action = "dispatch"     // the dispatcher asks the next person
	ActAssign       Action = "assign"       // somebody names the person
	ActAccept       Action = "accept"       // the offer
	ActDecline      Action = "decline"      // the offer
	ActLapse        Action = "lapse"        // nobody answered the offer
	ActClaim        Action = "claim"        // take it from the board
	ActRelease      Action = "release"      // give it back
	ActTakeOver     Action = "takeOver"     // from a colleague
	ActNeedPart     Action = "needPart"     // the clock pauses
	ActPartsArrived Action = "partsArrived" // the clock goes on
	ActWaitOwner    Action = "waitOwner"    // the clock pauses
	ActResume       Action = "resume"       // the owner was reached
	ActFix          Action = "fix"
	ActUnfixable    Action = "unfixable"
	ActReturn       Action = "return" // the device
	ActClose        Action = "close"
	ActCancel       Action = "cancel"
	ActRecover      Action = "recover" // its incident is over
	ActSettle       Action = "settle"  // the ticket it was attached to is done
	ActReopen       Action = "reopen"
	ActNote         Action = "note"
	ActErase        Action = "erase" // the reporter's personal values; no move of the machine
)

// Role is what somebody is to a ticket.
type Role string

// The roles.
const (
	Reporter  Role = "reporter" // holds the link, or the account it came from
	Worker    Role = "worker"   // any seat of the technical department and its sections
	Holder    Role = "assignee" // it was given to
	Lead      Role = "lead"     // head or deputy of the department or of a section
	Clockwork Role = "system"   // timers and handlers
)

// Roles lists all roles.
var Roles = []Role{Reporter, Worker, Holder, Lead, Clockwork}

// Move is one row of the machine. An empty To leaves the state as it is.
type Move struct {
	Action Action
	Roles  []Role
	From   []State
	To     State
}

// Machine is the life of a ticket. What it does not list is refused. Two
// conditions are judged beside it, because they are about more than the state:
// a device handed in is returned before the ticket is closed, and a worker
// takes over only after the colleague's lease.
var Machine = []Move{
	{ActTriage, []Role{Worker, Lead}, []State{Submitted, Triaged}, Triaged},
	{ActDispatch, []Role{Lead, Clockwork}, []State{Submitted, Triaged}, Assigned},
	{ActAssign, []Role{Lead}, []State{Submitted, Triaged, Assigned}, Assigned},
	{ActAccept, []Role{Holder}, []State{Assigned}, InProgress},
	{ActDecline, []Role{Holder}, []State{Assigned}, Triaged},
	{ActLapse, []Role{Clockwork}, []State{Assigned}, Triaged},
	{ActClaim, []Role{Worker, Lead}, []State{Submitted, Triaged}, InProgress},
	{ActRelease, []Role{Holder, Lead}, []State{InProgress, WaitingOwner, WaitingParts}, Triaged},
	{ActTakeOver, []Role{Worker, Lead}, []State{Assigned, InProgress}, InProgress},
	{ActTakeOver, []Role{Worker, Lead}, []State{WaitingParts, WaitingOwner}, ""},
	{ActNeedPart, []Role{Holder}, []State{InProgress}, WaitingParts},
	{ActPartsArrived, []Role{Holder, Lead, Clockwork}, []State{WaitingParts}, InProgress},
	{ActWaitOwner, []Role{Holder}, []State{InProgress}, WaitingOwner},
	{ActResume, []Role{Holder, Lead, Reporter}, []State{WaitingOwner}, InProgress},
	{ActFix, []Role{Holder}, []State{InProgress, WaitingOwner, WaitingParts}, Fixed},
	{ActUnfixable, []Role{Holder, Lead}, []State{InProgress, WaitingOwner, WaitingParts}, Unfixable},
	{ActReturn, []Role{Worker, Lead}, []State{Fixed, Unfixable}, Returned},
	{ActClose, []Role{Worker, Lead, Reporter, Clockwork}, []State{Fixed, Unfixable, Returned}, Closed},
	{ActCancel, []Role{Reporter}, []State{Submitted, Triaged, Assigned, WaitingOwner}, Cancelled},
	{ActCancel, []Role{Lead}, []State{Submitted, Triaged, Assigned, InProgress, WaitingParts, WaitingOwner}, Cancelled},
	{ActRecover, []Role{Clockwork}, []State{Submitted, Triaged, Assigned}, Cancelled},
	{ActSettle, []Role{Clockwork}, []State{Submitted, Triaged}, Closed},
	{ActReopen, []Role{Reporter, Lead, Worker}, []State{Fixed, Unfixable, Returned, Closed, Cancelled}, Triaged},
	{ActNote, []Role{Reporter, Worker, Lead, Clockwork}, States, ""},
}

// Next gives the state that the action leads to for somebody in any of the
// roles; ok is false when the machine does not allow it.
func Next(action Action, from State, roles []Role) (to State, ok bool) {
	for _, m := range Machine {
		if m.Action != action || !slices.Contains(m.From, from) {
			continue
		}
		if !slices.ContainsFunc(m.Roles, func(r Role) bool { return slices.Contains(roles, r) }) {
			continue
		}
		if m.To == "" {
			return from, true
		}
		return m.To, true
	}
	return "", false
}

// leadSeats and workUnits say who is a lead and who a worker.
var (
	leadSeats = []string{"technical.head", "technical.deputy", "technical.maintenance.head", "technical.maintenance.deputy",
		"technical.information.head", "technical.information.deputy"}
	workUnits = []string{"technical", "technical.maintenance", "technical.information"}
)

// seats from which technicians are asked.
var technicians = []string{"technical.maintenance.technician", "technical.maintenance.member",
	"technical.information.technician", "technical.information.member"}

// HeadSeat is told when nobody fits a ticket.
const HeadSeat = "technical.head"

// rolesOf says what the actor is to the ticket. The reporter by link is added
// by the doors that saw the link.
func rolesOf(a org.Actor, t *Ticket) []Role {
	var out []Role
	if a.System {
		return []Role{Clockwork}
	}
	if a.Person.IsZero() {
		return nil
	}
	if a.Person == t.Owner {
		out = append(out, Reporter)
	}
	if a.Person == t.Worker {
		out = append(out, Holder)
	}
	for _, s := range a.Seats {
		if a.Acting != "" && a.Acting != s.Seat {
			continue
		}
		if slices.Contains(workUnits, s.Unit) {
			out = append(out, Worker)
		}
		if slices.Contains(leadSeats, s.Seat) {
			out = append(out, Lead)
		}
	}
	return out
}

// object is the ticket as the rules see it.
func (t *Ticket) object() org.Object {
	o := org.Object{Unit: "technical", Owner: t.Owner, State: string(t.State)}
	if !t.Worker.IsZero() {
		o.Assignee = []id.ID{t.Worker}
	}
	return o
}

func wrongState(t *Ticket) error {
	w := t.State.Words()
	return fault.Refuse("WRONG_STATE", "报修单现在是“"+w.Zh+"”，不能这样做，请刷新后再看", "the ticket is “"+w.En+"” now, so this cannot be done; reload and look again").
		With(StateOf{t.ID, t.State})
}

// StateOf is the detail of WRONG_STATE.
type StateOf struct {
	Ticket id.ID
	State  State
}
