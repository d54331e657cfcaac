package notify

import (
	"context"
	"time"

	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// Item is a line of somebody's inbox.
type Item struct {
	ID       id.ID
	Topic    string
	Ref      outbox.Ref
	Subject  string
	Text     string // the sentence, without number and link
	Link     string
	Critical bool
	At       time.Time
	ReadAt   time.Time // zero = unread
}

// Inbox lists what the actor was told, newest first, in the actor's language.
// next is the cursor of the following page, "" = none.
func (s *Service) Inbox(ctx context.Context, actor org.Actor, page store.Page) (items []Item, next string, err error) {
	if actor.Person.IsZero() {
		return nil, "", fault.SignIn()
	}
	if err := page.Check(); err != nil {
		return nil, "", err
	}
	var rows []Notification
	at, last, _ := page.At()
	q := s.db.R.NewSelect().Model(&rows).Where("person = ?", actor.Person).Where("NOT hidden").OrderExpr("at DESC, id DESC").Limit(int64(page.First) + 1)
	if !last.IsZero() {
		q = q.Where("(at, id) < (?, ?)", at, last)
	}
	if err := q.Scan(ctx); err != nil && !store.NoRows(err) {
		return nil, "", store.Busy(err)
	}
	if len(rows) > page.First {
		rows = rows[:page.First]
		next = store.Cursor(rows[page.First-1].At, rows[page.First-1].ID)
	}
	return s.items(rows, actor.Lang), next, nil
}

// Unread counts the unread lines of the actor's inbox, up to 100.
func (s *Service) Unread(ctx context.Context, actor org.Actor) (int, error) {
	var n int
	err := s.db.R.NewRaw(`SELECT count(*) FROM (SELECT 1 FROM notification WHERE person = ? AND NOT hidden AND read_at IS NULL LIMIT 100) AS n`,
		actor.Person).Scan(ctx, &n)
	return n, store.Busy(err)
}

// MarkReadInput names lines of the actor's own inbox; All means every one.
type MarkReadInput struct {
	IDs            []id.ID // at most 100
	All            bool
	IdempotencyKey string
}

// MarkRead marks lines of the actor's inbox as read and tells how many were
// unread. Lines of others are passed over.
func (s *Service) MarkRead(ctx context.Context, actor org.Actor, in MarkReadInput) (int64, error) {
	if actor.Person.IsZero() {
		return 0, fault.SignIn()
	}
	if len(in.IDs) > store.PageMax || len(in.IDs) == 0 && !in.All {
		return 0, fault.Input("ids", "一次 1 到 100 条", "between 1 and 100 at a time")
	}
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "markRead", in.IdempotencyKey, in)
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (int64, error) {
		q := tx.NewUpdate().Model((*Notification)(nil)).Set("read_at = ?", now).Where("person = ?", actor.Person).Where("NOT hidden").Where("read_at IS NULL")
		if !in.All {
			q = q.Where("id IN (?)", bun.List(in.IDs))
		}
		res, err := q.Exec(ctx)
		if err != nil {
			return 0, err
		}
		return res.RowsAffected()
	})
}

// DeliveryView is one line of "who was told, by which channel, and why others
// were not".
type DeliveryView struct {
	Delivery
	Topic    string
	Person   id.ID  // zero: the object's own contact
	Name     string // masked; "" for the object's own contact
	ReasonZh string
	ReasonEn string
}

// MessageID of the mail, the same for all attempts.
func (s *Service) MessageID(d Delivery) string { return s.messageID(d.ID) }

const deliveriesMax = 500

// Deliveries tells who was told of an object, by which channel, and why others
// were not: newest notification first, at most 500 rows. It is for those who
// may see the object.
func (s *Service) Deliveries(ctx context.Context, actor org.Actor, ref outbox.Ref) ([]DeliveryView, error) {
	actor, err := org.Judge(ctx, s.db.R, actor, s.clock.Now())
	if err != nil {
		return nil, err
	}
	if !s.rules.Can(actor, ActDeliveries, org.Object{}) {
		ok := false
		if s.reader != nil && !actor.Anonymous() {
			if ok, err = s.reader.MayRead(ctx, actor, ref); err != nil {
				return nil, err
			}
		}
		if !ok {
			return nil, fault.Missing()
		}
	}
	var rows []DeliveryView
	err = s.db.R.NewRaw(`SELECT d.id, d.event, d.channel, d.recipient, d.state, d.reason, d.attempt, d.possible_duplicate,
			d.created_at, d.sent_at, d.retry_until, n.topic, n.person
		FROM notification AS n JOIN delivery AS d ON d.event = n.id WHERE n.ref_id = ? AND n.ref_kind = ?
		ORDER BY n.at DESC, n.id DESC, d.id LIMIT ?`, ref.ID, ref.Kind, deliveriesMax).Scan(ctx, &rows)
	if err != nil && !store.NoRows(err) {
		return nil, store.Busy(err)
	}
	var people []id.ID
	for _, r := range rows {
		if !r.Person.IsZero() {
			people = append(people, r.Person)
		}
	}
	names, err := org.Names(ctx, s.db.R, people...)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		r := &rows[i]
		r.Name = org.Mask(names[r.Person])
		if r.Reason != "" {
			r.ReasonZh, r.ReasonEn = Explain(r.Reason)
		}
	}
	return rows, nil
}
