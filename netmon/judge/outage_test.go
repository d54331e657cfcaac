package judge_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kelian/netmon/judge"
)

// The switch dies: one incident, whatever shards its parts are in and in
// whatever order their rounds arrive.
func TestSwitchDownIsOneIncident(t *testing.T) {
	for order := range 6 {
		w := newWorld(t, closet())
		w.epochs(2)
		rounds := []judge.Round{
			w.round("a", w.seen([]string{"h1", "h2", "h3"}, six...)...),
			w.round("b", w.seen([]string{"h4", "core", "h5", "h6"}, six...)...),
			w.round("c", w.seen([]string{"sw"}, "sw")...),
		}
		perm := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}[order]
		w.decide(rounds[perm[0]], rounds[perm[1]], rounds[perm[2]])
		w.one([]string{"sw"}, six)
		if len(w.news) != 1 || w.news[0].Kind != judge.Open {
			t.Fatalf("want one opening, have %+v", w.news)
		}
		for _, h := range six {
			w.state(h, judge.Down, "UNREACHABLE")
			equal(t, "what "+h+" waits for", w.s.Nodes[h].Roots, []string{"sw"})
		}
		w.state("sw", judge.Down)
		w.epoch(append(slices.Clone(six), "sw")...)
		w.quiet()
		w.epoch()
		w.quiet()
		w.state("sw", judge.Recovering)
		w.epoch()
		if len(w.news) != 1 || w.news[0].Kind != judge.Close || w.news[0].Reason != judge.Recovered {
			t.Fatalf("want one ending, have %+v", w.news)
		}
		w.epochs(5)
		w.quiet()
		w.ledger()
		if opened := w.kinds(judge.Open); len(opened) != 1 {
			t.Fatalf("the outage opened %d incidents", len(opened))
		}
	}
}

// The children are lost first; the switch has only been lost once when the
// epoch is judged. Nothing is said until the switch is settled either way.
func TestChildrenLostBeforeTheirParent(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	obs := w.seen([]string{"core", "h1", "h2", "h3", "h4", "h5", "h6"}, six...)
	w.decide(w.round("a", append(obs, lost("sw/icmp", 0))...))
	w.quiet()
	w.state("sw", judge.Suspect)
	w.state("h1", judge.Down, "UNREACHABLE")
	w.epoch(append(slices.Clone(six), "sw")...)
	w.one([]string{"sw"}, six)
	w.ledger()
}

// The switch answered at the start of the epoch and died before the children
// were probed; the sweeper of the children re-probed it.
func TestAncestorReprobedByTheChildrensSweeper(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	again := lost("sw/icmp", 2)
	again.After = 900 * time.Millisecond
	again.Retries[0].After, again.Retries[1].After = 1900*time.Millisecond, 2900*time.Millisecond
	top := reply("core/icmp")
	top.After = 900 * time.Millisecond
	w.decide(w.round("b", append(w.seen(six, six...), again, top)...), w.round("a", w.seen([]string{"core", "sw"})...))
	w.one([]string{"sw"}, six)
	w.ledger()
}

// As before, but nobody re-probed the switch: its reply is older than the
// children's loss, so they are not named before it was asked again.
func TestOldReplyOfTheParentIsNoAlibi(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	parent := reply("sw/icmp")
	parent.After = 10 * time.Millisecond
	w.decide(w.round("a", parent, reply("core/icmp")), w.round("b", w.seen(six, six...)...))
	w.quiet()
	w.epoch(append(slices.Clone(six), "sw")...)
	w.one([]string{"sw"}, six)

	// Nor does a missing shard of the parent make the children wait for ever.
	w = newWorld(t, closet())
	w.epochs(2)
	for range 2 {
		w.decide(w.round("b", w.seen(six[:4], six...)...))
		w.quiet()
	}
	w.decide(w.round("b", w.seen(six[:4], six...)...))
	if len(w.s.Incidents) != 4 {
		t.Fatalf("after 20 s without word of the switch want four incidents, have %d", len(w.s.Incidents))
	}
}

// Six sweepers re-probe the switch in the same moment and lose one burst: that
// is one loss, not six.
func TestOneBurstSeenBySixSweepers(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	var rounds []judge.Round
	for _, h := range six {
		rounds = append(rounds, w.round(h, reply(h+"/icmp"), lost("sw/icmp", 0)))
	}
	w.decide(rounds...)
	w.state("sw", judge.Suspect)
	w.epoch()
	w.state("sw", judge.Up)
	w.ledger()
}

// A child that stays down when its switch is back is looked at again first,
// and only then gets an incident of its own.
func TestRecoveredRootReleasesItsChildren(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	w.epoch(append(slices.Clone(six), "sw")...)
	w.epochs(2, "h3")
	if len(w.news) != 1 || w.news[0].Kind != judge.Close {
		t.Fatalf("want the end of the switch's incident, have %+v", w.news)
	}
	w.state("h3", judge.Down)
	w.decide(w.round("a", w.seen([]string{"core", "sw"})...)) // h3's shard is missing: not seen again
	w.quiet()
	w.epoch("h3")
	i := w.one([]string{"h3"}, nil)
	if !strings.HasPrefix(i.Key, "h3@") {
		t.Fatalf("the incident is named %s", i.Key)
	}
	w.epochs(2)
	w.ledger()
	if len(w.s.Incidents) != 0 {
		t.Fatalf("still open: %+v", w.s.Incidents)
	}
}

