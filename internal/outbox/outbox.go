// Package outbox keeps what a transaction causes: events for background work,
// timers, links between objects, deliveries to the outside, and the feed that
// subscriptions read. All of it is written inside the transaction of the
// change, by way of *store.Tx; the database is the only truth, Redis carries
// no more than {row, attempt}.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"

	"github.com/uptrace/bun"
)

// Event is a nudge: something changed about an aggregate. Its order is not
// promised; the handler reads the present state, and one about an older
// version is a no-op.
type Event struct {
	Topic     string    // "<domain>.<what>", e.g. workflow.approved
	Queue     string    // "" = default
	Aggregate id.ID     // the object it is about
	Version   int64     // the aggregate's version, where it has one
	Payload   any       // JSON; references only, never personal data
	DueAt     time.Time // business time; zero = at once
}

// Row is an outbox row as stored.
type Row struct {
	bun.BaseModel `bun:"table:outbox"`

	ID        id.ID `bun:",pk"`
	Topic     string
	Consumer  string // who handles the row, "" = nobody
	Feed      bool   // subscriptions read this one of the event's rows
	Queue     string
	Aggregate id.ID `bun:",nullzero"`
	Version   int64
	Payload   string
	Owner     id.ID   `bun:",nullzero"`
	Name      *string // the timer's name
	State     string
	Attempt   int
	Failures  int
	Error     *string
	DueAt     time.Time
	SentAt    time.Time `bun:",nullzero"`
	DoneAt    time.Time `bun:",nullzero"`
}

// Queues, each with a window of its own.
const (
	QueueDefault = "default"
	QueueSend    = "send" // effects outside of the database
	QueueHook    = "hook" // effects on servers of others, which may hang: they have hands of their own
)

// Queues lists every queue.
var Queues = []string{QueueDefault, QueueSend, QueueHook}

var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// routes says who handles a topic. The composition root fills it before the
// first command runs; every process knows the whole of it, whatever its roles.
var routes struct {
	sync.RWMutex
	to map[string][]route
}

type route struct{ consumer, while string }

// Route sends the topic's events to the consumer too; doing it again changes
// nothing. Each consumer gets a row of its own.
func Route(topic, consumer string) { RouteWhile(topic, consumer, "") }

// RouteWhile is Route for a consumer who seldom exists: it gets a row only
// while the condition, SQL of the program's own, holds in the transaction that
// puts the event.
func RouteWhile(topic, consumer, condition string) {
	routes.Lock()
	defer routes.Unlock()
	if routes.to == nil {
		routes.to = map[string][]route{}
	}
	if r := (route{consumer, condition}); !slices.Contains(routes.to[topic], r) {
		routes.to[topic] = append(routes.to[topic], r)
	}
}

func consumers(topic string) (always []string, sometimes []route) {
	routes.RLock()
	defer routes.RUnlock()
	for _, r := range routes.to[topic] {
		if r.while == "" {
			always = append(always, r.consumer)
		} else {
			sometimes = append(sometimes, r)
		}
	}
	return always, sometimes
}

// Put writes the event with the transaction: one row for each consumer, or one
// finished row for the feed when none is sure to be there.
func Put(tx *store.Tx, e Event) {
	row := newRow(e)
	row.Feed = true
	always, sometimes := consumers(e.Topic)
	if len(always) == 0 {
		row.State = "done"
		tx.Queue(insert(tx, row))
	}
	for _, c := range always {
		row.Consumer = c
		tx.Queue(insert(tx, row))
		row = newRow(e)
	}
	for _, r := range sometimes {
		row = newRow(e)
		tx.QueueSQL(`INSERT INTO outbox (id, topic, consumer, feed, queue, aggregate, version, payload, state, due_at)
			SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE ?`, row.ID, row.Topic, r.consumer, false, row.Queue, row.Aggregate, row.Version, row.Payload, row.State, row.DueAt, bun.Safe(r.while))
	}
	tx.OnCommit(poke)
	fault.At("before-commit", e.Topic)
	if fault.Enabled {
		tx.OnCommit(func() { fault.At("after-commit", e.Topic) })
	}
}

