package workflow

import (
	"fmt"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/workflow/flow"

	"github.com/uptrace/bun"
)

// The kinds of objects that links and the audit name.
const (
	RefRequest  = "req"
	RefTask     = "tsk"
	RefDecision = "dec"
)

// The topics of this package's events.
const (
	TopicOpened   = "workflow.task.opened"   // {request, task, person, seat, changed}
	TopicReminded = "workflow.task.reminded" // {request, task, person, seat, overdue}
	TopicChanged  = "workflow.changed"       // {request, status, before}
	TopicApproved = "workflow.approved"      // {request, definition, effect}, one for each effect
	TopicRejected = "workflow.rejected"      // {request}; rejected, withdrawn, stopped, superseded or expired
	TopicNudged   = "workflow.task.nudged"   // {request, task, person, seat}
	TopicCopied   = "workflow.copied"        // {request, person}
	TopicStopped  = "workflow.stopped"       // {request, person}, one for everybody concerned
	TopicExpired  = "workflow.expired"       // {request, person}, one for each who was asked
	TopicMoved    = "workflow.due.moved"     // {request, person, due_at}, one for each concerned
	TopicRecorded = "workflow.recorded"      // {request, task, person, seat}; entered from paper
	TopicOwed     = "workflow.owed"          // {request, overdue}; the report is due
	TopicAmended  = "workflow.amended"       // {request, base}; the base is superseded
	TopicCode     = "workflow.link.code"     // {link}; mail its code
	TopicDeadline = "workflow.deadline"      // {request, step, round, n}, a timer
)

// TaskPayload is what TopicOpened and TopicReminded carry.
type TaskPayload struct {
	Request id.ID  `json:"request"`
	Task    id.ID  `json:"task"`
	Person  id.ID  `json:"person"`
	Seat    string `json:"seat"`
	Overdue bool   `json:"overdue,omitempty"`
	Changed bool   `json:"changed,omitempty"` // asked before; the form was edited since
}

// ChangedPayload is what TopicChanged carries.
type ChangedPayload struct {
	Request id.ID       `json:"request"`
	Status  flow.Status `json:"status"`
	Before  flow.Status `json:"before,omitempty"` // "" = it was submitted just now
}

// ApprovedPayload is what TopicApproved carries.
type ApprovedPayload struct {
	Request    id.ID  `json:"request"`
	Definition string `json:"definition"`
	Effect     string `json:"effect"`
}

// PersonPayload is what TopicCopied, TopicStopped and TopicExpired carry.
type PersonPayload struct {
	Request id.ID `json:"request"`
	Person  id.ID `json:"person"`
}

// MovedPayload is what TopicMoved carries.
type MovedPayload struct {
	Request id.ID     `json:"request"`
	Person  id.ID     `json:"person"`
	DueAt   time.Time `json:"due_at"`
}

// OwedPayload is what TopicOwed carries.
type OwedPayload struct {
	Request id.ID `json:"request"`
	Overdue bool  `json:"overdue"`
}

// AmendedPayload is what TopicAmended carries.
type AmendedPayload struct {
	Request id.ID `json:"request"`
	Base    id.ID `json:"base"`
}

// RejectedPayload is what TopicRejected carries.
type RejectedPayload struct {
	Request id.ID `json:"request"`
}

// CodePayload is what TopicCode carries.
type CodePayload struct {
	Link id.ID `json:"link"`
}

type deadlinePayload struct {
	Request id.ID  `json:"request"`
	Step    string `json:"step"`
	Round   int    `json:"round"`
	N       int    `json:"n"`
}

// row is a request as stored. Form, Apart and State are JSON: the current
// revision without personal leaves, where those stand (see personal.go), and
// the fold of the events, kept so that a decision reads one row.
type row struct {
	bun.BaseModel `bun:"table:request,alias:request"`

	ID         id.ID `bun:",pk"`
	Series     string
	Year       int
	Serial     int64 `bun:",nullzero"` // given at the end of the submitting transaction
	Definition string
	VersionID  id.ID
	Requester  id.ID
	Unit       string
	Title      string
	Status     flow.Status
	Urgent     bool
	FormRev    int
	Form       string
	Apart      string
	State      string
	Seq        int64
	Head       string
	VerifyCode string
	Search     string
	OpenedAt   time.Time
	ChangedAt  time.Time
	ClosedAt   time.Time `bun:",nullzero"`
	// Amends is the approved request that this one is to take the place of.
	Amends      id.ID     `bun:",nullzero"`
	CloseOutDue time.Time `bun:",nullzero"` // of an approval that owes a report
	ClosedOutAt time.Time `bun:",nullzero"`
}

