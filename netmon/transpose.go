package netmon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon/history"

	"github.com/uptrace/bun"
)

// Names of the history's lease and of the counter that holds the seam: the Unix
// second before which every hour stands in the history. Rounds after it are
// read as they are.
const (
	historyLease = "netmon.history"
	seamCounter  = "netmon.history"
)

// Spans of marks.
const (
	spanHour = "HOUR"
	spanDay  = "DAY"
)

const (
	hour = history.Span
	// historyLate is how long after its end an hour is transposed: rounds that a
	// sweeper kept while the database was away (MonitorOptions.Keep) are there by
	// then. Later ones make their hour anew.
	historyLate = 10 * time.Minute
	// historyAhead is how far ahead the tables' parts are made.
	historyAhead = 3 * 24 * time.Hour
	historyBatch = 200 // checks written by one transaction
	readWindow   = 300 // seconds of rounds read by one statement
)

// HistorianOptions are a Historian's settings; the zero value is good.
type HistorianOptions struct {
	Location *time.Location // whose days the daily figures are of; nil = UTC
	Log      *slog.Logger
}

// Historian turns the rounds of finished hours into history: a block and the
// figures for each check, vantage and hour, and the figures of days. Every row
// is made anew from the rounds below it and carries how many they were, so that
// doing it again, in the middle of it or in two processes, changes nothing, and
// a round that comes late only makes its hour again.
type Historian struct {
	db    *store.DB
	clock clock.Clock
	loc   *time.Location
	log   *slog.Logger
	owner string
}

