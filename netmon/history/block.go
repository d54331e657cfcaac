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
	Attempts []judge.Attempt // in the order in which they count; After and By are not kept
}

// A block is a version byte and a token for each sample:
//
//	0x00–0xbf  one answered attempt at the regular distance; the low bits are
//	           the change of the bucket since the latest answer, plus 96
//	0xc0–0xcf  any other sample; bit 0: the distance in seconds follows, bit 1:
//	           it was not asked for itself, bit 2: the count of attempts
//	           follows, bit 3: this distance is the regular one from here on;
//	           then for each attempt its outcome and, for an answer, its bucket
//	0xff       the sample before, as often as the number says
//
// Numbers are unsigned varints. The first distance is that from a second before
// the hour; the first regular one is a second.
const (
	version   = 1
	centre    = 96
	tokenLong = 0xc0
	tokenRun  = 0xff
	irregular = 1
	unasked   = 2
	several   = 4
	adopt     = 8
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

// Builder makes a block of samples in the order of their times. The zero value
// is an empty one.
type Builder struct {
	out    []byte
	gap    int // regular distance
	odd    int // the latest distance that was not regular
	at     int // of the sample before, plus 1
	bucket int // of the latest answer
	before Sample
	again  int // times that the sample before came again and is not written
}

// Add appends a sample.
func (b *Builder) Add(s Sample) error {
	if b.out == nil {
		b.out, b.gap = []byte{version}, 1
	}
	distance := s.At + 1 - b.at
	if s.At < 0 || s.At >= Span || distance <= 0 || len(s.Attempts) == 0 || len(s.Attempts) > MaxAttempts {
		return fmt.Errorf("history: this is no sample after %d s: %d s, %d attempts", b.at-1, s.At, len(s.Attempts))
	}
	if b.at > 0 && distance == b.gap && s.Asked == b.before.Asked && slices.EqualFunc(s.Attempts, b.before.Attempts, same) {
		b.again++
		b.at = s.At + 1
		return nil
	}
	b.flush()
	b.sample(s, distance)
	b.at, b.before = s.At+1, s
	return nil
}

// Bytes gives the block so far; nil when it is empty.
func (b *Builder) Bytes() []byte {
	b.flush()
	return b.out
}

func (b *Builder) flush() {
	if b.again > 0 {
		b.out = binary.AppendUvarint(append(b.out, tokenRun), uint64(b.again))
	}
	b.again = 0
}

func same(a, b judge.Attempt) bool {
	return a.Outcome == b.Outcome && (a.Outcome != judge.Reply || bucketOf(a.RTT) == bucketOf(b.RTT))
}

func (b *Builder) sample(s Sample, distance int) {
	if a := s.Attempts[0]; distance == b.gap && s.Asked && len(s.Attempts) == 1 && a.Outcome == judge.Reply {
		if d := bucketOf(a.RTT) - b.bucket + centre; d >= 0 && d < tokenLong {
			b.out = append(b.out, byte(d))
			b.bucket += d - centre
			return
		}
	}
	token := byte(tokenLong)
	if distance != b.gap {
		token |= irregular
		if distance == b.odd {
			token |= adopt
			b.gap = distance
		}
		b.odd = distance
	}
	if !s.Asked {
		token |= unasked
	}
	if len(s.Attempts) > 1 {
		token |= several
	}
	b.out = append(b.out, token)
	if token&irregular != 0 {
		b.out = binary.AppendUvarint(b.out, uint64(distance))
	}
	if len(s.Attempts) > 1 {
		b.out = binary.AppendUvarint(b.out, uint64(len(s.Attempts)))
	}
	for _, a := range s.Attempts {
		b.out = append(b.out, byte(max(0, slices.Index(outcomes[:], a.Outcome))))
		if a.Outcome == judge.Reply {
			b.bucket = bucketOf(a.RTT)
			b.out = binary.AppendUvarint(b.out, uint64(b.bucket))
		}
	}
}

// Decode reads a block. Whatever the bytes are, it gives at most Span samples;
// repeated ones share their attempts.
func Decode(raw []byte) ([]Sample, error) {
	if len(raw) == 0 || raw[0] != version {
		return nil, fmt.Errorf("%w: version", errBlock)
	}
	d := decoder{rest: raw[1:], gap: 1, at: -1}
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
	case t <= tokenLong|irregular|unasked|several|adopt:
		d.long(t)
	default:
		d.bad = true
	}
}

func (d *decoder) long(t byte) {
	distance, n := d.gap, 1
	if t&irregular != 0 {
		distance = d.number(Span)
	}
	if t&adopt != 0 {
		d.gap = distance
	}
	if t&several != 0 {
		n = d.number(MaxAttempts)
	}
	if d.bad || n == 0 || distance == 0 {
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
	if d.at >= Span {
		d.bad = true
		return
	}
	s.At = d.at
	d.out = append(d.out, s)
}
