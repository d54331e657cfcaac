package training

import (
	"context"
	"encoding/json"
	"time"

	"kelian/desk/dispatch"
	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// EffectSchedule is the on_approved effect that creates sessions.
const EffectSchedule = "training.schedule"

// Effects are the on_approved effects that this desk handles.
func Effects() []string { return []string{EffectSchedule} }

// SessionInput is one date of a training to be scheduled.
type SessionInput struct {
	Course   string // code or id; "" = none
	Title    string // "" = the course's
	Place    string
	StartsAt time.Time
	EndsAt   time.Time
	Seats    int
	Skill    string // that the teacher has; "" = the course's, or teach
	Trainer  id.ID  // who is asked to teach first; zero = by the dispatcher
}

// ScheduleInput is a training to be scheduled.
type ScheduleInput struct {
	Request  id.ID
	Owner    id.ID
	Sessions []SessionInput // 1 to 100
}

// Schedule creates the sessions of an approved request with their tasks, in
// the caller's transaction, and asks the first people.
func (s *Service) Schedule(ctx context.Context, tx *store.Tx, in ScheduleInput, now time.Time) ([]Session, error) {
	if n := len(in.Sessions); n < 1 || n > 100 {
		return nil, fault.Refuse("SESSIONS", "一次安排 1 到 100 场", "between 1 and 100 sessions at a time")
	}
	var out []Session
	for i, one := range in.Sessions {
		if !one.EndsAt.After(one.StartsAt) {
			return nil, fault.Refuse("SESSIONS", "结束时间须在开始之后", "a session ends after it starts")
		}
		row := Session{ID: id.New(), Request: in.Request, No: i + 1, Title: one.Title, Place: one.Place, StartsAt: one.StartsAt.UTC(), EndsAt: one.EndsAt.UTC(),
			Seats: max(0, one.Seats), Skill: one.Skill, Owner: in.Owner, State: Planned, CreatedAt: now}
		if err := s.course(ctx, tx, &row, one.Course); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	tx.Queue(tx.DB.Bun().NewInsert().Model(&out))
	var tasks []Task
	for i := range out {
		for _, p := range plans {
			tasks = append(tasks, Task{ID: id.New(), Session: out[i].ID, Kind: p.kind, State: Open, DueAt: p.due(&out[i]), Version: 1, CreatedAt: now, ChangedAt: now})
		}
	}
	tx.Queue(tx.DB.Bun().NewInsert().Model(&tasks))
	for i := range out {
		outbox.Link(tx, outbox.Ref{Kind: "req", ID: in.Request}, out[i].Ref(), "schedules", now)
	}
	audit.Record(tx, audit.Entry{Action: "training.schedule", Object: outbox.Ref{Kind: "req", ID: in.Request}, Data: map[string]int{"sessions": len(out)}, At: now})
	// Those who can teach are few: they are asked to teach before anybody is
	// asked for the rest.
	for _, teach := range []bool{true, false} {
		for i := range tasks {
			if (tasks[i].Kind == Teach) != teach {
				continue
			}
			if err := s.open(ctx, tx, &out[i/len(plans)], &tasks[i], in.Sessions[i/len(plans)].Trainer, now); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// open links a new task, sets its warning and asks the first person: to teach
// the one whom the approved form names, if an officer with a hand free.
func (s *Service) open(ctx context.Context, tx *store.Tx, session *Session, t *Task, trainer id.ID, now time.Time) error {
	outbox.Link(tx, session.Ref(), t.Ref(), "task", now)
	if t.Kind != Teach {
		return s.ask(ctx, tx, session, t, now)
	}
	timer(tx, t.ID, "warn", session.StartsAt.Add(-WarnBefore))
	officer, err := tx.NewSelect().Model((*org.Person)(nil)).Where("id = ?", trainer).Where("kind = ?", org.Officer).Where("erased_at IS NULL").Exists(ctx)
	if err != nil || !officer {
		if err != nil {
			return err
		}
		return s.ask(ctx, tx, session, t, now)
	}
	a, err := s.dispatch.Give(ctx, tx, store.NewReads(tx), t.task(), need(session, t), trainer, dispatch.ByHand, session.Owner, now)
	if fault.IsRule(err, "CAPACITY") {
		return s.ask(ctx, tx, session, t, now)
	}
	if err == nil {
		s.offered(tx, session, t, a, now)
	}
	return err
}

type taskPayload struct {
	Task id.ID `json:"task"`
}

// timer puts one of the task's timers: ask or warn.
func timer(tx *store.Tx, task id.ID, name string, due time.Time) {
	outbox.Timer(tx, task, name, outbox.Event{Topic: "training.task." + name, Aggregate: task, Payload: taskPayload{task}, DueAt: due})
}

// course fills a session from its course.
func (s *Service) course(ctx context.Context, q bun.IDB, row *Session, name string) error {
	var c Course
	if name != "" {
		sel := q.NewSelect().Model(&c)
		var one id.ID
		if _, typed, err := id.Split(name); err == nil {
			sel = sel.Where("id = ?", typed)
		} else if len(name) == 36 && one.UnmarshalText([]byte(name)) == nil {
			sel = sel.Where("id = ?", one)
		} else {
			sel = sel.Where("code = ?", name)
		}
		if err := sel.Scan(ctx); err != nil && !store.NoRows(err) {
			return err
		}
	}
	row.Course = c.ID
	if row.Title == "" {
		row.Title = c.TitleZh
	}
	if row.Title == "" {
		row.Title = name
	}
	if row.Skill == "" {
		row.Skill = c.Skill
	}
	if row.Skill == "" {
		row.Skill = "teach"
	}
	if r := []rune(row.Title); len(r) > 200 {
		row.Title = string(r[:200])
	}
	return nil
}

type effectPayload struct {
	Request id.ID  `json:"request"`
	Effect  string `json:"effect"`
}

// OnApprovedTraining handles workflow.approved with the effect
// training.schedule: it reads the approved form and creates the sessions. A
// request that has some already is left alone.
func (s *Service) OnApprovedTraining(ctx context.Context, d outbox.Delivery) error {
	var p effectPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	err := s.handle(ctx, d, func(ctx context.Context, tx *store.Tx, now time.Time) error {
		if p.Effect != EffectSchedule {
			return nil
		}
		form, meta, err := s.Requests.Form(ctx, tx, p.Request)
		if fault.Is(err, fault.NotFound) || err == nil && meta.Status != "APPROVED" {
			return nil
		}
		if err != nil {
			return err
		}
		have, err := tx.NewSelect().Model((*Session)(nil)).Where("request = ?", p.Request).Exists(ctx)
		if err != nil || have {
			return err
		}
		in := ScheduleInput{Request: p.Request, Owner: meta.Requester, Sessions: s.sessionsOf(form)}
		for i := range in.Sessions {
			if in.Sessions[i].Title == "" && in.Sessions[i].Course == "" {
				in.Sessions[i].Title = meta.Title
			}
		}
		_, err = s.Schedule(ctx, tx, in, now)
		return err
	})
	if fault.IsRule(err, "SESSIONS") {
		return outbox.Permanent(err)
	}
	return err
}

// OnRequestChanged handles workflow.changed: a stopped or withdrawn training
// does not take place.
func (s *Service) OnRequestChanged(ctx context.Context, d outbox.Delivery) error {
	var p effectPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx, now time.Time) error {
		_, meta, err := s.Requests.Form(ctx, tx, p.Request)
		if fault.Is(err, fault.NotFound) || err == nil && meta.Status != "STOPPED" && meta.Status != "WITHDRAWN" {
			return nil
		}
		if err != nil {
			return err
		}
		return s.Cancel(ctx, tx, p.Request, now)
	})
}

// sessionsOf reads the dates of a form: sessions [{start, end, room}], or the
// same fields on the form itself. Times are RFC 3339 or local
// 2006-01-02T15:04; without an end a session takes two hours.
func (s *Service) sessionsOf(form map[string]any) []SessionInput {
	parts := []any{}
	if list, ok := form["sessions"].([]any); ok {
		parts = list
	}
	if len(parts) == 0 {
		parts = []any{form}
	}
	var out []SessionInput
	for _, p := range parts {
		one, ok := p.(map[string]any)
		if !ok {
			continue
		}
		get := func(names ...string) string {
			for _, m := range []map[string]any{one, form} {
				for _, n := range names {
					if v, _ := m[n].(string); v != "" {
						return v
					}
				}
			}
			return ""
		}
		in := SessionInput{Course: get("course"), Title: get("title", "topic", "subject"), Place: get("room", "place"), Skill: get("skill"), Trainer: person(get("trainer"))}
		for _, m := range []map[string]any{form, one} {
			if n, ok := whole(m["seats"]); ok {
				in.Seats = n
			}
		}
		if w, ok := one["when"].(map[string]any); ok {
			one = w
		}
		in.StartsAt, ok = s.moment(get2(one, "start", "starts_at", "start_at", "from", "when"))
		if !ok {
			continue
		}
		if in.EndsAt, ok = s.moment(get2(one, "end", "ends_at", "end_at", "to", "until")); !ok {
			in.EndsAt = in.StartsAt.Add(2 * time.Hour)
		}
		out = append(out, in)
	}
	return out
}

// person reads a person's id or TypeID; anything else names nobody.
func person(text string) (one id.ID) {
	if _, typed, err := id.Split(text); err == nil {
		return typed
	}
	if len(text) != 36 || one.UnmarshalText([]byte(text)) != nil {
		return id.Nil
	}
	return one
}

func get2(m map[string]any, names ...string) string {
	for _, n := range names {
		if v, _ := m[n].(string); v != "" {
			return v
		}
	}
	return ""
}

func (s *Service) moment(text string) (time.Time, bool) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC().Truncate(time.Microsecond), true
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, s.Location); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// whole reads a whole number as JSON and Go decoders give it.
func whole(v any) (int, bool) {
	switch x := v.(type) {
	case int:
		return x, true
	case int64:
		return int(x), true
	case float64:
		return int(x), x == float64(int(x))
	case json.Number:
		n, err := x.Int64()
		return int(n), err == nil
	}
	return 0, false
}

func (s *Service) handle(ctx context.Context, d outbox.Delivery, fn func(context.Context, *store.Tx, time.Time) error) error {
	now := s.clock.Now()
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		return struct{}{}, fn(ctx, tx, now)
	})
	return err
}