// NewHistorian makes one; Run starts it.
func NewHistorian(db *store.DB, c clock.Clock, o HistorianOptions) *Historian {
	h := &Historian{db: db, clock: c, loc: o.Location, log: o.Log, owner: id.New().String()}
	if h.loc == nil {
		h.loc = time.UTC
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	return h
}

// Run works until ctx ends, in the process that holds the lease.
func (h *Historian) Run(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	defer func() { _ = h.db.Unlease(context.WithoutCancel(ctx), historyLease, h.owner) }()
	for {
		if holds, err := h.db.Lease(ctx, historyLease, h.owner, 5*time.Minute); err == nil && holds {
			if err := h.Step(ctx); err != nil && ctx.Err() == nil {
				h.log.Warn("the history is behind; trying again in a minute", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Transposed gives the moment before which no round is needed any more.
func Transposed(ctx context.Context, db *store.DB) (time.Time, error) {
	s, err := seam(ctx, db.R)
	return time.Unix(s, 0), err
}

func seam(ctx context.Context, q bun.IDB) (s int64, err error) {
	err = q.NewRaw(`SELECT value FROM counter WHERE name = ?`, seamCounter).Scan(ctx, &s)
	if store.NoRows(err) {
		return 0, nil
	}
	return s, store.Busy(err)
}

// Step makes what is due: parts of the tables, hours that are over or got more
// rounds, days of which an hour changed. It does nothing twice an hour.
func (h *Historian) Step(ctx context.Context) error {
	now := h.clock.Now()
	end := now.Add(-historyLate).Unix() / hour * hour
	before, err := seam(ctx, h.db.R)
	if err != nil || before >= end {
		return err
	}
	if err := store.MakePartitions(ctx, h.db, now, now.Add(historyAhead)); err != nil {
		h.log.Warn("a part of the history's tables could not be made; its rows go to the default part", "error", err)
	}
	due, err := h.pending(ctx, end)
	if err != nil {
		return err
	}
	first := time.Unix(end, 0).Add(-historyAhead)
	if len(due) > 0 {
		shards, err := h.shards(ctx)
		if err != nil {
			return err
		}
		for _, m := range due {
			if start := time.Unix(m.Start, 0); start.Before(first) {
				first = start
			}
			if err := h.hour(ctx, m, shards); err != nil {
				return fmt.Errorf("hour %d of %s: %w", m.Start, m.Vantage, err)
			}
		}
	}
	if err := h.days(ctx, first, end); err != nil {
		return err
	}
	_, err = store.InTx(ctx, h.db, store.Internal("netmon.history.seam"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		tx.QueueSQL(`INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value WHERE counter.value < EXCLUDED.value`,
			seamCounter, end)
		return struct{}{}, nil
	})
	return err
}

// pending lists the finished hours that hold more rounds than their mark says.
func (h *Historian) pending(ctx context.Context, end int64) ([]markRow, error) {
	var have []markRow
	err := h.db.R.NewRaw(`SELECT epoch / ? * ? AS start, vantage, COUNT(*) AS rounds FROM round WHERE epoch < ? GROUP BY 1, 2 ORDER BY 1, 2`,
		hour, hour, end).Scan(ctx, &have)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	if len(have) == 0 {
		return nil, nil
	}
	done, err := readMarks(ctx, h.db.R, spanHour, have[0].Start, end)
	if err != nil {
		return nil, err
	}
	known := map[markKey]int64{}
	for _, m := range done {
		known[m.key()] = m.Rounds
	}
	return slices.DeleteFunc(have, func(m markRow) bool { return m.Rounds <= known[m.key()] }), nil
}

func readMarks(ctx context.Context, q bun.IDB, span string, from, to int64) ([]markRow, error) {
	var out []markRow
	err := q.NewSelect().Model(&out).Where("span = ?", span).Where("start >= ?", from).Where("start < ?", to).OrderExpr("start, vantage").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	return out, nil
}

// shards gives every check's shard by its number, removed checks among them.
func (h *Historian) shards(ctx context.Context) (map[int64]int, error) {
	var rows []struct {
		Number int64
		Shard  int
	}
	err := h.db.R.NewRaw(`SELECT c.number, h.shard FROM host_check AS c JOIN host AS h ON h.id = c.host`).Scan(ctx, &rows)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	out := make(map[int64]int, len(rows))
	for _, r := range rows {
		out[r.Number] = r.Shard
	}
	return out, nil
}

// hour makes the blocks and figures of one vantage's hour.
func (h *Historian) hour(ctx context.Context, m markRow, shards map[int64]int) error {
	t := transposer{start: m.Start, shards: shards, columns: map[int64]*column{}, log: h.log}
	m.Rounds = 0
	for from := m.Start; from < m.Start+hour; from += readWindow {
		if err := ctx.Err(); err != nil {
			return err
		}
		var rows []roundRow
		err := h.db.R.NewSelect().Model(&rows).Column("shard", "epoch", "healthy", "payload").Where("vantage = ?", m.Vantage).
			Where("epoch >= ?", from).Where("epoch < ?", from+readWindow).OrderExpr("epoch, shard").Scan(ctx)
		if err != nil && !store.NoRows(err) {
			return store.Busy(err)
		}
		m.Rounds += int64(len(rows))
		for _, r := range rows {
			m.Minutes |= 1 << ((r.Epoch - m.Start) / 60)
			t.round(&r)
		}
	}
	t.settle()
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(t.columns)), historyBatch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		blocks, hours := make([]blockRow, len(chunk)), make([]hourRow, len(chunk))
		for i, n := range chunk {
			raw := t.columns[n].Bytes()
			figures, err := figuresOf(raw)
			if err != nil {
				return err
			}
			blocks[i] = blockRow{Number: n, Vantage: m.Vantage, Hour: m.Start, Rounds: m.Rounds, Block: raw}
			hours[i] = hourRow{Number: n, Vantage: m.Vantage, Hour: m.Start, stored: keep(m.Rounds, &figures)}
		}
		if err := h.write(ctx, upsert{&blocks, "hour", "block = EXCLUDED.block"}, upsert{&hours, "hour", storedSet}); err != nil {
			return err
		}
	}
	return h.mark(ctx, spanHour, m)
}

func figuresOf(block []byte) (history.Figures, error) {
	var f history.Figures
	samples, err := history.Decode(block)
	for _, s := range samples {
		f.Add(s)
	}
	return f, err
}

// mark says that a span was made of so many rounds.
func (h *Historian) mark(ctx context.Context, span string, m markRow) error {
	m.Span = span
	_, err := store.InTx(ctx, h.db, store.Internal("netmon.history.mark"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		tx.Queue(tx.DB.Bun().NewInsert().Model(&m).On("CONFLICT (span, start, vantage) DO UPDATE").
			Set("rounds = EXCLUDED.rounds, minutes = EXCLUDED.minutes").Where("x.rounds < EXCLUDED.rounds"))
		return struct{}{}, nil
	})
	return err
}

// upsert writes rows over those that were made of no more rounds.
type upsert struct {
	rows any
	span string // column of the key
	set  string
}

func (h *Historian) write(ctx context.Context, list ...upsert) error {
	_, err := store.InTx(ctx, h.db, store.Internal("netmon.history"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		for _, u := range list {
			tx.Queue(tx.DB.Bun().NewInsert().Model(u.rows).On("CONFLICT (number, " + u.span + ", vantage) DO UPDATE").
				Set("rounds = EXCLUDED.rounds, " + u.set).Where("x.rounds <= EXCLUDED.rounds"))
		}
		return struct{}{}, nil
	})
	return err
}

// days makes the figures of the local days that are over and lie after first,
// where their hours hold more rounds than the day's mark says.
func (h *Historian) days(ctx context.Context, first time.Time, end int64) error {
	from := midnight(first, h.loc)
	hours, err := readMarks(ctx, h.db.R, spanHour, from.Unix(), end)
	if err != nil {
		return err
	}
	done, err := readMarks(ctx, h.db.R, spanDay, from.Unix(), end)
	if err != nil {
		return err
	}
	sums, known := map[markKey]int64{}, map[markKey]int64{}
	for _, m := range hours {
		sums[markKey{midnight(time.Unix(m.Start, 0), h.loc).Unix(), m.Vantage}] += m.Rounds
	}
	for _, m := range done {
		known[m.key()] = m.Rounds
	}
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b markKey) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.vantage, b.vantage))
	}) {
		over := midnight(time.Unix(k.start, 0), h.loc).AddDate(0, 0, 1).Unix() <= end
		if over && sums[k] > known[k] {
			if err := h.day(ctx, k, sums[k]); err != nil {
				return fmt.Errorf("day %d of %s: %w", k.start, k.vantage, err)
			}
		}
	}
	return nil
}

