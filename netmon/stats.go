package netmon

import (
	"context"
	"sync/atomic"
	"time"

	"kelian/internal/store"
)

type counters struct {
	swept, late, taken, enqueueFailed, dropped, judged, uncertified atomic.Int64
	sent, lost, drops                                               atomic.Int64
}

// Stats are a monitor's counters, for metrics.
type Stats struct {
	Swept         int64 // rounds made
	Late          int64 // shards skipped because their epoch was over
	Taken         int64 // shards that somebody else had claimed
	EnqueueFailed int64 // shards that the queue did not take
	Waiting       int64 // rounds kept while the database is away
	Dropped       int64 // of these, rounds forgotten
	Sent, Lost    int64 // checks of those rounds, asked and unanswered; re-probes do not count
	Drops         int64 // answers that this machine threw away
	Judged        int64 // epochs judged by this process
	Uncertified   int64 // certificates that failed
	Leads         bool
	Mode          string
}

// Stats reads the counters.
func (m *Monitor) Stats() Stats {
	c := &m.count
	return Stats{Swept: c.swept.Load(), Late: c.late.Load(), Taken: c.taken.Load(), EnqueueFailed: c.enqueueFailed.Load(),
		Waiting: int64(m.spool.len()), Dropped: c.dropped.Load(), Sent: c.sent.Load(), Lost: c.lost.Load(), Drops: c.drops.Load(),
		Judged: c.judged.Load(), Uncertified: c.uncertified.Load(), Leads: m.leads.Load(), Mode: m.mode()}
}

// counted adds a finished round.
func (c *counters) counted(r *roundRow) {
	c.swept.Add(1)
	c.sent.Add(int64(r.Sent))
	c.lost.Add(int64(r.Lost))
	c.drops.Add(int64(r.Drops))
}

// Watch is the state of the whole network's watch, whichever process has it.
type Watch struct {
	Open   int64     // incidents
	Judged time.Time // begin of the newest epoch that was judged; zero = none yet
}

// Measure reads it.
func Measure(ctx context.Context, db *store.DB) (Watch, error) {
	var row struct{ Open, Epoch int64 }
	err := db.R.NewRaw(`SELECT (SELECT count(*) FROM incident WHERE closed_at IS NULL) AS open,
		COALESCE((SELECT epoch FROM judge_state WHERE name = ?), 0) AS epoch`, stateName).Scan(ctx, &row)
	w := Watch{Open: row.Open}
	if row.Epoch > 0 {
		w.Judged = startOf(row.Epoch)
	}
	return w, store.Busy(err)
}
