// Package file keeps what people upload: bytes once per content under their
// SHA-256 in the data directory, a row per upload that says whose it is and
// what it hangs on, and the HTTP door for both. Who may read a file is judged
// by the object it hangs on (Parent); a file that hangs on nothing yet is its
// owner's alone.
//
// A row is committed only after its bytes are durable, so a process that dies
// between the two leaves bytes that nobody names, and Sweep removes them.
package file
