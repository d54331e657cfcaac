package netmon

import (
	"context"
	"maps"
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/netmon/history"
	"kelian/org"
)

// MaxPoints bounds a chart, MaxCharts how many checks are read at once.
const (
	MaxPoints = 1000
	MaxCharts = 1000
)

// Summary is a span of one check. Times are 0 without answers.
type Summary struct {
	Check id.ID
	Range
	history.Counts
	Low, P50, P90, P99, High time.Duration
}

// Point is a part of a chart: what lies between At and the series' Step after.
type Point struct {
	At time.Time
	history.Counts
	Low, P50, High time.Duration // of the answers
}

// Series is a chart of one check, oldest first; spans of which nothing is known
// have no point.
type Series struct {
	Check  id.ID
	Step   time.Duration
	Points []Point
	Rows   int // rows of the history that were read for it
}

// Look says at which part of the history to look; Vantage "" is all of them
// together.
type Look struct {
	Range
	Vantage string
}

// Summaries reads figures of a span, for loaders; checks that are not there are
// left out. Of what is older than BlocksKept the edges are those of hours, of
// what is older than HoursKept those of days.
func (s *Service) Summaries(ctx context.Context, actor org.Actor, look Look, checks ...id.ID) (map[id.ID]Summary, error) {
	now, err := s.mayLook(ctx, actor, look, len(checks))
	if err != nil || len(checks) == 0 {
		return nil, err
	}
	span := look.clip(s.clock.Now())
	from, to := span.From.Unix(), span.To.Unix()
	r, err := s.read(ctx, now.topo, now.topo.numbersOf(checks), look.Vantage, byDay, from, to)
	if err != nil {
		return nil, err
	}
	out := map[id.ID]Summary{}
	for _, n := range r.numbers {
		out[now.topo.byNumber[n].ID] = Summary{Check: now.topo.byNumber[n].ID, Range: look.Range}
	}
	err = r.each(func(n int64, pieces []piece) error {
		var f history.Figures
		for i := range pieces {
			if err := pieces[i].into(from, to, func(int64) *history.Figures { return &f }); err != nil {
				return err
			}
		}
		check := now.topo.byNumber[n].ID
		out[check] = Summary{Check: check, Range: look.Range, Counts: f.Counts, Low: f.Low, High: f.High,
			P50: f.Quantile(0.5), P90: f.Quantile(0.9), P99: f.Quantile(0.99)}
		return nil
	})
	return out, err
}

// mayLook judges a read of the history and gives the network.
func (s *Service) mayLook(ctx context.Context, actor org.Actor, look Look, checks int) (snapshot, error) {
	if _, err := s.may(ctx, actor, "netmon.read"); err != nil {
		return snapshot{}, err
	}
	if err := look.check(); err != nil {
		return snapshot{}, err
	}
	if checks > MaxCharts {
		return snapshot{}, fault.Input("checks", "一次最多 1000 个检测项", "at most 1,000 checks at a time")
	}
	return s.now(ctx)
}

// Charts reads a series of at most points points for each check, for loaders.
// Points are as fine as the history allows: of samples for up to BlocksKept,
// of hours for up to HoursKept, of days beyond.
func (s *Service) Charts(ctx context.Context, actor org.Actor, look Look, points int, checks ...id.ID) (map[id.ID]Series, error) {
	if points < 1 || points > MaxPoints {
		return nil, fault.Input("points", "点数须在 1 到 1000 之间", "the number of points is between 1 and 1,000")
	}
	now, err := s.mayLook(ctx, actor, look, len(checks))
	if err != nil || len(checks) == 0 {
		return nil, err
	}
	span := look.clip(s.clock.Now())
	a := s.axis(span, points)
	r, err := s.read(ctx, now.topo, now.topo.numbersOf(checks), look.Vantage, a.grain, a.origin, span.To.Unix())
	if err != nil {
		return nil, err
	}
	out := map[id.ID]Series{}
	for _, n := range r.numbers {
		check := now.topo.byNumber[n].ID
		out[check] = Series{Check: check, Step: time.Duration(a.step) * time.Second}
	}
	err = r.each(func(n int64, pieces []piece) error {
		check := now.topo.byNumber[n].ID
		x := out[check]
		x.Rows = len(pieces)
		x.Points, err = a.points(pieces, span.To.Unix())
		out[check] = x
		return err
	})
	return out, err
}

// axis is a chart's axis of time, in Unix seconds.
type axis struct {
	grain        grain
	origin, step int64
	loc          *time.Location // whose days a step by days is of
}

// place says which point a moment belongs to, at when a point begins.
func (a axis) place(second int64) int64 {
	if a.grain == byDay {
		return (dayNumber(second, a.loc) - dayNumber(a.origin, a.loc)) / (a.step / (24 * hour))
	}
	return (second - a.origin) / a.step
}

func (a axis) at(place int64) time.Time {
	if a.grain == byDay {
		return time.Unix(a.origin, 0).In(a.loc).AddDate(0, 0, int(place*a.step/(24*hour))).UTC()
	}
	return time.Unix(a.origin+place*a.step, 0).UTC()
}

// dayNumber counts local days.
func dayNumber(second int64, loc *time.Location) int64 {
	y, m, d := time.Unix(second, 0).In(loc).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * hour)
}

// axis chooses the finest grain that the number of points asks for and the
// history has.
func (s *Service) axis(span Range, points int) axis {
	from, to, age := span.From.Unix(), span.To.Unix(), s.clock.Now().Sub(span.From)
	fit := func(g grain, origin, unit int64) axis {
		step := (to - origin + int64(points) - 1) / int64(points)
		return axis{g, origin, max(unit, (step+unit-1)/unit*unit), s.Location}
	}
	day := int64(24 * hour)
	switch want := (to - from) / int64(points); {
	case want < hour && age <= BlocksKept:
		return fit(byBlock, from/baseTier*baseTier, baseTier)
	case want < day && age <= HoursKept:
		return fit(byHour, from/hour*hour, hour)
	}
	return fit(byDay, midnight(span.From, s.Location).Unix(), day)
}

// points puts the pieces of one check on the axis.
func (a axis) points(pieces []piece, to int64) ([]Point, error) {
	places := map[int64]*history.Figures{}
	for i := range pieces {
		err := pieces[i].into(a.origin, to, func(second int64) *history.Figures {
			n := a.place(second)
			if places[n] == nil {
				places[n] = &history.Figures{}
			}
			return places[n]
		})
		if err != nil {
			return nil, err
		}
	}
	var out []Point
	for _, n := range slices.Sorted(maps.Keys(places)) {
		if f := places[n]; f.Samples+f.Missing > 0 {
			out = append(out, Point{At: a.at(n), Counts: f.Counts, Low: f.Low, P50: f.Quantile(0.5), High: f.High})
		}
	}
	return out, nil
}
