// Package probe sends the packets of network operations and says what came
// back. It knows neither hosts nor incidents and has no database.
//
//   - [Sweeper] asks thousands of addresses at once with ICMP echo over one
//     shared socket (Linux), or falls back to one pro-bing Pinger per address.
//   - [Pinger] asks one address several times: on demand and for suspects.
//   - [Checker] makes TCP and HTTP(S) checks; every dial passes a [Policy].
//
// A result is about the host only when its [State] says so: NoRoute, Unsent
// and a Round with a Fault speak of this machine and must not make a host DOWN.
package probe

import (
	"net/netip"
	"time"

	"kelian/internal/fault"
)

// Target is one address to probe. IPv4-mapped IPv6 addresses count as IPv4.
type Target struct{ Addr netip.Addr }

// State is what a probe found out.
type State uint8

// The states. Reply, Lost, Unreachable, Refused and Mismatch speak of the
// target; Unknown, NoRoute, Unsent, Denied and Unresolved do not.
const (
	Unknown     State = iota // not probed: the round ended before its turn
	Reply                    // answered in time
	Lost                     // no answer within the timeout
	NoRoute                  // this machine has no way there: no route, forbidden, no carrier
	Unreachable              // a router answered in the target's place (Outcome.Router)
	Refused                  // the host answered that nobody listens on the port
	Unsent                   // this machine could not send (interface down, buffers full)
	Denied                   // not allowed: Policy, multicast, broadcast, not an address
	Unresolved               // the name has no address
	Mismatch                 // answered, but not as expected (status, content, TLS)
)

var stateNames = [...]string{"unknown", "reply", "lost", "no_route", "unreachable",
	"refused", "unsent", "denied", "unresolved", "mismatch"}

// String is the state's stable name, in lower case.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return stateNames[Unknown]
}

// MarshalText implements encoding.TextMarshaler with String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Outcome is the result for one target.
type Outcome struct {
	State State
	// RTT is set for Reply. In the raw and ping modes it is the time between
	// the kernel's own stamps on the two packets, in nanoseconds.
	RTT time.Duration
	// After is when the request was sent, counted from the start of the sweep;
	// of what was not sent it is meaningless.
	After time.Duration
	// Router is who said that the target is unreachable; this machine's own
	// address when a neighbour did not answer ARP.
	Router netip.Addr
}

// Round is the result of one sweep. Sent = Received + Lost; targets that are
// Unknown, NoRoute, Unsent or Denied were not sent.
type Round struct {
	Outcomes []Outcome // same order and length as the targets

	Sent, Received, Lost int
	Unreachable          int // part of Lost: a router vouched for the loss
	Late                 int // part of Lost: the answer took longer than the timeout
	NoRoute              int // targets this machine's kernel has no way to
	SendErrors           int // targets that this machine failed to send to (Unsent)
	Drops                int // answers the kernel threw away: receive buffer full
	Stray                int // packets with a wrong token or source: stale or forged
	Duplicates           int // second answers
	Unstamped            int // answers timed without a kernel transmit stamp: RTT is an upper bound

	Wall time.Duration
	Plan time.Duration // what the round takes when nothing answers and nothing holds this process up
	CPU  time.Duration // of the sweeping thread, user + system; 0 where not measurable
	Mode Mode
	// Fault says why nothing may be concluded from this round's losses; nil
	// means that the prober itself was well.
	Fault *fault.Error
}

// Healthy says whether the round's losses are evidence about the targets.
func (r *Round) Healthy() bool { return r.Fault == nil }

// tally counts the outcomes and sets Fault. Drops and SendErrors come from the
// engine.
func (r *Round) tally() {
	r.Received, r.Lost, r.Unreachable, r.NoRoute, r.SendErrors = 0, 0, 0, 0, 0
	tried := 0
	for i := range r.Outcomes {
		switch r.Outcomes[i].State {
		case Reply:
			r.Received++
		case Lost:
			r.Lost++
		case Unreachable:
			r.Lost++
			r.Unreachable++
		case NoRoute:
			r.NoRoute++
		case Unsent:
			r.SendErrors++
		default:
			continue
		}
		tried++
	}
	r.Sent = r.Received + r.Lost
	switch {
	case r.Drops > 0:
		r.Fault = fault.Refuse("PROBER_DROPS",
			"接收缓冲区溢出，本机丢弃了应答：请调低发送速率（--pace），或授予 CAP_NET_ADMIN 以加大缓冲区",
			"the receive buffer overflowed and answers were thrown away on this machine: lower the pace (--pace) or grant CAP_NET_ADMIN for a larger buffer")
	case r.SendErrors > 0:
		r.Fault = fault.Refuse("SEND_FAILED",
			"本机发送失败：请检查网卡是否启用（ip link）",
			"this machine failed to send: check that its network interface is up (ip link)")
	case r.NoRoute*2 > tried:
		r.Fault = fault.Refuse("UPLINK_LOST",
			"本机没有到大多数目标的路由，上行链路可能已断：请检查 ip route",
			"this machine has no route to most targets, its uplink may be gone: check ip route")
	}
}

// Mode is the way a Sweeper probes, visible to operators as prober_mode.
type Mode string

// The modes, best first.
const (
	ModePing    Mode = "ping"     // our engine on an unprivileged ping socket
	ModeRaw     Mode = "raw"      // our engine on a raw socket
	ModeProBing Mode = "pro-bing" // one pro-bing Pinger per address, at most 64 at once
	ModeNone    Mode = "none"     // no ICMP at all: use TCP checks
)

// Diagnosis says which mode was chosen, why, and the one command that mends
// it; Command is empty when nothing needs mending.
type Diagnosis struct {
	Mode    Mode
	Zh, En  string
	Command string
}

// Link stands between the network and a prober, so that a test or the demo can
// make hosts fall silent: a packet that Deliver refuses never arrived. It is
// called from several goroutines.
type Link interface {
	Deliver(from netip.Addr) bool
}
