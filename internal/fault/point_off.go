//go:build !fault

package fault

// At is a point (of something, where it says of what) where a binary built with the tag fault may pause or die; in
// any other binary it is empty.
func At(string, ...string) {}

// Forgets is a planted bug that is compiled away.
func Forgets(string) bool { return false }

// Enabled says whether this binary can inject faults.
const Enabled = false

// The planted bugs of a binary for fault tests; here they are compiled away.
const (
	BugDone    = false
	BugEffect  = false
	BugAttempt = false
)
