// Package judge decides what the network's rounds mean: which hosts are down,
// which are only behind a host that is down, and which outage is new, changed
// or over. It is the pure core of network operations: it reads no clock, no
// database and no randomness, and nothing it returns depends on the order of a
// map or on the order in which rounds arrive.
//
// The shape of one epoch:
//
//	rounds ─▶ views (per check and vantage: k of n) ─▶ check state (quorum)
//	       ─▶ conditions of nodes ─▶ root cause ─▶ incidents, with evidence
//
// A node is a host, or a check of a host beyond the one that says whether the
// host is reachable; such a check needs its host, so the same reasoning covers
// "the web page fails because the switch is off".
//
// Times: an epoch is the Unix second at which its rounds began; an instant is
// in Unix nanoseconds. Decide is idempotent: an observation whose epoch is not
// newer than the last one used for that check and vantage is ignored, so a
// stored state may be older than the rounds replayed onto it.
package judge

import "time"

// State is what is believed of a check or a host.
type State string

// The states. Everything else that may be said of a host is an Overlay.
const (
	Unknown    State = "UNKNOWN"    // never observed
	Up         State = "UP"         // the latest attempt was answered
	Suspect    State = "SUSPECT"    // lost, but not yet often enough
	Down       State = "DOWN"       // lost k of n times
	Recovering State = "RECOVERING" // answers again, but not yet often enough
	Sick       State = "SICK"       // of a vantage only: it sees too much fail
)

// hard says whether a state still counts as an outage.
func (s State) hard() bool { return s == Down || s == Recovering }

// Overlay is a set of remarks laid over a state. It is stored as a number.
type Overlay uint8

// The overlays.
const (
	Stale       Overlay = 1 << iota // no usable observation for StaleAfter intervals
	Flapping                        // changes too often; incidents wait for it to settle
	Maintenance                     // its failing opens no incident
	Unreachable                     // not UP, and no good path leads to it
	Disputed                        // some vantages say DOWN, too few for the quorum
)

