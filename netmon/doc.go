// Package netmon watches the federation's network: hosts and their checks, the
// rounds that sweepers bring, and the incidents that the judge makes of them.
//
// Sweeping and judging are two jobs of a [Monitor]. Each epoch (a Unix second,
// a multiple of the interval) every shard of hosts is swept once by whoever
// claims it first, which leaves exactly one row in the table round. One process
// judges, by a database lease: it waits for the epoch's rounds, lets package
// judge decide and commits states, transitions, incidents and events in one
// transaction. [Service] is what doors call: managing hosts, acknowledging
// incidents, reading.
//
// The packets are package probe's, the decisions package judge's; this package
// is the shell that gives both a database.
package netmon
