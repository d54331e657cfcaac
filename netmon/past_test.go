package netmon_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/netmon"
	"kelian/netmon/history"
	"kelian/netmon/judge"
	"kelian/org"
)

func look(from, to time.Time) netmon.Look {
	return netmon.Look{Range: netmon.Range{From: from, To: to}}
}

// within reports what the rounds said between two moments.
func (p *past) within(number int64, from, to time.Time) (rtts []time.Duration, samples, lost int64) {
	for _, s := range p.exact[number] {
		if s.at.Before(from) || !s.at.Before(to) {
			continue
		}
		if samples++; s.rtt == 0 {
			lost++
			continue
		}
		rtts = append(rtts, s.rtt)
	}
	slices.Sort(rtts)
	return rtts, samples, lost
}

func near(got, want time.Duration) bool {
	return math.Abs(float64(got-want)) <= 1.0001*history.Accuracy*float64(want)
}

// Figures over any span are those of the samples in it: in rounds that are no
// history yet, in hours, in days of Shanghai, and over the seams between them.
func TestSummaryIsThatOfTheSamples(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		p := newPast(t, db, 5)
		midnight := time.Date(2026, 10, 10, 0, 0, 0, 0, shanghai)
		end := midnight.Add(75*time.Hour + 20*time.Minute)
		p.sweep(midnight.Add(-5*time.Hour), end, 300)
		p.transpose(end)
		check := func(from, to time.Time) {
			t.Helper()
			got, err := p.svc.Summaries(bg, org.System(), look(from, to), p.checks...)
			if err != nil || len(got) != len(p.checks) {
				t.Fatal(len(got), err)
			}
			for i, c := range p.checks {
				rtts, samples, lost := p.within(p.numbers[i], from, to)
				s := got[c]
				if s.Samples != samples || s.Lost != lost || math.Abs(s.Loss()-float64(lost)/float64(max(1, samples))) > 1e-12 {
					t.Fatalf("%v to %v: %d samples and %d lost, want %d and %d", from, to, s.Samples, s.Lost, samples, lost)
				}
				if len(rtts) == 0 {
					continue
				}
				for q, v := range map[float64]time.Duration{0: s.Low, 0.5: s.P50, 0.9: s.P90, 0.99: s.P99, 1: s.High} {
					if want := rtts[int(q*float64(len(rtts)-1))]; !near(v, want) {
						t.Fatalf("%v to %v: quantile %g is %v, exactly %v", from, to, q, v, want)
					}
				}
			}
		}
		check(midnight.Add(-5*time.Hour), end)                              // days, hours on both sides, rounds
		check(midnight, midnight.AddDate(0, 0, 1))                          // a day
		check(midnight.Add(65*time.Minute), midnight.Add(50*time.Hour+7e9)) // parts of hours at both ends
		check(midnight.Add(10*time.Minute), midnight.Add(20*time.Minute))   // within an hour
		check(end.Add(-40*time.Minute), end.Add(-10*time.Minute))           // over the seam
		check(end.Add(-5*time.Minute), end.Add(time.Hour))                  // rounds only
		check(midnight.AddDate(0, 0, -9), midnight.AddDate(0, 0, -8))       // before everything
		if _, err := p.svc.Summaries(bg, org.System(), look(end, end), p.checks...); !fault.Is(err, fault.BadUserInput) {
			t.Errorf("an empty range: %v", err)
		}
		if _, err := p.svc.Summaries(bg, org.Actor{}, look(midnight, end), p.checks...); err == nil {
			t.Error("a stranger reads the history")
		}
	})
}

