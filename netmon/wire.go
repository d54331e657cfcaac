package netmon

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"kelian/netmon/judge"
)

// A round's payload is a version byte and, sorted by the checks' numbers, for
// each check: the number's distance from the one before, the count of attempts
// and the attempts. An attempt is a byte for the outcome, the milliseconds
// after the epoch and, for a reply, its time in microseconds. All are unsigned
// varints: some 6 bytes for a check that answers. Missing is not written.

const payloadVersion = 1

// maxAttempts bounds what a payload may claim for one check.
const maxAttempts = 64

var outcomes = [...]judge.Outcome{judge.Reply, judge.Lost, judge.NoRoute, judge.Failed}

// seen is what a round saw of one check, by its number.
type seen struct {
	number   int64
	attempts []judge.Attempt
}

var errPayload = errors.New("netmon: the payload of a round is damaged")

func encodeRound(all []seen) []byte {
	slices.SortFunc(all, func(a, b seen) int { return cmp.Compare(a.number, b.number) })
	out := make([]byte, 1, 1+8*len(all))
	out[0] = payloadVersion
	last := int64(0)
	for _, s := range all {
		kept := slices.DeleteFunc(slices.Clone(s.attempts), func(a judge.Attempt) bool { return slices.Index(outcomes[:], a.Outcome) < 0 })
		if len(kept) == 0 {
			continue
		}
		out = binary.AppendUvarint(out, uint64(s.number-last))
		last = s.number
		out = binary.AppendUvarint(out, uint64(len(kept)))
		for _, a := range kept {
			out = append(out, byte(slices.Index(outcomes[:], a.Outcome)))
			out = binary.AppendUvarint(out, uint64(max(a.After, 0).Milliseconds()))
			if a.Outcome == judge.Reply {
				out = binary.AppendUvarint(out, uint64(max(a.RTT, 0).Microseconds()))
			}
		}
	}
	return out
}

func decodeRound(raw []byte) ([]seen, error) {
	if len(raw) == 0 || raw[0] != payloadVersion {
		return nil, fmt.Errorf("%w: version", errPayload)
	}
	r := reader{rest: raw[1:]}
	out := make([]seen, 0, len(raw)/6)
	last := int64(0)
	for len(r.rest) > 0 {
		last += int64(r.uint())
		n := r.uint()
		if r.bad || n == 0 || n > maxAttempts {
			return nil, errPayload
		}
		s := seen{number: last, attempts: make([]judge.Attempt, n)}
		for i := range s.attempts {
			s.attempts[i] = r.attempt()
		}
		if r.bad {
			return nil, errPayload
		}
		out = append(out, s)
	}
	return out, nil
}

type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) attempt() judge.Attempt {
	if len(r.rest) == 0 || int(r.rest[0]) >= len(outcomes) {
		r.bad, r.rest = true, nil
		return judge.Attempt{}
	}
	a := judge.Attempt{Outcome: outcomes[r.rest[0]]}
	r.rest = r.rest[1:]
	a.After = time.Duration(r.uint()) * time.Millisecond
	if a.Outcome == judge.Reply {
		a.RTT = time.Duration(r.uint()) * time.Microsecond
	}
	return a
}

// observations gives a round's content in the judge's words; checks that are
// gone are left out.
func observations(raw []byte, t *topology) ([]judge.Observation, error) {
	all, err := decodeRound(raw)
	if err != nil {
		return nil, err
	}
	out := make([]judge.Observation, 0, len(all))
	for _, s := range all {
		if c := t.byNumber[s.number]; c != nil {
			out = append(out, judge.Observation{Check: c.id, Attempt: s.attempts[0], Retries: s.attempts[1:]})
		}
	}
	return out, nil
}
