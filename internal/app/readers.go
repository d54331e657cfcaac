package app

import (
	"context"

	"kelian/internal/outbox"
	"kelian/org"
)

// readers says who may see an object of any domain, by the cards of a trace.
type readers struct{ a *App }

func (r readers) MayRead(ctx context.Context, actor org.Actor, ref outbox.Ref) (bool, error) {
	return r.a.Tracer.Sees(ctx, actor, ref)
}

// rules are those of the doors themselves.
func rules() []org.Rule {
	return []org.Rule{}
}
