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

// ask offers an open task to whoever's turn it is: who is away or in class at
// the time of the work is not asked. If nobody fits it is tried again: when
// more seats can be asked, later every few hours until it is due.
func (s *Service) ask(ctx context.Context, tx *store.Tx, session *Session, t *Task, now time.Time) error {
	search := dispatch.Search{Task: t.task(), Need: need(session, t), Seats: seats(t, now)}
	r := store.NewReads(tx)
	if t.Kind != Prepare && t.Kind != WrapUp { // those are done at any hour
		search.At, search.Busy = session.StartsAt, askElsewhere(r, session, t, search.Seats)
	}
	beside := askBeside(r, session, t)
	a, _, ok, err := s.dispatch.Offer(ctx, tx, r, search, now)
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
	s.offered(tx, session, t, a, now)
	return s.relieve(ctx, tx, session, beside(t.Person), now)
}

// askBeside reads who is to help at the session while somebody is sought to
// teach it, and then gives the tasks of the person who was found.
func askBeside(r *store.Reads, session *Session, t *Task) func(person id.ID) []id.ID {
	var rows []struct{ ID, Person id.ID }
	if t.Kind == Teach {
		r.SQL(&rows, `SELECT id, person FROM training_task WHERE session = ? AND person IS NOT NULL AND kind IN ('ASSIST', 'CHECK_IN')
			AND state IN ('OFFERED', 'ACCEPTED') ORDER BY id`, session.ID)
	}
	return func(person id.ID) []id.ID {
		var out []id.ID
		for _, x := range rows {
			if x.Person == person {
				out = append(out, x.ID)
			}
		}
		return out
	}
}

// relieve asks others for what the teacher was to do beside teaching.
func (s *Service) relieve(ctx context.Context, tx *store.Tx, session *Session, tasks []id.ID, now time.Time) error {
	for _, i := range tasks {
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

// askElsewhere excludes those who have to be at another place, or do another
// thing at the same place, while the session runs. Who only helps at a session
// can still be asked to teach it.
func askElsewhere(r *store.Reads, session *Session, t *Task, seats []string) func() map[id.ID]dispatch.Code {
	var busy []id.ID
	r.SQL(&busy, `SELECT DISTINCT t.person FROM training_task AS t JOIN training_session AS s ON s.id = t.session
		WHERE t.person IN (`+org.HoldersSQL+`) AND t.id <> ? AND t.kind IN ('TEACH', 'ASSIST', 'CHECK_IN') AND t.state IN ('OFFERED', 'ACCEPTED')
		AND s.starts_at < ? AND s.ends_at > ? AND (s.id <> ? OR ? <> 'TEACH')`,
		bun.List(seats), session.StartsAt, session.StartsAt, t.ID, session.EndsAt, session.StartsAt, session.ID, t.Kind)
	return func() map[id.ID]dispatch.Code {
		out := map[id.ID]dispatch.Code{}
		for _, p := range busy {
			out[p] = dispatch.Busy
		}
		return out
	}
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
	r := store.NewReads(tx)
	loaded := s.askTask(r, tx, task)
	if err := r.Run(ctx); err != nil {
		return nil, nil, err
	}
	return loaded()
}

// askTask is load beside other reads.
func (s *Service) askTask(r *store.Reads, tx *store.Tx, task id.ID) func() (*Session, *Task, error) {
	var tasks []Task
	var sessions []Session
	r.SQL(&tasks, `SELECT * FROM training_task WHERE id = ? ?`, task, tx.DB.Lock(false))
	r.SQL(&sessions, `SELECT * FROM training_session WHERE id = (SELECT session FROM training_task WHERE id = ?)`, task)
	return func() (*Session, *Task, error) {
		if len(tasks) == 0 || len(sessions) == 0 {
			return nil, nil, fault.Missing()
		}
		return &sessions[0], &tasks[0], nil
	}
}

func (s *Service) local(t time.Time) string { return t.In(s.Location).Format("01-02 15:04") }

func (s *Service) message(session *Session, t *Task, topic string, now time.Time) tell.Message {
	p := planOf(t.Kind)
	return tell.Message{Topic: topic, Ref: session.Ref(), Unit: "technical", At: now, Params: map[string]string{
		"course": session.Title, "task.zh": p.zh, "task.en": p.en, "start": session.StartsAt.In(s.Location).Format("2006-01-02 15:04")}}
}
