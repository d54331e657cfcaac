package training_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kelian/desk/request"
	"kelian/desk/tell"
	"kelian/desk/training"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/internal/testkit"
	mk "kelian/internal/testkit/make"
	"kelian/org"

	"github.com/uptrace/bun"
)

func TestMain(m *testing.M) { testkit.Main(m) }

var (
	bg       = context.Background()
	shanghai = time.FixedZone("Asia/Shanghai", 8*3600)
)

type world struct {
	t        *testing.T
	db       *store.DB
	clock    *clock.Fake
	svc      *training.Service
	handlers mk.Handlers
	told     []tell.Message
	form     map[string]any
	meta     request.Meta
	request  id.ID
	head     org.Actor
}

func (w *world) Form(_ context.Context, _ bun.IDB, one id.ID) (map[string]any, request.Meta, error) {
	if one == w.request {
		return w.form, w.meta, nil
	}
	return nil, request.Meta{}, fault.Missing()
}

// newWorld has a head and a training on Tuesday 2026-10-20, 19:00 to 21:00.
func newWorld(t *testing.T, db *store.DB) *world {
	t.Helper()
	w := &world{t: t, db: db, clock: testkit.Clock(), request: id.New(), meta: request.Meta{Title: "剪辑入门", Requester: id.New(), Status: "APPROVED"},
		form: map[string]any{"topic": "剪辑入门", "seats": float64(40), "skill": "video",
			"sessions": []any{map[string]any{"start": "2026-10-20T19:00", "end": "2026-10-20T21:00", "room": "A101"}}}}
	w.svc = training.New(db, w.clock, org.NewTable(training.Rules()), training.Options{Location: shanghai, Requests: w,
		Tell: func(_ *store.Tx, m tell.Message) { w.told = append(w.told, m) }})
	w.handlers = mk.Handlers{"workflow.approved": w.svc.OnApprovedTraining, "workflow.changed": w.svc.OnRequestChanged,
		"training.offer.lapsed": w.svc.OnOfferLapsed, "training.task.ask": w.svc.OnAsk, "training.task.warn": w.svc.OnWarn}
	w.handlers.Route()
	mk.Federation(t, db)
	w.head = org.Actor{Person: mk.Officer(t, db, "技术部长", "technical.head"), Lang: "zh"}
	return w
}

func (w *world) person(name, skill string, seats ...string) org.Actor {
	w.t.Helper()
	p := mk.Officer(w.t, w.db, name, seats...)
	if skill != "" {
		w.sql(`INSERT INTO skill (person_id, name, certificate, from_at) VALUES (?, ?, FALSE, ?)`, p, skill, testkit.Start.AddDate(0, -1, 0))
	}
	return org.Actor{Person: p, Lang: "zh"}
}

func (w *world) sql(text string, args ...any) {
	w.t.Helper()
	mk.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		tx.QueueSQL(text, args...)
		return nil
	})
}

func (w *world) event(topic string) {
	w.t.Helper()
	mk.InTx(w.t, w.db, func(_ context.Context, tx *store.Tx) error {
		outbox.Put(tx, outbox.Event{Topic: topic, Payload: map[string]any{"request": w.request, "effect": training.EffectSchedule}})
		return nil
	})
	w.handlers.Drain(w.t, w.db, w.clock)
}

func (w *world) after(d time.Duration) {
	w.t.Helper()
	w.clock.Advance(d)
	w.handlers.Drain(w.t, w.db, w.clock)
}

func (w *world) session() training.Session {
	w.t.Helper()
	rows, _, err := w.svc.Sessions(bg, w.head, false, store.Page{First: 10})
	if err != nil || len(rows) != 1 {
		w.t.Fatal(rows, err)
	}
	return rows[0]
}

func (w *world) task(k training.Kind) training.TaskView {
	w.t.Helper()
	rows, err := w.svc.TasksOf(bg, w.head, w.session().ID)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rows {
		if r.Kind == k {
			return r
		}
	}
	w.t.Fatalf("no task %s in %+v", k, rows)
	return training.TaskView{}
}

