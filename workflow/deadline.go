package workflow

import (
	"context"
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/workflow/flow"
)

// OnDeadline handles TopicDeadline: it reminds, escalates, or does what else
// the definition says, for all timers of the request that are due. One command
// for them all, because each would wait for the one before it to commit. A timer
// that is no longer armed does nothing. The clock that found the row due may be
// ahead of this one, or this one was set back since: what was found due is due.
func (s *Service) OnDeadline(ctx context.Context, d outbox.Delivery) error {
	var p deadlinePayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.systemSince(ctx, d.DueAt, d.Command(), p.Request, "workflow.deadline", (*thread).ring)
}

// ring fires the timers that are due, the earliest first. One that the one
// before it made pointless does nothing.
func (t *thread) ring(ctx context.Context) error {
	timers := slices.DeleteFunc(t.st.Timers(), func(x flow.Timer) bool { return x.At.After(t.now) })
	slices.SortStableFunc(timers, func(a, b flow.Timer) int { return a.At.Compare(b.At) })
	facts := flow.Facts{Now: t.now}
	if slices.ContainsFunc(timers, t.st.Moves) {
		var err error
		if facts, _, err = t.facts(ctx, ""); err != nil {
			return err
		}
	}
	for _, x := range timers {
		if err := t.apply(ctx, flow.Fire{Timer: x}, facts); err != nil {
			return err
		}
		t.rang = append(t.rang, timerName(x))
	}
	return nil
}

// TopicRefresh asks an open request's steps anew; its handler is OnRefresh.
const TopicRefresh = "workflow.refresh"

type refreshPayload struct {
	Request id.ID `json:"request"`
}

// RefreshOpen puts a TopicRefresh for every open request and gives their
// number: after seats changed hands, and daily, for terms also begin and end by
// their dates alone.
func (s *Service) RefreshOpen(ctx context.Context, tx *store.Tx) (int, error) {
	var requests []id.ID
	err := tx.NewRaw(`SELECT id FROM request WHERE status = 'OPEN' ORDER BY id`).Scan(ctx, &requests)
	if err != nil && !store.NoRows(err) {
		return 0, err
	}
	for _, r := range requests {
		outbox.Timer(tx, r, "refresh", outbox.Event{Topic: TopicRefresh, Aggregate: r, Payload: refreshPayload{r}})
	}
	return len(requests), nil
}

// OnRefresh handles TopicRefresh: open tasks go to those who hold the seats
// now, and a step that found nobody is asked once its seat is filled.
func (s *Service) OnRefresh(ctx context.Context, d outbox.Delivery) error {
	var p refreshPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.system(ctx, d.Command(), p.Request, "workflow.refresh", flow.Refresh{By: flow.Actor{Door: flow.System}})
}

// system runs a command that nobody gave.
func (s *Service) system(ctx context.Context, cmd store.Command, request id.ID, action string, move flow.Command) error {
	return s.systemSince(ctx, time.Time{}, cmd, request, action, func(t *thread, ctx context.Context) error {
		facts, _, err := t.facts(ctx, "")
		if err != nil {
			return err
		}
		return t.apply(ctx, move, facts)
	})
}

// systemSince changes a request at a time of business that is not before since.
func (s *Service) systemSince(ctx context.Context, since time.Time, cmd store.Command, request id.ID, action string, move func(t *thread, ctx context.Context) error) error {
	now, cal, err := s.now(ctx)
	if err != nil {
		return err
	}
	if since.After(now) {
		now = since.UTC()
	}
	_, err = store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		t, err := s.load(ctx, tx, byID, request, now, cal)
		if fault.Is(err, fault.NotFound) {
			return Outcome{}, nil
		}
		if err != nil {
			return Outcome{}, err
		}
		if t.st.Status.Final() && t.st.Status != flow.Approved {
			return t.outcome(), nil
		}
		if err := move(t, ctx); err != nil {
			return Outcome{}, err
		}
		return t.outcome(), t.save(action, false)
	})
	return err
}
