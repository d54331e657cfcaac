// Package app is the composition root: the only place that knows every room of
// the house. It opens what the process needs, binds the domains to each other
// and to the doors, and runs the roles.
package app

// Version is set by the release build.
var Version = "dev"
