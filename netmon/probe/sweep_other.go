//go:build !linux

package probe

import (
	"context"
	"runtime"
)

// engine exists on Linux only; elsewhere a Sweeper uses pro-bing.
type engine struct{}

func openEngine(Options) (*engine, Diagnosis) {
	return nil, Diagnosis{Mode: ModeNone,
		Zh: "批量引擎只在 Linux 上可用，本机是 " + runtime.GOOS,
		En: "the bulk engine needs Linux, this is " + runtime.GOOS}
}

func (*engine) takes6() bool { return false }
func (*engine) close() error { return nil }
func (*engine) sweep(context.Context, uint64, []Target, []int32, []int32, *Round) error {
	return nil
}