// midnight is the beginning of the local day of t.
func midnight(t time.Time, loc *time.Location) time.Time {
	y, m, d := t.In(loc).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, loc)
}

// day merges the hours of one vantage's day.
func (h *Historian) day(ctx context.Context, k markKey, rounds int64) error {
	start := time.Unix(k.start, 0)
	var numbers []int64
	err := h.db.R.NewRaw(`SELECT number FROM host_check WHERE removed_at IS NULL OR removed_at > ? ORDER BY number`, start).Scan(ctx, &numbers)
	if err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	for chunk := range slices.Chunk(numbers, historyBatch) {
		if err := ctx.Err(); err != nil {
			return err
		}
		var hours []hourRow
		err := h.db.R.NewSelect().Model(&hours).Where("number IN (?)", bun.List(chunk)).Where("hour >= ?", k.start).
			Where("hour < ?", midnight(start, h.loc).AddDate(0, 0, 1).Unix()).Where("vantage = ?", k.vantage).OrderExpr("number, hour").Scan(ctx)
		if err != nil && !store.NoRows(err) {
			return store.Busy(err)
		}
		var out []dayRow
		for len(hours) > 0 {
			n, f := hours[0].Number, history.Figures{}
			for len(hours) > 0 && hours[0].Number == n {
				if err := f.Merge(hours[0].row()); err != nil {
					return err
				}
				hours = hours[1:]
			}
			out = append(out, dayRow{Number: n, Vantage: k.vantage, Day: k.start, stored: keep(rounds, &f)})
		}
		if len(out) == 0 {
			continue
		}
		if err := h.write(ctx, upsert{&out, "day", storedSet}); err != nil {
			return err
		}
	}
	return h.mark(ctx, spanDay, markRow{Start: k.start, Vantage: k.vantage, Rounds: rounds})
}
