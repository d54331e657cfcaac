package e2e_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kelian/internal/app"
	"kelian/internal/config"
	"kelian/internal/testkit"
	"kelian/netmon/probe/faulty"
	"kelian/notify/mailsink"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var everything = []string{app.RoleAPI, app.RoleWorker, app.RoleMonitor}

// world is the demo's federation, served.
type world struct {
	t       testing.TB
	config  config.Config // of the first process
	network *faulty.Network
	log     *logBuffer
	sink    *mailsink.Sink
	people  map[string]app.DemoAccount // by login
	seats   map[string]string          // seat → login
	app     *app.App                   // the first process
}

// shape is what differs between worlds.
type shape struct {
	postgres bool
	shard    int // checks swept together; 0 = as shipped
	interval time.Duration
	roles    []string // of the first process; nil = all, empty = it is opened and does nothing
	options  func(*app.Options)
	bind     func(*app.App) // before it runs
}

// each runs f on SQLite with the queue in the process, and on PostgreSQL with
// Redis.
func each(t *testing.T, f func(t *testing.T, s shape)) {
	t.Run("sqlite", func(t *testing.T) { f(t, shape{}) })
	scaled(t, func(t *testing.T, s shape) { f(t, s) })
}

// scaled runs f on PostgreSQL with Redis. Without a server a run with CI=true
// fails and any other run has nothing to do here.
func scaled(t *testing.T, f func(t *testing.T, s shape)) {
	if testkit.PostgresURL() == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("KELIAN_TEST_DATABASE_URL is not set: the tests on PostgreSQL and Redis did not run")
		}
		return
	}
	t.Run("postgres", func(t *testing.T) { f(t, shape{postgres: true}) })
}

// open seeds a federation of this test's own and serves it.
func open(t *testing.T, s shape) *world {
	t.Helper()
	sink, err := mailsink.Start(mailsink.Options{Dir: filepath.Join(t.TempDir(), "mail")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	w := &world{t: t, network: new(faulty.Network), log: &logBuffer{}, sink: sink, people: map[string]app.DemoAccount{}, seats: map[string]string{}}
	w.config = w.settings(t)
	w.config.DatabaseURL = testkit.SQLiteURL(t)
	if s.postgres {
		w.config.DatabaseURL, w.config.RedisURL = testkit.FreshPostgres(t), testkit.RedisURL(t)
	}
	accounts, err := app.SeedDemo(t.Context(), w.config, app.Options{Network: w.network, ShardSize: s.shard})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range accounts {
		w.people[a.Login] = a
		for _, seat := range a.Seats {
			w.seats[seat] = a.Login
		}
	}
	if s.roles == nil {
		s.roles = everything
	}
	w.app = w.serve(t, w.config, s)
	stop, err := app.DemoDevices(w.app)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return w
}

// settings of one process: addresses of its own.
func (w *world) settings(t testing.TB) config.Config {
	v, err := config.Read(config.Flags{DataDir: t.TempDir(), SecretKey: hex.EncodeToString(testkit.Key), Listen: freePort(t), AdminListen: freePort(t),
		AllowHTTP: "true", ProbeNets: "127.77.0.0/16", WebhookNets: "127.0.0.0/8", MailHost: w.sink.Host(), MailPort: fmt.Sprint(w.sink.Port()), MailTLS: "none",
		MailFrom: "kelian@kelian.example", LogLevel: "debug"}, func(string) (string, bool) { return "", false }, nil)
	if err != nil {
		t.Fatal(err)
	}
	v["public-url"] = config.Value{Text: "http://" + v["listen"].Text, Origin: "default"}
	c, err := v.Parse(false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve starts a process's worth of the service and waits until it answers.
func (w *world) serve(t *testing.T, c config.Config, s shape) *app.App {
	t.Helper()
	if s.interval == 0 {
		s.interval = 3 * time.Second
	}
	o := app.DemoOptions(app.Options{Network: w.network, ShardSize: s.shard, Interval: s.interval})
	if s.options != nil {
		s.options(&o)
	}
	a, err := app.Open(t.Context(), c, app.NewLog(c.LogLevel, w.log), o)
	if err != nil {
		t.Fatal(err)
	}
	if s.bind != nil {
		s.bind(a)
	}
	if len(s.roles) == 0 {
		t.Cleanup(a.Close)
		return a
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx, s.roles) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the service ended with %v", err)
		}
		a.Close()
	})
	for _, r := range s.roles {
		if r == app.RoleAPI {
			testkit.Eventually(t, "the service answers", func() bool {
				res, err := http.Get(c.PublicURL + "/readyz")
				if err != nil {
					return false
				}
				_ = res.Body.Close()
				return res.StatusCode == http.StatusOK
			})
		}
	}
	return a
}

// freePort is an address on which nobody listens now, below the ports that
// the system gives out by itself.
func freePort(t testing.TB) string {
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(10000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// as is the person with the login, by API token; "" is a stranger.
func (w *world) as(login string) client {
	c := client{t: w.t, url: w.config.PublicURL, name: login}
	if login != "" {
		a, ok := w.people[login]
		if !ok {
			w.t.Fatalf("nobody is called %s", login)
		}
		c.token = a.Token
	}
	return c
}

// on is the holder of the seat.
func (w *world) on(seat string) client {
	login, ok := w.seats[seat]
	if !ok {
		w.t.Fatalf("nobody sits on %s", seat)
	}
	return w.as(login)
}

// letters to the address, newest first.
func (w *world) letters(to string) []mailsink.Mail {
	list, err := w.sink.Mails()
	if err != nil {
		w.t.Fatal(err)
	}
	var out []mailsink.Mail
	for _, m := range list {
		if strings.Contains(m.To, to) {
			out = append(out, m)
		}
	}
	return out
}

// logBuffer is what the processes logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// rows runs a query and gives its rows as text, for looking into tables.
func (w *world) rows(query string, args ...any) [][]string {
	w.t.Helper()
	rows, err := w.app.DB.R.QueryContext(w.t.Context(), query, args...)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		w.t.Fatal(err)
	}
	var out [][]string
	for rows.Next() {
		cells, into := make([]sql.RawBytes, len(names)), make([]any, len(names))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			w.t.Fatal(err)
		}
		line := make([]string, len(cells))
		for i, c := range cells {
			line[i] = string(c)
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

// page is a page of the site as a browser without scripts gets it.
func (c client) page(path string) (status int, body string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.browse(req)
}

func (c client) browse(req *http.Request) (status int, body string) {
	c.t.Helper()
	if c.session != "" {
		req.AddCookie(&http.Cookie{Name: "kelian", Value: c.session})
	}
	req.Header.Set("Accept", "text/html")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}
