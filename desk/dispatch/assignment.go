package dispatch

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// RefKind is the TypeID prefix of assignments.
const RefKind = "asg"

// State of an assignment. OFFERED and ACCEPTED are live.
type State string

// The states.
const (
	Offered       State = "OFFERED"
	Accepted      State = "ACCEPTED"
	StateDeclined State = "DECLINED"
	Lapsed        State = "LAPSED"
	Released      State = "RELEASED"
	StateTaken    State = "TAKEN_OVER"
	Done          State = "DONE"
	Cancelled     State = "CANCELLED"
)

// Live says whether the assignment counts against the capacity.
func (s State) Live() bool { return s == Offered || s == Accepted }

// Assignment is one person asked to do one task.
type Assignment struct {
	bun.BaseModel `bun:"table:assignment"`

	ID         id.ID `bun:",pk"`
	TaskKind   string
	TaskID     id.ID
	Person     id.ID
	State      State
	How        How
	ByPerson   id.ID `bun:",nullzero"` // who named the person, for ByHand
	OfferedAt  time.Time
	Deadline   time.Time `bun:",nullzero"` // of an offer; business time
	AnsweredAt time.Time `bun:",nullzero"`
	EndedAt    time.Time `bun:",nullzero"`
	Reasons    string    `bun:"explanation"` // an Explanation as JSON
}

// Ref is the assignment in links.
func (a *Assignment) Ref() outbox.Ref { return outbox.Ref{Kind: RefKind, ID: a.ID} }

// Explanation is why this person was asked.
func (a *Assignment) Explanation() Explanation {
	var e Explanation
	_ = json.Unmarshal([]byte(a.Reasons), &e) // written by this package
	return e
}

// Task is what is given out. Kind is the desk's word in topics: an offer that
// nobody answers comes back as the event <Kind>.offer.lapsed with the payload
// {<Key>: task, "offer": assignment}.
type Task struct {
	Kind string     // repair, training
	Key  string     // ticket, task
	Ref  outbox.Ref // the object
}

// Dispatcher holds what a federation sets about dispatching.
type Dispatcher struct {
	Location *time.Location              // of free hours
	Deadline time.Duration               // to answer an offer; 15 min is usual
	Term     func(t time.Time) time.Time // when the term of t began
}

// New makes a dispatcher; a zero deadline is 15 minutes, without term it begins
// on 1 February and 1 September, local time.
func New(loc *time.Location, deadline time.Duration, term func(time.Time) time.Time) *Dispatcher {
	if deadline == 0 {
		deadline = 15 * time.Minute
	}
	if term == nil {
		term = func(t time.Time) time.Time { return halfYear(t, loc) }
	}
	return &Dispatcher{Location: loc, Deadline: deadline, Term: term}
}

func halfYear(t time.Time, loc *time.Location) time.Time {
	l := t.In(loc)
	switch m := l.Month(); {
	case m >= time.September:
		return time.Date(l.Year(), time.September, 1, 0, 0, 0, 0, loc).UTC()
	case m >= time.February:
		return time.Date(l.Year(), time.February, 1, 0, 0, 0, 0, loc).UTC()
	}
	return time.Date(l.Year()-1, time.September, 1, 0, 0, 0, 0, loc).UTC()
}

// Search is for whom to ask.
type Search struct {
	Task  Task
	Need  Need
	Seats []string  // whose holders can be asked at all
	Since time.Time // whoever was asked for this task at or after it and does not have it is not asked again
	At    time.Time // when skills, absences and free hours are looked at; zero = now
	// Busy, if there is one, gives those who cannot be asked for another reason,
	// once the reads have run.
	Busy func() map[id.ID]Code
}

