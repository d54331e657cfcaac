package webhook

import (
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"

	"github.com/uptrace/bun"
)

// The TypeID prefixes of endpoints and deliveries; a delivery's identifier is
// the webhook-id of all its posts.
const (
	RefKind         = "whk"
	RefKindDelivery = "whd"
)

// Limits (docs/limits.md).
const (
	Most       = 50                 // endpoints
	Timeout    = 15 * time.Second   // of one post, the answer included
	RetryFor   = 24 * time.Hour     // then a delivery is dead
	FailingFor = 5 * 24 * time.Hour // without one success, then an endpoint is switched off
	Overlap    = 24 * time.Hour     // both secrets sign after a rotation, if nothing else is asked for
	OverlapMax = 7 * 24 * time.Hour
	ReplayMost = 1000               // deliveries of one replayWebhookSince
	ReplaySpan = 7 * 24 * time.Hour // between its ends

	leaseFor   = 30 * time.Second
	blockedFor = time.Second   // until an earlier event has been written
	retryMost  = 6 * time.Hour // the longest Retry-After that is honoured
	answerRead = 4096          // bytes of an answer
	answerKept = 200           // characters of it in the log
	backOffMax = 3 * time.Hour
)

// Why an endpoint is switched off.
const (
	ByHand  = "BY_HAND"
	Gone    = "GONE"    // it answered 410
	Failing = "FAILING" // FailingFor without a success
)

// Hook is an endpoint.
type Hook struct {
	bun.BaseModel `bun:"table:webhook"`

	ID            id.ID `bun:",pk"`
	URL           string
	Description   string
	Events        string // names of Types, separated by blanks
	Owner         id.ID
	Disabled      string    // why; "" = it is on
	Generation    int       // of the secret
	PreviousUntil time.Time `bun:",nullzero"` // the secret before it signs, too
	FailingSince  time.Time `bun:",nullzero"`
	PauseUntil    time.Time `bun:",nullzero"` // as it asked for
	Sending       id.ID     `bun:",nullzero"` // the delivery that is on its way
	LeaseUntil    time.Time `bun:",nullzero"` // database clock
	CreatedAt     time.Time
	ChangedAt     time.Time

	Busy bool `bun:",scanonly"` // somebody holds the lease
}

// Enabled says whether events are posted to it.
func (h *Hook) Enabled() bool { return h.Disabled == "" }

// Types are the names of the events that it subscribes to.
func (h *Hook) Types() []string { return strings.Fields(h.Events) }

func (h *Hook) ref() outbox.Ref { return outbox.Ref{Kind: RefKind, ID: h.ID} }

// State of a delivery.
type State string

// The states. A failed delivery is dead until somebody replays it.
const (
	Waiting State = "waiting"
	Sending State = "sending"
	Sent    State = "sent"
	Failed  State = "failed"
)

// Delivery is one event for one endpoint.
type Delivery struct {
	bun.BaseModel `bun:"table:webhook_delivery"`

	ID                id.ID `bun:",pk"`
	Webhook           id.ID
	Event             string
	ObjectKind        string
	ObjectID          id.ID `bun:",nullzero"`
	Version           int64
	Body              string
	State             State
	Reason            string `bun:",nullzero"` // of the last attempt; see Explain
	Code              int    `bun:",nullzero"` // of the last answer
	Answer            string `bun:",nullzero"` // how it began
	Attempt           int
	PossibleDuplicate int
	CreatedAt         time.Time
	NextAt            time.Time
	RetryUntil        time.Time
	TriedAt           time.Time `bun:",nullzero"`
	SentAt            time.Time `bun:",nullzero"`
}

// Object is what the event is about.
func (d *Delivery) Object() outbox.Ref { return outbox.Ref{Kind: d.ObjectKind, ID: d.ObjectID} }
