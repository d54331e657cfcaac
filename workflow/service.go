package workflow

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"

	"github.com/uptrace/bun"
)

// FactSource is a desk that knows something a definition records at each
// submission, e.g. whether the keeper has the thing in stock. The answer
// becomes JSON in the request's first event, so it holds no personal data.
//
// AskFact adds its reads to r and answers once they have run. The requests own
// may hold what the form asks for: itself, and the one that it amends.
type FactSource interface {
	AskFact(r *store.Reads, name string, form map[string]any, own ...id.ID) func() (any, error)
}

// Options is what the service is bound to.
type Options struct {
	Location *time.Location        // of dates and deadlines; nil = UTC
	Facts    map[string]FactSource // by the name that definitions use
	Effects  []string              // names of on_approved effects that somebody handles
	Files    FileKeeper            // keeps what forms name; nil = there are no files to name
	Signer   audit.Signer          // of exports; the zero Signer exports nothing
	// Calendar gives the working days; nil = the stored settings, read anew
	// every minute.
	Calendar func(ctx context.Context) (*calendar.Calendar, error)
	// NewID makes the identifiers of requests and versions; nil = id.New.
	NewID func() id.ID
}

// Service carries requests through their approvals.
type Service struct {
	db    *store.DB
	clock clock.Clock
	rules *org.Table
	Options
	known    Known
	mu       sync.RWMutex
	loaded   map[id.ID]*Definition // by version
	calendar atomic.Pointer[cachedCalendar]
}

type cachedCalendar struct {
	*calendar.Calendar
	read time.Time
}

// New makes the service.
func New(db *store.DB, c clock.Clock, rules *org.Table, o Options) *Service {
	if o.Location == nil {
		o.Location = time.UTC
	}
	if o.NewID == nil {
		o.NewID = id.New
	}
	s := &Service{db: db, clock: c, rules: rules, Options: o, loaded: map[id.ID]*Definition{}}
	s.known = Known{Effects: o.Effects, Location: o.Location, WorkingDays: s.workingDays}
	for name := range o.Facts {
		s.known.Facts = append(s.known.Facts, name)
	}
	return s
}

// workingDays serves guards; a command has made sure that there is a calendar.
func (s *Service) workingDays(from, to time.Time) int {
	if c := s.calendar.Load(); c != nil {
		return c.WorkingDays(from, to)
	}
	return weekdays(from.In(s.Location), to.In(s.Location))
}

// now is the business time of a command, with a calendar that is at most a
// minute old. It reads outside of transactions: no command waits for it twice.
func (s *Service) now(ctx context.Context) (time.Time, *calendar.Calendar, error) {
	now := clock.Cut(s.clock.Now())
	if c := s.calendar.Load(); c != nil && now.Sub(c.read).Abs() < calendar.Memory {
		return now, c.Calendar, nil
	}
	return s.freshCalendar(ctx)
}

// freshCalendar is now with the calendar as it is stored.
func (s *Service) freshCalendar(ctx context.Context) (time.Time, *calendar.Calendar, error) {
	now := clock.Cut(s.clock.Now())
	var cal *calendar.Calendar
	var err error
	if s.Calendar != nil {
		cal, err = s.Calendar(ctx)
	} else {
		cal, err = calendar.Load(ctx, s.db.R, s.Location)
	}
	if err != nil {
		return now, nil, err
	}
	s.calendar.Store(&cachedCalendar{cal, now})
	return now, cal, nil
}

// version gives a loaded version; all but its first use take it from memory,
// for a published version never changes.
func (s *Service) version(ctx context.Context, q bun.IDB, version id.ID) (*Definition, error) {
	s.mu.RLock()
	d := s.loaded[version]
	s.mu.RUnlock()
	if d != nil {
		return d, nil
	}
	var source string
	if err := q.NewRaw(`SELECT source FROM version WHERE id = ?`, version).Scan(ctx, &source); err != nil {
		return nil, store.Busy(err)
	}
	return s.remember(version, []byte(source))
}

// remember loads a text that was proved when it was published. A request under
// way outlives the release in which a desk had the names that it uses.
func (s *Service) remember(version id.ID, source []byte) (*Definition, error) {
	d, err := LoadPublished(source, s.known)
	if err != nil {
		return nil, fmt.Errorf("workflow: version %s no longer loads: %w", version, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded[version] = d
	return d, nil
}

// judge reads the actor's seats outside of a transaction, for reads.
func (s *Service) judge(ctx context.Context, actor org.Actor) (org.Actor, time.Time, error) {
	now := s.clock.Now()
	a, err := org.JudgeNow(ctx, s.db, actor, now)
	return a, now, err
}
