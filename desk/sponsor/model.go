package sponsor

import (
	"strings"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/org"

	"github.com/uptrace/bun"
)

// OrganisationKind says what a partner is.
type OrganisationKind string

// The kinds.
const (
	Company    OrganisationKind = "COMPANY"
	University OrganisationKind = "UNIVERSITY"
	Club       OrganisationKind = "CLUB"
)

// Organisation is a sponsor or partner outside.
type Organisation struct {
	bun.BaseModel `bun:"table:organisation"`

	ID        id.ID `bun:",pk"`
	Kind      OrganisationKind
	Name      string
	Search    string
	TouchedAt time.Time // the last act about it; contacts are kept 24 months from it
	CreatedAt time.Time
}

// Contact is a person at an organisation; name and ways to reach them are
// personal values of the row's id.
type Contact struct {
	bun.BaseModel `bun:"table:sponsor_contact"`

	ID           id.ID `bun:",pk"`
	Organisation id.ID
	CreatedAt    time.Time
}

// Kind says what a pledge is of.
type Kind string

// The kinds of pledges; only cash can be allocated.
const (
	Cash   Kind = "CASH"
	Goods  Kind = "GOODS"
	InKind Kind = "SERVICE" // work or a place, without money
)

// State says how far a pledge is.
type State string

// The states.
const (
	Lead        State = "LEAD"
	Contacted   State = "CONTACTED"
	Negotiating State = "NEGOTIATING"
	Agreed      State = "AGREED"
	Received    State = "RECEIVED"
	Delivered   State = "DELIVERED"
	Thanked     State = "THANKED"
	Lost        State = "LOST"
)

// Pledge is what an organisation may give. Money is fen.
type Pledge struct {
	bun.BaseModel `bun:"table:pledge"`

	ID           id.ID `bun:",pk"`
	Number       string
	Organisation id.ID
	Kind         Kind
	State        State
	Owner        id.ID // who looks after it
	Amount       int64 // expected, from AGREED on agreed
	Received     int64
	Allocated    int64
	Returns      string    // what was promised in return
	DueAt        time.Time `bun:",nullzero"` // when it is to come; from AGREED on
	Voucher      string    `bun:",nullzero"`
	ReceivedAt   time.Time `bun:",nullzero"`
	ReceivedBy   id.ID     `bun:",nullzero"`
	Reason       string    `bun:",nullzero"` // why it was lost
	Version      int64
	CreatedAt    time.Time
	ChangedAt    time.Time
}

// Ref is the pledge in links.
func (p *Pledge) Ref() outbox.Ref { return outbox.Ref{Kind: "plg", ID: p.ID} }

// NumberEn is the number with its word in English.
func (p *Pledge) NumberEn() string { return strings.Replace(p.Number, "赞助", "Pledge", 1) }

// Left is what can still be allocated.
func (p *Pledge) Left() int64 {
	if p.Kind != Cash {
		return 0
	}
	return p.Received - p.Allocated
}

// EntryKind says why money moved.
type EntryKind string

// The kinds of entries.
const (
	Receive  EntryKind = "RECEIVE"  // sponsor → pledge
	Allocate EntryKind = "ALLOCATE" // pledge → purchase
	Return   EntryKind = "RETURN"   // purchase → pledge, of a cancelled purchase
	Spend    EntryKind = "SPEND"    // purchase → spent, when the goods are there
)

// Entry is one double entry: amount fen leave From and enter To.
type Entry struct {
	bun.BaseModel `bun:"table:ledger_entry"`

	ID       id.ID `bun:",pk"`
	Kind     EntryKind
	From     string `bun:"from_account"`
	To       string `bun:"to_account"`
	Amount   int64
	Pledge   id.ID  `bun:",nullzero"`
	Purchase id.ID  `bun:",nullzero"`
	Reverses id.ID  `bun:",nullzero"` // the entry that this one takes back
	Voucher  string `bun:",nullzero"`
	Actor    id.ID  `bun:",nullzero"`
	At       time.Time
}

// Ref is the entry in links.
func (e *Entry) Ref() outbox.Ref { return outbox.Ref{Kind: "led", ID: e.ID} }

// Thanks is a thank-you that is owed for what a pledge paid.
type Thanks struct {
	bun.BaseModel `bun:"table:thanks"`

	ID       id.ID `bun:",pk"`
	Pledge   id.ID
	Purchase id.ID
	Entry    id.ID
	OwedAt   time.Time
	DoneAt   time.Time `bun:",nullzero"`
	DoneBy   id.ID     `bun:",nullzero"`
	VoidAt   time.Time `bun:",nullzero"` // the purchase was cancelled; nothing is owed
}

// Ref is the thanks in links.
func (t *Thanks) Ref() outbox.Ref { return outbox.Ref{Kind: "thk", ID: t.ID} }

// Personal fields of a contact.
const (
	FieldName   = "sponsor.name"
	FieldPhone  = "sponsor.phone"
	FieldEmail  = "sponsor.email"
	FieldWeChat = "sponsor.wechat"
	FieldQQ     = "sponsor.qq"
)

// keepContacts is how long contacts are kept after the last touch.
const keepContacts = 24 // months

func init() {
	for _, f := range []struct{ name, zh, en string }{
		{FieldName, "赞助方联系人姓名", "name of a sponsor's contact"},
		{FieldPhone, "赞助方联系电话", "phone of a sponsor's contact"},
		{FieldEmail, "赞助方联系邮箱", "e-mail of a sponsor's contact"},
		{FieldWeChat, "赞助方联系微信", "WeChat name of a sponsor's contact"},
		{FieldQQ, "赞助方联系 QQ", "QQ number of a sponsor's contact"},
	} {
		org.RegisterFields(org.Field{Name: f.name, Basis: org.ByConsent, Label: org.Text{Zh: f.zh, En: f.en},
			Purpose:   org.Text{Zh: "商谈赞助、寄送收据和致谢", En: "to agree on a gift, to send the receipt and thanks"},
			Sees:      org.Text{Zh: "外联部，每次查看留痕", En: "the external relations department, each look is recorded"},
			Retention: org.Text{Zh: "最后一次联系后 24 个月", En: "24 months after the last touch"},
			Contact:   org.Text{Zh: "外联部部长", En: "the head of external relations"}})
	}
}
