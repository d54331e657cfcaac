package flow_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"kelian/workflow/flow"

	"pgregory.net/rapid"
)

// machine is a request under random commands of random people.
type machine struct {
	*world
	choices    []string
	interested string // has a relation to the request, "" = nobody
	versions   int
}

func newMachine(t *rapid.T) *machine {
	def := drawDefinition(t)
	m := &machine{world: newWorld(t, def, map[string][]string{}), choices: def.Guards()}
	m.standIn, m.weight = map[string]map[string]string{}, map[string]int{}
	for _, s := range seats {
		m.reseat(t, s, 1)
	}
	for _, p := range people {
		m.weight[p] = rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "weight of "+p)
	}
	m.interested = rapid.SampledFrom(append([]string{"", "", ""}, people...)).Draw(t, "interested")
	m.bar()
	m.reguard(t)
	return m
}

// reseat gives a seat to other people, some of whom stand in for somebody.
func (m *machine) reseat(t *rapid.T, seat string, least int) {
	m.seats[seat] = rapid.SliceOfNDistinct(rapid.SampledFrom(people), least, 3, rapid.ID[string]).Draw(t, seat)
	m.standIn[seat] = map[string]string{}
	if p := rapid.SampledFrom(people).Draw(t, "for whom"); rarely(t, "delegated") && len(m.seats[seat]) > 0 && m.seats[seat][0] != p {
		m.standIn[seat][m.seats[seat][0]] = p
	}
}

// bar keeps the interested person out of every step.
func (m *machine) bar() {
	if m.interested == "" {
		return
	}
	m.barred = map[string]map[string]flow.Code{}
	for _, s := range m.def.Steps() {
		m.barred[s.Name] = map[string]flow.Code{m.interested: flow.Interested}
	}
}

// reguard draws what the guards say, which changes with the form.
func (m *machine) reguard(t *rapid.T) {
	for _, g := range m.choices {
		m.guards[g] = rapid.Bool().Draw(t, g)
	}
	m.redue()
}

func (m *machine) redue() {
	if m.def.Expires != "" {
		m.expires = m.now.Add(30 * 24 * time.Hour)
	}
	m.out = flow.Due{At: m.now.Add(72 * time.Hour), Remind: []time.Time{m.now.Add(24 * time.Hour)}}
	for _, s := range m.def.Steps() {
		if s.Due.N > 0 {
			m.due[s.Name] = flow.Due{At: m.now.Add(48 * time.Hour), Remind: []time.Time{m.now.Add(24 * time.Hour)}}
		}
	}
}

func drawForm(t *rapid.T, rev int) flow.Form {
	f := flow.Form{Rev: rev, Digests: map[string]string{}}
	for _, p := range fields {
		if v := rapid.IntRange(0, 3).Draw(t, p); v > 0 {
			f.Digests[p] = fmt.Sprint(v)
		}
	}
	return f
}

// filled is the present form with the field that electors fill in.
func (m *machine) filled(t *rapid.T) *flow.Form {
	f := flow.Form{Rev: m.st.Rev() + 1, Digests: maps.Clone(m.st.Form().Digests)}
	f.Digests[editable] = fmt.Sprint(rapid.IntRange(1, 9).Draw(t, "filled in"))
	return &f
}

func drawRev(t *rapid.T, current int) int {
	if rarely(t, "stale") {
		return current - 1
	}
	return current
}

