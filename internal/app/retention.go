package app

import (
	"context"
	"time"

	"kelian/jobs"
	"kelian/netmon"
)

const (
	day = 24 * time.Hour
	// aYear is a year of office and the weeks of handing over after it.
	aYear = 400 * day
)

// Retention is the list of what is forgotten by age; jobs.RunRetention works it
// off in this order. A table stands here, in Purges or in Kept.
var Retention = []jobs.Keep{
	{What: "idempotency keys and their outcomes", Table: "idempotency", Column: "at", For: day},
	{What: "outbox rows that are done or void", Table: "outbox", Column: "created_at", Where: "state IN ('done', 'void')", For: day},
	{What: "dead outbox rows that nobody revived", Table: "outbox", Column: "due_at", Where: "state = 'dead'", For: 90 * day, Business: true},
	{What: "ended leases", Table: "lease", Column: "until", For: day},
	{What: "lines of the to-tell list that are settled", Table: "to_tell", Column: "told_at", Where: "state IN ('TOLD', 'WRONG_NUMBER')", For: aYear, Business: true},
	{What: "deliveries of notifications", Table: "delivery", Column: "created_at", Business: true, For: aYear,
		Where: "state NOT IN ('waiting', 'sending') AND NOT EXISTS (SELECT 1 FROM to_tell WHERE to_tell.delivery = delivery.id)"},
	{What: "notifications", Table: "notification", Column: "at", Business: true, For: aYear,
		Where: `NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.event = notification.id)
			AND NOT EXISTS (SELECT 1 FROM to_tell WHERE to_tell.notification = notification.id)`},
	{What: "posts to webhooks that arrived or are dead", Table: "webhook_delivery", Column: "created_at", Where: "state NOT IN ('waiting', 'sending')", For: 30 * day, Business: true},
	{What: "requests once found not to be what their events say, and mended", Table: "mismatch", Column: "mended_at", Where: "mended_at IS NOT NULL", For: aYear, Business: true},
	{What: "decision links", Table: "decision_link", Column: "expires_at", For: 90 * day, Business: true},
	{What: "released reservations", Table: "reservation", Column: "released_at", Where: "state = 'RELEASED'", For: aYear, Business: true},
	{What: "absences", Table: "absence", Column: "until_at", For: aYear, Business: true},
	{What: "rounds of the monitor, once they stand in the history", Table: "round", Column: "epoch", For: 2 * day, Unix: true, Until: netmon.Transposed},
	{What: "history of checks: every sample", Table: "history_block", Column: "hour", For: 30 * day, Unix: true},
	{What: "history of checks: figures of hours", Table: "history_hour", Column: "hour", For: aYear, Unix: true},
	{What: "history of checks: figures of days", Table: "history_day", Column: "day", For: 5 * 365 * day, Unix: true},
	{What: "minutes in which the network was watched", Table: "history_mark", Column: "start", For: aYear, Unix: true},
	{What: "transitions of hosts that led to no incident", Table: "transition", Column: "at", Business: true, For: aYear,
		Where: "NOT EXISTS (SELECT 1 FROM link WHERE link.from_id = transition.id)"},
	{What: "windows of maintenance", Table: "maintenance", Column: "until_at", For: aYear, Business: true},
}

// Purge is what a domain forgets by its own rule.
type Purge struct {
	Tables      []string
	What, After string
}

// Purges says what the domains forget, hourly or where somebody is erased.
var Purges = []Purge{
	{[]string{"session"}, "sessions", "when they expire"},
	{[]string{"api_token", "auth_link"}, "API tokens and one-time links that have expired", "90 days"},
	{[]string{"throttle"}, "counters of wrong guesses", "24 h"},
	{[]string{"account", "roster"}, "an account prepared and not claimed, with what the roster said", "60 days"},
	{[]string{"personal", "contact"}, "a repair's name, contact and texts", "30 days after its end"},
	{[]string{"personal", "contact"}, "contacts of sponsors", "24 months after the last touch"},
	{[]string{"repair_contact"}, "counters of a contact's repairs", "1 day"},
	{[]string{"file"}, "files that were not sent with anything", "7 days"},
	{[]string{"file"}, "photos of a repair, files that are a personal value", "with the text they belong to"},
	{[]string{"upload"}, "resumable uploads", "7 days"},
	{[]string{"skill", "free_hour", "notify_preference"}, "skills, free hours and wishes about notifications", "with the person"},
}

const (
	record   = "the record of what was decided and done; references and keyed hashes, no personal values"
	settings = "as many rows as somebody sets up"
)

// Kept lists the tables that forget nothing, and why.
var Kept = map[string]string{
	"audit": record, "audit_seal": record, "audit_checkpoint": record, "link": record,
	"definition": record, "version": record, "request": record, "revision": record, "task": record, "decision": record, "event": record, "watcher": record, "close_out": record, "used_once": record, "occurrence": record,
	"ticket": record, "ticket_entry": record, "assignment": record,
	"purchase": record, "purchase_line": record, "seal_use": record, "pledge": record, "ledger_entry": record, "thanks": record,
	"training_session": record, "training_task": record, "incident": record, "incident_node": record,
	"person": record, "tenure": record, "delegation": record, "consent": record, "rights_request": record,
	"organisation": record, "sponsor_contact": record,
	"unit": settings, "seat": settings, "portfolio": settings, "liaison": settings, "setting": settings, "recurrence": settings,
	"item": settings, "place": settings, "course": settings, "workload": settings,
	"webhook": settings, "host": settings, "host_building": settings, "host_need": settings, "host_check": settings, "objective": settings, "check_memory": "one row per check, overwritten",
	"counter": "one row per series of numbers and year", "vantage": "one row per place that probes",
	"migration": "one row per change of the schema", "migration_lock": "one row while the schema changes",
	"shard_claim": "one row per shard, overwritten", "judge_state": "one row, overwritten",
}

// purge lets the domains forget hourly what is due.
func (a *App) purge(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		for name, f := range map[string]func(context.Context) (int, error){"org": a.Org.Purge, "auth": a.Auth.Purge, "repair": a.Repair.Purge, "file": a.File.Sweep} {
			for {
				n, err := f(ctx)
				if err != nil && ctx.Err() == nil {
					a.Log.Warn("what is due was not all forgotten", "area", name, "error", err)
				}
				if err != nil || n == 0 {
					break
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
