package judge_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"kelian/netmon/judge"
)

const (
	tick  = 10 // seconds between epochs
	start = 1_800_000_000
)

// host makes a host with one ICMP check "<id>/icmp" every 10 s.
func host(id string, all ...string) judge.Host {
	return judge.Host{ID: id, All: all, Checks: []judge.Check{{ID: id + "/icmp", Kind: judge.ICMP, Interval: tick * time.Second}}}
}

// closet is a core, a switch behind it, and six hosts behind the switch.
func closet() []judge.Host {
	hosts := []judge.Host{host("core"), host("sw", "core")}
	for i := 1; i <= 6; i++ {
		hosts = append(hosts, host("h"+strconv.Itoa(i), "sw"))
	}
	return hosts
}

var six = []string{"h1", "h2", "h3", "h4", "h5", "h6"}

func build(t testing.TB, hosts []judge.Host) *judge.Graph {
	t.Helper()
	g, err := judge.Build(hosts)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func reply(check string) judge.Observation {
	return judge.Observation{Check: check, Attempt: judge.Attempt{Outcome: judge.Reply, After: 100 * time.Millisecond, RTT: time.Millisecond}}
}

// lost is a round's loss and n re-probes, a second apart, all lost.
func lost(check string, n int) judge.Observation {
	o := judge.Observation{Check: check, Attempt: judge.Attempt{Outcome: judge.Lost, After: 100 * time.Millisecond}}
	for i := 1; i <= n; i++ {
		o.Retries = append(o.Retries, judge.Attempt{Outcome: judge.Lost, After: 100*time.Millisecond + time.Duration(i)*time.Second})
	}
	return o
}

// world drives Decide epoch by epoch and keeps what it said.
type world struct {
	t     testing.TB
	g     *judge.Graph
	p     judge.Params
	s     judge.JudgeState
	now   int64
	trans []judge.Transition     // of the latest epoch
	news  []judge.IncidentChange // of the latest epoch
	all   []judge.IncidentChange // ever
	ids   []string               // hosts with a check
}

func newWorld(t testing.TB, hosts []judge.Host) *world {
	w := &world{t: t, g: build(t, hosts), p: judge.Defaults(), now: start}
	for _, h := range hosts {
		if len(h.Checks) > 0 {
			w.ids = append(w.ids, h.ID)
		}
	}
	return w
}

// round is a healthy round of one shard.
func (w *world) round(shard string, obs ...judge.Observation) judge.Round {
	return judge.Round{Vantage: "v1", Shard: shard, Epoch: w.now, Healthy: true, Observations: obs}
}

// decide judges the present epoch, through JSON so that what is stored is all
// that counts, checks every promise that holds at any time, and moves on.
func (w *world) decide(rounds ...judge.Round) {
	w.t.Helper()
	stored, err := json.Marshal(w.s)
	if err != nil {
		w.t.Fatal(err)
	}
	var prev judge.JudgeState
	if err := json.Unmarshal(stored, &prev); err != nil {
		w.t.Fatal(err)
	}
	next, trans, news := judge.Decide(prev, w.g, rounds, w.now, w.p)
	direct, _, _ := judge.Decide(w.s, w.g, rounds, w.now, w.p)
	if a, b := encode(w.t, next), encode(w.t, direct); a != b {
		w.t.Fatalf("the stored state leads elsewhere than the kept one:\n%s\n%s", a, b)
	}
	if after := encode(w.t, w.s); after != string(stored) {
		w.t.Fatalf("Decide changed the state it was given:\n%s\n%s", stored, after)
	}
	w.s, w.trans, w.news = next, trans, news
	w.all = append(w.all, news...)
	for _, c := range news {
		if c.Kind == judge.Close {
			continue
		}
		if err := judge.Verify(w.g, c.Certificate, w.s.Conditions(w.g, w.p)); err != nil {
			w.t.Fatalf("epoch %d: certificate of %s: %v", w.now, c.Key, err)
		}
	}
	w.now += tick
}

// epoch observes every host: those named down are lost three times.
func (w *world) epoch(down ...string) {
	w.t.Helper()
	w.decide(w.round("a", w.seen(w.ids, down...)...))
}

func (w *world) epochs(n int, down ...string) {
	w.t.Helper()
	for range n {
		w.epoch(down...)
	}
}

func (w *world) seen(ids []string, down ...string) (obs []judge.Observation) {
	for _, id := range ids {
		if slices.Contains(down, id) {
			obs = append(obs, lost(id+"/icmp", 2))
		} else {
			obs = append(obs, reply(id+"/icmp"))
		}
	}
	return obs
}

func (w *world) kinds(kind judge.ChangeKind) (out []judge.IncidentChange) {
	for _, c := range w.all {
		if c.Kind == kind {
			out = append(out, c)
		}
	}
	return out
}

// one wants exactly one open incident with these roots and suppressed hosts.
func (w *world) one(roots, suppressed []string) judge.Incident {
	w.t.Helper()
	if len(w.s.Incidents) != 1 {
		w.t.Fatalf("want one open incident, have %+v", w.s.Incidents)
	}
	i := w.s.Incidents[0]
	if !slices.Equal(i.Roots, roots) || !slices.Equal(i.Suppressed, suppressed) {
		w.t.Fatalf("want roots %v with %v behind them, have %v with %v", roots, suppressed, i.Roots, i.Suppressed)
	}
	return i
}

func (w *world) quiet() {
	w.t.Helper()
	if len(w.news) > 0 {
		w.t.Fatalf("want no news of incidents, have %+v", w.news)
	}
}

func (w *world) state(id string, want judge.State, overlays ...string) {
	w.t.Helper()
	n := w.s.Nodes[id]
	if n.State != want || !slices.Equal(n.Overlay.Names(), overlays) {
		w.t.Fatalf("%s is %s %v, want %s %v", id, n.State, n.Overlay.Names(), want, overlays)
	}
}

// ledger wants every incident opened once and closed at most once.
func (w *world) ledger() {
	w.t.Helper()
	opened, closed := map[string]int{}, map[string]int{}
	for _, c := range w.all {
		switch c.Kind {
		case judge.Open:
			opened[c.Key]++
		case judge.Close:
			closed[c.Key]++
		}
		if opened[c.Key] != 1 || closed[c.Key] > 1 || closed[c.Key] == 1 && c.Kind != judge.Close {
			w.t.Fatalf("%s of %s after %d openings and %d endings", c.Kind, c.Key, opened[c.Key], closed[c.Key])
		}
	}
	if still := len(opened) - len(closed); still != len(w.s.Incidents) {
		w.t.Fatalf("%d incidents are open by the news, %d by the state", still, len(w.s.Incidents))
	}
}

func encode(t testing.TB, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sameState(t testing.TB, a, b judge.JudgeState) {
	t.Helper()
	if x, y := encode(t, a), encode(t, b); x != y {
		t.Fatalf("states differ:\n%s\n%s", x, y)
	}
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}
