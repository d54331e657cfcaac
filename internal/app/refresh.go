package app

import (
	"context"
	"time"

	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/workflow"
)

// Work stays where the seat is: whenever holders change, and each night, every
// open request is looked at anew.
const (
	topicRefreshOpen = "workflow.refresh.open"

	refreshSoon  = "refresh" // after a change; a burst of changes becomes few of them
	refreshDaily = "refresh.daily"
	refreshHour  = 4          // of the local day
	staffing     = "staffing" // whether the published workflows still find their people
	// Terms begin and end in crowds; one look after the last of them is enough.
	staffingPause = 10 * time.Minute
)

// schedules owns the timers that belong to no object.
var schedules = id.ID{15: 1}

// onTenure handles the begin and the end of a term.
func (a *App) onTenure(ctx context.Context, d outbox.Delivery) error {
	return a.inDelivery(ctx, d, func(_ context.Context, tx *store.Tx) error {
		outbox.Timer(tx, schedules, refreshSoon, outbox.Event{Topic: topicRefreshOpen})
		return nil
	})
}

// onRefreshOpen handles topicRefreshOpen; the daily one puts the next.
func (a *App) onRefreshOpen(ctx context.Context, d outbox.Delivery) error {
	return a.inDelivery(ctx, d, func(ctx context.Context, tx *store.Tx) error {
		if d.Name != nil && *d.Name == refreshDaily {
			a.putDaily(tx)
		}
		outbox.Timer(tx, schedules, staffing, outbox.Event{Topic: workflow.TopicStaffing, DueAt: a.Clock.Now().Add(staffingPause)})
		_, err := a.Workflow.RefreshOpen(ctx, tx)
		return err
	})
}

func (a *App) putDaily(tx *store.Tx) {
	now := a.Clock.Now().In(a.Config.Timezone)
	due := time.Date(now.Year(), now.Month(), now.Day(), refreshHour, 0, 0, 0, now.Location())
	if !due.After(now) {
		due = time.Date(now.Year(), now.Month(), now.Day()+1, refreshHour, 0, 0, 0, now.Location())
	}
	outbox.Timer(tx, schedules, refreshDaily, outbox.Event{Topic: topicRefreshOpen, DueAt: due.UTC()})
}

// armDaily puts the first daily timer, unless one waits.
func (a *App) armDaily(ctx context.Context) error {
	_, err := store.InTx(ctx, a.DB, store.Internal("armDaily"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		waits, err := tx.NewSelect().Table("outbox").Where("owner = ?", schedules).Where("name = ?", refreshDaily).
			Where("state IN ('pending', 'sent')").Exists(ctx)
		if err == nil && !waits {
			a.putDaily(tx)
		}
		return struct{}{}, err
	})
	return err
}
