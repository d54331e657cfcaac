package netmon

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon/judge"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Availability says how a host spent a span of its life. Every moment belongs
// to one of Up, Down, Maintenance and Unknown.
//
//	Down         DOWN or RECOVERING, whatever the cause; Behind of it because of
//	             something before the host
//	Maintenance  under maintenance, whatever else; excluded
//	Unknown      UNKNOWN or STALE, or nobody watched the network; excluded
//	Up           the rest: UP, and SUSPECT until it is settled
type Availability struct {
	Host                 id.ID
	Range                // of the host's life until now
	Up, Down, Behind     time.Duration
	Maintenance, Unknown time.Duration
	Outages              int // times that Down began
}

// Share is Up of what counts, 0 to 1; ok is false when nothing counts.
func (a *Availability) Share() (share float64, ok bool) {
	if a.Up+a.Down == 0 {
		return 0, false
	}
	return float64(a.Up) / float64(a.Up+a.Down), true
}

// add puts another host's time to it.
func (a *Availability) add(b Availability) {
	a.Up += b.Up
	a.Down += b.Down
	a.Behind += b.Behind
	a.Maintenance += b.Maintenance
	a.Unknown += b.Unknown
	a.Outages += b.Outages
}

// Month gives the span of a month, such as 2026-11, where the service is.
func (s *Service) Month(of time.Time) Range {
	y, m, _ := of.In(s.Location).Date()
	from := time.Date(y, m, 1, 0, 0, 0, 0, s.Location)
	return Range{from, from.AddDate(0, 1, 0)}
}

// Availabilities reads how hosts spent a span, for loaders; absent and removed
// hosts are left out.
func (s *Service) Availabilities(ctx context.Context, actor org.Actor, span Range, hosts ...id.ID) (map[id.ID]Availability, error) {
	now, err := s.mayLook(ctx, actor, Look{Range: span}, len(hosts))
	if err != nil || len(hosts) == 0 {
		return nil, err
	}
	return s.availabilities(ctx, now, span, hosts)
}

func (s *Service) availabilities(ctx context.Context, now snapshot, span Range, hosts []id.ID) (map[id.ID]Availability, error) {
	span = span.clip(s.clock.Now())
	out := map[id.ID]Availability{}
	var nodes []*node
	for _, h := range hosts {
		if n, err := now.topo.host(h); err == nil {
			nodes = append(nodes, n)
		}
	}
	if len(nodes) == 0 || !span.From.Before(span.To) {
		for _, n := range nodes {
			out[n.ID] = Availability{Host: n.ID, Range: Range{span.From, span.From}}
		}
		return out, nil
	}
	moves, err := s.moves(ctx, nodes, span)
	if err != nil {
		return nil, err
	}
	blind, err := s.blind(ctx, span)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		life := span
		if life.From.Before(n.CreatedAt) {
			life.From = n.CreatedAt
		}
		a := Availability{Host: n.ID, Range: life}
		if life.From.Before(life.To) {
			a.spend(now, n, moves[n.id], blind)
		}
		out[n.ID] = a
	}
	return out, nil
}

// move is a change of a host.
type move struct {
	Subject                string
	Epoch                  int64
	FromState, ToState     judge.State
	FromOverlay, ToOverlay int
}

// moves reads the hosts' changes in a span and the last one before it, in the
// order of time.
func (s *Service) moves(ctx context.Context, nodes []*node, span Range) (map[string][]move, error) {
	subjects := make([]string, len(nodes))
	for i, n := range nodes {
		subjects[i] = n.id
	}
	const columns = `SELECT t.subject, t.epoch, t.from_state, t.to_state, t.from_overlay, t.to_overlay FROM transition AS t WHERE t.kind = 'NODE' AND t.subject IN (?) AND `
	out := map[string][]move{}
	for _, where := range []struct {
		text string
		args []any
	}{
		{columns + `t.epoch = (SELECT MAX(x.epoch) FROM transition AS x WHERE x.subject = t.subject AND x.kind = 'NODE' AND x.epoch <= ?)`, []any{span.From.Unix()}},
		{columns + `t.epoch > ? AND t.epoch < ? ORDER BY t.subject, t.epoch`, []any{span.From.Unix(), span.To.Unix()}},
	} {
		for chunk := range slices.Chunk(subjects, 500) {
			var rows []move
			err := s.db.R.NewRaw(where.text, append([]any{bun.List(chunk)}, where.args...)...).Scan(ctx, &rows)
			if err != nil && !store.NoRows(err) {
				return nil, store.Busy(err)
			}
			for _, m := range rows {
				out[m.Subject] = append(out[m.Subject], m)
			}
		}
	}
	return out, nil
}

