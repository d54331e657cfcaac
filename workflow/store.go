package workflow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
	"kelian/org/calendar"
	"kelian/workflow/flow"
)

// thread is one request inside one command: locked, folded, and to be saved.
type thread struct {
	svc    *Service
	tx     *store.Tx
	def    *Definition
	now    time.Time
	cal    *calendar.Calendar
	row    row
	before flow.State // as it was loaded
	st     flow.State
	events []flow.Event
	apart  apart
	filled Filled      // the current form, without personal leaves
	files  []namedFile // that a form just filled in names
	actor  id.ID       // for the audit; zero = a timer
	judge  org.Actor   // who acts, with fresh seats where they were looked up
	seat   string
	base   *flow.Base // what a new request amends
	scan   string     // the paper that the decision was entered from
	draft  *draft     // the workflow whose text the form holds, examined
	rang   []string   // timers that the command let ring
}

// byID, byTask and byLink select the request of a command.
const (
	byID   = `id = ?`
	byTask = `id = (SELECT request_id FROM task WHERE id = ?)`
	byLink = `id = (SELECT request_id FROM decision_link WHERE hash = ?)`
)

// load locks a request and reads all that its next event depends on, in one
// statement; an absent one is fault.Missing.
func (s *Service) load(ctx context.Context, tx *store.Tx, where string, key any, now time.Time, cal *calendar.Calendar) (*thread, error) {
	r := store.NewReads(tx)
	loaded := s.askLoad(r, tx, where, key, now, cal)
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	return loaded(ctx)
}

// askLoad is load beside other reads.
func (s *Service) askLoad(r *store.Reads, tx *store.Tx, where string, key any, now time.Time, cal *calendar.Calendar) func(context.Context) (*thread, error) {
	var rows []row
	r.SQL(&rows, `SELECT * FROM request WHERE `+where+` ?`, key, s.db.Lock(false))
	return func(ctx context.Context) (_ *thread, err error) {
		if len(rows) == 0 {
			return nil, fault.Missing()
		}
		t := &thread{svc: s, tx: tx, now: now, cal: cal, row: rows[0]}
		tx.Fence(`SELECT 1 FROM request WHERE id = ? AND head = ?`, t.row.ID, t.row.Head)
		if t.def, err = s.version(ctx, tx, t.row.VersionID); err != nil {
			return nil, err
		}
		if t.st, err = readState(t.row.State); err != nil {
			return nil, err
		}
		t.before, t.apart, t.filled = t.st, readApart(t.row.Apart), stored(t.row.Form)
		return t, nil
	}
}

func readState(text string) (flow.State, error) {
	var st flow.State
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		return st, fmt.Errorf("workflow: the stored state cannot be read: %w", err)
	}
	return st, nil
}

// apply lets the core decide and folds what comes of it.
func (t *thread) apply(ctx context.Context, cmd flow.Command, facts flow.Facts) error {
	st, events, err := flow.Next(t.def.Flow, t.st, cmd, facts)
	if err != nil {
		return t.refusal(ctx, err)
	}
	t.st, t.events = st, append(t.events, events...)
	return nil
}

// taskID names a task outside of its request. It is made of the request, the
// task's name and the time of opening, so that replaying events gives the same
// identifiers; like every other it is a UUIDv7, ordered by time.
func taskID(request id.ID, t flow.Task) id.ID { return derived(request, t.ID, t.OpenedAt) }

func decisionID(request id.ID, task string, at time.Time) id.ID {
	return derived(request, "decision "+task, at)
}

func derived(request id.ID, name string, at time.Time) id.ID {
	sum := sha256.Sum256(append(request[:], name...))
	var out id.ID
	copy(out[:], sum[:])
	ms := at.UnixMilli()
	for i := range 6 {
		out[i] = byte(ms >> (40 - 8*i))
	}
	out[6] = 0x70 | out[6]&0x0f // version 7
	out[8] = 0x80 | out[8]&0x3f // variant of RFC 9562
	return out
}

func personID(s string) id.ID {
	var out id.ID
	_ = out.UnmarshalText([]byte(s)) // the engine's persons are identifiers
	return out
}

