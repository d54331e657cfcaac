package netmon_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"kelian/internal/clock"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/netmon"
	"kelian/netmon/history"
	"kelian/netmon/judge"
	"kelian/org"

	"github.com/uptrace/bun"
)

var shanghai = func() *time.Location {
	loc, err := time.LoadLocation("Asia/Shanghai")
	if err != nil {
		panic(err)
	}
	return loc
}()

// past is a network whose rounds a test writes itself.
type past struct {
	*campus
	clock   *clock.Fake
	checks  []id.ID
	numbers []int64
	exact   map[int64][]sample // by the check's number
}

type sample struct {
	at  time.Time
	rtt time.Duration // 0 = lost
}

func newPast(t *testing.T, db *store.DB, hosts int) *past {
	t.Helper()
	c := clock.NewFake(testkit.Start)
	p := &past{campus: &campus{t: t, db: db}, clock: c, exact: map[int64][]sample{}}
	p.svc = netmon.New(db, c, rules, netmon.Options{Policy: policy(), ShardSize: 4, Location: shanghai})
	for i := range hosts {
		h, err := p.svc.CreateHost(bg, org.System(), netmon.HostInput{NameZh: fmt.Sprintf("设备 %d", i), NameEn: fmt.Sprintf("Host %d", i),
			Address: fmt.Sprintf("127.8.0.%d", i+1), Buildings: []string{"T1"}, Checks: []netmon.CheckInput{{Kind: netmon.ICMP}}})
		if err != nil {
			t.Fatal(err)
		}
		p.hosts = append(p.hosts, h.Host)
		var check id.ID
		if err := db.R.NewRaw(`SELECT id FROM host_check WHERE host = ?`, h.Host).Scan(bg, &check); err != nil {
			t.Fatal(err)
		}
		p.checks = append(p.checks, check)
		p.numbers = append(p.numbers, p.number(`SELECT number FROM host_check WHERE id = ?`, check))
	}
	return p
}

// sweep writes what a sweep of every host left in each epoch of a span. A tenth
// of the samples is lost.
func (p *past) sweep(from, to time.Time, every int64) {
	p.t.Helper()
	rng := rand.New(rand.NewPCG(uint64(from.Unix()), 7))
	var rows []written
	for e := from.Unix(); e < to.Unix(); e += every {
		for shard := 0; shard*4 < len(p.numbers); shard++ {
			seen := map[int64][]judge.Attempt{}
			for _, n := range p.numbers[4*shard : min(4*shard+4, len(p.numbers))] {
				a := judge.Attempt{Outcome: judge.Lost}
				if rng.IntN(10) > 0 {
					a = judge.Attempt{Outcome: judge.Reply, RTT: time.Duration(300*math.Exp(0.5*rng.NormFloat64())) * time.Microsecond}
				}
				seen[n] = []judge.Attempt{a}
				p.exact[n] = append(p.exact[n], sample{time.Unix(e, 0), a.RTT})
			}
			rows = append(rows, newRound("main", shard, e, true, seen))
		}
	}
	p.write(rows...)
}

// written is a round as it is stored.
type written struct {
	bun.BaseModel `bun:"table:round"`

	Vantage                                               string
	Shard                                                 int
	Epoch                                                 int64
	Owner                                                 string
	Healthy                                               bool
	Fault, Mode                                           string
	Sent, Received, Lost, Drops, Dropped, BeganMs, TookMs int
	Payload                                               []byte
	At                                                    time.Time
}

func newRound(vantage string, shard int, epoch int64, healthy bool, seen map[int64][]judge.Attempt) written {
	r := written{Vantage: vantage, Shard: shard, Epoch: epoch, Owner: "x", Healthy: healthy, Mode: "raw", Payload: netmon.EncodeRound(seen), At: time.Unix(epoch, 0).UTC()}
	if !healthy {
		r.Fault = "DROPS"
	}
	return r
}

