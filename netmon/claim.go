package netmon

import (
	"context"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"
	"time"

	"kelian/internal/store"
)

// spares is how many monitors after the preferred one look after a shard.
const spares = 2

// sweepEpochs hands out the shards of each epoch and sweeps those that nobody
// else does.
func (m *Monitor) sweepEpochs(ctx context.Context) {
	var wait sync.WaitGroup
	defer wait.Wait()
	for next := m.epochAt(m.clock.Now()); ; {
		epoch := next // of its own for those who work on it while next moves on
		t, err := m.topology(ctx)
		if err != nil {
			m.log.Warn("no shard is swept", "epoch", epoch, "error", err)
		} else {
			shards := m.dueShards(t, epoch)
			if m.leads.Load() && m.opts.Enqueue != nil {
				wait.Go(func() { m.enqueue(ctx, shards, epoch) })
			}
			wait.Go(func() { m.claimRest(ctx, shards, epoch) })
		}
		// An epoch that passed while this process stood still is not swept.
		next = max(epoch+int64(m.opts.Interval/time.Second), m.epochAt(m.clock.Now()))
		if !m.until(ctx, startOf(next)) {
			return
		}
	}
}

func (m *Monitor) dueShards(t *topology, epoch int64) (out []int) {
	for _, s := range t.shards {
		if len(t.due(s, epoch, m.opts.Interval)) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// enqueue offers the shards to the queue; losing one costs patience, no round.
func (m *Monitor) enqueue(ctx context.Context, shards []int, epoch int64) {
	end := startOf(epoch).Add(m.opts.Interval)
	within, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	for i, s := range shards {
		if err := m.opts.Enqueue(within, s, epoch, end); err != nil {
			m.count.enqueueFailed.Add(int64(len(shards) - i))
			if ctx.Err() == nil {
				m.log.Warn("the queue takes no shards; monitors claim them", "epoch", epoch, "error", err)
			}
			return
		}
	}
}

// claimRest waits for its turn at each shard and sweeps what is unclaimed: the
// preferred monitor after Patience (at once where there is no queue), then the
// next ones, for the preferred one may just have died.
func (m *Monitor) claimRest(ctx context.Context, shards []int, epoch int64) {
	m.mu.Lock()
	owners := m.live[m.opts.Vantage]
	m.mu.Unlock()
	var wait sync.WaitGroup
	defer wait.Wait()
	for turn := range spares + 1 {
		delay := time.Duration(turn) * m.opts.Patience
		if m.opts.Enqueue != nil {
			delay += m.opts.Patience
		}
		var mine []int
		for _, s := range shards {
			if m.rank(s, owners) == turn {
				mine = append(mine, s)
			}
		}
		if len(mine) == 0 {
			continue
		}
		if !m.until(ctx, startOf(epoch).Add(delay)) {
			return
		}
		for _, s := range m.unclaimed(ctx, mine, epoch) {
			wait.Go(func() {
				if err := m.SweepShard(ctx, s, epoch); err != nil && ctx.Err() == nil {
					m.log.Warn("a shard was not swept", "shard", s, "epoch", epoch, "error", err)
				}
			})
		}
	}
}

// rank is this monitor's place in the shard's order of owners (rendezvous
// hashing: when one goes, only its shards move).
func (m *Monitor) rank(shard int, owners []string) int {
	weight := func(owner string) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(owner + "/" + strconv.Itoa(shard)))
		return mix(h.Sum64())
	}
	own, before := weight(m.owner), 0
	for _, o := range owners {
		if o != m.owner && weight(o) > own {
			before++
		}
	}
	return before
}

// mix spreads what FNV leaves in the low bits (the finaliser of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// unclaimed leaves out what somebody took; without a database nobody can have.
func (m *Monitor) unclaimed(ctx context.Context, shards []int, epoch int64) []int {
	taken, err := within(ctx, m.brief(), func(ctx context.Context) (taken []int, err error) {
		err = m.db.R.NewRaw(`SELECT shard FROM shard_claim WHERE vantage = ? AND epoch >= ?`, m.opts.Vantage, epoch).Scan(ctx, &taken)
		if store.NoRows(err) {
			err = nil
		}
		return taken, err
	})
	if err != nil {
		return shards
	}
	return slices.DeleteFunc(shards, func(s int) bool { return slices.Contains(taken, s) })
}

// claim takes the shard for the epoch: one conditional write decides who
// sweeps.
func (m *Monitor) claim(ctx context.Context, shard int, epoch int64) (bool, error) {
	return within(ctx, m.brief(), func(ctx context.Context) (bool, error) {
		return store.InTx(ctx, m.db, store.Internal("netmon.claim"), func(ctx context.Context, tx *store.Tx) (bool, error) {
			res, err := tx.NewRaw(`INSERT INTO shard_claim (vantage, shard, epoch, owner) VALUES (?, ?, ?, ?)
				ON CONFLICT (vantage, shard) DO UPDATE SET epoch = EXCLUDED.epoch, owner = EXCLUDED.owner WHERE shard_claim.epoch < EXCLUDED.epoch`,
				m.opts.Vantage, shard, epoch, m.owner).Exec(ctx)
			if err != nil {
				return false, err
			}
			n, err := res.RowsAffected()
			return n == 1, err
		})
	})
}
