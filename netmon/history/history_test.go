package history_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"kelian/netmon/history"
	"kelian/netmon/judge"

	"pgregory.net/rapid"
)

var outcomes = []judge.Outcome{judge.Missing, judge.Reply, judge.Lost, judge.NoRoute, judge.Failed}

// attempts draws what a block can hold; a few round-trip times come often, so
// that samples repeat.
func attempts() *rapid.Generator[[]judge.Attempt] {
	one := rapid.Custom(func(t *rapid.T) judge.Attempt {
		a := judge.Attempt{Outcome: rapid.SampledFrom(outcomes).Draw(t, "outcome")}
		if a.Outcome == judge.Reply {
			a.RTT = rapid.OneOf(rapid.SampledFrom([]time.Duration{0, time.Microsecond, 341 * time.Microsecond, 20 * time.Millisecond}),
				rapid.Custom(func(t *rapid.T) time.Duration {
					return time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "rtt"))
				})).Draw(t, "rtt")
		}
		return a
	})
	return rapid.SliceOfN(one, 1, 4)
}

func samples() *rapid.Generator[[]history.Sample] {
	return rapid.Custom(func(t *rapid.T) []history.Sample {
		var out []history.Sample
		gap := rapid.SampledFrom([]int{1, 10, 30, 300}).Draw(t, "gap")
		at := rapid.IntRange(0, 20).Draw(t, "first")
		for at < history.Span && len(out) < 400 {
			s := history.Sample{At: at, Asked: rapid.IntRange(0, 9).Draw(t, "asked") > 0, Attempts: attempts().Draw(t, "attempts")}
			for range rapid.IntRange(1, 6).Draw(t, "times") {
				if s.At = at; at < history.Span {
					out = append(out, s)
				}
				at += gap
			}
			if rapid.IntRange(0, 5).Draw(t, "pause") == 0 {
				at += rapid.IntRange(0, 500).Draw(t, "pause of")
			}
			if rapid.IntRange(0, 40).Draw(t, "end") == 0 {
				break
			}
		}
		return out
	})
}

// A block gives back every outcome at its time, and every round-trip time
// within 1 %.
func TestBlockGivesBackWhatWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := samples().Draw(t, "samples")
		raw, err := encode(in)
		if err != nil {
			t.Fatal(err)
		}
		if len(in) == 0 {
			return
		}
		out, err := history.Decode(raw)
		if err != nil || len(out) != len(in) {
			t.Fatalf("%d samples came back of %d: %v", len(out), len(in), err)
		}
		for i := range in {
			if out[i].At != in[i].At || out[i].Asked != in[i].Asked || len(out[i].Attempts) != len(in[i].Attempts) {
				t.Fatalf("sample %d: %+v, want %+v", i, out[i], in[i])
			}
			for k, a := range in[i].Attempts {
				b := out[i].Attempts[k]
				if b.Outcome != a.Outcome || !near(b.RTT, a.RTT) {
					t.Fatalf("sample %d, attempt %d: %+v, want %+v", i, k, b, a)
				}
			}
		}
		again, err := encode(out)
		if err != nil || !slices.Equal(again, raw) {
			t.Fatalf("what came back makes another block: %v", err)
		}
	})
}

func encode(list []history.Sample) ([]byte, error) {
	var b history.Builder
	for _, s := range list {
		if err := b.Add(s); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// near allows 1 %, and nothing below a microsecond is told apart.
func near(a, b time.Duration) bool {
	return a == b || b < time.Microsecond && a == 0 || math.Abs(float64(a-b)) <= 1.0001*history.Accuracy*float64(b)
}

func TestBlockRefusesWhatIsNoHour(t *testing.T) {
	one := []judge.Attempt{{Outcome: judge.Lost}}
	for name, in := range map[string][]history.Sample{
		"after the hour": {{At: history.Span, Attempts: one}},
		"before":         {{At: -1, Attempts: one}},
		"twice":          {{At: 10, Attempts: one}, {At: 10, Attempts: one}},
		"no attempt":     {{At: 10}},
		"too many":       {{At: 10, Attempts: make([]judge.Attempt, history.MaxAttempts+1)}},
	} {
		if _, err := encode(in); err == nil {
			t.Errorf("%s: a block was made", name)
		}
	}
}

// Two bytes a sample are the most that a healthy host may cost, and an outage
// costs next to nothing.
func TestBlockIsSmall(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var well, dark []history.Sample
	for at := 0; at < history.Span; at += 10 {
		rtt := time.Duration(float64(400*time.Microsecond) * math.Exp(0.3*rng.NormFloat64()))
		well = append(well, history.Sample{At: at, Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Reply, RTT: rtt}}})
		lost := judge.Attempt{Outcome: judge.Lost}
		dark = append(dark, history.Sample{At: at, Asked: true, Attempts: []judge.Attempt{lost, lost, lost}})
	}
	for name, c := range map[string]struct {
		in   []history.Sample
		most int
	}{"well": {well, 1.1 * 360}, "dark": {dark, 30}} {
		raw, err := encode(c.in)
		if err != nil || len(raw) > c.most {
			t.Errorf("%s: %d bytes, at most %d are wanted (%v)", name, len(raw), c.most, err)
		}
	}
}

