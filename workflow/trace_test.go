package workflow_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kelian/internal/testkit"
	"kelian/workflow"
	"kelian/workflow/flow"
)

// The definitions of the trace: one with every move, and one with a lot.
const tracedYAML = `key: liaison.traced
unit: liaison
title: {zh: 出访, en: Trip}
about: {zh: 示例, en: An example}
form:
  required: [title, day]
  properties:
    title: {type: string, maxLength: 40, x-title: {zh: 标题, en: Title}}
    day: {type: string, format: date, x-title: {zh: 日期, en: Day}}
    grant: {type: integer, minimum: 0, default: 0, x-title: {zh: 批准金额, en: Granted}}
flow:
  - step: head
    title: {zh: 部长, en: Head}
    ask: seat(liaison.head)
    reads: [/title]
    paper: true
    due: 60m
    on_due: {remind: [50%], then: escalate(fed.vice)}
  - step: pair
    title: {zh: 办公室, en: Office}
    ask: [seat(office.head), seat(office.deputy)]
    rule: all
    reads: [/day]
    fields: {edit: [/grant]}
    due: 120m
    on_due: {then: widen(office.keeper)}
  - when: grant > 1000
    do:
      - step: teacher
        title: {zh: 团委老师, en: Teacher}
        ask: seat(league.teacher)
policy: {withdraw_days: 3, stop: [seat(league.teacher)]}
cc: [seat(fed.chair)]
send_back: {targets: [start, pair], max: 9}
close_out:
  after: /day
  due: 120m
  form:
    required: [people]
    properties:
      people: {type: integer, minimum: 0, maximum: 20000, x-title: {zh: 人数, en: People}}
`

const lotYAML = `key: liaison.lot
unit: liaison
title: {zh: 抽签, en: By lot}
about: {zh: 示例, en: An example}
form:
  required: [title]
  properties:
    title: {type: string, maxLength: 40, x-title: {zh: 标题, en: Title}}
flow:
  - step: head
    title: {zh: 部长, en: Head}
    ask: seat(supervision.head)
  - step: lot
    title: {zh: 评审, en: Panel}
    ask: [seat(office.head), seat(office.keeper), seat(publicity.head), seat(supervision.member)]
    draw: 2
    rule: all
`

// entry is one line of a trace: a command on the n-th request and what the core
// answered, or something that happens around it.
type entry struct {
	cmd    flow.Command
	n      int
	code   flow.Code      // of a refusal
	form   string         // of a submission, an edit, a report
	fields map[string]any // that an approver fills in
	base   int            // of an amendment: the n-th request

	wait          time.Duration
	ring, refresh bool
	seat          string // gets these holders, or its holder another to stand in
	holders       []string
	standIn       string
}

// core is the pure core with a directory in memory: the model that the stored
// requests are compared with. It writes the trace down as it goes.
type core struct {
	t       *testing.T
	now     time.Time
	seats   map[string][]string
	standIn map[string]string
	defs    map[string]*workflow.Definition
	threads []*coreThread
	trace   []entry
}

type coreThread struct {
	id     string
	def    *workflow.Definition
	form   workflow.Filled
	st     flow.State
	events []flow.Event
	head   [32]byte
}

func newCore(t *testing.T) *core {
	c := &core{t: t, now: testkit.Start, seats: map[string][]string{}, standIn: map[string]string{}, defs: map[string]*workflow.Definition{}}
	for name, seats := range cast {
		for _, s := range seats {
			c.seats[s] = append(c.seats[s], name)
		}
	}
	for _, src := range []string{tracedYAML, lotYAML} {
		d, err := workflow.Load([]byte(src), known)
		if err != nil {
			t.Fatal(err)
		}
		c.defs[d.Flow.Key] = d
	}
	return c
}

func person(name string) string { return named(name).String() }

func console(name string) flow.Actor { return flow.Actor{Person: person(name), Door: flow.Console} }

func (c *core) holders(sources []string) []flow.Elector {
	out := []flow.Elector{}
	for _, src := range sources {
		seat := strings.TrimSuffix(strings.TrimPrefix(src, "seat("), ")")
		for _, name := range c.seats[seat] {
			e := flow.Elector{Person: person(name), Seat: seat}
			if other := c.standIn[seat]; other != "" {
				e.Person, e.For = person(other), e.Person
			}
			out = append(out, e)
		}
	}
	return out
}