// gap is a span, in Unix seconds, in which nobody watched.
type gap struct{ from, to int64 }

// blind lists the gaps between the minutes of a span in which a round was,
// wherever from. It looks at the hours' marks, and behind the seam at the rounds.
func (s *Service) blind(ctx context.Context, span Range) ([]gap, error) {
	from, to := span.From.Unix(), span.To.Unix()
	end, err := seam(ctx, s.db.R)
	if err != nil {
		return nil, err
	}
	hours, err := readMarks(ctx, s.db.R, spanHour, from/hour*hour, min(to, end))
	if err != nil {
		return nil, err
	}
	var minutes []int64
	for _, m := range hours {
		for left := uint64(m.Minutes); left != 0; left &= left - 1 {
			minutes = append(minutes, m.Start/60+int64(bits.TrailingZeros64(left)))
		}
	}
	var tail []int64
	err = s.db.R.NewRaw(`SELECT DISTINCT epoch / 60 FROM round WHERE epoch >= ? AND epoch < ?`, max(from, end), to).Scan(ctx, &tail)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	minutes = append(minutes, tail...)
	slices.Sort(minutes)
	var out []gap
	last := from
	for _, m := range minutes {
		if m*60 > last {
			out = append(out, gap{last, m * 60})
		}
		last = max(last, m*60+60)
	}
	if last < to {
		out = append(out, gap{last, to})
	}
	return out, nil
}

// spend counts the host's time. A gap in the watch is unknown where it is
// longer than the three intervals after which a check is STALE, and a minute.
func (a *Availability) spend(now snapshot, n *node, moves []move, blind []gap) {
	slack := int64(0)
	for _, c := range n.checks {
		slack = max(slack, int64(3*c.Seconds))
	}
	blind = slices.DeleteFunc(slices.Clone(blind), func(g gap) bool { return g.to-g.from <= slack+60 })
	at, end := a.From.Unix(), a.To.Unix()
	state, overlay := judge.Unknown, judge.Overlay(0)
	switch {
	case len(moves) > 0 && moves[0].Epoch > at:
		state, overlay = moves[0].FromState, judge.Overlay(moves[0].FromOverlay)
	case len(moves) == 0:
		// What changed last was forgotten: it is as it is now.
		if st, ok := now.state.Nodes[n.id]; ok && st.Since <= at {
			state, overlay = st.State, st.Overlay
		}
	}
	was := false
	for i := 0; ; i++ {
		until := end
		if i < len(moves) {
			until = min(end, moves[i].Epoch)
		}
		if until > at {
			down := a.count(state, overlay, at, until, blind)
			if down && !was {
				a.Outages++
			}
			was, at = down, until
		}
		if i == len(moves) {
			return
		}
		state, overlay = moves[i].ToState, judge.Overlay(moves[i].ToOverlay)
	}
}

// count puts a span of one state to what it counts as, and says whether the
// host was down in it.
func (a *Availability) count(state judge.State, overlay judge.Overlay, from, to int64, blind []gap) (down bool) {
	total := time.Duration(to-from) * time.Second
	if overlay&judge.Maintenance != 0 {
		a.Maintenance += total
		return false
	}
	if state == judge.Unknown || overlay&judge.Stale != 0 {
		a.Unknown += total
		return false
	}
	for _, g := range blind {
		if cut := min(to, g.to) - max(from, g.from); cut > 0 {
			a.Unknown += time.Duration(cut) * time.Second
			total -= time.Duration(cut) * time.Second
		}
	}
	if down = state == judge.Down || state == judge.Recovering; !down {
		a.Up += total
		return false
	}
	a.Down += total
	if overlay&judge.Unreachable != 0 {
		a.Behind += total
	}
	return true
}

// String is for logs and tests.
func (a Availability) String() string {
	return fmt.Sprintf("up %v, down %v (behind %v, %d times), maintenance %v, unknown %v", a.Up, a.Down, a.Behind, a.Outages, a.Maintenance, a.Unknown)
}
