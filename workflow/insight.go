package workflow

import (
	"context"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow/flow"
)

// InsightQuery asks how a kind of request went. The requests are those opened
// in the term of that name, else from From (inclusive) to To (exclusive), else
// in the present term; outside of terms, in the last half year.
type InsightQuery struct {
	Definition string
	Unit       string // and the units below it; "" = all that the reader may count
	Term       string
	From, To   time.Time
}

// Insight is how a kind of request went. Times are those of requests that were
// decided, APPROVED or REJECTED; a percentile is the smallest time that so many
// of them did not exceed, zero where there is none.
type Insight struct {
	Definition string
	Title      flow.Text
	Term       string
	From, To   time.Time
	Requests   int
	Status     map[flow.Status]int
	P50, P90   time.Duration // from opening to decision
	Reworked   int           // requests that were sent back or sent in again by the requester
	SendBacks  int
	Overdue    int    // requests of which a task was or is late
	Bottleneck string // the step with the largest share, "" = none
	Steps      []StepInsight
}

// Decided counts the requests that the times are of.
func (i *Insight) Decided() int { return i.Status[flow.Approved] + i.Status[flow.Rejected] }

// StepInsight is one step: the time it took in a request is that of all its
// rounds together. Share is its median as a part of the median of the whole;
// steps asked at the same time each have a share of their own.
type StepInsight struct {
	Step     string
	Title    flow.Text
	Requests int // decided ones that came through it
	P50, P90 time.Duration
	Share    float64
	Overdue  int // tasks that were or are late, in all requests
}

// Insight counts what the reader may count: supervision, the office, the
// federation's leaders and the League everything; the head of the unit that
// keeps a definition all of its requests; who leads a unit those of the unit.
func (s *Service) Insight(ctx context.Context, actor org.Actor, q InsightQuery) (Insight, error) {
	a, now, err := s.judge(ctx, actor)
	if err != nil {
		return Insight{}, err
	}
	_, d, err := s.current(ctx, s.db.R, q.Definition)
	if err != nil {
		return Insight{}, err
	}
	units, err := s.countable(a, d, q.Unit)
	if err != nil {
		return Insight{}, err
	}
	out := Insight{Definition: d.Flow.Key, Title: d.Flow.Title, Status: map[flow.Status]int{}}
	if err := s.insightPeriod(ctx, &out, q, now); err != nil {
		return Insight{}, err
	}
	return out, s.count(ctx, &out, d, units, now)
}

// countable gives the units whose requests count; nil = every unit.
func (s *Service) countable(a org.Actor, d *Definition, unit string) ([]string, error) {
	if s.rules.Can(a, "workflow.insight.read", org.Object{Unit: d.Owner}) {
		if unit == "" {
			return nil, nil
		}
		return []string{unit}, nil
	}
	if unit != "" {
		return []string{unit}, s.rules.Check(a, "workflow.insight.read", org.Object{Unit: unit})
	}
	var own []string
	for _, h := range a.Seats {
		if s.rules.Can(a, "workflow.insight.read", org.Object{Unit: h.Unit}) {
			own = append(own, h.Unit)
		}
	}
	if len(own) == 0 {
		return nil, s.rules.Check(a, "workflow.insight.read", org.Object{Unit: d.Owner})
	}
	return own, nil
}

// insightPeriod fills in which requests are counted.
func (s *Service) insightPeriod(ctx context.Context, out *Insight, q InsightQuery, now time.Time) error {
	_, cal, err := s.now(ctx)
	if err != nil {
		return err
	}
	switch {
	case q.Term != "":
		from, to, ok := cal.TermNamed(q.Term)
		if !ok {
			return fault.Input("term", "校历里没有这个学期："+strings.Join(termNames(cal), "、"), "the calendar has no such term; it has: "+strings.Join(termNames(cal), ", "))
		}
		out.Term, out.From, out.To = q.Term, from, to
	case !q.From.IsZero() || !q.To.IsZero():
		if q.From.IsZero() || !q.To.After(q.From) || q.To.Sub(q.From) > insightLongest {
			return fault.Input("from", "请给出起止时间，先起后止，最长三年", "give both from and to, in this order, at most three years apart")
		}
		out.From, out.To = q.From, q.To
	default:
		out.From, out.To = now.AddDate(0, -6, 0), now.Add(time.Microsecond)
		if t, ok := cal.Term(now); ok {
			out.Term = t.Name
			out.From, out.To, _ = cal.TermNamed(t.Name)
		}
	}
	return nil
}

// insightLongest bounds the span that is counted (docs/limits.md).
const insightLongest = 3 * 366 * 24 * time.Hour

func termNames(cal *calendar.Calendar) []string {
	var out []string
	for _, t := range cal.Terms() {
		out = append(out, t.Name)
	}
	return out
}

type countedStep struct {
	Step string
	N    int
	P50  int64
	P90  int64
}

