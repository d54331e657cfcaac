package workflow

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow/flow"
)

// The bounds of a what-if replay.
const (
	ReplayMax  = 500             // requests
	replayTime = 6 * time.Second // of the processor; then what was run is the answer
	// replayNames is how long the names may take when the caller's time is over.
	replayNames = time.Second
)

// ReplayInput is a draft, and how many of the newest requests of its key are
// run through it, 1 to ReplayMax.
type ReplayInput struct {
	Source string
	Last   int
}

// ReplayReport compares what requests meet under the draft with what they meet
// under the version that they are pinned to. Both are run by the deciding
// function, in the directory of the day on which the request was made, with the
// answers that were given: who was not asked then approves.
type ReplayReport struct {
	Definition string
	Examined   int  // requests that were run
	Bounded    bool // time was over before all were
	Unfit      []ReplayCase
	Changed    []ReplayCase // that meet something else
	Seats      []SeatChange // by name
	// Before and After are the medians of the time to the end, as estimated
	// from how long answers take; Change is the median of the differences.
	Before, After, Change time.Duration
}

// ReplayCase is one request. People are named to readers who may see it; to
// others it has no identifier, number or title, and its people are seats.
type ReplayCase struct {
	Request       id.ID
	Number, Title string
	Problems      []FieldError // of a form that does not fit the draft
	More, Less    []Part       // who is asked additionally, and no longer
	Before, After Ending
	Change        time.Duration
}

// Ending is how a request ends. A status of OPEN is one that cannot go on, ""
// one that cannot be submitted; Stuck is the refusal.
type Ending struct {
	Status flow.Status
	Stuck  flow.Code
	Took   time.Duration
}

// SeatChange counts the requests for which a seat is asked additionally, and no
// longer.
type SeatChange struct {
	Seat       string
	More, Less int
}

// Replay runs past requests through a draft, for those who may publish. A text
// with mistakes is DEFINITION_INVALID.
func (s *Service) Replay(ctx context.Context, actor org.Actor, in ReplayInput) (ReplayReport, error) {
	a, _, err := s.judge(ctx, actor)
	if err != nil {
		return ReplayReport{}, err
	}
	if err := s.rules.Check(a, "workflow.publish", org.Object{}); err != nil {
		return ReplayReport{}, err
	}
	if in.Last < 1 || in.Last > ReplayMax {
		return ReplayReport{}, fault.Input("last", "一次回放 1–500 份申请", "replay 1 to 500 requests at a time")
	}
	d, err := Load([]byte(in.Source), s.known)
	if err != nil {
		return ReplayReport{}, invalid(err)
	}
	_, cal, err := s.now(ctx)
	if err != nil {
		return ReplayReport{}, err
	}
	pace, err := s.paceOf(ctx, d.Flow.Key)
	if err != nil {
		return ReplayReport{}, err
	}
	var rows []row
	err = s.db.R.NewSelect().Model(&rows).ExcludeColumn("search").Where("definition = ?", d.Flow.Key).OrderExpr("opened_at DESC, id DESC").Limit(int64(in.Last)).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return ReplayReport{}, store.Busy(err)
	}
	r := &replay{svc: s, actor: a, draft: d, cal: cal, pace: pace, seats: map[string]*SeatChange{}}
	r.out.Definition = d.Flow.Key
	return r.report(ctx, rows)
}

// replay is a report being made.
type replay struct {
	svc   *Service
	actor org.Actor
	draft *Definition
	cal   *calendar.Calendar
	pace  pace
	out   ReplayReport
	cases []*replayed
	seats map[string]*SeatChange
}

// replayed is a request that was run both ways.
type replayed struct {
	*thread
	found         ReplayCase
	readable      bool
	more, less    []flow.Share
	before, after flow.Replayed
}

func (r *replay) report(ctx context.Context, rows []row) (ReplayReport, error) {
	started := time.Now() // of the processor, not of the business
	for chunk := range slices.Chunk(rows, previewBatch) {
		if r.out.Bounded = time.Since(started) > replayTime; r.out.Bounded {
			break
		}
		n := len(r.cases)
		err := r.run(ctx, chunk)
		if r.out.Bounded = errors.Is(ctx.Err(), context.DeadlineExceeded); r.out.Bounded {
			r.cases = r.cases[:n] // the chunk may be half done
			break
		}
		if err != nil {
			return r.out, err
		}
	}
	var people []id.ID
	for _, c := range r.cases {
		c.more, c.less = beyond(c.after.Asked, c.before.Asked), beyond(c.before.Asked, c.after.Asked)
		for _, x := range slices.Concat(c.more, c.less) {
			if c.readable {
				people = append(people, personID(x.Elector.Person))
			}
		}
	}
	if r.out.Bounded { // the names of what was run are worth a moment more
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), replayNames)
		defer cancel()
	}
	names, err := org.Names(ctx, r.svc.db.R, people...)
	if err != nil {
		return r.out, err
	}
	var before, after, change []time.Duration
	for _, c := range r.cases {
		r.tell(c, names)
		if c.before.Stuck == "" && c.after.Stuck == "" && len(c.found.Problems) == 0 {
			before, after, change = append(before, c.before.Took), append(after, c.after.Took), append(change, c.found.Change)
		}
	}
	r.out.Examined, r.out.Before, r.out.After, r.out.Change = len(r.cases), middle(before), middle(after), middle(change)
	for _, name := range sortedKeys(r.seats) {
		r.out.Seats = append(r.out.Seats, *r.seats[name])
	}
	return r.out, nil
}

