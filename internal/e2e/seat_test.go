package e2e_test

import (
	"context"
	"testing"
	"time"

	"kelian/internal/app"
	"kelian/internal/audit"
	"kelian/internal/id"
	"kelian/internal/store"
	"kelian/internal/testkit"
	"kelian/org"
	"kelian/workflow"
)

// succession is one open purchase that waits for the keeper, whose seat is given
// to somebody else.
type succession struct {
	*world
	request        id.ID
	seat           id.ID // office.keeper
	keeper, newone id.ID
}

func succeed(t *testing.T, w *world, now time.Time) *succession {
	t.Helper()
	x := &succession{world: w, keeper: w.person("songlan"), newone: w.person("linxiaoman")}
	if err := w.app.DB.R.NewRaw(`SELECT id FROM seat WHERE name = 'office.keeper'`).Scan(t.Context(), &x.seat); err != nil {
		t.Fatal(err)
	}
	requester, err := org.Judge(t.Context(), w.app.DB.R, org.Actor{Person: w.person("zhouhang"), Lang: "zh"}, now)
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.app.Workflow.Submit(t.Context(), requester, workflow.SubmitInput{Definition: "office.property", Unit: "technical",
		Form: app.PartForm("光模块", 68000, ""), IdempotencyKey: id.Secret(22)})
	if err != nil {
		t.Fatal(err)
	}
	x.request = out.Request
	if got := x.asked(); got != x.keeper.String() {
		t.Fatalf("%s is asked, want the keeper %s", got, x.keeper)
	}
	return x
}

func (w *world) person(login string) id.ID {
	w.t.Helper()
	var p id.ID
	if err := w.app.DB.R.NewRaw(`SELECT person_id FROM account WHERE login = ?`, login).Scan(w.t.Context(), &p); err != nil {
		w.t.Fatal(err)
	}
	return p
}

// asked is who has the open task.
func (x *succession) asked() string {
	rows := x.rows(x.app.DB.Bun().NewSelect().Table("task").Column("person").Where("request_id = ?", x.request).Where("state = 'open'").String())
	if len(rows) != 1 {
		return ""
	}
	return rows[0][0]
}

func (x *succession) change(fn func(ctx context.Context, tx *store.Tx) error) {
	x.t.Helper()
	_, err := store.InTx(x.t.Context(), x.app.DB, store.Internal("change"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		return struct{}{}, fn(ctx, tx)
	})
	if err != nil {
		x.t.Fatal(err)
	}
}

// Who takes over a vacant seat is asked what waits there.
func TestOpenTasksWaitForTheNextHolderOfTheSeat(t *testing.T) {
	each(t, func(t *testing.T, s shape) {
		s.roles = []string{app.RoleWorker}
		w := open(t, s)
		now := w.app.Clock.Now()
		x := succeed(t, w, now)
		x.change(func(ctx context.Context, tx *store.Tx) error {
			var old org.Tenure
			err := tx.NewSelect().Model(&old).Where("person_id = ?", x.keeper).Where("seat_id = ?", x.seat).Scan(ctx)
			org.Dismiss(tx, old, w.app.Clock.Now(), audit.Entry{At: now})
			return err
		})
		eventually(t, "the end of the term is handled", func() bool {
			return len(x.rows(`SELECT 1 FROM outbox WHERE topic = 'workflow.refresh' AND state = 'done'`)) > 0
		})
		x.change(func(ctx context.Context, tx *store.Tx) error {
			return org.Appoint(ctx, tx, org.Tenure{ID: id.New(), SeatID: x.seat, PersonID: x.newone, Kind: org.Full, From: w.app.Clock.Now()}, audit.Entry{At: now})
		})
		eventually(t, "the new keeper is asked", func() bool { return x.asked() == x.newone.String() })
	})
}

// Terms also begin and end by their dates alone, of which no event tells.
func TestEachNightOpenTasksFollowTheDates(t *testing.T) {
	each(t, func(t *testing.T, s shape) {
		clock := testkit.Clock()
		clock.Advance(time.Since(clock.Now()))
		s.roles = []string{app.RoleWorker}
		s.options = func(o *app.Options) { o.Clock = clock }
		w := open(t, s)
		now := clock.Now()
		x := succeed(t, w, now)
		x.change(func(_ context.Context, tx *store.Tx) error {
			tx.QueueSQL(`UPDATE tenure SET until_at = ? WHERE person_id = ? AND seat_id = ?`, now.Add(time.Second), x.keeper, x.seat)
			tx.QueueSQL(`INSERT INTO tenure (id, seat_id, person_id, kind, from_at) VALUES (?, ?, ?, 'FULL', ?)`, id.New(), x.seat, x.newone, now.Add(time.Second))
			return nil
		})
		for n := range 2 { // the first night puts the second
			night := afterNight(clock.Now().In(w.app.Config.Timezone))
			clock.Advance(night.Sub(clock.Now()))
			if n == 0 { // by the second the step is late and asks somebody else
				eventually(t, "the new keeper is asked", func() bool { return x.asked() == x.newone.String() })
			}
			eventually(t, "the timer of the next night waits", func() bool {
				return len(x.rows(w.app.DB.Bun().NewSelect().Table("outbox").Column("id").Where("name = 'refresh.daily'").Where("state = 'pending'").Where("due_at > ?", night.UTC()).String())) == 1
			})
		}
	})
}

// afterNight is the next moment right after the nightly jobs.
func afterNight(now time.Time) time.Time {
	at := time.Date(now.Year(), now.Month(), now.Day(), 4, 1, 0, 0, now.Location())
	if at.Sub(now) < time.Minute {
		at = at.AddDate(0, 0, 1)
	}
	return at
}
