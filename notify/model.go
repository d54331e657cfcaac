package notify

import (
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"

	"github.com/uptrace/bun"
)

// Channel is a way to reach somebody.
type Channel string

// The channels.
const (
	InApp  Channel = "inapp"
	Email  Channel = "email"
	Phone  Channel = "phone"  // a line of the to-tell list
	WeChat Channel = "wechat" // a line of the to-tell list
)

// Channels are those that a person can switch on and off by topic.
var Channels = []Channel{InApp, Email}

// Notification is one thing told to one recipient, the row of the inbox.
type Notification struct {
	bun.BaseModel `bun:"table:notification"`

	ID       id.ID `bun:",pk"`
	Topic    string
	Person   id.ID `bun:",nullzero"` // the recipient, or
	Subject  id.ID `bun:",nullzero"` // the object whose contact is meant
	RefKind  string
	RefID    id.ID  `bun:",nullzero"`
	Unit     string // whose people tell it by phone
	Lang     string // "" = the person's
	Params   string // JSON, no personal data
	Path     string
	Critical bool
	Dedupe   string // the same text to the same recipient about the same object
	Hidden   bool   // not in the inbox: muted there or a duplicate
	At       time.Time
	ReadAt   time.Time `bun:",nullzero"`
}

// Ref is the object that the notification is about; zero = none.
func (n *Notification) Ref() outbox.Ref { return outbox.Ref{Kind: n.RefKind, ID: n.RefID} }

// recipient is whom the notification is for.
func (n *Notification) recipient() id.ID {
	if n.Person.IsZero() {
		return n.Subject
	}
	return n.Person
}

// State of a delivery.
type State string

// The states. A failed delivery is dead until somebody sends it again.
const (
	Waiting State = "waiting"
	Sending State = "sending"
	Sent    State = "sent"
	Failed  State = "failed"
	Skipped State = "skipped"
)

// Delivery is one notification on one channel.
type Delivery struct {
	bun.BaseModel `bun:"table:delivery"`

	ID                id.ID `bun:",pk"`
	Event             id.ID // the notification
	Channel           Channel
	Recipient         id.ID `bun:",nullzero"` // person or subject
	State             State
	Reason            string `bun:",nullzero"`
	Attempt           int
	PossibleDuplicate int
	CreatedAt         time.Time
	SentAt            time.Time `bun:",nullzero"`
	RetryUntil        time.Time `bun:",nullzero"` // business time; later it is dead
}

// ToldState says how far a line of the to-tell list is.
type ToldState string

// The states of a line.
const (
	ToldOpen    ToldState = "OPEN"
	Told        ToldState = "TOLD"
	NoAnswer    ToldState = "NO_ANSWER"
	WrongNumber ToldState = "WRONG_NUMBER"
)

// ToTell is a line of the to-tell list 待通知.
type ToTell struct {
	bun.BaseModel `bun:"table:to_tell"`

	ID           id.ID `bun:",pk"`
	Notification id.ID
	Delivery     id.ID
	Recipient    id.ID
	Unit         string
	Channel      Channel
	TextZh       string
	TextEn       string
	State        ToldState
	CreatedAt    time.Time
	RemindedAt   time.Time `bun:",nullzero"`
	ToldBy       id.ID     `bun:",nullzero"`
	ToldAt       time.Time `bun:",nullzero"`
}
