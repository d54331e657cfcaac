// Package flow is the pure core of approvals: what a definition means, what a
// command does to a request, and why a request waits.
//
// A request is the fold of its events. Decide turns one command into events,
// Evolve applies one event, and neither reads a clock, a database, a random
// source or the order of a map: whatever Decide must know about the world
// (the hour, who holds which seat, what a guard says, when a step is due)
// comes in as Facts and is written into the events. Replaying events therefore
// evaluates nothing again, and a later change of definition, directory or
// calendar cannot change history.
//
// Person and seat identifiers are opaque strings. Free text never enters an
// event: a Note names an erasable row and carries its keyed digest.
package flow
