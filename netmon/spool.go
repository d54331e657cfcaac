package netmon

import (
	"context"
	"sync"
	"time"

	"kelian/internal/store"
)

// spool keeps rounds in memory while the database is away.
type spool struct {
	mu      sync.Mutex
	rounds  []roundRow    // oldest first
	flying  int           // the first so many are being written
	landed  chan struct{} // closed when they are, or were refused; nil = none flies
	err     error         // of the latest writing
	dropped int           // forgotten and not yet told in a round
}

func (s *spool) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rounds)
}

// keep writes the round, or holds it until the database is back, forgetting
// what is older than Keep.
func (m *Monitor) keep(ctx context.Context, r roundRow) {
	s := &m.spool
	s.mu.Lock()
	s.rounds = append(s.rounds, r)
	oldest := startOf(r.Epoch).Add(-m.opts.Keep).Unix()
	for len(s.rounds) > s.flying && s.rounds[s.flying].Epoch < oldest {
		s.rounds = append(s.rounds[:s.flying], s.rounds[s.flying+1:]...)
		s.dropped++
		m.count.dropped.Add(1)
	}
	s.mu.Unlock()
	m.flush(ctx)
}

// flush writes what waits, oldest first. It returns when nothing waits any
// more, and soon when the database does not answer.
func (m *Monitor) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, m.brief())
	defer cancel()
	for {
		landed := m.launch()
		if landed == nil {
			return
		}
		select {
		case <-landed:
		case <-ctx.Done():
			m.log.Warn("rounds wait for the database", "rounds", m.spool.len())
			return
		}
		m.spool.mu.Lock()
		err := m.spool.err
		m.spool.mu.Unlock()
		if err != nil {
			m.log.Warn("rounds wait for the database", "rounds", m.spool.len(), "error", err)
			return
		}
	}
}

// writeBatch bounds one transaction.
const writeBatch = 50

// launch starts writing unless that is under way. One writing at a time: a
// statement that hangs is not followed by more of them.
func (m *Monitor) launch() <-chan struct{} {
	s := &m.spool
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.landed != nil || len(s.rounds) == 0 {
		return s.landed
	}
	s.flying, s.landed = min(writeBatch, len(s.rounds)), make(chan struct{})
	batch, dropped := append([]roundRow(nil), s.rounds[:s.flying]...), s.dropped
	batch[0].Dropped = dropped
	go m.store(batch, dropped, s.landed)
	return s.landed
}

// store writes the batch. A round that is there already is left as it is: the
// first one counts.
func (m *Monitor) store(batch []roundRow, dropped int, landed chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := store.InTx(ctx, m.db, store.Internal("netmon.round"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		for i := range batch {
			tx.Queue(m.db.Bun().NewInsert().Model(&batch[i]).On("CONFLICT DO NOTHING"))
		}
		return struct{}{}, nil
	})
	s := &m.spool
	s.mu.Lock()
	if err == nil {
		s.rounds = append([]roundRow(nil), s.rounds[s.flying:]...)
		s.dropped -= dropped
	}
	s.flying, s.landed, s.err = 0, nil, err
	close(landed)
	s.mu.Unlock()
	if err == nil {
		select {
		case m.arrive <- struct{}{}:
		default:
		}
	}
}