func (w *world) act(a org.Actor, in training.ActInput) error {
	_, err := w.svc.Act(bg, a, in)
	return err
}

func (w *world) toldTo(topic string, p id.ID) (n int) {
	for _, m := range w.told {
		if m.Topic == topic && m.To == p {
			n++
		}
	}
	return n
}

func TestAnApprovedTrainingBecomesASessionWithFiveTasks(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		teacher := w.person("讲师", "video", "technical.trainer")
		for _, n := range []string{"甲", "乙", "丙"} {
			w.person(n, "", "technical.member")
		}
		w.person("不会剪辑的讲师", "network", "technical.trainer")
		w.event("workflow.approved")
		w.event("workflow.approved") // a second time makes no second session
		s := w.session()
		if s.Title != "剪辑入门" || s.Place != "A101" || s.Seats != 40 || !s.StartsAt.Equal(time.Date(2026, 10, 20, 11, 0, 0, 0, time.UTC)) {
			t.Fatalf("%+v", s)
		}
		rows, err := w.svc.TasksOf(bg, w.head, s.ID)
		if err != nil || len(rows) != 5 {
			t.Fatal(rows, err)
		}
		for i, want := range []struct {
			kind training.Kind
			due  time.Time
		}{{training.Prepare, s.StartsAt.Add(-48 * time.Hour)}, {training.Assist, s.StartsAt.Add(-30 * time.Minute)}, {training.CheckIn, s.StartsAt.Add(-15 * time.Minute)},
			{training.Teach, s.StartsAt}, {training.WrapUp, s.EndsAt.Add(48 * time.Hour)}} {
			if rows[i].Kind != want.kind || !rows[i].DueAt.Equal(want.due) || rows[i].State != training.Offered {
				t.Fatalf("task %d: %+v, want %+v", i, rows[i], want)
			}
		}
		teach := w.task(training.Teach)
		if teach.Person != teacher.Person || teach.Name != "讲*" || !strings.HasPrefix(teach.Why.Zh, "会video，现在有空") || w.toldTo("training.offered", teacher.Person) == 0 {
			t.Fatalf("%+v", teach)
		}
		// Nobody does two things of one session at once.
		seen := map[id.ID]training.Kind{}
		for _, k := range []training.Kind{training.Teach, training.Assist, training.CheckIn} {
			p := w.task(k).Person
			if seen[p] != "" {
				t.Fatalf("%s and %s are with one person", seen[p], k)
			}
			seen[p] = k
		}
		nodes, _, _, err := outbox.Trace(bg, db, outbox.Ref{Kind: "req", ID: w.request})
		if err != nil || len(nodes) != 1+1+5+5 {
			t.Fatalf("%d nodes: %v %v", len(nodes), nodes, err)
		}
		mine, err := w.svc.MyTasks(bg, teacher)
		if err != nil || len(mine) == 0 {
			t.Fatal(mine, err)
		}
	})
}

