package netmon_test

import (
	"testing"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	factory "kelian/internal/testkit/make"
	"kelian/netmon"
	"kelian/netmon/judge"
	"kelian/org"
)

// became writes that a host changed.
func (p *past) became(host id.ID, at time.Time, from, to judge.State, was, now judge.Overlay) {
	p.t.Helper()
	_, err := p.db.Bun().NewRaw(`INSERT INTO transition (id, kind, subject, host, epoch, from_state, to_state, from_overlay, to_overlay, at) VALUES (?, 'NODE', ?, ?, ?, ?, ?, ?, ?, ?)`,
		id.New(), host.String(), host, at.Unix(), from, to, int(was), int(now), at).Exec(bg)
	if err != nil {
		p.t.Fatal(err)
	}
}

// watched writes that the network was watched in a span, by rounds without a
// check.
func (p *past) watched(from, to time.Time) {
	p.t.Helper()
	var rows []written
	for e := from.Unix(); e < to.Unix(); e += 60 {
		rows = append(rows, newRound("main", 0, e, true, nil))
	}
	p.write(rows...)
}

// lived makes the hosts as old as a moment.
func (p *past) lived(since time.Time) {
	p.t.Helper()
	if _, err := p.db.Bun().NewRaw(`UPDATE host SET created_at = ?`, since).Exec(bg); err != nil {
		p.t.Fatal(err)
	}
	p.svc = netmon.New(p.db, p.clock, rules, netmon.Options{Policy: policy(), ShardSize: 4, Location: shanghai})
}

// Every moment of a host's month counts as one thing, by the calendar of
// Shanghai; what nobody saw and what was maintained does not count.
func TestAvailabilityOfAMonth(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		p := newPast(t, db, 2)
		october := time.Date(2026, 10, 1, 0, 0, 0, 0, shanghai)
		p.lived(october.AddDate(0, -2, 0))
		at := func(h float64) time.Time { return october.Add(time.Duration(h * float64(time.Hour))) }
		p.watched(at(-2), at(20))
		p.watched(at(20.5), at(49)) // nobody watched for half an hour
		h := p.hosts[0]
		p.became(h, at(-30*24), judge.Unknown, judge.Up, 0, 0)
		p.became(h, at(-1), judge.Up, judge.Down, 0, 0) // over the month's edge
		p.became(h, at(1), judge.Down, judge.Recovering, 0, 0)
		p.became(h, at(1.5), judge.Recovering, judge.Up, 0, 0)
		p.became(h, at(4), judge.Up, judge.Suspect, 0, 0)
		p.became(h, at(5), judge.Suspect, judge.Down, 0, judge.Unreachable)
		p.became(h, at(7), judge.Down, judge.Up, judge.Unreachable, 0)
		p.became(h, at(10), judge.Up, judge.Down, 0, judge.Maintenance)
		p.became(h, at(12), judge.Down, judge.Up, judge.Maintenance, 0)
		p.became(h, at(14), judge.Up, judge.Up, 0, judge.Stale)
		p.became(h, at(15), judge.Up, judge.Up, judge.Stale, 0)
		p.became(h, at(60), judge.Up, judge.Down, 0, 0)
		p.transpose(at(48.75)) // the last hour is in rounds only
		got, err := p.svc.Availabilities(bg, org.System(), p.svc.Month(at(3)), p.hosts...)
		if err != nil {
			t.Fatal(err)
		}
		want := netmon.Availability{Down: 3*time.Hour + 30*time.Minute, Behind: 2 * time.Hour, Maintenance: 2 * time.Hour, Unknown: 90 * time.Minute, Outages: 2}
		want.Up = 48*time.Hour + 45*time.Minute - want.Down - want.Maintenance - want.Unknown
		if a := got[h]; a.String() != want.String() || !a.From.Equal(october) {
			t.Errorf("%v, want %v", a, want)
		}
		// The other host's one change was forgotten long ago; nothing is known of
		// its state, so it does not count as up.
		if a := got[p.hosts[1]]; a.Unknown != 48*time.Hour+45*time.Minute {
			t.Errorf("without a change: %v", a)
		}
		if month := p.svc.Month(time.Date(2026, 10, 31, 16, 30, 0, 0, time.UTC)); !month.From.Equal(time.Date(2026, 11, 1, 0, 0, 0, 0, shanghai)) {
			t.Errorf("half past midnight in Shanghai is in the month of %v", month.From)
		}
	})
}

// An objective is of a host or of a building's hosts, and says what is left of
// the month's budget.
func TestObjectiveHasABudget(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		factory.Federation(t, db)
		p := newPast(t, db, 2)
		november := time.Date(2026, 11, 1, 0, 0, 0, 0, shanghai)
		p.lived(november.AddDate(0, -2, 0))
		p.watched(november, november.Add(50*time.Hour))
		for _, h := range p.hosts {
			p.became(h, november.Add(-time.Hour), judge.Unknown, judge.Up, 0, 0)
		}
		p.became(p.hosts[0], november.Add(10*time.Hour), judge.Up, judge.Down, 0, 0)
		p.became(p.hosts[0], november.Add(11*time.Hour), judge.Down, judge.Up, 0, 0)
		p.transpose(november.Add(50 * time.Hour))
		head := p.officer("technical.head")
		set := func(in netmon.ObjectiveInput) id.ID {
			t.Helper()
			in.IdempotencyKey = id.New().String()
			out, err := p.svc.SetObjective(bg, head, in)
			if err != nil {
				t.Fatal(err)
			}
			return out.Objective
		}
		first := set(netmon.ObjectiveInput{Host: p.hosts[0], Target: 900_000})
		if again := set(netmon.ObjectiveInput{Host: p.hosts[0], Target: 995_000}); again != first {
			t.Error("a host has two objectives")
		}
		building := set(netmon.ObjectiveInput{Building: "t1", Target: 999_000})
		list, err := p.svc.Objectives(bg, head, november)
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		for _, o := range list {
			hosts, burn := 2, 10.0
			if o.ID == first {
				hosts, burn = 1, 4.0
			}
			free := float64(1_000_000-o.Target) / 1e6
			budget := time.Duration(free * float64(hosts) * float64(30*24*time.Hour)).Round(time.Second)
			if o.Hosts != hosts || o.Down != time.Hour || o.Budget != budget || o.Left != budget-time.Hour || o.Burn < burn-0.01 || o.Burn > burn+0.01 {
				t.Errorf("%+v: want %d hosts, a budget of %v and a burn of %v", o, hosts, budget, burn)
			}
		}
		if _, err := p.svc.RemoveObjective(bg, head, netmon.RemoveObjectiveInput{Objective: building, IdempotencyKey: "remove-one"}); err != nil {
			t.Fatal(err)
		}
		if list, err := p.svc.Objectives(bg, head, november); err != nil || len(list) != 1 {
			t.Errorf("%d objectives are left: %v", len(list), err)
		}
		for name, in := range map[string]netmon.ObjectiveInput{"neither": {Target: 999_000}, "both": {Host: p.hosts[0], Building: "T1", Target: 999_000},
			"everything": {Host: p.hosts[0], Target: 1_000_000}, "nobody's building": {Building: "T9", Target: 999_000}} {
			if _, err := p.svc.SetObjective(bg, org.System(), in); !fault.Is(err, fault.BadUserInput) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := p.svc.SetObjective(bg, p.officer("office.member"), netmon.ObjectiveInput{Host: p.hosts[0], Target: 999_000, IdempotencyKey: "some-key"}); !fault.Is(err, fault.Forbidden) {
			t.Errorf("an officer of another department: %v", err)
		}
	})
}
