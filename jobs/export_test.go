package jobs

import "github.com/redis/go-redis/v9"

// Bell and its hook, for the test of their timing alone.
type Bell struct{ *bell }

func NewBell() Bell { return Bell{newBell()} }

func (b Bell) Ring() { b.ring() }

func (b Bell) Hook(queues int, stop <-chan struct{}) redis.Hook {
	return &idle{bell: b.bell, queues: queues, stop: stop, empty: map[string]bool{}}
}
