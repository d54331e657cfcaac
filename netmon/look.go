package netmon

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"kelian/internal/id"
	"kelian/netmon/judge"
	"kelian/netmon/probe"
)

// lookAgain is how long a look that came to nothing is not repeated: registries
// refuse those who ask often.
const lookAgain = time.Hour

// recall is what a round knows of earlier looks, and what it found anew.
type recall struct {
	mu     sync.Mutex
	asked  map[id.ID]bool
	byID   map[id.ID]*memoryRow
	failed bool // the database did not say
	found  []*memoryRow
}

// recall reads the memories of those checks that have one.
func (s *sweep) recall(ctx context.Context, checks []*target) {
	r := &s.known
	r.mu.Lock()
	defer r.mu.Unlock()
	var ids []id.ID
	for _, c := range checks {
		if c.Kind.remembers() && !r.asked[c.ID] {
			ids = append(ids, c.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	got, err := within(ctx, s.m.brief(), func(ctx context.Context) (map[id.ID]*memoryRow, error) { return memories(ctx, s.m.db.R, ids) })
	if err != nil {
		r.failed = true
		s.m.log.Warn("what checks found earlier cannot be read; those that rest on it are left out", "error", err)
		return
	}
	if r.asked == nil {
		r.asked, r.byID = map[id.ID]bool{}, map[id.ID]*memoryRow{}
	}
	for _, i := range ids {
		r.asked[i] = true
		if got[i] != nil {
			r.byID[i] = got[i]
		}
	}
}

// remembered asks a check that rests on an earlier look, or looks again: when
// it is due, and whenever something is wrong.
func (s *sweep) remembered(ctx context.Context, c *target, w *wave) judge.Attempt {
	after, now := s.since(), s.m.clock.Now()
	s.known.mu.Lock()
	had, unknown := s.known.byID[c.ID], s.known.failed && !s.known.asked[c.ID]
	s.known.mu.Unlock()
	if unknown {
		return judge.Attempt{Outcome: judge.Missing, After: after}
	}
	if c.Kind == Push {
		a := judge.Attempt{Outcome: reported(c, had, now), After: after}
		if a.Outcome == judge.Reply {
			a.RTT = time.Duration(had.TookUs) * time.Microsecond
		}
		return a
	}
	fine := had != nil && had.Outcome == judge.Reply && (had.ExpiresAt.IsZero() || now.Before(had.ExpiresAt))
	waits := had != nil && had.Outcome == judge.Missing
	if (fine || waits) && now.Before(had.DueAt) && c.Seconds > slowest {
		if threshold(had.ExpiresAt, now) != had.Warned {
			again := *had
			again.At = now
			s.found(&again)
		}
		return judge.Attempt{Outcome: had.Outcome, After: after, RTT: time.Duration(had.TookUs) * time.Microsecond}
	}
	next := s.look(ctx, c, had, w)
	next.CheckID, next.At = c.ID, now
	if next.DueAt = now.Add(time.Duration(c.Seconds) * time.Second); next.Outcome == judge.Missing && c.Seconds > slowest {
		next.DueAt = now.Add(min(lookAgain, time.Duration(c.Seconds)*time.Second))
	}
	if next.ExpiresAt.IsZero() && had != nil && next.Outcome == judge.Missing {
		next.ExpiresAt = had.ExpiresAt // the registry may be away for long
		if !next.ExpiresAt.IsZero() && now.Before(next.ExpiresAt) {
			next.Outcome = judge.Reply
		}
	}
	if !next.ExpiresAt.IsZero() && !now.Before(next.ExpiresAt) && next.Outcome == judge.Reply {
		next.Outcome, next.WhyZh, next.WhyEn = judge.Failed, "已于 "+next.ExpiresAt.Format(time.DateOnly)+" 到期", "it ended on "+next.ExpiresAt.Format(time.DateOnly)
	}
	if c.Seconds > slowest || had == nil || had.Outcome != next.Outcome || !had.ExpiresAt.Equal(next.ExpiresAt) || had.Hash != next.Hash || had.WhyEn != next.WhyEn ||
		threshold(next.ExpiresAt, now) != had.Warned {
		s.found(next)
	}
	return judge.Attempt{Outcome: next.Outcome, After: after, RTT: time.Duration(next.TookUs) * time.Microsecond}
}

// found keeps the newest of a check's looks, for the end of the round.
func (s *sweep) found(r *memoryRow) {
	k := &s.known
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byID[r.CheckID] = r
	for i := range k.found {
		if k.found[i].CheckID == r.CheckID {
			k.found[i] = r
			return
		}
	}
	k.found = append(k.found, r)
}

// look asks the world.
func (s *sweep) look(ctx context.Context, c *target, had *memoryRow, w *wave) *memoryRow {
	limit := 2 * s.m.opts.Timeout
	switch c.Kind {
	case TLS:
		r, err := s.m.prober.TLS(ctx, c.Target, c.expect.Name, limit)
		w.lostWay(r.State)
		return &memoryRow{Outcome: told(r.State, err), ExpiresAt: r.Expires, TookUs: r.Took.Microseconds(), WhyZh: short(r.Zh), WhyEn: short(r.En)}
	case Domain:
		// The registry is far away and its list may have to be read first.
		r, err := s.m.prober.Domain(ctx, c.Target, max(limit, s.m.opts.Interval/2))
		return &memoryRow{Outcome: told(r.State, err), ExpiresAt: r.Expires, TookUs: r.Took.Microseconds(), WhyZh: short(r.Zh), WhyEn: short(r.En)}
	}
	r, err := s.m.prober.HTTP(ctx, c.spec(limit))
	w.lostWay(r.State)
	next := &memoryRow{Outcome: told(r.State, err), TookUs: r.Phases.Total.Microseconds()}
	if had != nil {
		next.Hash, next.GoodHash = had.Hash, had.GoodHash
	}
	if next.Outcome != judge.Reply {
		return next
	}
	text := probe.PageText(r.Body)
	next.Hash, next.Page = probe.PageHash(text), cmp.Or(text, " ")
	switch next.GoodHash {
	case "": // the first look is what later ones are held against
		next.GoodHash, next.GoodPage = next.Hash, next.Page
	case next.Hash:
	default:
		next.Outcome = judge.Failed
		next.WhyZh, next.WhyEn = "网页内容变了：请查看改动，没有问题就接受为新的正常内容", "the page has changed: look at the difference and accept it as the new normal if it is meant"
	}
	return next
}

func told(s probe.State, err error) judge.Outcome {
	if err != nil {
		return judge.Missing
	}
	return outcomeOf(s)
}

func short(s string) string {
	if r := []rune(s); len(r) > 500 {
		return string(r[:499]) + "…"
	}
	return s
}

// reported says how the latest report stands: silence longer than the interval
// and its grace fails.
func reported(c *target, had *memoryRow, now time.Time) judge.Outcome {
	if had != nil {
		if now.Before(had.DueAt) {
			return had.Outcome
		}
		return judge.Failed
	}
	if now.Before(c.CreatedAt.Add(c.expect.patience())) {
		return judge.Missing
	}
	return judge.Failed
}

func (e Expect) patience() time.Duration { return time.Duration(e.Every+e.Grace) * time.Second }

// spec is an HTTP or PAGE check as it is sent.
func (c *target) spec(limit time.Duration) probe.HTTPSpec {
	e := c.expect
	out := probe.HTTPSpec{URL: c.Target, Status: e.Status, Contain: e.Contain, Lack: e.Lack, Pattern: c.pattern, SkipVerify: e.SkipVerify, Timeout: limit}
	if e.Head {
		out.Method = http.MethodHead
	}
	return out
}

func (e Expect) compiled() (*regexp.Regexp, error) {
	if e.Pattern == "" {
		return nil, nil
	}
	return regexp.Compile(e.Pattern)
}

// dns asks the check's server, or the host itself.
func (s *sweep) dns(ctx context.Context, c *target, w *wave) judge.Attempt {
	q, err := parseQuestion(c.Target)
	if err != nil {
		return judge.Attempt{Outcome: judge.Missing}
	}
	after := s.since()
	r, err := s.m.prober.DNS(ctx, probe.DNSSpec{Server: q.at(c.host.Address), Name: q.name, Type: q.kind, Answers: c.expect.Answers, Timeout: s.m.opts.Timeout})
	w.lostWay(r.State)
	return judge.Attempt{Outcome: told(r.State, err), After: after, RTT: r.Took}
}

// at is the server that is asked.
func (q question) at(host string) string {
	if q.server != "" {
		return q.server
	}
	return net.JoinHostPort(host, "53")
}
