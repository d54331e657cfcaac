// Command graphql measures what the API adds to the database's work: for each
// query the rate, p50, p99 and processor time of the server, as a ratio to a
// bare handler in the same process with the same session look-up, prepared
// statements and rows. Bursts of the two alternate; nobody is reniced.
//
//	bench/graphql -database postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"kelian/bench/internal/place"
	"kelian/internal/id"
)

type options struct {
	server   string
	requests int
	open     int
	rounds   int
	burst    time.Duration
	clients  []int
	out      io.Writer
}

func main() {
	o := options{clients: []int{16, 64}, out: os.Stdout}
	flag.StringVar(&o.server, "database", "", "a PostgreSQL server to make a database on; \"\" = SQLite in a directory of its own")
	flag.IntVar(&o.requests, "requests", 20_000, "requests of history, with four tasks each")
	flag.IntVar(&o.open, "open", 4_000, "requests that are decided, three times each")
	flag.IntVar(&o.rounds, "rounds", 3, "bursts of each contender")
	flag.DurationVar(&o.burst, "burst", 3*time.Second, "length of a burst")
	serve := flag.String("serve", "", "internal: serve the database at this address until standard input ends")
	flag.Parse()
	var err error
	if *serve != "" {
		err = serveUntilEOF(*serve)
	} else {
		err = run(context.Background(), o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serveUntilEOF is the child process.
func serveUntilEOF(address string) error {
	debug.SetGCPercent(200) // as the service does
	ctx := context.Background()
	p, err := place.Open(ctx, address)
	if err != nil {
		return err
	}
	api, err := p.API()
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := bareHandlers(p)
	mux.Handle("/graphql", api)
	mux.HandleFunc("/trips", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, p.DB.Trips()) })
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return srv.Close()
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "kelian-bench-graphql")
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
	queries, err := prepare(ctx, o, p)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.CommandContext(ctx, self, "-serve", address)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		return err
	}
	said, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	defer func() { _ = in.Close(); _ = child.Wait() }()
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		return err
	}
	s := server{address: strings.TrimSpace(line), pid: child.Process.Pid}
	fmt.Fprintf(o.out, "%s, %d processors; %d requests of history; medians of %d bursts of %s, alternating\n", runtime.Version(), runtime.NumCPU(), o.requests, o.rounds, o.burst)
	fmt.Fprintf(o.out, "%-10s %5s %-8s %8s %8s %8s %10s %8s %8s\n", "", "conns", "", "per s", "p50 ms", "p99 ms", "cpu ms", "queries", "RSS MiB")
	for _, clients := range o.clients {
		for _, q := range queries {
			if err := measure(ctx, o, s, clients, q); err != nil {
				return err
			}
		}
	}
	return nil
}

// query is asked of the API and of the bare handler; next, if set, gives each
// body of a mutation, "" when nothing is left.
type query struct {
	name, bare, token string
	body              string
	next              func(context.Context) (func() (body, token string), error)
	goal              float64
}

func prepare(ctx context.Context, o options, p *place.Place) ([]query, error) {
	if err := p.Submit(ctx, o.open); err != nil {
		return nil, err
	}
	decided, err := p.Create(ctx)
	if err != nil {
		return nil, err
	}
	tasks, err := p.Tasks(ctx, 1_000_000)
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		if t.RequestID == decided.Request {
			if err := p.Decide(ctx, t); err != nil {
				return nil, err
			}
		}
	}
	if err := p.Incidents(ctx, 20); err != nil {
		return nil, err
	}
	if err := p.History(ctx, o.requests); err != nil {
		return nil, err
	}
	if p.DB.Postgres() {
		if err := p.Waiting(ctx, max(10*o.open, 20_000)); err != nil {
			return nil, err
		}
		if err := p.Peer(ctx); err != nil {
			return nil, err
		}
	}
	tokens := map[id.ID]string{}
	for i, who := range p.People {
		if tokens[who], err = p.Token(ctx, i); err != nil {
			return nil, err
		}
	}
	req := decided.Request.TypeID("req")
	out := []query{
		{name: "request", bare: "/request?id=" + decided.Request.String(), token: tokens[p.People[0]], body: body(requestSheet, map[string]any{"id": req}), goal: 0.75},
		{name: "inbox", bare: "/inbox", token: tokens[p.People[1]], body: body(inboxSheet, nil), goal: 0.75},
		{name: "incidents", bare: "/incidents", token: tokens[p.People[0]], body: body(incidentSheet, nil), goal: 0.75},
	}
	if p.DB.Postgres() { // SQLite has no such call to compare with
		out = append(out, query{name: "decide", bare: "/decide", token: tokens[p.People[1]], goal: 0.40, next: func(ctx context.Context) (func() (string, string), error) {
			tasks, err := p.Tasks(ctx, 1_000_000)
			left := make(chan place.Task, len(tasks))
			for _, t := range tasks {
				left <- t
			}
			close(left)
			return func() (string, string) {
				t, ok := <-left
				if !ok {
					return "", ""
				}
				return body(decideTask, map[string]any{"in": map[string]any{"task": t.ID.TypeID("tsk"), "verdict": "APPROVE", "formRev": 1, "idempotencyKey": id.New().String()}}), tokens[t.Person]
			}, err
		}})
	}
	return out, nil
}