// count reads the figures: one round trip on PostgreSQL. Each statement goes by
// request_definition to the requests of the span, and from them by the keys of
// tasks and decisions.
func (s *Service) count(ctx context.Context, out *Insight, d *Definition, units []string, now time.Time) error {
	span, args := `SELECT id, status, opened_at, closed_at, form_rev, CAST(requester AS text) AS requester FROM request WHERE definition = ? AND opened_at >= ? AND opened_at < ?`, []any{out.Definition, out.From, out.To}
	if units != nil {
		var either []string
		for _, u := range units {
			either = append(either, `unit = ? OR unit LIKE ?`)
			args = append(args, u, u+".%")
		}
		span += ` AND (` + strings.Join(either, " OR ") + `)`
	}
	within := func(query string, more ...any) (string, []any) {
		return `WITH r AS (` + span + `) ` + query, append(append([]any{}, args...), more...)
	}
	var status []struct {
		Status flow.Status
		N      int
	}
	var whole, steps, late []countedStep
	var rework []struct{ Reworked, SendBacks, Overdue int }
	reads := store.NewReads(s.db.R)
	add := func(dest any, query string, more ...any) {
		text, all := within(query, more...)
		reads.SQL(dest, text, all...)
	}
	const decided = `r.status IN ('APPROVED', 'REJECTED')`
	add(&status, `SELECT status, count(*) AS n FROM r GROUP BY status`)
	add(&whole, percentiles(`SELECT '' AS step, ? AS took FROM r WHERE `+decided), s.db.Seconds("r.opened_at", "r.closed_at"))
	add(&steps, percentiles(`SELECT step, sum(took) AS took FROM (SELECT task.request_id, task.step, task.round, ? AS took FROM r JOIN task ON task.request_id = r.id
		WHERE `+decided+` AND task.closed_at IS NOT NULL AND task.origin <> 'amend' GROUP BY task.request_id, task.step, task.round) AS x GROUP BY request_id, step`),
		s.db.Seconds("min(task.opened_at)", "max(task.closed_at)"))
	add(&late, `SELECT task.step, count(*) AS n, 0 AS p50, 0 AS p90 FROM r JOIN task ON task.request_id = r.id WHERE `+lateTask+` GROUP BY task.step`, now)
	add(&rework, `SELECT
		(SELECT count(*) FROM r WHERE EXISTS (SELECT 1 FROM decision WHERE decision.request_id = r.id AND decision.verdict = 'send_back')
			OR r.form_rev > 1 AND EXISTS (SELECT 1 FROM event WHERE event.request_id = r.id AND event.type = 'resubmitted'
				AND event.body LIKE '%"person":"' || r.requester || '"%')) AS reworked,
		(SELECT count(*) FROM r JOIN decision ON decision.request_id = r.id WHERE decision.verdict = 'send_back') AS send_backs,
		(SELECT count(*) FROM r WHERE EXISTS (SELECT 1 FROM task WHERE task.request_id = r.id AND `+lateTask+`)) AS overdue`, now)
	if err := reads.Run(ctx); err != nil {
		return err
	}
	for _, x := range status {
		out.Status[x.Status] = x.N
		out.Requests += x.N
	}
	if len(whole) > 0 {
		out.P50, out.P90 = seconds(whole[0].P50), seconds(whole[0].P90)
	}
	out.Reworked, out.SendBacks, out.Overdue = rework[0].Reworked, rework[0].SendBacks, rework[0].Overdue
	out.steps(d, steps, late)
	return nil
}

// lateTask is a task that was answered late or is late now.
const lateTask = `task.state IN ('done', 'open') AND task.due_at < COALESCE(task.closed_at, ?)`

// percentiles takes a query of (step, took) and gives, for each step, how many
// there are and the nearest-rank percentiles.
func percentiles(query string) string {
	return `SELECT step, max(n) AS n, min(CASE WHEN k >= (n * 50 + 99) / 100 THEN took END) AS p50, min(CASE WHEN k >= (n * 90 + 99) / 100 THEN took END) AS p90 FROM (
		SELECT step, CAST(took AS bigint) AS took, row_number() OVER (PARTITION BY step ORDER BY took) AS k, count(*) OVER (PARTITION BY step) AS n FROM (` + query + `) AS t) AS u GROUP BY step`
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// steps puts the figures of the steps in the definition's order; a step that
// only earlier versions had comes last.
func (i *Insight) steps(d *Definition, took, late []countedStep) {
	figures := map[string]*StepInsight{}
	var order []string
	get := func(name string) *StepInsight {
		if figures[name] == nil {
			figures[name] = &StepInsight{Step: name, Title: flow.Text{Zh: name, En: name}}
			order = append(order, name)
		}
		return figures[name]
	}
	for _, s := range d.Flow.Steps() {
		get(s.Name).Title = s.Title
	}
	for _, x := range took {
		f := get(x.Step)
		f.Requests, f.P50, f.P90 = x.N, seconds(x.P50), seconds(x.P90)
		if i.P50 > 0 {
			f.Share = float64(f.P50) / float64(i.P50)
		}
	}
	for _, x := range late {
		get(x.Step).Overdue = x.N
	}
	most := time.Duration(0)
	for _, name := range order {
		if f := figures[name]; f.P50 > most {
			most, i.Bottleneck = f.P50, name
		}
		i.Steps = append(i.Steps, *figures[name])
	}
}
