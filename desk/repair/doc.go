// Package repair is the repair desk: tickets from students, who need no
// account, and from incidents of the network, given to technicians by package
// dispatch and followed to their end.
//
// What may happen to a ticket stands in one table, Machine. A ticket row holds
// no personal data: what a stranger wrote and how to reach them are personal
// values whose subject is the ticket, so that one deletion forgets them, and
// notes of technicians are kept the same way.
package repair