// command draws a command; most of them are legal.
func (m *machine) command(t *rapid.T) flow.Command {
	by := m.by(rapid.SampledFrom(people).Draw(t, "by"))
	task := "s1#1.1"
	if open := m.st.OpenTasks(); len(open) > 0 {
		pick := rapid.SampledFrom(open).Draw(t, "task")
		task = pick.ID
		if !rarely(t, "another") {
			by = m.by(pick.Elector.Person)
		}
	}
	rev := drawRev(t, m.st.Rev())
	switch rapid.SampledFrom(kinds).Draw(t, "command") {
	case "vote":
		return m.vote(t, by, task, rev)
	case "withdraw":
		return flow.Withdraw{By: m.by(m.st.Requester)}
	case "send back":
		names := []string{flow.Start}
		for _, s := range m.def.Steps() {
			names = append(names, s.Name)
		}
		return flow.SendBack{By: by, Task: task, To: rapid.SampledFrom(names).Draw(t, "to"), FormRev: rev,
			Mode: rapid.SampledFrom([]flow.Mode{"", flow.Redo, flow.ReturnToMe}).Draw(t, "mode")}
	case "edit":
		m.reguard(t)
		return flow.Resubmit{By: m.by(m.st.Requester), Form: drawForm(t, rev+1)}
	case "time":
		next := flow.Timer{Step: "s1", Round: 1}
		if timers := m.st.Timers(); len(timers) > 0 {
			next = timers[len(timers)-1-rapid.IntRange(0, len(timers)-1).Draw(t, "timer")]
		}
		if early := rarely(t, "early"); !early && next.At.After(m.now) {
			m.now = next.At
			m.redue() // a step that is asked anew has its time from now
		}
		return flow.Fire{Timer: next}
	case "seats":
		m.reseat(t, rapid.SampledFrom(seats).Draw(t, "seat"), 0)
		return flow.Refresh{By: flow.Actor{Door: flow.System}}
	case "calendar":
		return m.newCalendar(t)
	case "version":
		return m.migrate(t)
	}
	return m.move(t, by, task)
}

// kinds are the commands, the more frequent first: rapid prefers what comes
// early.
var kinds = shares("vote", 12, "move", 10, "time", 5, "send back", 2, "edit", 3, "seats", 3, "version", 2, "calendar", 1, "withdraw", 1)

// shares lists each name so many times.
func shares(of ...any) (out []string) {
	for i := 0; i < len(of); i += 2 {
		out = append(out, slices.Repeat([]string{of[i].(string)}, of[i+1].(int))...)
	}
	return out
}

// vote draws an answer: on the console or from paper, some with the field that
// the step lets its electors fill in.
func (m *machine) vote(t *rapid.T, by flow.Actor, task string, rev int) flow.Command {
	v := rapid.SampledFrom([]flow.Verdict{flow.Approve, flow.Approve, flow.Approve, flow.Reject, flow.Abstain}).Draw(t, "verdict")
	c := flow.Cast{By: by, Task: task, Verdict: v, FormRev: rev}
	if rarely(t, "from paper") {
		c.By.Door, c.By.Recorder = flow.Paper, rapid.SampledFrom(people).Draw(t, "recorder")
	}
	x := m.st.Task(task)
	if x == nil {
		return c
	}
	if s := m.def.Step(x.Step); s != nil && s.Rule.Score > 0 && v != flow.Abstain && !rarely(t, "no points") {
		n := rapid.IntRange(0, s.Rule.Score).Draw(t, "points")
		c.Score = &n
	}
	if v != flow.Approve {
		return c
	}
	if s := m.def.Step(x.Step); s != nil && s.Right(editable) != flow.Read || rarely(t, "edit") {
		c.Edit = m.filled(t)
	}
	return c
}

// newCalendar moves what the open steps and the report are due at, now and then
// to a time that is over.
func (m *machine) newCalendar(t *rapid.T) flow.Command {
	at := m.now.Add(time.Duration(rapid.IntRange(-24, 120).Draw(t, "due in")) * time.Hour)
	due := flow.Due{At: at, By: rapid.SampledFrom([]string{"", "1bd"}).Draw(t, "by"), Remind: []time.Time{at.Add(-24 * time.Hour)}}
	c := flow.Reschedule{By: flow.Actor{Door: flow.System}, Due: map[string]flow.Due{flow.CloseOutTimer: due}}
	for _, s := range m.def.Steps() {
		c.Due[s.Name] = due
	}
	return c
}

