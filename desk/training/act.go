package training

import (
	"context"
	"slices"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// ActInput is an action on a task.
type ActInput struct {
	Task           id.ID
	Action         Action
	Person         id.ID // swap: the colleague; assign: who gets it
	Yes            bool  // answer: takes it over
	IdempotencyKey string
}

// Outcome is what an action leaves.
type Outcome struct {
	Task    id.ID
	State   TaskState
	Version int64
}

// Act runs an action on a task.
func (s *Service) Act(ctx context.Context, actor org.Actor, in ActInput) (Outcome, error) {
	if needs := in.Action == ActSwap || in.Action == ActAssign; needs == in.Person.IsZero() {
		return Outcome{}, fault.Input("person", "换人和指派要选一个人，其他操作不用", "name a person to swap with or to assign, and none otherwise")
	}
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "training "+string(in.Action), in.IdempotencyKey, in)
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (Outcome, error) {
		r := store.NewReads(tx)
		judged, loaded := org.AskJudge(r, actor, now), s.askTask(r, tx, in.Task)
		if err := r.Run(ctx); err != nil {
			return Outcome{}, err
		}
		a, err := judged()
		if err != nil {
			return Outcome{}, err
		}
		session, t, err := loaded()
		if err == nil && !s.rules.Can(a, actRead, org.Object{Unit: "technical"}) {
			err = fault.Missing()
		}
		if err != nil {
			return Outcome{}, err
		}
		object := org.Object{Unit: "technical", State: string(t.State)}
		if !t.Person.IsZero() {
			object.Assignee = []id.ID{t.Person}
		}
		if err := s.rules.Check(a, "training."+string(in.Action), object); err != nil {
			return Outcome{}, err
		}
		if err := allowed(in.Action, t); err != nil {
			return Outcome{}, err
		}
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: "training." + string(in.Action), Object: t.Ref(),
			Data: map[string]any{"from": t.State, "person": in.Person, "yes": in.Yes}, At: now})
		if err := s.run(ctx, tx, a, session, t, in, now); err != nil {
			return Outcome{}, err
		}
		return Outcome{t.ID, t.State, t.Version}, nil
	})
}

func (s *Service) run(ctx context.Context, tx *store.Tx, a org.Actor, session *Session, t *Task, in ActInput, now time.Time) error {
	switch in.Action {
	case ActAccept:
		s.dispatch.Accept(tx, t.Assignment, now)
		t.State = Accepted
		s.save(tx, t, now)
		return nil
	case ActDecline:
		end := dispatch.StateDeclined
		if t.State == Accepted {
			end = dispatch.Released
		}
		return s.next(ctx, tx, session, t, end, now)
	case ActDone:
		s.dispatch.End(tx, t.Assignment, dispatch.Done, now)
		t.State, t.SwapTo, t.SwapUntil = Done, id.Nil, time.Time{}
		s.save(tx, t, now)
		return nil
	case ActSwap:
		return s.swap(ctx, tx, session, t, in.Person, now)
	case ActAnswer:
		return s.answer(ctx, tx, a, session, t, in.Yes, now)
	case ActAssign:
		return s.assign(ctx, tx, a, session, t, in.Person, now)
	}
	return fault.Input("action", "没有这个操作", "no such action")
}

// swap asks a colleague who could have been chosen to take the task over; the
// task stays where it is until the colleague says yes.
func (s *Service) swap(ctx context.Context, tx *store.Tx, session *Session, t *Task, to id.ID, now time.Time) error {
	if to == t.Person {
		return fault.Refuse("SAME_PERSON", "任务已经在这位同学手上", "this person has the task already").At("person")
	}
	r := store.NewReads(tx)
	fits := s.askFits(r, session, t, to)
	if err := r.Run(ctx); err != nil {
		return err
	}
	if err := fits(); err != nil {
		return err
	}
	t.SwapTo, t.SwapUntil = to, now.Add(AnswerWithin)
	s.save(tx, t, now)
	m := s.message(session, t, "training.swap", now)
	m.Params["until"] = s.local(t.SwapUntil)
	s.Tell.Person(tx, to, m)
	return nil
}

// askFits refuses, once the reads have run, somebody without a seat or the
// skill that the task needs.
func (s *Service) askFits(r *store.Reads, session *Session, t *Task, person id.ID) func() error {
	candidates := org.AskCandidates(r, session.StartsAt, s.Location, planOf(t.Kind).wider)
	return func() error {
		people, err := candidates()
		if err != nil {
			return err
		}
		return fits(people, need(session, t).Skills, person)
	}
}

