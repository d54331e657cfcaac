package app

import (
	"context"
	"time"

	"kelian/internal/outbox"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are this process's figures for Prometheus.
func (a *App) Metrics() *prometheus.Registry {
	if a.metrics != nil {
		return a.metrics
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), outboxCollector{a})
	a.metrics = reg
	return reg
}

// outboxCollector reads the backlog when it is asked.
type outboxCollector struct{ a *App }

var (
	outboxRows   = prometheus.NewDesc("kelian_outbox_rows", "Rows of the outbox that are due, by state.", []string{"state"}, nil)
	outboxOldest = prometheus.NewDesc("kelian_outbox_oldest_seconds", "Age of the oldest due row that is not sent.", nil, nil)
	databaseTrip = prometheus.NewDesc("kelian_database_round_trips_total", "Messages sent to the database.", nil, nil)
)

func (c outboxCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- outboxRows
	ch <- outboxOldest
	ch <- databaseTrip
}

func (c outboxCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	ch <- prometheus.MustNewConstMetric(databaseTrip, prometheus.CounterValue, float64(c.a.DB.Trips()))
	s, err := outbox.Measure(ctx, c.a.DB, c.a.Clock.Now())
	if err != nil {
		c.a.Log.Warn("the outbox was not measured", "error", err)
		return
	}
	for state, n := range map[string]int64{"pending": s.Pending, "sent": s.Sent, "dead": s.Dead} {
		ch <- prometheus.MustNewConstMetric(outboxRows, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(outboxOldest, prometheus.GaugeValue, s.Oldest.Seconds())
}
