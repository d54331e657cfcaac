package training

import (
	"context"
	"time"

	"kelian/desk/dispatch"
	"kelian/desk/request"
	"kelian/desk/tell"
	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Options is what the desk is bound to.
type Options struct {
	Location *time.Location // of dates in forms and messages; nil = UTC
	Requests request.Reader
	Tell     tell.Teller
}

// Service is the training desk.
type Service struct {
	db       *store.DB
	clock    clock.Clock
	rules    *org.Table
	dispatch *dispatch.Dispatcher
	Options
}

// New makes the desk.
func New(db *store.DB, c clock.Clock, rules *org.Table, o Options) *Service {
	if o.Location == nil {
		o.Location = time.UTC
	}
	return &Service{db: db, clock: c, rules: rules, dispatch: dispatch.New(o.Location, AnswerWithin, nil), Options: o}
}

// CourseInput creates a course, or changes the one with the same code.
type CourseInput struct {
	Code           string // 1 to 40 characters
	TitleZh        string // 1 to 100 characters
	TitleEn        string
	Skill          string // that its teacher has; "" = teach
	IdempotencyKey string
}

// SaveCourse sets a course.
func (s *Service) SaveCourse(ctx context.Context, actor org.Actor, in CourseInput) (id.ID, error) {
	if n := len([]rune(in.Code)); n < 1 || n > 40 {
		return id.Nil, fault.Input("code", "编号须为 1 到 40 个字", "the code has 1 to 40 characters")
	}
	if n := len([]rune(in.TitleZh)); n < 1 || n > 100 || len([]rune(in.TitleEn)) > 200 {
		return id.Nil, fault.Input("titleZh", "名称须为 1 到 100 个字", "the title has 1 to 100 characters")
	}
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "saveCourse", in.IdempotencyKey, in)
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (id.ID, error) {
		a, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return id.Nil, err
		}
		if err := s.rules.Check(a, actCourse, org.Object{Unit: "technical"}); err != nil {
			return id.Nil, err
		}
		row := &Course{ID: id.New(), Code: in.Code, TitleZh: in.TitleZh, TitleEn: in.TitleEn, Skill: in.Skill, CreatedAt: now}
		err = tx.NewInsert().Model(row).On("CONFLICT (code) DO UPDATE").
			Set("title_zh = EXCLUDED.title_zh, title_en = EXCLUDED.title_en, skill = EXCLUDED.skill").Returning("id").Scan(ctx, &row.ID)
		audit.Record(tx, audit.Entry{Actor: a.Person, Seat: a.Acting, Action: actCourse, Object: outbox.Ref{Kind: "crs", ID: row.ID}, At: now})
		return row.ID, err
	})
}

// Courses lists all courses by code, at most 1000.
func (s *Service) Courses(ctx context.Context, actor org.Actor) ([]Course, error) {
	if err := s.judge(ctx, actor); err != nil {
		return nil, err
	}
	var rows []Course
	err := s.db.R.NewSelect().Model(&rows).OrderExpr("code").Limit(1000).Scan(ctx)
	return rows, noRows(err)
}

// Sessions lists sessions by their start, those to come first reached: with
// past false from now on, soonest first; with past true before now, newest
// first. next is the cursor of the following page, "" = none.
func (s *Service) Sessions(ctx context.Context, actor org.Actor, past bool, page store.Page) (rows []Session, next string, err error) {
	if err := page.Check(); err != nil {
		return nil, "", err
	}
	if err := s.judge(ctx, actor); err != nil {
		return nil, "", err
	}
	now := s.clock.Now()
	at, last, _ := page.At()
	q := s.db.R.NewSelect().Model(&rows).Limit(int64(page.First) + 1)
	if past {
		q = q.Where("starts_at < ?", now).OrderExpr("starts_at DESC, id DESC")
	} else {
		q = q.Where("starts_at >= ?", now).OrderExpr("starts_at, id")
	}
	if !last.IsZero() {
		q = q.Where(map[bool]string{true: "(starts_at, id) < (?, ?)", false: "(starts_at, id) > (?, ?)"}[past], at, last)
	}
	if err := noRows(q.Scan(ctx)); err != nil {
		return nil, "", err
	}
	if len(rows) > page.First {
		rows = rows[:page.First]
		next = store.Cursor(rows[page.First-1].StartsAt, rows[page.First-1].ID)
	}
	return rows, next, nil
}

