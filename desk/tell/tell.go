// Package tell is how a desk has people told of something: the desk says what,
// whoever the composition root binds writes it with the transaction.
package tell

import (
	"context"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// Message is what a desk wants somebody to know. Its fields are those of
// notify.Message, so that one converts to the other.
type Message struct {
	Topic    string
	To       id.ID             // a person, or
	Subject  id.ID             // an object whose own contact is meant
	Ref      outbox.Ref        // the object it is about
	Params   map[string]string // no personal data
	Path     string            // "" = the object's trace
	Unit     string            // whose people tell it by phone; "" = office
	Lang     string            // "" = the recipient's
	Critical bool
	At       time.Time
}

// Teller writes a message with the transaction; nil tells nobody.
type Teller func(tx *store.Tx, m Message)

// Person tells one person; nobody for the zero id.
func (t Teller) Person(tx *store.Tx, person id.ID, m Message) {
	if t == nil || person.IsZero() {
		return
	}
	m.To = person
	t(tx, m)
}

// Seats tells everybody who holds one of the seats at m.At, each once.
func (t Teller) Seats(ctx context.Context, tx *store.Tx, m Message, seats ...string) error {
	r := store.NewReads(tx)
	tell := t.Ask(r, m.At, seats...)
	if err := r.Run(ctx); err != nil {
		return err
	}
	tell(tx, m)
	return nil
}

// Ask is Seats beside other reads: what it gives tells everybody who holds one
// of the seats at time at, each once, after the reads have run.
func (t Teller) Ask(r *store.Reads, at time.Time, seats ...string) func(tx *store.Tx, m Message) {
	if t == nil {
		return func(*store.Tx, Message) {}
	}
	holders := org.AskHolders(r, at, seats...)
	return func(tx *store.Tx, m Message) {
		told := map[id.ID]bool{}
		for _, h := range holders() {
			if !told[h.Person] {
				told[h.Person] = true
				t.Person(tx, h.Person, m)
			}
		}
	}
}
