//go:build fault && linux

package faulttest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// figures are what a run is judged by.
type figures struct {
	name                       string
	mu                         sync.Mutex
	operations, acked, unknown int
	faults, lost, doubled      int
	letters, twice, hits, slow int
	recoveries                 []time.Duration
	slowest                    time.Duration
}

func (f *figures) fault() { f.mu.Lock(); defer f.mu.Unlock(); f.faults++ }

func (f *figures) recovered(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.recoveries = append(f.recoveries, d)
}

// add takes another scenario's figures in.
func (f *figures) add(o *figures) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.operations += o.operations
	f.acked += o.acked
	f.unknown += o.unknown
	f.faults += o.faults
	f.lost += o.lost
	f.doubled += o.doubled
	f.letters += o.letters
	f.twice += o.twice
	f.hits += o.hits
	f.slow += o.slow
	f.recoveries = append(f.recoveries, o.recoveries...)
	f.slowest = max(f.slowest, o.slowest)
}

// String is the line that is printed.
func (f *figures) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	p50, most := time.Duration(0), time.Duration(0)
	if r := slices.Sorted(slices.Values(f.recoveries)); len(r) > 0 {
		p50, most = r[len(r)/2], r[len(r)-1]
	}
	return fmt.Sprintf("figures %s: faults=%d operations=%d acknowledged=%d unknown=%d lost=%d doubled=%d letters=%d received_twice=%d between_send_and_record=%d unanswered_letters=%d recovery_s{p50=%.1f max=%.1f} slowest_answer_s=%.1f",
		f.name, f.faults, f.operations, f.acked, f.unknown, f.lost, f.doubled, f.letters, f.twice, f.hits, f.slow, p50.Seconds(), most.Seconds(), f.slowest.Seconds())
}

// expectations are what was acknowledged, to be found in the database.
type expectations struct {
	mu        sync.Mutex
	repairs   []string // numbers
	requests  []string // TypeIDs of activities
	approved  []string // those of them that went through
	decisions []string // TypeIDs of tasks
	resubmits []string // requests
	parts     []string // requests for a part
	payments  []string // purchases
	outages   int
	down      []netip.Addr
}

func (e *expectations) note(to *[]string, what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	*to = append(*to, what)
}

func (e *expectations) cutting(cut bool, addrs []netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.down = nil
	if cut {
		e.down, e.outages = addrs, e.outages+1
	}
}

func (e *expectations) cutNow() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, a := range e.down {
		out = append(out, a.String())
	}
	return strings.Join(out, ",")
}

// errUnknown is an answer that does not say what happened.
var errUnknown = errors.New("outcome unknown")

// ask sends one document with the token to the world's door.
func (w *world) ask(token, query string, vars map[string]any) (json.RawMessage, error) {
	return w.askAt(w.api(), token, query, vars)
}

func (w *world) askAt(door, token, query string, vars map[string]any) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+door+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/graphql-response+json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnknown, err)
	}
	defer func() { _ = res.Body.Close() }()
	var out struct {
		Data   json.RawMessage
		Errors []struct {
			Message    string
			Extensions struct{ Code string }
		}
	}
	err = json.NewDecoder(res.Body).Decode(&out)
	if err != nil || res.StatusCode >= 500 || len(out.Errors) > 0 && out.Errors[0].Extensions.Code == "UNAVAILABLE" {
		return nil, fmt.Errorf("%w: %s %v %w", errUnknown, res.Status, out.Errors, err)
	}
	if len(out.Errors) > 0 {
		return nil, fmt.Errorf("%s: %v", res.Status, out.Errors)
	}
	return out.Data, nil
}

func (w *world) api() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.procs {
		if strings.Contains(p.roles, "api") {
			return p.api
		}
	}
	return ""
}

// read asks until there is an answer that ok takes.
func (w *world) read(seat, query string, vars map[string]any, ok func(json.RawMessage) bool) error {
	var last error
	tick := time.NewTicker(150 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(under.wait); time.Now().Before(end); <-tick.C {
		raw, err := w.ask(seeded.tokens[seat], query, vars)
		if err == nil && ok(raw) {
			return nil
		}
		if err != nil && !errors.Is(err, errUnknown) {
			return fmt.Errorf("%s: %w", seat, err)
		}
		if last = err; err == nil {
			last = fmt.Errorf("last answer: %s", raw)
		}
	}
	return fmt.Errorf("%s waited in vain: %s: %w", seat, query, last)
}

// mutate is one operation: sent again under the same key until its outcome is
// known. The answer is the payload.
func (w *world) mutate(token, field, inputType, selection string, input map[string]any) (json.RawMessage, error) {
	if field != "signIn" {
		input["idempotencyKey"] = key()
	}
	query := fmt.Sprintf("mutation($i: %s!) { %s(input: $i) { userErrors { code message } %s } }", inputType, field, selection)
	began, unknown := time.Now(), false
	raw, err := w.ask(token, query, map[string]any{"i": input})
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for errors.Is(err, errUnknown) && time.Since(began) < under.wait {
		unknown = true
		<-tick.C
		sent := time.Now()
		if raw, err = w.ask(token, query, map[string]any{"i": input}); err == nil {
			began = sent
		}
	}
	var out map[string]json.RawMessage
	var refused struct {
		UserErrors []struct{ Code, Message string }
	}
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err == nil {
		if err = json.Unmarshal(out[field], &refused); err == nil && len(refused.UserErrors) > 0 {
			err = fmt.Errorf("refused: %v", refused.UserErrors)
		}
	}
	w.fig.mu.Lock()
	defer w.fig.mu.Unlock()
	w.fig.operations++
	if unknown {
		w.fig.unknown++
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	w.fig.acked++
	w.fig.slowest = max(w.fig.slowest, time.Since(began))
	return out[field], nil
}
