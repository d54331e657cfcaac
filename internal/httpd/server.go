package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	idleTimeout       = 60 * time.Second
	writeTimeout      = 30 * time.Second
	maxHeaderBytes    = 16 << 10
)

// Options of a Server. Zero values take the defaults named.
type Options struct {
	Log            *slog.Logger
	Health         *Health        // answers /livez and /readyz, before every limit
	PublicURL      string         // KELIAN_PUBLIC_URL; https adds HSTS
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed; none
	CampusNets     []netip.Prefix // DefaultCampusNets
	CORSOrigins    []string       // exact origins of web clients elsewhere; none
	TLS            *tls.Config    // serves https; nil = plain http
	Policy         Policy         // StrictPolicy
	ErrorPage      ErrorPage      // refusals for people; nil = JSON for all
	Lang           func(*http.Request) string
	Flood          FloodOptions
	Metrics        prometheus.Registerer

	InFlight  int           // requests running at once, 64
	Queue     int           // requests waiting for a slot, 64
	QueueWait time.Duration // 2 s

	ReadHeaderTimeout time.Duration // 5 s
	ReadTimeout       time.Duration // 10 s, the whole request
	WriteTimeout      time.Duration // 30 s, from the request's header to the end of its answer
	IdleTimeout       time.Duration // 60 s
	DrainDelay        time.Duration // from "not ready" to refusing connections; 0
}

func (o Options) defaults() Options {
	dur := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	dur(&o.QueueWait, 2*time.Second)
	dur(&o.ReadHeaderTimeout, readHeaderTimeout)
	dur(&o.ReadTimeout, readTimeout)
	dur(&o.WriteTimeout, writeTimeout)
	dur(&o.IdleTimeout, idleTimeout)
	if o.InFlight == 0 {
		o.InFlight = 64
	}
	if o.Queue == 0 {
		o.Queue = 64
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Health == nil {
		o.Health = NewHealth(o.Log)
	}
	if o.CampusNets == nil {
		o.CampusNets = DefaultCampusNets()
	}
	if o.Policy == nil {
		o.Policy = StrictPolicy()
	}
	return o
}

// Server is an http.Server with Kelian's limits around one handler.
type Server struct {
	opt      Options
	http     *http.Server
	handler  http.Handler
	origins  *Origins
	flood    *Flood
	metrics  *metrics
	draining chan struct{}
	drain    sync.Once
	streams  sync.WaitGroup
}

// New puts the middleware around h: request id, access log and panic
// recovery, security headers, cross-origin rules, flood limiter, in-flight
// cap, write deadline.
func New(opt Options, h http.Handler) (*Server, error) {
	opt = opt.defaults()
	origins, err := NewOrigins(opt.PublicURL, opt.CORSOrigins)
	if err != nil {
		return nil, err
	}
	s := &Server{opt: opt, origins: origins, flood: NewFlood(opt.Flood, opt.CampusNets), draining: make(chan struct{})}
	limit := NewInFlight(opt.InFlight, opt.Queue, opt.QueueWait)
	if s.metrics, err = newMetrics(opt.Metrics, limit); err != nil {
		return nil, err
	}
	h = s.deadline(h)
	h = limit.Handler(h, opt.ErrorPage)
	h = s.flood.Handler(h, opt.ErrorPage)
	h = origins.Handler(h, opt.ErrorPage)
	h = securityHeaders(h, opt.Policy, strings.HasPrefix(opt.PublicURL, "https://"))
	h = s.begin(s.observe(h))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", opt.Health.Livez)
	mux.HandleFunc("GET /readyz", opt.Health.Readyz)
	mux.Handle("/", h)
	s.handler = mux
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: opt.ReadHeaderTimeout,
		ReadTimeout:       opt.ReadTimeout,
		IdleTimeout:       opt.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		TLSConfig:         opt.TLS,
		ErrorLog:          slog.NewLogLogger(quiet(opt.Log).Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Handler is the whole chain, for a listener of one's own.
func (s *Server) Handler() http.Handler { return s.handler }

// Origins is the server's rule on web pages, for doors that open streams.
func (s *Server) Origins() *Origins { return s.origins }

// deadline bounds the writing of an answer; a stream lifts it.
func (s *Server) deadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opt.WriteTimeout))
		next.ServeHTTP(w, r)
	})
}

// Serve answers on the listener until Shutdown; it returns nil then.
func (s *Server) Serve(ln net.Listener) error {
	var err error
	if s.opt.TLS != nil {
		err = s.http.ServeTLS(ln, "", "")
	} else {
		err = s.http.Serve(ln)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("httpd: %w", err)
}

// Shutdown drains: readiness goes, load balancers get DrainDelay to notice,
// streams are told to end, no connection is accepted any more, and what runs
// is awaited until ctx ends; the rest is cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.opt.Health.Drain()
	if s.opt.DrainDelay > 0 {
		t := time.NewTimer(s.opt.DrainDelay)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
	s.drain.Do(func() { close(s.draining) })
	err := s.http.Shutdown(ctx)
	ended := make(chan struct{})
	go func() { s.streams.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		_ = s.http.Close()
		return fmt.Errorf("httpd: draining was cut short: %w", err)
	}
	return nil
}
