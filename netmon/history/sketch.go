package history

import (
	"fmt"
	"time"

	"kelian/netmon/judge"

	"github.com/DataDog/sketches-go/ddsketch"
	"github.com/DataDog/sketches-go/ddsketch/store"
)

// Counts are what a span of samples came to. A sample is one asked for itself
// whose outcome is known; what the prober could not have seen is Missing.
type Counts struct {
	Samples int64
	Lost    int64 // no answer, or the network said that there is no way
	Failed  int64 // answered, but not as the check demands
	Missing int64
}

// Loss is the share of samples that were lost or failed; 0 without samples.
func (c Counts) Loss() float64 {
	if c.Samples == 0 {
		return 0
	}
	return float64(c.Lost+c.Failed) / float64(c.Samples)
}

// Figures are the counts of a span and the distribution of its round-trip
// times. The zero value is an empty span.
type Figures struct {
	Counts
	Low, High time.Duration // of the answers; meaningless without any
	sketch    *ddsketch.DDSketch
}

// Answers is how many round-trip times there are.
func (f *Figures) Answers() int64 { return f.Samples - f.Lost - f.Failed }

// Add counts one sample by its first attempt; one that was not asked for itself
// counts for nothing.
func (f *Figures) Add(s Sample) {
	if !s.Asked {
		return
	}
	a := s.Attempts[0]
	switch a.Outcome {
	case judge.Reply:
		f.Samples++
		f.answer(a.RTT)
	case judge.Lost, judge.NoRoute:
		f.Samples++
		f.Lost++
	case judge.Failed:
		f.Samples++
		f.Failed++
	default:
		f.Missing++
	}
}

func (f *Figures) answer(rtt time.Duration) {
	if f.sketch == nil {
		f.sketch = newSketch()
		f.Low, f.High = rtt, rtt
	}
	f.Low, f.High = min(f.Low, rtt), max(f.High, rtt)
	us := float64(rtt) / float64(time.Microsecond)
	if us < 1 {
		us = 0
	}
	// It refuses only what no duration can be.
	_ = f.sketch.Add(us)
}

func newSketch() *ddsketch.DDSketch {
	return ddsketch.NewDDSketchFromStoreProvider(buckets, store.BufferedPaginatedStoreConstructor)
}

// Row is a span as it is stored. Sketch is empty without answers.
type Row struct {
	Counts
	Low, High time.Duration
	Sketch    []byte
}

// Row gives the figures to be stored.
func (f *Figures) Row() Row {
	r := Row{Counts: f.Counts, Low: f.Low, High: f.High}
	if f.sketch != nil {
		f.sketch.Encode(&r.Sketch, true)
	}
	return r
}

// Merge adds a stored span.
func (f *Figures) Merge(r Row) error {
	f.add(r.Counts)
	if len(r.Sketch) == 0 {
		return nil
	}
	if f.sketch == nil {
		f.sketch = newSketch()
		f.Low, f.High = r.Low, r.High
	}
	f.Low, f.High = min(f.Low, r.Low), max(f.High, r.High)
	if err := f.sketch.DecodeAndMergeWith(r.Sketch); err != nil {
		return fmt.Errorf("history: the sketch is damaged: %w", err)
	}
	return nil
}

func (c *Counts) add(o Counts) {
	c.Samples += o.Samples
	c.Lost += o.Lost
	c.Failed += o.Failed
	c.Missing += o.Missing
}

// Quantile gives the round-trip time that a share q of the answers, 0 to 1,
// does not exceed; 0 without answers.
func (f *Figures) Quantile(q float64) time.Duration {
	if f.sketch == nil {
		return 0
	}
	us, err := f.sketch.GetValueAtQuantile(q)
	if err != nil {
		return 0
	}
	return time.Duration(us * float64(time.Microsecond))
}
