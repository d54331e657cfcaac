package httpd

import (
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewAdmin is the mux of the listener for operators: /metrics, /debug/pprof,
// /livez and /readyz. Others may add to it. Serve it through AdminHandler,
// on an address that strangers cannot reach.
func NewAdmin(reg prometheus.Gatherer, health *Health) *http.ServeMux {
	m := http.NewServeMux()
	m.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	m.HandleFunc("GET /debug/pprof/", pprof.Index)
	m.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	m.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	m.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	m.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	m.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	m.HandleFunc("GET /livez", health.Livez)
	m.HandleFunc("GET /readyz", health.Readyz)
	return m
}

// AdminHandler refuses what web pages open in the operator's browser send to
// the admin listener.
func AdminHandler(m *http.ServeMux) http.Handler {
	return http.NewCrossOriginProtection().Handler(m)
}

// NewAdminServer has no write limit, for profiles take as long as they are
// asked to.
func NewAdminServer(m *http.ServeMux) *http.Server {
	return &http.Server{Handler: AdminHandler(m), ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes}
}
