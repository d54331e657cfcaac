// Package request is what the desks need to know of an approval request: they
// declare it, the composition root binds it to the workflows.
package request

import (
	"context"
	"time"

	"kelian/internal/id"

	"github.com/uptrace/bun"
)

// Meta is what a desk needs to know of a request beside its form.
type Meta struct {
	Number     string
	Title      string
	Requester  id.ID
	Unit       string    // code of the unit that asks
	Definition string    // key
	Status     string    // OPEN, RETURNED, APPROVED, REJECTED, WITHDRAWN, STOPPED, SUPERSEDED or EXPIRED
	ClosedAt   time.Time // zero: still open
	Amends     id.ID     // the approved request that it is to take the place of; zero: none
}

// Reader reads a request's present form; an absent one is fault.Missing.
type Reader interface {
	Form(ctx context.Context, q bun.IDB, request id.ID) (map[string]any, Meta, error)
}
