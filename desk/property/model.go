package property

import (
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"

	"github.com/uptrace/bun"
)

// ItemKind says what becomes of an item that somebody takes.
type ItemKind string

// The kinds of items.
const (
	Equipment ItemKind = "EQUIPMENT" // is lent and comes back
	Stock     ItemKind = "STOCK"     // is used up
)

// Item is a kind of thing and how many there are.
type Item struct {
	bun.BaseModel `bun:"table:item"`

	ID        id.ID `bun:",pk"`
	Code      string
	Kind      ItemKind
	NameZh    string
	NameEn    string
	Quantity  int64
	Unit      string // code of the unit in whose custody it is
	CreatedAt time.Time
}

// PlaceKind says what can be reserved of a place.
type PlaceKind string

// The kinds of places.
const (
	Room  PlaceKind = "ROOM"
	Board PlaceKind = "BOARD" // a slot for a poster or a stand
)

// Place is a room or a board slot: one reservation at a time.
type Place struct {
	bun.BaseModel `bun:"table:place"`

	ID        id.ID `bun:",pk"`
	Code      string
	Kind      PlaceKind
	NameZh    string
	NameEn    string
	Campus    string
	Seats     int
	Unit      string // whose it is
	CreatedAt time.Time
}

// ReservationState says how certain a reservation is.
type ReservationState string

// The states; the first two take the place.
const (
	Held     ReservationState = "HELD"
	Reserved ReservationState = "RESERVED"
	Released ReservationState = "RELEASED"
)

// Reservation takes a place, or a quantity of an item, from From (inclusive)
// until Until (exclusive).
type Reservation struct {
	bun.BaseModel `bun:"table:reservation"`

	ID         id.ID `bun:",pk"`
	Place      id.ID `bun:",nullzero"`
	Item       id.ID `bun:",nullzero"`
	Quantity   int64
	From       time.Time `bun:"from_at"`
	Until      time.Time `bun:"until_at"`
	State      ReservationState
	Request    id.ID `bun:",nullzero"` // zero: made by hand
	Owner      id.ID
	CreatedAt  time.Time
	ReleasedAt time.Time `bun:",nullzero"`
}

// Ref is the reservation in links.
func (r *Reservation) Ref() outbox.Ref { return outbox.Ref{Kind: "res", ID: r.ID} }

// PurchaseState says how far a purchase is.
type PurchaseState string

// The states.
const (
	Approved  PurchaseState = "APPROVED"
	Funded    PurchaseState = "FUNDED"
	Ordered   PurchaseState = "ORDERED"
	Arrived   PurchaseState = "ARRIVED"
	Cancelled PurchaseState = "CANCELLED"
)

// Purchase is something to be bought. Money is fen.
type Purchase struct {
	bun.BaseModel `bun:"table:purchase"`

	ID        id.ID `bun:",pk"`
	Number    string
	Request   id.ID
	Ticket    id.ID `bun:",nullzero"`
	Owner     id.ID // the requester
	State     PurchaseState
	Total     int64
	Funded    int64
	Reason    string `bun:",nullzero"` // of a cancellation
	Version   int64
	CreatedAt time.Time
	ChangedAt time.Time
}

// Ref is the purchase in links.
func (p *Purchase) Ref() outbox.Ref { return outbox.Ref{Kind: "pur", ID: p.ID} }

// NumberEn is the number with its word in English.
func (p *Purchase) NumberEn() string { return strings.Replace(p.Number, "采购", "Purchase", 1) }

// Line is one position of a purchase.
type Line struct {
	bun.BaseModel `bun:"table:purchase_line"`

	Purchase id.ID `bun:",pk"`
	No       int   `bun:",pk"`
	Item     id.ID `bun:",nullzero"` // goes into its stock on arrival
	Name     string
	Quantity int64
	Amount   int64 // of the whole line, fen
}
