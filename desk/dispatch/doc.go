// Package dispatch gives tasks to people: who fits, who is free, whose turn it
// is, and why. Choose is the pure choice; the rest of the package keeps the
// assignments that come of it, for repair tickets and training tasks alike.
//
// Two promises stand in the schema, whoever dispatches at the same time: a task
// has at most one live assignment (a partial unique index), and nobody has more
// live assignments than the capacity (a counter row per person with a CHECK,
// raised by one conditional UPDATE).
package dispatch
