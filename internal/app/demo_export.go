package app

import (
	"context"
	"net/netip"

	"kelian/internal/config"
)

// DemoAccount is one of the demo's people, as demo.json names them.
type DemoAccount = demoAccount

// SeedDemo fills an empty database with the demo's federation and its past.
// Of the options Network and ShardSize count.
func SeedDemo(ctx context.Context, c config.Config, o Options) ([]DemoAccount, error) {
	return seedDemo(ctx, c, o)
}

// DemoOptions completes o with what a demo is served with: its devices are on
// loopback, its passwords cheap to check, and a tour by night gets its mail.
func DemoOptions(o Options) Options {
	o.Loopback, o.AuthParams, o.Quiet = true, demoParams, [2]int{24, 24}
	return o
}

// DemoSwitch2 are access switch 2 and what is behind it.
func DemoSwitch2() []netip.Addr { return append([]netip.Addr{demoSwitch2}, demoBehind(2)...) }

// DemoDevices opens the demo's devices where they cannot be pinged.
func DemoDevices(a *App) (stop func(), err error) { return (&demo{a: a}).listen() }