func body(query string, vars map[string]any) string {
	b, _ := json.Marshal(map[string]any{"query": query, "variables": vars})
	return string(b)
}

// cell is what the bursts of one contender gave.
type cell struct {
	all   []place.Result
	cpu   time.Duration
	trips int64
	n     int
}

func measure(ctx context.Context, o options, s server, clients int, q query) error {
	var bare, ours cell
	for range o.rounds {
		if err := s.burst(ctx, o, clients, q, true, &bare); err != nil {
			return fmt.Errorf("bare %s: %w", q.name, err)
		}
		if err := s.burst(ctx, o, clients, q, false, &ours); err != nil {
			return fmt.Errorf("%s: %w", q.name, err)
		}
	}
	var rate [2]float64
	var p99 [2]time.Duration
	for k, c := range []*cell{&bare, &ours} {
		slices.SortFunc(c.all, func(a, b place.Result) int { return int(a.PerSecond() - b.PerSecond()) })
		r := c.all[len(c.all)/2]
		rate[k], p99[k] = r.PerSecond(), r.P99
		fmt.Fprintf(o.out, "%-10s %5d %-8s %8.0f %8.1f %8.1f %10.2f %8.1f %8d\n", q.name, clients, []string{"bare", "GraphQL"}[k], rate[k], ms(r.P50), ms(r.P99),
			ms(c.cpu)/float64(max(c.n, 1)), float64(c.trips)/float64(max(c.n, 1)), s.rss())
	}
	fmt.Fprintf(o.out, "           rate %s, p99 %.2f times the bare one's (goal ≤ 1.5); load %s\n", place.Verdict(rate[1]/max(rate[0], 1), q.goal), float64(p99[1])/float64(max(p99[0], 1)), place.Load())
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// server is the child process.
type server struct {
	address string
	pid     int
}

func (s server) burst(ctx context.Context, o options, clients int, q query, bare bool, c *cell) error {
	next := func() (string, string) { return q.body, q.token }
	if q.next != nil && !bare {
		var err error
		if next, err = q.next(ctx); err != nil {
			return err
		}
	}
	conns := make([]*conn, clients)
	for i := range conns {
		var err error
		if conns[i], err = dial(ctx, s.address); err != nil {
			return err
		}
		defer conns[i].close()
	}
	cpu, trips := s.cpu(), s.trips(ctx)
	r := place.Run(clients, o.burst, func(k int) (bool, error) {
		if bare {
			return true, conns[k].ask("GET", q.bare, q.token, "")
		}
		body, token := next()
		if token == "" {
			return false, nil
		}
		return true, conns[k].ask("POST", "/graphql", token, body)
	})
	c.all, c.n = append(c.all, r), c.n+r.N
	c.cpu, c.trips = c.cpu+s.cpu()-cpu, c.trips+s.trips(ctx)-trips
	return r.Err
}

// cpu is the processor time of the child so far, in steps of 10 ms.
func (s server) cpu() time.Duration {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	_, after, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// rss is the child's resident memory in MiB.
func (s server) rss() int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.pid))
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(f[1])
	return pages * os.Getpagesize() >> 20
}

func (s server) trips(ctx context.Context) (n int64) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/trips", nil)
	if err != nil {
		return 0
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = fmt.Fscan(res.Body, &n)
	return n
}