// save writes the events and all that follows from them with the transaction;
// fresh says that the request itself is new.
func (t *thread) save(action string, fresh bool) error {
	if len(t.events) == 0 {
		return nil
	}
	head, events, err := t.sealed()
	if err != nil {
		return err
	}
	state, err := json.Marshal(t.st)
	if err != nil {
		return err
	}
	places, err := json.Marshal(t.apart)
	if err != nil {
		return err
	}
	r := &t.row
	r.State, r.Status, r.FormRev, r.Seq = string(state), t.st.Status, t.st.Rev(), int64(t.st.Seq)
	r.Head, r.Form, r.Apart, r.ChangedAt, r.ClosedAt = head, string(t.filled.JSON), string(places), t.now, t.st.ClosedAt
	if c := t.st.CloseOut; c != nil {
		r.CloseOutDue, r.ClosedOutAt = c.Due.At, c.DoneAt
	}
	if fresh {
		t.tx.Queue(t.svc.db.Bun().NewInsert().Model(r))
	} else {
		t.tx.Queue(t.svc.db.Bun().NewUpdate().Model(r).WherePK().
			Column("state", "status", "title", "form_rev", "form", "apart", "seq", "head", "changed_at", "closed_at",
				"version_id", "close_out_due", "closed_out_at"))
	}
	if t.st.Rev() > t.before.Rev() {
		if err := t.saveRevision(t.st.Form()); err != nil {
			return err
		}
		t.saveOnce()
	}
	t.tx.Queue(t.svc.db.Bun().NewInsert().Model(&events))
	t.saveTasks()
	t.saveDecisions()
	t.saveTimers()
	t.tell()
	audit.Record(t.tx, audit.Entry{Actor: t.actor, Seat: t.seat, Action: action, Object: r.ref(), At: t.now,
		Data: map[string]any{"rev": r.FormRev, "seq": r.Seq, "head": r.Head, "status": r.Status}})
	return nil
}

// sealed chains the new events and gives the new head; hashes are hex.
func (t *thread) sealed() (string, []eventRow, error) {
	head, err := readHash(t.row.Head)
	if err != nil {
		return "", nil, err
	}
	rows := make([]eventRow, 0, len(t.events))
	for i, ev := range t.events {
		seq := t.before.Seq + 1 + i
		body, sum, err := flow.Seal(head, seq, ev)
		if err != nil {
			return "", nil, err
		}
		rows = append(rows, eventRow{RequestID: t.row.ID, Seq: int64(seq), Type: ev.Body.Type(), At: ev.At,
			Body: string(body), Prev: hex.EncodeToString(head[:]), Hash: hex.EncodeToString(sum[:])})
		head = sum
	}
	return hex.EncodeToString(head[:]), rows, nil
}

// readHash reads a hex hash; "" is the zero hash before the first event.
func readHash(text string) (out [32]byte, err error) {
	if text == "" {
		return out, nil
	}
	if n, err := hex.Decode(out[:], []byte(text)); err != nil || n != len(out) {
		return out, fmt.Errorf("workflow: %.70q is no hash", text)
	}
	return out, nil
}

func (t *thread) saveRevision(digests flow.Form) error {
	raw, err := json.Marshal(digests.Digests)
	if err != nil {
		return err
	}
	t.tx.Queue(t.svc.db.Bun().NewInsert().Model(&revisionRow{RequestID: t.row.ID, Rev: digests.Rev, Form: t.row.Form, Apart: t.row.Apart,
		Digests: string(raw), ByPerson: t.row.Requester, At: t.now}))
	return nil
}

// saveTasks writes the tasks that are new or changed.
func (t *thread) saveTasks() {
	old := len(t.before.Tasks)
	for _, x := range flow.ChangedTasks(t.before, t.st) {
		r := taskRow{ID: taskID(t.row.ID, x), RequestID: t.row.ID, Definition: t.row.Definition, Name: x.ID, Step: x.Step, Round: x.Round,
			Person: personID(x.Elector.Person), ForPerson: personID(x.Elector.For), Seat: x.Elector.Seat, Origin: string(x.Origin),
			State: x.State, Verdict: x.Verdict, OpenedAt: x.OpenedAt, DueAt: x.DueAt, ClosedAt: x.ClosedAt, ClosedBy: personID(x.ClosedBy),
			Within: x.Within, Optional: t.st.Step(x.Step).Rule.Kind == flow.Objection}
		if !x.ClosedAt.IsZero() {
			took := int64(x.ClosedAt.Sub(x.OpenedAt) / time.Second)
			r.Took = &took
		}
		k := slices.IndexFunc(t.st.Tasks, func(y flow.Task) bool { return y.ID == x.ID })
		isNew := k >= old
		if isNew {
			t.tx.Queue(t.svc.db.Bun().NewInsert().Model(&r))
		} else {
			t.tx.Queue(t.svc.db.Bun().NewUpdate().Model(&r).WherePK().Column("step", "state", "verdict", "due_at", "closed_at", "closed_by", "took"))
		}
		if x.State == flow.TaskOpen && isNew {
			t.put(TopicOpened, TaskPayload{Request: t.row.ID, Task: r.ID, Person: r.Person, Seat: r.Seat})
		}
	}
	if t.before.Rev() > 0 && t.st.Rev() > t.before.Rev() {
		t.askAnew()
	}
}

