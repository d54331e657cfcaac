package judge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kelian/netmon/judge"
)

// anyNetwork draws up to nine hosts that need earlier ones in mixed groups; the
// names are dealt out so that their order says nothing.
func anyNetwork(t *rapid.T) []judge.Host {
	n := rapid.IntRange(1, 9).Draw(t, "hosts")
	names := rapid.Permutation([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}).Draw(t, "names")
	var hosts []judge.Host
	for i := range n {
		h := host(names[i])
		if i > 0 {
			above := rapid.SampledFrom(names[:i])
			h.All = rapid.SliceOfNDistinct(above, 0, min(2, i), rapid.ID).Draw(t, "all")
			if rapid.Bool().Draw(t, "redundant") {
				h.Any = [][]string{rapid.SliceOfNDistinct(above, 1, min(3, i), rapid.ID).Draw(t, "any")}
			}
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// anyEpoch draws what the sweepers saw: three shards, each perhaps missing or
// unhealthy, hosts lost one to three times.
func anyEpoch(t *rapid.T, w *world) []judge.Round {
	var rounds []judge.Round
	for _, shard := range []string{"x", "y", "z"} {
		fate := rapid.IntRange(0, 9).Draw(t, "fate of "+shard)
		if fate == 0 {
			continue
		}
		r := w.round(shard)
		r.Healthy = fate != 1
		for i, id := range w.ids {
			if string("xyz"[i%3]) != shard {
				continue
			}
			switch n := rapid.IntRange(-3, 3).Draw(t, id); {
			case n <= 0:
				r.Observations = append(r.Observations, reply(id+"/icmp"))
			default:
				r.Observations = append(r.Observations, lost(id+"/icmp", n-1))
			}
		}
		rounds = append(rounds, r)
	}
	return rounds
}

// promises checks what holds after every epoch.
func promises(t *rapid.T, w *world, s small) {
	var failing, answering uint
	for id, c := range w.s.Conditions(w.g, w.p) {
		if c == judge.Failing {
			failing |= s.set([]string{id})
		} else {
			answering |= s.set([]string{id})
		}
	}
	reach, _ := s.brute(failing, answering)
	seen := map[string]bool{}
	for _, i := range w.s.Incidents {
		if len(i.Faults) == 0 || len(i.Roots)+len(i.Suppressed) == 0 {
			t.Fatalf("an incident about nothing: %+v", i)
		}
		for _, id := range slices.Concat(i.Roots, i.Suppressed) {
			if seen[id] {
				t.Fatalf("%s is in two incidents: %+v", id, w.s.Incidents)
			}
			seen[id] = true
		}
		for _, id := range i.Suppressed {
			if s.set([]string{id})&reach != 0 {
				t.Fatalf("%s is suppressed and has a good path", id)
			}
			roots := w.s.Nodes[id].Roots
			if set := s.set(roots); len(roots) == 0 || set&^(failing&reach) != 0 {
				t.Fatalf("%s waits for %v, which are not all roots", id, roots)
			}
			for _, r := range roots {
				if slices.Contains(i.Suppressed, r) {
					t.Fatalf("%s waits for %s, which is suppressed itself", id, r)
				}
			}
		}
	}
	for id, n := range w.s.Nodes {
		if n.State == judge.Up && slices.Contains(n.Overlay.Names(), "UNREACHABLE") {
			t.Fatalf("%s answers and is called unreachable", id)
		}
	}
}

func TestPromisesHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		hosts := anyNetwork(rt)
		w, s := newWorld(t, hosts), bits(hosts)
		w.p.SickMin = len(hosts) + 1 // whether a vantage is sick does depend on the needs
		w.p.Maintenance = map[string]bool{hosts[0].ID: rapid.Bool().Draw(rt, "maintenance")}
		lone := slices.Clone(hosts) // the same hosts, none needing another
		for i := range lone {
			lone[i].All, lone[i].Any = nil, nil
		}
		alone, plain := build(t, lone), judge.JudgeState{}
		for range rapid.IntRange(1, 12).Draw(rt, "epochs") {
			rounds, before, at := anyEpoch(rt, w), w.s, w.now
			w.decide(rounds...)
			promises(rt, w, s)
			w.ledger()

			// What was sampled does not depend on who suppresses whom.
			plain, _, _ = judge.Decide(plain, alone, rounds, at, w.p)
			if a, b := encode(t, w.s.Checks), encode(t, plain.Checks); a != b {
				rt.Fatalf("the needs changed the checks:\n%s\n%s", a, b)
			}
			// Order and repetition of rounds mean nothing.
			twice := slices.Concat(rounds, rounds)
			rand.New(rand.NewPCG(uint64(at), 1)).Shuffle(len(twice), func(a, b int) { twice[a], twice[b] = twice[b], twice[a] })
			again, trans, news := judge.Decide(before, w.g, twice, at, w.p)
			if encode(t, []any{again, trans, news}) != encode(t, []any{w.s, w.trans, w.news}) {
				rt.Fatalf("order or repetition of the rounds changed the verdict")
			}
			later, _, _ := judge.Decide(w.s, w.g, rounds, at+1, w.p)
			for id, c := range later.Checks {
				if was := w.s.Checks[id]; c.State != was.State || c.Fresh != was.Fresh {
					rt.Fatalf("%s was judged twice by one epoch: %+v, then %+v", id, was, c)
				}
			}
		}
		settle(rt, w, hosts)
	})
}

