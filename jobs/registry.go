// Package jobs is the asynq door: the relay that carries outbox rows to Redis,
// the worker that gives them to the domains' handlers, and the loops that run
// beside them. Redis may be emptied at any moment: work is late, never lost.
package jobs

import (
	"context"
	"fmt"

	"kelian/internal/outbox"
)

// Handler does one delivery: exactly one store.InTx under d.Command(), or for
// a sender the three steps that package outbox describes.
type Handler func(ctx context.Context, d outbox.Delivery) error

// Registry knows who handles which topic. Every process builds the whole of
// it, whatever its roles, for it also routes what is put.
type Registry struct{ handlers map[string]Handler }

// NewRegistry makes an empty registry.
func NewRegistry() *Registry { return &Registry{handlers: map[string]Handler{}} }

// Handle binds the consumer's handler for the topic; doing it twice panics.
func (r *Registry) Handle(topic, consumer string, h Handler) { r.HandleWhile(topic, consumer, "", h) }

// HandleWhile is Handle for a consumer who seldom exists; see outbox.RouteWhile.
func (r *Registry) HandleWhile(topic, consumer, condition string, h Handler) {
	key := topic + " " + consumer
	if r.handlers[key] != nil {
		panic("jobs: handler bound twice: " + key)
	}
	r.handlers[key] = h
	outbox.RouteWhile(topic, consumer, condition)
}

// Run gives the delivery to its handler.
func (r *Registry) Run(ctx context.Context, d outbox.Delivery) error {
	h := r.handlers[d.Topic+" "+d.Consumer]
	if h == nil {
		return outbox.Permanent(fmt.Errorf("no handler for %s → %q", d.Topic, d.Consumer))
	}
	return h(ctx, d)
}