// move draws one of the moves beside voting.
func (m *machine) move(t *rapid.T, by flow.Actor, task string) flow.Command {
	named := func(label string) flow.Elector {
		return flow.Elector{Person: rapid.SampledFrom(people).Draw(t, label), Seat: "named"}
	}
	system := flow.Actor{Door: flow.System}
	switch rapid.SampledFrom(moveKinds).Draw(t, "move") {
	case "transfer":
		return flow.Transfer{By: by, Task: task, To: named("to")}
	case "sign":
		who := []flow.Elector{named("signer")}
		if rapid.Bool().Draw(t, "two signers") {
			who = append(who, named("second"))
		}
		return flow.AddSigners{By: by, Task: task, Who: who, Place: rapid.SampledFrom([]flow.Place{flow.Before, flow.After, flow.Parallel}).Draw(t, "place"),
			Rule: flow.Rule{Kind: rapid.SampledFrom([]flow.RuleKind{flow.Any, flow.All}).Draw(t, "signers' rule"), InTurn: rapid.Bool().Draw(t, "in turn")}}
	case "undo":
		if n := len(m.st.Votes); n > 0 {
			v := m.st.Votes[n-1-rapid.IntRange(0, min(n-1, 2)).Draw(t, "vote")]
			return flow.Undo{By: flow.Actor{Person: v.By.Person, Door: flow.Console}, Task: v.Task}
		}
	case "disown":
		if i := slices.IndexFunc(m.st.Votes, func(v flow.Vote) bool { return v.Live && v.By.Door == flow.Paper }); i >= 0 {
			return flow.Disown{By: flow.Actor{Person: m.st.Votes[i].By.Person}, Task: m.st.Votes[i].Task}
		}
	case "leave":
		m.held = map[string]bool{rapid.SampledFrom(people).Draw(t, "leaver") + "@named": false}
		return flow.Refresh{By: system}
	case "comment":
		return flow.Comment{By: by, Blocking: true, Note: flow.Note{Ref: "r", MAC: "m"}}
	case "resolve":
		return flow.Resolve{By: by, N: rapid.IntRange(1, 3).Draw(t, "remark")}
	case "stop":
		return flow.Stop{By: by}
	case "close out":
		return flow.CloseOut{By: m.by(m.st.Requester), Report: drawForm(t, 1)}
	case "copy":
		return flow.Copy{By: by, People: rapid.SliceOfN(rapid.SampledFrom(people), 1, 3).Draw(t, "copied")}
	case "supersede":
		return flow.Supersede{By: system, Request: "the amendment"}
	}
	return flow.Nudge{By: m.by(m.st.Requester)}
}

var moveKinds = shares("sign", 5, "transfer", 4, "undo", 4, "disown", 2, "leave", 2, "comment", 1, "resolve", 2, "close out", 2, "nudge", 1, "copy", 1,
	"stop", 1, "supersede", 1)

// migrate moves the request to another version: a changed one, or one that has
// little to do with it and a plan made by chance. A request that cannot move
// stays; where it can, the preview says where it is then.
func (m *machine) migrate(t *rapid.T) flow.Command {
	m.versions++
	old, choices, due, barred := m.def, m.choices, m.due, m.barred
	cmd := flow.Migrate{By: flow.Actor{Door: flow.System}, From: old}
	if m.def, cmd.Steps = nextVersion(t, old, m.versions); rarely(t, "another workflow") {
		m.def = drawDefinition(t)
		m.def.Hash, m.choices, m.due = fmt.Sprintf("x%d", m.versions), m.def.Guards(), map[string]flow.Due{}
		cmd.Steps = m.planByChance(t, old)
		for _, g := range m.choices {
			m.guards[g] = rapid.Bool().Draw(t, g)
		}
	}
	m.bar()
	m.redue()
	said, err := flow.Preview(m.def, m.st, cmd, m.facts())
	if err == nil {
		after := *m.world
		after.do(cmd)
		if got := after.waiting(); !slices.Equal(append([]string{}, said.Is...), got) || said.Status != after.st.Status {
			t.Fatalf("the preview said %+v, and it is %s at %v", said, after.st.Status, got)
		}
		return cmd
	}
	if _, ok := flow.AsRefusal(err); !ok {
		t.Fatalf("%+v: %v", cmd, err)
	}
	m.def, m.choices, m.due, m.barred = old, choices, due, barred
	return flow.Migrate{By: flow.Actor{Door: flow.System}} // it is there already
}

func (m *machine) planByChance(t *rapid.T, old *flow.Definition) map[string]string {
	out, to := map[string]string{}, m.def.Steps()
	for _, s := range old.Steps() {
		switch rapid.IntRange(0, 3).Draw(t, "plan for "+s.Name) {
		case 0:
			out[s.Name] = ""
		case 1:
			out[s.Name] = to[rapid.IntRange(0, len(to)-1).Draw(t, "to")].Name
		}
	}
	return out
}

