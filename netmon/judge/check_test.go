package judge_test

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kelian/netmon/judge"
)

func TestThreeOfThreeAcrossEpochs(t *testing.T) {
	w := newWorld(t, []judge.Host{host("h")})
	once := func(o judge.Observation) { w.decide(w.round("a", o)) }
	w.epoch()
	for _, want := range []judge.State{judge.Suspect, judge.Suspect, judge.Down} {
		once(lost("h/icmp", 0))
		w.state("h", want)
	}
	once(reply("h/icmp"))
	w.state("h", judge.Recovering)
	once(lost("h/icmp", 0))
	w.state("h", judge.Down)
	once(reply("h/icmp"))
	once(reply("h/icmp"))
	w.state("h", judge.Up)
	once(lost("h/icmp", 0)) // losses of the last outage do not count any more
	w.state("h", judge.Suspect)
	once(reply("h/icmp"))
	w.state("h", judge.Up)
	w.ledger()
	equal(t, "incidents", len(w.kinds(judge.Open)), 1)
}

func TestTheCheckHasItsOwnRule(t *testing.T) {
	h := host("h")
	h.Checks[0].Rule = judge.Rule{Losses: 3, Of: 5, Replies: 1}
	w := newWorld(t, []judge.Host{h})
	for i, o := range []judge.Observation{reply("h/icmp"), lost("h/icmp", 0), reply("h/icmp"), lost("h/icmp", 0), reply("h/icmp"), lost("h/icmp", 0)} {
		w.decide(w.round("a", o))
		want := []judge.State{judge.Up, judge.Suspect, judge.Up, judge.Suspect, judge.Up, judge.Down}[i]
		w.state("h", want)
	}
	w.decide(w.round("a", reply("h/icmp")))
	w.state("h", judge.Up)
	w.decide(w.round("a", lost("h/icmp", 0))) // the losses of the last outage are spent
	w.state("h", judge.Suspect)
}

// One state may have several futures; none of them sees the other's attempts.
func TestFuturesOfOneStateAreApart(t *testing.T) {
	h := host("h")
	h.Checks[0].Rule = judge.Rule{Losses: 6, Of: 8}
	w := newWorld(t, []judge.Host{h})
	for range 5 {
		w.decide(w.round("a", lost("h/icmp", 0)))
		one, _, _ := judge.Decide(w.s, w.g, []judge.Round{w.round("a", lost("h/icmp", 0))}, w.now, w.p)
		before := encode(t, one)
		judge.Decide(w.s, w.g, []judge.Round{w.round("a", reply("h/icmp"))}, w.now, w.p)
		equal(t, "the first future after the second", encode(t, one), before)
	}
}

func TestMissingShardChangesNothing(t *testing.T) {
	w := newWorld(t, closet())
	w.decide()
	w.state("sw", judge.Unknown)
	w.epoch()
	w.decide()
	w.decide(w.round("a", judge.Observation{Check: "sw/icmp", Attempt: judge.Attempt{Outcome: judge.Missing}}))
	w.state("sw", judge.Up)
	w.decide()
	w.state("sw", judge.Up, "STALE")
	w.epoch()
	w.state("sw", judge.Up)
	w.epoch("h1")
	w.decide()
	w.decide()
	w.decide()
	w.state("h1", judge.Down, "STALE")
	w.one([]string{"h1"}, nil) // silence does not end an outage either
}

func TestUnhealthyRoundShowsRepliesOnly(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	for range 4 {
		r := w.round("a", w.seen(w.ids, "sw", "h1")...)
		r.Healthy = false
		w.decide(r)
	}
	w.quiet()
	w.state("sw", judge.Up, "STALE")
	w.state("h2", judge.Up)
	equal(t, "news", len(w.all), 0)
}

func TestObservationsCountOnce(t *testing.T) {
	w := newWorld(t, []judge.Host{host("h")})
	w.epoch()
	bad := w.round("a", lost("h/icmp", 0))
	w.decide(bad, bad, bad)
	w.decide(bad, bad)
	w.decide(bad)
	w.state("h", judge.Suspect)
	again, trans, news := judge.Decide(w.s, w.g, []judge.Round{w.round("a", lost("h/icmp", 2))}, w.s.Epoch, w.p)
	sameState(t, again, w.s)
	equal(t, "what a judged epoch brings", len(trans)+len(news), 0)

	late := w.round("a", lost("h/icmp", 1)) // of an epoch that was judged without it
	w.decide()
	late.Epoch = w.now - tick
	w.decide(late)
	w.state("h", judge.Down)

	// A round that could not probe leaves the epoch open for one that could.
	w.epochs(2)
	w.decide(w.round("a", judge.Observation{Check: "h/icmp", Attempt: judge.Attempt{Outcome: judge.Missing}}))
	late = w.round("a", lost("h/icmp", 2))
	late.Epoch = w.now - tick
	w.decide(late)
	w.state("h", judge.Down)
}

