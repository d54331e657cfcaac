package netmon

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kelian/netmon/judge"
)

// A round's payload is a version byte and, sorted by the checks' numbers, for
// each check: the number's distance from the one before, the count of attempts
// and the attempts. An attempt is a byte for the outcome, the milliseconds
// after the epoch and, for a reply, its time in microseconds. All are unsigned
// varints: some 6 bytes for a check that answers. Missing is not written. Where
// it is known who said that there is no route, the outcome is saidBy and the
// attempt ends with the router's address, its length before it.

const payloadVersion = 1

// maxAttempts bounds what a payload may claim for one check.
const maxAttempts = 64

var outcomes = [...]judge.Outcome{judge.Reply, judge.Lost, judge.NoRoute, judge.Failed}

// saidBy is NoRoute with the router's address.
const saidBy = byte(len(outcomes))

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
			out = appendAttempt(out, a)
		}
	}
	return out
}

func appendAttempt(out []byte, a judge.Attempt) []byte {
	code := byte(slices.Index(outcomes[:], a.Outcome))
	router, err := netip.ParseAddr(a.By)
	told := a.Outcome == judge.NoRoute && err == nil
	if told {
		code = saidBy
	}
	out = binary.AppendUvarint(append(out, code), uint64(max(a.After, 0).Milliseconds()))
	switch {
	case a.Outcome == judge.Reply:
		out = binary.AppendUvarint(out, uint64(max(a.RTT, 0).Microseconds()))
	case told:
		b := router.AsSlice()
		out = append(append(out, byte(len(b))), b...)
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
	if len(r.rest) == 0 || r.rest[0] > saidBy {
		r.bad, r.rest = true, nil
		return judge.Attempt{}
	}
	code := r.rest[0]
	r.rest = r.rest[1:]
	a := judge.Attempt{Outcome: judge.NoRoute, After: time.Duration(r.uint()) * time.Millisecond}
	if code == saidBy {
		a.By = r.address()
		return a
	}
	a.Outcome = outcomes[code]
	if a.Outcome == judge.Reply {
		a.RTT = time.Duration(r.uint()) * time.Microsecond
	}
	return a
}

func (r *reader) address() string {
	n := int(r.uint())
	if n > len(r.rest) {
		r.bad, r.rest = true, nil
		return ""
	}
	a, ok := netip.AddrFromSlice(r.rest[:n])
	r.rest, r.bad = r.rest[n:], r.bad || !ok
	return a.String()
}

// observations gives a round's content in the judge's words; checks that are
// gone are left out, and a router that is a host of the network is called by
// its ID.
func observations(raw []byte, t *topology) ([]judge.Observation, error) {
	all, err := decodeRound(raw)
	if err != nil {
		return nil, err
	}
	out := make([]judge.Observation, 0, len(all))
	for _, s := range all {
		if c := t.byNumber[s.number]; c != nil {
			for i := range s.attempts {
				if router := t.byAddress[s.attempts[i].By]; router != nil {
					s.attempts[i].By = router.id
				}
			}
			out = append(out, judge.Observation{Check: c.id, Attempt: s.attempts[0], Retries: s.attempts[1:]})
		}
	}
	return out, nil
}
