package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"kelian/internal/audit"
	"kelian/internal/config"
	"kelian/internal/httpd"
	"kelian/internal/outbox"
	"kelian/jobs"
	"kelian/netmon"
)

// Roles of a process.
const (
	RoleAPI     = "api"
	RoleWorker  = "worker"
	RoleMonitor = "monitor"
)

var allRoles = []string{RoleAPI, RoleWorker, RoleMonitor}

// drain is how long a stopping process may take.
const drain = 30 * time.Second

// Serve runs the roles until ctx ends, then drains.
func Serve(ctx context.Context, flags config.Flags, roles []string, out io.Writer) error {
	v, err := config.Read(flags, os.LookupEnv, nil)
	if err != nil {
		return err
	}
	first, err := v.Parse(true)
	if err != nil {
		return err
	}
	whole := slices.Equal(sorted(roles), sorted(allRoles))
	if first.RedisURL == "" && !whole {
		return errors.New("without a Redis (KELIAN_REDIS_URL) the queue lives inside one process: run all roles in one, or give it a Redis")
	}
	release := func() {}
	if whole || first.RedisURL == "" {
		if release, err = holdLock(first.DataDir); err != nil {
			return err
		}
	}
	defer release()
	open := new(sockets)
	defer open.Close()
	log := NewLog(first.LogLevel, os.Stderr)
	for {
		err := serveUntilChanged(ctx, v, roles, log, open, out)
		if !errors.Is(err, errResettled) {
			return err
		}
		out = nil
	}
}

// serveUntilChanged runs the roles until ctx ends or the table holds other
// settings (errResettled). out is where to say hello, nil = nowhere.
func serveUntilChanged(ctx context.Context, v config.Values, roles []string, log *slog.Logger, open *sockets, out io.Writer) error {
	v, c, err := withStored(ctx, v)
	if err != nil {
		return err
	}
	o := Options{Migrate: true, settings: v, sockets: open}
	faultOptions(&o)
	a, err := Open(ctx, c, log, o)
	if err != nil {
		return err
	}
	defer a.Close()
	if out != nil {
		if err := a.announce(ctx, out); err != nil {
			return err
		}
	}
	return a.Run(ctx, roles)
}

func sorted(s []string) []string { s = slices.Clone(s); slices.Sort(s); return slices.Compact(s) }

// NewLog is the process's log: JSON lines.
func NewLog(level string, w io.Writer) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l}))
}