func TestColdSuspicionSuppressesNobody(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	w.decide(w.round("a", append(w.seen([]string{"core"}), lost("sw/icmp", 0))...))
	for range 2 {
		w.decide(w.round("a", w.seen([]string{"core", "h1", "h2"}, "h1")...))
		w.state("h1", judge.Down, "UNREACHABLE")
	}
	w.quiet()
	w.decide(w.round("a", w.seen([]string{"core", "h1", "h2"}, "h1")...))
	w.state("sw", judge.Suspect, "STALE")
	w.state("h1", judge.Down)
	w.decide(w.round("a", w.seen([]string{"core", "h1", "h2"}, "h1")...))
	w.one([]string{"h1"}, nil)
}

func TestFlappingHostGetsOneEnd(t *testing.T) {
	w := newWorld(t, []judge.Host{host("h")})
	w.epochs(2)
	for range 6 { // down for 10 s, up for 20 s, six times
		w.epoch("h")
		w.epochs(2)
	}
	w.state("h", judge.Up, "FLAPPING")
	i := w.one([]string{"h"}, nil)
	if !i.Flapping || len(w.kinds(judge.Open)) != 2 {
		t.Fatalf("want the second outage open and flapping, have %+v", w.all)
	}
	if n := len(w.kinds(judge.Update)); n != 1 {
		t.Fatalf("want one word that it flaps, have %d", n)
	}
	flips := len(w.all)
	for n := 0; len(w.all) == flips; n++ {
		if n == 360 {
			t.Fatal("an hour of answers and the incident is still open")
		}
		w.epoch()
		if n < 290 && len(w.all) > flips { // from above 10,000 to 1000: 3.3 half-lives
			t.Fatalf("after only %d s of peace: %+v", n*tick, w.all[flips:])
		}
	}
	if last := w.all[flips]; last.Kind != judge.Close || last.Reason != judge.Recovered || len(w.all) != flips+1 {
		t.Fatalf("want one final end, have %+v", w.all[flips:])
	}
	w.state("h", judge.Up)
	w.ledger()

	for range 100 { // and when it settles as down, even after hours, that is the last word
		w.epoch("h")
		w.epochs(2)
	}
	w.epochs(360, "h")
	w.state("h", judge.Down)
	last := w.all[len(w.all)-1]
	if last.Kind != judge.Update || last.Flapping || !strings.Contains(last.Why.En, "still not well") {
		t.Fatalf("want the final state told, have %+v", last)
	}
	w.one([]string{"h"}, nil)
}

func TestSickVantage(t *testing.T) {
	var hosts []judge.Host
	for i := range 10 {
		hosts = append(hosts, host("h"+strconv.Itoa(i)))
	}
	w := newWorld(t, hosts)
	w.epochs(2)
	w.epoch(w.ids[:7]...)
	w.quiet()
	w.state("h0", judge.Up)
	v := w.s.Vantages["v1"]
	equal(t, "the vantage", []any{v.State, v.Failing, v.Of}, []any{judge.Sick, 7, 10})
	if len(w.trans) != 1 || w.trans[0].Kind != judge.OfVantage || !strings.Contains(w.trans[0].Why.Zh, "10 个互不相关的目标中有 7 个") {
		t.Fatalf("the vantage's fault is not told: %+v", w.trans)
	}
	w.epochs(3, w.ids[:7]...)
	w.state("h0", judge.Up, "STALE")
	w.epoch()
	equal(t, "the vantage", w.s.Vantages["v1"].State, judge.Up)
	w.epoch(w.ids[:6]...) // 60 % is not more than 60 %
	equal(t, "incidents", len(w.s.Incidents), 6)
	w.epoch(w.ids[:7]...) // what is down already says nothing about the vantage
	equal(t, "incidents", len(w.s.Incidents), 7)
	w.ledger()

	// What a switch already known to be down explains is no sign of sickness,
	// even in an epoch that does not hold the switch itself.
	w = newWorld(t, closet())
	w.epochs(2)
	w.decide(w.round("a", w.seen([]string{"core", "sw"}, "sw")...))
	w.decide(w.round("a", w.seen(append(slices.Clone(six), "core"), six...)...))
	w.one([]string{"sw"}, six)

	// Everything fails, but one device explains it: an outage, no sick vantage.
	w = newWorld(t, closet())
	w.epochs(2)
	w.epoch(w.ids...)
	w.one([]string{"core"}, []string{"h1", "h2", "h3", "h4", "h5", "h6", "sw"})
}

