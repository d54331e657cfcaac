package app

import (
	"context"
	"time"

	"kelian/internal/outbox"
	"kelian/netmon"
	"kelian/workflow"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are this process's figures for Prometheus.
func (a *App) Metrics() *prometheus.Registry {
	if a.metrics != nil {
		return a.metrics
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), databaseCollector{a}, monitorCollector{a})
	a.metrics = reg
	return reg
}

// databaseCollector reads, when it is asked, what any process can tell.
type databaseCollector struct{ a *App }

var (
	outboxRows   = prometheus.NewDesc("kelian_outbox_rows", "Rows of the outbox that are due or dead, by state.", []string{"state"}, nil)
	outboxOldest = prometheus.NewDesc("kelian_outbox_oldest_seconds", "Age of the oldest due row that is not sent.", nil, nil)
	databaseTrip = prometheus.NewDesc("kelian_database_round_trips_total", "Messages sent to the database.", nil, nil)
	openNow      = prometheus.NewDesc("kelian_incidents_open", "Incidents that are open.", nil, nil)
	refolds      = prometheus.NewDesc("kelian_workflow_refolds_total", "Requests that this process checked against their events.", nil, nil)
	mismatches   = prometheus.NewDesc("kelian_workflow_mismatches", "Requests that are not what their events say.", nil, nil)
	judgeLag     = prometheus.NewDesc("kelian_monitor_judge_lag_seconds", "Time since the newest judged epoch began; absent before the first.", nil, nil)
)

func (databaseCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{outboxRows, outboxOldest, databaseTrip, openNow, judgeLag, refolds, mismatches} {
		ch <- d
	}
}

func (c databaseCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ch <- prometheus.MustNewConstMetric(databaseTrip, prometheus.CounterValue, float64(c.a.DB.Trips()))
	ch <- prometheus.MustNewConstMetric(refolds, prometheus.CounterValue, float64(c.a.refolds.Load()))
	if _, n, err := workflow.Mismatches(ctx, c.a.DB, 0); err != nil {
		c.a.Log.Warn("the requests that do not add up were not counted", "error", err)
	} else {
		gauge(mismatches, float64(n))
	}
	now := c.a.Clock.Now()
	if s, err := outbox.Measure(ctx, c.a.DB, now); err != nil {
		c.a.Log.Warn("the outbox was not measured", "error", err)
	} else {
		gauge(outboxRows, float64(s.Pending), "pending")
		gauge(outboxRows, float64(s.Sent), "sent")
		gauge(outboxRows, float64(s.Dead), "dead")
		gauge(outboxOldest, s.Oldest.Seconds())
	}
	if w, err := netmon.Measure(ctx, c.a.DB); err != nil {
		c.a.Log.Warn("the watch over the network was not measured", "error", err)
	} else {
		gauge(openNow, float64(w.Open))
		if !w.Judged.IsZero() {
			gauge(judgeLag, now.Sub(w.Judged).Seconds())
		}
	}
}

// monitorCollector reads the counters of this process's monitor, if it has one.
type monitorCollector struct{ a *App }

type monitorMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(netmon.Stats) int64
}

func monitorCounter(name, help string, value func(netmon.Stats) int64) monitorMetric {
	return monitorMetric{prometheus.NewDesc(name, help, nil, nil), prometheus.CounterValue, value}
}

var monitorMetrics = []monitorMetric{
	monitorCounter("kelian_monitor_rounds_total", "Rounds swept.", func(s netmon.Stats) int64 { return s.Swept }),
	monitorCounter("kelian_monitor_rounds_late_total", "Shards not swept because their epoch was over.", func(s netmon.Stats) int64 { return s.Late }),
	monitorCounter("kelian_monitor_rounds_dropped_total", "Rounds forgotten while the database was away.", func(s netmon.Stats) int64 { return s.Dropped }),
	monitorCounter("kelian_monitor_queue_failures_total", "Shards that the queue did not take.", func(s netmon.Stats) int64 { return s.EnqueueFailed }),
	monitorCounter("kelian_monitor_probes_total", "Checks asked, without re-probes.", func(s netmon.Stats) int64 { return s.Sent }),
	monitorCounter("kelian_monitor_probes_lost_total", "Checks that nobody answered.", func(s netmon.Stats) int64 { return s.Lost }),
	monitorCounter("kelian_monitor_packets_dropped_total", "Answers that this machine threw away.", func(s netmon.Stats) int64 { return s.Drops }),
	monitorCounter("kelian_monitor_epochs_judged_total", "Epochs judged by this process.", func(s netmon.Stats) int64 { return s.Judged }),
	monitorCounter("kelian_monitor_uncertified_total", "Root causes whose certificate failed.", func(s netmon.Stats) int64 { return s.Uncertified }),
	{prometheus.NewDesc("kelian_monitor_rounds_waiting", "Rounds kept in memory while the database is away.", nil, nil), prometheus.GaugeValue,
		func(s netmon.Stats) int64 { return s.Waiting }},
	{prometheus.NewDesc("kelian_monitor_leads", "1 in the process that judges.", nil, nil), prometheus.GaugeValue,
		func(s netmon.Stats) int64 {
			if s.Leads {
				return 1
			}
			return 0
		}},
}

var monitorMode = prometheus.NewDesc("kelian_monitor_mode", "1 for the way in which hosts are pinged: raw, ping, pro-bing or tcp.", []string{"mode"}, nil)

func (monitorCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range monitorMetrics {
		ch <- m.desc
	}
	ch <- monitorMode
}

func (c monitorCollector) Collect(ch chan<- prometheus.Metric) {
	m := c.a.watcher.Load()
	if m == nil {
		return
	}
	s := m.Stats()
	for _, x := range monitorMetrics {
		ch <- prometheus.MustNewConstMetric(x.desc, x.kind, float64(x.value(s)))
	}
	ch <- prometheus.MustNewConstMetric(monitorMode, prometheus.GaugeValue, 1, s.Mode)
}
