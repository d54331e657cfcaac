package netmon

import (
	"context"
	"sync"
	"time"

	"kelian/internal/clock"
	"kelian/internal/store"
)

// steady is the time by which epochs are counted. It is the clock's, but when
// that is set back it runs on: an epoch that was swept and judged does not come
// again, and a network must not go unwatched until the clock has caught up.
type steady struct {
	clock clock.Clock
	mu    sync.Mutex
	at    time.Time // what Now said last
	mark  time.Time // when that was; its monotonic reading counts
}

// Now is never before what it said before.
func (s *steady) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	wall, mark := s.clock.Now(), time.Now()
	if !s.mark.IsZero() {
		s.at = s.at.Add(mark.Sub(s.mark))
	}
	s.mark = mark
	if wall.After(s.at) {
		s.at = wall
	}
	return s.at
}

// wall is what the clock shows at a moment of steady time.
func (s *steady) wall(t time.Time) time.Time { return s.clock.Now().Add(t.Sub(s.Now())) }

// notBefore moves on to t.
func (s *steady) notBefore(t time.Time) {
	now := s.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.After(now) && t.After(s.at) {
		s.at = t
	}
}

// keepUp moves on to the newest epoch that anybody swept or judged: this
// process may have started after the clock was set back, and of machines whose
// clocks differ the fastest leads.
func (m *Monitor) keepUp(ctx context.Context) error {
	var judged, claimed int64
	err := m.db.R.NewRaw(`SELECT COALESCE((SELECT epoch FROM judge_state WHERE name = ?), 0), COALESCE((SELECT max(epoch) FROM shard_claim), 0)`,
		stateName).Scan(ctx, &judged, &claimed)
	if err == nil {
		m.clock.notBefore(startOf(max(judged, claimed)))
	}
	return store.Busy(err)
}
