package judge

import "time"

// Seen is what one shard's round saw of a check.
type Seen struct {
	Shard    string
	Healthy  bool
	Attempts []Attempt
}

// Sequence puts what the rounds of one vantage and epoch saw of one check in
// the order in which Decide takes it: losses of rounds that are not healthy are
// left out, and attempts of different shards in the same moment count once, as in
// epochs of ten seconds or more.
func Sequence(parts []Seen) []Attempt {
	feeds := make([]feed, 0, len(parts))
	for _, p := range parts {
		if len(p.Attempts) > 0 {
			feeds = append(feeds, feed{&Round{Shard: p.Shard}, p.Healthy, &Observation{Attempt: p.Attempts[0], Retries: p.Attempts[1:]}})
		}
	}
	var out []Attempt
	for _, t := range merge(nil, feeds, apart(10*time.Second)) {
		out = append(out, Attempt{t.Outcome, t.After, t.RTT, t.By})
	}
	return out
}
