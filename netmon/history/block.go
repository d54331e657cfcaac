// Package history keeps what the rounds of an hour said about one check in a
// few hundred bytes, and distributions of round-trip times in about a hundred.
// It is pure: no clock, no database.
//
//	block   every sample of one check from one vantage in one hour: each
//	        outcome exactly, each round-trip time within 1 %
//	sketch  the round-trip times of any span, mergeable, quantiles within 1 %
//
// Both cut round-trip times into the same logarithmic buckets, so a sketch made
// of a block is as good as one made of the rounds.
package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"kelian/netmon/judge"

	"github.com/DataDog/sketches-go/ddsketch/mapping"
)

// Span is what one block covers, in seconds.
const Span = 3600

// Accuracy is the largest relative error of a round-trip time.
const Accuracy = 0.01

// MaxAttempts bounds the attempts of one sample.
const MaxAttempts = 64

// Sample is what one epoch said about a check. The first attempt is the round's
// own where Asked; otherwise the check was only asked again on behalf of hosts
// behind it, which is evidence for a judge and no sample of the loss.
type Sample struct {
	At       int // seconds after the beginning of the block, 0 to Span-1
	Asked    bool
	Attempts []judge.Attempt // in the order in which they count; After is not kept
}

// A block is a version byte, the regular distance between samples in seconds,
// and a token for each sample:
//
//	0x00–0xbf  one answered attempt at the regular distance; the low bits are
//	           the change of the bucket since the latest answer, plus 96
//	0xc0–0xc7  any other sample; bit 0: the distance follows, bit 1: it was not
//	           asked for itself, bit 2: the count of attempts follows; then for
//	           each attempt its outcome and, for an answer, its bucket
//	0xff       the sample before, as often as the number says
//
// Numbers are unsigned varints.
const (
	version    = 1
	centre     = 96
	tokenLong  = 0xc0
	tokenRun   = 0xff
	irregular  = 1
	unasked    = 2
	several    = 4
	shortestIn = 3 // equal samples that are worth a run
)

// maxBucket is that of the longest duration.
var maxBucket = bucketOf(math.MaxInt64)

// outcomes are stored by their place here.
var outcomes = [...]judge.Outcome{judge.Missing, judge.Reply, judge.Lost, judge.NoRoute, judge.Failed}

var errBlock = errors.New("history: the block is damaged")

// buckets is DDSketch's own mapping.
var buckets = func() *mapping.LogarithmicMapping {
	m, err := mapping.NewLogarithmicMapping(Accuracy)
	if err != nil {
		panic(err)
	}
	return m
}()

// bucketOf counts from 1 at a microsecond; 0 is less.
func bucketOf(rtt time.Duration) int {
	us := float64(rtt) / float64(time.Microsecond)
	if us < 1 {
		return 0
	}
	return buckets.Index(us) + 1
}

func valueOf(bucket int) time.Duration {
	if bucket <= 0 {
		return 0
	}
	return time.Duration(buckets.Value(bucket-1) * float64(time.Microsecond))
}

// Rounded is the round-trip time as a block gives it back.
func Rounded(rtt time.Duration) time.Duration { return valueOf(bucketOf(rtt)) }

// Encode makes a block of samples in the order of their times.
func Encode(samples []Sample) ([]byte, error) {
	e := encoder{gap: gapOf(samples)}
	e.out = binary.AppendUvarint([]byte{version}, uint64(e.gap))
	e.at = -e.gap
	for i := 0; i < len(samples); i++ {
		s := samples[i]
		if s.At < 0 || s.At >= Span || i > 0 && s.At <= e.at || len(s.Attempts) == 0 || len(s.Attempts) > MaxAttempts {
			return nil, fmt.Errorf("history: sample %d is not one: %d s, %d attempts", i, s.At, len(s.Attempts))
		}
		if n := e.run(samples[i:]); i > 0 && n >= shortestIn {
			e.out = binary.AppendUvarint(append(e.out, tokenRun), uint64(n))
			e.at += n * e.gap
			i += n - 1
			continue
		}
		e.sample(s)
	}
	return e.out, nil
}

// gapOf is the commonest distance between neighbours.
func gapOf(samples []Sample) int {
	var distances []int
	for i := 1; i < len(samples); i++ {
		distances = append(distances, samples[i].At-samples[i-1].At)
	}
	slices.Sort(distances)
	best, most := 1, 0
	for i := 0; i < len(distances); {
		n := i
		for n < len(distances) && distances[n] == distances[i] {
			n++
		}
		if n-i > most && distances[i] > 0 {
			best, most = distances[i], n-i
		}
		i = n
	}
	return min(best, Span)
}

