//go:build !fault

package fault

// At is a point where a binary built with the tag fault may pause or die; in
// any other binary it is empty.
func At(string) {}

// Enabled says whether this binary can inject faults.
const Enabled = false
