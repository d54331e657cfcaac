package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"

	"github.com/hibiken/asynq"
)

// Timing holds the limits that a test may shorten.
type Timing struct {
	Visibility time.Duration // a row sent and not done after it is sent again
	Handler    time.Duration // a handler's time
	Poll       time.Duration // the net under lost pokes
}

// Shipped is the timing of a running service.
var Shipped = Timing{Visibility: outbox.Visibility, Handler: 20 * time.Second, Poll: time.Second}

// enqueueLanes send to Redis at once, for each send is a round trip.
const enqueueLanes = 16

// relayPause lies between the beginnings of two carries: under load each commit
// pokes, and a carry of many rows costs little more than one of a single row.
const relayPause = 3 * time.Millisecond

// together bounds the rows of one object that travel as one task: they are
// handled one after the other, because each would wait for the object's lock.
const together = 20

const taskType = "outbox"

// taskID of the rows that travel together is that of the first one's attempt.
func taskID(task []outbox.Claimed) string {
	return task[0].ID.String() + ":" + strconv.Itoa(task[0].Attempt)
}

// Relay carries due rows of every queue to Redis until ctx ends. Any number of
// relays may run.
type Relay struct {
	DB     *store.DB
	Clock  clock.Clock
	Redis  *Redis
	Log    *slog.Logger
	Timing Timing
}

// Run claims on each poke and at least once per poll.
func (r Relay) Run(ctx context.Context) {
	client := asynq.NewClient(r.Redis.opt)
	defer func() { _ = client.Close() }()
	wake, stop := outbox.Wake()
	defer stop()
	tick := time.NewTicker(r.Timing.Poll)
	defer tick.Stop()
	if r.Redis.InProcess() {
		// What the process before this one had sent went with its queue.
		r.reclaim(ctx, 0)
	}
	var healthy = true
	for {
		pause := time.After(relayPause)
		err := r.carry(ctx, client)
		if ctx.Err() != nil {
			return
		}
		if err != nil && healthy {
			r.Log.Warn("the relay cannot carry; it goes on trying", "error", err)
		} else if err == nil && !healthy {
			r.Log.Info("the relay carries again")
		}
		healthy = err == nil
		select {
		case <-ctx.Done():
			return
		case <-pause:
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-tick.C:
			r.reclaim(ctx, r.Timing.Visibility)
		}
	}
}

func (r Relay) reclaim(ctx context.Context, visibility time.Duration) {
	if n, err := outbox.Reclaim(ctx, r.DB, visibility); err == nil && n > 0 {
		r.Log.Info("rows were not done in time and are sent again", "rows", n)
	}
}

// carry empties every queue into Redis, a batch at a time.
func (r Relay) carry(ctx context.Context, client *asynq.Client) error {
	var errs []error
	for _, queue := range outbox.Queues {
		for {
			rows, err := outbox.Claim(ctx, r.DB, queue, r.Clock.Now())
			if err != nil || len(rows) == 0 {
				errs = append(errs, err)
				break
			}
			fault.At("before-enqueue")
			failed, err := r.enqueue(ctx, client, queue, rows)
			fault.At("after-enqueue")
			if err != nil {
				errs = append(errs, err, outbox.Release(context.WithoutCancel(ctx), r.DB, failed)) // also while it stops
				break
			}
			if len(rows) < outbox.Batch {
				break
			}
		}
	}
	return errors.Join(errs...)
}

func (r Relay) enqueue(ctx context.Context, client *asynq.Client, queue string, rows []outbox.Claimed) (failed []outbox.Claimed, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	lanes := make(chan struct{}, enqueueLanes)
	for _, task := range tasks(queue, rows) {
		lanes <- struct{}{}
		wg.Go(func() {
			defer func() { <-lanes }()
			payload, _ := json.Marshal(task)
			_, e := client.EnqueueContext(ctx, asynq.NewTask(taskType, payload), asynq.TaskID(taskID(task)),
				asynq.Queue(queue), asynq.MaxRetry(0), asynq.Timeout(time.Duration(len(task))*r.Timing.Handler))
			r.Redis.bell.ring()
			if e != nil && !errors.Is(e, asynq.ErrTaskIDConflict) {
				mu.Lock()
				defer mu.Unlock()
				failed, err = append(failed, task...), e
			}
		})
	}
	wg.Wait()
	return failed, err
}

// tasks puts rows about the same object together. What goes outside travels
// alone: there a row waits for somebody else's server, not for a lock.
func tasks(queue string, rows []outbox.Claimed) (out [][]outbox.Claimed) {
	at := map[id.ID]int{}
	for _, row := range rows {
		k, ok := at[row.Aggregate]
		if ok && len(out[k]) < together && queue == outbox.QueueDefault && !row.Aggregate.IsZero() {
			out[k] = append(out[k], row)
			continue
		}
		at[row.Aggregate] = len(out)
		out = append(out, []outbox.Claimed{row})
	}
	return out
}
