package netmon

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon/history"

	"github.com/uptrace/bun"
)

// How long the history is kept (the list of what is forgotten says so too).
const (
	BlocksKept = 30 * 24 * time.Hour  // every sample
	HoursKept  = 400 * 24 * time.Hour // figures of hours
)

// MaxRange is the longest span that history can be asked of.
const MaxRange = 6 * 366 * 24 * time.Hour

// Range is a span of time, without its end.
type Range struct{ From, To time.Time }

// check refuses what is no span.
func (r Range) check() error {
	switch {
	case !r.From.Before(r.To):
		return fault.Input("to", "结束时间须在开始时间之后", "the end must be after the beginning")
	case r.To.Sub(r.From) > MaxRange:
		return fault.Input("from", "时间范围最多六年", "a range is at most six years")
	}
	return nil
}

// clip ends the range now.
func (r Range) clip(now time.Time) Range {
	if r.To.After(now) {
		r.To = now
	}
	return r
}

// grain is how fine a reading must be.
type grain int

const (
	byBlock grain = iota // every sample
	byHour
	byDay
)

// piece is what stands in the history for a span of one check: either samples
// or the figures of an hour or a day.
type piece struct {
	number int64
	start  int64 // Unix second
	block  []byte
	row    *stored
}

// into adds the piece's samples between two Unix seconds, or its figures; at
// says where each goes.
func (p *piece) into(from, to int64, at func(second int64) *history.Figures) error {
	if p.row != nil {
		return at(p.start).Merge(p.row.row())
	}
	samples, err := history.Decode(p.block)
	for _, s := range samples {
		if t := p.start + int64(s.At); t >= from && t < to {
			at(t).Add(s)
		}
	}
	return err
}

// reading is a look at the history of some checks, which are numbers.
type reading struct {
	s       *Service
	topo    *topology
	numbers []int64
	vantage string // "" = all
	seam    int64
	pieces  []piece
	rounds  int // rounds that were read
}

// read collects what stands for [from, to), sorted by check and time. Hours and
// days stand for spans that lie in the range as a whole, and for edges of which
// nothing finer is kept.
func (s *Service) read(ctx context.Context, t *topology, numbers []int64, vantage string, g grain, from, to int64) (*reading, error) {
	r := &reading{s: s, topo: t, numbers: numbers, vantage: vantage}
	var err error
	if r.seam, err = seam(ctx, s.db.R); err != nil || len(numbers) == 0 {
		return r, err
	}
	if to > r.seam {
		if err := r.tail(ctx, max(from, r.seam), to); err != nil {
			return r, err
		}
	}
	if end := min(to, r.seam); from < end {
		err = r.stored(ctx, g, from, end)
	}
	slices.SortFunc(r.pieces, func(a, b piece) int { return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.start, b.start)) })
	return r, err
}

// stored reads [from, end), all of it before the seam.
func (r *reading) stored(ctx context.Context, g grain, from, end int64) error {
	now := r.s.clock.Now()
	blocks, hours := now.Add(-BlocksKept).Unix()/hour*hour, now.Add(-HoursKept).Unix()
	if g == byBlock && from >= blocks {
		return r.blocks(ctx, from, end)
	}
	// Whole hours lie in [first, last); the edges are blocks, where there are any.
	first, last := (from+hour-1)/hour*hour, end/hour*hour
	if from < blocks {
		first = from / hour * hour
	}
	if end < blocks {
		last = (end + hour - 1) / hour * hour
	}
	if first >= last {
		return r.blocks(ctx, from, end)
	}
	if from < first {
		if err := r.blocks(ctx, from, first); err != nil {
			return err
		}
	}
	if last < end {
		if err := r.blocks(ctx, last, end); err != nil {
			return err
		}
	}
	if g == byHour && first >= hours {
		return r.hours(ctx, first, last)
	}
	return r.wholeDays(ctx, first, last, hours)
}

