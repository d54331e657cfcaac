package netmon

import (
	"context"
	"sync"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/netmon/probe"
	"kelian/org"
)

// Limits (docs/limits.md).
const (
	MaxName      = 80 // characters
	MaxBuildings = 20 // of a host
	MaxChecks    = 20 // of a host
	MaxGroups    = 16 // of needs, and hosts in one
	MaxNote      = 500
	MaxPings     = 10 // packets of one ping on demand
	PingEvery    = 5 * time.Second
	ShardSize    = 1500 // checks swept together
)

// Options of a Service.
type Options struct {
	Policy    *probe.Policy  // nil allows no target
	Prober    Prober         // for pings on demand; nil = there are none in this process
	Resolver  probe.Resolver // for targets that are names; nil = the system's
	ShardSize int            // checks of one shard; 0 = ShardSize
	Location  *time.Location // of times in words; nil = UTC
}

// Service manages hosts and incidents, and reads them.
type Service struct {
	db    *store.DB
	clock clock.Clock
	rules *org.Table
	Options

	mu    sync.Mutex
	cache snapshot
	pings map[id.ID]time.Time // the latest ping of a person
}

// New makes the service.
func New(db *store.DB, c clock.Clock, rules *org.Table, o Options) *Service {
	if o.Policy == nil {
		o.Policy = probe.NewPolicy(probe.PolicyOptions{})
	}
	if o.ShardSize <= 0 {
		o.ShardSize = ShardSize
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	return &Service{db: db, clock: c, rules: rules, Options: o, pings: map[id.ID]time.Time{}}
}

// command is what the service's commands share.
type command struct {
	s     *Service
	tx    *store.Tx
	actor org.Actor
	now   time.Time
}

// do runs fn as one command of the actor under the rule.
func do[T any](ctx context.Context, s *Service, actor org.Actor, mutation, key string, input any, rule string, fn func(ctx context.Context, c *command) (T, error)) (T, error) {
	now := s.clock.Now()
	cmd := store.Internal(mutation)
	if !actor.Person.IsZero() {
		cmd = store.FromClient(s.db, actor.Person, mutation, key, input)
	}
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (T, error) {
		var zero T
		judged, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return zero, err
		}
		if err := s.rules.Check(judged, rule, org.Object{Unit: "technical"}); err != nil {
			return zero, err
		}
		return fn(ctx, &command{s, tx, judged, now})
	})
}

// record writes who did it.
func (c *command) record(rule, action string, about outbox.Ref, data any) {
	audit.Record(c.tx, audit.Entry{Actor: c.actor.Person, Seat: c.s.rules.Under(c.actor, rule, org.Object{Unit: "technical"}),
		Action: action, Object: about, Data: data, At: c.now})
}

// may says whether the actor has the right for a read.
func (s *Service) may(ctx context.Context, actor org.Actor, rule string) (org.Actor, error) {
	judged, err := org.JudgeNow(ctx, s.db, actor, s.clock.Now())
	if err != nil {
		return actor, err
	}
	return judged, s.rules.Check(judged, rule, org.Object{Unit: "technical"})
}