// askAnew tells those whose task stayed open over an edit: what they were sent
// shows the form as it was, and their links are outdated.
func (t *thread) askAnew() {
	for _, x := range t.before.Tasks {
		if now := t.st.Task(x.ID); x.State == flow.TaskOpen && now.State == flow.TaskOpen {
			t.put(TopicOpened, TaskPayload{Request: t.row.ID, Task: taskID(t.row.ID, x), Person: personID(x.Elector.Person), Seat: x.Elector.Seat, Changed: true})
		}
	}
}

// saveDecisions writes one row for each task that was answered, and the link
// from the request to it.
func (t *thread) saveDecisions() {
	for _, v := range t.st.Votes[len(t.before.Votes):] {
		if t.st.Task(v.Task).Origin == flow.ByAmend {
			continue // decided in the request that this one amends
		}
		t.decided(v.Task, v.By, decisionRow{Verdict: v.Verdict, FormRev: v.CastRev, ReadDigest: v.Read,
			CarriedFrom: t.taskOf(v.CarriedFrom)}, v.Note)
	}
	for _, ev := range t.events {
		if b, ok := ev.Body.(flow.SentBack); ok {
			reads := t.st.Step(b.Step).Reads
			t.decided(b.Task, ev.By, decisionRow{Verdict: flow.Return, Target: b.To, FormRev: b.FormRev,
				ReadDigest: flow.ReadDigest(reads, t.before.Form())}, b.Note)
		}
	}
}

func (t *thread) decided(task string, by flow.Actor, d decisionRow, note *flow.Note) {
	d.ID, d.RequestID, d.TaskID = decisionID(t.row.ID, task, t.now), t.row.ID, t.taskOf(task)
	d.Person, d.ForPerson, d.Seat, d.Door, d.At = personID(by.Person), personID(by.For), by.Seat, by.Door, t.now
	if note != nil {
		d.Note = note.Ref
	}
	if by.Door == flow.Paper && d.CarriedFrom.IsZero() {
		d.Scan = t.scan
	}
	d.Recorder = personID(by.Recorder)
	t.tx.Queue(t.svc.db.Bun().NewInsert().Model(&d))
	if d.CarriedFrom.IsZero() {
		outbox.Link(t.tx, t.row.ref(), outbox.Ref{Kind: RefDecision, ID: d.ID}, "decided", t.now)
	}
}

// taskOf gives the identifier of a task by its name, zero for "".
func (t *thread) taskOf(name string) id.ID {
	if x := t.st.Task(name); x != nil {
		return taskID(t.row.ID, *x)
	}
	return id.Nil
}

// saveTimers arms the next timer of each open step and voids those that are
// over. One is enough: when it rings, the step's next one is armed.
func (t *thread) saveTimers() {
	before, after := nextTimers(t.before), nextTimers(t.st)
	var gone, rang []string
	for _, name := range sortedKeys(before) {
		if _, still := after[name]; still {
			continue
		}
		if slices.Contains(t.rang, name) {
			rang = append(rang, name)
		} else {
			gone = append(gone, name)
		}
	}
	if len(gone) > 0 {
		outbox.Void(t.tx, t.row.ID, gone...)
	}
	if len(rang) > 0 {
		outbox.Rang(t.tx, t.row.ID, rang...)
	}
	for _, name := range sortedKeys(after) {
		if x := after[name]; x != before[name] {
			outbox.Timer(t.tx, t.row.ID, name, outbox.Event{Topic: TopicDeadline, Aggregate: t.row.ID, Version: t.row.Seq, DueAt: x.At,
				Payload: deadlinePayload{Request: t.row.ID, Step: x.Step, Round: x.Round, N: x.N}})
		}
	}
}