func (p *past) write(rows ...written) {
	p.t.Helper()
	for chunk := range slices.Chunk(rows, 500) {
		if _, err := p.db.Bun().NewInsert().Model(&chunk).Exec(bg); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *past) round(vantage string, shard int, epoch int64, healthy bool, seen map[int64][]judge.Attempt) {
	p.t.Helper()
	p.write(newRound(vantage, shard, epoch, healthy, seen))
}

func (p *past) historian() *netmon.Historian {
	return netmon.NewHistorian(p.db, p.clock, netmon.HistorianOptions{Location: shanghai, Log: testkit.Quiet()})
}

// transpose lets the hours before now become history.
func (p *past) transpose(now time.Time) {
	p.t.Helper()
	p.clock.Advance(now.Sub(p.clock.Now()))
	if err := p.historian().Step(bg); err != nil {
		p.t.Fatal(err)
	}
}

// contents is every row of the history.
func (p *past) contents() []string {
	p.t.Helper()
	var out []string
	for _, q := range []string{
		`SELECT number AS n, vantage, hour AS span, rounds, block AS raw FROM history_block ORDER BY 1, 3, 2`,
		`SELECT number AS n, vantage, hour AS span, rounds, sketch AS raw, CAST(samples AS TEXT) || '/' || CAST(lost AS TEXT) || '/' || CAST(missing AS TEXT) AS more FROM history_hour ORDER BY 1, 3, 2`,
		`SELECT number AS n, vantage, day AS span, rounds, sketch AS raw, CAST(samples AS TEXT) || '/' || CAST(lost AS TEXT) AS more FROM history_day ORDER BY 1, 3, 2`,
		`SELECT start AS n, vantage || span AS vantage, minutes AS span, rounds FROM history_mark ORDER BY 1, 2`,
	} {
		var rows []struct {
			N, Span, Rounds int64
			Vantage, More   string
			Raw             []byte
		}
		if err := p.db.R.NewRaw(q).Scan(bg, &rows); err != nil {
			p.t.Fatal(err)
		}
		for _, r := range rows {
			out = append(out, fmt.Sprintf("%d %s %d %d %x %s", r.N, r.Vantage, r.Span, r.Rounds, r.Raw, r.More))
		}
	}
	return out
}

// An hour becomes one block for each check that holds every outcome, and the
// judge finds in it what it would find in the rounds.
func TestHourBecomesHistory(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		p := newPast(t, db, 6)
		start := testkit.Start.Truncate(time.Hour)
		p.sweep(start, start.Add(time.Hour), 60)
		ms := time.Millisecond
		// A check of the second shard was asked again by the first on behalf of
		// what is behind it, twice in the same moment as by its own.
		lost := judge.Attempt{Outcome: judge.Lost}
		late := start.Add(30 * time.Second).Unix()
		p.round("main", 1, late, true, map[int64][]judge.Attempt{p.numbers[5]: {lost, {Outcome: judge.Lost, After: 1000 * ms}, {Outcome: judge.Lost, After: 2000 * ms}}})
		p.round("main", 0, late, true, map[int64][]judge.Attempt{p.numbers[5]: {{Outcome: judge.Lost, After: 1100 * ms}, {Outcome: judge.Reply, RTT: ms, After: 3000 * ms}}})
		// A round that threw answers away knows of no loss.
		p.round("main", 0, start.Add(45*time.Second).Unix(), false, map[int64][]judge.Attempt{p.numbers[0]: {lost}, p.numbers[1]: {{Outcome: judge.Reply, RTT: ms}}})
		p.transpose(start.Add(time.Hour + 9*time.Minute))
		if n := p.number(`SELECT COUNT(*) FROM history_block`); n != 0 {
			t.Fatalf("%d blocks of an hour whose rounds may still arrive", n)
		}
		p.transpose(start.Add(time.Hour + 10*time.Minute))
		block := func(n int64) []history.Sample {
			t.Helper()
			var raw []byte
			if err := db.R.NewRaw(`SELECT block FROM history_block WHERE number = ?`, n).Scan(bg, &raw); err != nil {
				t.Fatal(err)
			}
			out, err := history.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		for k, s := range block(p.numbers[2]) {
			want := p.exact[p.numbers[2]][k]
			if !start.Add(time.Duration(s.At)*time.Second).Equal(want.at) || (s.Attempts[0].Outcome == judge.Reply) != (want.rtt > 0) || s.Attempts[0].RTT != history.Rounded(want.rtt) {
				t.Fatalf("sample %d: %+v, want %+v", k, s, want)
			}
		}
		if s := block(p.numbers[5])[1]; s.At != 30 || !s.Asked || !reflect.DeepEqual(s.Attempts, []judge.Attempt{lost, lost, lost, {Outcome: judge.Reply, RTT: history.Rounded(ms)}}) {
			t.Errorf("asked again by two shards: %+v", s)
		}
		if s := block(p.numbers[0])[1]; s.At != 45 || !s.Asked || len(s.Attempts) != 1 || s.Attempts[0].Outcome != judge.Missing {
			t.Errorf("lost in a round that is not healthy: %+v", s)
		}
		if n := p.number(`SELECT missing FROM history_hour WHERE number = ?`, p.numbers[0]); n != 1 {
			t.Errorf("%d samples are missing", n)
		}
		if s := block(p.numbers[1])[1]; s.At != 45 || s.Attempts[0].Outcome != judge.Reply {
			t.Errorf("answered in a round that is not healthy: %+v", s)
		}
	})
}

