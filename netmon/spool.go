package netmon

import (
	"context"
	"sync"
	"time"

	"kelian/internal/store"
)

// spool keeps rounds in memory while the database is away.
type spool struct {
	writing sync.Mutex // one writer, so that whoever returns has written
	mu      sync.Mutex
	rounds  []roundRow // oldest first
	dropped int        // forgotten and not yet told in a round
}

func (s *spool) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rounds)
}

// keep writes the round, or holds it until the database is back.
func (m *Monitor) keep(ctx context.Context, r roundRow) {
	m.spool.mu.Lock()
	m.spool.rounds = append(m.spool.rounds, r)
	oldest := startOf(r.Epoch).Add(-m.opts.Keep).Unix()
	for len(m.spool.rounds) > 0 && m.spool.rounds[0].Epoch < oldest {
		m.spool.rounds = m.spool.rounds[1:]
		m.spool.dropped++
		m.count.dropped.Add(1)
	}
	m.spool.mu.Unlock()
	m.flush(ctx)
}

func (m *Monitor) flush(ctx context.Context) {
	if m.spool.len() == 0 {
		return
	}
	if err := m.write(ctx); err != nil {
		m.log.Warn("rounds wait for the database", "rounds", m.spool.len(), "error", err)
	}
}

// writeBatch bounds one transaction.
const writeBatch = 50

// write stores what is waiting, oldest first. A round that is there already is
// left as it is: the first one counts.
func (m *Monitor) write(ctx context.Context) error {
	m.spool.writing.Lock()
	defer m.spool.writing.Unlock()
	for {
		m.spool.mu.Lock()
		n := min(writeBatch, len(m.spool.rounds))
		batch := append([]roundRow(nil), m.spool.rounds[:n]...)
		dropped := m.spool.dropped
		m.spool.rounds = m.spool.rounds[n:]
		m.spool.dropped = 0
		m.spool.mu.Unlock()
		if n == 0 {
			return nil
		}
		batch[0].Dropped = dropped
		_, err := within(ctx, 2*time.Second, func(ctx context.Context) (struct{}, error) {
			return store.InTx(ctx, m.db, store.Internal("netmon.round"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
				for i := range batch {
					tx.Queue(m.db.Bun().NewInsert().Model(&batch[i]).On("CONFLICT DO NOTHING"))
				}
				return struct{}{}, nil
			})
		})
		if err != nil {
			batch[0].Dropped = 0
			m.spool.mu.Lock()
			m.spool.rounds = append(batch, m.spool.rounds...)
			m.spool.dropped += dropped
			m.spool.mu.Unlock()
			return err
		}
		select {
		case m.arrive <- struct{}{}:
		default:
		}
	}
}