func TestGraceForSlowStarters(t *testing.T) {
	w := newWorld(t, closet())
	w.p.Grace = 60 * time.Second
	w.epochs(2)
	w.epoch(append(slices.Clone(six), "sw")...)
	w.epochs(2, six...)
	for range 6 {
		w.epoch(six...)
		w.quiet()
	}
	w.epoch("h1")
	if len(w.s.Incidents) != 1 {
		t.Fatalf("after the grace want one incident, have %+v", w.s.Incidents)
	}
}

// A host fails, then the switch above it: the open incident goes on with the
// switch as its root, and ends only when the host is well too.
func TestLaterJoinAttaches(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	w.epoch("h1")
	key := w.one([]string{"h1"}, nil).Key
	w.epoch(append(slices.Clone(six), "sw")...)
	if i := w.one([]string{"sw"}, six); i.Key != key || w.news[0].Kind != judge.Update {
		t.Fatalf("want an update of %s, have %+v", key, w.news)
	}
	equal(t, "joined", w.news[0].Joined, []string{"h2", "h3", "h4", "h5", "h6", "sw"})
	w.epochs(2, "h1")
	if i := w.one([]string{"h1"}, nil); i.Key != key {
		t.Fatalf("the host's outage changed its incident to %s", i.Key)
	}
	w.epochs(2)
	w.ledger()
	equal(t, "open incidents", len(w.s.Incidents), 0)
}

func TestTwoIncidentsMeet(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	w.epoch("h1")
	w.epoch("h1", "h2")
	equal(t, "incidents of two hosts on one good switch", len(w.s.Incidents), 2)
	first, second := w.s.Incidents[0].Key, w.s.Incidents[1].Key
	w.epoch(append(slices.Clone(six), "sw")...)
	if i := w.one([]string{"sw"}, six); i.Key != first {
		t.Fatalf("want the older incident to go on, have %s", i.Key)
	}
	ends := w.kinds(judge.Close)
	if len(ends) != 1 || ends[0].Key != second || ends[0].Into != first || ends[0].Reason != judge.Merged {
		t.Fatalf("want %s merged into %s, have %+v", second, first, ends)
	}
	w.epochs(2)
	w.ledger()
	equal(t, "open incidents", len(w.s.Incidents), 0)
}

// Any of two: the host behind both is affected only while both are down, and
// one incident holds both roots.
func TestRedundantParents(t *testing.T) {
	hosts := []judge.Host{host("a"), host("b"), host("h")}
	hosts[2].Any = [][]string{{"a", "b"}}
	w := newWorld(t, hosts)
	w.epochs(2)
	w.epoch("a")
	w.one([]string{"a"}, nil)
	w.epoch("a", "b", "h")
	w.one([]string{"a", "b"}, []string{"h"})
	equal(t, "what h waits for", w.s.Nodes["h"].Roots, []string{"a", "b"})
	w.epochs(2, "b", "h")
	w.one([]string{"b"}, nil) // a is back, h not yet seen again since
	w.epoch("b")
	w.epoch("b")
	w.one([]string{"b"}, nil)
	w.epochs(2)
	w.ledger()
	equal(t, "open incidents", len(w.s.Incidents), 0)
}

// The switch's management address is dead, but a host behind the next switch
// keeps answering through it: what fails behind that one is its own outage.
func TestAnswerBehindADeadParentProvesAWay(t *testing.T) {
	w := newWorld(t, []judge.Host{host("core"), host("mgmt", "core"), host("edge", "mgmt"), host("h", "edge")})
	w.epochs(2)
	w.epochs(3, "mgmt")
	w.state("edge", judge.Up)
	w.epoch("mgmt", "h")
	if len(w.s.Incidents) != 2 || !slices.Equal(w.s.Incidents[1].Roots, []string{"h"}) {
		t.Fatalf("want an incident of h beside that of mgmt, have %+v", w.s.Incidents)
	}
	w.state("h", judge.Down)

	w.epochs(2, "mgmt")
	for range 3 { // but not once nothing is heard of it any more
		w.decide(w.round("a", w.seen([]string{"core", "mgmt", "h"}, "mgmt")...))
	}
	w.decide(w.round("a", w.seen([]string{"core", "mgmt", "h"}, "mgmt", "h")...))
	w.state("edge", judge.Up, "STALE")
	w.state("h", judge.Down, "UNREACHABLE")
	w.one([]string{"mgmt"}, []string{"h"})
}