// dying is a context that ends after it was looked at so often.
type dying struct {
	context.Context
	left *int
}

func (d dying) Err() error {
	if *d.left--; *d.left < 0 {
		return context.Canceled
	}
	return nil
}

// However often the work is cut off, and though two do it at once, the history
// is the same; and rounds that come late are in it.
func TestHistoryIsMadeOnce(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		p := newPast(t, db, 5)
		start := testkit.Start.Truncate(24 * time.Hour).Add(-8 * time.Hour) // midnight in Shanghai
		p.sweep(start, start.Add(25*time.Hour), 300)
		p.clock.Advance(start.Add(25*time.Hour + 10*time.Minute).Sub(p.clock.Now()))
		tries := 0
		for left := 0; ; left += 9 {
			n := left
			if err := p.historian().Step(dying{bg, &n}); err == nil {
				break
			}
			tries++
		}
		if tries < 3 {
			t.Fatalf("it was cut off %d times only", tries)
		}
		once := p.contents()
		if days := p.number(`SELECT COUNT(*) FROM history_day WHERE day = ?`, start.Unix()); days != 5 {
			t.Fatalf("%d checks have the day", days)
		}
		forget := func() {
			if _, err := db.Bun().Exec(`DELETE FROM counter WHERE name = 'netmon.history'`); err != nil {
				t.Fatal(err)
			}
		}
		forget()
		p.transpose(p.clock.Now())
		if again := p.contents(); !reflect.DeepEqual(again, once) {
			t.Fatal("doing it again changed the history")
		}
		if _, err := db.Bun().Exec(`DELETE FROM history_mark`); err != nil {
			t.Fatal(err)
		}
		forget()
		var wait sync.WaitGroup
		for range 2 {
			h := p.historian()
			wait.Go(func() {
				if err := h.Step(bg); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if again := p.contents(); !reflect.DeepEqual(again, once) {
			t.Fatal("two processes made another history")
		}
		// A round of the first hour arrives a day late.
		p.round("main", 0, start.Unix()+70, true, map[int64][]judge.Attempt{p.numbers[0]: {{Outcome: judge.Lost}}})
		had := p.number(`SELECT samples FROM history_day WHERE number = ?`, p.numbers[0])
		p.transpose(p.clock.Now().Add(time.Hour))
		if n := p.number(`SELECT samples FROM history_hour WHERE number = ? AND hour = ?`, p.numbers[0], start.Unix()); n != 13 {
			t.Errorf("the hour has %d samples with the late one", n)
		}
		if n := p.number(`SELECT samples FROM history_day WHERE number = ?`, p.numbers[0]); n != had+1 {
			t.Errorf("the day has %d samples, it had %d before the late one", n, had)
		}
	})
}

// A backup holds the history, and what is restored lies in parts again.
func TestHistoryIsRestored(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		p := newPast(t, db, 2)
		start := testkit.Start.Truncate(24 * time.Hour)
		p.sweep(start, start.Add(26*time.Hour), 600)
		p.transpose(start.Add(27 * time.Hour))
		var archive bytes.Buffer
		if _, err := store.Dump(bg, db, &archive, p.clock.Now(), nil); err != nil {
			t.Fatal(err)
		}
		testkit.Each(t, func(t *testing.T, fresh *store.DB) {
			if _, err := store.Restore(bg, fresh, bytes.NewReader(archive.Bytes()), nil); err != nil {
				t.Fatal(err)
			}
			q := &past{campus: &campus{t: t, db: fresh}}
			if !reflect.DeepEqual(q.contents(), p.contents()) {
				t.Error("the restored history is another one")
			}
			if n := q.number(`SELECT COUNT(*) FROM round`); n != 26*6 {
				t.Errorf("%d rounds are restored of 156", n)
			}
			if fresh.Postgres() {
				if n := q.number(`SELECT COUNT(*) FROM round_default`); n != 0 {
					t.Errorf("%d restored rounds lie in the default part", n)
				}
			}
		})
	})
}
