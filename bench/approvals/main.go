// Command approvals measures decisions on PostgreSQL in one run against pgbench
// of one plpgsql call that does the same work and no more, and on SQLite against
// a bare loop that commits sixteen at a time; bursts of each alternate.
//
//	bench/approvals -database postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable
//
// It makes a database of its own there and drops it. Without -database it
// measures SQLite.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"time"

	"kelian/bench/internal/place"
	"kelian/internal/store"
)

type options struct {
	server                string
	requests, inbox, open int
	clients, rounds       int
	burst                 time.Duration
	profile               string // "" = none
	out                   *os.File
}

func main() {
	o := options{out: os.Stdout}
	flag.StringVar(&o.server, "database", "", "a PostgreSQL server to make a database on; \"\" = SQLite in a directory of its own")
	flag.IntVar(&o.requests, "requests", 200_000, "requests of history, with four tasks each")
	flag.IntVar(&o.inbox, "inbox", 1_000_000, "open tasks of one person, for the page of the inbox; 0 = not measured")
	flag.IntVar(&o.open, "open", 4_000, "requests that the bursts decide, three times each")
	flag.IntVar(&o.clients, "clients", 8, "clients at once")
	flag.IntVar(&o.rounds, "rounds", 3, "bursts of each contender")
	flag.DurationVar(&o.burst, "burst", 4*time.Second, "length of a burst")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a processor profile of the service's bursts to this file")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "kelian-bench-approvals")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	address, drop, err := place.Fresh(ctx, o.server, dir)
	if err != nil {
		return err
	}
	defer drop()
	p, err := place.Open(ctx, address)
	if err != nil {
		return err
	}
	defer func() { _ = p.DB.Close() }()
	if err := p.Submit(ctx, 1); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "%s, %s, %d processors; %d requests and %d tasks of history\n", version(ctx, p.DB), runtime.Version(), runtime.NumCPU(), o.requests, 4*o.requests)
	if err := p.History(ctx, o.requests); err != nil {
		return err
	}
	if o.server != "" {
		if err := p.Waiting(ctx, max(10*o.open, 20_000)); err != nil {
			return err
		}
		if err := p.Peer(ctx); err != nil {
			return err
		}
	}
	if err := p.Submit(ctx, o.open); err != nil {
		return err
	}
	if err := compare(ctx, o, p, address, dir); err != nil {
		return err
	}
	return inbox(ctx, o, p)
}

// burst is one contender's share of a round.
type burst struct {
	name string
	do   func() (place.Result, error)
	all  []place.Result
	trip int64
	sync int64
}

func compare(ctx context.Context, o options, p *place.Place, address, dir string) error {
	peer := &burst{name: "bare, 16 a commit", do: func() (place.Result, error) { return bare(ctx, filepath.Join(dir, "bare.db"), o.burst) }}
	if o.server != "" {
		peer = &burst{name: "one plpgsql call", do: func() (place.Result, error) { return pgbench(ctx, o, address) }}
	}
	service := &burst{name: "service", do: func() (place.Result, error) { return decide(ctx, o, p, p.Decide) }}
	if o.profile != "" {
		plain := service.do
		service.do = func() (place.Result, error) {
			f, err := os.Create(o.profile)
			if err != nil {
				return place.Result{}, err
			}
			defer func() { _ = f.Close() }()
			if err := pprof.StartCPUProfile(f); err != nil {
				return place.Result{}, err
			}
			defer pprof.StopCPUProfile()
			return plain()
		}
	}
	door, err := newDoor(ctx, p)
	if err != nil {
		return err
	}
	defer door.Close()
	api := &burst{name: "through GraphQL", do: func() (place.Result, error) { return decide(ctx, o, p, door.decide) }}
	whole := &burst{name: "whole approvals", do: func() (place.Result, error) {
		r := place.Run(o.clients, o.burst, func(int) (bool, error) { return true, approval(ctx, p) })
		return r, r.Err
	}}
	all := []*burst{peer, service, api, whole}
	for range o.rounds {
		for _, b := range all {
			trips, synced := p.DB.Trips(), syncs(ctx, p.DB)
			r, err := b.do()
			if err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			b.all = append(b.all, r)
			b.trip, b.sync = b.trip+p.DB.Trips()-trips, b.sync+syncs(ctx, p.DB)-synced
		}
	}
	table(o, all)
	return nil
}

// approval is a request from its submission to its last decision.
func approval(ctx context.Context, p *place.Place) error {
	out, err := p.Create(ctx)
	for i := 0; i < 3 && err == nil; i++ {
		var open []place.Task
		err = p.DB.R.NewRaw(`SELECT id, request_id, person FROM task WHERE request_id = ? AND state = 'open'`, out.Request).Scan(ctx, &open)
		if err == nil {
			err = p.Decide(ctx, open[0])
		}
	}
	return err
}

