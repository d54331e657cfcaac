package repair

import (
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"

	"github.com/uptrace/bun"
)

// RefKind is the TypeID prefix of tickets.
const RefKind = "tkt"

// State of a ticket.
type State string

// The states.
const (
	Submitted    State = "SUBMITTED"
	Triaged      State = "TRIAGED"
	Assigned     State = "ASSIGNED" // offered to somebody, with a deadline
	InProgress   State = "IN_PROGRESS"
	WaitingParts State = "WAITING_PARTS" // the clock is paused
	WaitingOwner State = "WAITING_OWNER" // the clock is paused
	Fixed        State = "FIXED"
	Unfixable    State = "UNFIXABLE"
	Returned     State = "RETURNED"
	Closed       State = "CLOSED"
	Cancelled    State = "CANCELLED"
)

// States lists all states in the order of a ticket's life.
var States = []State{Submitted, Triaged, Assigned, InProgress, WaitingParts, WaitingOwner, Fixed, Unfixable, Returned, Closed, Cancelled}

// Words gives the state in the federation's words.
func (s State) Words() Words { return stateWords[s] }

var stateWords = map[State]Words{
	Submitted: {"已提交", "submitted"}, Triaged: {"待派单", "waiting for a technician"}, Assigned: {"已派单，待接单", "offered to a technician"},
	InProgress: {"维修中", "in progress"}, WaitingParts: {"等配件", "waiting for parts"}, WaitingOwner: {"等你联系", "waiting for you"},
	Fixed: {"已修好", "fixed"}, Unfixable: {"无法修复", "could not be fixed"}, Returned: {"已取回", "returned"},
	Closed: {"已关闭", "closed"}, Cancelled: {"已取消", "cancelled"},
}

// over says that nobody works on the ticket any more.
func (s State) over() bool {
	switch s {
	case Fixed, Unfixable, Returned, Closed, Cancelled:
		return true
	}
	return false
}

// waiting says that the clock is paused.
func (s State) waiting() bool { return s == WaitingParts || s == WaitingOwner }

// taken says that a live assignment belongs to the ticket.
func (s State) taken() bool { return s == Assigned || s == InProgress || s.waiting() }

// Kind is what is broken.
type Kind string

// The kinds.
const (
	Network   Kind = "NETWORK"
	Appliance Kind = "APPLIANCE"
	Computer  Kind = "COMPUTER"
	Other     Kind = "OTHER"
)

// Kinds lists all kinds.
var Kinds = []Kind{Network, Appliance, Computer, Other}

// Words gives the kind for people.
func (k Kind) Words() Words {
	switch k {
	case Network:
		return Words{"网络", "network"}
	case Appliance:
		return Words{"小电器", "appliance"}
	case Computer:
		return Words{"电脑", "computer"}
	}
	return Words{"其他", "other"}
}

// skills are those asked for before somebody triages otherwise.
func (k Kind) skills() []string {
	switch k {
	case Network:
		return []string{"network"}
	case Appliance:
		return []string{"appliance"}
	case Computer:
		return []string{"computer"}
	}
	return nil
}

// term is how long the ticket may take; waiting for parts or for the owner
// does not count.
func (k Kind) term() time.Duration {
	if k == Network {
		return 24 * time.Hour
	}
	return 72 * time.Hour
}

// Source says where a ticket came from.
type Source string

// The sources.
const (
	FromReport   Source = "REPORT"
	FromIncident Source = "INCIDENT"
)

// Why a ticket was cancelled.
const (
	ReasonRecovered = "RECOVERED" // the incident is over
	ReasonWithdrawn = "WITHDRAWN" // by its reporter
	ReasonDeclined  = "DECLINED"  // by the desk
)

// Ticket 报修单 as stored. Contact, Place and LinkHash are HMACs or hashes, kept
// while they are needed for limits, for finding a building's tickets and for
// the link; erasing the ticket clears them.
type Ticket struct {
	bun.BaseModel `bun:"table:ticket"`

	ID           id.ID  `bun:",pk"`
	Number       string // 2026-0417
	Source       Source
	Kind         Kind
	State        State
	Reason       string // of a cancellation
	Device       bool   // something was handed in and is given back
	Owner        id.ID  `bun:",nullzero"` // the reporter's account, if signed in
	Incident     id.ID  `bun:",nullzero"` // the incident it is about or was attached to
	Request      id.ID  `bun:",nullzero"` // the purchase it waits or waited for
	TitleZh      string // of an incident's ticket
	TitleEn      string
	Skills       string    // comma separated
	Certificates string    // comma separated
	Worker       id.ID     `bun:",nullzero"` // who has it, or had it last
	Assignment   id.ID     `bun:",nullzero"`
	Contact      string    `bun:",nullzero"`
	Place        string    `bun:",nullzero"`
	LinkHash     string    `bun:",nullzero"`
	Lang         string    // the reporter's
	Version      int64     // counts changes
	Unassigned   bool      // the head was told that nobody fits
	CreatedAt    time.Time // business time, as all
	TriagedAt    time.Time `bun:",nullzero"`
	StartedAt    time.Time `bun:",nullzero"`
	FixedAt      time.Time `bun:",nullzero"`
	ClosedAt     time.Time `bun:",nullzero"`
	DueAt        time.Time // moves on while the clock is paused
	PausedAt     time.Time `bun:",nullzero"`
	PausedFor    int64     // microseconds, without the present pause
	LeaseUntil   time.Time `bun:",nullzero"` // after it a colleague may take the ticket over
	ErasedAt     time.Time `bun:",nullzero"`
}

// Ref is the ticket in links.
func (t *Ticket) Ref() outbox.Ref { return outbox.Ref{Kind: RefKind, ID: t.ID} }

// Paused is how long the clock has stood still until now.
func (t *Ticket) Paused(now time.Time) time.Duration {
	d := time.Duration(t.PausedFor) * time.Microsecond
	if !t.PausedAt.IsZero() {
		d += now.Sub(t.PausedAt)
	}
	return d
}

// Due is when the ticket should be done, as far as can be said now: a pause
// under way moves it on.
func (t *Ticket) Due(now time.Time) time.Time {
	if t.PausedAt.IsZero() {
		return t.DueAt
	}
	return t.DueAt.Add(now.Sub(t.PausedAt))
}

// Worked is how long the desk has had the ticket, without the pauses: up to the
// repair or the end, else up to now.
func (t *Ticket) Worked(now time.Time) time.Duration {
	end := now
	for _, at := range []time.Time{t.ClosedAt, t.FixedAt} {
		if !at.IsZero() {
			end = at
		}
	}
	return end.Sub(t.CreatedAt) - t.Paused(end)
}

// attached says that the ticket follows another one, its incident's.
func (t *Ticket) attached() bool { return t.Source == FromReport && !t.Incident.IsZero() }

func (t *Ticket) title() Words {
	if t.Source == FromIncident {
		return Words{t.TitleZh, t.TitleEn}
	}
	return t.Kind.Words()
}

// Entry is one line of a ticket's timeline. A note is a personal value of the
// ticket in the field noteField(ID).
type Entry struct {
	bun.BaseModel `bun:"table:ticket_entry"`

	ID        id.ID `bun:",pk"`
	Ticket    id.ID
	At        time.Time
	Actor     id.ID `bun:",nullzero"` // zero: the system or the reporter
	Action    Action
	FromState State
	ToState   State
	Reason    string
	Noted     bool
	Public    bool   // the reporter sees the note
	Amount    *int64 // fen, of a part
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}