func TestWhoSaysNoIsNotAskedAgain(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		people := map[id.ID]org.Actor{}
		for _, n := range []string{"讲师一", "讲师二"} {
			a := w.person(n, "video", "technical.trainer")
			people[a.Person] = a
		}
		w.event("workflow.approved")
		task := w.task(training.Teach)
		first := people[task.Person]
		if err := w.act(w.head, training.ActInput{Task: task.ID, Action: training.ActAccept}); !fault.Is(err, fault.Forbidden) {
			t.Fatalf("somebody else accepted: %v", err)
		}
		in := training.ActInput{Task: task.ID, Action: training.ActDecline, IdempotencyKey: "d"}
		for range 2 { // the press twice declines once
			if err := w.act(first, in); err != nil {
				t.Fatal(err)
			}
		}
		second := w.task(training.Teach)
		if second.Person == first.Person || second.State != training.Offered {
			t.Fatalf("%+v", second)
		}
		// Word of the older offer leaves the open one alone.
		mk.InTx(t, db, func(_ context.Context, tx *store.Tx) error {
			outbox.Put(tx, outbox.Event{Topic: "training.offer.lapsed", Payload: map[string]id.ID{"task": task.ID, "offer": task.Assignment}})
			return nil
		})
		w.after(0)
		if got := w.task(training.Teach); got.Assignment != second.Assignment {
			t.Fatalf("%+v", got)
		}
		if err := w.act(people[second.Person], training.ActInput{Task: task.ID, Action: training.ActAccept}); err != nil {
			t.Fatal(err)
		}
		if got := w.task(training.Teach); got.State != training.Accepted {
			t.Fatalf("%+v", got)
		}
		// Accepted, it does not lapse, and nobody is warned.
		w.after(5 * 24 * time.Hour)
		if got := w.task(training.Teach); got.State != training.Accepted || w.toldTo("training.unfilled", w.head.Person) != 0 {
			t.Fatalf("%+v", got)
		}
		if err := w.act(people[second.Person], training.ActInput{Task: task.ID, Action: training.ActDone}); err != nil {
			t.Fatal(err)
		}
		if err := w.act(people[second.Person], training.ActInput{Task: task.ID, Action: training.ActDecline}); !fault.IsRule(err, "WRONG_STATE") {
			t.Fatal(err)
		}
	})
}

func TestAnUnacceptedTeachWidensAndWarns(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		trainer := w.person("讲师", "video", "technical.trainer")
		for _, n := range []string{"甲", "乙", "丙", "丁"} {
			w.person(n, "", "technical.member")
		}
		member := w.person("会剪辑的干事", "video", "technical.member")
		w.event("workflow.approved")
		if p := w.task(training.Teach).Person; p != trainer.Person {
			t.Fatal("the trainer is asked first")
		}
		w.after(24*time.Hour - time.Minute)
		if p := w.task(training.Teach).Person; p != trainer.Person {
			t.Fatal("the trainer has 24 hours")
		}
		w.after(time.Minute)
		if got := w.task(training.Teach); got.Person != member.Person || w.toldTo("training.offered", member.Person) == 0 {
			t.Fatalf("%+v", got)
		}
		// The start is on the 20th at 19:00: the head is warned on the 18th at 19:00.
		w.after(time.Date(2026, 10, 18, 10, 59, 0, 0, time.UTC).Sub(w.clock.Now()))
		if n := w.toldTo("training.unfilled", w.head.Person); n != 0 {
			t.Fatalf("warned %d times too early", n)
		}
		w.after(time.Minute)
		if n := w.toldTo("training.unfilled", w.head.Person); n != 1 {
			t.Fatalf("warned %d times, want once", n)
		}
		if got := w.task(training.Teach); got.State != training.Open {
			t.Fatalf("everybody was silent: %+v", got)
		}
		// The head assigns: somebody who can, and only as an offer.
		unskilled := w.person("干事", "", "technical.member")
		if err := w.act(w.head, training.ActInput{Task: w.task(training.Teach).ID, Action: training.ActAssign, Person: unskilled.Person}); !fault.IsRule(err, "LACKS_SKILL") {
			t.Fatal(err)
		}
		if err := w.act(member, training.ActInput{Task: w.task(training.Teach).ID, Action: training.ActAssign, Person: member.Person}); !fault.Is(err, fault.Forbidden) {
			t.Fatal(err)
		}
		if err := w.act(w.head, training.ActInput{Task: w.task(training.Teach).ID, Action: training.ActAssign, Person: trainer.Person}); err != nil {
			t.Fatal(err)
		}
		if got := w.task(training.Teach); got.State != training.Offered || got.Person != trainer.Person || got.Why.En != "knows video, given by hand" && !strings.Contains(got.Why.Zh, "指派") {
			t.Fatalf("%+v", got)
		}
	})
}

