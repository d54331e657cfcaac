package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
)

// Message is what a command wants somebody to know. One of To and Subject is
// set.
type Message struct {
	Topic    string            // one of Topics
	To       id.ID             // a person
	Subject  id.ID             // an object whose own contact is meant, e.g. a ticket: its personal values email, qq, phone, wechat, also as contact.email and so on
	Ref      outbox.Ref        // the object it is about
	Params   map[string]string // values of the template, no personal data; "state.zh" and "state.en" give {state} in each language
	Path     string            // the page to open, e.g. /t/<token>; "" = the object's trace
	Unit     string            // whose people tell it where only a phone is known; "" = office
	Lang     string            // zh or en; "" = the recipient's
	Critical bool              // passes quiet hours, cannot be muted
	At       time.Time         // business time
}

// RefKind is the TypeID prefix of notifications.
const RefKind = "ntf"

// Put writes the notification with the transaction of what it tells, and the
// event that has it delivered. An unknown topic, or none or both of To and
// Subject, is a mistake of the program and panics.
func Put(tx *store.Tx, m Message) {
	if _, ok := templates[m.Topic]; !ok {
		panic("notify: no template for the topic " + m.Topic)
	}
	if m.To.IsZero() == m.Subject.IsZero() {
		panic("notify: " + m.Topic + " needs one of To and Subject")
	}
	params := []byte("{}")
	if len(m.Params) > 0 {
		params, _ = json.Marshal(m.Params) // sorted by key; a map of strings always encodes
	}
	if m.Unit == "" {
		m.Unit = "office"
	}
	if m.Path == "" && !m.Ref.ID.IsZero() {
		m.Path = "/trace/" + m.Ref.String()
	}
	if m.Path == "" {
		m.Path = "/inbox"
	}
	n := &Notification{ID: id.New(), Topic: m.Topic, Person: m.To, Subject: m.Subject, RefKind: m.Ref.Kind, RefID: m.Ref.ID,
		Unit: m.Unit, Lang: m.Lang, Params: string(params), Path: m.Path, Critical: m.Critical, At: m.At}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s %s %s", n.Topic, n.recipient(), n.RefID, n.Params, n.Path))
	n.Dedupe = hex.EncodeToString(sum[:])
	tx.Queue(tx.DB.Bun().NewInsert().Model(n))
	if !m.Ref.ID.IsZero() {
		outbox.Link(tx, m.Ref, outbox.Ref{Kind: RefKind, ID: n.ID}, "told", m.At)
	}
	outbox.Put(tx, outbox.Event{Topic: "notify.requested", Aggregate: n.recipient(), Payload: requested{n.ID}})
}

type requested struct {
	Notification id.ID `json:"notification"`
}
