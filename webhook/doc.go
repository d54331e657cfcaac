// Package webhook tells servers of others what happened: an administrator adds
// an endpoint, and each event that it subscribes to is posted there as JSON,
// signed as the Standard Webhooks specification says
// (github.com/standard-webhooks/standard-webhooks, symmetric signatures).
//
// An event carries a number, a kind, a state and a link, never a person's data.
//
// OnEvent writes one delivery row for each endpoint that subscribes. OnSend
// carries an endpoint's deliveries one after the other, in three steps and
// never inside a transaction: take the next one (attempt, lease), post, record.
// So an endpoint that hangs holds up nobody but itself, and events about one
// object are first posted in the order of its versions. A post whose outcome is
// unknown is repeated under the same webhook-id and counted as a possible
// duplicate.
//
// No secret is stored: an endpoint's is made of the server's key, the
// endpoint's identifier and the number of the rotation.
package webhook