// A teacher is never at the door too: what else they had of the session goes to
// somebody else, or waits for somebody.
func TestWhoHelpsCanBeAskedToTeach(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		helper := w.person("会剪辑的干事", "video", "technical.member")
		w.event("workflow.approved")
		if got := w.task(training.Assist); got.Person != helper.Person {
			t.Fatalf("%+v", got)
		}
		w.after(25 * time.Hour)
		teach, assist := w.task(training.Teach), w.task(training.Assist)
		if teach.Person != helper.Person || assist.Person == helper.Person {
			t.Fatalf("teaches %v, assists %v", teach.Person, assist.Person)
		}
	})
}

func TestFreeHoursOfTheSessionCount(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		// Free now, on Wednesday morning, and in class on Tuesday evening.
		inClass := w.person("有课的讲师", "video", "technical.trainer")
		w.sql(`INSERT INTO free_hour (person_id, weekday, parity, from_min, to_min) VALUES (?, 3, 'all', 0, 1440)`, inClass.Person)
		free := w.person("没课的讲师", "video", "technical.trainer")
		w.sql(`INSERT INTO free_hour (person_id, weekday, parity, from_min, to_min) VALUES (?, 2, 'all', 1080, 1320)`, free.Person)
		w.event("workflow.approved")
		if got := w.task(training.Teach); got.Person != free.Person {
			t.Fatalf("%+v", got)
		}
	})
}

func TestASwapIsBetweenTheTwo(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		one := w.person("讲师一", "video", "technical.trainer")
		for _, n := range []string{"甲", "乙", "丙", "丁"} {
			w.person(n, "", "technical.member")
		}
		w.event("workflow.approved")
		two := w.person("讲师二", "video", "technical.trainer")
		outsider := w.person("外联干事", "video", "liaison.member")
		task := w.task(training.Teach).ID
		if err := w.act(one, training.ActInput{Task: task, Action: training.ActAccept}); err != nil {
			t.Fatal(err)
		}
		swap := training.ActInput{Task: task, Action: training.ActSwap, Person: two.Person}
		for _, c := range []struct {
			who  org.Actor
			to   id.ID
			want string
		}{{one, one.Person, "SAME_PERSON"}, {one, outsider.Person, "NOT_ELIGIBLE"}} {
			if err := w.act(c.who, training.ActInput{Task: task, Action: training.ActSwap, Person: c.to}); !fault.IsRule(err, c.want) {
				t.Fatalf("want %s: %v", c.want, err)
			}
		}
		if err := w.act(one, swap); err != nil || w.toldTo("training.swap", two.Person) != 1 {
			t.Fatal(err)
		}
		answer := func(a org.Actor, yes bool) error {
			return w.act(a, training.ActInput{Task: task, Action: training.ActAnswer, Yes: yes})
		}
		if err := answer(outsider, true); !fault.Is(err, fault.Forbidden) {
			t.Fatal(err)
		}
		if err := answer(two, false); err != nil {
			t.Fatal(err)
		}
		if got := w.task(training.Teach); got.Person != one.Person || !got.SwapTo.IsZero() {
			t.Fatalf("%+v", got)
		}
		if err := w.act(one, swap); err != nil {
			t.Fatal(err)
		}
		w.after(25 * time.Hour)
		if err := answer(two, true); !fault.IsRule(err, "SWAP_OVER") {
			t.Fatal(err)
		}
		if err := w.act(one, swap); err != nil {
			t.Fatal(err)
		}
		if err := answer(two, true); err != nil {
			t.Fatal(err)
		}
		if got := w.task(training.Teach); got.Person != two.Person || got.State != training.Accepted {
			t.Fatalf("%+v", got)
		}
		if got := w.loads(); got[one.Person] != 0 || got[two.Person] != 1 {
			t.Fatalf("the loads: %v", got)
		}
	})
}

// loads counts what each has in hand, beside TEACH nothing is looked at.
func (w *world) loads() map[id.ID]int {
	w.t.Helper()
	var rows []struct {
		Person id.ID
		N      int
	}
	err := w.db.R.NewRaw(`SELECT a.person, count(*) AS n FROM assignment AS a JOIN training_task AS t ON t.id = a.task_id
		WHERE t.kind = 'TEACH' AND a.state IN ('OFFERED', 'ACCEPTED') GROUP BY a.person`).Scan(bg, &rows)
	if err != nil && !store.NoRows(err) {
		w.t.Fatal(err)
	}
	out := map[id.ID]int{}
	for _, r := range rows {
		out[r.Person] = r.N
	}
	return out
}

