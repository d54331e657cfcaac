package workflow

import (
	"context"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/workflow/flow"
)

// OnDeadline handles TopicDeadline: it reminds, escalates, or does what else
// the definition says. A timer that is no longer armed does nothing.
func (s *Service) OnDeadline(ctx context.Context, d outbox.Delivery) error {
	var p deadlinePayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.system(ctx, d.Command(), p.Request, "workflow.deadline", flow.Fire{Timer: flow.Timer{Step: p.Step, Round: p.Round, N: p.N}})
}

// Refresh hands the open tasks of a request to those who hold the seats now,
// after a change of holders.
func (s *Service) Refresh(ctx context.Context, request id.ID) error {
	return s.system(ctx, store.Internal("refreshRequest"), request, "workflow.refresh", flow.Refresh{By: flow.Actor{Door: flow.System}})
}

// RefreshPerson refreshes every request in which the person has an open task,
// one transaction each, and gives their number.
func (s *Service) RefreshPerson(ctx context.Context, person id.ID) (int, error) {
	var requests []id.ID
	err := s.db.R.NewRaw(`SELECT DISTINCT request_id FROM task WHERE person = ? AND state = 'open' ORDER BY request_id`, person).Scan(ctx, &requests)
	if err != nil && !store.NoRows(err) {
		return 0, store.Busy(err)
	}
	return s.refreshAll(ctx, requests)
}

// RefreshOpen refreshes every open request: a step that found nobody is asked
// once its seat is filled. It is for a daily job.
func (s *Service) RefreshOpen(ctx context.Context) (int, error) {
	var requests []id.ID
	err := s.db.R.NewRaw(`SELECT id FROM request WHERE status = 'OPEN' ORDER BY id`).Scan(ctx, &requests)
	if err != nil && !store.NoRows(err) {
		return 0, store.Busy(err)
	}
	return s.refreshAll(ctx, requests)
}

func (s *Service) refreshAll(ctx context.Context, requests []id.ID) (int, error) {
	for _, r := range requests {
		if err := s.Refresh(ctx, r); err != nil {
			return 0, err
		}
	}
	return len(requests), nil
}

// system runs a command that nobody gave.
func (s *Service) system(ctx context.Context, cmd store.Command, request id.ID, action string, move flow.Command) error {
	now, cal, err := s.now(ctx)
	if err != nil {
		return err
	}
	_, err = store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		t, err := s.load(ctx, tx, byID, request, now, cal)
		if fault.Is(err, fault.NotFound) {
			return Outcome{}, nil
		}
		if err != nil {
			return Outcome{}, err
		}
		if t.st.Status != flow.Open {
			return t.outcome(), nil
		}
		facts, _, err := t.facts(ctx, "")
		if err != nil {
			return Outcome{}, err
		}
		if err := t.apply(ctx, move, facts); err != nil {
			return Outcome{}, err
		}
		return t.outcome(), t.save(action, false)
	})
	return err
}