// settle lets the network stand still: every host that stays down is in one
// incident, and when all is well every incident ends, once.
func settle(rt *rapid.T, w *world, hosts []judge.Host) {
	w.p.Maintenance = nil
	down := rapid.SliceOfDistinct(rapid.SampledFrom(w.ids), rapid.ID).Draw(rt, "down for good")
	w.epochs(5, down...)
	told := map[string]int{}
	for _, i := range w.s.Incidents {
		for _, id := range slices.Concat(i.Roots, i.Suppressed) {
			told[id]++
		}
	}
	for _, id := range down {
		if told[id] != 1 {
			rt.Fatalf("%s is down and in %d incidents: %+v", id, told[id], w.s.Incidents)
		}
	}
	w.epochs(3)
	for n := 0; n < 400 && len(w.s.Incidents) > 0; n++ { // while something flaps
		w.epoch()
	}
	if len(w.s.Incidents) > 0 {
		rt.Fatalf("all is well and still open: %+v", w.s.Incidents)
	}
	w.ledger()
	for _, h := range hosts {
		if w.s.Nodes[h.ID].State != judge.Up {
			rt.Fatalf("%s answers and is %+v", h.ID, w.s.Nodes[h.ID])
		}
	}
}

// campus is n hosts: a core, a switch for every 48, hosts behind them.
func campus(n int) []judge.Host {
	hosts := []judge.Host{host("core")}
	for i := 1; i < n; i++ {
		if i%49 == 1 {
			hosts = append(hosts, host(fmt.Sprintf("sw%05d", i/49), "core"))
		} else {
			hosts = append(hosts, host(fmt.Sprintf("h%05d", i), fmt.Sprintf("sw%05d", i/49)))
		}
	}
	return hosts
}

func BenchmarkEpoch(b *testing.B) {
	for _, n := range []int{10_000, 20_000} {
		for _, bad := range []string{"healthy", "1% of the switches", "core"} {
			b.Run(fmt.Sprintf("%d/%s", n, bad), func(b *testing.B) { benchEpoch(b, n, bad) })
		}
	}
}

func benchEpoch(b *testing.B, n int, bad string) {
	hosts := campus(n)
	w := newWorld(b, hosts)
	var down []string
	for i, h := range hosts {
		sw := i
		if i > 0 {
			sw = (i - 1) / 49 * 49 // the switch's place, less one
		}
		if bad == "core" || bad != "healthy" && i > 0 && sw/49%100 == 0 {
			down = append(down, h.ID)
		}
	}
	rounds := func(down map[string]bool) (out []judge.Round) {
		for i, h := range hosts {
			if i%2000 == 0 {
				out = append(out, w.round(fmt.Sprint(i)))
			}
			o := reply(h.ID + "/icmp")
			if down[h.ID] {
				o = lost(h.ID+"/icmp", 2)
			}
			out[len(out)-1].Observations = append(out[len(out)-1].Observations, o)
		}
		return out
	}
	lostNow := map[string]bool{}
	for _, id := range down {
		lostNow[id] = true
	}
	s, _, _ := judge.Decide(judge.JudgeState{}, w.g, rounds(nil), w.now, w.p)
	w.now += int64((10 * time.Second).Seconds())
	in := rounds(lostNow)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		_, _, news := judge.Decide(s, w.g, in, w.now, w.p)
		if (len(down) > 0) != (len(news) > 0) {
			b.Fatalf("%d down and %d incidents", len(down), len(news))
		}
	}
}
