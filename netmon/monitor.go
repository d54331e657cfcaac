package netmon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/netmon/judge"
	"kelian/netmon/probe"
)

// MonitorOptions are a Monitor's settings; the zero value is good. Processes
// that share a database have the same Interval.
type MonitorOptions struct {
	Interval time.Duration // length of an epoch, whole seconds; 0 = 10 s
	Timeout  time.Duration // of a ping or TCP check, half of an HTTP check's; 0 = 1 s
	Gap      time.Duration // between the two re-probes of a suspect; 0 = 1 s
	Settle   time.Duration // the judge waits no longer for rounds; 0 = 3 Timeout + 2 Gap
	Patience time.Duration // until a monitor claims what the queue should have brought; 0 = 300 ms
	Keep     time.Duration // rounds are kept while the database is away; 0 = 5 min
	Vantage  string        // where this process sees the network from; "" = main
	// Enqueue hands a shard to the queue, whose worker calls SweepShard before
	// the deadline. It is called by the judge's process at each epoch; nil or
	// failing it costs Patience and no round.
	Enqueue  func(ctx context.Context, shard int, epoch int64, deadline time.Time) error
	Params   judge.Params   // of the judge; Maintenance is filled in
	Location *time.Location // whose year stands in the incidents' numbers; nil = UTC
	Log      *slog.Logger
}

// Names of leases.
const (
	judgeLease   = "netmon.judge"
	monitorLease = "netmon.monitor/" // + vantage / owner
)

// Monitor sweeps, and judges when it holds the lease.
type Monitor struct {
	db     *store.DB
	clock  *steady
	prober Prober
	opts   MonitorOptions
	owner  string
	log    *slog.Logger
	verify func(*judge.Graph, judge.Certificate, map[string]judge.Condition) error

	mu   sync.Mutex
	topo *topology
	live map[string][]string // vantage → owners of live monitors, as last known

	leads  atomic.Bool   // holds the judge's lease
	led    chan struct{} // it was just taken
	arrive chan struct{} // this process wrote a round
	spool  spool
	court  court
	count  counters
}

// NewMonitor makes a monitor; Run starts it.
func NewMonitor(db *store.DB, c clock.Clock, p Prober, o MonitorOptions) (*Monitor, error) {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Interval, 10*time.Second)
	def(&o.Timeout, probe.DefaultTimeout)
	def(&o.Gap, time.Second)
	def(&o.Settle, 3*o.Timeout+2*o.Gap)
	def(&o.Patience, 300*time.Millisecond)
	def(&o.Keep, 5*time.Minute)
	if o.Interval%time.Second != 0 {
		return nil, fault.Input("interval", "轮次间隔应为整秒", "the interval must be whole seconds")
	}
	if o.Vantage == "" {
		o.Vantage = "main"
	}
	if len(o.Vantage) > 40 || strings.Contains(o.Vantage, "/") {
		return nil, fault.Input("vantage", "观测点名称最多 40 个字符，不含斜杠", "a vantage's name has at most 40 characters and no slash")
	}
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	m := &Monitor{db: db, clock: &steady{clock: c}, prober: p, opts: o, owner: id.New().String(), log: o.Log, verify: judge.Verify,
		led: make(chan struct{}, 1), arrive: make(chan struct{}, 1)}
	return m, nil
}

// mode is how hosts are probed; without ICMP by TCP.
func (m *Monitor) mode() string {
	mode, _ := m.prober.Mode()
	if mode == probe.ModeNone {
		return "tcp"
	}
	return string(mode)
}

// Run sweeps and judges until ctx ends; then it gives its leases back.
func (m *Monitor) Run(ctx context.Context) {
	m.beat(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { m.every(ctx, m.opts.Interval/3, m.beat) })
	wait.Go(func() { m.every(ctx, time.Second, m.flush) })
	wait.Go(func() { m.sweepEpochs(ctx) })
	wait.Go(func() { m.judgeEpochs(ctx) })
	wait.Wait()
	// The context is over, the leases are not.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	m.flush(last)
	for _, name := range []string{judgeLease, m.leaseName()} {
		if err := m.db.Unlease(last, name, m.owner); err != nil {
			m.log.Warn("a lease could not be given back; it ends by itself", "lease", name, "error", err)
		}
	}
}

func (m *Monitor) every(ctx context.Context, d time.Duration, f func(context.Context)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f(ctx)
		}
	}
}

func (m *Monitor) leaseName() string { return monitorLease + m.opts.Vantage + "/" + m.owner }