// middle is the median, 0 of none.
func middle(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// run asks the directory for a chunk of requests at once and runs them.
func (r *replay) run(ctx context.Context, chunk []row) error {
	reads := store.NewReads(r.svc.db.R)
	var runs []func() error
	for i := range chunk {
		at := &chunk[i]
		st, err := readState(at.State)
		if err != nil {
			return err
		}
		own, err := r.svc.version(ctx, r.svc.db.R, at.VersionID)
		if err != nil {
			return err
		}
		c := &replayed{thread: &thread{svc: r.svc, def: own, row: *at, st: st, apart: readApart(at.Apart), filled: stored(at.Form)}, readable: r.svc.canRead(r.actor, at, st)}
		r.cases = append(r.cases, c)
		form, wrong, err := c.fit(r.draft, c.known(r.draft))
		if err != nil {
			return err
		}
		if c.found.Problems = wrong; len(wrong) > 0 {
			continue
		}
		old, now := r.ask(reads, c, own, c.filled), r.ask(reads, c, r.draft, form)
		runs = append(runs, func() error {
			if c.before, err = old(); err != nil {
				return err
			}
			c.after, err = now()
			return err
		})
	}
	if err := reads.Run(ctx); err != nil {
		return store.Busy(err)
	}
	for _, run := range runs {
		if err := run(); err != nil {
			return err
		}
	}
	return nil
}

// ask runs a request through one definition, in the directory of its day.
func (r *replay) ask(reads *store.Reads, c *replayed, d *Definition, form Filled) func() (flow.Replayed, error) {
	at := place{unit: c.row.Unit, requester: c.row.Requester.String(), form: form}
	ask := askFacts(reads, d, "", at, c.row.OpenedAt, r.cal)
	return func() (flow.Replayed, error) {
		facts, _, err := ask()
		if err != nil {
			return flow.Replayed{}, err
		}
		facts.Seed = hex.EncodeToString(c.row.ID[:]) // the same lot for both
		run := flow.Replay{By: flow.Actor{Person: at.requester, Door: flow.Console}, Form: flow.Form{Rev: 1, Digests: c.st.Form().Digests}, Desk: c.st.Desk,
			Verdict: c.verdict,
			Due:     func(step string, at time.Time) flow.Due { return dueOf(d, d.Flow.Step(step), r.cal, at) },
			Took:    func(step string, e flow.Elector) time.Duration { return r.took(step, e, facts.Due[step], facts.Now) }}
		out, err := run.Run(d.Flow, facts)
		if err != nil {
			return out, fmt.Errorf("workflow: replay of %s: %w", c.row.ID, err)
		}
		return out, nil
	}
}

// verdict is the answer that was given in the step under the seat, else by the
// person or under the seat in another step; who did not answer approves.
func (c *replayed) verdict(step string, e flow.Elector) flow.Verdict {
	best, found := 0, flow.Approve
	for _, v := range c.st.Votes {
		if !v.Live || v.Silent || v.Within != "" {
			continue
		}
		fits := 0
		switch {
		case v.Step == step && v.Elector.Seat == e.Seat && v.Elector.Person == e.Person:
			fits = 4
		case v.Step == step && v.Elector.Seat == e.Seat:
			fits = 3
		case v.Elector.Person == e.Person:
			fits = 2
		case v.Elector.Seat == e.Seat:
			fits = 1
		}
		if fits > best {
			best, found = fits, v.Verdict
		}
	}
	return found
}

// took is the median of how long answers took: in the step under the seat, else
// under the seat, else in the step, else until the step is due.
func (r *replay) took(step string, e flow.Elector, due flow.Due, now time.Time) time.Duration {
	for _, history := range [][]int64{r.pace.both[step+"@"+e.Seat], r.pace.seat[e.Seat], r.pace.step[step]} {
		if len(history) > 0 {
			t, _ := typical(history, flow.Due{}, now)
			return t.Took
		}
	}
	t, _ := typical(nil, due, now)
	return max(0, t.Took)
}

// tell puts a case where it belongs.
func (r *replay) tell(c *replayed, names map[id.ID]string) {
	if c.readable {
		c.found.Request, c.found.Number, c.found.Title = c.row.ID, c.row.number(), c.row.Title
	}
	if len(c.found.Problems) > 0 {
		r.out.Unfit = append(r.out.Unfit, c.found)
		return
	}
	c.found.Before, c.found.After = ending(c.before), ending(c.after)
	c.found.Change = c.after.Took - c.before.Took
	r.count(c.more, func(x *SeatChange) { x.More++ })
	r.count(c.less, func(x *SeatChange) { x.Less++ })
	if len(c.more)+len(c.less) == 0 && c.before.Status == c.after.Status && c.before.Stuck == c.after.Stuck {
		return
	}
	c.found.More, c.found.Less = c.parts(c.more, names, r.draft), c.parts(c.less, names, c.def)
	r.out.Changed = append(r.out.Changed, c.found)
}

func ending(x flow.Replayed) Ending { return Ending{Status: x.Status, Stuck: x.Stuck, Took: x.Took} }

func (r *replay) count(list []flow.Share, add func(*SeatChange)) {
	var done []string
	for _, x := range list {
		if slices.Contains(done, x.Elector.Seat) {
			continue
		}
		done = append(done, x.Elector.Seat)
		if r.seats[x.Elector.Seat] == nil {
			r.seats[x.Elector.Seat] = &SeatChange{Seat: x.Elector.Seat}
		}
		add(r.seats[x.Elector.Seat])
	}
}

func (c *replayed) parts(list []flow.Share, names map[id.ID]string, d *Definition) (out []Part) {
	for _, x := range list {
		p := Part{Step: stepName(x.Step, d, d), Who: Who{Seat: x.Elector.Seat}}
		if c.readable {
			p.Who = Who{Person: personID(x.Elector.Person), Name: names[personID(x.Elector.Person)], Seat: x.Elector.Seat, For: personID(x.Elector.For)}
		}
		out = append(out, p)
	}
	return out
}

// beyond are those of a list whom the other lacks, by person and seat: it does
// not matter in which step somebody is asked.
func beyond(list, other []flow.Share) (out []flow.Share) {
	same := func(x flow.Share) func(flow.Share) bool {
		return func(y flow.Share) bool {
			return x.Elector.Person == y.Elector.Person && x.Elector.Seat == y.Elector.Seat && x.Elector.For == y.Elector.For
		}
	}
	for _, x := range list {
		if !slices.ContainsFunc(other, same(x)) && !slices.ContainsFunc(out, same(x)) {
			out = append(out, x)
		}
	}
	return out
}

// Text is the report for people, in Chinese or English.
func (r ReplayReport) Text(zh bool) string {
	say := func(z, e string) string {
		if zh {
			return z
		}
		return e
	}
	var b strings.Builder
	fmt.Fprintf(&b, say("%s：回放 %d 份，%d 份有变化，%d 份表单不合\n", "%s: %d requests, %d meet something else, %d forms do not fit\n"), r.Definition, r.Examined, len(r.Changed), len(r.Unfit))
	if r.Bounded {
		b.WriteString(say("时间已到，其余没有回放\n", "time was over, the rest was not run\n"))
	}
	hours := func(d time.Duration) string { return fmt.Sprintf("%.1f h", d.Hours()) }
	fmt.Fprintf(&b, say("办结时间中位数：%s → %s，每份变化的中位数 %s\n", "median time to the end: %s → %s, median change %s\n"), hours(r.Before), hours(r.After), hours(r.Change))
	for _, s := range r.Seats {
		fmt.Fprintf(&b, say("  %s：增加 %d 份，不再问 %d 份\n", "  %s: asked for %d more, no longer for %d\n"), s.Seat, s.More, s.Less)
	}
	for _, c := range r.Changed {
		fmt.Fprintf(&b, "%s %s%s → %s%s (%+.1f h)\n", orDash(c.Number), c.Before.Status, c.Before.Stuck, c.After.Status, c.After.Stuck, c.Change.Hours())
		for _, p := range c.More {
			fmt.Fprintf(&b, "  + %s %s\n", p.Who.Seat, p.Who.Name)
		}
		for _, p := range c.Less {
			fmt.Fprintf(&b, "  - %s %s\n", p.Who.Seat, p.Who.Name)
		}
	}
	for _, c := range r.Unfit {
		for _, p := range c.Problems {
			fmt.Fprintf(&b, "%s ! %s %s\n", orDash(c.Number), p.Pointer, say(p.Zh, p.En))
		}
	}
	return b.String()
}

func orDash(number string) string {
	if number == "" {
		return "—"
	}
	return number
}