// Timer puts an event that is due later under the key (owner, name), for the
// topic's one consumer. Putting it again replaces it; Void of the owner takes
// it back.
func Timer(tx *store.Tx, owner id.ID, name string, e Event) {
	to, sometimes := consumers(e.Topic)
	if len(to) > 1 || len(sometimes) > 0 {
		panic("outbox: the timer " + e.Topic + " has more than one consumer, or one that is not always there")
	}
	row := newRow(e)
	row.Owner, row.Name = owner, &name
	row.Consumer = strings.Join(to, "")
	// In place, so that two transactions that put it at the same time both
	// commit. An attempt at the replaced one is stale, for its id is gone.
	q := insert(tx, row).On("CONFLICT (owner, name) WHERE owner IS NOT NULL AND state IN ('pending', 'sent') DO UPDATE")
	for _, column := range []string{"id", "topic", "consumer", "queue", "aggregate", "version", "payload", "state", "attempt", "failures", "error", "due_at", "sent_at"} {
		q = q.Set("? = EXCLUDED.?", bun.Ident(column), bun.Ident(column))
	}
	tx.Queue(q)
	tx.OnCommit(poke)
}

// Void takes back the owner's timers: all of them, or those named.
func Void(tx *store.Tx, owner id.ID, names ...string) {
	q := tx.DB.Bun().NewUpdate().Table("outbox").Set("state = 'void'").Where("owner = ?", owner).Where("state IN ('pending', 'sent')")
	if len(names) > 0 {
		q = q.Where("name IN (?)", bun.List(names))
	}
	tx.Queue(q)
}

// Rang books timers of the owner as done that a command let ring together with
// the one that brought it. One whose own delivery is under way is left to that:
// it holds its row, waits for the owner, and finds nothing to do.
func Rang(tx *store.Tx, owner id.ID, names ...string) {
	tx.QueueSQL(`UPDATE outbox SET state = 'done', done_at = ? WHERE id IN (
		SELECT id FROM outbox WHERE owner = ? AND state IN ('pending', 'sent') AND name IN (?) ?)`,
		tx.DB.Now(), owner, bun.List(names), tx.DB.Lock(true))
}

func newRow(e Event) *Row {
	payload := []byte("{}")
	if e.Payload != nil {
		var err error
		if payload, err = json.Marshal(e.Payload); err != nil {
			panic(fmt.Sprintf("outbox: payload of %s: %v", e.Topic, err))
		}
	}
	due := e.DueAt
	if due.IsZero() {
		due = epoch
	}
	if e.Queue == "" {
		e.Queue = QueueDefault
	}
	return &Row{ID: id.New(), Topic: e.Topic, Queue: e.Queue, Aggregate: e.Aggregate, Version: e.Version,
		Payload: string(payload), State: "pending", DueAt: due}
}

func insert(tx *store.Tx, row *Row) *bun.InsertQuery {
	return tx.DB.Bun().NewInsert().Model(row)
}

// Delivery is one attempt at one row, as a handler gets it.
type Delivery struct {
	Row
}

// Command is the guard under which the handler's transaction runs once.
func (d Delivery) Command() store.Command { return store.FromDelivery(d.ID, d.Attempt, d.Topic) }

// Decode reads the payload into v.
func (d Delivery) Decode(v any) error {
	if err := json.Unmarshal([]byte(d.Payload), v); err != nil {
		return Permanent(fmt.Errorf("payload of %s: %w", d.Topic, err))
	}
	return nil
}

// First reads the first of the rows that is still sent with the attempt it was
// claimed with, and gives what comes after it; store.ErrStale when none is. One
// statement looks at all of them, for a handler often does the rows that came
// along with its own.
func First(ctx context.Context, db *store.DB, rows []Claimed) (Delivery, []Claimed, error) {
	var live []Row
	ids := make([]id.ID, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	if err := db.R.NewSelect().Model(&live).Where("id IN (?)", bun.List(ids)).Where("state = 'sent'").Scan(ctx); err != nil {
		return Delivery{}, nil, store.Busy(err)
	}
	for i, r := range rows {
		for _, row := range live {
			if row.ID == r.ID && row.Attempt == r.Attempt {
				return Delivery{row}, rows[i+1:], nil
			}
		}
	}
	return Delivery{}, nil, store.ErrStale
}

// Load reads the row of a delivery; a row that is not sent with this attempt is
// store.ErrStale.
func Load(ctx context.Context, db *store.DB, row id.ID, attempt int) (Delivery, error) {
	d, _, err := First(ctx, db, []Claimed{{ID: row, Attempt: attempt}})
	return d, err
}
