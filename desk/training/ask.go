package training

import (
	"context"
	"time"

	"kelian/desk/dispatch"
	"kelian/desk/tell"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

func (t *Task) task() dispatch.Task {
	return dispatch.Task{Kind: "training", Key: "task", Ref: t.Ref()}
}

func need(s *Session, t *Task) dispatch.Need {
	n := dispatch.Need{Kind: string(t.Kind)}
	if planOf(t.Kind).skill {
		n.Skills = []string{s.Skill}
	}
	return n
}

// seats are those whose holders can be asked now.
func seats(t *Task, now time.Time) []string {
	p := planOf(t.Kind)
	if now.Before(t.CreatedAt.Add(WidenAfter)) {
		return p.first
	}
	return p.wider
}

// ask offers an open task to whoever's turn it is. If nobody fits it is tried
// again: when more seats can be asked, later every few hours until it is due.
func (s *Service) ask(ctx context.Context, tx *store.Tx, session *Session, t *Task, now time.Time) error {
	if err := tx.Flush(ctx); err != nil { // the choice reads who was asked and how loaded everybody is
		return err
	}
	choice, ok, err := s.choose(ctx, tx, session, t, now)
	if err != nil {
		return err
	}
	if !ok {
		next := now.Add(AskAgain)
		if widen := t.CreatedAt.Add(WidenAfter); widen.After(now) {
			next = widen
		}
		if t.Kind != Teach {
			next = next.Add(time.Minute) // whoever comes is asked to teach first
		}
		if next.Before(t.DueAt) {
			timer(tx, t.ID, "ask", next)
		}
		return nil
	}
	n := need(session, t)
	a, err := s.dispatch.Give(ctx, tx, t.task(), n, choice.Person, dispatch.ByHand, id.Nil, now)
	if fault.IsRule(err, "CAPACITY") {
		// Somebody else gave them their last task since the choice.
		timer(tx, t.ID, "ask", now.Add(time.Minute))
		return nil
	}
	if err != nil {
		return err
	}
	// Give knows people that somebody named; this one the rule chose.
	tx.QueueSQL(`UPDATE assignment SET how = ?, explanation = ? WHERE id = ?`, dispatch.Dispatched, encode(choice.Explanation(n)), a.ID)
	s.offered(tx, session, t, a, now)
	return s.relieve(ctx, tx, session, t, now)
}

// relieve asks others for what the teacher was to do beside teaching.
func (s *Service) relieve(ctx context.Context, tx *store.Tx, session *Session, t *Task, now time.Time) error {
	if t.Kind != Teach {
		return nil
	}
	var ids []id.ID
	err := tx.NewSelect().Model((*Task)(nil)).Column("id").Where("session = ?", session.ID).Where("person = ?", t.Person).
		Where("kind IN ('ASSIST', 'CHECK_IN')").Where("state IN ('OFFERED', 'ACCEPTED')").OrderExpr("id").Scan(ctx, &ids)
	if err := noRows(err); err != nil {
		return err
	}
	for _, i := range ids {
		_, other, err := s.load(ctx, tx, i)
		if err == nil {
			err = s.next(ctx, tx, session, other, dispatch.Released, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// offered writes that somebody is asked and tells them.
func (s *Service) offered(tx *store.Tx, session *Session, t *Task, a *dispatch.Assignment, now time.Time) {
	t.State, t.Person, t.Assignment, t.SwapTo, t.SwapUntil = Offered, a.Person, a.ID, id.Nil, time.Time{}
	s.save(tx, t, now)
	outbox.Void(tx, t.ID, "ask")
	outbox.Put(tx, outbox.Event{Topic: "training.task.offered", Aggregate: t.ID, Version: t.Version,
		Payload: map[string]id.ID{"task": t.ID, "person": a.Person}})
	m := s.message(session, t, "training.offered", now)
	m.Params["until"] = s.local(a.Deadline)
	s.Tell.Person(tx, a.Person, m)
}

func (s *Service) save(tx *store.Tx, t *Task, now time.Time) {
	t.Version, t.ChangedAt = t.Version+1, now
	tx.Queue(tx.DB.Bun().NewUpdate().Model(t).WherePK())
}

// choose measures the candidates at the time of the work: who is away or in
// class then, not now.
func (s *Service) choose(ctx context.Context, q bun.IDB, session *Session, t *Task, now time.Time) (dispatch.Choice, bool, error) {
	at := session.StartsAt
	if t.Kind == Prepare || t.Kind == WrapUp {
		at = now // done at any hour
	}
	people, err := org.Candidates(ctx, q, at, s.Location, seats(t, now))
	if err != nil || len(people) == 0 {
		return dispatch.Choice{}, false, err
	}
	ids := make([]id.ID, len(people))
	for i, p := range people {
		ids[i] = p.Person
	}
	loads, err := dispatch.Workloads(ctx, q, ids...)
	if err != nil {
		return dispatch.Choice{}, false, err
	}
	past, err := dispatch.History(ctx, q, "training", t.ID)
	if err != nil {
		return dispatch.Choice{}, false, err
	}
	excluded := map[id.ID]dispatch.Code{}
	for _, a := range past {
		if code, ok := map[dispatch.State]dispatch.Code{dispatch.StateDeclined: dispatch.Declined, dispatch.Lapsed: dispatch.Silent,
			dispatch.Released: dispatch.GaveBack, dispatch.StateTaken: dispatch.GaveBack}[a.State]; ok {
			excluded[a.Person] = code
		}
	}
	if err := s.elsewhere(ctx, q, session, t, ids, excluded); err != nil {
		return dispatch.Choice{}, false, err
	}
	turns, err := s.turns(ctx, q, ids, now)
	if err != nil {
		return dispatch.Choice{}, false, err
	}
	var out []dispatch.Candidate
	for _, p := range people {
		w := loads[p.Person]
		out = append(out, dispatch.Candidate{Candidate: p, Load: w.Load, Capacity: w.Capacity, DoneThisTerm: turns[p.Person].Done, Last: turns[p.Person].Last})
	}
	choice, ok := dispatch.Choose(need(session, t), out, excluded)
	return choice, ok, nil
}

// elsewhere excludes those who have to be at another place, or do another
// thing at the same place, while the session runs. Who only helps at a session
// can still be asked to teach it.
func (s *Service) elsewhere(ctx context.Context, q bun.IDB, session *Session, t *Task, people []id.ID, excluded map[id.ID]dispatch.Code) error {
	if t.Kind == Prepare || t.Kind == WrapUp {
		return nil
	}
	var busy []id.ID
	err := q.NewRaw(`SELECT DISTINCT t.person FROM training_task AS t JOIN training_session AS s ON s.id = t.session
		WHERE t.person IN (?) AND t.id <> ? AND t.kind IN ('TEACH', 'ASSIST', 'CHECK_IN') AND t.state IN ('OFFERED', 'ACCEPTED')
		AND s.starts_at < ? AND s.ends_at > ? AND (s.id <> ? OR ? <> 'TEACH')`,
		bun.List(people), t.ID, session.EndsAt, session.StartsAt, session.ID, t.Kind).Scan(ctx, &busy)
	for _, p := range busy {
		if excluded[p] == "" {
			excluded[p] = dispatch.Busy
		}
	}
	return noRows(err)
}

type turn struct {
	Person id.ID
	Done   int
	Last   time.Time `bun:",nullzero"`
}

// turns reads what each has done this term and when they were last asked.
func (s *Service) turns(ctx context.Context, q bun.IDB, people []id.ID, now time.Time) (map[id.ID]turn, error) {
	var rows []turn
	err := q.NewRaw(`SELECT p.id AS person, (SELECT count(*) FROM assignment AS a WHERE a.person = p.id AND a.state = 'DONE' AND a.ended_at >= ?) AS done,
		(SELECT w.last_at FROM workload AS w WHERE w.person = p.id) AS last FROM person AS p WHERE p.id IN (?)`,
		s.dispatch.Term(now), bun.List(people)).Scan(ctx, &rows)
	out := map[id.ID]turn{}
	for _, r := range rows {
		out[r.Person] = r
	}
	return out, noRows(err)
}

// Handlers of the task's timers and of offers that lapsed; stale ones do
// nothing.

// OnAsk handles the timer training.task.ask: an open task is offered again.
func (s *Service) OnAsk(ctx context.Context, d outbox.Delivery) error {
	return s.onTask(ctx, d, func(ctx context.Context, tx *store.Tx, session *Session, t *Task, now time.Time) error {
		if t.State != Open || !now.Before(session.EndsAt) {
			return nil
		}
		return s.ask(ctx, tx, session, t, now)
	})
}

// OnWarn handles the timer training.task.warn: a session without a teacher is
// brought to the head's mind.
func (s *Service) OnWarn(ctx context.Context, d outbox.Delivery) error {
	return s.onTask(ctx, d, func(ctx context.Context, tx *store.Tx, session *Session, t *Task, now time.Time) error {
		if t.State != Open && t.State != Offered {
			return nil
		}
		return s.Tell.Seats(ctx, tx, s.message(session, t, "training.unfilled", now), "technical.head")
	})
}

// OnOfferLapsed handles the timer training.offer.lapsed: the next person is
// asked.
func (s *Service) OnOfferLapsed(ctx context.Context, d outbox.Delivery) error {
	var p struct {
		Offer id.ID `json:"offer"`
	}
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.onTask(ctx, d, func(ctx context.Context, tx *store.Tx, session *Session, t *Task, now time.Time) error {
		if t.State != Offered || t.Assignment != p.Offer {
			return nil
		}
		return s.next(ctx, tx, session, t, dispatch.Lapsed, now)
	})
}

// next ends what the task's person has of it and asks the next one.
func (s *Service) next(ctx context.Context, tx *store.Tx, session *Session, t *Task, end dispatch.State, now time.Time) error {
	s.dispatch.End(tx, t.Assignment, end, now)
	t.State, t.Person, t.Assignment, t.SwapTo, t.SwapUntil = Open, id.Nil, id.Nil, id.Nil, time.Time{}
	s.save(tx, t, now)
	return s.ask(ctx, tx, session, t, now)
}

func (s *Service) onTask(ctx context.Context, d outbox.Delivery, fn func(context.Context, *store.Tx, *Session, *Task, time.Time) error) error {
	var p taskPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx, now time.Time) error {
		session, t, err := s.load(ctx, tx, p.Task)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(ctx, tx, session, t, now)
	})
}

// load locks a task and reads its session.
func (s *Service) load(ctx context.Context, tx *store.Tx, task id.ID) (*Session, *Task, error) {
	var t Task
	q := tx.NewSelect().Model(&t).Where("id = ?", task)
	if s.db.Postgres() {
		q = q.For("UPDATE")
	}
	err := q.Scan(ctx)
	if store.NoRows(err) {
		return nil, nil, fault.Missing()
	}
	if err != nil {
		return nil, nil, err
	}
	session, err := s.session(ctx, tx, t.Session)
	return session, &t, err
}

func (s *Service) local(t time.Time) string { return t.In(s.Location).Format("01-02 15:04") }

func (s *Service) message(session *Session, t *Task, topic string, now time.Time) tell.Message {
	p := planOf(t.Kind)
	return tell.Message{Topic: topic, Ref: session.Ref(), Unit: "technical", At: now, Params: map[string]string{
		"course": session.Title, "task.zh": p.zh, "task.en": p.en, "start": session.StartsAt.In(s.Location).Format("2006-01-02 15:04")}}
}