func (r *row) ref() outbox.Ref { return outbox.Ref{Kind: RefRequest, ID: r.ID} }

// Number spells a request's number: 科联审〔2026〕第0123号.
func Number(series string, year int, serial int64) string {
	return fmt.Sprintf("%s〔%d〕第%04d号", series, year, serial)
}

func (r *row) number() string { return Number(r.Series, r.Year, r.Serial) }

// seriesOf names the series of numbers of a kind of request.
func seriesOf(definition string) string {
	for _, s := range []struct{ prefix, word string }{
		{"supervision.", "审"}, {"office.property", "购"}, {"office.", "办"}, {"publicity.", "宣"}, {"liaison.", "外"},
		{"technical.", "技"}, {"activity.", "赛"}, {"meta.", "制"},
	} {
		if len(definition) >= len(s.prefix) && definition[:len(s.prefix)] == s.prefix {
			return "科联" + s.word
		}
	}
	return "科联批"
}

// revisionRow is one revision of a form.
type revisionRow struct {
	bun.BaseModel `bun:"table:revision"`

	RequestID id.ID `bun:",pk"`
	Rev       int   `bun:",pk"`
	Form      string
	Apart     string
	Digests   string
	ByPerson  id.ID
	At        time.Time
}

// taskRow projects a flow.Task; Name is its name in the request's events.
type taskRow struct {
	bun.BaseModel `bun:"table:task"`

	ID         id.ID `bun:",pk"`
	RequestID  id.ID
	Definition string
	Name       string
	Step       string
	Round      int
	Person     id.ID
	ForPerson  id.ID `bun:",nullzero"`
	Seat       string
	Origin     string
	State      flow.TaskState
	Verdict    flow.Verdict
	OpenedAt   time.Time
	DueAt      time.Time `bun:",nullzero"`
	ClosedAt   time.Time `bun:",nullzero"`
	ClosedBy   id.ID     `bun:",nullzero"`
	Took       *int64    // seconds from opening to closing
	Within     string    // the group of added signers, see flow.Task
	Optional   bool      // of an objection window: nobody has to answer
}

// decisionRow is an answer to a task. It never changes: whether it still
// counts is in the request's state.
type decisionRow struct {
	bun.BaseModel `bun:"table:decision"`

	ID          id.ID `bun:",pk"`
	RequestID   id.ID
	TaskID      id.ID
	Person      id.ID `bun:",nullzero"`
	ForPerson   id.ID `bun:",nullzero"`
	Seat        string
	Verdict     flow.Verdict
	Target      string
	FormRev     int
	ReadDigest  string
	Door        flow.Door
	CarriedFrom id.ID  `bun:",nullzero"`
	Recorder    id.ID  `bun:",nullzero"` // who entered it from paper
	Scan        string // the file of the signed paper
	Note        string
	At          time.Time
}

// eventRow is one event in its request's chain: Hash = SHA-256(Prev ‖ Body in
// canonical JSON with its Seq), see flow.Chain.
type eventRow struct {
	bun.BaseModel `bun:"table:event"`

	RequestID id.ID `bun:",pk"`
	Seq       int64 `bun:",pk"`
	Type      string
	At        time.Time
	Body      string
	Prev      string
	Hash      string
}

// The states of a version.
const (
	statePublished = "PUBLISHED" // new requests are pinned to it
	stateRetired   = "RETIRED"
)

// versionRow is a version of a definition.
type versionRow struct {
	bun.BaseModel `bun:"table:version"`

	ID          id.ID `bun:",pk"`
	Definition  string
	N           int
	Hash        string
	Source      string
	State       string // DRAFT, PUBLISHED, RETIRED
	Report      string // of the proof, JSON; empty: not proven yet
	Builtin     bool
	PublishedAt time.Time `bun:",nullzero"`
	PublishedBy id.ID     `bun:",nullzero"`
	RetiredAt   time.Time `bun:",nullzero"`
}

// linkRow is a decision link; the token itself stands nowhere.
type linkRow struct {
	bun.BaseModel `bun:"table:decision_link"`

	ID        id.ID `bun:",pk"`
	Hash      string
	RequestID id.ID
	TaskID    id.ID
	Person    id.ID
	FormRev   int
	IssuedAt  time.Time
	ExpiresAt time.Time
	UsedAt    time.Time `bun:",nullzero"`
	CodeAt    time.Time `bun:",nullzero"`
	CodeSent  int
	CodeTries int
}