// decide gives the open tasks to the clients, one after the other.
func decide(ctx context.Context, o options, p *place.Place, do func(context.Context, place.Task) error) (place.Result, error) {
	tasks, err := p.Tasks(ctx, 1_000_000)
	if err != nil {
		return place.Result{}, err
	}
	next := make(chan place.Task, len(tasks))
	for _, t := range tasks {
		next <- t
	}
	close(next)
	r := place.Run(o.clients, o.burst, func(int) (bool, error) {
		t, ok := <-next
		if !ok {
			return false, nil
		}
		return true, do(ctx, t)
	})
	return r, r.Err
}

var (
	tps     = regexp.MustCompile(`tps = ([0-9.]+)`)
	done    = regexp.MustCompile(`actually processed: ([0-9]+)`)
	latency = regexp.MustCompile(`latency average = ([0-9.]+) ms`)
)

func pgbench(ctx context.Context, o options, address string) (place.Result, error) {
	program, err := exec.LookPath("pgbench")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
		if len(found) == 0 {
			fmt.Fprintln(o.out, "pgbench is missing: there is no peer to compare with")
			return place.Result{}, nil
		}
		program = found[len(found)-1]
	}
	script := filepath.Join(os.TempDir(), fmt.Sprintf("kelian-bench-%d.sql", os.Getpid()))
	if err := os.WriteFile(script, []byte("SELECT bench_decide();\n"), 0o600); err != nil {
		return place.Result{}, err
	}
	defer func() { _ = os.Remove(script) }()
	out, err := exec.CommandContext(ctx, program, "-n", "-M", "prepared", "-c", strconv.Itoa(o.clients), "-j", "2",
		"-T", strconv.Itoa(max(1, int(o.burst.Seconds()))), "-f", script, address).CombinedOutput()
	if err != nil || tps.FindSubmatch(out) == nil {
		return place.Result{}, fmt.Errorf("%w: %s", err, out)
	}
	rate, _ := strconv.ParseFloat(string(tps.FindSubmatch(out)[1]), 64)
	n, _ := strconv.Atoi(string(done.FindSubmatch(out)[1]))
	avg, _ := strconv.ParseFloat(string(latency.FindSubmatch(out)[1]), 64)
	return place.Result{N: n, Took: time.Duration(float64(n) / rate * 1e9), P50: time.Duration(avg * 1e6)}, nil
}

func syncs(ctx context.Context, db *store.DB) (n int64) {
	if db.Postgres() {
		_ = db.R.NewRaw(`SELECT wal_sync FROM pg_stat_wal`).Scan(ctx, &n)
	}
	return n
}

func version(ctx context.Context, db *store.DB) (v string) {
	if db.Postgres() {
		_ = db.R.NewRaw(`SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync')`).Scan(ctx, &v)
		return v
	}
	_ = db.R.NewRaw(`SELECT 'SQLite ' || sqlite_version()`).Scan(ctx, &v)
	return v
}

func table(o options, all []*burst) {
	fmt.Fprintf(o.out, "%d clients, %d bursts of %s each, alternating; medians; load %s\n", o.clients, o.rounds, o.burst, place.Load())
	fmt.Fprintf(o.out, "%-20s %8s %8s %8s %8s %12s %12s\n", "", "per s", "p50 ms", "p99 ms", "cpu ms", "round trips", "syncs per s")
	rate := map[string]float64{}
	for _, b := range all {
		slices.SortFunc(b.all, func(x, y place.Result) int { return int(x.PerSecond() - y.PerSecond()) })
		r, n, took, cpu := b.all[len(b.all)/2], 0, time.Duration(0), time.Duration(0)
		for _, x := range b.all {
			n, took, cpu = n+x.N, took+x.Took, cpu+x.CPU
		}
		rate[b.name] = r.PerSecond()
		fmt.Fprintf(o.out, "%-20s %8.0f %8.1f %8.1f %8.2f %12.1f %12.0f\n", b.name, r.PerSecond(), ms(r.P50), ms(r.P99), ms(cpu)/float64(max(n, 1)),
			float64(b.trip)/float64(max(n, 1)), float64(b.sync)/max(took.Seconds(), 1e-9))
	}
	peer := rate[all[0].name]
	if peer == 0 {
		return
	}
	least := 0.4
	if o.server != "" {
		least = 0.45
		fmt.Fprintf(o.out, "GraphQL to the peer  %s\n", place.Verdict(rate["through GraphQL"]/peer, 0.30))
	}
	fmt.Fprintf(o.out, "service to the peer  %s\n", place.Verdict(rate["service"]/peer, least))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// inbox measures the first page of a full inbox.
func inbox(ctx context.Context, o options, p *place.Place) error {
	if o.inbox == 0 {
		return nil
	}
	if err := p.Inbox(ctx, o.inbox); err != nil {
		return err
	}
	r := place.Run(o.clients, o.burst, func(int) (bool, error) {
		list, _, err := p.Workflow.Inbox(ctx, p.Actor(1), store.Page{First: 20})
		if err == nil && len(list) < 20 {
			err = fmt.Errorf("%d rows of the inbox", len(list))
		}
		return true, err
	})
	fmt.Fprintf(o.out, "inbox page of 20 at %d open tasks: %.0f per s, p50 %.1f ms, p99 %.1f ms; load %s\n", o.inbox, r.PerSecond(), ms(r.P50), ms(r.P99), place.Load())
	return r.Err
}
