package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
)

// Change is what a subscriber is told: an event that is committed for good.
type Change struct {
	Topic     string
	Aggregate id.ID
	Version   int64
	Payload   string
	Resync    bool // events were missed: read everything anew
}

// Feed fans committed events out to the subscribers of this process. It reads
// the table below the commit horizon, so it misses no event of a transaction
// that committed late; other processes' events reach it the same way.
type Feed struct {
	db   *store.DB
	log  *slog.Logger
	mu   sync.Mutex
	subs map[*Subscription]bool
	at   cursor
}

type cursor struct{ xid, seq int64 }

// Subscription is one subscriber's queue of at most 64 changes.
type Subscription struct {
	C      <-chan Change
	c      chan Change
	topics map[string]bool
	lagged bool
}

const subscriberQueue = 64

// NewFeed makes a feed that starts at what is committed now.
func NewFeed(ctx context.Context, db *store.DB, log *slog.Logger) (*Feed, error) {
	f := &Feed{db: db, log: log, subs: map[*Subscription]bool{}}
	if db.Postgres() {
		err := db.R.NewRaw(`SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1`).Scan(ctx, &f.at.xid)
		f.at.seq = 1 << 62
		return f, store.Busy(err)
	}
	err := db.R.NewRaw(`SELECT COALESCE(max(seq), 0) FROM outbox`).Scan(ctx, &f.at.seq)
	return f, store.Busy(err)
}

// Subscribe adds a subscriber to the topics; cancel ends it.
func (f *Feed) Subscribe(topics ...string) (*Subscription, func()) {
	c := make(chan Change, subscriberQueue)
	s := &Subscription{C: c, c: c, topics: map[string]bool{}}
	for _, t := range topics {
		s.topics[t] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subs[s] = true
	return s, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.subs, s)
	}
}

// Run reads until ctx ends: on each poke and every second.
func (f *Feed) Run(ctx context.Context) {
	wake, stop := Wake()
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := f.Read(ctx); err != nil && ctx.Err() == nil {
			f.log.Warn("feed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
		}
	}
}

type feedRow struct {
	Xid, Seq  int64
	Topic     string
	Aggregate id.ID
	Version   int64
	Payload   string
}

var feedPostgres = store.NewHot("feed", `SELECT xid::text::bigint AS xid, seq, topic, aggregate, version, payload FROM outbox
	WHERE (xid, seq) > (?::text::xid8, ?::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot()) AND feed
	ORDER BY outbox.xid, outbox.seq LIMIT 1000`)

var feedSQLite = store.NewHot("feed", `SELECT 0 AS xid, seq, topic, aggregate, version, payload FROM outbox
	WHERE seq > ? AND feed ORDER BY seq LIMIT 1000`)

// Read fans out what was committed since the last Read.
func (f *Feed) Read(ctx context.Context) error {
	for {
		var rows []feedRow
		var err error
		if f.db.Postgres() {
			err = feedPostgres.Scan(ctx, f.db, &rows, f.at.xid, f.at.seq)
		} else {
			err = feedSQLite.Scan(ctx, f.db, &rows, f.at.seq)
		}
		if err != nil {
			return err
		}
		for _, r := range rows {
			f.send(Change{Topic: r.Topic, Aggregate: r.Aggregate, Version: r.Version, Payload: r.Payload})
			f.at = cursor{r.Xid, r.Seq}
		}
		if len(rows) < 1000 {
			return nil
		}
	}
}

func (f *Feed) send(c Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.subs {
		if !s.topics[c.Topic] {
			continue
		}
		if s.lagged {
			// One place stays free for the word that events were missed.
			if len(s.c) < subscriberQueue/2 {
				s.lagged = false
			} else {
				continue
			}
		}
		if len(s.c) < subscriberQueue-1 {
			s.c <- c
			continue
		}
		s.lagged = true
		s.c <- Change{Topic: c.Topic, Resync: true}
	}
}