// due is so many minutes later, as every span of the trace is.
func (c *core) due(from time.Time, s flow.Span, remind []int) flow.Due {
	if s.N == 0 {
		return flow.Due{}
	}
	d := flow.Due{At: from.Add(time.Duration(s.N) * time.Minute).UTC(), By: fmt.Sprintf("%dm", s.N)}
	for _, percent := range remind {
		d.Remind = append(d.Remind, from.Add(time.Duration(s.N)*time.Minute/100*time.Duration(percent)).UTC())
	}
	return d
}

func (c *core) facts(x *coreThread) flow.Facts {
	d := x.def.Flow
	f := flow.Facts{Now: c.now, Electors: map[string][]flow.Elector{}, Escalate: map[string][]flow.Elector{}, Due: map[string]flow.Due{},
		CC: c.holders(d.Policy.CC), Stop: c.holders(d.Policy.Stop), Held: map[string]bool{}}
	for _, s := range d.Steps() {
		f.Electors[s.Name], f.Due[s.Name] = c.holders(s.Ask), c.due(c.now, s.Due, s.OnDue.Remind)
		if s.OnDue.Escalate != "" {
			f.Escalate[s.Name] = c.holders([]string{s.OnDue.Escalate})
		}
	}
	for _, t := range x.st.Tasks {
		f.Held[t.Elector.Key()] = slices.ContainsFunc(c.seats[t.Elector.Seat], func(name string) bool { return person(name) == t.Elector.Person })
	}
	var err error
	if f.Guards, err = x.def.Guards(x.form, c.now); err != nil {
		c.t.Fatal(err)
	}
	if x.st.Seq > 0 {
		f.Seed = fmt.Sprintf("%x", x.head)
	}
	var form struct{ Day string }
	_ = json.Unmarshal([]byte(x.form.JSON), &form)
	if day, err := time.ParseInLocation(time.DateOnly, form.Day, time.FixedZone("CST", 8*3600)); err == nil && d.CloseOut != nil {
		f.CloseOut = c.due(day, d.CloseOut.Due, []int{50, 90})
	}
	return f
}

