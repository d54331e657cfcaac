//go:build !fault

package app

// faultOptions leaves a shipped binary as it is.
func faultOptions(*Options) {}
