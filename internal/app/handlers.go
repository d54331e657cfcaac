package app

import (
	"context"

	"kelian/desk/property"
	"kelian/desk/sponsor"
	"kelian/desk/training"
	"kelian/internal/outbox"
	"kelian/jobs"
	"kelian/netmon"
	"kelian/org/calendar"
	"kelian/workflow"
)

// handlers binds every topic to those who handle it; the consumer's name is
// part of a row and does not change.
func (a *App) handlers() {
	r := jobs.NewRegistry()
	a.Registry = r
	for topic, h := range a.Repair.Handlers() {
		r.Handle(topic, "repair", h)
	}
	for topic, h := range map[string]jobs.Handler{
		"netmon.incident.opened": a.onIncident("incident.opened"),
		"netmon.incident.closed": a.onIncident("incident.closed"),
		netmon.TopicWarned:       a.onWarned,
		"workflow.task.opened":   a.onTask("workflow.task"),
		"workflow.task.reminded": a.onTask("workflow.deadline"),
		workflow.TopicNudged:     a.onTask("workflow.nudge"),
		workflow.TopicRecorded:   a.onPerson("workflow.paper"),
		workflow.TopicCopied:     a.onPerson("workflow.cc"),
		workflow.TopicStopped:    a.onPerson("workflow.stopped"),
		workflow.TopicExpired:    a.onPerson("workflow.expired"),
		workflow.TopicMoved:      a.onMoved,
		workflow.TopicOwed:       a.onOwed,
		workflow.TopicUnstaffed:  a.onUnstaffed,
		workflow.TopicOccurred:   a.onOccurred,
		workflow.TopicUndone:     a.onUndone,
		workflow.TopicMismatch:   a.onMismatch,
		"workflow.changed":       a.onRequest,
		"workflow.link.code":     a.onCode,
		"auth.reset.requested":   a.onReset,
		"auth.verify.requested":  a.onVerify,
		"auth.reset.issued":      a.onResetIssued,
		"auth.claimed":           a.onClaimed,
		"notify.requested":       a.Notify.OnRequested,
		"notify.send":            a.Notify.OnSend,
		"notify.retry":           a.Notify.OnRetry,
		"notify.untold":          a.Notify.OnUntold,
	} {
		r.Handle(topic, "notify", h)
	}
	r.Handle("org.tenure.started", "workflow", a.onTenure)
	r.Handle("org.tenure.ended", "workflow", a.onTenure)
	r.Handle(topicRefreshOpen, "workflow", a.onRefreshOpen)
	r.Handle(workflow.TopicRefresh, "workflow", a.Workflow.OnRefresh)
	r.Handle(workflow.TopicStaffing, "workflow", a.Workflow.OnStaffing)
	r.Handle("workflow.deadline", "workflow", a.Workflow.OnDeadline)
	r.Handle(workflow.TopicRecurs, "workflow", a.Workflow.OnRecurs)
	r.Handle(workflow.TopicAmended, "workflow", a.Workflow.OnAmended)
	r.Handle(calendar.TopicChanged, calendarConsumer, a.Workflow.OnCalendarChanged)
	r.Handle(workflow.TopicReschedule, "workflow", a.Workflow.OnReschedule)
	r.Handle(workflow.TopicMigrate, "workflow", a.Workflow.OnMigrate)
	r.Handle("workflow.changed", "property", a.Property.OnRequestChanged)
	r.Handle("workflow.rejected", "property", a.Property.OnRejected)
	r.Handle("workflow.approved", "effects", a.onApproved)
	r.Handle("property.purchase.changed", "sponsor", a.Sponsor.OnPurchaseChanged)
	r.Handle("workflow.changed", "training", a.Training.OnRequestChanged)
	r.Handle("training.task.ask", "training", a.Training.OnAsk)
	r.Handle("training.task.warn", "training", a.Training.OnWarn)
	r.Handle("training.offer.lapsed", "training", a.Training.OnOfferLapsed)
	r.Handle("sponsor.overdue", "sponsor", a.Sponsor.OnOverdue)
	a.hookHandlers(r)
}

// onApproved gives an approval's effect to the desk that handles it.
func (a *App) onApproved(ctx context.Context, d outbox.Delivery) error {
	var p struct{ Effect string }
	if err := d.Decode(&p); err != nil {
		return err
	}
	switch p.Effect {
	case property.EffectPurchase:
		return a.Property.OnApprovedPurchase(ctx, d)
	case property.EffectReserve:
		return a.Property.OnApprovedReserve(ctx, d)
	case property.EffectSeal:
		return a.Property.OnApprovedSeal(ctx, d)
	case sponsor.EffectAgree:
		return a.Sponsor.OnApprovedAgree(ctx, d)
	case workflow.EffectPublish, workflow.EffectAppoint:
		return a.Workflow.OnApproved(ctx, d)
	case training.EffectSchedule:
		return a.Training.OnApprovedTraining(ctx, d)
	}
	return outbox.Permanent(errUnknownEffect(p.Effect))
}

type errUnknownEffect string

func (e errUnknownEffect) Error() string { return "nobody handles the effect " + string(e) }