func TestVantagesMustAgree(t *testing.T) {
	w := newWorld(t, []judge.Host{host("h")})
	see := func(down ...string) {
		var rounds []judge.Round
		for _, v := range []string{"v3", "v1", "v2"} {
			o := reply("h/icmp")
			if slices.Contains(down, v) {
				o = lost("h/icmp", 2)
			}
			r := w.round("a", o)
			r.Vantage = v
			rounds = append(rounds, r)
		}
		w.decide(rounds...)
	}
	see()
	see("v1")
	w.state("h", judge.Up, "DISPUTED")
	equal(t, "incidents of one vantage in three", len(w.s.Incidents), 0)
	see("v1", "v3")
	w.state("h", judge.Down)
	w.one([]string{"h"}, nil)
	see("v1")
	see("v1")
	w.state("h", judge.Up, "DISPUTED")
	equal(t, "open incidents", len(w.s.Incidents), 0)

	w.p.Quorum = 3
	see("v1", "v2")
	w.state("h", judge.Up, "DISPUTED")
	see("v1", "v2", "v3")
	w.state("h", judge.Down)
	w.ledger()

	w = newWorld(t, []judge.Host{host("h")})
	w.p.Quorum = 2 // of one vantage: that one
	w.epoch()
	w.epoch("h")
	w.state("h", judge.Down)
}

func TestTopologyRefusals(t *testing.T) {
	twice := host("a")
	twice.Checks[0].ID = "a"
	empty := host("a")
	empty.Any = [][]string{{}}
	eager := host("a")
	eager.Checks[0].Interval = 0
	for reason, hosts := range map[string][]judge.Host{
		"CYCLE":        {host("a", "c"), host("b", "a"), host("c", "b", "d"), host("d"), host("e", "a")},
		"DUPLICATE":    {twice},
		"UNKNOWN_HOST": {host("a", "b")},
		"EMPTY":        {empty},
		"INTERVAL":     {eager},
	} {
		var r *judge.Refusal
		if err := judge.Validate(hosts); !errors.As(err, &r) || r.Reason != reason || r.Zh == "" || r.En == "" {
			t.Errorf("want %s, have %v", reason, err)
		} else if reason == "CYCLE" && !strings.Contains(r.Zh, "a → c → b → a") {
			t.Errorf("the cycle is not named: %s", r.Zh)
		}
	}
	if err := judge.Validate(closet()); err != nil {
		t.Fatal(err)
	}
	g := build(t, closet())
	equal(t, "above h1", g.Ancestors("h1/icmp"), []string{"core", "sw"})
	equal(t, "below sw", g.Dependents("sw"), six)
}

func TestSlowTier(t *testing.T) {
	slow := host("slow")
	slow.Checks[0].Interval = 60 * time.Second
	w := newWorld(t, []judge.Host{slow, host("h", "slow")})
	w.epoch()
	for range 17 {
		w.decide(w.round("a", reply("h/icmp")))
		w.state("slow", judge.Up)
	}
	w.decide(w.round("a", reply("h/icmp"))) // 180 s: the third round that brought nothing
	w.state("slow", judge.Up, "STALE")
	w.decide(w.round("a", lost("h/icmp", 2))) // a parent nobody hears of is no reason to wait
	w.one([]string{"h"}, nil)

	w.epochs(2)
	for range 2 { // one whose reply is older than the loss is, for 15 s
		w.decide(w.round("a", lost("h/icmp", 2)))
		w.quiet()
	}
	w.decide(w.round("a", lost("h/icmp", 2)))
	w.state("slow", judge.Up)
	w.one([]string{"h"}, nil)
}
