package auth

import (
	"time"

	"kelian/internal/id"
	"kelian/org"

	"github.com/uptrace/bun"
)

// AccountState says whether somebody may sign in.
type AccountState string

// The states of an account.
const (
	Pending AccountState = "PENDING" // claimed, not confirmed by the head of the unit
	Active  AccountState = "ACTIVE"
	Closed  AccountState = "CLOSED"
)

type account struct {
	bun.BaseModel `bun:"table:account"`

	PersonID  id.ID `bun:",pk"`
	Login     string
	Password  string // PHC string, "" = cannot sign in with a password
	State     AccountState
	ChangedAt time.Time // of the password
	CreatedAt time.Time
}

type session struct {
	bun.BaseModel `bun:"table:session"`

	ID        id.ID `bun:",pk"`
	Hash      string
	PersonID  id.ID
	Own       bool
	Device    string
	CreatedAt time.Time
	SeenAt    time.Time
	SudoAt    time.Time
	ExpiresAt time.Time
}

type apiToken struct {
	bun.BaseModel `bun:"table:api_token"`

	ID        id.ID `bun:",pk"`
	Public    string
	Hash      string
	PersonID  id.ID
	Name      string
	Scopes    string // separated by spaces
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time `bun:",nullzero"`
}

// LinkKind says what a one-time link is for.
type LinkKind string

// The kinds of links.
const (
	LinkSetup  LinkKind = "SETUP"  // the first account of a new installation
	LinkReset  LinkKind = "RESET"  // a new password for one person
	LinkClaim  LinkKind = "CLAIM"  // the accounts of one imported roster; used by many
	LinkVerify LinkKind = "VERIFY" // a mailbox is its owner's
)

type link struct {
	bun.BaseModel `bun:"table:auth_link"`

	ID        id.ID `bun:",pk"`
	Hash      string
	Kind      LinkKind
	PersonID  id.ID `bun:",nullzero"`
	ContactID id.ID `bun:",nullzero"`
	IssuedBy  id.ID `bun:",nullzero"`
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time `bun:",nullzero"`
}

type rosterRow struct {
	bun.BaseModel `bun:"table:roster"`

	ID          id.ID `bun:",pk"`
	LinkID      id.ID
	PersonID    id.ID
	SeatID      id.ID
	Kind        org.TenureKind
	State       string // WAITING, CLAIMED, CONFIRMED
	CreatedAt   time.Time
	ClaimedAt   time.Time `bun:",nullzero"`
	ConfirmedBy id.ID     `bun:",nullzero"`
}

type throttle struct {
	bun.BaseModel `bun:"table:throttle"`

	Key    string `bun:",pk"`
	Fails  int
	Since  time.Time
	At     time.Time
	Until  time.Time `bun:",nullzero"`
	NextAt time.Time `bun:",nullzero"`
}

// How long things last.
const (
	OwnSession    = 30 * 24 * time.Hour // on a device marked as one's own
	OwnIdle       = 15 * 24 * time.Hour // League teachers come twice a month
	SharedSession = 8 * time.Hour       // anywhere else
	SharedIdle    = 2 * time.Hour
	Sudo          = 10 * time.Minute // money, roles, tokens, secrets ask again after it
	TokenDefault  = 90 * 24 * time.Hour
	TokenMax      = 366 * 24 * time.Hour
	ResetLink     = 30 * time.Minute
	SetupLink     = 24 * time.Hour
	VerifyLink    = 24 * time.Hour
	ClaimLink     = 30 * 24 * time.Hour
	seenEvery     = 5 * time.Minute // how exactly the last use is kept
	sessionsMax   = 50              // of one person; the oldest goes
	tokensMax     = 20              // of one person
)

// Retry is the detail of a RATE_LIMITED error: try again after it.
type Retry struct{ After time.Duration }
