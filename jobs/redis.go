package jobs

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Redis is the connection to the queue: a server, or one inside this process
// that listens on no port and keeps nothing.
type Redis struct {
	opt    asynq.RedisConnOpt
	mini   *miniredis.Miniredis
	closed chan struct{} // of a Redis inside this process
	bell   *bell         // rung after each enqueue into a Redis inside this process; else nil
}

// OpenRedis uses the server at the address (redis://…), or for "" a Redis
// inside this process.
func OpenRedis(address string) (*Redis, error) {
	if address != "" {
		opt, err := asynq.ParseRedisURI(address)
		if err != nil {
			return nil, fmt.Errorf("KELIAN_REDIS_URL: %w", err)
		}
		// A frozen server may hold a caller for seconds, not for minutes.
		if o, ok := opt.(asynq.RedisClientOpt); ok {
			o.DialTimeout, o.ReadTimeout, o.WriteTimeout = 2*time.Second, 3*time.Second, 3*time.Second
			opt = o
		}
		return &Redis{opt: opt}, nil
	}
	r := &Redis{mini: miniredis.NewMiniRedis(), bell: newBell(), closed: make(chan struct{})}
	r.opt = inProcess{r.mini}
	go r.age()
	return r, nil
}

// age lets the keys of a Redis inside this process expire. Its own clock would
// sort all keys at every command.
func (r *Redis) age() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.mini.FastForward(time.Second)
		case <-r.closed:
			return
		}
	}
}

// InProcess says that the queue lives in this process only.
func (r *Redis) InProcess() bool { return r.mini != nil }

// Client opens a connection of its own, to look into the queue.
func (r *Redis) Client() redis.UniversalClient {
	return r.opt.MakeRedisClient().(redis.UniversalClient)
}

// serve runs an asynq server on a connection of its own until stop, which
// waits for the handlers. That Redis is away delays a server and stops none.
func (r *Redis) serve(c asynq.Config, h asynq.HandlerFunc) (stop func()) {
	client := r.Client()
	still := make(chan struct{})
	if r.bell != nil {
		client.AddHook(&idle{bell: r.bell, queues: len(c.Queues), stop: still, empty: map[string]bool{}})
		c.TaskCheckInterval = time.Millisecond
	}
	srv := asynq.NewServerFromRedisClient(client, c)
	if err := srv.Start(h); err != nil {
		panic("jobs: a new server does not start: " + err.Error())
	}
	return func() {
		close(still)
		srv.Shutdown()
		_ = client.Close()
	}
}

// Ping asks the queue whether it answers.
func (r *Redis) Ping(ctx context.Context) error {
	c := r.Client()
	defer func() { _ = c.Close() }()
	return c.Ping(ctx).Err()
}

// Close ends the Redis inside this process, if there is one.
func (r *Redis) Close() {
	if r.mini != nil {
		close(r.closed)
		r.mini.Close()
	}
}

type inProcess struct{ mini *miniredis.Miniredis }

func (p inProcess) MakeRedisClient() any {
	return redis.NewClient(&redis.Options{
		Addr: "in-process",
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			return p.mini.Dial()
		},
	})
}
