package jobs_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kelian/jobs"

	"github.com/redis/go-redis/v9"
)

// server asks its queues for tasks as asynq does: all of them in any order, a
// pause of a millisecond when all were empty, and from the first again when one
// was not.
type server struct {
	mu    sync.Mutex
	tasks map[string]int
	looks int
	took  chan string
}

func (s *server) run(hook redis.Hook, stop <-chan struct{}, queues ...string) {
	look := hook.ProcessHook(func(_ context.Context, cmd redis.Cmder) error {
		time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond) // the way there
		defer time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.looks++
		q := cmd.Args()[3].(string)
		if s.tasks[q] == 0 {
			return redis.Nil
		}
		s.tasks[q]--
		s.took <- q
		return nil
	})
	for {
		select {
		case <-stop:
			return
		default:
		}
		found := false
		for _, i := range rand.Perm(len(queues)) {
			cmd := redis.NewCmd(context.Background(), "evalsha", "script", 4, queues[i]+":pending", queues[i]+":paused", "active", "lease")
			if found = look(context.Background(), cmd) == nil; found {
				break
			}
		}
		if !found {
			time.Sleep(time.Millisecond)
		}
	}
}

func (s *server) put(queue string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[queue+":pending"]++
}

func TestIdleServerHardlyAsksAndHearsTheBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bell, stop := jobs.NewBell(), make(chan struct{})
		s := &server{tasks: map[string]int{}, took: make(chan string, 10)}
		done := make(chan struct{})
		go func() { defer close(done); s.run(bell.Hook(2, stop), stop, "a", "b") }()
		time.Sleep(time.Minute) // of the bubble
		if s.looks > 150 {
			t.Fatalf("an idle minute took %d looks", s.looks)
		}
		for i := range 2000 {
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			put := time.Now()
			for range 1 + i%2 {
				s.put([]string{"a", "b"}[rand.IntN(2)])
				bell.Ring()
				time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
			}
			for range 1 + i%2 {
				<-s.took
			}
			if d := time.Since(put); d > 3*time.Millisecond {
				t.Fatalf("task %d waited %v", i, d)
			}
		}
		close(stop) // a server that ends is not kept waiting
		before := time.Now()
		<-done
		if d := time.Since(before); d > 2*time.Millisecond {
			t.Fatalf("the server ended after %v", d)
		}
	})
}