// nextTimers is the earliest timer of each step's round; a reminder comes
// before what happens at the same moment.
func nextTimers(st flow.State) map[string]flow.Timer {
	out := map[string]flow.Timer{}
	for _, x := range st.Timers() {
		name := timerName(x)
		if now, ok := out[name]; !ok || x.At.Before(now.At) || x.At.Equal(now.At) && now.N == 0 {
			out[name] = x
		}
	}
	return out
}

func timerName(x flow.Timer) string { return x.Step + "#" + strconv.Itoa(x.Round) }

// tell puts what others act on: that the request changed, reminders, effects.
func (t *thread) tell() {
	t.put(TopicChanged, ChangedPayload{Request: t.row.ID, Status: t.st.Status, Before: t.before.Status})
	for _, ev := range t.events {
		switch b := ev.Body.(type) {
		case flow.Reminded:
			if b.Step == flow.CloseOutTimer {
				t.put(TopicOwed, OwedPayload{Request: t.row.ID})
			} else {
				t.remind(b.Tasks, false)
			}
		case flow.FellDue:
			if b.Step == flow.CloseOutTimer {
				t.put(TopicOwed, OwedPayload{Request: t.row.ID, Overdue: true})
			} else if b.Then == flow.ThenRemind || b.Then == flow.ThenReplace {
				t.remind(t.stillOpen(b.Tasks), true)
			}
		case flow.Nudged:
			t.tellTasks(TopicNudged, b.Tasks, false)
		case flow.Copied:
			t.watch(b.People)
		case flow.Closed:
			t.keep(t.cal)
			t.settleOnce(b.Status)
			if b.Status != flow.Approved {
				t.put(TopicRejected, RejectedPayload{Request: t.row.ID})
			}
			if b.Status == flow.Expired {
				t.tellExpired()
			}
			if b.Status == flow.Stopped {
				t.tellStopped()
			}
			if b.Status == flow.Approved && !t.row.Amends.IsZero() {
				t.put(TopicAmended, AmendedPayload{Request: t.row.ID, Base: t.row.Amends})
			}
			for _, effect := range b.Effects {
				t.put(TopicApproved, ApprovedPayload{Request: t.row.ID, Definition: t.row.Definition, Effect: effect})
			}
		}
	}
}

func (t *thread) remind(tasks []string, overdue bool) { t.tellTasks(TopicReminded, tasks, overdue) }

// tellTasks tells those who are asked by the tasks.
func (t *thread) tellTasks(topic string, tasks []string, overdue bool) {
	for _, name := range tasks {
		x := t.st.Task(name)
		t.put(topic, TaskPayload{Request: t.row.ID, Task: taskID(t.row.ID, *x), Person: personID(x.Elector.Person),
			Seat: x.Elector.Seat, Overdue: overdue})
	}
}

// watch lets people read the request and tells them.
func (t *thread) watch(people []string) {
	for _, p := range people {
		t.tx.QueueSQL(`INSERT INTO watcher (request_id, person, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, t.row.ID, personID(p), t.now)
		t.put(TopicCopied, PersonPayload{Request: t.row.ID, Person: personID(p)})
	}
}

// stillOpen are those of the tasks that nobody was given in the meantime.
func (t *thread) stillOpen(tasks []string) []string {
	return slices.DeleteFunc(slices.Clone(tasks), func(name string) bool { return t.st.Task(name).State != flow.TaskOpen })
}

// tellExpired tells those who were asked that nothing is left to do; the
// requester hears of it by the change of the status.
func (t *thread) tellExpired() {
	told := []string{t.row.Requester.String()}
	for _, x := range t.before.OpenTasks() {
		if p := x.Elector.Person; !slices.Contains(told, p) {
			told = append(told, p)
			t.put(TopicExpired, PersonPayload{Request: t.row.ID, Person: personID(p)})
		}
	}
}

// tellStopped tells everybody concerned, once each: the requester, who decided
// or was asked, who was copied.
func (t *thread) tellStopped() {
	people := []string{t.row.Requester.String()}
	for _, x := range t.st.Tasks {
		people = append(people, x.Elector.Person)
	}
	people = append(people, t.st.Copied...)
	slices.Sort(people)
	for _, p := range slices.Compact(people) {
		if personID(p) != t.actor {
			t.put(TopicStopped, PersonPayload{Request: t.row.ID, Person: personID(p)})
		}
	}
}

func (t *thread) put(topic string, payload any) {
	outbox.Put(t.tx, outbox.Event{Topic: topic, Aggregate: t.row.ID, Version: t.row.Seq, Payload: payload})
}
