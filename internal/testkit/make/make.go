// Package make has factories for tests: the federation with people on its
// seats, and a runner that carries outbox rows to handlers in the test's own
// goroutine, so that nothing has to be waited for.
package make

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
)

// InTx runs fn in a transaction and fails the test if it is refused.
func InTx(t testing.TB, db *store.DB, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	_, err := store.InTx(context.Background(), db, store.Internal("test"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		return struct{}{}, fn(ctx, tx)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Federation creates the units and seats of the template.
func Federation(t testing.TB, db *store.DB) {
	t.Helper()
	if _, err := org.Seed(context.Background(), db, testkit.Clock(), org.Template()); err != nil {
		t.Fatal(err)
	}
}

// Officer creates a person with an account's rights on the seats, in office
// since a month before testkit.Start.
func Officer(t testing.TB, db *store.DB, name string, seats ...string) id.ID {
	t.Helper()
	return Person(t, db, org.Officer, name, seats...)
}

// Person creates a person of the kind.
func Person(t testing.TB, db *store.DB, kind org.PersonKind, name string, seats ...string) id.ID {
	t.Helper()
	p := id.New()
	InTx(t, db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO person (id, kind, lang, search, created_at) VALUES (?, ?, 'zh', '', ?)`, p, kind, testkit.Start)
		org.SetPersonal(tx, testkit.Key, p, testkit.Start, time.Time{}, map[string]string{org.FieldName: name})
		for _, s := range seats {
			tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) SELECT ?, id, ?, 'FULL', ? FROM seat WHERE name = ?`,
				id.New(), p, testkit.Start.AddDate(0, -1, 0), s)
		}
		return nil
	})
	return p
}

// Contact adds a way to reach the person: phone, qq, wechat or email.
func Contact(t testing.TB, db *store.DB, person id.ID, kind, value string) {
	t.Helper()
	InTx(t, db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(`INSERT INTO contact (id, person_id, kind, value, created_at) VALUES (?, ?, ?, ?, ?)`, id.New(), person, kind, value, testkit.Start)
		return nil
	})
}

// Handlers maps a topic, or "topic consumer" where it has several, to the
// handler of its rows.
type Handlers map[string]func(context.Context, outbox.Delivery) error

// Route makes the topics known to the outbox of this process.
func (h Handlers) Route() {
	for key := range h {
		topic, consumer, ok := strings.Cut(key, " ")
		if !ok {
			consumer = "test"
		}
		outbox.Route(topic, consumer)
	}
}

// Drain carries every row that is due, and what comes of it, to its handler;
// it gives the topics in the order of handling. A handler's error fails the
// test.
func (h Handlers) Drain(t testing.TB, db *store.DB, c clock.Clock) []string {
	t.Helper()
	ctx := context.Background()
	var topics []string
	for range 100 {
		n := 0
		for _, q := range outbox.Queues {
			rows, err := outbox.Claim(ctx, db, q, c.Now())
			if err != nil {
				t.Fatal(err)
			}
			n += len(rows)
			for _, r := range byDue(t, db, rows) {
				topics = append(topics, h.one(t, db, r)...)
			}
		}
		if n == 0 {
			return topics
		}
	}
	t.Fatal("the outbox does not run dry")
	return nil
}

// byDue sorts rows by when they were due, as time would have brought them one
// after the other.
func byDue(t testing.TB, db *store.DB, rows []outbox.Claimed) []outbox.Claimed {
	t.Helper()
	due := map[id.ID]time.Time{}
	for _, r := range rows {
		d, err := outbox.Load(context.Background(), db, r.ID, r.Attempt)
		if err != nil {
			t.Fatal(err)
		}
		due[r.ID] = d.DueAt
	}
	slices.SortStableFunc(rows, func(a, b outbox.Claimed) int { return due[a.ID].Compare(due[b.ID]) })
	return rows
}

func (h Handlers) one(t testing.TB, db *store.DB, r outbox.Claimed) []string {
	t.Helper()
	d, err := outbox.Load(context.Background(), db, r.ID, r.Attempt)
	if errors.Is(err, store.ErrStale) {
		return nil // voided by a row handled before it
	}
	if err != nil {
		t.Fatal(err)
	}
	f := h[d.Topic]
	if f == nil {
		f = h[d.Topic+" "+d.Consumer]
	}
	if f == nil {
		t.Fatalf("nobody handles %s for %q", d.Topic, d.Consumer)
	}
	if err := f(context.Background(), d); err != nil && !errors.Is(err, store.ErrStale) {
		t.Fatalf("%s: %v", d.Topic, err)
	}
	return []string{d.Topic}
}
