package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
)

// Sweeps hands the monitor's shards to whoever is free. It is the one kind of
// work that does not pass the outbox: a lost task costs some 300 ms, for a
// monitor then takes the shard by itself, and a late one is worth nothing.
type Sweeps struct {
	redis  *Redis
	client *asynq.Client
}

const (
	sweepType  = "sweep"
	sweepQueue = "sweep"
)

type sweepTask struct {
	Shard int   `json:"shard"`
	Epoch int64 `json:"epoch"`
}

// NewSweeps opens the door to the queue.
func NewSweeps(r *Redis) *Sweeps { return &Sweeps{redis: r, client: asynq.NewClient(r.opt)} }

// Close closes it.
func (s *Sweeps) Close() { _ = s.client.Close() }

// Enqueue hands out one shard of one epoch. It waits for Redis no longer than
// the monitor's patience makes sense.
func (s *Sweeps) Enqueue(ctx context.Context, shard int, epoch int64, deadline time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 250*time.Millisecond)
	defer cancel()
	payload, err := json.Marshal(sweepTask{shard, epoch})
	if err != nil {
		return err
	}
	_, err = s.client.EnqueueContext(ctx, asynq.NewTask(sweepType, payload), asynq.Queue(sweepQueue),
		asynq.TaskID(fmt.Sprintf("sweep:%d:%d", shard, epoch)), asynq.MaxRetry(0), asynq.Deadline(deadline))
	s.redis.bell.ring()
	return err
}

// Sweeper takes shards from the queue and gives them to do.
type Sweeper struct {
	Redis *Redis
	Log   *slog.Logger
	Do    func(ctx context.Context, shard int, epoch int64) error
}

// Start begins to take; the returned function stops and waits.
func (s Sweeper) Start() (stop func()) {
	return s.Redis.serve(asynq.Config{
		Concurrency:       8,
		Queues:            map[string]int{sweepQueue: 1},
		TaskCheckInterval: 20 * time.Millisecond,
		ShutdownTimeout:   5 * time.Second,
		Logger:            quiet{s.Log},
		LogLevel:          asynq.ErrorLevel,
	}, func(ctx context.Context, t *asynq.Task) error {
		var task sweepTask
		if err := json.Unmarshal(t.Payload(), &task); err != nil {
			return nil
		}
		if err := s.Do(ctx, task.Shard, task.Epoch); err != nil {
			s.Log.Warn("a shard was not swept", "shard", task.Shard, "epoch", task.Epoch, "error", err)
		}
		return nil
	})
}
