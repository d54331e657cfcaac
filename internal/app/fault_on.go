//go:build fault

package app

import (
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"time"

	"kelian/jobs"
	"kelian/netmon/probe/faulty"
)

// faultOptions lets a binary for fault tests run with shorter limits
// (KELIAN_FAULT_TIMING={"visibility":"5s","handler":"3s","interval":"2s"}),
// probe loopback addresses and cut them, through its admin listener or from
// its start (KELIAN_FAULT_CUT, addresses separated by commas).
func faultOptions(o *Options) {
	o.Loopback = true
	o.Network = new(faulty.Network)
	o.Timing = jobs.Shipped
	for _, addr := range strings.Split(os.Getenv("KELIAN_FAULT_CUT"), ",") {
		if a, err := netip.ParseAddr(addr); err == nil {
			o.Network.Cut(a)
		}
	}
	var t struct{ Visibility, Handler, Interval string }
	if json.Unmarshal([]byte(os.Getenv("KELIAN_FAULT_TIMING")), &t) == nil {
		if d, err := time.ParseDuration(t.Visibility); err == nil {
			o.Timing.Visibility = d
		}
		if d, err := time.ParseDuration(t.Handler); err == nil {
			o.Timing.Handler = d
		}
		if d, err := time.ParseDuration(t.Interval); err == nil {
			o.Interval = d
		}
	}
	o.Admin = cutter{o.Network}.mount
}
