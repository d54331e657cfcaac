package netmon_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/internal/testkit/netlab"
	"kelian/jobs"
	"kelian/netmon"
	"kelian/netmon/judge"
	"kelian/netmon/probe"
	"kelian/org"
)

// helperVar makes this binary a process of the monitor on the database that it
// names, for a test that kills it. helperRole is "sweep" or "judge".
const (
	helperVar  = "KELIAN_TEST_MONITOR"
	helperRole = "KELIAN_TEST_MONITOR_ROLE"
)

func init() {
	if address := os.Getenv(helperVar); address != "" {
		if err := helper(address, os.Getenv(helperRole)); err != nil {
			fmt.Println(err)
		}
		os.Exit(1)
	}
}

// helper never ends by itself.
func helper(address, role string) error {
	db, err := store.Open(bg, store.Options{URL: address, Key: testkit.Key})
	if err != nil {
		return err
	}
	p, err := netmon.NewProber(netmon.ProberOptions{Policy: estatePolicy(), Timeout: estateTimeout})
	if err != nil {
		return err
	}
	m, err := netmon.NewMonitor(db, clock.System{}, stopped{p, role == "sweep"}, brisk())
	if err != nil {
		return err
	}
	if role == "judge" {
		go func() {
			for !m.Stats().Leads {
				<-time.After(time.Millisecond)
			}
			fmt.Println("judges")
		}()
		m.Run(bg)
		return errors.New("the monitor ended")
	}
	for { // what a worker of the queue does, at the very beginning of an epoch
		e := time.Now().Unix() + 1
		<-time.After(time.Until(time.Unix(e, 0)))
		if err := m.SweepShard(bg, 0, e); err != nil {
			return err
		}
	}
}

// stopped sends its packets, and then says so and stands still.
type stopped struct {
	*netmon.LiveProber
	on bool
}

func (p stopped) Sweep(ctx context.Context, epoch uint64, targets []probe.Target) (probe.Round, error) {
	r, err := p.LiveProber.Sweep(ctx, epoch, targets)
	if p.on {
		fmt.Println("swept", epoch)
		select {}
	}
	return r, err
}

// process starts a helper on the side's database and waits for its word; kill
// ends it as a power cut does.
func (s *side) process(role, word string) (line string, kill func()) {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helperVar+"="+s.address(), helperRole+"="+role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	var once sync.Once
	kill = func() {
		once.Do(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	s.t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), word) {
			return lines.Text(), kill
		}
		s.t.Log(s.name, role, lines.Text())
	}
	s.t.Fatalf("%s: the process ended without saying %q", s.name, word)
	return "", kill
}

