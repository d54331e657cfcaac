// Package faulttest kills, empties, freezes and restarts what a real Kelian is
// made of, and checks that nothing acknowledged was lost and nothing happened
// twice (docs/faults.md). The tests need PostgreSQL and Redis and the build tag
// fault:
//
//	scripts/with-services.sh go test -tags fault ./internal/faulttest/
//	scripts/with-services.sh go test -tags fault -timeout 90m ./internal/faulttest/ -shipped
//
// The second line runs with the time limits of a shipped binary.
package faulttest
