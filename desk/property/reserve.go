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
	wants, err := s.wants(ctx, tx, form)
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
	s.release(tx, request, []ReservationState{Held}, now)
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
func (s *Service) Release(tx *store.Tx, request id.ID, now time.Time) {
	s.release(tx, request, []ReservationState{Held, Reserved}, now)
}

func (s *Service) release(tx *store.Tx, request id.ID, states []ReservationState, now time.Time) {
	tx.QueueSQL(`UPDATE reservation SET state = ?, released_at = ? WHERE request = ? AND state IN (?)`, Released, now, request, bun.List(states))
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
	locked := make([][]thing, len(wants))
	r := store.NewReads(tx)
	for i, w := range wants {
		w.askLock(r, tx, &locked[i])
	}
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(locked, func(rows []thing) bool { return len(rows) == 0 }) {
		return nil, fault.Missing()
	}
	return s.takeLocked(ctx, tx, wants, like)
}

// takeLocked is take for things that are locked. What is taken of them is read
// after that: a read beside the lock would not see what was waited for.
func (s *Service) takeLocked(ctx context.Context, tx *store.Tx, wants []Want, like Reservation) ([]Reservation, error) {
	r := store.NewReads(tx)
	free := s.askEachFree(r, wants)
	if err := r.Run(ctx); err != nil {
		return nil, err
	}
	var rows []Reservation
	for i, w := range wants {
		ok, taken := free[i](w, rows...)
		if !ok {
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
	return rows, nil
}

// thing is a place or an item.
type thing struct{ NameZh, Unit string }

// askLock locks the thing that is wanted.
func (w Want) askLock(r *store.Reads, tx *store.Tx, row *[]thing) {
	if w.Item.IsZero() {
		r.SQL(row, `SELECT name_zh, unit FROM place WHERE id = ? ?`, w.Place, tx.DB.Lock(false))
	} else {
		r.SQL(row, `SELECT name_zh, unit FROM item WHERE id = ? ?`, w.Item, tx.DB.Lock(false))
	}
}

func (s *Service) askEachFree(r *store.Reads, wants []Want, except ...id.ID) []func(Want, ...Reservation) (bool, Taken) {
	free := make([]func(Want, ...Reservation) (bool, Taken), len(wants))
	for i, w := range wants {
		column, one := "place", w.Place
		if !w.Item.IsZero() {
			column, one = "item", w.Item
		}
		free[i] = s.askFree(r, column, one, w, except)
	}
	return free
}

// askFree reads what takes of a thing in the wanted time, and then says whether
// the want can be met beside it and the rows planned; reservations of the
// requests except do not count against it. taken is the first thing in the way.
// column is place or item, of its id or a statement that selects it.
func (s *Service) askFree(r *store.Reads, column string, of any, when Want, except []id.ID) func(w Want, planned ...Reservation) (bool, Taken) {
	var rows []Reservation
	sel := s.db.R.NewSelect().Model((*Reservation)(nil)).Where("? = (?)", bun.Ident(column), of).Where("state IN ('HELD', 'RESERVED')").
		Where("from_at < ? AND until_at > ?", when.Until, when.From).OrderExpr("from_at, id")
	if len(except) > 0 {
		sel = sel.Where("request IS NULL OR request NOT IN (?)", bun.List(except))
	}
	r.Add(&rows, sel)
	have := []int64{1}
	if column == "item" {
		r.SQL(&have, `SELECT quantity FROM item WHERE id = (?)`, of)
	}
	return func(w Want, planned ...Reservation) (bool, Taken) {
		if len(have) == 0 {
			return false, Taken{Name: w.Name, From: w.From, Until: w.Until}
		}
		taken := rows
		for _, p := range planned {
			if p.Place == w.Place && p.Item == w.Item && p.From.Before(w.Until) && p.Until.After(w.From) {
				taken = append(taken, p)
			}
		}
		if peak(taken, w)+w.Quantity <= have[0] {
			return true, Taken{}
		}
		t := Taken{Name: w.Name, From: w.From, Until: w.Until}
		if len(taken) > 0 {
			t.From, t.Until = taken[0].From, taken[0].Until
		}
		return false, t
	}
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
			if !meta.Amends.IsZero() {
				return nil // what it amends keeps its time and place until then
			}
			err = s.Hold(ctx, tx, p.Request, meta.Requester, form, now)
			if fault.IsRule(err, "TAKEN") {
				return s.tellClash(ctx, tx, p.Request, meta, form, now)
			}
		case "APPROVED":
			// Also where the definition names another effect, as trainings do.
			tx.QueueSQL(`UPDATE reservation SET state = 'RESERVED' WHERE request = ? AND state = 'HELD'`, p.Request)
		case "REJECTED", "WITHDRAWN", "STOPPED", "SUPERSEDED", "EXPIRED":
			s.Release(tx, p.Request, now)
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
		s.Release(tx, p.Request, now)
		return nil
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
		if !meta.Amends.IsZero() { // it takes the place of what it amends
			s.Release(tx, meta.Amends, now)
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
	wants, err := s.wants(ctx, tx, form)
	if err != nil {
		return err
	}
	r := store.NewReads(tx)
	free := s.askEachFree(r, wants, asking)
	if err := r.Run(ctx); err != nil {
		return err
	}
	for i, w := range wants {
		if ok, _ := free[i](w); ok {
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
		w := Want{Place: in.Place, Item: in.Item, Quantity: in.Quantity, From: in.From.UTC(), Until: in.Until.UTC()}
		var locked []thing
		r := store.NewReads(tx)
		judged := org.AskJudge(r, actor, now)
		w.askLock(r, tx, &locked)
		if err := r.Run(ctx); err != nil {
			return id.Nil, err
		}
		actor, err := judged()
		if err != nil {
			return id.Nil, err
		}
		if len(locked) == 0 {
			return id.Nil, fault.Missing()
		}
		w.Name, w.Unit = locked[0].NameZh, locked[0].Unit
		if err := s.rules.Check(actor, actReserve, org.Object{Unit: w.Unit}); err != nil {
			return id.Nil, err
		}
		rows, err := s.takeLocked(ctx, tx, []Want{w}, Reservation{State: Reserved, Owner: actor.Person, CreatedAt: now})
		if err != nil {
			return id.Nil, err
		}
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "property.reserve", Object: rows[0].Ref(), At: now})
		return rows[0].ID, nil
	})
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
		var rows []Reservation
		var units []string
		r := store.NewReads(tx)
		judged := org.AskJudge(r, actor, now)
		r.SQL(&rows, `SELECT * FROM reservation WHERE id = ?`, in.Reservation)
		r.SQL(&units, `SELECT COALESCE(place.unit, item.unit) FROM reservation AS r LEFT JOIN place ON place.id = r.place LEFT JOIN item ON item.id = r.item
			WHERE r.id = ?`, in.Reservation)
		if err := r.Run(ctx); err != nil {
			return id.Nil, err
		}
		actor, err := judged()
		if err != nil {
			return id.Nil, err
		}
		if len(rows) == 0 {
			return id.Nil, fault.Missing()
		}
		row := &rows[0]
		if row.Owner != actor.Person || actor.Anonymous() {
			if err := s.rules.Check(actor, actReserve, org.Object{Unit: units[0]}); err != nil {
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