// address is the URL of the side's database.
func (s *side) address() string {
	var where string
	if s.db.Postgres() {
		if err := s.db.R.NewRaw(`SELECT current_database()`).Scan(bg, &where); err != nil {
			s.t.Fatal(err)
		}
		u, _ := url.Parse(testkit.PostgresURL())
		u.Path = "/" + where
		return u.String()
	}
	if err := s.db.R.NewRaw(`SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(bg, &where); err != nil {
		s.t.Fatal(err)
	}
	return "sqlite://" + where
}

// What breaks in Kelian itself while it watches: nobody is called DOWN for it,
// and no outage is missed or told twice.
func TestNetnsProcesses(t *testing.T) {
	t.Parallel()
	inEstate(t, func(e *estate) {
		for _, scenario := range []struct {
			name string
			run  func(*estate)
		}{
			{"sweeper killed in the middle of a shard", sweeperKilled}, {"judge killed", judgeKilled},
			{"epochs twice", epochsTwice}, {"Redis dead", redisDead}, {"clock set back and forth", clockStep},
		} {
			began := time.Now()
			scenario.run(e)
			t.Logf("%s: %v", scenario.name, time.Since(began).Round(time.Millisecond))
			if t.Failed() {
				return
			}
		}
	})
}

// watch runs monitors on every side; the returned function stops them.
func (e *estate) watch(n int, o func(*side) netmon.MonitorOptions, c clock.Clock) (all map[*side][]*netmon.Monitor, stop func()) {
	e.t.Helper()
	all = map[*side][]*netmon.Monitor{}
	var stops []func()
	for _, s := range e.sides {
		for range n {
			m, err := netmon.NewMonitor(s.db, c, s.prober, o(s))
			if err != nil {
				e.t.Fatal(err)
			}
			all[s] = append(all[s], m)
			stops = append(stops, s.run(m))
		}
	}
	return all, func() {
		var wait sync.WaitGroup
		for _, f := range stops {
			wait.Go(f)
		}
		wait.Wait()
	}
}

func plain(*side) netmon.MonitorOptions { return brisk() }

// taken are settings of monitors whose queue takes every shard and whose
// workers have all been killed.
func taken(*side) netmon.MonitorOptions {
	o := brisk()
	o.Enqueue = func(context.Context, int, int64, time.Time) error { return nil }
	return o
}

func sweeperKilled(e *estate) {
	_, stop := e.watch(1, taken, clock.System{})
	defer stop()
	e.begin()
	for _, s := range e.sides {
		line, kill := s.process("sweep", "swept")
		kill()
		var epoch int64
		if _, err := fmt.Sscanf(line, "swept %d", &epoch); err != nil {
			e.t.Fatal(line, err)
		}
		s.eventually("the shard is swept again by somebody else", func() bool {
			return s.number(`SELECT COUNT(*) FROM round WHERE shard = 0 AND epoch > ?`, epoch) >= 2
		})
		if n := s.number(`SELECT COUNT(*) FROM round WHERE shard = 0 AND epoch = ?`, epoch); n != 0 {
			e.t.Errorf("%s: the round of the killed sweeper is there", s.name)
		}
	}
	e.calm()
	for _, s := range e.sides {
		if !s.well() {
			e.t.Errorf("%s: %s", s.name, s.picture())
		}
	}
}

func judgeKilled(e *estate) {
	kills := map[*side]func(){}
	for _, s := range e.sides {
		_, kills[s] = s.process("judge", "judges")
	}
	_, stop := e.watch(1, plain, clock.System{})
	defer stop()
	e.begin()
	e.pull(4, "r43")
	e.outage("R4", behind(4)...)
	owners := map[*side]string{}
	for _, s := range e.sides {
		owners[s] = s.text(`SELECT owner FROM judge_state`)
		kills[s]()
	}
	e.plug(4, "r43")
	e.over()
	for _, s := range e.sides {
		if owners[s] == s.text(`SELECT owner FROM judge_state`) {
			e.t.Errorf("%s: the killed judge judges", s.name)
		}
	}
}

func (s *side) text(query string) (v string) {
	s.t.Helper()
	if err := s.db.R.NewRaw(query).Scan(bg, &v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// epochsTwice: the queue brings every shard three times to two monitors, and
// both of them judge.
func epochsTwice(e *estate) {
	monitors := map[*side][]*netmon.Monitor{}
	var mu sync.Mutex
	var wait sync.WaitGroup
	defer wait.Wait()
	all, stop := e.watch(2, func(s *side) netmon.MonitorOptions {
		o := brisk()
		o.Enqueue = func(ctx context.Context, shard int, epoch int64, _ time.Time) error {
			mu.Lock()
			list := monitors[s]
			mu.Unlock()
			for _, m := range list {
				for range 3 {
					wait.Go(func() { _ = m.SweepShard(context.WithoutCancel(ctx), shard, epoch) })
				}
				if shard == 0 {
					wait.Go(func() { _ = m.JudgeEpoch(context.WithoutCancel(ctx), epoch) })
				}
			}
			return nil
		}
		return o
	}, clock.System{})
	defer stop()
	mu.Lock()
	for s, list := range all {
		monitors[s] = list
	}
	mu.Unlock()
	e.begin()
	e.pull(4, "r43")
	e.outage("R4", behind(4)...)
	e.plug(4, "r43")
	e.over()
	for _, s := range e.sides {
		v := s.news()[0]
		for _, topic := range []string{netmon.TopicOpened, netmon.TopicClosed} {
			if n := s.number(`SELECT COUNT(*) FROM outbox WHERE topic = ? AND aggregate = ?`, topic, v.ID.String()); n != 1 {
				e.t.Errorf("%s: %s was told %d times", s.name, topic, n)
			}
		}
		if n := all[s][0].Stats().Taken + all[s][1].Stats().Taken; n == 0 {
			e.t.Errorf("%s: no shard came twice", s.name)
		}
	}
}

// line is a connection to a server that can be cut.
type line struct {
	l    net.Listener
	mu   sync.Mutex
	open []net.Conn
	cut  atomic.Bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	x := &line{l: l}
	go netlab.Relay(l, func() (net.Conn, error) {
		if x.cut.Load() {
			return nil, io.EOF
		}
		c, err := net.Dial("tcp", to)
		if err == nil {
			x.mu.Lock()
			x.open = append(x.open, c)
			x.mu.Unlock()
		}
		return c, err
	})
	return x
}

func (x *line) set(cut bool) {
	x.cut.Store(cut)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.open {
		_ = c.Close()
	}
	x.open = nil
}

// redisDead: six epochs, a minute of the real ones, without the queue.
func redisDead(e *estate) {
	if os.Getenv("KELIAN_TEST_REDIS_URL") == "" {
		if os.Getenv("CI") == "true" {
			e.t.Fatal("KELIAN_TEST_REDIS_URL is not set")
		}
		e.t.Log("no Redis here")
		return
	}
	lines := map[*side]*line{}
	monitors := map[*side]*netmon.Monitor{}
	_, stop := e.watch(1, func(s *side) netmon.MonitorOptions {
		u, err := url.Parse(testkit.RedisURL(e.t))
		if err != nil {
			e.t.Fatal(err)
		}
		lines[s] = newLine(e.t, u.Host)
		u.Host = lines[s].l.Addr().String()
		r, err := jobs.OpenRedis(u.String())
		if err != nil {
			e.t.Fatal(err)
		}
		e.t.Cleanup(r.Close)
		queue := jobs.NewSweeps(r)
		e.t.Cleanup(queue.Close)
		worker, err := netmon.NewMonitor(s.db, clock.System{}, s.prober, brisk())
		if err != nil {
			e.t.Fatal(err)
		}
		monitors[s] = worker
		e.t.Cleanup(jobs.Sweeper{Redis: r, Log: testkit.Quiet(), Do: worker.SweepShard}.Start())
		o := brisk()
		o.Patience, o.Enqueue = 300*time.Millisecond, queue.Enqueue
		o.Settle = 900 * time.Millisecond
		return o
	}, clock.System{})
	defer stop()
	e.begin()
	first := map[*side]int64{}
	for _, s := range e.sides {
		s.eventually("the queue brings shards", func() bool { return monitors[s].Stats().Swept > 0 })
		first[s] = s.number(`SELECT MAX(epoch) FROM round`)
		lines[s].set(true)
	}
	e.epochs(6)
	swept := map[*side]int64{}
	for _, s := range e.sides {
		swept[s] = monitors[s].Stats().Swept
		lines[s].set(false)
	}
	for _, s := range e.sides {
		s.eventually("the queue brings shards again", func() bool { return monitors[s].Stats().Swept > swept[s] })
		shards := s.number(`SELECT COUNT(DISTINCT shard) FROM host`)
		last := s.number(`SELECT MAX(epoch) FROM judge_state`)
		if have, want := s.number(`SELECT COUNT(*) FROM round WHERE epoch > ? AND epoch <= ?`, first[s], last), (last-first[s])*shards; have != want || last-first[s] < 6 {
			e.t.Errorf("%s: %d rounds in %d epochs of %d shards", s.name, have, last-first[s], shards)
		}
	}
	e.calm()
}

// stepped is a clock that somebody sets.
type stepped struct{ by atomic.Int64 }

func (c *stepped) Now() time.Time { return clock.Cut(time.Now().Add(time.Duration(c.by.Load()))) }

func clockStep(e *estate) {
	c := &stepped{}
	_, stop := e.watch(2, plain, c)
	defer func() { stop() }()
	for _, by := range []time.Duration{-time.Hour, 2 * time.Hour, -90 * time.Minute} {
		e.begin()
		c.by.Add(int64(by))
		e.calm()
		e.pull(4, "r43")
		e.outage("R4", behind(4)...)
		e.plug(4, "r43")
		e.over()
	}
	// A process that starts with the clock behind goes on from where the others
	// were.
	stop()
	_, stop = e.watch(1, plain, c)
	e.begin()
	e.calm()
	for _, s := range e.sides {
		views, err := s.svc.Hosts(bg, org.System())
		if err != nil || len(views) == 0 || views[0].State != judge.Up {
			e.t.Errorf("%s: %v %v", s.name, views, err)
		}
	}
}