// wholeDays reads days, and hours at the edges; before kept there are only days.
func (r *reading) wholeDays(ctx context.Context, first, last, kept int64) error {
	loc := r.s.Location
	from, to := midnight(time.Unix(first, 0), loc), midnight(time.Unix(last, 0), loc)
	if from.Unix() < first && first >= kept {
		from = from.AddDate(0, 0, 1)
	}
	if !from.Before(to) {
		return r.hours(ctx, first, last)
	}
	if first < from.Unix() {
		if err := r.hours(ctx, first, from.Unix()); err != nil {
			return err
		}
	}
	if to.Unix() < last {
		if err := r.hours(ctx, to.Unix(), last); err != nil {
			return err
		}
	}
	var rows []dayRow
	err := r.of(r.s.db.R.NewSelect().Model(&rows), "day", from.Unix(), to.Unix()).Scan(ctx)
	for i := range rows {
		r.pieces = append(r.pieces, piece{number: rows[i].Number, start: rows[i].Day, row: &rows[i].stored})
	}
	return none(err)
}

// of narrows a read to the checks, the vantage and a span.
func (r *reading) of(q *bun.SelectQuery, column string, from, to int64) *bun.SelectQuery {
	q = q.Where("number IN (?)", bun.List(r.numbers)).Where(column+" >= ?", from).Where(column+" < ?", to)
	if r.vantage != "" {
		q = q.Where("vantage = ?", r.vantage)
	}
	return q
}

// none makes no error of finding nothing.
func none(err error) error {
	if store.NoRows(err) {
		return nil
	}
	return store.Busy(err)
}

func (r *reading) hours(ctx context.Context, from, to int64) error {
	var rows []hourRow
	err := r.of(r.s.db.R.NewSelect().Model(&rows), "hour", from, to).Scan(ctx)
	for i := range rows {
		r.pieces = append(r.pieces, piece{number: rows[i].Number, start: rows[i].Hour, row: &rows[i].stored})
	}
	return none(err)
}

// blocks reads the blocks that overlap the span.
func (r *reading) blocks(ctx context.Context, from, to int64) error {
	var rows []blockRow
	err := r.of(r.s.db.R.NewSelect().Model(&rows).Column("number", "hour", "block"), "hour", from/hour*hour, to).Scan(ctx)
	for _, b := range rows {
		r.pieces = append(r.pieces, piece{number: b.Number, start: b.Hour, block: b.Block})
	}
	return none(err)
}

// tail makes blocks of the rounds that no history has yet: of the shards that
// the checks belong to, for what others' rounds say is no sample.
func (r *reading) tail(ctx context.Context, from, to int64) error {
	shards, only := map[int64]int{}, map[int64]bool{}
	var which []int
	for _, n := range r.numbers {
		if c := r.topo.byNumber[n]; c != nil {
			only[n], shards[n] = true, c.host.Shard
			which = append(which, c.host.Shard)
		}
	}
	slices.Sort(which)
	which = slices.Compact(which)
	made := map[markKey]*transposer{}
	for start := from; start < to && len(which) > 0; start = start/hour*hour + hour {
		var rows []roundRow
		q := r.s.db.R.NewSelect().Model(&rows).Column("vantage", "shard", "epoch", "healthy", "payload").Where("epoch >= ?", start).
			Where("epoch < ?", min(to, start/hour*hour+hour)).Where("shard IN (?)", bun.List(which)).OrderExpr("epoch, shard")
		if r.vantage != "" {
			q = q.Where("vantage = ?", r.vantage)
		}
		if err := none(q.Scan(ctx)); err != nil {
			return err
		}
		r.rounds += len(rows)
		for i := range rows {
			k := markKey{rows[i].Epoch / hour * hour, rows[i].Vantage}
			if made[k] == nil {
				made[k] = &transposer{start: k.start, shards: shards, only: only, columns: map[int64]*column{}, log: slog.Default()}
			}
			made[k].round(&rows[i])
		}
	}
	for _, t := range made {
		t.settle()
		for n, c := range t.columns {
			if block := c.Bytes(); block != nil {
				r.pieces = append(r.pieces, piece{number: n, start: t.start, block: block})
			}
		}
	}
	return nil
}

// each calls f with the pieces of one check after the other.
func (r *reading) each(f func(number int64, pieces []piece) error) error {
	for rest := r.pieces; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].number == rest[0].number {
			n++
		}
		if err := f(rest[0].number, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// numbersOf gives the numbers of the live checks among ids, and the checks by
// their numbers.
func (t *topology) numbersOf(checks []id.ID) (numbers []int64) {
	for _, c := range checks {
		if x := t.checks[c.String()]; x != nil && !slices.Contains(numbers, x.Number) {
			numbers = append(numbers, x.Number)
		}
	}
	return numbers
}
