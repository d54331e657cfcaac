package notify

import (
	"context"
	"time"

	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// remindHour is the local hour at which open lines are brought to mind, all
// together, so that a head hears of them once a day.
const remindHour = 9

// putToTell adds a line with ready text to the to-tell list.
func (s *Service) putToTell(tx *store.Tx, n *Notification, d *Delivery, now time.Time) {
	row := &ToTell{ID: id.New(), Notification: n.ID, Delivery: d.ID, Recipient: d.Recipient, Unit: n.Unit, Channel: d.Channel,
		TextZh: s.render(n, "zh", n.Path).Text, TextEn: s.render(n, "en", n.Path).Text, State: ToldOpen, CreatedAt: now}
	tx.Queue(tx.DB.Bun().NewInsert().Model(row))
	s.remindAt(tx, row.ID, now)
}

func (s *Service) remindAt(tx *store.Tx, line id.ID, now time.Time) {
	local := now.In(s.zone)
	due := time.Date(local.Year(), local.Month(), local.Day(), remindHour, 0, 0, 0, s.zone)
	if !due.After(now) {
		due = time.Date(local.Year(), local.Month(), local.Day()+1, remindHour, 0, 0, 0, s.zone)
	}
	outbox.Timer(tx, line, "remind", outbox.Event{Topic: "notify.untold", Aggregate: line, Payload: lineRef{line}, DueAt: due.UTC()})
}

type lineRef struct {
	Line id.ID `json:"line"`
}

// OnUntold handles the timer notify.untold: an open line is brought to the
// mind of its unit's head, and again the next day.
func (s *Service) OnUntold(ctx context.Context, d outbox.Delivery) error {
	var p lineRef
	if err := d.Decode(&p); err != nil {
		return err
	}
	now := s.clock.Now()
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		var row ToTell
		err := tx.NewSelect().Model(&row).Where("id = ?", p.Line).Where("state IN ('OPEN', 'NO_ANSWER')").Scan(ctx)
		if store.NoRows(err) {
			return struct{}{}, nil
		}
		if err != nil {
			return struct{}{}, err
		}
		heads, err := org.Holders(ctx, tx, row.Unit+".head", now)
		if err != nil {
			return struct{}{}, err
		}
		for _, h := range heads {
			Put(tx, Message{Topic: "notify.untold", To: h.Person, Path: "/to-tell", At: now})
		}
		tx.QueueSQL(`UPDATE to_tell SET reminded_at = ? WHERE id = ?`, now, row.ID)
		s.remindAt(tx, row.ID, now)
		return struct{}{}, nil
	})
	return err
}

// units are the units whose to-tell lists the actor works on; all says: every
// one.
func (s *Service) units(actor org.Actor) (codes []string, all bool) {
	if s.rules.Can(actor, ActTell, org.Object{}) {
		return nil, true
	}
	for _, h := range actor.Seats {
		if s.rules.Can(actor, ActTell, org.Object{Unit: h.Unit}) {
			codes = append(codes, h.Unit)
		}
	}
	return codes, false
}

// ToTell lists the open lines of the actor's units, newest first. The number
// to call is not in it: Reveal gives it and leaves a trace. next is the cursor
// of the following page, "" = none.
func (s *Service) ToTell(ctx context.Context, actor org.Actor, page store.Page) (rows []ToTell, next string, err error) {
	if err := page.Check(); err != nil {
		return nil, "", err
	}
	actor, err = org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return nil, "", err
	}
	codes, all := s.units(actor)
	if !all && len(codes) == 0 {
		return nil, "", s.rules.Check(actor, ActTell, org.Object{})
	}
	at, last, _ := page.At()
	q := s.db.R.NewSelect().Model(&rows).Where("state IN ('OPEN', 'NO_ANSWER')").OrderExpr("created_at DESC, id DESC").Limit(int64(page.First) + 1)
	if !all {
		q = q.Where("unit IN (?)", bun.List(codes))
	}
	if !last.IsZero() {
		q = q.Where("(created_at, id) < (?, ?)", at, last)
	}
	if err := q.Scan(ctx); err != nil && !store.NoRows(err) {
		return nil, "", store.Busy(err)
	}
	if len(rows) > page.First {
		rows = rows[:page.First]
		next = store.Cursor(rows[page.First-1].CreatedAt, rows[page.First-1].ID)
	}
	for i := range rows {
		rows[i].TextZh, rows[i].TextEn = s.reveal(rows[i].TextZh), s.reveal(rows[i].TextEn)
	}
	return rows, next, nil
}

