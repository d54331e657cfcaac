// Package proof examines a workflow before it is published, in three layers:
//
//   - control: every state that a request can come to is explored with the
//     engine's own flow.Decide and flow.Evolve; from each of them an approval
//     must still be possible, and nothing may stay open once it is closed.
//   - data: the form is cut into cells on which every guard is constant;
//     branches nobody can take, forms no branch takes and forms two branches
//     claim are found exactly, with a form as witness.
//   - people: for everybody who may ask, each step must find enough different
//     people in the real directory, also after an escalation; that one person
//     is away must not stop it.
//
// What a layer could not finish within its budget is reported as bounded, never
// as proven. The package has no I/O: the caller hands in plain values.
package proof