func FuzzBlock(f *testing.F) {
	raw, err := encode([]history.Sample{{At: 0, Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Reply, RTT: time.Millisecond}}},
		{At: 10, Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Lost}, {Outcome: judge.NoRoute}}}, {At: 30, Attempts: []judge.Attempt{{Outcome: judge.Failed}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{1, 0xc0, 2, 0xff, 0xff, 0x7f})
	f.Add([]byte{1, 0xc5, 10, 64, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		out, err := history.Decode(raw)
		if err != nil {
			return
		}
		if len(out) == 0 {
			return
		}
		if len(out) > history.Span {
			t.Fatalf("%d samples in an hour", len(out))
		}
		again, err := encode(out)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := history.Decode(again)
		if err != nil || !reflect.DeepEqual(back, out) {
			t.Fatalf("it changed on the way: %v", err)
		}
	})
}

// Quantiles of merged rows are within 1 % of the exact ones, whether the
// samples came from rounds or out of blocks.
func TestQuantilesAreWithinOnePercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		scale, spread := rapid.SampledFrom([]float64{3, 400, 20_000, 900_000}).Draw(t, "scale"), rapid.SampledFrom([]float64{0, 0.2, 1.5}).Draw(t, "spread")
		var exact []time.Duration
		var merged, packed history.Figures
		for range rapid.IntRange(1, 5).Draw(t, "hours") {
			var hour history.Figures
			var list []history.Sample
			for i := range rapid.IntRange(1, 360).Draw(t, "samples") {
				rtt := time.Duration(1+scale*math.Exp(spread*rng.NormFloat64())) * time.Microsecond
				exact = append(exact, rtt)
				list = append(list, history.Sample{At: 10 * i, Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Reply, RTT: rtt}}})
				hour.Add(list[i])
			}
			if err := merged.Merge(hour.Row()); err != nil {
				t.Fatal(err)
			}
			raw, err := encode(list)
			if err == nil {
				list, err = history.Decode(raw)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range list {
				packed.Add(s)
			}
		}
		slices.Sort(exact)
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
			want := exact[int(q*float64(len(exact)-1))]
			for name, got := range map[string]time.Duration{"rows": merged.Quantile(q), "blocks": packed.Quantile(q)} {
				if !near(got, want) {
					t.Fatalf("p%g of %d by %s: %v, exactly %v", 100*q, len(exact), name, got, want)
				}
			}
		}
		if merged.Low != exact[0] || merged.High != exact[len(exact)-1] || merged.Answers() != int64(len(exact)) {
			t.Fatalf("%+v", merged.Row().Counts)
		}
	})
}

func TestCountsKnowWhatASampleIs(t *testing.T) {
	var f history.Figures
	for _, s := range []history.Sample{
		{Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Lost}, {Outcome: judge.Reply, RTT: time.Second}}}, // a loss, whatever was asked again
		{Asked: true, Attempts: []judge.Attempt{{Outcome: judge.NoRoute}}},
		{Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Failed}}},
		{Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Missing}}},
		{Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Reply, RTT: time.Millisecond}}},
		{Attempts: []judge.Attempt{{Outcome: judge.Lost}}}, // asked on behalf of others
	} {
		f.Add(s)
	}
	if want := (history.Counts{Samples: 4, Lost: 2, Failed: 1, Missing: 1}); f.Counts != want || f.Loss() != 0.75 || f.Answers() != 1 || f.High != time.Millisecond {
		t.Errorf("%+v, want %+v; loss %v, high %v", f.Counts, want, f.Loss(), f.High)
	}
	var empty history.Figures
	if empty.Quantile(0.5) != 0 || empty.Loss() != 0 || empty.Merge(history.Row{}) != nil {
		t.Error("an empty span has figures")
	}
	cut := f.Row().Sketch
	if err := empty.Merge(history.Row{Sketch: cut[:len(cut)-1]}); err == nil {
		t.Error("a cut sketch is read")
	}
}