func TestPlaceWithoutChecksIsPassedThrough(t *testing.T) {
	hosts := []judge.Host{host("core"), {ID: "cable", All: []string{"core"}}, host("h", "cable")}
	w := newWorld(t, hosts)
	w.epochs(2)
	w.epoch("core", "h")
	w.one([]string{"core"}, []string{"h"})
	w.state("cable", judge.Unknown, "UNREACHABLE")
	equal(t, "certificate", keys(w.news[0].Certificate.Suppressed), []string{"cable", "h"})
}

func TestFurtherChecksOfAHost(t *testing.T) {
	web := host("web", "sw")
	web.Checks = append([]judge.Check{{ID: "page", Name: "官网", Kind: judge.HTTP, Interval: tick * time.Second}}, web.Checks...)
	w := newWorld(t, append(closet(), web))
	if w.g.Reachability("web") != "web/icmp" {
		t.Fatalf("ICMP must speak for the host, not %s", w.g.Reachability("web"))
	}
	all := func(page judge.Observation, down ...string) {
		w.decide(w.round("a", append(w.seen(w.ids, down...), page)...))
	}
	all(reply("page"))
	wrong := lost("page", 2)
	wrong.Outcome, wrong.Retries[0].Outcome, wrong.Retries[1].Outcome = judge.Failed, judge.Failed, judge.Failed
	all(wrong)
	w.one([]string{"page"}, nil)
	w.state("web", judge.Up)
	if why := w.news[0].Why; !strings.Contains(why.Zh, "web · 官网") || !strings.Contains(why.Zh, "不正确") || !strings.Contains(why.En, "wrong answer") {
		t.Fatalf("the reason does not name the page and its fault: %+v", why)
	}
	all(reply("page"))
	all(reply("page"))
	all(lost("page", 2), "web")
	w.one([]string{"web"}, nil)
	w.state("page", judge.Down, "UNREACHABLE")
	w.ledger()
}

func TestMaintenanceOpensNothing(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	w.p.Maintenance = map[string]bool{"sw": true}
	w.epochs(3, append(slices.Clone(six), "sw")...)
	equal(t, "news during maintenance", len(w.all), 0)
	w.state("sw", judge.Down, "MAINTENANCE")
	w.state("h1", judge.Down, "UNREACHABLE")
	w.p.Maintenance = nil
	w.epoch(append(slices.Clone(six), "sw")...)
	w.one([]string{"sw"}, six)
}

// A neighbour under maintenance does not keep another host's incident open.
func TestMaintainedNeighbourIsNoFault(t *testing.T) {
	hosts := []judge.Host{host("a"), host("b"), host("h")}
	hosts[2].Any = [][]string{{"a", "b"}}
	w := newWorld(t, hosts)
	w.epochs(2)
	w.p.Maintenance = map[string]bool{"a": true}
	w.epoch("a", "h")
	equal(t, "faults", w.one([]string{"a", "h"}, nil).Faults, []string{"h"})
	w.epochs(2, "a")
	equal(t, "open incidents", len(w.s.Incidents), 0)
	w.ledger()
}

func TestRemovedHostEndsItsIncident(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	w.epoch("h1")
	w.g = build(t, slices.DeleteFunc(closet(), func(h judge.Host) bool { return h.ID == "h1" }))
	w.epoch()
	if len(w.news) != 1 || w.news[0].Reason != judge.Removed {
		t.Fatalf("want the incident ended as removed, have %+v", w.news)
	}
	w.ledger()
}

func TestWhyThisOne(t *testing.T) {
	w := newWorld(t, closet())
	w.epochs(2)
	w.epoch(append(slices.Clone(six), "sw")...)
	why := w.news[0].Why
	for _, part := range []string{"sw 最近 3 次探测中有 3 次没有回应", "core 在此之后仍有回应", "另有 6 台设备受牵连"} {
		if !strings.Contains(why.Zh, part) {
			t.Errorf("the Chinese reason lacks %q: %s", part, why.Zh)
		}
	}
	for _, part := range []string{"sw: 3 of the last 3 attempts got no answer", "core, on which it depends, answered after that", "6 devices are affected"} {
		if !strings.Contains(why.En, part) {
			t.Errorf("the English reason lacks %q: %s", part, why.En)
		}
	}
	var roots, parents, behind int
	for _, l := range why.Evidence {
		switch {
		case l.Host == "sw" && l.Outcome == judge.Lost && l.Epoch == w.now-tick:
			roots++
		case l.Host == "core" && l.Outcome == judge.Reply && l.RTT == time.Millisecond && l.After == 100*time.Millisecond:
			parents++
		case slices.Contains(six, l.Host) && l.Outcome == judge.Lost:
			behind++
		}
	}
	equal(t, "evidence of root, parent, suppressed", []int{roots, parents, behind}, []int{3, 1, 6})
	w.epochs(2)
	if why := w.news[0].Why; why.Zh == "" || len(why.Evidence) == 0 || why.Evidence[len(why.Evidence)-1].Outcome != judge.Reply {
		t.Fatalf("the end shows no reply: %+v", why)
	}
}
