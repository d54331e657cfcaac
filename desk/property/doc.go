// Package property is the desk of things: items and what is in stock of them,
// rooms and boards, reservations that never overlap, purchases from their
// approval to the day the goods arrive, and the register of seals.
//
// A reservation is HELD while the request that asks for it is undecided,
// RESERVED once it is approved and RELEASED when it is refused, withdrawn or
// stopped. That two of them never take the same place at the same time, and
// that no more of an item is lent than there is, stands in the schema; the code
// locks and looks first only to say it kindly.
//
// A purchase is created by an approval's effect, becomes FUNDED by a sponsor's
// allocation and ends as ARRIVED or CANCELLED; the machine is in machine.go.
package property
