package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/outbox"
	"kelian/internal/store"

	"github.com/hibiken/asynq"
)

// Worker takes deliveries from Redis and gives them to their handlers.
type Worker struct {
	DB       *store.DB
	Clock    clock.Clock
	Redis    *Redis
	Registry *Registry
	Log      *slog.Logger
	Timing   Timing
	// Handled, if set, is told of each row that was done, and how long after
	// its transaction began it was.
	Handled func(topic string, d outbox.Delivery)
}

// The hands of a worker. Those for other people's servers are goroutines that
// wait, more than there may be such servers (webhook.Most).
const (
	hands     = 10
	hookHands = 64
)

// Start begins to work; the returned function stops taking, waits for the
// handlers and ends.
func (w *Worker) Start() (stop func()) {
	own := w.serve(hands, 5*time.Millisecond, outbox.QueueDefault, outbox.QueueSend)
	foreign := w.serve(hookHands, 100*time.Millisecond, outbox.QueueHook)
	return func() {
		var ending sync.WaitGroup
		ending.Go(own)
		ending.Go(foreign)
		ending.Wait()
	}
}

func (w *Worker) serve(hands int, look time.Duration, names ...string) (stop func()) {
	queues := map[string]int{}
	for _, q := range names {
		queues[q] = 1
	}
	return w.Redis.serve(asynq.Config{
		Concurrency:       hands,
		Queues:            queues,
		TaskCheckInterval: look,
		ShutdownTimeout:   25 * time.Second,
		Logger:            quiet{w.Log},
		LogLevel:          asynq.WarnLevel,
	}, w.handle)
}

// handle never returns an error to asynq: what happened to a row stands in
// the row. A row that a stop leaves behind is sent again after its visibility.
func (w *Worker) handle(ctx context.Context, t *asynq.Task) error {
	var list []outbox.Claimed
	if err := json.Unmarshal(t.Payload(), &list); err != nil {
		w.Log.Error("a task that is not ours", "type", t.Type())
		return nil
	}
	for len(list) > 0 && ctx.Err() == nil {
		d, rest, err := outbox.First(ctx, w.DB, list)
		if err != nil {
			if !errors.Is(err, store.ErrStale) {
				w.Log.Warn("deliveries could not be loaded; they are sent again", "rows", len(list), "error", err)
			}
			break
		}
		w.deliver(ctx, d)
		list = rest
	}
	return nil
}

func (w *Worker) deliver(ctx context.Context, d outbox.Delivery) {
	ctx, cancel := context.WithTimeout(ctx, w.Timing.Handler)
	defer cancel()
	fault.At("before-effect", d.Topic)
	err := w.run(ctx, d)
	fault.At("after-effect", d.Topic)
	if fault.BugDone && err == nil {
		err = w.finish(ctx, d)
	}
	switch {
	case err == nil:
		if w.Handled != nil {
			w.Handled(d.Topic, d)
		}
	case errors.Is(err, store.ErrStale):
	default:
		w.Log.Warn("a handler failed", "topic", d.Topic, "consumer", d.Consumer, "row", d.ID, "attempt", d.Attempt, "error", err)
		if err := outbox.Fail(context.WithoutCancel(ctx), w.DB, d, w.Clock.Now(), err); err != nil {
			w.Log.Warn("the failure could not be booked; the row is sent again", "row", d.ID, "error", err)
		}
	}
}

// finish marks a row done apart from its effect: the planted bug
// fault.BugDone, never called in a shipped binary.
func (w *Worker) finish(ctx context.Context, d outbox.Delivery) error {
	_, err := store.InTx(ctx, w.DB, store.Internal("planted"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		tx.QueueSQL(`UPDATE outbox SET state = 'done', done_at = ? WHERE id = ? AND state = 'sent'`, w.DB.Now(), d.ID)
		return struct{}{}, nil
	})
	return err
}

func (w *Worker) run(ctx context.Context, d outbox.Delivery) (err error) {
	defer func() {
		if r := recover(); r != nil {
			w.Log.Error("a handler panicked", "topic", d.Topic, "panic", r, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return w.Registry.Run(ctx, d)
}

// quiet gives asynq's own lines to the log.
type quiet struct{ log *slog.Logger }

func (q quiet) Debug(...any)      {}
func (q quiet) Info(...any)       {}
func (q quiet) Warn(args ...any)  { q.log.Warn(fmt.Sprint(args...), "from", "asynq") }
func (q quiet) Error(args ...any) { q.log.Error(fmt.Sprint(args...), "from", "asynq") }
func (q quiet) Fatal(args ...any) { q.log.Error(fmt.Sprint(args...), "from", "asynq") }
