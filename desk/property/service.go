package property

import (
	"context"
	"time"

	"kelian/desk/request"
	"kelian/desk/tell"
	"kelian/internal/audit"
	"kelian/internal/clock"
	"kelian/internal/fault"
	"kelian/internal/id"
	"kelian/internal/outbox"
	"kelian/internal/store"
	"kelian/org"
)

// RequestMeta is what the desk needs to know of a request beside its form.
type RequestMeta = request.Meta

// Options is what the desk is bound to.
type Options struct {
	Location *time.Location // of dates in forms and of numbers per year; nil = UTC
	Requests request.Reader
	Tell     tell.Teller
}

// Service is the property desk.
type Service struct {
	db    *store.DB
	clock clock.Clock
	rules *org.Table
	Options
}

// New makes the desk.
func New(db *store.DB, c clock.Clock, rules *org.Table, o Options) *Service {
	if o.Location == nil {
		o.Location = time.UTC
	}
	return &Service{db: db, clock: c, rules: rules, Options: o}
}

// ItemInput creates an item, or changes the one with the same code.
type ItemInput struct {
	Code           string // 1 to 40 characters
	Kind           ItemKind
	NameZh         string // 1 to 100 characters
	NameEn         string
	Quantity       int64 // 0 to 1,000,000
	Unit           string
	IdempotencyKey string
}

// SaveItem sets an item and how many there are of it.
func (s *Service) SaveItem(ctx context.Context, actor org.Actor, in ItemInput) (id.ID, error) {
	if n := len([]rune(in.Code)); n < 1 || n > 40 {
		return id.Nil, fault.Input("code", "编号须为 1 到 40 个字", "the code has 1 to 40 characters")
	}
	if n := len([]rune(in.NameZh)); n < 1 || n > 100 || len([]rune(in.NameEn)) > 200 {
		return id.Nil, fault.Input("nameZh", "名称须为 1 到 100 个字", "the name has 1 to 100 characters")
	}
	if in.Quantity < 0 || in.Quantity > 1_000_000 {
		return id.Nil, fault.Input("quantity", "数量须在 0 到 1000000 之间", "the quantity is between 0 and 1,000,000")
	}
	if in.Kind != Equipment && in.Kind != Stock {
		return id.Nil, fault.Input("kind", "类别只能是 EQUIPMENT 或 STOCK", "the kind is EQUIPMENT or STOCK")
	}
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "saveItem", in.IdempotencyKey, in)
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (id.ID, error) {
		var known []Item
		r := store.NewReads(tx)
		r.SQL(&known, `SELECT * FROM item WHERE code = ?`, in.Code)
		actor, err := s.keeper(ctx, r, actor, actItem, in.Unit, now)
		if err != nil {
			return id.Nil, err
		}
		row := &Item{ID: id.New(), Code: in.Code, Kind: in.Kind, NameZh: in.NameZh, NameEn: in.NameEn, Quantity: in.Quantity, Unit: in.Unit, CreatedAt: now}
		var old Item
		if len(known) > 0 {
			old = known[0]
			// A thing in another unit's custody is not taken over by its code.
			if err := s.rules.Check(actor, actItem, org.Object{Unit: old.Unit}); err != nil {
				return id.Nil, err
			}
			row.ID, row.CreatedAt = old.ID, old.CreatedAt
			tx.Queue(tx.DB.Bun().NewUpdate().Model(row).WherePK())
		} else {
			tx.Queue(tx.DB.Bun().NewInsert().Model(row))
		}
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "property.item", Object: outbox.Ref{Kind: "itm", ID: row.ID},
			Data: map[string]any{"code": in.Code, "quantity": in.Quantity, "before": old.Quantity}, At: now})
		return row.ID, nil
	})
}

// keeper runs the reads, judges the actor's right in the unit and refuses a
// unit that there is not.
func (s *Service) keeper(ctx context.Context, r *store.Reads, actor org.Actor, action, unit string, now time.Time) (org.Actor, error) {
	var units []id.ID
	judged := org.AskJudge(r, actor, now)
	r.SQL(&units, `SELECT id FROM unit WHERE code = ?`, unit)
	if err := r.Run(ctx); err != nil {
		return actor, err
	}
	actor, err := judged()
	if err == nil {
		err = s.rules.Check(actor, action, org.Object{Unit: unit})
	}
	if err == nil && len(units) == 0 {
		err = fault.Input("unit", "没有这个部门", "no such unit")
	}
	return actor, err
}

// PlaceInput creates a place, or changes the one with the same code.
type PlaceInput struct {
	Code           string // 1 to 40 characters
	Kind           PlaceKind
	NameZh         string // 1 to 100 characters
	NameEn         string
	Campus         string
	Seats          int
	Unit           string
	IdempotencyKey string
}

// SavePlace sets a room or board slot.
func (s *Service) SavePlace(ctx context.Context, actor org.Actor, in PlaceInput) (id.ID, error) {
	if n := len([]rune(in.Code)); n < 1 || n > 40 {
		return id.Nil, fault.Input("code", "编号须为 1 到 40 个字", "the code has 1 to 40 characters")
	}
	if n := len([]rune(in.NameZh)); n < 1 || n > 100 || len([]rune(in.NameEn)) > 200 {
		return id.Nil, fault.Input("nameZh", "名称须为 1 到 100 个字", "the name has 1 to 100 characters")
	}
	if in.Kind != Room && in.Kind != Board {
		return id.Nil, fault.Input("kind", "类别只能是 ROOM 或 BOARD", "the kind is ROOM or BOARD")
	}
	if in.Seats < 0 || in.Seats > 100_000 {
		return id.Nil, fault.Input("seats", "座位数须在 0 到 100000 之间", "the seats are between 0 and 100,000")
	}
	now := s.clock.Now()
	cmd := store.FromClient(s.db, actor.Person, "savePlace", in.IdempotencyKey, in)
	return store.InTx(ctx, s.db, cmd, func(ctx context.Context, tx *store.Tx) (id.ID, error) {
		actor, err := s.keeper(ctx, store.NewReads(tx), actor, actPlace, in.Unit, now)
		if err != nil {
			return id.Nil, err
		}
		row := &Place{ID: id.New(), Code: in.Code, Kind: in.Kind, NameZh: in.NameZh, NameEn: in.NameEn, Campus: in.Campus, Seats: in.Seats, Unit: in.Unit, CreatedAt: now}
		err = tx.NewInsert().Model(row).On("CONFLICT (code) DO UPDATE").Set("kind = EXCLUDED.kind, name_zh = EXCLUDED.name_zh, name_en = EXCLUDED.name_en").
			Set("campus = EXCLUDED.campus, seats = EXCLUDED.seats, unit = EXCLUDED.unit").Returning("id").Scan(ctx, &row.ID)
		if err != nil {
			return id.Nil, err
		}
		audit.Record(tx, audit.Entry{Actor: actor.Person, Seat: actor.Acting, Action: "property.place", Object: outbox.Ref{Kind: "plc", ID: row.ID},
			Data: map[string]any{"code": in.Code}, At: now})
		return row.ID, nil
	})
}
