// Package e2e holds no code but tests: they walk through the whole house by its
// doors, as the people on the seats of the demo's federation.
package e2e