// Reveal gives the number or name to call for an open line; the look is
// audited. An erased contact is "".
func (s *Service) Reveal(ctx context.Context, actor org.Actor, line id.ID) (string, error) {
	now := s.clock.Now()
	var value string // not the outcome: it is never stored
	_, err := store.InTx(ctx, s.db, store.Internal("revealContact"), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		value = ""
		row, actor, err := s.line(ctx, tx, actor, line, now)
		if err != nil {
			return struct{}{}, err
		}
		if row.State != ToldOpen && row.State != NoAnswer {
			return struct{}{}, fault.Refuse("ALREADY_TOLD", "这一条已经处理过了", "this line is settled already")
		}
		var n Notification
		if err := tx.NewSelect().Model(&n).Where("id = ?", row.Notification).Scan(ctx); err != nil {
			return struct{}{}, err
		}
		who, err := s.reach(ctx, tx, &n)
		if err != nil {
			return struct{}{}, err
		}
		if value = who.phone; row.Channel == WeChat {
			value = who.wechat
		}
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "notify.look",
			Object: outbox.Ref{Kind: "ntf", ID: n.ID}, Data: map[string]string{"channel": string(row.Channel)}, At: now})
		return struct{}{}, nil
	})
	return value, err
}

// ToldInput ticks off a line.
type ToldInput struct {
	Line           id.ID
	State          ToldState // TOLD, NO_ANSWER or WRONG_NUMBER
	IdempotencyKey string
}

// Tell records what came of calling: told, no answer (stays open), or a wrong
// number (there is no other way to this person).
func (s *Service) Tell(ctx context.Context, actor org.Actor, in ToldInput) error {
	set := map[ToldState]struct {
		state  State
		reason any
	}{Told: {Sent, nil}, NoAnswer: {Waiting, ByHand}, WrongNumber: {Failed, BadNumber}}
	to, ok := set[in.State]
	if !ok {
		return fault.Input("state", "state 只能是 TOLD、NO_ANSWER 或 WRONG_NUMBER", "state must be TOLD, NO_ANSWER or WRONG_NUMBER")
	}
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "tellByHand", in.IdempotencyKey, in)
	_, err := store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (id.ID, error) {
		row, actor, err := s.line(ctx, tx, actor, in.Line, now)
		if err != nil {
			return id.Nil, err
		}
		res, err := tx.NewRaw(`UPDATE to_tell SET state = ?, told_by = ?, told_at = ? WHERE id = ? AND state IN ('OPEN', 'NO_ANSWER')`,
			in.State, actor.Person, now, row.ID).Exec(ctx)
		if err != nil {
			return id.Nil, err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err != nil {
				return id.Nil, err
			}
			return id.Nil, fault.Refuse("ALREADY_TOLD", "这一条已经处理过了", "this line is settled already")
		}
		var sent any
		if in.State == Told {
			sent = now
		}
		tx.QueueSQL(`UPDATE delivery SET state = ?, reason = ?, attempt = attempt + 1, sent_at = ? WHERE id = ?`, to.state, to.reason, sent, row.Delivery)
		if in.State != NoAnswer {
			outbox.Void(tx, row.ID)
		}
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "notify.tell",
			Object: outbox.Ref{Kind: "ntf", ID: row.Notification}, Data: map[string]string{"state": string(in.State)}, At: now})
		return row.ID, nil
	})
	return err
}

// line loads a line that the actor may work on.
func (s *Service) line(ctx context.Context, tx *store.Tx, actor org.Actor, line id.ID, now time.Time) (ToTell, org.Actor, error) {
	var row ToTell
	actor, err := org.Judge(ctx, tx, actor, now)
	if err != nil {
		return row, actor, err
	}
	if codes, all := s.units(actor); !all && len(codes) == 0 {
		return row, actor, s.rules.Check(actor, ActTell, org.Object{})
	}
	err = tx.NewSelect().Model(&row).Where("id = ?", line).Scan(ctx)
	if store.NoRows(err) || err == nil && !s.rules.Can(actor, ActTell, org.Object{Unit: row.Unit}) {
		return row, actor, fault.Missing()
	}
	return row, actor, err
}
