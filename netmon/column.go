package netmon

import (
	"log/slog"
	"slices"
	"strconv"
	"time"

	"kelian/netmon/history"
	"kelian/netmon/judge"

	"github.com/uptrace/bun"
)

// blockRow is every sample of one check's hour.
type blockRow struct {
	bun.BaseModel `bun:"table:history_block,alias:x"`

	Number  int64 // of the check
	Vantage string
	Hour    int64 // Unix second of its beginning
	Rounds  int64 // of the vantage's hour, when this was made
	Block   []byte
}

type hourRow struct {
	bun.BaseModel `bun:"table:history_hour,alias:x"`

	Number  int64
	Vantage string
	Hour    int64
	stored
}

// dayRow is of a local day: Day is the Unix second of its midnight.
type dayRow struct {
	bun.BaseModel `bun:"table:history_day,alias:x"`

	Number  int64
	Vantage string
	Day     int64
	stored
}

// stored are the figures of a span.
type stored struct {
	Rounds  int64
	Samples int64
	Lost    int64
	Failed  int64
	Missing int64
	LowNs   int64
	HighNs  int64
	Sketch  []byte
}

// storedSet overwrites them.
const storedSet = `samples = EXCLUDED.samples, lost = EXCLUDED.lost, failed = EXCLUDED.failed, missing = EXCLUDED.missing,
	low_ns = EXCLUDED.low_ns, high_ns = EXCLUDED.high_ns, sketch = EXCLUDED.sketch`

func keep(rounds int64, f *history.Figures) stored {
	r := f.Row()
	if r.Sketch == nil {
		r.Sketch = []byte{}
	}
	return stored{Rounds: rounds, Samples: r.Samples, Lost: r.Lost, Failed: r.Failed, Missing: r.Missing,
		LowNs: r.Low.Nanoseconds(), HighNs: r.High.Nanoseconds(), Sketch: r.Sketch}
}

func (s *stored) row() history.Row {
	return history.Row{Counts: history.Counts{Samples: s.Samples, Lost: s.Lost, Failed: s.Failed, Missing: s.Missing},
		Low: time.Duration(s.LowNs), High: time.Duration(s.HighNs), Sketch: s.Sketch}
}

// markRow says of how many rounds a vantage's hour or day was made. Minutes has
// a bit for each minute of an hour in which a round was.
type markRow struct {
	bun.BaseModel `bun:"table:history_mark,alias:x"`

	Span    string
	Start   int64
	Vantage string
	Rounds  int64
	Minutes int64
}

type markKey struct {
	start   int64
	vantage string
}

func (m *markRow) key() markKey { return markKey{m.Start, m.Vantage} }

// transposer turns the rounds of one vantage's hour, given in the order of
// their epochs, into a column of samples for each check.
type transposer struct {
	start   int64
	shards  map[int64]int // where a check belongs
	only    map[int64]bool
	columns map[int64]*column
	epoch   int64
	touched []*column
	log     *slog.Logger
}

// column is one check's block in the making.
type column struct {
	history.Builder
	number int64
	parts  []judge.Seen // of the present epoch
	own    int          // the part of its own shard, or -1
}

// round takes in a round; only, where it is not nil, narrows the checks.
func (t *transposer) round(r *roundRow) {
	if r.Epoch != t.epoch {
		t.settle()
		t.epoch = r.Epoch
	}
	all, err := decodeRound(r.Payload)
	if err != nil {
		t.log.Error("a round cannot be read and is left out of the history", "shard", r.Shard, "epoch", r.Epoch, "error", err)
		return
	}
	for _, s := range all {
		if t.only != nil && !t.only[s.number] {
			continue
		}
		c := t.columns[s.number]
		if c == nil {
			c = &column{number: s.number, own: -1}
			t.columns[s.number] = c
		}
		if len(c.parts) == 0 {
			t.touched = append(t.touched, c)
		}
		if shard, known := t.shards[s.number]; !known || shard == r.Shard {
			c.own = len(c.parts)
		}
		c.parts = append(c.parts, judge.Seen{Shard: strconv.Itoa(r.Shard), Healthy: r.Healthy, Attempts: s.attempts})
	}
}

// settle makes a sample of what the epoch said about each check.
func (t *transposer) settle() {
	for _, c := range t.touched {
		if s, ok := c.sample(int(t.epoch - t.start)); ok {
			if err := c.Add(s); err != nil {
				t.log.Error("a sample is left out of the history", "check", c.number, "epoch", t.epoch, "error", err)
			}
		}
		c.parts, c.own = c.parts[:0], -1
	}
	t.touched = t.touched[:0]
}

// sample is the check's epoch. A loss that the prober itself may have made is
// Missing: nobody knows.
func (c *column) sample(at int) (history.Sample, bool) {
	s := history.Sample{At: at, Asked: c.own >= 0, Attempts: judge.Sequence(c.parts)}
	if s.Asked {
		first := c.parts[c.own]
		if !first.Healthy && first.Attempts[0].Outcome != judge.Reply {
			s.Attempts = slices.Insert(s.Attempts, 0, judge.Attempt{Outcome: judge.Missing})
		}
	}
	if len(s.Attempts) > history.MaxAttempts {
		s.Attempts = s.Attempts[:history.MaxAttempts]
	}
	return s, len(s.Attempts) > 0
}
