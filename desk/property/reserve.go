package property

import (
	"bytes"
	"context"
	"slices"
	"time"

	"kelian/desk/request"
	"kelian/desk/tell"
	"kelian/internal/audit"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"

	"github.com/uptrace/bun"
)

// EffectReserve is the on_approved effect that makes holds certain.
const EffectReserve = "property.reserve"

type requestPayload struct {
	Request id.ID `json:"request"`
}

// Taken is the detail of the refusal TAKEN: what is not free, and until when
// by the first thing in its way.
type Taken struct {
	Name        string
	From, Until time.Time
}

// Hold takes what the form asks for, for the request and in the caller's
// transaction; what it held by an earlier form is given back first. If
// something is not free nothing is taken and the answer is the refusal TAKEN.
func (s *Service) Hold(ctx context.Context, tx *store.Tx, request, owner id.ID, form map[string]any, now time.Time) error {
	wants, err := s.wants(ctx, tx, form, "")
	if err != nil {
		return err
	}
	var held []Reservation
	err = tx.NewSelect().Model(&held).Where("request = ?", request).Where("state = ?", Held).Scan(ctx)
	if err != nil && !store.NoRows(err) {
		return err
	}
	if same(held, wants) {
		return nil
	}
	if err := s.release(ctx, tx, request, []ReservationState{Held}, now); err != nil {
		return err
	}
	_, err = s.take(ctx, tx, wants, Reservation{State: Held, Request: request, Owner: owner, CreatedAt: now})
	return err
}

// same says whether the reservations are exactly what is wanted.
func same(held []Reservation, wants []Want) bool {
	if len(held) != len(wants) {
		return false
	}
	left := slices.Clone(held)
	for _, w := range wants {
		i := slices.IndexFunc(left, func(r Reservation) bool {
			return r.Place == w.Place && r.Item == w.Item && r.Quantity == w.Quantity && r.From.Equal(w.From) && r.Until.Equal(w.Until)
		})
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}

// Release gives back everything that the request holds or has reserved, in the
// caller's transaction.
func (s *Service) Release(ctx context.Context, tx *store.Tx, request id.ID, now time.Time) error {
	return s.release(ctx, tx, request, []ReservationState{Held, Reserved}, now)
}

func (s *Service) release(ctx context.Context, tx *store.Tx, request id.ID, states []ReservationState, now time.Time) error {
	_, err := tx.NewUpdate().Model((*Reservation)(nil)).Set("state = ?", Released).Set("released_at = ?", now).
		Where("request = ?", request).Where("state IN (?)", bun.List(states)).Exec(ctx)
	return err
}

// take locks the things in the order of their ids, looks whether all are free
// and then inserts reservations like the sample: all or none.
func (s *Service) take(ctx context.Context, tx *store.Tx, wants []Want, like Reservation) ([]Reservation, error) {
	wants = slices.Clone(wants)
	slices.SortStableFunc(wants, func(a, b Want) int {
		if c := bytes.Compare(a.Place[:], b.Place[:]); c != 0 {
			return c
		}
		return bytes.Compare(a.Item[:], b.Item[:])
	})
	for _, w := range wants {
		if err := lock(ctx, tx, w); err != nil {
			return nil, err
		}
	}
	var rows []Reservation
	for _, w := range wants {
		free, taken, err := s.free(ctx, tx, w, id.Nil, rows...)
		if err != nil {
			return nil, err
		}
		if !free {
			return nil, fault.Refuse("TAKEN", w.Name+"在这段时间已被占用，请换时间或场地", w.Name+" is taken at that time; choose another time or place").With(taken)
		}
		row := like
		row.ID, row.Place, row.Item, row.Quantity, row.From, row.Until = id.New(), w.Place, w.Item, w.Quantity, w.From, w.Until
		rows = append(rows, row)
	}
	for i := range rows {
		tx.Queue(tx.DB.Bun().NewInsert().Model(&rows[i]))
		if r := &rows[i]; !r.Request.IsZero() {
			outbox.Link(tx, outbox.Ref{Kind: "req", ID: r.Request}, r.Ref(), "reserves", r.CreatedAt)
		}
	}
	return rows, tx.Flush(ctx)
}

func lock(ctx context.Context, tx *store.Tx, w Want) error {
	var got []id.ID
	q := tx.NewRaw(`SELECT id FROM place WHERE id = ? ?`, w.Place, tx.DB.Lock(false))
	if !w.Item.IsZero() {
		q = tx.NewRaw(`SELECT id FROM item WHERE id = ? ?`, w.Item, tx.DB.Lock(false))
	}
	if err := q.Scan(ctx, &got); err != nil && !store.NoRows(err) {
		return err
	}
	if len(got) == 0 {
		return fault.Missing()
	}
	return nil
}

// free says whether the want can be met beside what is reserved and the rows
// planned; reservations of the request except do not count against it. taken
// is the first thing in the way.
func (s *Service) free(ctx context.Context, q bun.IDB, w Want, except id.ID, planned ...Reservation) (bool, Taken, error) {
	var rows []Reservation
	sel := q.NewSelect().Model(&rows).Where("state IN ('HELD', 'RESERVED')").Where("from_at < ? AND until_at > ?", w.Until, w.From).OrderExpr("from_at, id")
	have := int64(1)
	if w.Item.IsZero() {
		sel = sel.Where("place = ?", w.Place)
	} else {
		sel = sel.Where("item = ?", w.Item)
		if err := q.NewSelect().Model((*Item)(nil)).Column("quantity").Where("id = ?", w.Item).Scan(ctx, &have); err != nil {
			return false, Taken{}, err
		}
	}
	if !except.IsZero() {
		sel = sel.Where("request IS NULL OR request <> ?", except)
	}
	if err := sel.Scan(ctx); err != nil && !store.NoRows(err) {
		return false, Taken{}, err
	}
	for _, r := range planned {
		if r.Place == w.Place && r.Item == w.Item && r.From.Before(w.Until) && r.Until.After(w.From) {
			rows = append(rows, r)
		}
	}
	if peak(rows, w)+w.Quantity <= have {
		return true, Taken{}, nil
	}
	t := Taken{Name: w.Name, From: w.From, Until: w.Until}
	if len(rows) > 0 {
		t.From, t.Until = rows[0].From, rows[0].Until
	}
	return false, t, nil
}

// peak is the most that is taken at one moment of the wanted time. It can only
// rise where something begins.
func peak(rows []Reservation, w Want) int64 {
	var most int64
	for i := -1; i < len(rows); i++ {
		at := w.From
		if i >= 0 {
			at = rows[i].From
		}
		if at.Before(w.From) {
			continue
		}
		var sum int64
		for _, r := range rows {
			if !r.From.After(at) && r.Until.After(at) {
				sum += r.Quantity
			}
		}
		most = max(most, sum)
	}
	return most
}

// OnRequestChanged handles workflow.changed: an open request holds what its
// form asks for, an approved one has it, one that was refused, withdrawn or
// stopped gives it back. What is not free is not held; the fact at the step told
// the deciders so.
func (s *Service) OnRequestChanged(ctx context.Context, d outbox.Delivery) error {
	var p requestPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx, now time.Time) error {
		form, meta, err := s.Requests.Form(ctx, tx, p.Request)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		switch meta.Status {
		case "OPEN":
			err = s.Hold(ctx, tx, p.Request, meta.Requester, form, now)
			if fault.IsRule(err, "TAKEN") {
				return s.tellClash(ctx, tx, p.Request, meta, form, now)
			}
		case "APPROVED":
			// Also where the definition names another effect, as trainings do.
			tx.QueueSQL(`UPDATE reservation SET state = 'RESERVED' WHERE request = ? AND state = 'HELD'`, p.Request)
		case "REJECTED", "WITHDRAWN", "STOPPED":
			err = s.Release(ctx, tx, p.Request, now)
		}
		return err
	})
}