// SessionByID reads one session.
func (s *Service) SessionByID(ctx context.Context, actor org.Actor, session id.ID) (*Session, error) {
	if err := s.judge(ctx, actor); err != nil {
		return nil, err
	}
	return s.session(ctx, s.db.R, session)
}

// TaskView is a task with why its person has it.
type TaskView struct {
	Task
	Name string         // of the person, masked
	Why  dispatch.Words // zero while nobody is asked
}

// TasksOf lists the tasks of sessions in the order of their due times.
func (s *Service) TasksOf(ctx context.Context, actor org.Actor, sessions ...id.ID) ([]TaskView, error) {
	if err := s.judge(ctx, actor); err != nil || len(sessions) == 0 {
		return nil, err
	}
	return s.tasks(ctx, func(q *bun.SelectQuery) *bun.SelectQuery { return q.Where("session IN (?)", bun.List(sessions)) })
}

// MyTasks lists what the actor is asked to do, has accepted, or is asked to
// take over, by due time.
func (s *Service) MyTasks(ctx context.Context, actor org.Actor) ([]TaskView, error) {
	if actor.Person.IsZero() {
		return nil, fault.SignIn()
	}
	return s.tasks(ctx, func(q *bun.SelectQuery) *bun.SelectQuery {
		return q.Where("state IN ('OFFERED', 'ACCEPTED')").Where("person = ? OR swap_to = ?", actor.Person, actor.Person)
	})
}

func (s *Service) tasks(ctx context.Context, where func(*bun.SelectQuery) *bun.SelectQuery) ([]TaskView, error) {
	var rows []Task
	if err := noRows(where(s.db.R.NewSelect().Model(&rows)).OrderExpr("due_at, id").Limit(1000).Scan(ctx)); err != nil {
		return nil, err
	}
	var people, asgs []id.ID
	for _, t := range rows {
		if !t.Assignment.IsZero() {
			people, asgs = append(people, t.Person), append(asgs, t.Assignment)
		}
	}
	held, err := dispatch.ByID(ctx, s.db.R, asgs...)
	if err != nil {
		return nil, err
	}
	for _, a := range held {
		people = append(people, a.Explanation().People()...)
	}
	names, err := org.Names(ctx, s.db.R, people...)
	if err != nil {
		return nil, err
	}
	for p, n := range names {
		names[p] = org.Mask(n)
	}
	out := make([]TaskView, len(rows))
	for i, t := range rows {
		out[i] = TaskView{Task: t}
		if a := held[t.Assignment]; a != nil {
			out[i].Name, out[i].Why = names[t.Person], a.Explanation().Sentence(names)
		}
	}
	return out, nil
}

// MayRead says whether the actor may see sessions and tasks, for traces.
func (s *Service) MayRead(ctx context.Context, actor org.Actor) (bool, error) {
	err := s.judge(ctx, actor)
	if fault.Is(err, fault.Forbidden) || fault.Is(err, fault.Unauthenticated) {
		return false, nil
	}
	return err == nil, err
}

func (s *Service) session(ctx context.Context, q bun.IDB, session id.ID) (*Session, error) {
	var row Session
	err := q.NewSelect().Model(&row).Where("id = ?", session).Scan(ctx)
	if store.NoRows(err) {
		return nil, fault.Missing()
	}
	return &row, store.Busy(err)
}

func (s *Service) judge(ctx context.Context, actor org.Actor) error {
	a, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return err
	}
	return s.rules.Check(a, actRead, org.Object{Unit: "technical"})
}

func noRows(err error) error {
	if store.NoRows(err) {
		return nil
	}
	return store.Busy(err)
}
