package jobs

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// bell tells this process's servers that something was enqueued. Only a queue
// inside this process has one: everything enters it by the relay and Sweeps of
// the same process.
type bell struct {
	mu   sync.Mutex
	next chan struct{}
}

func newBell() *bell { return &bell{next: make(chan struct{})} }

// ring wakes whoever waits; nobody hears a nil bell.
func (b *bell) ring() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.next)
	b.next = make(chan struct{})
}

// ringing gives the channel that the next ring closes.
func (b *bell) ringing() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}

// idleFor is the net under a ring that was missed.
const idleFor = time.Second

// idle is a hook on the connection of one asynq server. asynq only knows to ask
// an empty queue again after a while, and asking a Redis inside the process
// often enough costs a sixth of a processor; so once all queues of the server
// have answered "nothing" since the last ring, the last of these answers is held
// back until the next one.
type idle struct {
	bell   *bell
	queues int             // how many the server takes from
	stop   <-chan struct{} // closed when the server ends

	mu    sync.Mutex
	heard <-chan struct{}
	empty map[string]bool // queues found empty since heard
}

// DialHook changes nothing.
func (h *idle) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook changes nothing.
func (h *idle) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook holds back the answer to a look into the last empty queue.
func (h *idle) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		queue := taken(cmd)
		if queue == "" {
			return next(ctx, cmd)
		}
		h.look()
		err := next(ctx, cmd)
		if quiet := h.found(queue, err == redis.Nil); quiet != nil { //nolint:errorlint // go-redis compares it so
			net := time.NewTimer(idleFor)
			defer net.Stop()
			select {
			case <-quiet:
			case <-h.stop:
			case <-net.C:
			}
		}
		return err
	}
}

// look forgets what was found before the last ring.
func (h *idle) look() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.bell.ringing(); c != h.heard {
		h.heard = c
		clear(h.empty)
	}
}

// found books the answer, and gives the ring to wait for when every queue is
// empty.
func (h *idle) found(queue string, nothing bool) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !nothing {
		delete(h.empty, queue)
		return nil
	}
	h.empty[queue] = true
	if len(h.empty) < h.queues {
		return nil
	}
	clear(h.empty)
	return h.heard
}

// taken is the key of the queue from which asynq's script takes a task; "" for
// any other command.
func taken(cmd redis.Cmder) string {
	args := cmd.Args()
	if len(args) < 5 || !strings.HasPrefix(cmd.Name(), "eval") {
		return ""
	}
	pending, _ := args[3].(string)
	paused, _ := args[4].(string)
	if strings.HasSuffix(pending, ":pending") && strings.HasSuffix(paused, ":paused") {
		return pending
	}
	return ""
}
