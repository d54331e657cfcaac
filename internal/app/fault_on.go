//go:build fault

package app

import (
	"encoding/json"
	"os"
	"time"

	"kelian/jobs"
	"kelian/netmon/probe/faulty"
)

// faultOptions lets a binary for fault tests run with shorter limits
// (KELIAN_FAULT_TIMING={"visibility":"5s","handler":"3s"}), probe loopback
// addresses and cut them through its admin listener.
func faultOptions(o *Options) {
	o.Loopback = true
	o.Network = new(faulty.Network)
	o.Timing = jobs.Shipped
	var t struct{ Visibility, Handler string }
	if json.Unmarshal([]byte(os.Getenv("KELIAN_FAULT_TIMING")), &t) == nil {
		if d, err := time.ParseDuration(t.Visibility); err == nil {
			o.Timing.Visibility = d
		}
		if d, err := time.ParseDuration(t.Handler); err == nil {
			o.Timing.Handler = d
		}
	}
	o.Admin = cutter{o.Network}.mount
}