func fits(people []org.Candidate, skills []string, person id.ID) error {
	for _, p := range people {
		if p.Person != person {
			continue
		}
		for _, skill := range skills {
			if !slices.Contains(p.Skills, skill) && !slices.Contains(p.Certificates, skill) {
				w := dispatch.SkillWords(skill)
				return fault.Refuse("LACKS_SKILL", "这位同学不会"+w.Zh, "this person does not know "+w.En).At("person")
			}
		}
		if p.Absent {
			return fault.Refuse("AWAY", "这位同学那天请假", "this person is on leave then").At("person")
		}
		return nil
	}
	return fault.Refuse("NOT_ELIGIBLE", "这位同学不在技术部，不能接这个任务", "this person holds no seat that takes the task").At("person")
}

// answer is the colleague's word on a swap.
func (s *Service) answer(ctx context.Context, tx *store.Tx, a org.Actor, session *Session, t *Task, yes bool, now time.Time) error {
	if t.SwapTo != a.Person || a.Anonymous() {
		return fault.Deny("training.answer", "被请求换班的同学", "the colleague who was asked")
	}
	if now.After(t.SwapUntil) {
		return fault.Refuse("SWAP_OVER", "这个换人请求已过期", "this request to swap has lapsed")
	}
	if !yes {
		t.SwapTo, t.SwapUntil = id.Nil, time.Time{}
		s.save(tx, t, now)
		return nil
	}
	s.dispatch.End(tx, t.Assignment, dispatch.StateTaken, now)
	r := store.NewReads(tx)
	beside := askBeside(r, session, t)
	asg, err := s.dispatch.Give(ctx, tx, r, t.task(), need(session, t), a.Person, dispatch.TakenOver, id.Nil, now)
	if err != nil {
		return err
	}
	t.State, t.Person, t.Assignment, t.SwapTo, t.SwapUntil = Accepted, asg.Person, asg.ID, id.Nil, time.Time{}
	s.save(tx, t, now)
	return s.relieve(ctx, tx, session, beside(t.Person), now)
}

// assign offers the task to a person that a lead named, whoever had it.
func (s *Service) assign(ctx context.Context, tx *store.Tx, a org.Actor, session *Session, t *Task, person id.ID, now time.Time) error {
	if !t.Assignment.IsZero() {
		s.dispatch.End(tx, t.Assignment, dispatch.StateTaken, now)
	}
	r := store.NewReads(tx)
	fits, beside := s.askFits(r, session, t, person), askBeside(r, session, t)
	asg, err := s.dispatch.Give(ctx, tx, r, t.task(), need(session, t), person, dispatch.ByHand, a.Person, now)
	if err == nil || fault.IsRule(err, "CAPACITY") {
		if unfit := fits(); unfit != nil {
			return unfit
		}
	}
	if err != nil {
		return err
	}
	s.offered(tx, session, t, asg, now)
	return s.relieve(ctx, tx, session, beside(t.Person), now)
}

// Cancel ends the request's sessions that have not begun, in the caller's
// transaction, with their tasks and timers.
func (s *Service) Cancel(ctx context.Context, tx *store.Tx, request id.ID, now time.Time) error {
	var sessions []id.ID
	err := tx.NewSelect().Model((*Session)(nil)).Column("id").Where("request = ?", request).Where("state = ?", Planned).
		Where("starts_at > ?", now).OrderExpr("id").Scan(ctx, &sessions)
	if err != nil && !store.NoRows(err) {
		return err
	}
	for _, one := range sessions {
		tx.QueueSQL(`UPDATE training_session SET state = 'CANCELLED' WHERE id = ?`, one)
		var ids []id.ID
		err := tx.NewSelect().Model((*Task)(nil)).Column("id").Where("session = ?", one).OrderExpr("id").Scan(ctx, &ids)
		if err != nil && !store.NoRows(err) {
			return err
		}
		for _, i := range ids {
			_, t, err := s.load(ctx, tx, i)
			if err != nil {
				return err
			}
			if t.State == Done {
				continue
			}
			if !t.Assignment.IsZero() {
				s.dispatch.End(tx, t.Assignment, dispatch.Cancelled, now)
			}
			t.State, t.Person, t.Assignment, t.SwapTo, t.SwapUntil = Dropped, id.Nil, id.Nil, id.Nil, time.Time{}
			s.save(tx, t, now)
			outbox.Void(tx, t.ID)
		}
	}
	if len(sessions) > 0 {
		audit.Record(tx, audit.Entry{Action: "training.cancel", Object: outbox.Ref{Kind: "req", ID: request}, Data: map[string]int{"sessions": len(sessions)}, At: now})
	}
	return nil
}