// beat extends this monitor's lease and the judge's, and reads who else lives.
// A judge that stops is replaced within two epochs: its lease is good for one
// and a half, and everybody asks for it three times an epoch.
func (m *Monitor) beat(ctx context.Context) {
	if _, err := m.db.Lease(ctx, m.leaseName(), m.owner, 2*m.opts.Interval); err != nil {
		m.log.Warn("the monitor's lease could not be extended", "error", err)
		m.leads.Store(false)
		return
	}
	if err := m.keepUp(ctx); err != nil {
		m.log.Warn("the newest epoch could not be read", "error", err)
	}
	holds, err := m.db.Lease(ctx, judgeLease, m.owner, m.opts.Interval*3/2)
	if err != nil {
		m.log.Warn("the judge's lease could not be asked for", "error", err)
	}
	if was := m.leads.Swap(holds && err == nil); holds && !was {
		m.log.Info("this process judges now", "owner", m.owner)
		select {
		case m.led <- struct{}{}:
		default:
		}
	}
	live, err := m.liveMonitors(ctx)
	if err != nil {
		m.log.Warn("the live monitors could not be read", "error", err)
		return
	}
	m.mu.Lock()
	m.live = live
	m.mu.Unlock()
	if err := m.tellMode(ctx); err != nil {
		m.log.Warn("the mode of probing could not be written", "error", err)
	}
}

func (m *Monitor) liveMonitors(ctx context.Context) (map[string][]string, error) {
	var names []string
	err := m.db.R.NewRaw(`SELECT name FROM lease WHERE name LIKE ? AND until > ? ORDER BY name`, monitorLease+"%", m.db.Now()).Scan(ctx, &names)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	out := map[string][]string{}
	for _, n := range names {
		vantage, owner, _ := strings.Cut(n[len(monitorLease):], "/")
		out[vantage] = append(out[vantage], owner)
	}
	return out, nil
}

// tellMode writes how this vantage probes, when that is news.
func (m *Monitor) tellMode(ctx context.Context) error {
	mode, d := m.prober.Mode()
	row := vantageRow{Name: m.opts.Vantage, Mode: m.mode(), WhyZh: d.Zh, WhyEn: d.En, Command: d.Command, At: m.clock.clock.Now()}
	if mode == probe.ModeNone {
		row.WhyZh, row.WhyEn = "改用 TCP 连接检测："+d.Zh, "hosts are checked by TCP connections instead: "+d.En
	}
	var known vantageRow
	err := m.db.R.NewSelect().Model(&known).Where("name = ?", row.Name).Scan(ctx)
	if err == nil && known.Mode == row.Mode && known.WhyZh == row.WhyZh && known.Command == row.Command {
		return nil
	}
	if err != nil && !store.NoRows(err) {
		return store.Busy(err)
	}
	_, err = store.InTx(ctx, m.db, store.Internal("netmon.mode"), func(_ context.Context, tx *store.Tx) (struct{}, error) {
		tx.Queue(m.db.Bun().NewInsert().Model(&row).On("CONFLICT (name) DO UPDATE").
			Set("mode = EXCLUDED.mode, why_zh = EXCLUDED.why_zh, why_en = EXCLUDED.why_en, command = EXCLUDED.command, at = EXCLUDED.at"))
		return struct{}{}, nil
	})
	return err
}

// topology gives the network as it is now; while the database is away, as it
// was last known.
func (m *Monitor) topology(ctx context.Context) (*topology, error) {
	m.mu.Lock()
	known := m.topo
	m.mu.Unlock()
	v, err := within(ctx, m.brief(), func(ctx context.Context) (int64, error) { return topologyVersion(ctx, m.db.R) })
	if err == nil && known != nil && known.version == v {
		return known, nil
	}
	var fresh *topology
	if err == nil {
		fresh, err = within(ctx, loadWithin, func(ctx context.Context) (*topology, error) { return loadTopology(ctx, m.db.R, m.opts.Interval) })
	}
	if err != nil {
		if known == nil {
			return nil, fmt.Errorf("netmon: the network cannot be read: %w", err)
		}
		m.log.Warn("the network cannot be read; the last known one is used", "error", err)
		return known, nil
	}
	m.mu.Lock()
	m.topo = fresh
	m.mu.Unlock()
	return fresh, nil
}

// loadWithin is how long reading the whole network may take.
const loadWithin = 5 * time.Second

// brief is how long a round waits for the database before it goes on without.
func (m *Monitor) brief() time.Duration { return max(2*m.opts.Patience, 500*time.Millisecond) }

// within runs f and gives up after d, also where the driver does not heed the
// context; f then ends by itself.
func within[T any](ctx context.Context, d time.Duration, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	done := make(chan result, 1)
	go func() {
		defer cancel()
		v, err := f(ctx)
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var zero T
		select {
		case r := <-done: // it ended in this very moment
			return r.v, r.err
		default:
			return zero, fault.Busy(ctx.Err())
		}
	}
}

// epochAt is the epoch that t lies in.
func (m *Monitor) epochAt(t time.Time) int64 {
	n := int64(m.opts.Interval / time.Second)
	return t.Unix() / n * n
}

// startOf is when an epoch begins.
func startOf(epoch int64) time.Time { return time.Unix(epoch, 0).UTC() }

// until waits for a moment of business time; false means that ctx ended.
func (m *Monitor) until(ctx context.Context, t time.Time) bool {
	d := t.Sub(m.clock.Now())
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