// Offer asks the next person. The caller holds the lock of the task's row and
// sees that it has no live assignment, or has ended it by End just before. ok
// is false when nobody fits; the choice then says what each one lacks. It runs
// the reads of r beside its own, and so takes one round trip.
func (d *Dispatcher) Offer(ctx context.Context, tx *store.Tx, r *store.Reads, s Search, now time.Time) (a *Assignment, choice Choice, ok bool, err error) {
	if s.At.IsZero() {
		s.At = now
	}
	people := org.AskCandidates(r, s.At, d.Location, s.Seats)
	measured := d.askLoads(tx, r, s, now)
	if err := r.Run(ctx); err != nil {
		return nil, choice, false, err
	}
	known, err := people()
	if err != nil {
		return nil, choice, false, err
	}
	candidates, excluded := measured(known)
	choice, ok = Choose(s.Need, candidates, excluded)
	if !ok {
		return nil, choice, false, nil
	}
	tx.QueueSQL(`UPDATE workload SET load = load + 1, last_at = ? WHERE person = ?`, now, choice.Person)
	a = &Assignment{Person: choice.Person, State: Offered, How: Dispatched, Deadline: now.Add(d.Deadline), Reasons: choice.Explanation(s.Need).encode()}
	d.put(tx, s.Task, a, now)
	return a, choice, true, nil
}

// askLoads locks the candidates' loads in the order of their ids, so that
// dispatchers at the same time choose one after the other and never wait in a
// circle.
func (d *Dispatcher) askLoads(tx *store.Tx, r *store.Reads, s Search, now time.Time) func([]org.Candidate) ([]Candidate, map[id.ID]Code) {
	var rows []struct {
		Person         id.ID
		Load, Capacity int
		LastAt         time.Time `bun:",nullzero"`
		Done           int
		Asked          *string
	}
	seats := bun.List(s.Seats)
	tx.QueueSQL(`INSERT INTO workload (person, load, capacity) SELECT id, 0, ? FROM person
		WHERE id IN (`+org.HoldersSQL+`) AND NOT EXISTS (SELECT 1 FROM workload WHERE workload.person = person.id) ORDER BY id ON CONFLICT DO NOTHING`,
		DefaultCapacity, seats, s.At, s.At)
	r.SQL(&rows, `SELECT w.person, w.load, w.capacity, w.last_at,
			(SELECT count(*) FROM assignment AS a WHERE a.person = w.person AND a.state = 'DONE' AND a.ended_at >= ?) AS done,
			(SELECT max(a.state) FROM assignment AS a WHERE a.task_id = ? AND a.person = w.person AND a.offered_at >= ?
				AND a.state IN ('DECLINED', 'LAPSED', 'RELEASED', 'TAKEN_OVER')) AS asked
		FROM workload AS w WHERE w.person IN (`+org.HoldersSQL+`) ORDER BY w.person ?`,
		d.Term(now), s.Task.Ref.ID, s.Since, seats, s.At, s.At, tx.DB.Lock(false))
	return func(people []org.Candidate) ([]Candidate, map[id.ID]Code) {
		var out []Candidate
		excluded := map[id.ID]Code{}
		if s.Busy != nil {
			excluded = s.Busy()
		}
		for _, w := range rows {
			i := slices.IndexFunc(people, func(c org.Candidate) bool { return c.Person == w.Person })
			if i < 0 {
				continue
			}
			out = append(out, Candidate{Candidate: people[i], Load: w.Load, Capacity: w.Capacity, DoneThisTerm: w.Done, Last: w.LastAt})
			if w.Asked != nil {
				excluded[w.Person] = askedCode(State(*w.Asked))
			}
		}
		return out, excluded
	}
}

func askedCode(s State) Code {
	switch s {
	case StateDeclined:
		return Declined
	case Lapsed:
		return Silent
	}
	return GaveBack
}

// Give assigns the task to a named person: ByHand as an offer with a deadline,
// Claimed and TakenOver as accepted. Free hours and skills are the caller's to
// judge; the capacity holds for everybody. by is who named the person, zero for
// oneself. The caller holds the lock of the task's row, and the reads of r run
// beside, as for Offer.
func (d *Dispatcher) Give(ctx context.Context, tx *store.Tx, r *store.Reads, task Task, need Need, person id.ID, how How, by id.ID, now time.Time) (*Assignment, error) {
	var taken []id.ID
	r.SQL(&taken, `INSERT INTO workload (person, load, capacity, last_at) SELECT id, 1, ?, ? FROM person WHERE id = ?
		ON CONFLICT (person) DO UPDATE SET load = workload.load + 1, last_at = EXCLUDED.last_at WHERE workload.load < workload.capacity
		RETURNING person`, DefaultCapacity, now, person)
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	if len(taken) == 0 {
		return nil, fault.Refuse("CAPACITY", "这位同学手上的任务已满，请换人或先完成、退回一件", "this person's hands are full; ask somebody else, or finish or give back a task first")
	}
	a := &Assignment{Person: person, State: Offered, How: how, ByPerson: by, Deadline: now.Add(d.Deadline), Reasons: Explanation{How: how, Need: need}.encode()}
	if how != ByHand {
		a.State, a.Deadline, a.AnsweredAt = Accepted, time.Time{}, now
	}
	d.put(tx, task, a, now)
	return a, nil
}