func (c *core) fill(x *coreThread, rev int, form string) flow.Form {
	filled, problems := x.def.Form.Fill([]byte(form))
	if len(problems) > 0 {
		c.t.Fatalf("%+v", problems)
	}
	x.form = filled
	f, err := flow.DigestForm(rev, []byte(filled.JSON))
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

// decide gives a command to the core; a refusal is its code.
func (c *core) decide(x *coreThread, cmd flow.Command) flow.Code {
	events, err := flow.Decide(x.def.Flow, x.st, cmd, c.facts(x))
	if r, ok := flow.AsRefusal(err); ok {
		return r.Code
	}
	if err != nil {
		c.t.Fatalf("%T: %v", cmd, err)
	}
	for _, ev := range events {
		x.st = flow.Evolve(x.st, ev)
		x.events = append(x.events, ev)
		if x.head, err = flow.Chain(x.head, len(x.events), ev); err != nil {
			c.t.Fatal(err)
		}
	}
	return ""
}

// do is a line of the trace.
func (c *core) do(e entry) {
	c.t.Helper()
	e.code = c.decide(c.threads[e.n], e.cmd)
	c.trace = append(c.trace, e)
}

func (c *core) submit(def, form string) int {
	c.t.Helper()
	n := len(c.threads)
	x := &coreThread{id: named(fmt.Sprint("traced ", n+1)).String(), def: c.defs[def]}
	c.threads = append(c.threads, x)
	by := console("ling")
	by.Seat = "liaison.member"
	c.do(entry{n: n, form: form, cmd: flow.Submit{By: by, Form: c.fill(x, 1, form)}})
	return n
}

func (c *core) amend(base int, form string) int {
	c.t.Helper()
	n, b := len(c.threads), c.threads[base]
	x := &coreThread{id: named(fmt.Sprint("traced ", n+1)).String(), def: b.def}
	c.threads = append(c.threads, x)
	c.do(entry{n: n, form: form, base: base, cmd: flow.Submit{By: console("ling"), Form: c.fill(x, 1, form), Base: flow.AmendBase(b.id, "head", b.st)}})
	return n
}

func (c *core) edit(n int, form string) {
	c.t.Helper()
	x := c.threads[n]
	c.do(entry{n: n, form: form, cmd: flow.Resubmit{By: console("ling"), Form: c.fill(x, x.st.Rev()+1, form)}})
}

// open is the person's open task.
func (c *core) open(n int, name string) string {
	c.t.Helper()
	for _, t := range c.threads[n].st.OpenTasks() {
		if t.Elector.Person == person(name) {
			return t.ID
		}
	}
	c.t.Fatalf("nothing of request %d waits for %s: %+v", n, name, c.threads[n].st.OpenTasks())
	return ""
}

// note is a text as the shell names it; in place of its keyed digest stands the
// text itself.
func (c *core) note(n int, text string) *flow.Note {
	return &flow.Note{Ref: "request.note." + strconv.Itoa(c.threads[n].st.Seq+1), MAC: text}
}

func (c *core) approve(n int, people ...string) {
	c.t.Helper()
	for _, p := range people {
		c.do(entry{n: n, cmd: flow.Cast{By: console(p), Task: c.open(n, p), Verdict: flow.Approve, FormRev: c.threads[n].st.Rev()}})
	}
}

func (c *core) hand(n int, from, to, seat string) {
	c.t.Helper()
	c.do(entry{n: n, cmd: flow.Transfer{By: console(from), Task: c.open(n, from), To: flow.Elector{Person: person(to), Seat: seat}}})
}

func (c *core) sign(n int, who string, place flow.Place, signer, seat string) {
	c.t.Helper()
	c.do(entry{n: n, cmd: flow.AddSigners{By: console(who), Task: c.open(n, who), Place: place, Rule: flow.Rule{Kind: flow.All},
		Who: []flow.Elector{{Person: person(signer), Seat: seat}}}})
}

func (c *core) back(n int, who, to, why string) {
	c.t.Helper()
	c.do(entry{n: n, cmd: flow.SendBack{By: console(who), Task: c.open(n, who), To: to, FormRev: c.threads[n].st.Rev(), Note: c.note(n, why)}})
}

// pass lets time go by and what falls due happen.
func (c *core) pass(d time.Duration) {
	c.now = c.now.Add(d)
	c.trace = append(c.trace, entry{wait: d, ring: true})
	for _, x := range c.threads {
		timers := slices.DeleteFunc(x.st.Timers(), func(t flow.Timer) bool { return t.At.After(c.now) })
		slices.SortStableFunc(timers, func(a, b flow.Timer) int { return a.At.Compare(b.At) })
		for _, t := range timers {
			c.decide(x, flow.Fire{Timer: t})
		}
		if x.st.Amends != nil && x.st.Status == flow.Approved {
			i := slices.IndexFunc(c.threads, func(b *coreThread) bool { return b.id == x.st.Amends.Request })
			c.decide(c.threads[i], flow.Supersede{By: flow.Actor{Door: flow.System}, Request: x.id})
		}
	}
}

// hold gives a seat to other people, or its holder somebody to stand in, and
// lets the open requests follow.
func (c *core) hold(e entry) {
	if e.standIn != "" {
		c.standIn[e.seat] = e.standIn
	} else {
		c.seats[e.seat] = e.holders
	}
	e.refresh = true
	c.trace = append(c.trace, e)
	for _, x := range c.threads {
		if x.st.Status == flow.Open {
			c.decide(x, flow.Refresh{By: flow.Actor{Door: flow.System}})
		}
	}
}

func trip2(day string, grant int) string {
	return fmt.Sprintf(`{"title":"访问兄弟高校","day":"%s","grant":%d}`, day, grant)
}

// play is the trace: every move, and refusals between them.
func (c *core) play() {
	a := c.submit("liaison.traced", trip2("2026-11-20", 0))
	c.hand(a, "shenyue", "guchen", "fed.vice")
	c.sign(a, "guchen", flow.Before, "luyuan", "supervision.member")
	c.approve(a, "luyuan", "guchen")
	c.do(entry{n: a, cmd: flow.Undo{By: console("guchen"), Task: "head#1.2"}})
	c.sign(a, "shenyue", flow.After, "pan", "publicity.head")
	c.approve(a, "shenyue", "pan")
	c.sign(a, "hejing", flow.Parallel, "techhead", "technical.head")
	c.do(entry{n: a, cmd: flow.Cast{By: console("hejing"), Task: c.open(a, "hejing"), Verdict: flow.Approve, FormRev: 7}})
	c.approve(a, "hejing", "odeputy", "techhead")
	c.do(entry{n: a, form: `{"people":3}`, cmd: flow.CloseOut{By: console("ling"), Report: digested(c.t, `{"people":3}`)}})

	b := c.submit("liaison.traced", trip2("2026-11-20", 0))
	c.approve(b, "shenyue")
	c.back(b, "hejing", flow.Start, "请改日期")
	c.edit(b, trip2("2026-11-27", 0))
	c.do(entry{n: b, cmd: flow.Comment{By: console("odeputy"), Blocking: true, Note: *c.note(b, "为什么改期")}})
	c.do(entry{n: b, cmd: flow.Cast{By: console("hejing"), Task: c.open(b, "hejing"), Verdict: flow.Approve, FormRev: 2}})
	c.do(entry{n: b, cmd: flow.Resolve{By: console("odeputy"), N: 1}})
	c.do(entry{n: b, cmd: flow.Nudge{By: console("ling")}})
	c.do(entry{n: b, cmd: flow.Nudge{By: console("ling")}})
	c.do(entry{n: b, cmd: flow.Copy{By: console("ling"), People: []string{person("pan")}}})
	grant := c.fill(c.threads[b], 3, trip2("2026-11-27", 2000))
	c.do(entry{n: b, fields: map[string]any{"grant": 2000}, cmd: flow.Cast{By: console("hejing"), Task: c.open(b, "hejing"), Verdict: flow.Approve, FormRev: 2, Edit: &grant}})
	c.approve(b, "odeputy")
	c.back(b, "liu", "pair", "请再核对金额")
	c.approve(b, "hejing", "odeputy", "liu")
	d := c.amend(b, trip2("2026-12-04", 2000))
	c.approve(d, "hejing", "odeputy", "liu")
	c.pass(time.Minute)
	c.do(entry{n: d, cmd: flow.Stop{By: console("liu"), Note: c.note(d, "当天有重要会议")}})

	e := c.submit("liaison.traced", trip2("2026-11-21", 0))
	paper := flow.Actor{Person: person("shenyue"), Seat: "liaison.head", Door: flow.Paper, Recorder: person("hejing"), Scan: strings.Repeat("a", 64)}
	c.do(entry{n: e, cmd: flow.Cast{By: paper, Task: c.open(e, "shenyue"), Verdict: flow.Approve, FormRev: 1, Proved: true}})
	c.do(entry{n: e, cmd: flow.Disown{By: console("shenyue"), Task: "head#1.1", Note: c.note(e, "不是我签的")}})
	c.pass(30 * time.Minute)
	c.pass(30 * time.Minute)
	c.approve(e, "guchen")
	c.pass(2 * time.Hour)
	undone := c.open(e, "hejing")
	c.approve(e, "hejing")
	c.do(entry{n: e, cmd: flow.Undo{By: console("hejing"), Task: undone}})
	c.approve(e, "hejing", "songlan", "odeputy")
	c.do(entry{n: e, cmd: flow.Withdraw{By: console("ling")}})

	w := c.submit("liaison.traced", trip2("2026-11-22", 0))
	c.do(entry{n: w, cmd: flow.Withdraw{By: console("shenyue")}})
	c.do(entry{n: w, cmd: flow.Withdraw{By: console("ling")}})
	r := c.submit("liaison.traced", trip2("2026-11-22", 0))
	c.do(entry{n: r, cmd: flow.Cast{By: console("shenyue"), Task: c.open(r, "shenyue"), Verdict: flow.Reject, FormRev: 1, Note: c.note(r, "太远")}})

	c.hold(entry{seat: "liaison.head", standIn: "pan"})
	g := c.submit("liaison.traced", trip2("2026-11-23", 0))
	c.approve(g, "pan")
	c.hand(g, "hejing", "techhead", "technical.head")
	c.hold(entry{seat: "technical.head"})
	c.hold(entry{seat: "office.deputy", holders: []string{"mech"}})
	c.approve(g, "hejing", "mech")

	l := c.submit("liaison.lot", `{"title":"评审"}`)
	c.approve(l, "suhead")
	for _, t := range c.threads[l].st.OpenTasks() {
		c.do(entry{n: l, cmd: flow.Cast{By: flow.Actor{Person: t.Elector.Person, Door: flow.Console}, Task: t.ID, Verdict: flow.Approve, FormRev: 1}})
	}
}

func digested(t *testing.T, form string) flow.Form {
	f, err := flow.DigestForm(1, []byte(form))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// chain seals events as the core does and gives the hashes.
func chain(t *testing.T, events []flow.Event) (out [][32]byte) {
	t.Helper()
	var head [32]byte
	for i, ev := range events {
		var err error
		if head, err = flow.Chain(head, i+1, ev); err != nil {
			t.Fatal(err)
		}
		out = append(out, head)
	}
	return out
}