func TestAStoppedTrainingFreesEverybody(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		for _, n := range []string{"讲师一", "讲师二", "讲师三"} {
			w.person(n, "video", "technical.trainer")
		}
		w.event("workflow.approved")
		s := w.session()
		w.event("workflow.changed") // an approved one stays as it is
		if w.task(training.Teach).State != training.Offered {
			t.Fatal("an approved training was cancelled")
		}
		w.meta.Status = "STOPPED"
		w.event("workflow.changed")
		got, err := w.svc.SessionByID(bg, w.head, s.ID)
		if err != nil || got.State != training.Cancelled {
			t.Fatal(got, err)
		}
		var load, timers int
		if err := db.R.NewRaw(`SELECT COALESCE(sum(load), 0) FROM workload`).Scan(bg, &load); err != nil || load != 0 {
			t.Fatalf("%d tasks still in hand, %v", load, err)
		}
		if err := db.R.NewRaw(`SELECT count(*) FROM outbox WHERE owner IS NOT NULL AND state = 'pending'`).Scan(bg, &timers); err != nil || timers != 0 {
			t.Fatalf("%d timers left, %v", timers, err)
		}
	})
}

func TestNobodyFitsUntilSomebodyComes(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.event("workflow.approved")
		if got := w.task(training.Teach); got.State != training.Open {
			t.Fatalf("%+v", got)
		}
		w.after(30 * time.Hour)
		late := w.person("新讲师", "video", "technical.member")
		w.after(6 * time.Hour)
		if got := w.task(training.Teach); got.State != training.Offered || got.Person != late.Person {
			t.Fatalf("%+v", got)
		}
	})
}

// Whom the approved form names is asked first, and whoever fits after a no.
func TestTheFormsTrainerIsAskedFirst(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		fits := w.person("讲师", "video", "technical.trainer")
		for _, n := range []string{"甲", "乙", "丙", "丁"} {
			w.person(n, "", "technical.member")
		}
		named := w.person("外请的干事", "", "publicity.member")
		w.meta.Requester = w.head.Person
		w.form["trainer"] = named.Person.TypeID("per")
		w.event("workflow.approved")
		got := w.task(training.Teach)
		if got.Person != named.Person || got.State != training.Offered || !strings.Contains(got.Why.Zh, "指派") {
			t.Fatalf("%+v", got)
		}
		if err := w.act(named, training.ActInput{Task: got.ID, Action: training.ActDecline}); err != nil {
			t.Fatal(err)
		}
		if got := w.task(training.Teach); got.Person != fits.Person {
			t.Fatalf("%+v", got)
		}
	})
}

func TestCoursesNameTheSkillOfTheirTeacher(t *testing.T) {
	testkit.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		in := training.CourseInput{Code: "solder", TitleZh: "焊接入门", TitleEn: "Soldering", Skill: "electric", IdempotencyKey: "c"}
		if _, err := w.svc.SaveCourse(bg, w.person("会长", "", "society.robotics.chair"), in); !fault.Is(err, fault.Forbidden) {
			t.Fatal(err)
		}
		if _, err := w.svc.SaveCourse(bg, w.head, in); err != nil {
			t.Fatal(err)
		}
		w.person("剪辑讲师", "video", "technical.trainer")
		solder := w.person("焊接讲师", "electric", "technical.trainer")
		w.form = map[string]any{"course": "solder", "trainer": "", "when": map[string]any{"from": "2026-10-20T19:00:00+08:00"}}
		w.event("workflow.approved")
		if s := w.session(); s.Title != "焊接入门" || s.EndsAt.Sub(s.StartsAt) != 2*time.Hour {
			t.Fatalf("%+v", s)
		}
		if got := w.task(training.Teach); got.Person != solder.Person {
			t.Fatalf("%+v", got)
		}
	})
}