// OnRejected handles workflow.rejected: everything held is given back.
func (s *Service) OnRejected(ctx context.Context, d outbox.Delivery) error {
	var p requestPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx, now time.Time) error {
		return s.Release(ctx, tx, p.Request, now)
	})
}

// OnApprovedReserve handles workflow.approved with the effect property.reserve:
// holds become reservations. Where nothing could be held it is tried once more;
// if the place is still taken, the requester and the keeper are told.
func (s *Service) OnApprovedReserve(ctx context.Context, d outbox.Delivery) error {
	var p effectPayload
	if err := d.Decode(&p); err != nil {
		return err
	}
	return s.handle(ctx, d, func(ctx context.Context, tx *store.Tx, now time.Time) error {
		if p.Effect != EffectReserve {
			return nil
		}
		form, meta, err := s.Requests.Form(ctx, tx, p.Request)
		if fault.Is(err, fault.NotFound) || err == nil && meta.Status != "APPROVED" {
			return nil // stopped meanwhile
		}
		if err != nil {
			return err
		}
		// Events come in any order: what is held may be that of an older form.
		err = s.Hold(ctx, tx, p.Request, meta.Requester, form, now)
		if fault.IsRule(err, "TAKEN") {
			return s.tellClash(ctx, tx, p.Request, meta, form, now)
		}
		if err != nil {
			return err
		}
		tx.QueueSQL(`UPDATE reservation SET state = 'RESERVED' WHERE request = ? AND state = 'HELD'`, p.Request)
		audit.Record(tx, audit.Entry{Action: "property.reserve", Object: outbox.Ref{Kind: "req", ID: p.Request}, At: now})
		return nil
	})
}