// A chart has a bounded number of points, each with its own samples, over the
// seam between history and rounds.
func TestChartOverTheSeam(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		p := newPast(t, db, 3)
		start := testkit.Start.Truncate(24 * time.Hour)
		end := start.Add(31*time.Hour + 25*time.Minute)
		p.sweep(start, end, 120)
		p.transpose(end)
		for points, from := range map[int]time.Time{1000: start.Add(7 * time.Minute), 24: start, 5: start.Add(3 * time.Hour), 1: start} {
			got, err := p.svc.Charts(bg, org.System(), look(from, end.Add(time.Hour)), points, p.checks...)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range p.checks {
				x := got[c]
				if len(x.Points) > points || len(x.Points) == 0 {
					t.Fatalf("%d points, at most %d are wanted", len(x.Points), points)
				}
				var sum int64
				for k, pt := range x.Points {
					rtts, samples, lost := p.within(p.numbers[i], clock.Later(pt.At, from.Truncate(time.Hour)), pt.At.Add(x.Step))
					if pt.Samples != samples && k > 0 || pt.Lost != lost && k > 0 {
						t.Fatalf("%d points, at %v: %d samples and %d lost, want %d and %d", points, pt.At, pt.Samples, pt.Lost, samples, lost)
					}
					if sum += pt.Samples; len(rtts) > 0 && k > 0 && (!near(pt.P50, rtts[(len(rtts)-1)/2]) || !near(pt.Low, rtts[0]) || !near(pt.High, rtts[len(rtts)-1])) {
						t.Fatalf("%d points, at %v: %v %v %v", points, pt.At, pt.Low, pt.P50, pt.High)
					}
				}
				if _, samples, _ := p.within(p.numbers[i], from, end); sum < samples {
					t.Fatalf("%d points hold %d samples of %d", points, sum, samples)
				}
			}
		}
		if _, err := p.svc.Charts(bg, org.System(), look(start, end), 1001, p.checks...); !fault.Is(err, fault.BadUserInput) {
			t.Errorf("1,001 points: %v", err)
		}
	})
}

// A chart of 30 days reads one row for each hour, by the key, however long the
// history and large the network is.
func TestChartOfAMonthReadsItsHours(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		p := newPast(t, db, 1)
		now := testkit.Start
		p.clock.Advance(10 * time.Minute)
		var f history.Figures
		f.Add(history.Sample{Asked: true, Attempts: []judge.Attempt{{Outcome: judge.Reply, RTT: time.Millisecond}}})
		hours := `WITH RECURSIVE h(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM h WHERE n < 960), c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 3)
			INSERT INTO history_hour (number, vantage, hour, rounds, samples, lost, failed, missing, low_ns, high_ns, sketch)
			SELECT ? + c.n, 'main', ? - 3600 * h.n, 1, 1, 0, 0, 0, 1000000, 1000000, ? FROM h, c` // four checks, 40 days
		if _, err := db.Bun().NewRaw(hours, p.numbers[0], now.Unix()/3600*3600, f.Row().Sketch).Exec(bg); err != nil {
			t.Fatal(err)
		}
		p.transpose(now.Add(10 * time.Minute))
		got, err := p.svc.Charts(bg, org.System(), look(now.Add(-30*24*time.Hour), now), 720, p.checks...)
		if err != nil {
			t.Fatal(err)
		}
		x := got[p.checks[0]]
		if x.Rows > 721 || len(x.Points) < 719 || x.Step != time.Hour {
			t.Errorf("%d rows for %d points of %v", x.Rows, len(x.Points), x.Step)
		}
		plan := `EXPLAIN QUERY PLAN SELECT * FROM history_hour WHERE number IN (1) AND hour >= 1 AND hour < 1000000`
		if db.Postgres() {
			if _, err := db.Bun().Exec(`ANALYZE history_hour`); err != nil {
				t.Fatal(err)
			}
			plan = strings.Replace(plan, "EXPLAIN QUERY PLAN", "EXPLAIN", 1)
		}
		var text strings.Builder
		rows, err := db.R.QueryContext(bg, plan)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			line, skip := "", any(nil)
			dest := []any{&line}
			if !db.Postgres() {
				dest = []any{&skip, &skip, &skip, &line}
			}
			if err := rows.Scan(dest...); err != nil {
				t.Fatal(err)
			}
			text.WriteString(line + "\n")
		}
		if err := rows.Err(); err != nil || !strings.Contains(text.String(), "history_hour_default_pkey") && !strings.Contains(text.String(), "sqlite_autoindex_history_hour_1") {
			t.Errorf("the hours are not read by their key:\n%s%v", text.String(), err)
		}
	})
}