// Run does the roles until ctx ends or one of them fails, then drains: no new
// work is taken, what runs is awaited.
func (a *App) Run(ctx context.Context, roles []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	loop := func(f func(context.Context)) { wg.Go(func() { f(ctx) }) }
	var stops []func()
	loop(func(ctx context.Context) { outbox.Notify(ctx, a.DB, a.Log) })
	if a.options.settings != nil {
		loop(func(ctx context.Context) { a.watchSettings(ctx, cancel) })
	}

	health := httpd.NewHealth(a.Log, httpd.Check{Name: "database", Run: a.pingDatabase})
	opening := []func(*httpd.Health, context.CancelCauseFunc) (func(), error){a.listenAdmin}
	if slices.Contains(roles, RoleAPI) {
		loop(a.Feed.Run)
		opening = append(opening, a.listen)
	}
	for _, open := range opening {
		stop, err := open(health, cancel)
		if err != nil {
			cancel(err)
			together(stops)
			wg.Wait()
			return err
		}
		stops = append(stops, stop)
	}
	if slices.Contains(roles, RoleWorker) {
		if err := a.armDaily(ctx); err != nil {
			cancel(err)
			together(stops)
			wg.Wait()
			return err
		}
		w := &jobs.Worker{DB: a.DB, Clock: a.Clock, Redis: a.Queue, Registry: a.Registry, Log: a.Log, Timing: a.options.Timing, Handled: a.options.Handled}
		stops = append(stops, w.Start())
		loop(jobs.Relay{DB: a.DB, Clock: a.Clock, Redis: a.Queue, Log: a.Log, Timing: a.options.Timing}.Run)
		loop(jobs.Sealer{DB: a.DB, Clock: a.Clock, Log: a.Log, Signer: signer(a.Config), Dir: a.Config.DataDir + "/checkpoints"}.Run)
		loop(func(ctx context.Context) { jobs.RunRetention(ctx, a.DB, a.Clock, a.Log, Retention) })
		loop(netmon.NewHistorian(a.DB, a.Clock, netmon.HistorianOptions{Location: a.Config.Timezone, Log: a.Log}).Run)
		loop(a.purge)
		loop(a.refold)
	}
	if slices.Contains(roles, RoleMonitor) {
		stop, err := a.monitor(ctx, &wg)
		if err != nil {
			cancel(err)
			together(stops)
			wg.Wait()
			return err
		}
		stops = append(stops, stop)
	}
	<-ctx.Done()
	a.Log.Info("stopping")
	together(stops)
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// together calls all of them at once and waits.
func together(stops []func()) {
	var wg sync.WaitGroup
	for _, stop := range stops {
		wg.Go(stop)
	}
	wg.Wait()
}

// monitor sweeps and judges; shards come by the queue, and if it is away the
// monitor takes them by itself.
func (a *App) monitor(ctx context.Context, wg *sync.WaitGroup) (stop func(), err error) {
	sweeps := jobs.NewSweeps(a.Queue)
	o := netmon.MonitorOptions{Interval: a.options.Interval, Location: a.Config.Timezone, Log: a.Log, Enqueue: sweeps.Enqueue}
	m, err := netmon.NewMonitor(a.DB, a.Clock, a.Prober, o)
	if err != nil {
		sweeps.Close()
		return nil, err
	}
	a.watcher.Store(m)
	wg.Go(func() { m.Run(ctx) })
	end := jobs.Sweeper{Redis: a.Queue, Log: a.Log, Do: m.SweepShard}.Start()
	return func() { end(); sweeps.Close() }, nil
}

func (a *App) socket(address string) (net.Listener, error) {
	if a.options.sockets != nil {
		return a.options.sockets.listen(address)
	}
	return new(net.ListenConfig).Listen(context.Background(), "tcp", address)
}

// listen opens the public address.
func (a *App) listen(health *httpd.Health, fail context.CancelCauseFunc) (stop func(), err error) {
	srv, err := a.server(health)
	if err != nil {
		return nil, err
	}
	ln, err := a.socket(a.Config.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a.Config.Listen, err)
	}
	go func() {
		if err := srv.Serve(ln); err != nil {
			fail(err)
		}
	}()
	a.Log.Info("listening", "address", ln.Addr().String())
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			a.Log.Warn("some requests were cut", "error", err)
		}
	}, nil
}

// listenAdmin opens the operators' address: metrics, health and profiles of
// this process, whatever its roles.
func (a *App) listenAdmin(health *httpd.Health, fail context.CancelCauseFunc) (stop func(), err error) {
	ln, err := a.socket(a.Config.AdminListen)
	if err != nil {
		return nil, fmt.Errorf("listen on the admin address %s: %w", a.Config.AdminListen, err)
	}
	mux := httpd.NewAdmin(a.Metrics(), health)
	if a.options.Admin != nil {
		a.options.Admin(mux)
	}
	srv := httpd.NewAdminServer(mux)
	srv.Handler = httpd.AdminHandler(mux)
	go func() {
		if err := srv.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			fail(err)
		}
	}()
	a.Log.Info("listening for operators", "address", ln.Addr().String())
	return func() { _ = srv.Close() }, nil
}

func (a *App) pingDatabase(ctx context.Context) error { return a.DB.R.PingContext(ctx) }

func (a *App) tls() (*tls.Config, error) {
	if a.Config.TLSCert == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(a.Config.TLSCert, a.Config.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("tls-cert, tls-key: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// signer signs checkpoints and bundles in the federation's name.
func signer(c config.Config) audit.Signer {
	origin := c.PublicURL
	if origin == "" {
		origin = "kelian"
	}
	return audit.Signer{Key: sealKey(c.SecretKey), Origin: origin}
}