func (d *Dispatcher) put(tx *store.Tx, task Task, a *Assignment, now time.Time) {
	a.ID, a.TaskKind, a.TaskID, a.OfferedAt = id.New(), task.Kind, task.Ref.ID, now
	tx.Queue(tx.DB.Bun().NewInsert().Model(a))
	outbox.Link(tx, task.Ref, a.Ref(), "assigned", now)
	if a.State == Offered {
		outbox.Timer(tx, a.ID, "lapse", outbox.Event{Topic: task.Kind + ".offer.lapsed", Aggregate: task.Ref.ID,
			Payload: map[string]id.ID{task.Key: task.Ref.ID, "offer": a.ID}, DueAt: a.Deadline})
	}
}

// Accept marks the offer as accepted and takes its timer back. The caller
// holds the lock of the task's row and knows that the offer is open.
func (d *Dispatcher) Accept(tx *store.Tx, assignment id.ID, now time.Time) {
	tx.QueueSQL(`UPDATE assignment SET state = 'ACCEPTED', answered_at = ? WHERE id = ? AND state = 'OFFERED'`, now, assignment)
	outbox.Void(tx, assignment, "lapse")
}

// End closes a live assignment with the given state and gives its place in the
// capacity back, once however often it is called. to is not a live state.
func (d *Dispatcher) End(tx *store.Tx, assignment id.ID, to State, now time.Time) {
	if to.Live() {
		panic("dispatch: an assignment does not end as " + string(to))
	}
	tx.QueueSQL(`UPDATE workload SET load = load - 1 WHERE person = (SELECT person FROM assignment WHERE id = ? AND state IN ('OFFERED', 'ACCEPTED'))`, assignment)
	tx.QueueSQL(`UPDATE assignment SET state = ?, ended_at = ?, answered_at = COALESCE(answered_at, ?) WHERE id = ? AND state IN ('OFFERED', 'ACCEPTED')`,
		to, now, now, assignment)
	outbox.Void(tx, assignment, "lapse")
}

// SetCapacity sets how many tasks a person has at most, 0 to 50. Fewer than the
// person has now is refused: the tasks in hand stay where they are.
func SetCapacity(ctx context.Context, tx *store.Tx, person id.ID, n int) error {
	if n < 0 || n > 50 {
		return fault.Input("capacity", "任务上限必须在 0 到 50 之间", "the capacity must be between 0 and 50")
	}
	_, err := tx.NewRaw(`INSERT INTO workload (person, load, capacity) VALUES (?, 0, ?)
		ON CONFLICT (person) DO UPDATE SET capacity = EXCLUDED.capacity`, person, n).Exec(ctx)
	if store.IsConstraint(err) {
		return fault.Refuse("CAPACITY", "手上的任务比新的上限多，请先转交", "there are more tasks in hand than the new capacity; hand some over first")
	}
	return err
}

// History reads the assignments of tasks, oldest first.
func History(ctx context.Context, q bun.IDB, kind string, tasks ...id.ID) ([]Assignment, error) {
	if len(tasks) == 0 {
		return nil, nil
	}
	var rows []Assignment
	err := q.NewSelect().Model(&rows).Where("task_kind = ?", kind).Where("task_id IN (?)", bun.List(tasks)).OrderExpr("offered_at, id").Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	return rows, nil
}

// ByID reads assignments.
func ByID(ctx context.Context, q bun.IDB, ids ...id.ID) (map[id.ID]*Assignment, error) {
	out := map[id.ID]*Assignment{}
	if len(ids) == 0 {
		return out, nil
	}
	var rows []Assignment
	if err := q.NewSelect().Model(&rows).Where("id IN (?)", bun.List(ids)).Scan(ctx); err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	for i := range rows {
		out[rows[i].ID] = &rows[i]
	}
	return out, nil
}
