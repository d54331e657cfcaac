// Package auth knows who somebody is: accounts with passwords, sessions, API
// tokens, one-time links, and how newcomers claim the account that the office
// prepared for them. What somebody may do is org's.
//
// Nothing secret is stored as it is: passwords as argon2id, sessions, tokens
// and links as SHA-256. No secret stands in an outcome, an audit row, an event
// or a log; the functions that make one hand it to their caller once.
//
// Limits on guessing stand in the database, so that every process counts
// together. They protect an account (5 failures in 15 minutes, then locked for
// 1, 2, 4, 8, 15 minutes) and slow an address (20 failures in 15 minutes, 300
// on the campus, where thousands share one address). An address beyond its
// limit is slowed and not locked out: second guesses queue, so that those who
// know their password still get in at once.
package auth
