// Package notify tells people what concerns them. A command calls Put in its
// own transaction; what follows is background work in the order
//
//	route → silence → dedupe → send → record
//
// OnRequested decides once per notification which channels carry it and writes
// one delivery row for each, with the reason where nothing is sent. OnSend
// carries one delivery outside in three steps, never inside a transaction:
// take the row (attempt, lease), send, record. Inside the database everything
// happens exactly once; outside at least once, with a stable Message-ID, and a
// send whose outcome is unknown is counted as a possible duplicate.
//
// Channels are the inbox of people with an account, e-mail (a QQ number is a
// mailbox too), and the to-tell list 待通知 for those who left nothing but a
// phone or WeChat number: a line with ready text that somebody ticks off.
//
// Nothing here holds an address: contacts are personal rows, read at the
// moment of sending, so an erased person cannot be written to.
package notify
