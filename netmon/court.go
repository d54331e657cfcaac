package netmon

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"sync"
	"time"

	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon/judge"

	"github.com/uptrace/bun"
)

// stateName is the one row of judge_state.
const stateName = "main"

// poll is how often the judge looks for rounds of other processes; those of its
// own wake it.
const poll = 100 * time.Millisecond

// court is what the judging process remembers; all of it can be read again.
type court struct {
	sitting sync.Mutex
	known   bool // state is what the database holds
	state   judge.JudgeState
	epoch   int64             // of state, as stored
	used    map[roundKey]bool // rounds that were judged
}

type roundKey struct {
	Vantage string
	Shard   int
	Epoch   int64
}

// errOvertaken says that another process judged meanwhile.
var errOvertaken = errors.New("netmon: another process has judged this epoch")

// judgeEpochs judges each epoch while this process leads.
func (m *Monitor) judgeEpochs(ctx context.Context) {
	done := int64(0)
	for ctx.Err() == nil {
		if epoch := m.epochAt(m.clock.Now()); m.leads.Load() && epoch > done {
			if err := m.JudgeEpoch(ctx, epoch); err != nil && ctx.Err() == nil {
				m.log.Warn("an epoch was not judged", "epoch", epoch, "error", err)
			}
			done = epoch
			continue
		}
		next := startOf(m.epochAt(m.clock.Now())).Add(m.opts.Interval)
		timer := time.NewTimer(next.Sub(m.clock.Now()))
		select {
		case <-ctx.Done():
		case <-m.led:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// JudgeEpoch waits for the epoch's rounds, decides, and commits what changed.
// An epoch that was judged already is left alone. Rounds that came too late
// for their own epoch are judged with the next one.
func (m *Monitor) JudgeEpoch(ctx context.Context, epoch int64) error {
	c := &m.court
	c.sitting.Lock()
	defer c.sitting.Unlock()
	if err := m.recall(ctx); err != nil || c.epoch >= epoch {
		return err
	}
	t, err := m.topology(ctx)
	if err != nil {
		return err
	}
	if err := m.awaitRounds(ctx, t, epoch); err != nil {
		return err
	}
	rounds, keys, err := m.rounds(ctx, t, epoch)
	if err != nil {
		return err
	}
	p := m.opts.Params
	if p.Maintenance, err = maintained(ctx, m.db.R, m.clock.wall(startOf(epoch))); err != nil {
		return err
	}
	next, transitions, changes := judge.Decide(c.state, t.graph, rounds, epoch, p)
	v := &verdict{m: m, t: t, p: p, epoch: epoch, before: c.epoch, state: next, transitions: transitions, changes: changes}
	v.certify()
	if err := v.commit(ctx); err != nil {
		c.known = false // the outcome is unknown, or another process is ahead
		if errors.Is(err, errOvertaken) {
			return nil
		}
		return err
	}
	c.state, c.epoch = next, epoch
	for _, k := range keys {
		c.used[k] = true
	}
	oldest := m.oldest(epoch)
	maps.DeleteFunc(c.used, func(k roundKey, _ bool) bool { return k.Epoch < oldest })
	m.count.judged.Add(1)
	return nil
}

// oldest is the first epoch whose rounds may still arrive.
func (m *Monitor) oldest(epoch int64) int64 {
	return epoch - int64((m.opts.Keep+m.opts.Interval+m.opts.Settle)/time.Second)
}

// recall reads the state that the last judge left, unless it was this process.
func (m *Monitor) recall(ctx context.Context) error {
	var stored int64
	err := m.db.R.NewRaw(`SELECT epoch FROM judge_state WHERE name = ?`, stateName).Scan(ctx, &stored)
	if err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	if m.court.known && m.court.epoch == stored {
		return nil
	}
	row, state, err := readState(ctx, m.db)
	if err != nil {
		return err
	}
	c := &m.court
	c.known, c.state, c.epoch, c.used = true, state, row.Epoch, map[roundKey]bool{}
	return nil
}

func readState(ctx context.Context, db *store.DB) (judgeRow, judge.JudgeState, error) {
	var row judgeRow
	var state judge.JudgeState
	err := db.R.NewSelect().Model(&row).Where("name = ?", stateName).Scan(ctx)
	if store.NoRows(err) {
		return row, state, nil
	}
	if err == nil {
		err = unpack(row.State, &state)
	}
	return row, state, store.Busy(err)
}

// pack is compressed JSON: a state of 10,000 hosts has megabytes otherwise.
func pack(s judge.JudgeState) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(z).Encode(s); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

func unpack(raw []byte, s *judge.JudgeState) error {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("netmon: the judge's state is damaged: %w", err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return fmt.Errorf("netmon: the judge's state is damaged: %w", err)
	}
	return json.Unmarshal(text, s)
}

// awaitRounds waits until every live vantage brought every shard of the epoch,
// at most until the epoch has settled.
func (m *Monitor) awaitRounds(ctx context.Context, t *topology, epoch int64) error {
	due := m.dueShards(t, epoch)
	end := startOf(epoch).Add(m.opts.Settle)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		var have []roundKey
		err := m.db.R.NewRaw(`SELECT vantage, shard, epoch FROM round WHERE epoch = ?`, epoch).Scan(ctx, &have)
		if err != nil && !store.NoRows(err) {
			return store.Busy(err)
		}
		left := end.Sub(m.clock.Now())
		if left <= 0 || m.complete(have, due) {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-m.arrive:
		case <-tick.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (m *Monitor) complete(have []roundKey, due []int) bool {
	m.mu.Lock()
	vantages := map[string]bool{m.opts.Vantage: true}
	for v := range m.live {
		vantages[v] = true
	}
	m.mu.Unlock()
	in := map[roundKey]bool{}
	for _, k := range have {
		k.Epoch = 0
		in[k] = true
	}
	for v := range vantages {
		for _, s := range due {
			if !in[roundKey{Vantage: v, Shard: s}] {
				return false
			}
		}
	}
	return true
}

// rounds reads those not judged yet, late ones of earlier epochs among them.
func (m *Monitor) rounds(ctx context.Context, t *topology, epoch int64) ([]judge.Round, []roundKey, error) {
	var all []roundKey
	err := m.db.R.NewRaw(`SELECT vantage, shard, epoch FROM round WHERE epoch > ? AND epoch <= ?`, m.oldest(epoch), epoch).Scan(ctx, &all)
	if err != nil && !store.NoRows(err) {
		return nil, nil, store.Busy(err)
	}
	var out []judge.Round
	var keys []roundKey
	for _, k := range all {
		if m.court.used[k] {
			continue
		}
		var r roundRow
		err := m.db.R.NewSelect().Model(&r).Column("healthy", "payload").
			Where("vantage = ?", k.Vantage).Where("shard = ?", k.Shard).Where("epoch = ?", k.Epoch).Scan(ctx)
		if err != nil {
			return nil, nil, store.Busy(err)
		}
		seen, err := observations(r.Payload, t)
		if err != nil {
			m.log.Error("a round cannot be read and counts as missing", "vantage", k.Vantage, "shard", k.Shard, "epoch", k.Epoch, "error", err)
			seen = nil
		}
		out = append(out, judge.Round{Vantage: k.Vantage, Shard: strconv.Itoa(k.Shard), Epoch: k.Epoch, Healthy: r.Healthy, Observations: seen})
		keys = append(keys, k)
	}
	return out, keys, nil
}

// verdict is what one epoch came to.
type verdict struct {
	m           *Monitor
	t           *topology
	p           judge.Params
	epoch       int64
	before      int64 // the epoch that the stored state must still have
	state       judge.JudgeState
	transitions []judge.Transition
	changes     []judge.IncidentChange
	doubted     map[string]bool // keys whose certificate failed
}

// certify checks each new certificate by the independent checker.
func (v *verdict) certify() {
	v.doubted = map[string]bool{}
	var conditions map[string]judge.Condition
	for _, c := range v.changes {
		if c.Kind == judge.Close {
			continue
		}
		if conditions == nil {
			conditions = v.state.Conditions(v.t.graph, v.p)
		}
		if err := v.m.verify(v.t.graph, c.Certificate, conditions); err != nil {
			v.doubted[c.Key] = true
			v.m.count.uncertified.Add(1)
			v.m.log.Error("a certificate failed; its hosts get incidents of their own", "outage", c.Key, "epoch", v.epoch, "error", err)
		}
	}
}

// commit writes the epoch in one transaction, unless another process was
// faster.
func (v *verdict) commit(ctx context.Context) error {
	packed, err := pack(v.state)
	if err != nil {
		return err
	}
	now := v.m.clock.clock.Now()
	_, err = store.InTx(ctx, v.m.db, store.Internal("netmon.judge"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		res, err := tx.NewRaw(`INSERT INTO judge_state (name, epoch, rounds, owner, state, at) VALUES (?, ?, 1, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET epoch = EXCLUDED.epoch, rounds = judge_state.rounds + 1, owner = EXCLUDED.owner,
			state = EXCLUDED.state, at = EXCLUDED.at WHERE judge_state.epoch = ?`,
			stateName, v.epoch, v.m.owner, packed, now, v.before).Exec(ctx)
		if err != nil {
			return struct{}{}, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return struct{}{}, errors.Join(err, errOvertaken)
		}
		moved, err := v.record(ctx, tx, now)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, v.settle(ctx, tx, moved, now)
	})
	return err
}

// maintained lists the hosts under maintenance at a moment.
func maintained(ctx context.Context, q bun.IDB, at time.Time) (map[string]bool, error) {
	var hosts []id.ID
	err := q.NewRaw(`SELECT DISTINCT host FROM maintenance WHERE from_at <= ? AND until_at > ?`, at, at).Scan(ctx, &hosts)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	out := map[string]bool{}
	for _, h := range hosts {
		out[h.String()] = true
	}
	return out, nil
}
