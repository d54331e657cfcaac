package outbox

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"kelian/internal/store"

	"github.com/uptrace/bun/driver/pgdriver"
)

// Channel is PostgreSQL's notification channel that wakes other processes.
const Channel = "kelian_outbox"

var wake struct {
	sync.Mutex
	subs map[chan struct{}]bool
}

// Wake gives a channel that gets a value soon after a row was put by this
// process (or by another one, while Notify runs), and its cancel function.
// It is a hint: the reader polls each second all the same.
func Wake() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	wake.Lock()
	defer wake.Unlock()
	if wake.subs == nil {
		wake.subs = map[chan struct{}]bool{}
	}
	wake.subs[c] = true
	return c, func() {
		wake.Lock()
		defer wake.Unlock()
		delete(wake.subs, c)
	}
}

var local = make(chan struct{}, 1)

func poke() {
	broadcast()
	select {
	case local <- struct{}{}:
	default:
	}
}

func broadcast() {
	wake.Lock()
	defer wake.Unlock()
	for c := range wake.subs {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Notify carries pokes between processes on PostgreSQL until ctx ends: at once
// and then at most once per 10 ms, outside of any transaction, for a NOTIFY
// inside one makes commits wait for each other.
func Notify(ctx context.Context, db *store.DB, log *slog.Logger) {
	if !db.Postgres() {
		return
	}
	go listen(ctx, db, log)
	for {
		select {
		case <-ctx.Done():
			return
		case <-local:
		}
		if _, err := db.Bun().ExecContext(ctx, "NOTIFY "+Channel); err != nil && ctx.Err() == nil {
			log.Warn("notify failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func listen(ctx context.Context, db *store.DB, log *slog.Logger) {
	for ctx.Err() == nil {
		ln := pgdriver.NewListener(db.Bun())
		if err := ln.Listen(ctx, Channel); err != nil {
			log.Warn("listen failed", "error", err)
			_ = ln.Close()
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
			continue
		}
		ch := ln.Channel()
		for alive := true; alive; {
			select {
			case <-ctx.Done():
				alive = false
			case _, ok := <-ch:
				alive = ok
				broadcast()
			}
		}
		_ = ln.Close()
	}
}