// submit opens the request. It is refused, and nothing comes of it, where the
// directory has nobody to ask.
func (m *machine) submit(t *rapid.T, submit flow.Submit) bool {
	err := m.try(submit)
	if err == nil {
		return true
	}
	if r, ok := flow.AsRefusal(err); !ok || r.Code != flow.NobodyToAsk {
		t.Fatalf("submit: %v", err)
	}
	if len(m.events) > 0 {
		t.Fatalf("a refused request made %+v", m.events)
	}
	return false
}

// run gives the machine random commands; a refusal must be a Refusal, and a
// command that was carried out must not take effect twice.
func (m *machine) run(t *rapid.T) {
	for range rapid.IntRange(5, 30).Draw(t, "commands") {
		cmd := m.command(t)
		if err := m.try(cmd); err != nil {
			if _, ok := flow.AsRefusal(err); !ok {
				t.Fatalf("%T: %v", cmd, err)
			}
			continue
		}
		m.again(t, cmd)
	}
}

// again sends a command a second time: it is refused, or nothing comes of it.
// A remark may be made twice, and a report replaces the one before.
func (m *machine) again(t *rapid.T, cmd flow.Command) {
	n := len(m.events)
	switch cmd.(type) {
	case flow.Comment, flow.CloseOut:
		return
	case flow.Fire, flow.Refresh, flow.Reschedule, flow.Copy, flow.Supersede, flow.Migrate:
		if err := m.try(cmd); err != nil {
			t.Fatalf("%+v sent again: %v", cmd, err)
		}
	default:
		if err := m.try(cmd); err == nil {
			t.Fatalf("%+v took effect twice", cmd)
		}
	}
	if len(m.events) != n {
		t.Fatalf("%+v sent again made %+v", cmd, m.events[n:])
	}
}

func (m *machine) start(t *rapid.T) {
	if m.submit(t, flow.Submit{By: m.by(rapid.SampledFrom(people).Draw(t, "requester")), Form: drawForm(t, 1)}) {
		m.run(t)
	}
}

// approveOne lets the first elector who can approve.
func (m *machine) approveOne(t *rapid.T) bool {
	for _, task := range m.st.OpenTasks() {
		cast := flow.Cast{By: m.by(task.Elector.Person), Task: task.ID, Verdict: flow.Approve, FormRev: m.st.Rev()}
		if full := m.def.Step(task.Step).Rule.Score; full > 0 {
			cast.Score = &full
		}
		if m.def.Step(task.Step).Right(editable) == flow.Require && m.st.Form().Digests[editable] == "" {
			cast.Edit = m.filled(t)
		}
		err := m.try(cast)
		if err == nil {
			return true
		}
		if r, ok := flow.AsRefusal(err); ok && r.Code == flow.Unresolved {
			n := r.Detail.(flow.Remarks).Open[0]
			m.do(flow.Resolve{By: m.by(m.st.Remarks[n-1].By), N: n})
			return true
		}
		if r, ok := flow.AsRefusal(err); !ok || r.Code != flow.NotDistinct && r.Code != flow.ObjectionOnly {
			t.Fatalf("%s cannot approve %s: %v", task.Elector.Person, task.ID, err)
		}
	}
	return false
}

// passWindow lets time pass until an objection window is over.
func (m *machine) passWindow() bool {
	for _, ss := range m.st.Steps {
		if ss.Status != flow.StepOpen || ss.Rule.Kind != flow.Objection {
			continue
		}
		for _, timer := range m.st.Timers() {
			if timer.Step == ss.Name && timer.N == 0 {
				m.now = timer.At
				m.do(flow.Fire{Timer: timer})
				return true
			}
		}
	}
	return false
}

// finish lets everybody who is asked approve, and the requester hand in again
// what was sent back, as long as somebody can.
func (m *machine) finish(t *rapid.T) {
	for range 200 {
		switch {
		case m.st.Status == flow.Returned:
			m.do(flow.Resubmit{By: m.by(m.st.Requester), Form: drawForm(t, m.st.Rev()+1)})
		case m.st.Status != flow.Open || !m.approveOne(t) && !m.passWindow():
			return
		}
	}
	t.Fatalf("the request does not end")
}
