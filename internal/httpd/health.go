package httpd

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Check is one thing that must work before traffic is sent here.
type Check struct {
	Name string // "database", "queue"; shown to anyone who asks
	Run  func(context.Context) error
}

// Health answers /livez (the process runs) and /readyz (it can serve).
type Health struct {
	checks   []Check
	log      *slog.Logger
	draining atomic.Bool

	mu    sync.Mutex
	taken time.Time
	state map[string]string
	ready bool
}

const (
	checkTimeout = 2 * time.Second
	checkAge     = time.Second
)

// NewHealth takes the checks of readiness.
func NewHealth(log *slog.Logger, checks ...Check) *Health {
	return &Health{checks: checks, log: log}
}

// Drain makes /readyz answer 503 from now on.
func (h *Health) Drain() { h.draining.Store(true) }

// Livez answers 200 as long as the process can answer at all.
func (h *Health) Livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte("ok\n"))
}

// Readyz answers 200 when every check passes and 503 when one does not or the
// server drains: {"status","checks":{name: "ok"|"failed"}}. Why a check
// failed stands in the log only. A result serves for one second, so that
// asking often costs nothing.
func (h *Health) Readyz(w http.ResponseWriter, r *http.Request) {
	state, ready := h.look(r.Context())
	status, word := http.StatusOK, "ready"
	switch {
	case h.draining.Load():
		status, word = http.StatusServiceUnavailable, "draining"
	case !ready:
		status, word = http.StatusServiceUnavailable, "not ready"
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": word, "checks": state})
}

func (h *Health) look(ctx context.Context) (map[string]string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state != nil && time.Since(h.taken) < checkAge {
		return h.state, h.ready
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	errs := make([]error, len(h.checks))
	var wg sync.WaitGroup
	for i, c := range h.checks {
		wg.Go(func() { errs[i] = c.Run(ctx) })
	}
	wg.Wait()
	state, ready := map[string]string{}, true
	for i, c := range h.checks {
		state[c.Name] = "ok"
		if errs[i] != nil {
			state[c.Name], ready = "failed", false
			h.log.Warn("http: not ready", "check", c.Name, "error", errs[i])
		}
	}
	h.state, h.ready, h.taken = state, ready, time.Now()
	return state, ready
}