type encoder struct {
	out    []byte
	gap    int
	at     int // of the sample before
	bucket int // of the latest answer
	before Sample
}

// run counts how many samples from here on are the one before again.
func (e *encoder) run(next []Sample) int {
	n := 0
	for n < len(next) && next[n].At == e.at+(n+1)*e.gap && next[n].Asked == e.before.Asked && slices.EqualFunc(next[n].Attempts, e.before.Attempts, same) {
		n++
	}
	return n
}

func same(a, b judge.Attempt) bool {
	return a.Outcome == b.Outcome && (a.Outcome != judge.Reply || bucketOf(a.RTT) == bucketOf(b.RTT))
}

func (e *encoder) sample(s Sample) {
	regular := s.At == e.at+e.gap
	if a := s.Attempts[0]; regular && s.Asked && len(s.Attempts) == 1 && a.Outcome == judge.Reply {
		if d := bucketOf(a.RTT) - e.bucket + centre; d >= 0 && d < tokenLong {
			e.out = append(e.out, byte(d))
			e.bucket += d - centre
			e.at, e.before = s.At, s
			return
		}
	}
	token := byte(tokenLong)
	if !regular {
		token |= irregular
	}
	if !s.Asked {
		token |= unasked
	}
	if len(s.Attempts) > 1 {
		token |= several
	}
	e.out = append(e.out, token)
	if !regular {
		e.out = binary.AppendUvarint(e.out, uint64(s.At-e.at))
	}
	if len(s.Attempts) > 1 {
		e.out = binary.AppendUvarint(e.out, uint64(len(s.Attempts)))
	}
	for _, a := range s.Attempts {
		e.out = append(e.out, byte(max(0, slices.Index(outcomes[:], a.Outcome))))
		if a.Outcome == judge.Reply {
			e.bucket = bucketOf(a.RTT)
			e.out = binary.AppendUvarint(e.out, uint64(e.bucket))
		}
	}
	e.at, e.before = s.At, s
}

// Decode reads a block. Whatever the bytes are, it gives at most Span samples;
// repeated ones share their attempts.
func Decode(raw []byte) ([]Sample, error) {
	if len(raw) < 2 || raw[0] != version {
		return nil, fmt.Errorf("%w: version", errBlock)
	}
	d := decoder{rest: raw[1:]}
	d.gap = d.number(Span)
	if d.bad || d.gap == 0 {
		return nil, errBlock
	}
	d.at = -d.gap
	for len(d.rest) > 0 && !d.bad {
		d.token()
	}
	if d.bad {
		return nil, errBlock
	}
	return d.out, nil
}

type decoder struct {
	rest   []byte
	bad    bool
	gap    int
	at     int
	bucket int
	out    []Sample
}

// number reads one that is at most limit.
func (d *decoder) number(limit int) int {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > uint64(limit) {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return int(v)
}

func (d *decoder) token() {
	t := d.rest[0]
	d.rest = d.rest[1:]
	switch {
	case t < tokenLong:
		d.bucket += int(t) - centre
		if d.bucket < 0 || d.bucket > maxBucket {
			d.bad = true
			return
		}
		d.add(d.gap, Sample{Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Reply, RTT: valueOf(d.bucket)}}})
	case t == tokenRun:
		n := d.number(Span)
		if len(d.out) == 0 || n == 0 {
			d.bad = true
			return
		}
		for before := d.out[len(d.out)-1]; n > 0 && !d.bad; n-- {
			d.add(d.gap, before)
		}
	case t <= tokenLong|irregular|unasked|several:
		d.long(t)
	default:
		d.bad = true
	}
}

func (d *decoder) long(t byte) {
	distance, n := d.gap, 1
	if t&irregular != 0 {
		distance = d.number(2 * Span)
	}
	if t&several != 0 {
		n = d.number(MaxAttempts)
	}
	if d.bad || n == 0 {
		d.bad = true
		return
	}
	attempts := make([]judge.Attempt, n)
	for i := range attempts {
		if len(d.rest) == 0 || int(d.rest[0]) >= len(outcomes) {
			d.bad = true
			return
		}
		attempts[i].Outcome = outcomes[d.rest[0]]
		d.rest = d.rest[1:]
		if attempts[i].Outcome == judge.Reply {
			d.bucket = d.number(maxBucket)
			attempts[i].RTT = valueOf(d.bucket)
		}
	}
	d.add(distance, Sample{Asked: t&unasked == 0, Attempts: attempts})
}

func (d *decoder) add(distance int, s Sample) {
	d.at += distance
	if distance == 0 || d.at < 0 || d.at >= Span {
		d.bad = true
		return
	}
	s.At = d.at
	d.out = append(d.out, s)
}