// tellClash tells the requester and those who keep the place. Hold takes
// nothing when it refuses, so there is nothing to take back but its release.
func (s *Service) tellClash(ctx context.Context, tx *store.Tx, asking id.ID, meta request.Meta, form map[string]any, now time.Time) error {
	wants, err := s.wants(ctx, tx, form, "")
	if err != nil {
		return err
	}
	for _, w := range wants {
		free, _, err := s.free(ctx, tx, w, asking)
		if err != nil {
			return err
		}
		if free {
			continue
		}
		m := tell.Message{Topic: "reservation.clash", Ref: outbox.Ref{Kind: "req", ID: asking}, At: now,
			Params: map[string]string{"number": meta.Number, "place": w.Name, "from": w.From.In(s.Location).Format("2006-01-02 15:04")}}
		s.Tell.Person(tx, meta.Requester, m)
		return s.Tell.Seats(ctx, tx, m, w.Unit+".head", "office.keeper")
	}
	return nil
}

// ReserveInput takes a place or items by hand, without a request.
type ReserveInput struct {
	Place          id.ID // or
	Item           id.ID
	Quantity       int64 // of the item; 0 = 1
	From, Until    time.Time
	IdempotencyKey string
}

// Reserve takes a place or items by hand.
func (s *Service) Reserve(ctx context.Context, actor org.Actor, in ReserveInput) (id.ID, error) {
	if in.Place.IsZero() == in.Item.IsZero() {
		return id.Nil, fault.Input("place", "场地和物品选一个", "name a place or an item")
	}
	if !in.Until.After(in.From) || in.Until.Sub(in.From) > 366*24*time.Hour {
		return id.Nil, fault.Input("until", "结束时间须在开始之后，最长一年", "the end is after the start, at most a year later")
	}
	if in.Quantity == 0 {
		in.Quantity = 1
	}
	if in.Quantity < 1 || in.Quantity > 1_000_000 || in.Item.IsZero() && in.Quantity != 1 {
		return id.Nil, fault.Input("quantity", "数量不对", "the quantity is not valid")
	}
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "reserve", in.IdempotencyKey, in)
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (id.ID, error) {
		actor, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return id.Nil, err
		}
		w := Want{Place: in.Place, Item: in.Item, Quantity: in.Quantity, From: in.From.UTC(), Until: in.Until.UTC()}
		if w.Name, w.Unit, err = s.about(ctx, tx, w); err != nil {
			return id.Nil, err
		}
		if err := s.rules.Check(actor, actReserve, org.Object{Unit: w.Unit}); err != nil {
			return id.Nil, err
		}
		rows, err := s.take(ctx, tx, []Want{w}, Reservation{State: Reserved, Owner: actor.Person, CreatedAt: now})
		if err != nil {
			return id.Nil, err
		}
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "property.reserve", Object: rows[0].Ref(), At: now})
		return rows[0].ID, nil
	})
}

func (s *Service) about(ctx context.Context, q bun.IDB, w Want) (name, unit string, err error) {
	if w.Item.IsZero() {
		var p Place
		err = q.NewSelect().Model(&p).Where("id = ?", w.Place).Scan(ctx)
		name, unit = p.NameZh, p.Unit
	} else {
		var it Item
		err = q.NewSelect().Model(&it).Where("id = ?", w.Item).Scan(ctx)
		name, unit = it.NameZh, it.Unit
	}
	if store.NoRows(err) {
		err = fault.Missing()
	}
	return name, unit, err
}

// GiveBackInput releases one reservation.
type GiveBackInput struct {
	Reservation    id.ID
	IdempotencyKey string
}

// GiveBack releases a reservation by hand: the keeper's, or one's own.
func (s *Service) GiveBack(ctx context.Context, actor org.Actor, in GiveBackInput) error {
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "giveBack", in.IdempotencyKey, in)
	_, err := store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (id.ID, error) {
		actor, err := org.Judge(ctx, tx, actor, now)
		if err != nil {
			return id.Nil, err
		}
		var row Reservation
		err = tx.NewSelect().Model(&row).Where("id = ?", in.Reservation).Scan(ctx)
		if store.NoRows(err) {
			return id.Nil, fault.Missing()
		}
		if err != nil {
			return id.Nil, err
		}
		_, unit, err := s.about(ctx, tx, Want{Place: row.Place, Item: row.Item})
		if err != nil {
			return id.Nil, err
		}
		if row.Owner != actor.Person || actor.Anonymous() {
			if err := s.rules.Check(actor, actReserve, org.Object{Unit: unit}); err != nil {
				return id.Nil, err
			}
		}
		if row.State == Released {
			return row.ID, nil
		}
		tx.QueueSQL(`UPDATE reservation SET state = 'RELEASED', released_at = ? WHERE id = ? AND state <> 'RELEASED'`, now, row.ID)
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "property.release", Object: row.Ref(), At: now})
		return row.ID, nil
	})
	return err
}

func (s *Service) handle(ctx context.Context, d outbox.Delivery, fn func(context.Context, *store.Tx, time.Time) error) error {
	now := s.clock.Now()
	_, err := store.InTx(ctx, s.db, d.Command(), func(ctx context.Context, tx *store.Tx) (struct{}, error) {
		return struct{}{}, fn(ctx, tx, now)
	})
	return err
}
