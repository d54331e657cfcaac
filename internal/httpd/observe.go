package httpd

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// recorder notes the status and size of an answer.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recorder) WriteHeader(code int) {
	if w.status == 0 && (code >= 200 || code == http.StatusSwitchingProtocols) {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type metrics struct {
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram
	refused  *prometheus.CounterVec
}

// newMetrics registers with reg; nil keeps the numbers to itself.
func newMetrics(reg prometheus.Registerer, c *InFlight) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kelian_http_requests_total",
			Help: "Requests answered, by method and status."}, []string{"method", "status"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kelian_http_request_seconds",
			Help: "Time to answer, streams left out.", Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 11)}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kelian_http_refused_total",
			Help: "Requests refused for load (503) or speed (429)."}, []string{"status"}),
	}
	running := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kelian_http_in_flight",
		Help: "Requests running."}, func() float64 { return float64(c.Running()) })
	queued := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kelian_http_queued",
		Help: "Requests waiting for a slot."}, func() float64 { return float64(c.Queued()) })
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.refused, running, queued} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("httpd: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) note(method string, status int, took time.Duration, stream bool) {
	switch method {
	case "GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS":
	default:
		method = "other" // a label value is never a stranger's choice
	}
	m.requests.WithLabelValues(method, strconv.Itoa(status)).Inc()
	if !stream {
		m.seconds.Observe(took.Seconds())
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		m.refused.WithLabelValues(strconv.Itoa(status)).Inc()
	}
}

// observe answers 500 when a handler panics, and writes one line per request.
// It logs neither query strings nor the secret part of a link.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		rec := &recorder{ResponseWriter: w}
		q := of(r.Context())
		defer func() {
			p := recover()
			aborted := p == http.ErrAbortHandler //nolint:errorlint // net/http knows it unwrapped only
			if p != nil && !aborted {
				s.opt.Log.ErrorContext(r.Context(), "http: handler panicked", "request", q.id,
					"path", LogPath(r.URL.Path), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if rec.status == 0 {
					Refuse(rec, r, http.StatusInternalServerError, internal(), s.opt.ErrorPage)
				}
			}
			if rec.status == 0 {
				rec.status = http.StatusOK
			}
			took := time.Since(began)
			s.metrics.note(r.Method, rec.status, took, q.stream.Load())
			s.opt.Log.InfoContext(r.Context(), "http", "request", q.id, "method", r.Method,
				"path", LogPath(r.URL.Path), "status", rec.status, "bytes", rec.bytes,
				"ms", took.Milliseconds(), "client", q.client.String())
			if aborted {
				panic(p)
			}
		}()
		next.ServeHTTP(rec, r)
	})
}

// LogPath is the path as it may stand in a log: the secret of a link
// (/t, /d, /p, /setup, /push) is left out and the length bounded.
func LogPath(path string) string {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "t", "d", "p", "setup", "push":
		if rest != "" {
			return "/" + first + "/…"
		}
	}
	if len(path) > 200 {
		return strings.ToValidUTF8(path[:200], "") + "…"
	}
	return path
}

// quiet drops what net/http logs about strangers' broken connections to
// debug level.
func quiet(log *slog.Logger) *slog.Logger { return log.With("from", "net/http") }