// Names lists the overlays in a fixed order, e.g. ["STALE","UNREACHABLE"].
func (o Overlay) Names() []string {
	var out []string
	for i, name := range [...]string{"STALE", "FLAPPING", "MAINTENANCE", "UNREACHABLE", "DISPUTED"} {
		if o&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// Outcome is how one attempt of a check ended.
type Outcome string

// The outcomes. Missing says nothing about the target: it was not probed, or
// the prober knows that it could not have seen the answer.
const (
	Reply   Outcome = "REPLY"
	Lost    Outcome = "LOST"     // no answer in time
	NoRoute Outcome = "NO_ROUTE" // the network answered that there is no way
	Failed  Outcome = "FAILED"   // answered, but not as the check demands
	Missing Outcome = "MISSING"
)

func (o Outcome) lost() bool { return o == Lost || o == NoRoute || o == Failed }

// Attempt is one probe that was sent. After is the time from the start of the
// epoch to the sending; attempts without it count as sent at the start, in
// the order given. RTT is zero unless the outcome is Reply.
type Attempt struct {
	Outcome Outcome
	After   time.Duration
	RTT     time.Duration
	By      string // who said NoRoute: a host's ID or an address; "" = not known
}

// Observation is what one round saw of one check: the round's own attempt and
// the re-probes that followed it, oldest first. A round may also hold
// observations of checks outside its shard: ancestors that were re-probed.
type Observation struct {
	Check string
	Attempt
	Retries []Attempt
}

func (o *Observation) last() Attempt {
	if n := len(o.Retries); n > 0 {
		return o.Retries[n-1]
	}
	return o.Attempt
}

// Round is what one vantage saw of one shard in one epoch. Of two rounds with
// the same vantage, shard and epoch the first one given counts. A round that
// is not Healthy (local drops, lost uplink, too late) can show that something
// answers, never that something fails.
type Round struct {
	Vantage      string
	Shard        string
	Epoch        int64
	Healthy      bool
	Observations []Observation
}

// Rule is k of n: Losses of the last Of attempts make a check DOWN, Replies in
// a row make it UP again. Zero fields take the default, 3 of 3 and 2.
type Rule struct {
	Losses  int
	Of      int
	Replies int
}

// Params are the settings of the whole network; zero fields take the defaults
// of Defaults, except Quorum, Grace and Maintenance whose zero is meant.
type Params struct {
	Rule       Rule
	StaleAfter int // intervals without a usable observation; default 3
	// Quorum is how many vantages must agree that a check is down; it is
	// lowered to the number of vantages with a fresh view. 0 is the majority.
	Quorum int
	// Flap damping: each hard change adds Change to a penalty that halves in
	// HalfLife; above Suppress the check is flapping until it is below Reuse.
	// The penalty never exceeds Ceiling, so damping ends within an hour of
	// the last change.
	HalfLife                         time.Duration
	Change, Suppress, Reuse, Ceiling float64
	// A vantage is sick when at least SickMin unrelated targets, and more
	// than SickShare of them, fail in one round.
	SickShare float64
	SickMin   int
	// Wait is how long a failing host may wait for an observation of its
	// parents that is newer than its own first loss, before it is named as a
	// cause without one. Default 15 s.
	Wait time.Duration
	// Grace is the time a host gets after its parents came back before it may
	// be named as a cause; it is observed afresh in any case.
	Grace time.Duration
	// Maintenance holds the hosts under maintenance in this epoch.
	Maintenance map[string]bool
}

// Defaults are the settings an installation starts with.
func Defaults() Params { return Params{}.filled() }

func (p Params) filled() Params {
	p.Rule = p.Rule.or(Rule{Losses: 3, Of: 3, Replies: 2})
	or(&p.StaleAfter, 3)
	or(&p.HalfLife, 15*time.Minute)
	or(&p.Change, 1000)
	or(&p.Suppress, 3000)
	or(&p.Reuse, 1000)
	or(&p.Ceiling, 12000)
	or(&p.SickShare, 0.6)
	or(&p.SickMin, 5)
	or(&p.Wait, 15*time.Second)
	return p
}

// or fills in the fields that r leaves open; a window shorter than the losses
// it must hold is widened to them.
func (r Rule) or(d Rule) Rule {
	or(&r.Losses, d.Losses)
	or(&r.Of, d.Of)
	or(&r.Replies, d.Replies)
	r.Of = max(r.Of, r.Losses)
	return r
}

func or[T int | float64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Trial is an attempt as the state remembers it.
type Trial struct {
	Epoch   int64
	After   time.Duration `json:",omitempty"`
	Outcome Outcome
	RTT     time.Duration `json:",omitempty"`
	By      string        `json:",omitempty"` // as in Attempt
}

func (t Trial) at() int64 { return t.Epoch*int64(time.Second) + int64(t.After) }

// View is what one vantage believes of one check.
type View struct {
	Vantage string
	State   State
	Last    int64         // epoch of the latest observation used or set aside
	Fresh   int64         // epoch of the latest attempt that counted
	Seen    int64         `json:",omitempty"` // instant of that attempt
	Replied int64         `json:",omitempty"` // instant of the latest reply
	Failing int64         `json:",omitempty"` // instant of the first loss of the present failure
	RTT     time.Duration `json:",omitempty"` // of the latest reply
	Good    int           `json:",omitempty"` // replies in a row, up to what the rule asks
	Recent  []Trial       `json:",omitempty"` // the window of the rule, from its first loss on
}

// CheckState is what is believed of one check over all vantages.
type CheckState struct {
	State     State
	Since     int64   // epoch of the latest change of State
	Overlay   Overlay `json:",omitempty"` // Stale, Flapping, Disputed
	Fresh     int64   `json:",omitempty"` // as in View, the newest of them
	Seen      int64   `json:",omitempty"`
	Replied   int64   `json:",omitempty"`
	Failing   int64   `json:",omitempty"` // the oldest of them; 0 when nothing fails
	Penalty   float64 `json:",omitempty"` // as of epoch PenaltyAt
	PenaltyAt int64   `json:",omitempty"`
	Changes   int     `json:",omitempty"` // hard changes since it began to flap
	Views     []View  `json:",omitempty"` // sorted by vantage
}

// NodeState is what is shown of a host, or of a check beyond reachability.
type NodeState struct {
	State    State
	Since    int64
	Overlay  Overlay  `json:",omitempty"`
	Roots    []string `json:",omitempty"` // what it waits for, when it fails without a good path
	Released int64    `json:",omitempty"` // epoch at which a failing node got a good path back
}

// VantageState says whether a vantage can be believed.
type VantageState struct {
	State   State // Up or Sick
	Since   int64
	Failing int `json:",omitempty"` // unrelated targets that failed, when sick
	Of      int `json:",omitempty"`
}

// JudgeState is everything the judge remembers between two epochs. It is plain
// data: encoded as JSON and read back it leads to the same decisions. The zero
// value knows nothing.
type JudgeState struct {
	Epoch     int64
	Checks    map[string]CheckState   `json:",omitempty"`
	Nodes     map[string]NodeState    `json:",omitempty"`
	Vantages  map[string]VantageState `json:",omitempty"`
	Incidents []Incident              `json:",omitempty"` // the open ones, oldest first
}
